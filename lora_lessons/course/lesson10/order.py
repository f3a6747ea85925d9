"""How far each argument moves the loss over the range that one would try: the order of tuning."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean
from typing import Any

from ..lesson05.figures import spread
from ..tables import Table
from .explorer import RANKS, RATES, RULES, best_rate, losses

RANGES = {
    "target_modules": ("the four common choices at one budget", "targets, the four"),
    "r": ("4 to 16, alpha = 2r", "r, 4 to 16"),
    "lora_alpha": ("16 to 32", "alpha, 16 to 32"),
    "lora_dropout": ("0.05 to 0.1", "dropout, 0.05 to 0.1"),
}
"""Argument -> (what it was varied over, its name in lesson 05)."""


def movements(targets: Mapping[str, Any]) -> dict[str, float]:
    """Argument -> by how much it moves the mean best loss of `05_targets`, in nats per token.

    The learning rate: the four rates of the all-linear arm, one seed. The others: each point at
    its own rate, five seeds.
    """
    tried = [row["best"] for row in targets["tuning"] if row["arm"] == "all-linear"]
    return {"learning rate": max(tried) - min(tried)} | {
        argument: spread(targets, name) for argument, (_, name) in RANGES.items()
    }


def order_table(targets: Mapping[str, Any]) -> Table:
    """The arguments, the one that moves the loss most first."""
    over = {name: words for name, (words, _) in RANGES.items()}
    tried = sorted({row["lr"] for row in targets["tuning"]})
    over["learning rate"] = f"{tried[0]:g} to {tried[-1]:g}"
    found = sorted(movements(targets).items(), key=lambda item: -item[1])
    rows = [[name, over[name], f"{moved:.3f}"] for name, moved in found]
    return Table(["argument", "tried over", "moves the loss by (nats)"], rows)


def best_rates_table() -> Table:
    """The best of the four recorded rates for each rank, and its loss, under both rules."""
    rows = []
    for r in RANKS:
        cells = []
        for rule in RULES:
            lr = best_rate(rule, r)
            edge = "*" if lr in (RATES[0], RATES[-1]) else ""
            cells.append(f"{lr:g}{edge} ({mean(losses(rule, r, lr)):.3f})")
        rows.append([str(r), *cells])
    note = f"Best rate of {', '.join(f'{lr:g}' for lr in RATES)}, and the loss there; five seeds. "
    note += "* at the edge: a lower one may be better."
    return Table(["r", *RULES], rows, note=note)
