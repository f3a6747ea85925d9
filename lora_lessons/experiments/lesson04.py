"""The experiments of lesson 04: what dropout on the LoRA branch costs, and what it saves.

The pieces of the first part stand in for a learner's unsolved exercises. `dropout_sweep` runs small
in the notebook; its recorded runs have more arms, rates and steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from statistics import mean
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..base.tokens import TokenBatches
from ..lora.layer import LoraLinear
from ..lora.model import get_peft_model
from ..seeding import generator, seed_everything
from ..train.fast.sweep import Job, JobResult
from ..train.loop import evaluate, fit
from ..train.modes import evaluation_mode
from .sweeps import open_sweep
from .task import all_linear, as_loss, load_task

SIZES: dict[str, dict[str, Any]] = {
    "quick": {"steps": 6, "blocks": 4, "ps": (0.0, 0.9), "seeds": (0,)},
    "small": {"steps": 90, "blocks": 16, "ps": (0.0, 0.1, 0.5, 0.9), "seeds": (0, 1, 2)},
    "full": {"steps": 200, "blocks": 64, "ps": (0.0, 0.1, 0.5, 0.9), "seeds": (0, 1, 2)},
}
"""The size of the notebook's live runs for each preset (`ll.preset()`)."""

LITTLE = 3_000
"""Tokens of the live runs' training text: the nano model over-fits 3,000 in 90 steps."""

# --- 1. The branch, the layer, the penalty ---------------------------------------------------


def dropped_branch(
    x: Tensor, noise: Tensor, A: Tensor, B: Tensor, scaling: float, p: float
) -> Tensor:
    """s B A (x ⊙ mask / (1 - p)) for x (..., in), where the mask is noise >= p: (..., out)."""
    return scaling * (x * (noise >= p) / (1 - p)) @ A.T @ B.T


def implied_penalty(X: Tensor, W_base: Tensor, W_tuned: Tensor, p: float) -> float:
    """p / (1 - p) Σ_j E[x_j²] ‖ΔW_j‖² for inputs X (n, in) and ΔW = W_tuned - W_base (out, in)."""
    columns = (W_tuned - W_base).square().sum(0)  # (in,)
    return (p / (1 - p) * X.square().mean(0) @ columns).item()


def package_layer(linear: nn.Linear, A: Tensor, B: Tensor, scaling: float, p: float) -> nn.Module:
    """The package's layer with these factors: A (r, in), B (out, r)."""
    layer = LoraLinear(linear, r=len(A), lora_alpha=scaling * len(A), lora_dropout=p)
    with torch.no_grad():
        layer.lora_A["default"].weight.copy_(A)
        layer.lora_B["default"].weight.copy_(B)
    return layer


def measure_quietly(model: nn.Module, measure: Callable[[nn.Module], Any]) -> Any:
    """measure(model) in evaluation mode and without gradients; each module's mode restored."""
    with evaluation_mode(model):
        return measure(model)


class OneLayer(NamedTuple):
    """A frozen layer of random numbers, its factors, and rows of input x (n, in)."""

    linear: nn.Linear
    A: Tensor
    B: Tensor
    scaling: float
    x: Tensor


def one_layer(dtype: torch.dtype = torch.float32) -> OneLayer:
    """A layer (31 -> 23) with an update of rank 4 that is not zero, and 8 rows of input.

    The numbers are the same in every dtype, up to rounding.
    """
    gen, in_, out, r = generator(0), 31, 23, 4
    draw = lambda *shape: torch.randn(*shape, generator=gen, dtype=torch.float64)  # noqa: E731
    linear = nn.Linear(in_, out, dtype=dtype).requires_grad_(False)
    linear.weight.copy_(draw(out, in_) / in_**0.5)
    linear.bias.copy_(draw(out))
    A, B, x = draw(r, in_) / in_**0.5, draw(out, r) / r**0.5, draw(8, in_) + 0.5
    return OneLayer(linear, A.to(dtype), B.to(dtype), 0.5, x.to(dtype))


def penalty_by_sampling(
    ps: Sequence[float] = (0.0, 0.05, 0.1, 0.3, 0.5, 0.6, 0.8, 0.9), masks: int = 4000
) -> list[dict[str, float]]:
    """The squared loss with masks minus that without, by sampling, and by the closed form.

    One row for each p, with the standard error of the sampled value. The loss is the mean over the
    rows of x of ‖target - h‖². The targets are random: the penalty does not depend on them.
    """
    linear, A, B, scaling, x = one_layer(torch.float64)
    gen = generator(1)
    missing = torch.randn(len(x), len(B), generator=gen, dtype=x.dtype)  # target - W x - b
    plain = (missing - scaling * x @ A.T @ B.T).square().sum(1).mean()
    W = linear.weight
    rows = []
    for p in ps:
        noise = torch.rand(masks, *x.shape, generator=gen, dtype=x.dtype)
        branch = dropped_branch(x, noise, A, B, scaling, p)  # (masks, n, out)
        extra = (missing - branch).square().sum(2).mean(1) - plain  # (masks,)
        rows.append(
            {
                "p": p,
                "sampled": extra.mean().item(),
                "error": (extra.std() / masks**0.5).item(),
                "formula": implied_penalty(x, W, W + scaling * B @ A, p),
            }
        )
    return rows


# --- 2. One run that learns a small text by heart --------------------------------------------


def one_small_run(
    p: float = 0.0,
    lr: float = 2e-3,
    r: int = 8,
    steps: int = 90,
    eval_every: int = 15,
    batch_size: int = 4,
    length: int = 32,
    train_tokens: int = LITTLE,
    blocks: int = 16,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """Fine-tune the nano model on little text, with two held-out sets of `blocks` blocks each.

    Returns the adapted model, the steps, and three curves of losses measured without dropout:
    train (the text that it learns), valid and test.
    """
    model, ids, held_out = load_task("nano", length, device)
    text = ids[:train_tokens]
    sets = {
        "train": text[: blocks * length].view(-1, length),
        "valid": held_out[:blocks],
        "test": held_out[blocks : 2 * blocks],
    }
    curves: dict[str, list[float]] = {name: [] for name in sets}

    def measure(model: nn.Module) -> float:
        for name, of in sets.items():
            curves[name].append(evaluate(model, of))
        return curves["valid"][-1]

    seed_everything(seed)
    adapted = get_peft_model(model, all_linear(r, lora_dropout=p))
    batches = TokenBatches(text, batch_size, length, seed=seed, device=device)
    how = {"steps": steps, "lr": lr, "eval_every": eval_every, "seed": seed}
    history = fit(adapted, batches, valid=measure, progress=False, **how)
    return {"model": adapted, "blocks": sets["train"], "steps": history.eval_steps, **curves}


def stopping_report(
    train: Sequence[float], valid: Sequence[float], test: Sequence[float]
) -> tuple[int, float, float]:
    """(where to stop, the test loss there, what it costs to go on to the end)."""
    at = min(range(len(valid)), key=lambda i: as_loss(valid[i]))
    return at, test[at], test[-1] - test[at]


# --- 3. Loss against p -----------------------------------------------------------------------


def dropout_sweep(
    ps: Sequence[float] = (0.0, 0.1, 0.5, 0.9),
    decays: Sequence[float] = (),
    lrs: Sequence[float] = (2e-3,),
    seeds: Sequence[int] = (0, 1, 2),
    r: int = 8,
    **run: Any,
) -> dict[str, Any]:
    """Train one adapter for every (p, learning rate, seed), and at p = 0 for every weight decay.

    `run`: see `RunSettings`. Returns `eval_every` and `rows`, one a run: p, decay, lr, seed; best
    and last validation loss; and two curves in nats per token. valid[i] belongs to step
    i * eval_every and is measured without dropout; train[i] is the mean training loss of the
    eval_every steps up to the end of window i, measured *with* dropout, as training sees it.
    """
    sweep = open_sweep(run, steps=90, length=32, eval_every=15, train_tokens=LITTLE)
    # p = 0 and its weight decays stand together: a step without dropout is cheaper
    arms = [(ps[0], 0.0), *[(0.0, decay) for decay in decays], *[(p, 0.0) for p in ps[1:]]]
    results = sweep.train(
        Job(all_linear(r, lora_dropout=p), lr, seed, weight_decay=decay)
        for (p, decay), lr, seed in product(arms, lrs, seeds)
    )
    every = sweep.at.eval_every
    return {"eval_every": every, "rows": [_row(result, every) for result in results]}


def _row(result: JobResult, eval_every: int) -> dict[str, Any]:
    job, history = result.job, result.history
    losses = history.losses
    return {
        "p": job.config.lora_dropout,
        "decay": job.weight_decay,
        "lr": job.lr,
        "seed": job.seed,
        "best": history.best,
        "last": history.last,
        "valid": history.eval_losses,
        "train": [mean(losses[i : i + eval_every]) for i in range(0, len(losses), eval_every)],
    }


_DECODER = {
    "base": "decoder",
    "ps": [0.0, 0.05, 0.1, 0.3, 0.6, 0.9],
    "seeds": [0, 1, 2, 3, 4],
    "r": 8,
    "length": 64,
    "valid_blocks": 96,
    "device": "cuda",
}
_TINY = {
    "base": "nano",
    "ps": [0.0, 0.5],
    "lrs": [2e-3],
    "seeds": [0],
    "r": 2,
    "steps": 4,
    "batch_size": 2,
    "length": 16,
    "eval_every": 2,
    "valid_blocks": 4,
    "dtype": "float64",
}

RECORDINGS = {
    "04_dropout_little_data": (
        dropout_sweep,
        {
            **_DECODER,
            "decays": [0.1, 1.0, 10.0],
            "lrs": [1e-4, 3e-4, 1e-3, 3e-3],
            "steps": 480,
            "batch_size": 4,
            "eval_every": 40,
            "jobs_at_once": 80,
            "train_tokens": 12_000,
        },
        {**_TINY, "decays": [1.0], "train_tokens": 2_000},
    ),
    "04_dropout_full_data": (
        dropout_sweep,
        {
            **_DECODER,
            "lrs": [1e-3, 3e-3, 1e-2],
            "steps": 200,
            "batch_size": 8,
            "eval_every": 10,
            "jobs_at_once": 45,
            "train_tokens": None,
        },
        {**_TINY, "train_tokens": None},
    ),
}
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
