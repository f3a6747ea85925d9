"""The experiments of lesson 01: is an update low-rank, and what does the rank `r` change?

Each function takes plain numbers and returns plain numbers, so that the notebook runs it small on a
CPU and the recorder runs it at full size on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from ..base.load import load_base
from ..base.tokens import TokenBatches
from ..lora.config import LoraConfig
from ..lora.more.low_rank import factor, truncate
from ..seeding import seed_everything
from ..train.fast.sweep import Job
from ..train.loop import evaluate, fit
from .sweeps import Sweep, open_sweep
from .task import all_linear, last_tenth, linear_weights, load_task

ALPHA_RULES = {"alpha = 2r": lambda r: 2 * r, "alpha = 16": lambda r: 16}
"""The two ways to choose `lora_alpha` while `r` changes. The first keeps alpha/r at 2."""

SIZES: dict[str, dict[str, Any]] = {
    "quick": {"steps": 10, "batch": 4, "length": 32, "blocks": 8, "ranks": (1, 8), "seeds": (0, 1)},
    "small": {
        "steps": 150, "batch": 8, "length": 64, "blocks": 48, "ranks": (1, 4, 16),
        "seeds": (0, 1, 2),
    },
    "full": {
        "steps": 300, "batch": 16, "length": 64, "blocks": 96, "ranks": (1, 4, 16),
        "seeds": (0, 1, 2),
    },
}  # fmt: skip
"""The size of the notebook's live runs for each preset (`ll.preset()`)."""


# --- 0. The pieces that stand in where the learner's are not solved yet -------------------------


def rank_for_energy(singular_values: Tensor, share: float) -> int:
    """The smallest rank whose singular values hold `share` of the energy: for exercise 1.3."""
    kept = singular_values.square().cumsum(0)
    return int((kept / kept[-1] < share).sum()) + 1  # kept[-1] is all: 1 exactly, whatever rounding


def split_update(delta: Tensor, r: int, scaling: float) -> tuple[Tensor, Tensor]:
    """B (out, r) and A (r, in) with scaling * B @ A the best rank-r copy: for exercise 1.5."""
    B, A = factor(delta / scaling, r)
    return B, A


# --- 1. The update of a real full fine-tune --------------------------------------------------


def full_finetune_update(
    base: str = "nano",
    steps: int = 150,
    lr: float = 2e-3,
    batch_size: int = 16,
    length: int = 64,
    seed: int = 0,
    valid_blocks: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = False,
) -> dict[str, Any]:
    """Fine-tune every weight on Moby Dick and keep what the learner needs to study the update.

    Returns the model (fine-tuned), `before` and `after` (name -> linear weight), the validation
    blocks and the losses before and after, in nats per token.
    """
    model, train, valid = load_task(base, length, device, dtype, valid_blocks)
    before = {name: weight.detach().clone() for name, weight in linear_weights(model).items()}
    loss_before = evaluate(model, valid)
    batches = TokenBatches(train, batch_size, length, seed=seed, device=device)
    fit(model, batches, steps=steps, lr=lr, seed=seed, progress=progress)
    after = {name: weight.detach().clone() for name, weight in linear_weights(model).items()}
    return {
        "model": model,
        "valid": valid,
        "before": before,
        "after": after,
        "loss_before": loss_before,
        "loss_after": evaluate(model, valid),
    }


@torch.no_grad()
def loss_with_truncated_updates(tuned: dict[str, Any], k: int) -> float:
    """Validation loss with the update of *every* linear layer cut to rank k; weights restored.

    The embeddings and norms keep their fine-tuned values, so k = full rank gives `loss_after`.
    """
    weights = linear_weights(tuned["model"])
    try:
        for name, weight in weights.items():
            delta = tuned["after"][name] - tuned["before"][name]  # (out, in)
            weight.copy_(tuned["before"][name] + truncate(delta, min(k, *delta.shape)))
        return evaluate(tuned["model"], tuned["valid"])
    finally:
        for name, weight in weights.items():
            weight.copy_(tuned["after"][name])


def spectrum(delta: Tensor) -> list[float]:
    """Singular values of an update (out, in), largest first, divided by the largest."""
    values = torch.linalg.svdvals(delta.double())
    return (values / values[0]).tolist()


def update_spectrum(ranks: list[int], dtype: str = "float32", **settings: Any) -> dict[str, Any]:
    """Spectra of a full fine-tune's updates, and the loss that survives their truncation."""
    seeds = settings.pop("seeds")
    runs = [_update_of_one_seed(ranks, dtype, seed, settings) for seed in seeds]
    return {"ranks": ranks, "runs": runs}


def _update_of_one_seed(
    ranks: list[int], dtype: str, seed: int, settings: dict[str, Any]
) -> dict[str, Any]:
    tuned = full_finetune_update(seed=seed, dtype=getattr(torch, dtype), **settings)
    deltas = {name: tuned["after"][name] - tuned["before"][name] for name in tuned["before"]}
    return {
        "seed": seed,
        "loss_before": tuned["loss_before"],
        "loss_after": tuned["loss_after"],
        "loss_at_rank": [loss_with_truncated_updates(tuned, k) for k in ranks],
        "spectra": {name: spectrum(d) for name, d in deltas.items() if "layers.0" in name},
    }


# --- 2. A task with a planted rank -----------------------------------------------------------


def planted_rank(
    true_rank: int = 6,
    ranks: tuple[int, ...] | list[int] = (1, 2, 4, 6, 8),
    in_features: int = 31,
    out_features: int = 23,
    samples: int = 512,
    steps: int = 300,
    lr: float = 0.02,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Fit one frozen layer plus B A to data made by W + (an update of rank `true_rank`).

    For each r: the mean squared error reached, and the floor that the Eckart-Young theorem sets.
    The inputs are white (an orthonormal design), so the floor is the energy of the singular values
    left out, and no training can go below it.
    """
    gen = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=gen, dtype=torch.float64)  # noqa: E731
    left = torch.linalg.qr(draw(out_features, true_rank)).Q  # (out, k), orthonormal columns
    right = torch.linalg.qr(draw(in_features, true_rank)).Q  # (in, k)
    values = torch.linspace(2.0, 1.0, true_rank, dtype=torch.float64)
    delta = left @ torch.diag(values) @ right.T  # (out, in), of rank true_rank exactly
    x = torch.linalg.qr(draw(samples, in_features)).Q  # (n, in), x^T x = I
    return [_fit_planted(delta, x, r, steps, lr, gen) for r in ranks]


def _fit_planted(
    delta: Tensor, x: Tensor, r: int, steps: int, lr: float, gen: torch.Generator
) -> dict[str, float]:
    out_features, in_features = delta.shape
    A = torch.randn(r, in_features, generator=gen, dtype=delta.dtype) / in_features**0.5
    B = torch.zeros(out_features, r, dtype=delta.dtype)
    A.requires_grad_(), B.requires_grad_()
    optimizer = torch.optim.Adam([A, B], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    target = x @ delta.T  # (n, out): what the frozen layer is still missing
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (x @ A.T @ B.T - target).square().sum()
        loss.backward()
        optimizer.step()
        schedule.step()
    floor = torch.linalg.svdvals(delta)[r:].square().sum()
    return {"r": r, "error": loss.item(), "floor": floor.item()}


# --- 3. Loss against rank --------------------------------------------------------------------


def rank_sweep(
    ranks: Sequence[int] = (1, 2, 4, 8, 16, 32),
    lrs: Sequence[float] = (2e-3,),
    seeds: Sequence[int] = (0, 1, 2),
    alpha_rules: Sequence[str] = tuple(ALPHA_RULES),
    full_lrs: Sequence[float] = (),
    **run: Any,
) -> list[dict[str, Any]]:
    """Train one adapter on all linear layers for every (rank, alpha rule, learning rate, seed).

    Many adapters share one frozen base in each step. `full_lrs` adds rows of full fine-tuning
    (r = None). `run`: see `RunSettings`; few `train_tokens` show over-fitting.
    One row a run: r, rule, lr, seed, and the first, best and last validation loss and the mean
    training loss of the last tenth, in nats per token.
    """
    sweep = open_sweep(run, steps=150, batch_size=8, eval_every=25)
    # like ranks stand together, so that adapters of one step need little padding
    plan = list(product(ranks, alpha_rules, lrs, seeds))
    results = sweep.train(Job(_config(r, rule), lr, seed) for r, rule, lr, seed in plan)
    rows = [_row(*one, result.history) for one, result in zip(plan, results, strict=True)]
    return rows + [_full_row(sweep, lr, seed) for lr in full_lrs for seed in seeds]


def _config(r: int, rule: str) -> LoraConfig:
    return all_linear(r, ALPHA_RULES[rule](r))


def _full_row(sweep: Sweep, lr: float, seed: int) -> dict[str, Any]:
    """Full fine-tuning from the pretrained weights, on the same batches as the adapters."""
    at = sweep.at
    seed_everything(seed)
    model, _ = load_base(at.base, dtype=getattr(torch, at.dtype), device=at.device)
    history = fit(
        model,
        TokenBatches(sweep.train_ids, at.batch_size, at.length, seed=seed, device=at.device),
        steps=at.steps,
        lr=lr,
        seed=seed,
        valid=sweep.valid,
        eval_every=at.eval_every,
        progress=at.progress,
    )
    return _row(None, "full fine-tuning", lr, seed, history)


def _row(r: int | None, rule: str, lr: float, seed: int, history: Any) -> dict[str, Any]:
    return {
        "r": r,
        "rule": rule,
        "lr": lr,
        "seed": seed,
        "best": history.best,
        "last": history.last,
        "train": last_tenth(history.losses),
    }


_FULL: dict[str, Any] = {
    "base": "decoder",
    "steps": 400,
    "batch_size": 16,
    "length": 128,
    "seeds": [0, 1, 2, 3, 4],
    "device": "cuda",
}
_FULL_SWEEP: dict[str, Any] = {
    **_FULL,
    "ranks": [1, 2, 4, 8, 16, 32, 64, 128],
    "lrs": [3e-4, 1e-3, 3e-3],
    "eval_every": 50,
    "full_lrs": [1e-4, 3e-4, 1e-3],
    "valid_blocks": 116,
    "jobs_at_once": 40,
}
_TINY: dict[str, Any] = {
    "base": "nano",
    "steps": 4,
    "batch_size": 2,
    "length": 16,
    "seeds": [0],
    "valid_blocks": 4,
    "device": "cpu",
    "dtype": "float64",
}
_TINY_SWEEP: dict[str, Any] = {
    **_TINY,
    "ranks": [1, 4],
    "lrs": [2e-3],
    "eval_every": 2,
    "full_lrs": [1e-3],
}

RECORDINGS = {
    "01_update_spectrum": (
        update_spectrum,
        {**_FULL, "ranks": [0, 1, 2, 4, 8, 16, 32, 64, 128, 256], "lr": 5e-4},
        {**_TINY, "ranks": [0, 1, 4, 64], "lr": 2e-3},
    ),
    "01_rank_sweep": (
        rank_sweep,
        {**_FULL_SWEEP, "lrs": [3e-4, 1e-3, 3e-3, 1e-2]},
        {**_TINY_SWEEP, "seeds": [0, 1]},
    ),
    "01_rank_sweep_little_data": (
        rank_sweep,
        {**_FULL_SWEEP, "alpha_rules": ["alpha = 2r"], "train_tokens": 12_000},
        {**_TINY_SWEEP, "train_tokens": 2_000},
    ),
    # the same with alpha fixed too, lower rates, and seeds of its own (10, 11) to tune on
    "01_rank_sweep_little_data_tuned": (
        rank_sweep,
        {
            **_FULL_SWEEP,
            "ranks": [1, 8, 32, 128],
            "lrs": [3e-5, 1e-4, 3e-4, 1e-3],
            "seeds": [0, 1, 2, 3, 4, 10, 11],
            "eval_every": 25,
            "full_lrs": [1e-5, 3e-5, 1e-4, 3e-4],
            "train_tokens": 12_000,
        },
        {**_TINY_SWEEP, "train_tokens": 2_000, "full_lrs": []},
    ),
}
"""Name -> (experiment, settings of the recorded GPU run, settings of its fingerprint)."""
