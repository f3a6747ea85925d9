"""What `shard` changes of a step's memory: parts of the weights, whole ones while they are used.

Each process keeps 1/N of every weight. A block's whole weights are there while it runs, and beside
them the message they came in; in the backward pass the next block's message comes meanwhile. What
is in no block (embedding, head) stays whole through the step. The whole logits are held.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from .. import loss, step
from ..repeated import repeated_blocks
from .meter import storage_bytes

if TYPE_CHECKING:
    from .predict import MemoryEstimate

FORWARD, BETWEEN, BACKWARD = 2, 1, 3  # a block's weights: how often while it runs, and after


class Gathered:
    """Stand-ins for what is gathered: memory is taken and given back as FSDP2 does."""

    def __init__(self, model: nn.Module) -> None:
        self.held: list[torch.Tensor] = []
        blocks = repeated_blocks(model)
        inside = {id(p) for block in blocks for p in block.parameters()}
        outside = [p for p in model.parameters() if id(p) not in inside]
        self.always = torch.empty(storage_bytes(outside), dtype=torch.uint8)
        self.hooks = [hook for block in blocks for hook in self._watch(block)]

    def _watch(self, block: nn.Module) -> list[Any]:
        size = storage_bytes(block.parameters())

        def hold(times: int) -> None:
            self.held.clear()
            self.held += [torch.empty(size, dtype=torch.uint8) for _ in range(times)]

        def after(block: nn.Module, inputs: Any, outputs: Any) -> None:
            hold(BETWEEN)
            for output in tree_leaves(outputs):
                if isinstance(output, torch.Tensor) and output.requires_grad:
                    output.register_hook(lambda gradient: hold(BACKWARD))  # its backward begins

        return [
            block.register_forward_pre_hook(lambda *_: hold(FORWARD)),
            block.register_forward_hook(after),
        ]

    def remove(self) -> None:
        """No block is watched any more."""
        for hook in self.hooks:
            hook.remove()


@contextlib.contextmanager
def as_sharded(model: nn.Module, processes: int) -> Iterator[None]:
    """Inside, a step on fake tensors takes what one of several processes would, and all weights."""
    if processes == 1:
        yield
        return
    gathered = Gathered(model)
    try:
        with (
            mock.patch.object(loss, "frozen_head", return_value=None),
            mock.patch.object(step, "master_weights", return_value=contextlib.nullcontext()),
        ):
            yield
    finally:
        gathered.remove()


def part_of(whole: MemoryEstimate, processes: int) -> MemoryEstimate:
    """The estimate of a step that was counted inside `as_sharded`, with its part of the weights."""
    kept = ("frozen", "trained", "gradients", "optimizer")
    sizes = {name: -(-getattr(whole, name) // processes) for name in kept}
    # gradients are not there when the logits are, and so not taken off the peak
    saved = sum(getattr(whole, name) - sizes[name] for name in kept if name != "gradients")
    return dataclasses.replace(whole, **sizes, peak=whole.peak - saved)
