"""LoRA on other layers than linear ones. `LAYER_CLASSES` says which class wraps which module."""

from __future__ import annotations

from torch import nn

LAYER_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}
