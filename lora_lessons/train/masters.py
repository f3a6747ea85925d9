"""float32 weights for the optimizer, bf16 copies of them for the matrix products.

bf16 has 8 bits of precision: a weight of 1 does not see an update below 0.002, so AdamW must add to
float32 (Micikevicius et al. 2018, section 3.1, for float16). Autocast rounds each weight at each of
its products, some hundred small kernels in a step; here all are rounded at once after the update.
The products see the same numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from .optim import uses_bf16


class MasterWeights:
    """Trainable float32 parameters of a bf16 model, which holds bf16 copies until `restore`."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.copies = parameters
        self.masters = [nn.Parameter(p.detach()) for p in parameters]  # the same memory
        for parameter in parameters:
            parameter.data = parameter.data.bfloat16()

    @torch.no_grad()
    def take_gradients(self) -> None:
        """Add the copies' gradients to the masters', in float32."""
        pairs = [
            (m, p) for m, p in zip(self.masters, self.copies, strict=True) if p.grad is not None
        ]
        gradients = [torch.empty_like(master) for master, _ in pairs]
        torch._foreach_copy_(gradients, [copy.grad for _, copy in pairs])
        for (master, copy), gradient in zip(pairs, gradients, strict=True):
            master.grad = gradient if master.grad is None else master.grad.add_(gradient)
            copy.grad = None

    @torch.no_grad()
    def update_copies(self) -> None:
        """Round the masters to the copies, after each update."""
        torch._foreach_copy_(self.copies, self.masters)

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
    frozen = {p.dtype for p in model.parameters() if not p.requires_grad and p.is_floating_point()}
    return frozen == {torch.bfloat16} and {p.dtype for p in parameters} == {torch.float32}


@contextlib.contextmanager
def master_weights(
    model: nn.Module, parameters: list[nn.Parameter], precision: str
) -> Iterator[MasterWeights | None]:
    """The model computes with bf16 copies inside, if that is wanted; None if it is not."""
    if not wants_masters(model, parameters, precision):
        yield None
        return
    masters = MasterWeights(parameters)
    try:
        yield masters
    finally:
        masters.restore()
