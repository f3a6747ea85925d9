"""Compiling one repeated block of a model: most of what compiling gives, in a tenth of its time.

A decoder is the same block many times over. The compiler's result for one of them serves them all,
since parameters are inputs of the compiled code: compiling the whole model would do the same work
once for each layer.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from ..memory.recompute import Recomputed
from ..repeated import repeated_blocks
from .cross_entropy import chunk

FEWEST_COMPILED_STEPS = (
    1000  # "auto": a small model's step gains milliseconds, compiling takes 10 s
)


class CompiledBlocks:
    """The repeated blocks of a model, and the chunk of the loss, compiled until `restore`."""

    def __init__(
        self, model: nn.Module, compile: str | bool, steps: int, why_not: str = ""
    ) -> None:
        self.required = compile is True
        self.blocks = repeated_blocks(model)
        self.why_not = "compile=False" if compile is False else why_not
        self.why_not = self.why_not or self._why_not(model, steps)
        if self.required and self.why_not:
            raise RuntimeError(f"the model cannot be compiled: {self.why_not}")
        self.blocks = [*self.blocks, chunk]

    def install(self) -> None:
        """Compile, if nothing speaks against it: at the blocks' first call."""
        if self.compiled:
            with compiler_settings():
                for block in self.blocks:
                    block.compile(dynamic=False)

    @property
    def compiled(self) -> bool:
        """Whether the blocks run compiled."""
        return not self.why_not

    def _why_not(self, model: nn.Module, steps: int) -> str:
        if not self.blocks:
            return "the model has no repeated block (no ModuleList of two modules of one class)"
        if any(block._compiled_call_impl is not None for block in self.blocks):
            return "the blocks are compiled already"
        if self.required:
            return ""
        device = next(model.parameters()).device.type
        if device != "cuda":
            return f"the model is on {device}, where compiling gains little"
        if steps < FEWEST_COMPILED_STEPS:
            return f"fewer than {FEWEST_COMPILED_STEPS} steps"
        return ""

    def as_written(self) -> contextlib.AbstractContextManager[Any]:
        """Inside, the blocks run uncompiled: for passes of other shapes, without gradients."""
        # asked only where it matters, since the compiler takes seconds to import
        return (
            torch.compiler.set_stance("force_eager") if self.compiled else contextlib.nullcontext()
        )

    def give_up(self, reason: str) -> None:
        """Go on without: the reason is kept, or raised if compiling was asked for."""
        self.restore()
        self.why_not = reason
        if self.required:
            raise RuntimeError(f"the model cannot be compiled: {reason}")

    def restore(self) -> None:
        """The blocks as they were; one that is recomputed is so still, as written."""
        if self.compiled:
            for block in self.blocks:
                call = block._compiled_call_impl
                if isinstance(call, Recomputed):
                    call.call = block._call_impl
                else:
                    block._compiled_call_impl = None


@contextlib.contextmanager
def compiled_blocks(
    model: nn.Module, compile: str | bool, steps: int, why_not: str = ""
) -> Iterator[CompiledBlocks]:
    """The repeated block compiled inside, if it is to be and no `why_not` speaks against it."""
    blocks = CompiledBlocks(model, compile, steps, why_not)
    try:
        blocks.install()
        yield blocks
    finally:
        blocks.restore()


@contextlib.contextmanager
def compiler_settings() -> Iterator[None]:
    """How compiling is done: room for many models in one process, and an error where it ends.

    The compiler keeps a version of the block for each kind of model, and by itself it goes on
    uncompiled, without a word, after eight. Its warnings to itself are not shown.

    An adapter's gradient needs the input of its layer, which the compiler would keep for each
    block even where it is cheap to compute again: a norm's output, silu(gate) * up. Computing them
    again takes a quarter less memory and costs 2 % of a step (docs/training.md).
    """
    import torch._dynamo
    import torch._functorch.config

    limits: dict[str, Any] = {"recompile_limit": 64, "fail_on_recompile_limit_hit": True}
    again: dict[str, Any] = {"ban_recompute_materialized_backward": False}
    with (
        warnings.catch_warnings(),
        torch._dynamo.config.patch(**limits),
        torch._functorch.config.patch(**again),
    ):
        warnings.simplefilter("ignore")
        yield
