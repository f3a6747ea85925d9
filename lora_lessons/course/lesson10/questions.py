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
    """{seed: the loss on `text` where the loss on `by` first reaches the goal}.

    None if in any seed it never does.
    """
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


def equal_steps(data: Data, arm: str = LORA) -> list[Gap]:
    """LoRA less full fine-tuning after the same steps, on both texts, as one family.

    LoRA at its best rate; full fine-tuning at its own, and at a quarter of that.
    """
    one, best = (arm, data["chosen"][arm]), data["chosen"][FULL]
    gaps = []
    for lr in (best, best / 4):
        for text in ("target", "base"):
            ends = [at_the_end(runs(data["rows"], *who), text) for who in (one, (FULL, lr))]
            if all(ends):
                gaps.append(paired_gap(*ends, (f"{text}: {name(*one)}", name(FULL, lr))))
    return family(gaps, "after the same steps")


def by_gentleness(rows: Rows, arm: str, goal: float) -> list[float]:
    """The rates whose runs all reach the goal, the one with the lowest base loss there first."""
    found = {lr: at_goal(runs(rows, arm, lr), goal) for lr in rates(rows, arm)}
    means = {lr: mean(values.values()) for lr, values in found.items() if values}
    return sorted(means, key=means.__getitem__)


def gentlest_rate(data: Data, arm: str, goal: float) -> float | None:
    """The rate that forgets least at the goal on the tuning seeds.

    Rates that do not reach the goal in every run, the fresh ones too, are out; None if all are.
    """
    reached = by_gentleness(data["rows"], arm, goal)
    return next((lr for lr in by_gentleness(data["tuning"], arm, goal) if lr in reached), None)


def equal_target(data: Data, goal: float, slow: Data | None = None) -> list[Gap]:
    """LoRA's base loss less full fine-tuning's at one goal, as one family.

    Each at its best rate for the end; each at its gentlest; and, from `slow`, each at a low rate
    for more steps. Pairs of which one never reaches the goal are left out.
    """
    gaps = []
    for arm in (a for a in (LORA, LARGE) if a in data["chosen"]):
        gentle = {a: gentlest_rate(data, a, goal) for a in (arm, FULL)}
        best = {a: data["chosen"][a] for a in (arm, FULL)}
        for rates_of in (best, gentle)[: 1 if gentle == best else 2]:
            gaps += _gap_at(data["rows"], list(rates_of.items()), goal)
        if slow is not None and arm in arms(slow["rows"]):
            lows = [(a, rates(slow["rows"], a)[0]) for a in (arm, FULL)]
            gaps += _gap_at(slow["rows"], lows, goal, " (slow)")
    return family(gaps, f"{SAME}, {goal:.2f}")


def _gap_at(
    rows: Rows, pair: Sequence[tuple[str, float | None]], goal: float, more: str = ""
) -> list[Gap]:
    """The gap of a pair of (arm, rate) at a goal; none where one of them does not reach it."""
    if any(lr is None for _, lr in pair):
        return []
    found = [at_goal(runs(rows, arm, lr), goal) for arm, lr in pair]
    names = tuple(name(arm, lr) + more for arm, lr in pair)
    return [] if None in found else [paired_gap(found[0], found[1], names)]


def decay_gaps(data: Data, goal: float) -> list[Gap]:
    """Full fine-tuning with weight decay less without, at one rate: the base's loss at the goal."""
    lr = data["chosen"][FULL]
    rivals = [arm for arm in arms(data["rows"]) if arm.startswith(FULL) and arm != FULL]
    gaps = [gap for arm in rivals for gap in _gap_at(data["rows"], [(arm, lr), (FULL, lr)], goal)]
    return family(gaps, f"weight decay, base's loss at {goal:.2f}")


def family(gaps: Sequence[Gap], question: str) -> list[Gap]:
    """The same gaps with Holm's correction over all of them."""
    corrected = holm([gap.p for gap in gaps])
    return [replace(gap, holm=p, family=question) for gap, p in zip(gaps, corrected, strict=True)]


def trade_table(data: Data, goal: float, forget: Forget = forgetting_at, more: Rows = ()) -> Table:
    """Every arm at every rate: both losses at the end; at the goal the base loss and the steps."""
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


def overfitting(data: Data, goals: Sequence[float], arm: str = LORA) -> list[Gap]:
    """LoRA's loss on unseen text less full fine-tuning's, as one family.

    Both are read where the training text has one of the goals' losses.
    """
    gaps = []
    for goal in goals:
        found = [at_goal(_chosen(data, a), goal, text="target", by="train") for a in (arm, FULL)]
        if None not in found:
            gaps.append(paired_gap(*found, (f"at {goal:.1f}: {arm}", FULL)))
    return family(gaps, "unseen text at an equal training loss")


def best_losses(data: Data) -> list[Gap]:
    """The lowest loss on unseen text that an arm passes: where early stopping would stop."""
    best = {
        arm: {row["seed"]: min(row["target"]) for row in _chosen(data, arm)}
        for arm in data["chosen"]
    }
    pairs = [
        pair for pair in ((LORA, FULL), (LARGE, FULL), (LARGE, LORA)) if best.keys() >= {*pair}
    ]
    gaps = [paired_gap(best[a], best[b], (a, b)) for a, b in pairs]
    return family(gaps, "lowest loss on unseen text")


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
