"""The tables of lesson 11: predicted beside measured, savings by size, and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..tables import Table
from .figures import FULL, GIB, LORA, MIB, RECOMPUTED, SAME_LOGITS, by_place, milliseconds, place
from .figures import saving as saving_of

Row = Mapping[str, Any]
TOLERANCE, FLOOR = 0.10, 64e6
"""A prediction is near where it is off by 10 % at most, or by 64 MB on a small model."""


def size_words(size: float) -> str:
    """Bytes as MiB or GiB, three digits."""
    return f"{size / GIB:.2f} GiB" if size >= GIB else f"{size / MIB:.1f} MiB"


def near(predicted: float, measured: float) -> bool:
    """Whether a predicted peak is within 10 % of the measured one, or within 64 MB."""
    return abs(predicted - measured) <= max(TOLERANCE * measured, FLOOR)


def pairs(predicted: Sequence[Row], measured: Sequence[Row]) -> list[tuple[Row, Row]]:
    """(predicted, measured) rows of the same size, batch and arm, in the measured rows' order."""
    known = by_place(predicted)
    return [
        (known[place(row)][row["arm"]], row)
        for row in measured
        if "failed" not in row and row["arm"] in known.get(place(row), {})
    ]


def beside(predicted: Sequence[Row], measured: Sequence[Row]) -> Table:
    """Measured peaks, a column for each size, and by how much each prediction is off."""
    cells = {
        (seen["arm"], place(seen)): f"{size_words(seen['peak'])} ({_off(told, seen)})"
        for told, seen in pairs(predicted, measured)
    }
    arms, places = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    failed = [f"{place(r)}, {r['arm']}: {r['failed']}" for r in measured if "failed" in r]
    return Table(
        ["way to train", *places],
        [[arm, *(cells.get((arm, where), "") for where in places)] for arm in arms],
        "The measured peak of a step (and by how much the prediction is off)",
        note="Not run: " + "; ".join(failed) if failed else "",
    )


def _off(told: Row, seen: Row) -> str:
    percent = round(100 * (told["peak"] / seen["peak"] - 1), 1)
    return f"{percent:+.1f} %" if percent else "0.0 %"


def savings(rows: Sequence[Row]) -> Table:
    """How much less LoRA takes than full fine-tuning in bf16, size by size."""
    return Table(
        ["size, batch", "full, bf16", "same logits", "in pieces", "in pieces, both recomputed"],
        [
            [
                name,
                size_words(arms[FULL]["peak"]),
                f"{100 * saving_of(arms, SAME_LOGITS):.0f} %",
                f"{100 * saving_of(arms, LORA):.0f} %",
                f"{100 * saving_of(arms, RECOMPUTED[1], RECOMPUTED[0]):.0f} %",
            ]
            for name, arms in by_place(rows).items()
            if {FULL, SAME_LOGITS, LORA, *RECOMPUTED} <= set(arms)
        ],
        "By how much LoRA's peak is lower",
    )


def step_parts(rows: Sequence[Row]) -> Table:
    """The parts of a step and its peak, one column an arm."""
    names = ("frozen", "trained", "gradients", "optimizer", "activations", "logits", "peak")
    return Table(
        ["part", *(row["arm"] for row in rows)],
        [[name, *(size_words(row[name]) for row in rows)] for name in names],
        place(rows[0]),
    )


def times(rows: Sequence[Row]) -> Table:
    """Milliseconds until done (median and range of the repeats), and until launched."""
    body = []
    for row in rows:
        if "failed" in row:
            continue
        done = [1e3 * s for s in row["seconds"]["done"]]
        body.append(
            [
                place(row),
                row["arm"],
                row["how"],
                f"{1e3 * row['seconds']['cold'][0]:,.0f}",
                f"{milliseconds(row):.2f}",
                f"{min(done):.2f} to {max(done):.2f}",
                f"{milliseconds(row, 'launched'):.2f}",
            ]
        )
    head = ["size, batch", "way to train", "how", "first step", "median", "range", "no waiting"]
    return Table(head, body, "Milliseconds a step")


def several_gpus(found: Mapping[str, Any]) -> Table:
    """`benchmarks/results/many_gpus.json`: a step on several GPUs; what failed is left out."""
    body = []
    for name, row in found.items():
        if not name.startswith(("ddp", "sharded")) or "failed" in row:
            continue
        count = row["provenance"]["processes"]
        scaling, predicted = row.get("weak_scaling"), row.get("predicted_gib")
        body.append(
            [
                row.get("shape", ""),
                "a part on each" if name.startswith("sharded") else "whole on each",
                f"{count}",
                f"{1e3 * row['seconds']:,.0f}",
                f"{row['tokens_a_second']:,.0f}",
                "" if scaling is None else f"{scaling:.2f}",
                f"{row['memory']['peak_gib']:.1f}",
                "" if predicted is None else f"{predicted:.1f}",
            ]
        )
    head = ["model, batch on each", "base", "GPUs", "ms", "tokens a second", "of N single ones"]
    return Table([*head, "peak GiB on each", "predicted"], body, "Several GPUs")


def ratio(rows: Sequence[Row], size: str, how: str, arm: str = LORA, other: str = FULL) -> float:
    """The time of a step of `arm` over that of `other`, at one size. KeyError: not both there."""
    found = {r["arm"]: r for r in rows if (r["size"], r.get("how")) == (size, how)}
    return milliseconds(found[arm]) / milliseconds(found[other])
