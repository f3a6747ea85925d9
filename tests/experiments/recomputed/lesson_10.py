"""The comparisons of lesson 10: {caption: {row: (first, second)}}, and the card's table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .arithmetic import Arm
from .choosing import Pairs, Row, against, as_arm, best_rate, having, pairs, parted
from .stored import recording

LORA, LARGE, FULL = "LoRA, r = 8", "LoRA, r = 64", "full"
Who = tuple[str, float]


def _end(text: str) -> Any:
    return lambda row: row[text][-1]


def _lowest(row: Row) -> float:
    return min(row["target"])


def _where(goal: float, by: str, text: str, row: Row) -> float | None:
    """The loss on `text` where that on `by` first comes down to the goal, on straight lines."""
    there = np.flatnonzero(np.array(row[by]) <= goal)
    if not there.size:
        return None
    i = int(there[0])
    x, y = row[by][i - 1 : i + 1], row[text][i - 1 : i + 1]
    return float(np.interp(goal, x[::-1], y[::-1]))


def _at(rows: Iterable[Row], goal: float, by: str = "target", text: str = "base") -> Arm | None:
    found = {row["seed"]: _where(goal, by, text, row) for row in rows}
    return None if None in found.values() else {s: v for s, v in found.items() if v is not None}


def lesson10() -> dict[str, Pairs]:
    """Four questions of LoRA and full fine-tuning, and the batch size."""
    data, slow = recording("10_forgetting"), recording("10_forgetting_slow")
    best = {arm: best_rate(having(data["tuning"], arm=arm), _end("target"))
            for arm in (LORA, LARGE, FULL)}  # fmt: skip
    goal = _goal(data, best[LORA])
    tables = {
        "target loss at the end, each at its best rate": against(
            {arm: _mine(data, (arm, best[arm]), "target") for arm in best}, FULL
        ),
        "after the same steps": _same_steps(data, best),
        f"forgetting at an equal target loss, {goal:.2f}": _same_target(data, slow, best, goal),
        f"weight decay, base's loss at {goal:.2f}": {
            _label((arm, best[FULL]), (FULL, best[FULL])): (
                _at(having(data["rows"], arm=arm, lr=best[FULL]), goal),
                _at(having(data["rows"], arm=FULL, lr=best[FULL]), goal),
            )
            for arm in ("full, decay 0.1", "full, decay 1")
        },
    }
    return tables | _little() | _batches() | _high_rank()


def _mine(data: Any, who: Who, text: str) -> Arm:
    return as_arm(having(data["rows"], arm=who[0], lr=who[1]), _end(text))


def _label(one: Who, other: Who, more: str = "") -> str:
    return f"{one[0]}, {one[1]:.3g}{more} − {other[0]}, {other[1]:.3g}{more}"


def _goal(data: Any, lr: float) -> float:
    """The lowest target loss, to 0.01, that LoRA's runs at its best rate all reach."""
    mine = having([*data["tuning"], *data["rows"]], arm=LORA, lr=lr)
    return math.ceil(100 * max(min(row["target"]) for row in mine)) / 100


def _same_steps(data: Any, best: dict[str, float]) -> Pairs:
    found = {}
    for lr in (best[FULL], best[FULL] / 4):
        for text in ("target", "base"):
            pair = (LORA, best[LORA]), (FULL, lr)
            found[f"{text}: {_label(*pair)}"] = tuple(_mine(data, who, text) for who in pair)
    return found


def _gentlest(data: Any, arm: str, goal: float) -> float:
    """Of the rates at which all runs reach the goal, the one that forgets least when tuning."""
    means = {}
    for lr in {row["lr"] for row in having(data["rows"], arm=arm)}:
        tuning, fresh = (_at(having(data[key], arm=arm, lr=lr), goal) for key in ("tuning", "rows"))
        if tuning and fresh:
            means[lr] = float(np.mean(list(tuning.values())))
    return min(means, key=means.__getitem__)


def _same_target(data: Any, slow: Any, best: dict[str, float], goal: float) -> Pairs:
    found: dict[str, Any] = {}
    for arm in (LORA, LARGE):
        gentle = {name: _gentlest(data, name, goal) for name in (arm, FULL)}
        ways = [(data, best, ""), (data, gentle, "")]
        ways.append((slow, {arm: 2.5e-4, FULL: 3.125e-5}, " (slow)"))
        for source, lrs, more in ways:
            pair = (arm, lrs[arm]), (FULL, lrs[FULL])
            found[_label(*pair, more)] = tuple(
                _at(having(source["rows"], arm=name, lr=lr), goal) for name, lr in pair
            )
    return found


def _little() -> dict[str, Pairs]:
    """12,000 tokens, each arm at the rate with the lowest loss on unseen text when tuning."""
    data, chosen, over = recording("10_little_data"), {}, {}
    for arm in (LORA, LARGE, FULL):
        lr = best_rate(having(data["tuning"], arm=arm), _lowest)
        chosen[arm] = having(data["rows"], arm=arm, lr=lr)
    for goal in (4.5, 4.0, 3.5, 3.0, 2.5, 2.0, 1.5):
        sides = [_at(chosen[arm], goal, by="train", text="target") for arm in (LORA, FULL)]
        over[f"at {goal:.1f}: {LORA} − {FULL}"] = tuple(sides)
    least = {arm: as_arm(rows, _lowest) for arm, rows in chosen.items()}
    return {
        "unseen text at an equal training loss": over,
        "lowest loss on unseen text": pairs(least, (LORA, FULL), (LARGE, FULL), (LARGE, LORA)),
    }


def _high_rank() -> dict[str, Pairs]:
    tuning, reported = parted(recording("01_rank_sweep_little_data_tuned"))
    found = {}
    for rule in ("alpha = 2r", "alpha = 16"):
        sides = {}
        for r in (128, 8):
            lr = best_rate(having(tuning, rule=rule, r=r), "last")
            sides[f"{rule}: r = {r} at {lr:g}"] = as_arm(
                having(reported, rule=rule, r=r, lr=lr), "last"
            )
        found |= pairs(sides, tuple(sides))
    return {"r = 128 against 8, tuned for the last loss": found}


def _batches() -> dict[str, Pairs]:
    found, gaps = {}, {}
    for size, data in recording("10_batch_size").items():
        ends = {}
        for arm in (LORA, FULL):
            lr = best_rate(having(data["tuning"], arm=arm), _end("target"))
            ends[arm] = _mine(data, (arm, lr), "target")
        found[f"{LORA}, batch {size} − {FULL}, {size}"] = (ends[LORA], ends[FULL])
        gaps[f"LoRA less full at {size}"] = {s: ends[LORA][s] - ends[FULL][s] for s in ends[FULL]}
    grown = pairs(gaps, ("LoRA less full at 128", "LoRA less full at 8"))
    return {"LoRA less full fine-tuning at equal tokens": found, "seed by seed": grown}


def card_cells() -> dict[str, tuple[Arm, Arm]]:
    """The card's table: each extreme and the middle, at one rate and at each one's own."""
    found = {}
    for name, fields, extreme, middle, measure, one_rate in (
        ("01_rank_sweep", {"rule": "alpha = 2r"}, {"r": 1}, {"r": 8}, "train", 1e-3),
        ("01_rank_sweep_little_data", {"rule": "alpha = 2r"}, {"r": 128}, {"r": 8}, "last", 1e-3),
        ("03_alpha_sweep", {}, {"alpha": 1}, {"alpha": 16}, "last", 1e-3),
        ("03_alpha_sweep", {}, {"alpha": 256}, {"alpha": 16}, "last", 1e-3),
        ("04_dropout_little_data", {"decay": 0.0}, {"p": 0.0}, {"p": 0.1}, "last", 1e-3),
        ("04_dropout_full_data", {"decay": 0.0}, {"p": 0.9}, {"p": 0.0}, "last", 3e-3),
    ):
        data = recording(name)
        rows = having(data["rows"] if isinstance(data, dict) else data, **fields)
        sides = [having(rows, **value) for value in (extreme, middle)]
        (what, high), low = *extreme.items(), *middle.values()
        label = f"{what} = {high:g} less {low:g}, {measure} loss"
        at_one = tuple(as_arm(having(side, lr=one_rate), measure) for side in sides)
        own = tuple(as_arm(having(side, lr=best_rate(side, measure)), measure) for side in sides)
        found |= {f"{label}: one rate": at_one, f"{label}: own rates": own}
    return found
