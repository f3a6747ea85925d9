"""Picking arms out of a recording's rows: by fields, and at the rate that was chosen for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .arithmetic import Arm

Row = Mapping[str, Any]
Measure = Callable[[Row], float]
Pairs = dict[str, tuple[Arm, Arm]]
"""{the label of a row, "first − second": (first, second)}"""
TUNING = {10, 11, 12, 99, 100, 101, 102}  # the seeds that recordings set apart for the rates


def having(rows: Iterable[Row], **fields: Any) -> list[Row]:
    """The rows with these fields."""
    return [row for row in rows if all(row[name] == value for name, value in fields.items())]


def as_arm(rows: Iterable[Row], measure: str | Measure) -> Arm:
    """{seed: measure}; no seed may come twice, and none may have chosen the rate."""
    read = measure if callable(measure) else (lambda row: row[measure])
    pairs = [(row["seed"], read(row)) for row in rows]
    assert pairs and len(dict(pairs)) == len(pairs), "a seed comes twice, or there is none"
    assert not TUNING & {seed for seed, _ in pairs}, "a tuning seed is reported"
    return dict(pairs)


def best_rate(rows: Iterable[Row], measure: str | Measure, highest: bool = False) -> float:
    """The learning rate with the best mean over these rows, which must be tuning rows."""
    read = measure if callable(measure) else (lambda row: row[measure])
    at: dict[float, list[float]] = {}
    for row in rows:
        at.setdefault(row["lr"], []).append(read(row))
    assert len({len(values) for values in at.values()}) == 1, "each rate must have the same seeds"
    means = {lr: (-1 if highest else 1) * float(np.mean(values)) for lr, values in at.items()}
    return min(means, key=means.__getitem__)


def parted(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """(the rows of the tuning seeds, the rows that are reported)."""
    rows = list(rows)
    return (
        [row for row in rows if row["seed"] in TUNING],
        [row for row in rows if row["seed"] not in TUNING],
    )


def scaled(arm: Arm, factor: float) -> Arm:
    """An arm in other units."""
    return {seed: factor * value for seed, value in arm.items()}


def against(arms: Mapping[str, Arm], reference: str) -> Pairs:
    """Every other arm less one."""
    return {
        f"{name} − {reference}": (arm, arms[reference])
        for name, arm in arms.items()
        if name != reference
    }


def pairs(arms: Mapping[str, Arm], *names: tuple[str, str]) -> Pairs:
    """The named pairs."""
    return {f"{a} − {b}": (arms[a], arms[b]) for a, b in names}
