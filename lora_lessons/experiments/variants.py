"""Variants of LoRA by one protocol: a grid of rates for each, then fresh seeds at the best.

All arms see the same batches and train the same layers. The grid's rates are a factor of about
three apart and as many for each arm, centred where its best was expected; while the best lies at
an edge the grid is extended, so that every optimum is inside.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from ..base.tokens import TokenBatches
from ..errors import nearest_and_known
from ..lora.model import PeftModel, get_peft_model
from ..lora.more.variants.lora_fa import freeze_A
from ..seeding import seed_everything
from ..train.loop import fit
from .progress import each
from .sweeps import Sweep, open_sweep
from .task import all_linear, best_rate

LADDER = (3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
"""The rates that a grid may hold."""
PLAIN = "LoRA"


class Arm(NamedTuple):
    """What a variant changes of plain LoRA, and the rate (of A) that its grid is centred on."""

    options: Mapping[str, Any]  # of LoraConfig
    centre: float
    ratio: float = 1.0  # LoRA+: B's rate by A's
    frozen_A: bool = False  # LoRA-FA


ARMS = {
    PLAIN: Arm({}, 1e-3),
    "rsLoRA": Arm({"use_rslora": True}, 3e-4),
    "DoRA": Arm({"use_dora": True}, 1e-3),
    "PiSSA": Arm({"init_lora_weights": "pissa"}, 3e-4),
    "OLoRA": Arm({"init_lora_weights": "olora"}, 3e-4),
    "orthogonal": Arm({"init_lora_weights": "orthogonal"}, 1e-3),
    "LoRA+": Arm({}, 1e-4, ratio=16.0),
    "LoRA-FA": Arm({}, 1e-3, frozen_A=True),
}


class Bench(NamedTuple):
    """What all arms share: the base, its text and the length of a run; the adapter's size."""

    sweep: Sweep
    r: int
    alpha: int


def make_bench(r: int = 8, alpha: int = 16, **run: Any) -> Bench:
    """The bench for a base and Moby Dick. `run`: see `RunSettings`."""
    return Bench(open_sweep(run, valid_blocks=48), r, alpha)


def adapted(model: nn.Module, arm: Arm, r: int = 8, alpha: int = 16) -> PeftModel:
    """The model with this variant on all linear layers of its blocks; the model is changed."""
    wrapped = get_peft_model(model, all_linear(r, alpha, **arm.options))
    if arm.frozen_A:
        freeze_A(wrapped)
    return wrapped


def run_arm(bench: Bench, name: str, lr: float, seed: int) -> dict[str, Any]:
    """One run: {"arm", "lr", "seed", "before", "loss"}, losses on the validation blocks.

    The base is copied: PiSSA and OLoRA change W. Raises ValueError for an arm that is not known.
    """
    if name not in ARMS:
        raise ValueError(f"no arm {name!r}{nearest_and_known(name, ARMS)}")
    arm, (model, train_ids, valid, at) = ARMS[name], bench.sweep
    seed_everything(seed)
    history = fit(
        adapted(copy.deepcopy(model), arm, bench.r, bench.alpha),
        TokenBatches(train_ids, at.batch_size, at.length, seed, at.device),
        steps=at.steps,
        lr=lr,
        lr_ratio=arm.ratio,
        valid=valid,
        compile=False,
        seed=seed,
        progress=False,
    )
    # a run that diverged is not evaluated again at its end
    loss = math.nan if history.diverged else history.last
    return {"arm": name, "lr": lr, "seed": seed, "before": history.eval_losses[0], "loss": loss}


def grid(centre: float, width: int) -> list[float]:
    """`width` rates of the ladder around the centre; an odd number."""
    middle = LADDER.index(centre)
    return list(LADDER[middle - width // 2 : middle + width // 2 + 1])


def tune(bench: Bench, name: str, seeds: Sequence[int], width: int = 5) -> list[dict[str, Any]]:
    """An arm's runs on the tuning seeds, over a grid that is extended until the best is inside."""
    rates = grid(ARMS[name].centre, width)
    rows = [run_arm(bench, name, lr, seed) for lr in rates for seed in seeds]
    while (beyond := one_further(rates, best_rate(rows, arm=name))) is not None:
        rates = sorted([*rates, beyond])
        rows += [run_arm(bench, name, beyond, seed) for seed in seeds]
    return rows


def one_further(rates: Sequence[float], best: float) -> float | None:
    """The next rate of the ladder where the best one lies at an edge of the grid, else None."""
    place = LADDER.index(best)
    if best == min(rates) and place > 0:
        return LADDER[place - 1]
    if best == max(rates) and place + 1 < len(LADDER):
        return LADDER[place + 1]
    return None


def tune_and_measure(
    arms: Sequence[str] = tuple(ARMS),
    tuning_seeds: Sequence[int] = (10, 11),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    width: int = 5,
    common: Sequence[float] = (),
    progress: bool = False,
    **bench: Any,
) -> dict[str, Any]:
    """Choose each arm's rate on the tuning seeds, then measure it on fresh seeds.

    Args:
        width: how many rates an arm's grid has at first.
        common: rates at which every arm is measured on the fresh seeds too, tuned or not.
        bench: see `make_bench`.

    Returns `chosen` (arm -> rate), `trained` (arm -> how many numbers), `tuning` and `rows`.
    """
    shared = make_bench(**bench)
    tuning: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    chosen: dict[str, float] = {}
    for name in each(arms, "arms", progress):
        tuning += tune(shared, name, tuning_seeds, width)
        chosen[name] = best_rate(tuning, arm=name)
        rates = dict.fromkeys([chosen[name], *common])
        rows += [run_arm(shared, name, lr, seed) for lr in rates for seed in seeds]
    trained = {name: trained_numbers(shared, name) for name in arms}
    return {"chosen": chosen, "trained": trained, "tuning": tuning, "rows": rows}


def trained_numbers(bench: Bench, name: str) -> int:
    """How many numbers an arm trains."""
    model = adapted(copy.deepcopy(bench.sweep.model), ARMS[name], bench.r, bench.alpha)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def at_rates(
    rates: Mapping[str, Sequence[float]],
    seeds: Sequence[int] = (0, 1),
    progress: bool = False,
    **bench: Any,
) -> list[dict[str, Any]]:
    """The arms at given rates on given seeds, one row a run: the notebook's live runs."""
    shared = make_bench(**bench)
    plan = [(arm, lr, seed) for arm, lrs in rates.items() for lr in lrs for seed in seeds]
    return [run_arm(shared, *one) for one in each(plan, "runs", progress)]
