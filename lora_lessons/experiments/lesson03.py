"""The experiments of lesson 03: weak, best and too much alpha, and which runs break.

The exact algebra of alpha and of the first step is in `alpha_algebra`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

import torch

from ..lora.config import LoraConfig
from ..train.fast.sweep import Job, JobResult, train_many
from .alpha_algebra import first_step_laws
from .task import linear_weights, load_task

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
    if _tail(excess) > MARGIN:
        return DIVERGED
    return SPIKED if max(excess) > MARGIN else STABLE


def _tail(values: Sequence[float]) -> float:
    """The mean of the last tenth."""
    return mean(values[-max(1, len(values) // 10) :])


def alpha_sweep(
    base: str = "nano",
    alphas: tuple[float, ...] | list[float] = (0.25, 4, 64, 1024),
    lrs: tuple[float, ...] | list[float] = (3e-3,),
    seeds: tuple[int, ...] | list[int] = (0, 1, 2),
    steps: int = 50,
    batch_size: int = 4,
    length: int = 32,
    eval_every: int = 25,
    valid_blocks: int | None = None,
    jobs_at_once: int = 82,
    device: str | torch.device = "cpu",
    dtype: str = "float32",
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Train one adapter of rank 8 on all linear layers for every (alpha, learning rate, seed).

    AdamW, constant rate, each adapter's gradient clipped at norm 1. One row a run: the validation
    loss before, at its best and at the end; the mean training loss of the last tenth, and the
    largest excess over the base's loss on the same batch, in nats per token; the length of all
    updates s B A relative to the weights; and the outcome.
    """
    model, train, valid = load_task(base, length, device, getattr(torch, dtype), valid_blocks)
    weights = math.sqrt(sum(w.square().sum().item() for w in linear_weights(model).values()))
    plan = [(R, STILL, seed) for seed in seeds]  # one run a seed that never leaves the base
    plan += [(alpha, lr, seed) for alpha in alphas for lr in lrs for seed in seeds]
    how = {"steps": steps, "batch_size": batch_size, "length": length, "eval_every": eval_every}
    results: list[JobResult] = []
    for start in range(0, len(plan), jobs_at_once):
        part = plan[start : start + jobs_at_once]
        jobs = [Job(_config(alpha), lr=lr, seed=seed) for alpha, lr, seed in part]
        results += train_many(model, jobs, train, valid=valid, progress=progress, **how)
    untrained = {result.job.seed: result.history.losses for result in results[: len(seeds)]}
    return [_row(result, untrained, weights) for result in results[len(seeds) :]]


def _config(alpha: float, r: int = R, use_rslora: bool = False) -> LoraConfig:
    targets = {"target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    return LoraConfig(r=r, lora_alpha=alpha, use_rslora=use_rslora, **targets)


def rank_scaling(
    base: str = "nano",
    ranks: tuple[int, ...] | list[int] = (8, 64),
    alpha: float = 16,
    lrs: tuple[float, ...] | list[float] = (3e-4, 1e-3, 3e-3),
    seeds: tuple[int, ...] | list[int] = (0, 1, 2),
    steps: int = 50,
    batch_size: int = 4,
    length: int = 32,
    eval_every: int = 25,
    valid_blocks: int | None = None,
    device: str | torch.device = "cpu",
    dtype: str = "float32",
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Train with alpha / r and with alpha / sqrt(r), over ranks, rates and seeds; alpha is fixed.

    One row a run: r, whether `use_rslora`, lr, seed, best and last validation loss.
    """
    model, train, valid = load_task(base, length, device, getattr(torch, dtype), valid_blocks)
    how = {"steps": steps, "batch_size": batch_size, "length": length, "eval_every": eval_every}
    rows = []
    for r in ranks:  # like ranks in one step, so that nothing is padded
        plan = [(rs, lr, seed) for rs in (False, True) for lr in lrs for seed in seeds]
        jobs = [Job(_config(alpha, r, rs), lr=lr, seed=seed) for rs, lr, seed in plan]
        results = train_many(model, jobs, train, valid=valid, progress=progress, **how)
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
        "train": _tail(history.losses),
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
