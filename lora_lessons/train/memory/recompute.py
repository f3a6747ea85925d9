"""Gradient checkpointing: activations are computed again instead of kept.

A block keeps its input alone; its inside is computed a second time when the backward pass gets
there. That is a third more work for a small part of the memory (Chen et al. 2016, section 3).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils.checkpoint import checkpoint

from ..modes import random_state_of
from ..repeated import repeated_blocks


class Recomputed:
    """A block's call that keeps its input alone. It stands around the compiled code, if any.

    PyTorch can put the random state back for the second pass, so that dropout drops the same
    numbers; but the host does that, which no CUDA graph can hold. So the first pass finds out
    whether the block draws anything, and where it does not (`random` is False), no state is kept.
    """

    def __init__(self, block: nn.Module, call: Callable[..., Any]) -> None:
        self.block, self.call = block, call
        some = next(block.parameters())
        self.device = some.device
        # not known yet; a prediction's fake tensors draw nothing
        self.random: bool | None = False if isinstance(some, FakeTensor) else None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The block, its inside computed again in the backward pass."""
        learns = self.random is None and self.block.training and torch.is_grad_enabled()
        before = random_state_of(self.device) if learns else {}
        result = checkpoint(
            self.call,
            *arguments,
            use_reentrant=False,
            preserve_rng_state=self.random is not False,
            **named,
        )
        if learns:
            self.random = changed(before, random_state_of(self.device))
        return result


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> bool:
    """Whether random numbers were drawn."""
    return any(not torch.equal(state, after[name]) for name, state in before.items())


@contextlib.contextmanager
def recomputed_blocks(model: nn.Module, wanted: bool) -> Iterator[list[Recomputed]]:
    """Inside, if wanted, the model's repeated blocks keep their inputs alone. Yields them.

    A compiled block is wrapped as a whole: inside it a checkpoint would be compiled with it.
    """
    blocks = repeated_blocks(model) if wanted else []
    if wanted and not blocks:
        raise ValueError(
            "recompute=True needs a repeated block, and the model has none (no ModuleList of two "
            "modules of one class)"
        )
    own = [vars(block).get("forward") for block in blocks]  # another library's hook, as a rule None
    calls = []
    try:
        for block in blocks:
            compiled = block._compiled_call_impl
            calls.append(Recomputed(block, block.forward if compiled is None else compiled))
            if compiled is None:
                block.forward = calls[-1]
            else:
                block._compiled_call_impl = calls[-1]
        yield calls
    finally:
        for call, forward in zip(calls, own, strict=False):
            if call.block._compiled_call_impl is call:
                given_up = call.call == call.block._call_impl
                call.block._compiled_call_impl = None if given_up else call.call
                continue
            vars(call.block).pop("forward", None)  # the class's own is there again
            if forward is not None:
                call.block.forward = forward
