"""PiSSA and OLoRA: the adapter starts as the main part of W, and W keeps the rest.

The layer's output is as before, but W is not: what was there is kept aside for `unload`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ConfigError, MergeError
from ..layer import LoraLayer


def pissa_factors(weight: Tensor, r: int, scaling: float, init: str) -> tuple[Tensor, Tensor]:
    """(B, A) with scaling · B A = the best approximation of W of rank r (Meng et al. 2024).

    "pissa_niter_N" finds it with N subspace iterations of a randomized SVD: faster, not exact.
    """
    _check_rank(weight, r, init)
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
    _check_rank(weight, r, init)
    Q, R = torch.linalg.qr(weight)
    return Q[:, :r], R[:r]


def _check_rank(weight: Tensor, r: int, init: str) -> None:
    if r > min(weight.shape):
        raise ConfigError(f"{init} needs a rank of at most {min(weight.shape)}, and it is {r}")


@torch.no_grad()
def take_out(layer: LoraLayer, adapter_name: str) -> None:
    """W := W - scaling · B A, with W's old values kept on the CPU for `unload`."""
    if layer.merged:
        raise MergeError("PiSSA and OLoRA change W: unmerge its adapters first")
    weight = layer.get_base_layer().weight
    if layer.first_weight is None:
        layer.first_weight = weight.detach().to("cpu", copy=True)
    weight.copy_(weight.float() - layer.plain_delta(adapter_name))


@torch.no_grad()
def give_back(layer: LoraLayer) -> None:
    """W as it was before the first such initialisation."""
    if layer.first_weight is not None:
        layer.get_base_layer().weight.copy_(layer.first_weight)
        layer.first_weight = None
