"""LoRA against full fine-tuning: four questions, each asked of the rows of an experiment.

Equal steps; an equal target loss, each arm at its best rate; an equal target loss, each arm at the
rate that forgets least; and the same with more steps at a low rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from ...experiments.gaps import Gap, holm, paired_gap
from ...experiments.lesson10 import forgetting_at
from ..tables import Table

Data = Mapping[str, Any]
Rows = list[Mapping[str, Any]]
Forget = Callable[[Sequence[float], Sequence[float], float], float | None]

LORA, LARGE, FULL = "LoRA, r = 8", "LoRA, r = 64", "full"
SAME = "forgetting at an equal target loss"


def runs(rows: Rows, arm: str, lr: float) -> Rows:
    """The rows of one arm at one learning rate."""
    return [row for row in rows if row["arm"] == arm and math.isclose(row["lr"], lr)]


def rates(rows: Rows, arm: str) -> list[float]:
    """The learning rates of an arm, lowest first."""
    return sorted({row["lr"] for row in rows if row["arm"] == arm})


def arms(rows: Rows) -> list[str]:
    """The arms, in the order of the rows."""
    return list(dict.fromkeys(row["arm"] for row in rows))


def at_the_end(rows: Rows, text: str) -> dict[int, float]:
    """{seed: the loss on a text after the last step}."""
    return {row["seed"]: row[text][-1] for row in rows}


def at_goal(
    rows: Rows, goal: float, forget: Forget = forgetting_at, text: str = "base", by: str = "target"
) -> dict[int, float] | None:
    """{seed: the loss on `text` where the loss on `by` first reaches the goal}; None if in any seed
    it never does."""
    found = {row["seed"]: forget(row[by], row[text], goal) for row in rows}
    return None if None in found.values() or not found else found


def steps_to(rows: Rows, steps: Sequence[int], goal: float) -> float | None:
    """The mean number of steps to the goal; None if a seed never reaches it."""
    found = [forgetting_at(row["target"], steps, goal) for row in rows]
    return None if None in found or not found else mean(found)


def late_goal(data: Data, arm: str = LORA) -> float:
    """The target loss, to 0.01, that every run of an arm reaches at its chosen rate."""
    every = [*data["tuning"], *data["rows"]]
    reached = [min(row["target"]) for row in runs(every, arm, data["chosen"][arm])]
    return math.ceil(100 * max(reached)) / 100


def name(arm: str, lr: float) -> str:
    """An arm and its rate: "full, 2.5e-04"."""
    return f"{arm}, {lr:.3g}"


def _gap(one: tuple[str, float], other: tuple[str, float], find: Callable[..., Any]) -> Gap:
    return paired_gap(find(*one), find(*other), (name(*one), name(*other)))


def equal_steps(data: Data, arm: str = LORA) -> dict[str, Gap]:
    """Text -> how far LoRA lies above full fine-tuning after the same steps, each at its best
    rate."""
    pair = [(a, data["chosen"][a]) for a in (arm, FULL)]
    return {
        text: _gap(*pair, lambda a, lr, text=text: at_the_end(runs(data["rows"], a, lr), text))
        for text in ("target", "base")
    }


def gentlest_rate(rows: Rows, arm: str, goal: float) -> float | None:
    """The rate whose runs have the lowest mean base loss at the goal; None if none reaches it."""
    found = {lr: at_goal(runs(rows, arm, lr), goal) for lr in rates(rows, arm)}
    means = {lr: mean(values.values()) for lr, values in found.items() if values}
    return min(means, key=means.__getitem__, default=None)


def equal_target(data: Data, goal: float, slow: Data | None = None) -> list[Gap]:
    """LoRA's base loss less full fine-tuning's at one goal, as one family.

    Each at its best rate for the end; each at the rate that forgets least, which the tuning seeds
    choose; and, from `slow`, each at a low rate for more steps. Pairs of which one never reaches
    the goal are left out.
    """
    gaps = []
    for arm in (a for a in (LORA, LARGE) if a in data["chosen"]):
        pairs = [(data["rows"], (arm, data["chosen"][arm]), (FULL, data["chosen"][FULL]))]
        gentle = [gentlest_rate(data["tuning"], a, goal) for a in (arm, FULL)]
        if None not in gentle:
            pairs.append((data["rows"], (arm, gentle[0]), (FULL, gentle[1])))
        if slow is not None and arm in arms(slow["rows"]):
            lows = [(a, rates(slow["rows"], a)[0]) for a in (arm, FULL)]
            pairs.append((slow["rows"], *lows))
        for rows, one, other in pairs:
            found = [at_goal(runs(rows, *which), goal) for which in (one, other)]
            if None not in found:
                more = " (slow)" if slow is not None and rows is slow["rows"] else ""
                names = (name(*one) + more, name(*other) + more)
                gaps.append(paired_gap(found[0], found[1], names))
    return family(gaps, f"{SAME}, {goal:.2f}")


def family(gaps: Sequence[Gap], question: str) -> list[Gap]:
    """The same gaps with Holm's correction over all of them."""
    corrected = holm([gap.p for gap in gaps])
    return [replace(gap, holm=p, family=question) for gap, p in zip(gaps, corrected, strict=True)]


def trade_table(data: Data, goal: float, forget: Forget = forgetting_at, more: Rows = ()) -> Table:
    """Every arm at every rate: both losses at the end, and at the goal the base loss and the
    steps."""
    lines = []
    for rows, steps in ((data["rows"], data["eval_steps"]), (list(more), None)):
        for arm in arms(rows):
            for lr in rates(rows, arm):
                mine = runs(rows, arm, lr)
                base = at_goal(mine, goal, forget)
                taken = steps_to(mine, steps, goal) if steps else None
                best = "*" if math.isclose(data["chosen"].get(arm, 0), lr) else ""
                ends = [mean(at_the_end(mine, text).values()) for text in ("target", "base")]
                lines.append([
                    arm, f"{lr:.3g}{best}", *(f"{loss:.3f}" for loss in ends),
                    "not reached" if base is None else f"{mean(base.values()):.3f}",
                    "" if taken is None else f"{taken:.0f}",
                ])  # fmt: skip
    head = ["arm", "rate", "target, end", "base, end", f"base at {goal:.2f}", "steps to it"]
    return Table(head, lines, note="* the best of the rates for the target loss at the end")


# --- over-fitting at an equal training loss ----------------------------------------------------


def overfitting(data: Data, goal: float) -> list[Gap]:
    """LoRA's loss on unseen text less full fine-tuning's where the training text has one loss."""
    gaps, full = [], at_goal(_chosen(data, FULL), goal, text="target", by="train")
    for arm in (a for a in (LORA, LARGE) if a in data["chosen"]):
        mine = at_goal(_chosen(data, arm), goal, text="target", by="train")
        if mine is not None and full is not None:
            names = (name(arm, data["chosen"][arm]), name(FULL, data["chosen"][FULL]))
            gaps.append(paired_gap(mine, full, names))
    return family(gaps, f"unseen text where the training text has {goal:.1f} nats")


def _chosen(data: Data, arm: str) -> Rows:
    return runs(data["rows"], arm, data["chosen"][arm])


def training_goals(data: Data, step: float = 0.5) -> list[float]:
    """Training losses, `step` nats apart, that every arm's runs reach at the chosen rates."""
    reached = max(min(row["train"]) for arm in data["chosen"] for row in _chosen(data, arm))
    first = math.floor(data["before"]["train"] / step) * step
    count = int((first - reached) / step) + 1
    return [first - i * step for i in range(count) if first - i * step < data["before"]["train"]]


# --- batch sizes -------------------------------------------------------------------------------


def batch_gaps(data: Mapping[str, Data]) -> list[Gap]:
    """At each batch size LoRA's target loss at the end less full fine-tuning's, each tuned."""
    gaps = []
    for size, one in data.items():
        ends = [at_the_end(_chosen(one, arm), "target") for arm in (LORA, FULL)]
        gaps.append(paired_gap(ends[0], ends[1], (f"{LORA}, batch {size}", f"{FULL}, {size}")))
    return family(gaps, "LoRA less full fine-tuning at equal tokens")


def batch_growth(data: Mapping[str, Data]) -> Gap:
    """By how much that gap grows from the smallest batch to the largest, seed by seed."""
    found = {}
    for size in (min(data, key=int), max(data, key=int)):
        lora, full = (at_the_end(_chosen(data[size], arm), "target") for arm in (LORA, FULL))
        found[size] = {seed: lora[seed] - full[seed] for seed in lora}
    small, large = found
    return paired_gap(
        found[large], found[small], (f"LoRA less full at {large}", f"LoRA less full at {small}")
    )
