"""Lesson 04's comparisons, seed by seed, and the tables on the page."""

from __future__ import annotations

from statistics import mean
from typing import Any

from ..statistics import Gap, by_seed, gaps_against, plus_minus
from ..tables import Table
from .figures import arms, in_steps, steps_to, target_loss

Result = dict[str, Any]
Arm = dict[Any, float]
NONE = "p = 0"


def arm_table(result: Result) -> Table:
    """Each arm at the learning rate with its lowest best loss."""
    cells = [
        [arm.name, f"{arm.lr:g}", f"{arm.best:.3f} ± {arm.best_half:.3f}",
         f"{arm.last:.3f} ± {arm.last_half:.3f}", f"{arm.train:.3f}"]
        for arm in arms(result)
    ]  # fmt: skip
    head = ["arm", "best rate", "best loss ± 95 %", "last loss ± 95 %", "training loss"]
    return Table(head, cells)


def _names(result: Result) -> dict[str, tuple[float, float]]:
    """{"p = 0": (p, weight decay)}, in the order of the figures."""
    return {arm.name: (arm.p, arm.decay) for arm in arms(result)}


def _cell(result: Result, key: tuple[float, float], lr: float, measure: str) -> Arm:
    return by_seed(result["rows"], measure, p=key[0], decay=key[1], lr=lr)


def tuned(
    result: Result, key: tuple[float, float], measure: str = "best", others: bool = False
) -> Arm:
    """{seed: loss} of one arm at its best rate; `others`: each seed's rate is chosen on the rest.

    A rate that was chosen on the seed it is reported on looks a little better than it is.
    """
    rates = sorted({row["lr"] for row in result["rows"]})
    at = {lr: _cell(result, key, lr, measure) for lr in rates}

    def rate(without: Any = None) -> float:
        return min(rates, key=lambda lr: mean(v for s, v in at[lr].items() if s != without))

    if not others:
        return at[rate()]
    return {seed: at[rate(seed)][seed] for seed in at[rates[0]]}


def best_gaps(result: Result, measure: str = "best", others: bool = False) -> list[Gap]:
    """Each arm less p = 0, each at its own learning rate."""
    named = {name: tuned(result, key, measure, others) for name, key in _names(result).items()}
    return gaps_against(named, NONE, "each arm against p = 0")


def by_p(result: Result, others: bool = False) -> dict[float, Arm]:
    """{p: {seed: best loss}} of the arms without weight decay."""
    keys = _names(result).values()
    return {p: tuned(result, (p, decay), others=others) for p, decay in keys if not decay}


def cost_gaps(result: Result, lr: float) -> list[Gap]:
    """Last minus best validation loss of each arm at one rate, less that of p = 0."""

    def cost(key: tuple[float, float]) -> Arm:
        best, last = (_cell(result, key, lr, measure) for measure in ("best", "last"))
        return {seed: last[seed] - best[seed] for seed in best}

    named = {name: cost(key) for name, key in _names(result).items()}
    return gaps_against(named, NONE, "the cost of going on, each arm against p = 0")


def steps_table(result: Result, lr: float) -> Table:
    """Steps to a fixed training and a fixed validation loss at one rate."""
    targets = {key: target_loss(result, key) for key in ("train", "valid")}
    needed = {key: steps_to(result, key, target) for key, target in targets.items()}
    cells = [
        [f"p = {p:g}", in_steps(train), in_steps(valid)]
        for (p, rate, train), (_, _, valid) in zip(*needed.values(), strict=True)
        if rate == lr
    ]
    head = [f"{key} loss {target:.3f}" for key, target in targets.items()]
    return Table(["", *head], cells, f"steps to a loss at learning rate {lr:g}")


def delay_gaps(result: Result, lr: float) -> list[Gap]:
    """Steps to the validation loss of each p less those of p = 0, where all seeds got there."""
    seeds = list(dict.fromkeys(row["seed"] for row in result["rows"]))
    table = steps_to(result, "valid", target_loss(result, "valid"))
    named = {
        f"p = {p:g}": dict(zip(seeds, needed, strict=True))
        for p, rate, needed in table
        if rate == lr and None not in needed
    }
    return gaps_against(named, NONE, "each p against p = 0")


def flattery_table(result: Result) -> Table:
    """How far each arm's best loss lies below its loss at one step for all seeds."""
    cells = []
    for arm in arms(result):
        rows = [r for r in result["rows"] if (r["p"], r["decay"], r["lr"]) == arm[:3]]
        means = [mean(losses) for losses in zip(*(row["valid"] for row in rows), strict=True)]
        at = means.index(min(means))
        picks = [row["valid"][at] - row["best"] for row in rows]
        step = f"{at * result['eval_every']}"
        cells.append([arm.name, step, f"{means[at]:.3f}", plus_minus(picks, 4)])
    head = ["arm", "best step for all", "loss there", "gained by picking each seed's own step"]
    return Table(head, cells)
