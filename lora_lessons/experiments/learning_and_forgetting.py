"""LoRA and full fine-tuning side by side: what a run learns of one text, and forgets of another.

Every arm starts from the same base and sees the same batches of Moby Dick. Along the way its loss
is read on several texts: the target (chapters it does not train on), the base (State of the Union
addresses that pretraining left out) and what it trains on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..base.load import load_base
from ..base.text import load_text
from ..base.tokens import TokenBatches, blocks, encode
from ..errors import nearest_and_known
from ..lora.config import LoraConfig
from ..train.fast.sweep import Evaluator, Job, train_many
from ..train.loop import evaluate, fit
from .task import all_linear, as_loss, best_rate, load_task

_BASE_IDS: dict[str, Tensor] = {}
"""A base's held-out addresses, in tokens: a notebook asks for them several times."""


class Arm(NamedTuple):
    """A way to train: an adapter of rank r, or every weight (r = None)."""

    r: int | None
    alpha: int = 16
    decay: float = 0.0

    def config(self) -> LoraConfig:
        """The adapter on all linear layers of the blocks."""
        return all_linear(self.r, self.alpha)


ARMS = {
    "LoRA, r = 8": Arm(8),
    "LoRA, r = 64": Arm(64),
    "full": Arm(None),
    "full, decay 0.1": Arm(None, decay=0.1),
    "full, decay 1": Arm(None, decay=1.0),
}
"""Name -> arm. alpha stays 16 at both ranks, so that one grid of rates serves both (lesson 01)."""


@dataclass
class Bench:
    """What all runs of a comparison share: the base, its text, and the texts that are measured."""

    model: nn.Module
    start: dict[str, Tensor]
    train_ids: Tensor
    texts: dict[str, Tensor]
    steps: int
    batch_size: int
    length: int
    eval_every: int
    jobs_at_once: int

    def eval_steps(self) -> list[int]:
        """The steps at which every text is measured, the first and the last included."""
        between = range(0, self.steps, self.eval_every or self.steps)
        return [*between, self.steps]


def make_bench(
    base: str = "nano",
    texts: Sequence[str] = ("target", "base"),
    steps: int = 100,
    batch_size: int = 8,
    length: int = 64,
    eval_every: int = 10,
    blocks_each: int = 24,
    train_tokens: int | None = None,
    jobs_at_once: int = 20,
    device: str = "cpu",
    dtype: str = "float32",
) -> Bench:
    """Load the base and `blocks_each` blocks of each text, spread over the whole of it.

    `train_tokens` cuts the training text to its first tokens (None: all of Moby Dick).
    """
    model, train, valid = load_task(base, length, device, getattr(torch, dtype))
    train = train[:train_tokens]
    of = {
        "target": lambda: valid,
        "base": lambda: blocks(base_ids(base), length),
        "train": lambda: blocks(train, length),
    }
    return Bench(
        model=model,
        start={name: value.clone() for name, value in model.state_dict().items()},
        train_ids=train,
        texts={name: spread(of[name](), blocks_each).to(device) for name in texts},
        steps=steps,
        batch_size=batch_size,
        length=length,
        eval_every=eval_every,
        jobs_at_once=jobs_at_once,
    )


def base_ids(base: str) -> Tensor:
    """The held-out part of what the base was pretrained on, (n,) token ids."""
    if base not in _BASE_IDS:
        tokenizer = load_base(base)[1]
        _BASE_IDS[base] = encode(tokenizer, load_text("pretraining").valid)
    return _BASE_IDS[base]


def spread(rows: Tensor, count: int) -> Tensor:
    """`count` rows of (n, T), evenly from the first to the last; all where there are fewer."""
    chosen = torch.linspace(0, len(rows) - 1, min(count, len(rows))).round().long()
    return rows[chosen]


# --- Runs ------------------------------------------------------------------------------------


def run_arm(
    bench: Bench, name: str, lrs: Sequence[float], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """One row for each (learning rate, seed): arm, lr, seed, and a curve for each text.

    curve[i] belongs to `bench.eval_steps()[i]`; after a run diverged it holds nan.
    Raises ValueError for an arm that is not known.
    """
    if name not in ARMS:
        raise ValueError(f"no arm {name!r}{nearest_and_known(name, ARMS)}")
    arm, plan = ARMS[name], list(product(lrs, seeds))
    if arm.r is None:
        curves = [_full_run(bench, arm, lr, seed) for lr, seed in plan]
    else:
        curves = []
        for start in range(0, len(plan), bench.jobs_at_once):
            curves += _lora_runs(bench, arm, plan[start : start + bench.jobs_at_once])
    return [
        {"arm": name, "lr": lr, "seed": seed, **_padded(bench, curve)}
        for (lr, seed), curve in zip(plan, curves, strict=True)
    ]


def _lora_runs(
    bench: Bench, arm: Arm, plan: Sequence[tuple[float, int]]
) -> list[dict[str, list[float]]]:
    """Many adapters in one step; one dict of curves for each."""
    curves: list[dict[str, list[float]]] = [{text: [] for text in bench.texts} for _ in plan]

    def measure(losses: Evaluator) -> list[float]:
        for text, rows in bench.texts.items():
            for curve, loss in zip(curves, losses(rows), strict=True):
                curve[text].append(loss)
        return [curve[next(iter(bench.texts))][-1] for curve in curves]

    train_many(
        bench.model,
        [Job(arm.config(), lr, seed) for lr, seed in plan],
        bench.train_ids,
        steps=bench.steps,
        batch_size=bench.batch_size,
        length=bench.length,
        valid=measure,
        eval_every=bench.eval_every,
        compile=False,
        progress=False,
    )
    return curves


def _full_run(bench: Bench, arm: Arm, lr: float, seed: int) -> dict[str, list[float]]:
    """Every weight trained from the pretrained ones, which stand in the model again afterwards."""
    curves: dict[str, list[float]] = {text: [] for text in bench.texts}

    def measure(model: nn.Module) -> float:
        for text, rows in bench.texts.items():
            curves[text].append(evaluate(model, rows))
        return curves[next(iter(curves))][-1]

    device = next(bench.model.parameters()).device
    try:
        fit(
            bench.model.requires_grad_(True),
            TokenBatches(bench.train_ids, bench.batch_size, bench.length, seed, device),
            steps=bench.steps,
            lr=lr,
            weight_decay=arm.decay,
            valid=measure,
            eval_every=bench.eval_every,
            compile=False,
            seed=seed,
            progress=False,
        )
    finally:
        bench.model.load_state_dict(bench.start)
    return curves


def _padded(bench: Bench, curves: dict[str, list[float]]) -> dict[str, list[float]]:
    length = len(bench.eval_steps())
    return {text: (curve + [math.nan] * length)[:length] for text, curve in curves.items()}


def trained_numbers(bench: Bench, name: str) -> int:
    """How many numbers an arm trains."""
    arm = ARMS[name]
    if arm.r is None:
        return sum(p.numel() for p in bench.model.parameters())
    layers = [m for n, m in bench.model.named_modules() if _is_target(n, m)]
    return sum(arm.r * (layer.in_features + layer.out_features) for layer in layers)


def _is_target(name: str, module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) and "lm_head" not in name


# --- Tune, then measure ----------------------------------------------------------------------


def score(row: Mapping[str, Any], by: str) -> float:
    """A run's loss on the target: the "last" or the "best" after the first step."""
    losses = [as_loss(loss) for loss in row["target"][1:]]
    return losses[-1] if by == "last" else min(losses)


def tune_and_measure(
    rates: Mapping[str, Sequence[float]],
    tuning_seeds: Sequence[int] = (10, 11, 12),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    by: str = "last",
    all_rates: bool = False,
    rivals: Sequence[tuple[str, str, float]] = (),
    **bench: Any,
) -> dict[str, Any]:
    """Choose each arm's learning rate on the tuning seeds, then measure it on fresh seeds.

    Args:
        rates: arm -> the learning rates that are tried.
        by: what is chosen by, see `score`.
        all_rates: measure every rate on the fresh seeds, not the chosen one alone.
        rivals: (arm, of, factor): the arm at `factor` times the rate chosen for `of`.
        bench: see `make_bench`.

    Returns `eval_steps`; `before` and `trained`; `chosen` (arm -> rate); `tuning` and `rows`, one
    a run, as `run_arm` makes them.
    """
    shared = make_bench(**bench)
    before = {text: evaluate(shared.model, rows) for text, rows in shared.texts.items()}
    tuning = [row for arm, lrs in rates.items() for row in run_arm(shared, arm, lrs, tuning_seeds)]
    chosen = {arm: best_rate(tuning, lambda row: score(row, by), arm=arm) for arm in rates}
    rows = []
    for arm, lrs in rates.items():
        rows += run_arm(shared, arm, lrs if all_rates else [chosen[arm]], seeds)
    for arm, of, factor in rivals:
        rows += run_arm(shared, arm, [factor * chosen[of]], seeds)
    return {
        "eval_steps": shared.eval_steps(),
        "before": before,
        "trained": {arm: trained_numbers(shared, arm) for arm in rates},
        "chosen": chosen,
        "tuning": tuning,
        "rows": rows,
    }


def measure_at(
    rates: Mapping[str, Sequence[float]], seeds: Sequence[int] = (0, 1, 2, 3, 4), **bench: Any
) -> dict[str, Any]:
    """The arms at given rates on the given seeds: for longer runs at rates chosen before."""
    shared = make_bench(**bench)
    rows = [row for arm, lrs in rates.items() for row in run_arm(shared, arm, lrs, seeds)]
    return {"eval_steps": shared.eval_steps(), "rows": rows}


def batch_sizes(
    sizes: Mapping[str, Mapping[str, Sequence[float]]], tokens: int, **how: Any
) -> dict[str, Any]:
    """`tune_and_measure` at several batch sizes, each for as many steps as give `tokens` tokens.

    `sizes`: batch size -> the rates of each arm. (A size is text: the keys of JSON are.)
    """
    found = {}
    for size, rates in sizes.items():
        steps = tokens // (int(size) * how["length"])
        found[size] = tune_and_measure(
            rates, batch_size=int(size), steps=steps, eval_every=max(1, steps // 4), **how
        )
    return found
