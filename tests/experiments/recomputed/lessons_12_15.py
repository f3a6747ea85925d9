"""The comparisons of lessons 12 to 15: {caption: {row: (first, second)}}."""

from __future__ import annotations

from typing import Any

from .arithmetic import Arm
from .choosing import Pairs, against, as_arm, best_rate, having, pairs, parted, scaled
from .stored import recording


def lesson12() -> dict[str, Pairs]:
    """Formats of the base, ways to merge, and orders of training and coding."""

    def arm(form: str, key: str = "after") -> Arm:
        return _format(recording("12_formats"), form, 8, key)

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
        "decoder: distance to the floats at two ranks": _nearer("12_formats"),
        "nano: distance to the floats at two ranks": _nearer("12_formats_nano"),
    }


def _format(data: Any, form: str, r: int, key: str) -> Arm:
    lr = best_rate(having(data["tuning"], form=form, r=r), "loss")
    return as_arm(having(data["fresh"], form=form, r=r, lr=lr), key)


def _nearer(name: str) -> Pairs:
    data, above = recording(name), {}
    for r in (8, 32):
        floats = _format(data, "float", r, "after")
        for form in ("nf4", "nf3", "nf2"):
            own = _format(data, form, r, "after")
            above[f"{form.upper()}, r = {r}"] = {seed: own[seed] - floats[seed] for seed in own}
    return pairs(above, *((f"{f}, r = 32", f"{f}, r = 8") for f in ("NF4", "NF3", "NF2")))


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
        "each arm against LoRA, r = 8": against(arms, "LoRA, r = 8"),
    }
