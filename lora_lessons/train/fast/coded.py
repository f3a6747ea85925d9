"""A LoRA layer on a weight of 4 bits as one operation: as `fused`, with W decoded on the way.

A layer of bitsandbytes decodes W for each product. Beside it, as written, the thin product is a
wide tensor of its own, scaled and added, forward and backward. Here it is written first and the
wide one added in place, as in `fused`. W is decoded inside the operation that adds: the compiler
sees no W in floats, which it would keep from the forward pass for the backward one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ...lora.more.layers.quantized import Linear4bit
from .fused import FusedLinear, is_watched, parts_of, scaled


class Coding(NamedTuple):
    """What is to be known of codes beside their tensors, as bitsandbytes' QuantState has it."""

    out: int
    in_: int
    kind: str  # "nf4" or "fp4"
    block: int  # numbers that share a scale
    second: int  # scales that share a scale of their own; 0 where they are float32


def decode(parts: Sequence[Tensor], coding: Coding, dtype: torch.dtype) -> Tensor:
    """W (out, in) in `dtype` from its codes and their scales, by bitsandbytes' kernels.

    `parts`: the codes (n/2, 1), and absmax in float32, or in 8 bits with its own scales, their
    table of 256 levels and the mean that was taken off.
    """
    codes, absmax, *rest = parts
    if rest:
        scales, table, mean = rest
        values = torch.ops.bitsandbytes.dequantize_blockwise.default(
            absmax, scales, table, coding.second, torch.float32
        )
        absmax = values.add_(mean)
    return torch.ops.bitsandbytes.dequantize_4bit.default(
        codes, absmax, coding.block, coding.kind, (coding.out, coding.in_), dtype
    )


@torch.library.custom_op("lora_lessons::add_coded_product_", mutates_args=("h",))
def add_coded_product_(
    h: Tensor, x: Tensor, parts: Sequence[Tensor], coding: Sequence[int], kind: str, forward: bool
) -> None:
    """h += x Wᵀ, or where not `forward` x W, in place; `coding` without its kind."""
    out, in_, block, second = coding
    W = decode(parts, Coding(out, in_, kind, block, second), x.dtype)
    h.addmm_(x, W.t() if forward else W)


@add_coded_product_.register_fake
def _(
    h: Tensor, x: Tensor, parts: Sequence[Tensor], coding: Sequence[int], kind: str, forward: bool
) -> None:
    """Shapes alone: nothing is made."""


def add_product(
    h: Tensor, x: Tensor, parts: Sequence[Tensor], how: Coding, forward: bool
) -> Tensor:
    """h (N, out) + x Wᵀ for x (N, in), or h (N, in) + x W for x (N, out), written over h."""
    sizes = [how.out, how.in_, how.block, how.second]
    add_coded_product_(h, x, list(parts), sizes, how.kind, forward)
    return h


class CodedLoraProduct(torch.autograd.Function):
    """h = x W' + b + s x A' B' for x (N, in), W (out, in) in codes, A (r, in), B (out, r)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        b: Tensor | None,
        A: Tensor,
        B: Tensor,
        scaling: float,
        how: Coding,
        *parts: Tensor,
    ) -> Tensor:
        """h; keeps x and the thin product, and of W its codes, which are there anyway."""
        thin = scaled(F.linear(x, A), scaling)  # (N, r)
        ctx.save_for_backward(x if ctx.needs_input_grad[2] else None, thin, A, B, *parts)
        ctx.scaling, ctx.how = scaling, how
        return add_product(F.linear(thin, B, b), x, parts, how, True)  # (N, out)

    @staticmethod
    @once_differentiable  # `thin` is kept as a number: a second derivative would miss its part
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients by x, b, A and B, as `fused.LoraProduct` has them; W is frozen."""
        x, thin, A, B, *parts = ctx.saved_tensors
        for_x, for_b, for_A, for_B = ctx.needs_input_grad[:4]
        u = scaled(torch.mm(g, B), ctx.scaling)  # (N, r)
        dA = torch.mm(u.t(), x) if for_A else None  # (r, in)
        dx = add_product(torch.mm(u, A), g, parts, ctx.how, False) if for_x else None  # (N, in)
        dB = torch.mm(g.t(), thin) if for_B else None  # (out, r)
        return dx, g.sum(0) if for_b else None, dA, dB, None, None, *(None for _ in parts)


class FusedLinear4bit(FusedLinear, Linear4bit):
    """`Linear4bit` while it is trained inside `fit`: the same function in one node of autograd."""

    plain = Linear4bit

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """The layer's function by `CodedLoraProduct`, where nothing asks for the plain one."""
        as_written = not self.training or self.disable_adapters or self.merged or args or kwargs
        adapter = self.adapter(self.active_adapters[0])
        base: Any = self.base_layer
        b, A, B = base.bias, adapter.A.weight, adapter.B.weight
        drops = getattr(adapter.dropout, "p", 0.0) > 0
        dtypes = {x.dtype, A.dtype, B.dtype, base.compute_dtype or x.dtype}
        dtypes |= set() if b is None else {b.dtype}
        if as_written or drops or len(dtypes) > 1 or torch.is_autocast_enabled(x.device.type):
            return Linear4bit.forward(self, x, *args, **kwargs)
        how, parts = coding_of(base)
        rows = x.reshape(-1, x.shape[-1])
        result = CodedLoraProduct.apply(rows, b, A, B, adapter.scaling, how, *parts)  # (N, out)
        return result.view(*x.shape[:-1], how.out)


def state_of(base: Any) -> Any:
    """bitsandbytes' QuantState of a layer; None until it is quantized, by moving it."""
    return getattr(base.weight, "quant_state", None) or getattr(base, "quant_state", None)


def coding_of(base: Any) -> tuple[Coding, list[Tensor]]:
    """How a layer's weight is coded, and its tensors; see `decode`."""
    state = state_of(base)
    out, in_ = state.shape
    parts = [base.weight.data.view(-1, 1), state.absmax]
    second = 0
    if state.nested:
        second = state.state2.blocksize
        parts += [state.state2.absmax, state.state2.code, state.offset]
    return Coding(out, in_, state.quant_type, state.blocksize, second), parts


def can_be_fused(module: nn.Module) -> TypeGuard[Linear4bit]:
    """Whether a layer is plain LoRA, one adapter in use, on a quantized `Linear4bit`."""
    if type(module) is not Linear4bit:
        return False
    state = state_of(module.base_layer)
    if state is None or getattr(state, "packing_format_for_cpu", False):
        return False
    if len(module.active_adapters) != 1 or not module.has_adapter(module.active_adapters[0]):
        return False
    adapter = module.adapter(module.active_adapters[0])
    plain = adapter.name not in module.lora_variant and adapter.B.bias is None
    return plain and not any(map(is_watched, parts_of(module)))


@contextlib.contextmanager
def fused_layers_on_codes(model: nn.Module) -> Iterator[int]:
    """Inside, the model's LoRA layers on 4 bits that can be fused are. Yields how many."""
    layers = [module for module in model.modules() if can_be_fused(module)]
    try:
        for layer in layers:
            layer.__class__ = FusedLinear4bit
        yield len(layers)
    finally:
        for layer in layers:
            layer.__class__ = Linear4bit
