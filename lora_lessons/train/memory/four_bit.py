"""A stand-in for a linear layer in 4 bits, with its sizes and not its numbers.

QLoRA (Dettmers et al. 2023, section 3) stores W in blocks of 64 numbers of 4 bits. Each block has a
scale, `absmax`, stored in 8 bits by double quantization: 256 scales share a float32. For a product
W is made again in bf16, and thrown away after. It is bitsandbytes' layer whose memory is predicted:
`base/nf4_linear.py` decodes by torch's operations, and holds more while it does.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...lora.layer import Linear
from ...lora.more.layers.quantized import Linear4bit

BLOCK, SCALES = 64, 256


class Scales(NamedTuple):
    """The scales of the scales, by the names that bitsandbytes gives them."""

    absmax: Tensor
    code: Tensor
    blocksize: int


class State(NamedTuple):
    """What bitsandbytes' QuantState says of a weight in NF4 with double quantization."""

    shape: tuple[int, int]
    absmax: Tensor
    state2: Scales
    offset: Tensor
    quant_type: str = "nf4"
    blocksize: int = BLOCK
    nested: bool = True


class DequantizedProduct(torch.autograd.Function):
    """x W' where W (out, in) is made for each product anew: it is not kept for the backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Tensor, shape: tuple[int, int]) -> Tensor:
        """A product of the right shape that keeps the codes; its values mean nothing."""
        ctx.save_for_backward(packed)
        ctx.shape = shape
        return F.linear(x, x.new_empty(shape))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        """A gradient of x's shape."""
        return g @ g.new_empty(ctx.shape), None, None


class FourBitLinear(nn.Linear):
    """An `nn.Linear` whose weight is n/2 bytes, with what it takes to read them."""

    compute_dtype = torch.bfloat16
    absmax: Tensor  # (blocks,) in 8 bits
    absmax_of_absmax: Tensor  # float32: a scale for 256 scales, and last their mean
    codes: Tensor  # float32: 16 of NF4, then those of the 8 bits

    @property
    def quant_state(self) -> State:
        """Its parts as bitsandbytes has them."""
        scales = Scales(self.absmax_of_absmax[:-1], self.codes[16:], SCALES)
        return State(
            (self.out_features, self.in_features),
            self.absmax,
            scales,
            self.absmax_of_absmax[-1],
        )

    def forward(self, x: Tensor) -> Tensor:
        """The product, and the bias."""
        result = DequantizedProduct.apply(x, self.weight, (self.out_features, self.in_features))
        return result if self.bias is None else result + self.bias

    @classmethod
    def take_over(cls, linear: nn.Linear) -> None:
        """Turn a linear layer into this one, on its device."""
        n, device = linear.weight.numel(), linear.weight.device
        blocks = math.ceil(n / BLOCK)
        packed = torch.empty(math.ceil(n / 2), 1, dtype=torch.uint8, device=device)
        linear.weight = nn.Parameter(packed, requires_grad=False)
        linear.register_buffer("absmax", torch.empty(blocks, dtype=torch.uint8, device=device))
        scales = math.ceil(blocks / SCALES) + 1  # the last is the scales' mean
        linear.register_buffer("absmax_of_absmax", torch.empty(scales, device=device))
        linear.register_buffer("codes", torch.empty(16 + 256, device=device))  # of W, of absmax
        linear.__class__ = cls


def quantize(model: nn.Module, keep: nn.Module | None) -> None:
    """Turn the frozen linear layers of a model to 4 bits, in place; `keep` (the head) stays.

    LoRA beside them is then what it is beside bitsandbytes' layers.
    """
    for module in list(model.modules()):
        if type(module) is nn.Linear and module is not keep and not module.weight.requires_grad:
            FourBitLinear.take_over(module)
    for module in model.modules():
        if type(module) is Linear and type(module.base_layer) is FourBitLinear:
            module.__class__ = Linear4bit
