"""A LoRA layer's two paths as one operation, which keeps less and passes over memory less often.

Written out, h = W x + s B A x makes two large tensors and adds them, and the backward pass scales,
makes and adds two more. Here the thin product x A' carries the scaling, s B A x is written first,
and W x is added to it in place: a matrix unit reads what it adds to while it multiplies, so that
this pass over h is hidden behind the wide product. Kept for the backward pass are x and s x A'
alone (x only where A is trained), and with dropout one byte for each number of x: which are kept.

A compiler would write both products, and then add: it takes a product as it comes. So the addition
in place is an operation of its own, `add_product_`, which it calls and does not look into.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ...lora.layer import Linear


@torch.library.custom_op("lora_lessons::add_product_", mutates_args=("h",))
def add_product_(h: Tensor, x: Tensor, W: Tensor) -> None:
    """h (N, out) += x W for x (N, in), W (in, out), in place; for compiled code."""
    h.addmm_(x, W)


@add_product_.register_fake
def _(h: Tensor, x: Tensor, W: Tensor) -> None:
    """Shapes alone: nothing is made."""


def add_product(h: Tensor, x: Tensor, W: Tensor) -> Tensor:
    """h + x W, written over h."""
    if not torch.compiler.is_compiling():
        return h.addmm_(x, W)
    add_product_(h, x, W)
    return h


class LoraProduct(torch.autograd.Function):
    """h = x W' + b + s (dropout(x) A' + c) B' for x (N, in), W (out, in), A (r, in), B (out, r).

    W and c (r,) are frozen. With g = dL/dh, x~ = dropout(x) and u = s g B (N, r) the gradients are
    dL/dA = u' x~, dL/dB = g' s (x~ A' + c), dL/db = the column sums of g, and
    dL/dx = g W + dropout's mask (u A).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        W: Tensor,
        b: Tensor | None,
        A: Tensor,
        B: Tensor,
        scaling: float,
        p: float,
        c: Tensor | None,
    ) -> Tensor:
        """h = x Wᵀ + b + s B A dropout(x); keeps dropped x and the thin product."""
        dropped, mask = torch.native_dropout(x, p, True) if p > 0 else (x, None)
        thin = scaled(F.linear(dropped, A, c), scaling)  # (N, r)
        for_A = x if ctx.needs_input_grad[3] else None  # LoRA-FA's A is frozen: no need of x
        ctx.save_for_backward(for_A, thin, W, A, B, *([] if mask is None else [mask]))
        ctx.scaling, ctx.p = scaling, p
        return add_product(F.linear(thin, B, b), x, W.t())  # (N, out)

    @staticmethod
    @once_differentiable  # `thin` is kept as a number: a second derivative would miss its part
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients by x, b, A and B; W is frozen."""
        x, thin, W, A, B, *rest = ctx.saved_tensors
        mask: Any = rest[0] if rest else None
        for_x, _, for_b, for_A, for_B = ctx.needs_input_grad[:5]
        u = scaled(torch.mm(g, B), ctx.scaling)  # (N, r)
        dx = dA = None
        if for_A:
            dA = torch.mm(u.t(), x if mask is None else x * mask / (1 - ctx.p))  # (r, in)
        if for_x:
            dx = torch.mm(u, A)  # (N, in)
            dx = dx if mask is None else dx.mul_(mask).div_(1 - ctx.p)
            dx = add_product(dx, g, W)
        dB = torch.mm(g.t(), thin) if for_B else None  # (out, r)
        return dx, None, g.sum(0) if for_b else None, dA, dB, None, None, None


def scaled(x: Tensor, scaling: float) -> Tensor:
    """x times `scaling`, which costs a kernel, so none where it is 1."""
    return x if scaling == 1 else x * scaling


def lora_product(
    x: Tensor,
    W: Tensor,
    b: Tensor | None,
    A: Tensor,
    B: Tensor,
    scaling: float,
    p: float = 0.0,
    c: Tensor | None = None,
) -> Tensor:
    """x W' + b + scaling (dropout(x, p) A' + c) B' for x (..., in): (..., out). W is frozen.

    With dropout a compiler is given the plain formula: it makes the mask again where it needs it.
    The scaling stands at the thin product too: the wide one would be (N, out) in both directions.
    """
    if torch.compiler.is_compiling() and p > 0:
        thin = scaled(F.linear(F.dropout(x, p), A, c), scaling)  # (..., r)
        return F.linear(x, W, b) + F.linear(thin, B)
    rows = x.reshape(-1, x.shape[-1])
    result = LoraProduct.apply(rows, W, b, A, B, scaling, p, c)  # (N, out)
    return result.view(*x.shape[:-1], len(W))  # not -1: x may have no rows


def bare_layer(kind: type[Linear]) -> Linear:
    """A layer without its attributes, which a copy or a pickle fills in."""
    return kind.__new__(kind)


class StandIn(Linear):
    """A class that a layer has inside `fit` only. Copies and pickles of the layer are `plain`."""

    plain: type[Linear] = Linear
    of_fit: tuple[str, ...] = ()  # attributes that belong to the run, not to the layer

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        state = {name: value for name, value in vars(self).items() if name not in self.of_fit}
        return bare_layer, (self.plain,), state


class FusedLinear(StandIn):
    """`Linear` while it is trained inside `fit`: the same function, by `lora_product`."""

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """The layer's function in one node of autograd, where nothing asks for the plain one."""
        plain = not self.training or self.disable_adapters or self.merged or args or kwargs
        adapter = self.adapter(self.active_adapters[0])
        W, b, A, B = self.weight, self.bias, adapter.A.weight, adapter.B.weight
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, W, A, B = (tensor.to(dtype) for tensor in (x, W, A, B))
            b = None if b is None else b.to(dtype)
        if plain or not x.dtype == W.dtype == A.dtype == B.dtype:
            return super().forward(x, *args, **kwargs)
        p = getattr(adapter.dropout, "p", 0.0)
        return lora_product(x, W, b, A, B, adapter.scaling, p)


def can_be_fused(module: nn.Module | None) -> TypeGuard[Linear]:
    """Whether a layer is LoRA and nothing more: one adapter in use, on a frozen `nn.Linear`."""
    if type(module) is not Linear or type(module.base_layer) is not nn.Linear:
        return False
    if type(module.weight).__module__.startswith("torchao."):  # quantized after it got adapters
        return False
    if len(module.active_adapters) != 1 or not module.has_adapter(module.active_adapters[0]):
        return False
    adapter = module.adapter(module.active_adapters[0])
    plain = adapter.name not in module.lora_variant and adapter.B.bias is None
    return plain and not module.weight.requires_grad and not any(map(is_watched, parts_of(module)))


def parts_of(layer: Linear) -> list[nn.Module]:
    """What a layer calls, and a fused one does not: its base layer and its adapter's parts."""
    adapter = layer.adapter(layer.active_adapters[0])
    return [layer.base_layer, adapter.A, adapter.B, adapter.dropout]


def is_watched(module: nn.Module) -> bool:
    """Whether somebody waits for a module's call by a hook, or replaced its forward."""
    hooks: tuple[Any, ...] = (module._forward_hooks, module._forward_pre_hooks)
    hooks += (module._backward_hooks, module._backward_pre_hooks)
    return any(hooks) or "forward" in vars(module)


@contextlib.contextmanager
def fused_layers(model: nn.Module) -> Iterator[int]:
    """Inside, the model's LoRA layers that can be fused are. Yields how many."""
    layers = [module for module in model.modules() if can_be_fused(module)]
    try:
        for layer in layers:
            layer.__class__ = FusedLinear
        yield len(layers)
    finally:
        for layer in layers:
            layer.__class__ = Linear
