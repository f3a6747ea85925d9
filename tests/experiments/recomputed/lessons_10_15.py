"""The comparisons of lessons 10 to 15: {caption: {row: (first, second)}}."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .arithmetic import Arm
from .choosing import Pairs, Row, against, as_arm, best_rate, having, pairs, parted, scaled
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
    return tables | _little() | _batches()


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


def lesson12() -> dict[str, Pairs]:
    """Formats of the base, ways to merge, and orders of training and coding."""
    data = recording("12_formats")

    def arm(form: str, key: str = "after") -> Arm:
        lr = best_rate(having(data["tuning"], form=form, r=8), "loss")
        return as_arm(having(data["fresh"], form=form, r=8, lr=lr), key)

    formats = {"floats": arm("float")} | {f.upper(): arm(f) for f in ("nf4", "nf3", "nf2")}
    merges = {"kept in floats": arm("nf3", "decoded"), "coded again": arm("nf3", "again"),
              "into the original floats": arm("nf3", "original")}  # fmt: skip
    beside = "train beside NF4"
    orders = {beside: arm("nf4"), f"{beside}, code again": arm("nf4", "again"),
              "train in floats, then code": arm("float", "again")}  # fmt: skip
    merging = "decoder, NF3, r = 8: each merge against floats that were decoded"
    return {
        "decoder, r = 8, after training: each format against floats": against(formats, "floats"),
        merging: against(merges, "kept in floats"),
        "decoder, NF4, r = 8: each order against QLoRA served apart": against(orders, beside),
    }


def lesson13() -> dict[str, Pairs]:
    """The variants, each at its own rate, and two scalings at equal rates."""
    arms, found = {}, {}
    for part in (1, 2, 3):
        data = recording(f"13_variants_{part}")
        for name in dict.fromkeys(row["arm"] for row in data["rows"]):
            lr = best_rate(having(data["tuning"], arm=name), "loss")
            arms[name] = as_arm(having(data["rows"], arm=name, lr=lr), "loss")
    rows = parted(recording("13_scaling"))[1]
    for lr in (3e-5, 1e-4, 3e-4, 1e-3, 3e-3):
        pair = "rsLoRA, alpha = r", "LoRA, alpha = 2r"
        found[f"{pair[0]}, {lr:g} − {pair[1]}, {lr:g}"] = tuple(
            as_arm(having(rows, arm=arm, lr=lr), "loss") for arm in pair
        )
    return {
        "each variant against LoRA, both tuned": against(arms, "LoRA"),
        "two scalings at equal rates": found,
    }


def lesson14() -> dict[str, Pairs]:
    """Ways to serve eight adapters; the seeds are rounds."""
    rows = having(recording("14_latency")["rows"], adapters=8)
    arms = {way: scaled(as_arm(having(rows, way=way), "seconds"), 1e3)
            for way in dict.fromkeys(row["way"] for row in rows)}  # fmt: skip
    said = "decoder, eight requests; the seeds are rounds: each way against mixed, eight requests"
    return {said: against(arms, "mixed")}


def lesson15() -> dict[str, Pairs]:
    """The leak of a random split, and the capstone's choices."""
    data, leak = recording("15_choices"), recording("15_leak")["runs"]
    arms = {}
    for name in dict.fromkeys(row["arm"] for row in data["runs"]):
        lr = best_rate(having(data["tuning"], arm=name), "accuracy", highest=True)
        arms[name] = as_arm(having(data["runs"], arm=name, lr=lr), "accuracy")
    split = {
        name: as_arm(having(leak, split=name), "accuracy") for name in ("at random", "by stem")
    }
    return {
        "seed by seed": against(split, "by stem"),
        "each arm against LoRA, r = 8": against(arms, LORA),
    }
