"""Where the first step can gain: the gradient of each kind of linear layer, before any training.

A first step of size eta along -G lowers the loss by eta ||G||^2, up to terms of eta^2. LoRA's first
step moves B alone, and its update is G projected on the r rows of A: of ||G||^2 it gets about the
share r / in. So what a choice of layers can gain at first, at the rank that its budget allows, is

    sum over its layers of  ||G||_F^2 r / in          (G: (out, in), A random with rows of length 1)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..base.bases import load_base
from ..base.tokenizer import encode
from ..train.data import load_text
