"""The card's table "too low / too high", cell by cell, from what lessons 01, 03 and 04 recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any, NamedTuple

from ...experiments.gaps import Gap, by_seed, holm, paired_gap, paired_gaps
from ..statistics import gap_words
from ..tables import Table

Rows = Sequence[Mapping[str, Any]]


class Cell(NamedTuple):
    """One cell: the claimed extreme less the middle of the range, in one measure of one record."""

    quote: str
    recorded: str
    field: str
    extreme: float
    middle: float
    measure: str
    lr: float
    where: Mapping[str, Any]

    def rows(self, rows: Rows, value: float) -> list[Mapping[str, Any]]:
        """The runs with this value of the parameter."""
        wanted = {**self.where, self.field: value}
        return [row for row in rows if all(row.get(key) == v for key, v in wanted.items())]


RULE, PLAIN = {"rule": "alpha = 2r"}, {"decay": 0.0}
CELLS = (
    Cell("r, too low: Underfitting", "01_rank_sweep", "r", 1, 8, "train", 1e-3, RULE),
    Cell("r, too high: Overfitting", "01_rank_sweep_little_data", "r", 128, 8, "last", 1e-3, RULE),
    Cell("lora_alpha, too low: Weak updates", "03_alpha_sweep", "alpha", 1, 16, "last", 1e-3, {}),
    Cell("lora_alpha, too high: Instability", "03_alpha_sweep", "alpha", 256, 16, "last", 1e-3, {}),
    Cell("lora_dropout, too low: Overfitting", "04_dropout_little_data", "p", 0.0, 0.1, "last",
         1e-3, PLAIN),
    Cell("lora_dropout, too high: Slow learning", "04_dropout_full_data", "p", 0.9, 0.0, "last",
         3e-3, PLAIN),
)  # fmt: skip
"""`lr` is the one rate at which both values are compared first."""
TUNING = (10, 11)  # the seeds on which `high_rank_gaps` chooses its rates


def runs_of(data: Any) -> Rows:
    """The runs of a recording, which is a list of them or holds one."""
    return data["rows"] if isinstance(data, Mapping) else data


def own_rate(rows: Rows, measure: str) -> float:
    """The rate with the lowest mean of a measure; a run that diverged is infinity."""
    means = {}
    for lr in sorted({row["lr"] for row in rows}):
        values = [row[measure] for row in rows if row["lr"] == lr]
        means[lr] = mean(math.inf if math.isnan(v) else v for v in values)
    return min(means, key=means.__getitem__)


def cell_gaps(cell: Cell, data: Any) -> tuple[Gap, Gap]:
    """(at one learning rate, each value at its own): the extreme less the middle, seed by seed."""
    low, middle = (cell.rows(runs_of(data), v) for v in (cell.extreme, cell.middle))
    found = []
    for rates in ((cell.lr, cell.lr), tuple(own_rate(r, cell.measure) for r in (low, middle))):
        arms = [
            by_seed(rows, cell.measure, lr=lr)
            for rows, lr in zip((low, middle), rates, strict=True)
        ]
        names = tuple(
            f"{cell.field} = {value:g} at {lr:g}"
            for value, lr in zip((cell.extreme, cell.middle), rates, strict=True)
        )
        found.append(paired_gap(*arms, names))
    return found[0], found[1]


def all_gaps(recorded: Mapping[str, Any]) -> list[Gap]:
    """Both gaps of each cell, as one family: {name of a recording: its data}."""
    gaps = [gap for cell in CELLS for gap in cell_gaps(cell, recorded[cell.recorded])]
    corrected = holm([gap.p for gap in gaps])
    return [
        replace(g, holm=p, family="the card's table") for g, p in zip(gaps, corrected, strict=True)
    ]


def high_rank_gaps(rows: Rows) -> list[Gap]:
    """The last loss of r = 128 less that of 8 under both rules of alpha, as one family.

    `rows` has tuning seeds of its own: each rate is the best for the last loss on those.
    """
    arms, pairs = {}, []
    for rule in ("alpha = 2r", "alpha = 16"):
        names = []
        for r in (128, 8):
            mine = [row for row in rows if (row["rule"], row["r"]) == (rule, r)]
            lr = own_rate([row for row in mine if row["seed"] in TUNING], "last")
            names.append(f"{rule}: r = {r} at {lr:g}")
            kept = [row for row in mine if row["seed"] not in TUNING]
            arms[names[-1]] = by_seed(kept, "last", lr=lr)
        pairs.append((names[0], names[1]))
    return paired_gaps(arms, pairs, "r = 128 against 8, tuned for the last loss")


def at_an_edge(cell: Cell, data: Any) -> bool:
    """Whether the own rate of either value is the lowest or the highest that was tried."""
    found = []
    for value in (cell.extreme, cell.middle):
        rows = cell.rows(runs_of(data), value)
        tried = sorted({row["lr"] for row in rows})
        found.append(own_rate(rows, cell.measure) in (tried[0], tried[-1]))
    return any(found)


def reading(fixed: Gap, own: Gap, edge: bool) -> str:
    """What the two gaps say of a cell whose extreme should be worse."""
    at_one, tuned = (gap.settled and gap.mean > 0 for gap in (fixed, own))
    if tuned:
        said = "holds, the rate tuned too" if at_one else "holds with the rate tuned"
    elif own.settled:
        said = "at one rate only: tuned, it turns round"
    else:
        said = "at one rate only: tuning takes it away" if at_one else "not settled"
    return said + ("; a best rate is at the edge" if edge else "")


def card_table(recorded: Mapping[str, Any]) -> Table:
    """The six cells with both gaps and how they read."""
    gaps = all_gaps(recorded)
    rows = []
    for cell, fixed, own in zip(CELLS, gaps[::2], gaps[1::2], strict=True):
        where = f"{cell.field} = {cell.extreme:g} less {cell.middle:g}, {cell.measure} loss"
        said = reading(fixed, own, at_an_edge(cell, recorded[cell.recorded]))
        rows.append([cell.quote, where, gap_words(fixed), gap_words(own), said])
    head = ["the card says", "compared", "at one rate", "each at its own rate", "so it"]
    note = (
        "Nats per token, seed by seed, Holm over the twelve. The rates were chosen on the seeds "
        "that are shown, for both values alike."
    )
    return Table(head, rows, note=note)


def standing(recorded: Mapping[str, Any]) -> int:
    """How many cells' extremes are worse beyond the seeds with the rate tuned."""
    return sum(gap.settled and gap.mean > 0 for gap in all_gaps(recorded)[1::2])
