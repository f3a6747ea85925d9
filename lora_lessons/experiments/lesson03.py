"""The experiments of lesson 03: weak, best and too much alpha, and which runs break.

The exact algebra of alpha and of the first step is in `alpha_algebra`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from ..train.fast.sweep import Job, JobResult
from .alpha_algebra import first_step_laws
from .sweeps import open_sweep
from .task import all_linear, last_tenth, linear_weights

R = 8
MARGIN = 0.25  # nats above the untrained base's loss on the same batch: more is a broken run
STILL = 1e-12  # a learning rate at which nothing moves: the base's own loss on each batch
STABLE, SPIKED, DIVERGED = "stable", "spiked", "diverged"

SIZES: dict[str, dict[str, Any]] = {
    "quick": {
        "alphas": (1, 16, 1024), "seeds": (0,), "steps": 6, "batch": 2, "length": 32, "blocks": 4,
        "exact_steps": 2, "ranks": (1, 4, 16), "law_seeds": (0, 1),
    },
    "small": {
        "alphas": (0.25, 4, 64, 1024), "seeds": (0, 1, 2), "steps": 50, "batch": 4,
        "length": 32, "blocks": 12, "exact_steps": 10, "ranks": (1, 2, 4, 8, 16, 32),
        "law_seeds": (0, 1, 2, 3, 4),
    },
    "full": {
        "alphas": (0.25, 1, 4, 16, 64, 256, 1024), "seeds": (0, 1, 2, 3, 4), "steps": 200,
        "batch": 8, "length": 64, "blocks": 96, "exact_steps": 10,
        "ranks": (1, 2, 4, 8, 16, 32), "law_seeds": (0, 1, 2, 3, 4),
    },
}  # fmt: skip
"""The size of the notebook's live runs for each preset (`ll.preset()`)."""


def outcome(losses: Sequence[float], untrained: Sequence[float]) -> str:
    """How a run went: "stable", "spiked" or "diverged".

    losses: the training loss of each step; untrained: the base's own loss on the same batches.
    Diverged: a loss that is not finite, or a last tenth more than `MARGIN` above the base on
    average. Spiked: it came back, but one loss was more than `MARGIN` above the base's.
    """
    if not all(map(math.isfinite, losses)):
        return DIVERGED
    excess = [loss - base for loss, base in zip(losses, untrained, strict=True)]
    if last_tenth(excess) > MARGIN:
        return DIVERGED
    return SPIKED if max(excess) > MARGIN else STABLE


def alpha_sweep(
    alphas: Sequence[float] = (0.25, 4, 64, 1024),
    lrs: Sequence[float] = (3e-3,),
    seeds: Sequence[int] = (0, 1, 2),
    **run: Any,
) -> list[dict[str, Any]]:
    """Train one adapter of rank 8 on all linear layers for every (alpha, learning rate, seed).

    AdamW, constant rate, each adapter's gradient clipped at norm 1. One row a run: the validation
    loss before, at its best and at the end; the mean training loss of the last tenth, and the
    largest excess over the base's loss on the same batch, in nats per token; the length of all
    updates s B A relative to the weights; and the outcome. `run`: see `RunSettings`.
    """
    sweep = open_sweep(run, steps=50, length=32, eval_every=25)
    weights = math.sqrt(sum(w.square().sum().item() for w in linear_weights(sweep.model).values()))
    plan = [(R, STILL, seed) for seed in seeds]  # one run a seed that never leaves the base
    plan += product(alphas, lrs, seeds)
    results = sweep.train(Job(all_linear(R, alpha), lr, seed) for alpha, lr, seed in plan)
    untrained = {result.job.seed: result.history.losses for result in results[: len(seeds)]}
    return [_row(result, untrained, weights) for result in results[len(seeds) :]]


def rank_scaling(
    ranks: Sequence[int] = (8, 64),
    alpha: float = 16,
    lrs: Sequence[float] = (3e-4, 1e-3, 3e-3),
    seeds: Sequence[int] = (0, 1, 2),
    **run: Any,
) -> list[dict[str, Any]]:
    """Train with alpha / r and with alpha / sqrt(r), over ranks, rates and seeds; alpha is fixed.

    One row a run: r, whether `use_rslora`, lr, seed, best and last validation loss. `run`: see
    `RunSettings`.
    """
    sweep = open_sweep(run, steps=50, length=32, eval_every=25)
    rows = []
    for r in ranks:  # like ranks in one step, so that nothing is padded
        plan = list(product((False, True), lrs, seeds))
        results = sweep.train(
            Job(all_linear(r, alpha, use_rslora=rs), lr, seed) for rs, lr, seed in plan
        )
        for (rs, lr, seed), result in zip(plan, results, strict=True):
            row = {"r": r, "use_rslora": rs, "lr": lr, "seed": seed}
            rows.append({**row, "best": result.history.best, "last": result.history.last})
    return rows


def _row(result: JobResult, untrained: dict[int, list[float]], weights: float) -> dict[str, Any]:
    job, history = result.job, result.history
    base = untrained[job.seed][: len(history.losses)]  # a run stops being kept at its first nan
    return {
        "alpha": job.config.lora_alpha,
        "lr": job.lr,
        "seed": job.seed,
        "before": history.eval_losses[0],
        "best": history.best,
        "last": history.last,
        "train": last_tenth(history.losses),
        "excess": max(loss - own for loss, own in zip(history.losses, base, strict=True)),
        "update": _update_norm(result, job.config.lora_alpha / R) / weights,
        "outcome": outcome(history.losses, base),
    }


def _update_norm(result: JobResult, scaling: float) -> float:
    """The Frobenius norm of s B A over all layers, from the small products BᵀB and A Aᵀ."""
    squares = 0.0
    for A, B in result.factors.values():
        A, B = A.double(), B.double()
        squares += ((B.T @ B) * (A @ A.T)).sum().item()  # trace(AᵀBᵀB A)
    return scaling * math.sqrt(squares)


RECORDINGS = {
    "03_alpha_sweep": (
        alpha_sweep,
        {
            "base": "decoder",
            "alphas": [0.25, 1, 4, 16, 32, 64, 256, 1024],
            "lrs": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2],
            "seeds": [0, 1, 2, 3, 4],
            "steps": 200,
            "batch_size": 8,
            "length": 64,
            "eval_every": 50,
            "valid_blocks": 64,
            "jobs_at_once": 82,
            "device": "cuda",
        },
        {
            "base": "nano",
            "alphas": [1, 16],
            "lrs": [2e-3],
            "seeds": [0, 1],
            "steps": 4,
            "batch_size": 2,
            "length": 16,
            "eval_every": 2,
            "valid_blocks": 4,
            "device": "cpu",
            "dtype": "float64",
        },
        ("excess",),
    ),
    "03_rank_scaling": (  # seeds 10 and 11 are there to tune the rates on
        rank_scaling,
        {
            "base": "decoder",
            "ranks": [8, 128],
            "lrs": [1e-4, 3e-4, 1e-3, 3e-3],
            "seeds": [0, 1, 2, 3, 4, 10, 11],
            "steps": 1000,
            "batch_size": 8,
            "length": 64,
            "eval_every": 100,
            "valid_blocks": 128,
            "device": "cuda",
        },
        {
            "base": "nano",
            "ranks": [2, 4],
            "lrs": [2e-3],
            "seeds": [0],
            "steps": 4,
            "batch_size": 2,
            "length": 16,
            "eval_every": 2,
            "valid_blocks": 4,
            "device": "cpu",
            "dtype": "float64",
        },
    ),
    "03_first_step": (
        first_step_laws,
        {
            "base": "decoder",
            "ranks": [1, 4, 16, 64],
            "seeds": [0, 1, 2, 3, 4],
            "batch_size": 8,
            "length": 64,
            "device": "cuda",
        },
        {"base": "nano", "ranks": [1, 4], "seeds": [0], "batch_size": 2, "length": 16},
    ),
}
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
