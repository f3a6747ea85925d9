"""float32 weights for the optimizer, bf16 copies of them for the matrix products.

bf16 has 8 bits of precision: a weight of 1 does not see an update below 0.002, so AdamW must add to
float32 (Micikevicius et al. 2018, section 3.1, for float16). Autocast rounds each weight at each of
its products, some hundred small kernels in a step; here all are rounded at once after the update.
The products see the same numbers. Where LoRA layers are all that is trained, `PackedAdapters` does
this for all of them in one kernel; here is the general case.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from ..optim import uses_bf16
from .fused import can_be_fused
from .groups import groups_of
from .packed import PackedAdapters


class MasterWeights:
    """Trainable float32 parameters of a bf16 model, which holds bf16 copies until `restore`."""

    needs_autocast = False

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.copies = parameters
        self.masters = self.weights = [nn.Parameter(p.detach()) for p in parameters]  # same memory
        self.held = [*self.masters, *self.copies]
        self.frozen_copies: list[torch.Tensor] = []

    def install(self) -> None:
        """Change the model: its parameters are the copies from here on."""
        for parameter in self.copies:
            parameter.data = parameter.data.bfloat16()

    @property
    def updated(self) -> list[nn.Parameter]:
        """What the optimizer updates."""
        return self.masters

    def rows(self) -> list[nn.Parameter]:
        """One for each parameter: for an optimizer with several rates."""
        return self.masters

    def start(self) -> None:
        """Before the first micro-batch of a step: the optimizer has cleared the gradients."""

    def hand_out(self, optimizer: torch.optim.Optimizer, all_reached: bool = False) -> None:
        """After the last: each master has its own gradient already, or none."""

    def begin(self) -> None:
        """Before each forward: the copies are there already."""

    def backward(self, loss: torch.Tensor) -> None:
        """Add the loss's gradients to the masters', in float32."""
        loss.backward()
        self._take_gradients()

    @torch.no_grad()
    def _take_gradients(self) -> None:
        both = zip(self.masters, self.copies, strict=True)
        pairs = [(m, p, p.grad) for m, p in both if p.grad is not None]
        gradients = [torch.empty_like(master) for master, _, _ in pairs]
        torch._foreach_copy_(gradients, [rounded for _, _, rounded in pairs])
        for (master, copy, _), gradient in zip(pairs, gradients, strict=True):
            master.grad = gradient if master.grad is None else master.grad.add_(gradient)
            copy.grad = None

    @torch.no_grad()
    def update_copies(self) -> None:
        """Round the masters to the copies, after each update."""
        torch._foreach_copy_([*self.copies], [*self.masters])

    def restore(self) -> None:
        """The model's parameters are the float32 weights again."""
        for parameter, master in zip(self.copies, self.masters, strict=True):
            parameter.grad = None
            parameter.data = master.data


def wants_masters(model: nn.Module, parameters: list[nn.Parameter], precision: str) -> bool:
    """Whether all that is frozen is bf16 and all that is trained float32: adapters on a bf16 base.

    Other mixtures are left to autocast.
    """
    if not uses_bf16(parameters[0].device, precision):
        return False
    return frozen_dtypes(model) == {torch.bfloat16} and dtypes(parameters) == {torch.float32}


def wants_packing(model: nn.Module, parameters: list[nn.Parameter], precision: str) -> bool:
    """Whether products are in bf16, and float32 A and B of plain LoRA layers are what is trained.

    Their biases may be trained too, and be of the base's dtype. The base may be float32: the
    products' W are then bf16 copies, as autocast makes in each step.
    """
    if not uses_bf16(parameters[0].device, precision):
        return False
    layers = [module for module in model.modules() if can_be_fused(module)]
    adapters = [layer.adapter(layer.active_adapters[0]) for layer in layers]
    factors = [factor.weight for one in adapters for factor in (one.A, one.B)]
    biases = [m.bias for m in layers if m.bias is not None and m.bias.requires_grad]
    base = frozen_dtypes(model) | dtypes(biases)
    if dtypes(factors) != {torch.float32} or base not in ({torch.bfloat16}, {torch.float32}):
        return False
    # each has one place among the packed: what two layers share could not be in both
    return sorted(map(id, factors + biases)) == sorted(map(id, parameters))


def dtypes(parameters: Sequence[torch.Tensor]) -> set[torch.dtype]:
    """The dtypes that occur."""
    return {p.dtype for p in parameters}


def frozen_dtypes(model: nn.Module) -> set[torch.dtype]:
    """The dtypes of what is not trained."""
    return dtypes([p for p in model.parameters() if not p.requires_grad and p.is_floating_point()])


@contextlib.contextmanager
def master_weights(
    model: nn.Module, parameters: list[nn.Parameter], precision: str
) -> Iterator[MasterWeights | PackedAdapters | None]:
    """The model computes with bf16 copies inside, if that is wanted; None if it is not."""
    masters: MasterWeights | PackedAdapters
    if wants_packing(model, parameters, precision):
        masters = PackedAdapters(parameters, groups_of(model))
    elif wants_masters(model, parameters, precision):
        masters = MasterWeights(parameters)
    else:
        yield None
        return
    try:
        masters.install()  # inside: it may fail half-way, for want of memory
        yield masters
    finally:
        masters.restore()
