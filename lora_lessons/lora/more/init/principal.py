"""PiSSA and OLoRA: the adapter starts as the main part of W, and W keeps the rest.

The layer's output is as before, but W is not. What was there is kept on the CPU, and is in its
place again while the adapter is not in use: disabled, not the active one, deleted or unloaded.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ....errors import ConfigError, MergeError
from ....undo import Remembered, write
from ...arithmetic import at_least_float32, lora_delta
from ...layer import LoraLayer


def pissa_factors(weight: Tensor, r: int, scaling: float, init: str) -> tuple[Tensor, Tensor]:
    """(B, A) with scaling · B A = the best approximation of W of rank r (Meng et al. 2024).

    "pissa_niter_N" finds it with N subspace iterations of a randomized SVD: faster, not exact.
    """
    check_rank(weight, r, init)
    if init == "pissa":
        U, S, Vh = torch.linalg.svd(weight, full_matrices=False)
        U, S, Vh = U[:, :r], S[:r], Vh[:r]
    else:
        U, S, V = torch.svd_lowrank(weight, r, niter=int(init.removeprefix("pissa_niter_")))
        Vh = V.T
    root = (S / scaling).sqrt()
    return U * root, root[:, None] * Vh


def olora_factors(weight: Tensor, r: int, scaling: float, init: str) -> tuple[Tensor, Tensor]:
    """(B, A) = the first r columns of Q and rows of R in W = Q R (Büyükakyüz 2024)."""
    check_rank(weight, r, init)
    Q, R = torch.linalg.qr(weight)
    return Q[:, :r], R[:r]


def check_rank(weight: Tensor, r: int, init: str) -> None:
    """Raise for a rank that a matrix of this shape cannot have."""
    if r > min(weight.shape):
        raise ConfigError(f"{init} needs a rank of at most {min(weight.shape)}, and it is {r}")


class TakenOut(Remembered):
    """What adapters took out of one layer's W: the first W, and the factors they started with.

    W is round(first W - the parts of the adapters in use): one rounding, in any order.
    """

    def __init__(self, weight: Tensor) -> None:
        self.first = weight.detach().to("cpu", copy=True)
        self.parts: dict[str, tuple[Tensor, Tensor, float]] = {}  # (A, B, scaling) by adapter

    def add(self, layer: LoraLayer, name: str) -> None:
        """Note scaling · B A, with the adapter's factors as they are now, as its part of W."""
        _, A, B, scaling, _ = layer.adapter(name)
        factors = (each.weight.detach().to("cpu", copy=True) for each in (A, B))
        self.parts[name] = (*factors, scaling)

    def in_use(self, layer: LoraLayer) -> set[str]:
        """The adapters whose part is out of W now."""
        return set() if layer.disable_adapters else self.parts.keys() & set(layer.active_adapters)

    def show(self, layer: LoraLayer) -> None:
        """Write into W, in place, what the adapters in use leave of it."""
        if layer.merged:
            layer.unmerge()
        weight = layer.get_base_layer().weight
        value = at_least_float32(self.first.to(weight.device))
        for name in sorted(self.in_use(layer)):
            A, B, scaling = self.parts[name]
            A, B = (at_least_float32(factor.to(weight.device)) for factor in (A, B))
            value = value - layer.output_rows(lora_delta(A, B, scaling))  # its own inverse
        write(weight, value)

    def check_merge(self, layer: LoraLayer, adapter_names: list[str]) -> None:
        """Raise where W fits other adapters than those that are to be merged."""
        if self.in_use(layer) != self.parts.keys() & set(adapter_names):
            raise MergeError(
                f"PiSSA, OLoRA or LoftQ changed W for {sorted(self.parts)}, and W is now as it is "
                f"for the active adapters {layer.active_adapters}: call "
                f"`set_adapter({sorted(adapter_names)})` before these are merged"
            )

    def check_rows(self, layer: LoraLayer, adapter_names: list[str]) -> None:
        """Raise where the samples' adapters need different bases: there is one W."""
        used = self.in_use(layer)
        if any(self.parts.keys() & {name} != used for name in adapter_names):
            raise ValueError(
                f"PiSSA, OLoRA or LoftQ changed W for {sorted(self.parts)}: one batch cannot have "
                "samples with and without them"
            )


def take_out(layer: LoraLayer, adapter_name: str) -> None:
    """Take an adapter's first update out of W."""
    if layer.merged:
        raise MergeError("PiSSA and OLoRA change W: unmerge its adapters first")
    layer.taken_out = layer.taken_out or TakenOut(layer.get_base_layer().weight)
    layer.taken_out.add(layer, adapter_name)
    layer.show_base()
