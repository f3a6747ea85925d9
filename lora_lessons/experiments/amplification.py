"""How much of W lies in the directions that an adapter has learnt (Hu et al. 2021, section 7.3).

The trained update ΔW = U S Vᵀ names r directions of the output, U, and r of the input, V. What W
does between them is Uᵀ W V. The paper's amplification factor is ‖ΔW‖ / ‖Uᵀ W V‖.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from ..train.fast.sweep import Job, JobResult
from .first_step import TARGETS, config
from .sweeps import Sweep, open_sweep
from .task import as_loss, linear_weights

SCALING = 2.0  # alpha / r, the same for every rank


def leading_directions(M: Tensor, r: int) -> tuple[Tensor, Tensor]:
    """U (out, r) and V (in, r): the r leading left- and right-singular vectors of M (out, in)."""
    U, _, Vh = torch.linalg.svd(M, full_matrices=False)
    return U[:, :r], Vh[:r].T


def random_directions(M: Tensor, r: int, gen: torch.Generator) -> tuple[Tensor, Tensor]:
    """U (out, r) and V (in, r) with orthonormal columns that know nothing of M (out, in)."""
    U, V = (
        torch.linalg.qr(torch.randn(size, r, generator=gen, dtype=M.dtype)).Q for size in M.shape
    )
    return U, V


def held(W: Tensor, directions: tuple[Tensor, Tensor]) -> float:
    """‖Uᵀ W V‖_F: how much of W (out, in) lies between U (out, r) and V (in, r)."""
    U, V = directions
    return (U.T @ W @ V).norm().item()


def held_by_chance(W: Tensor, r: int) -> float:
    """The root of the mean of ‖Uᵀ W V‖² for random directions: r ‖W‖ / sqrt(out in).

    Each of the r² entries u · W v has the mean square ‖W‖² / (out in).
    """
    return r * W.norm().item() / (W.shape[0] * W.shape[1]) ** 0.5


def layer_norms(W: Tensor, update: Tensor, r: int, gen: torch.Generator) -> dict[str, float]:
    """The numbers of the paper's table 7 for one layer, W and ΔW both (out, in) in float64."""
    return {
        "in_update": held(W, leading_directions(update, r)),
        "in_own": held(W, leading_directions(W, r)),
        "in_random": held(W, random_directions(W, r, gen)),
        "chance": held_by_chance(W, r),
        "W": W.norm().item(),
        "update": update.norm().item(),
    }


def amplification(
    ranks: Sequence[int] = (4, 16),
    lrs: Sequence[float] = (3e-3,),
    seeds: Sequence[int] = (0, 1, 2),
    **run: Any,
) -> dict[str, Any]:
    """Train each rank on q and v, and compare its update with W in the update's own directions.

    Each rank takes the learning rate with the lowest validation loss of its first seed. No two
    runs share a seed. `run`: see `RunSettings`.

    One row for each rank and kind of layer. Each number is a list over seeds, the root mean
    square over the layers of that kind; `factor` is `update` / `in_update`, the paper's
    amplification.
    """
    sweep = open_sweep(run, steps=100)
    own = {r: [1000 * r + seed for seed in seeds] for r in ranks}
    tried = _trained(sweep, [(r, lr, own[r][0]) for r, lr in product(ranks, lrs)])
    best = {r: min(tried[r], key=lambda one: as_loss(one.history.last)) for r in ranks}
    rest = _trained(sweep, [(r, best[r].job.lr, seed) for r in ranks for seed in own[r][1:]])
    runs = {r: [best[r], *rest.get(r, [])] for r in ranks}
    weights = linear_weights(sweep.model)
    return {
        "ranks": list(ranks),
        "lr": {str(r): best[r].job.lr for r in ranks},
        "tried": {str(r): [one.history.last for one in tried[r]] for r in ranks},
        "start": best[ranks[0]].history.eval_losses[0],
        "loss": {str(r): [one.history.last for one in runs[r]] for r in ranks},
        "rows": [_row(runs[r], weights, r, module) for r in ranks for module in TARGETS],
    }


def _trained(sweep: Sweep, plan: Sequence[tuple[int, float, int]]) -> dict[int, list[JobResult]]:
    """Rank -> its results, for a plan of (rank, learning rate, seed)."""
    found: dict[int, list[JobResult]] = {}
    for result in sweep.train(Job(config(r, SCALING), lr, seed) for r, lr, seed in plan):
        found.setdefault(result.job.config.r, []).append(result)
    return found


def _row(runs: list[JobResult], weights: dict[str, Tensor], r: int, module: str) -> dict[str, Any]:
    """Key -> one number a seed: the root mean square over the layers of one kind."""
    row: dict[str, Any] = {"r": r, "module": module}
    for run in runs:
        gen = torch.Generator().manual_seed(run.job.seed)
        layers = [
            layer_norms(_double(weights[name]), SCALING * _double(B) @ _double(A), r, gen)
            for name, (A, B) in run.factors.items()
            if name.endswith(module)
        ]
        for key in layers[0]:
            together = mean(layer[key] ** 2 for layer in layers) ** 0.5
            row.setdefault(key, []).append(together)
        row.setdefault("factor", []).append(row["update"][-1] / row["in_update"][-1])
    return row


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().double().cpu()
