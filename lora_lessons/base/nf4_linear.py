"""A linear layer whose frozen weight stays in 4 bits, and the product that goes through it.

QLoRA trains adapters beside such layers (Dettmers et al. 2023, section 3). The weight is decoded
for each product, forward and backward, and thrown away after: half a byte for each number is kept.
It computes; `train/memory/four_bit.py` has bitsandbytes' sizes alone, to predict its memory by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .quantize import (
    BLOCK,
    QuantizedScales,
    dequantize_scales,
    dynamic_levels,
    levels,
    pack,
    quantize,
    quantize_scales,
)


class FrozenProduct(torch.autograd.Function):
    """y = x W'ᵀ with W' (out, in) decoded when it is needed: it is not kept for the backward pass.

    The gradient goes on to x, g W', and never to W: codes are whole numbers and have none.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: NF4Linear) -> Tensor:
        """x Wᵀ with W decoded for this product alone: (..., in) -> (..., out)."""
        ctx.layer = layer  # bytes that are there anyway; x is not needed, as W gets no gradient
        return F.linear(x, layer.decoded(x.dtype))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        """The gradient by x, g W, with W decoded once more; the codes have none."""
        return g @ ctx.layer.decoded(g.dtype), None  # (..., out) (out, in) -> (..., in)


class NF4Linear(nn.Linear):
    """An `nn.Linear` with W in NF4: `weight` is (n/2, 1) bytes, as bitsandbytes lays it out.

    Made from a layer by `from_linear`. LoRA goes on it as on any linear layer; merging into it is
    refused, because a sum would have to be rounded to 16 levels again.
    """

    absmax: Tensor

    @classmethod
    def from_linear(cls, linear: nn.Linear, double: bool = True) -> NF4Linear:
        """A frozen copy in 4 bits, on its device. `double`: the scales in 8 bits.

        Raises ValueError where the rows are no whole number of blocks: then a layer's blocks would
        straddle its rows, which other decoders of this format read wrongly.
        """
        if linear.in_features % BLOCK:
            raise ValueError(
                f"rows of {linear.in_features} are no whole number of blocks of {BLOCK}"
            )
        q = quantize(linear.weight)
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer.in_features, layer.out_features = linear.in_features, linear.out_features
        layer.weight = nn.Parameter(pack(q.codes)[:, None], requires_grad=False)
        layer.bias = linear.bias
        if layer.bias is not None:
            layer.bias.requires_grad_(False)
        scales = quantize_scales(q.absmax) if double else None
        layer.register_buffer("absmax", q.absmax if scales is None else scales.codes)
        layer.register_buffer("absmax_of_absmax", None if scales is None else scales.absmax)
        layer.register_buffer("mean", None if scales is None else scales.mean)
        table = levels("nf4", linear.weight.device)
        high, low = table.repeat_interleave(16), table.repeat(16)
        layer.register_buffer("pairs", torch.stack([high, low], 1), persistent=False)  # (256, 2)
        decades = dynamic_levels().to(linear.weight.device)  # here, as a copy in forward would wait
        layer.register_buffer("decades", decades if double else None, persistent=False)
        return layer

    def decoded(self, dtype: torch.dtype) -> Tensor:
        """W' (out, in), rounded once to `dtype`: two levels for each byte, times their scale."""
        values = self.pairs.to(dtype if dtype.is_floating_point else torch.float32)
        values = F.embedding(self.weight.flatten().int(), self.pairs)  # (n/2, 2), float32
        values = values.view(-1, BLOCK).mul_(
            self.scales()[:, None]
        )  # (blocks, 64) times (blocks, 1)
        return values.view(self.out_features, self.in_features).to(dtype)

    def scales(self) -> Tensor:
        """One float32 for each block."""
        if self.mean is None:
            return self.absmax
        scales = QuantizedScales(self.absmax, self.absmax_of_absmax, self.mean)
        return dequantize_scales(scales, self.decades)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> NF4Linear:
        """A change of device is for all; one of dtype is not for scales and tables: they stay."""
        exact = {name: value for name, value in self._buffers.items() if value is not None}
        super()._apply(fn, recurse)
        for name, value in exact.items():
            if self._buffers[name].dtype != value.dtype:
                self._buffers[name] = value.to(self._buffers[name].device)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """h = x Wᵀ + b, W decoded from its codes."""
        result = FrozenProduct.apply(x, self)
        return result if self.bias is None else result + self.bias


def to_nf4(model: nn.Module, keep: nn.Module | None = None, double: bool = True) -> list[str]:
    """Turn the model's linear layers to 4 bits, in place; returns their names.

    `keep` stays as it is, as a rule the output layer: `model.get_output_embeddings()`.
    """
    found = [(n, m) for n, m in model.named_modules() if type(m) is nn.Linear and m is not keep]
    for name, linear in found:
        model.set_submodule(name, NF4Linear.from_linear(linear, double))
    return [name for name, _ in found]
