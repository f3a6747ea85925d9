"""Gradient checkpointing: activations are computed again instead of kept.

A block keeps its input alone; its inside is computed a second time when the backward pass gets
there. That is a third more work for a small part of the memory (Chen et al. 2016, section 3).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

from torch import nn
from torch.utils.checkpoint import checkpoint

from ..fast.blocks import repeated_blocks


@contextlib.contextmanager
def recomputed_blocks(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Inside, if wanted, the model's repeated blocks keep their inputs alone.

    PyTorch puts the random state back for the second pass, so dropout drops the same numbers.
    """
    blocks = repeated_blocks(model) if wanted else []
    if wanted and not blocks:
        raise ValueError(
            "recompute=True needs a repeated block, and the model has none (no ModuleList of two "
            "modules of one class)"
        )
    own = [vars(block).get("forward") for block in blocks]  # another library's hook, as a rule None
    for block in blocks:
        block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block, forward in zip(blocks, own, strict=True):
            del block.forward  # the class's own is there again
            if forward is not None:
                block.forward = forward
