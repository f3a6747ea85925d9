"""The tables of lesson 01: each comparison of ranks, seed by seed, from the recorded runs."""

from __future__ import annotations

import itertools
from statistics import mean
from typing import Any

from ..statistics import gap_table, gaps_against, half_width95, paired_gaps
from ..tables import Table

FULL = "full fine-tuning"
TUNING = (10, 11)  # seeds on which rates were chosen, where a run has them; they are not reported
NATS = "nats per token"
Rows = list[dict[str, Any]]
Arms = dict[str, dict[int, float]]


def arms(
    rows: Rows,
    value: str = "best",
    rule: str = "alpha = 2r",
    lr: float | None = None,
    chosen_by: str | None = None,
) -> tuple[Arms, dict[str, float]]:
    """({arm: {seed: value}}, {arm: its rate}): each rank of `rule`, and full fine-tuning.

    The rate is `lr`, or the one with the lowest mean of `chosen_by` (of "last": by "best"), on the
    tuning seeds where the run has them. Arms that were not run at `lr` are left out.
    """
    chosen_by = chosen_by or ("best" if value == "last" else value)
    found: Arms = {}
    rates: dict[str, float] = {}
    for r in dict.fromkeys(row["r"] for row in rows):
        mine = [row for row in rows if row["r"] == r and row["rule"] in (rule, FULL)]
        by_rate = {
            rate: [row for row in mine if row["lr"] == rate] for rate in {m["lr"] for m in mine}
        }
        name = FULL if r is None else f"r = {r}"
        rate = lr or min(by_rate, key=lambda k: _tuned_on(by_rate[k], chosen_by), default=None)
        if rate in by_rate:
            reported = [row for row in by_rate[rate] if row["seed"] not in TUNING]
            found[name], rates[name] = {row["seed"]: row[value] for row in reported}, rate
    return found, rates


def _tuned_on(rows: Rows, value: str) -> float:
    tuning = [row for row in rows if row["seed"] in TUNING]
    return mean(row[value] for row in tuning or rows)


def arms_by_rank(rows: Rows) -> dict[int, dict[int, float]]:
    """{r: {seed: best loss}}, each rank at its best rate, alpha = 2r."""
    found, _ = arms(rows)
    return {int(name[4:]): values for name, values in found.items() if name != FULL}


def best_of_each_rank(rows: Rows, of: str) -> Table:
    """Mean best loss of each rank at its best rate, alpha = 2r, with the interval of the mean."""
    found, rates = arms(rows)
    cells = [
        [name, f"{rates[name]:g}", f"{mean(v.values()):.3f}", f"{half_width95([*v.values()]):.3f}"]
        for name, v in found.items()
    ]
    head = ["", "best rate", f"best loss ({NATS})", "± 95 % of the mean"]
    return Table(head, cells, f"{of}, alpha = 2r, each rank at its best rate")


def doublings(rows: Rows, value: str, rule: str) -> Table:
    """Each rank against the next, at the rates that suit them best."""
    found, _ = arms(rows, value, rule)
    ranks = [name for name in found if name != FULL]
    what = {"best": "best validation loss", "train": "training loss"}[value]
    gaps = paired_gaps(found, itertools.pairwise(ranks), "each rank against the next")
    return gap_table(gaps, NATS, f"{what}, {rule}")


def at_one_rate(rows: Rows, lr: float) -> Table:
    """Each rank against 32 at one fixed rate, alpha = 2r: the U."""
    found, _ = arms(rows, lr=lr)
    found.pop(FULL, None)
    gaps = gaps_against(found, "r = 32", "each rank against 32")
    return gap_table(gaps, NATS, f"best validation loss, alpha = 2r, rate {lr:g}")


def all_pairs(rows: Rows) -> Table:
    """Every pair of ranks, at the rates that suit them best, alpha = 2r."""
    found, _ = arms(rows)
    found.pop(FULL, None)
    gaps = paired_gaps(found, itertools.combinations(found, 2), "all pairs of ranks")
    return gap_table(gaps, NATS, "SmolLM2-135M, best validation loss")


def against_largest(rows: Rows, value: str) -> Table:
    """Each rank against 128, at the rates that suit them best, alpha = 2r."""
    found, _ = arms(rows, value)
    found.pop(FULL, None)
    gaps = gaps_against(found, "r = 128", "each rank against 128")
    return gap_table(gaps, NATS, "SmolLM2-135M, best validation loss")


def little_data(
    rows: Rows,
    rule: str,
    measure: str = "best",
    lr: float | None = None,
    chosen_by: str | None = None,
) -> Table:
    """12,000 tokens: each rank and full fine-tuning against r = 8."""
    found, rates = arms(rows, measure, rule, lr, chosen_by)
    gaps = gaps_against(found, "r = 8", "each against r = 8")
    at = f"rate {lr:g}" if lr else ", ".join(f"{name} at {rate:g}" for name, rate in rates.items())
    return gap_table(gaps, NATS, f"12,000 tokens, {measure} validation loss, {rule}; {at}")


def _cut(run: Any) -> dict[int, dict[int, float]]:
    """{rank: {seed: loss with every update cut to it}} of 01_update_spectrum."""
    return {
        rank: {one["seed"]: one["loss_at_rank"][i] for one in run["runs"]}
        for i, rank in enumerate(run["ranks"])
    }


def cuts(run: Any) -> Table:
    """The loss with all updates cut to rank k against that with nothing cut."""
    by_rank = _cut(run)
    full = max(by_rank)
    named = {f"cut to {rank}": values for rank, values in by_rank.items()}
    pairs = [(f"cut to {rank}", f"cut to {full}") for rank in by_rank if 8 <= rank < full]
    gaps = paired_gaps(named, pairs, f"each cut against the whole update, rank {full}")
    return gap_table(gaps, NATS, "validation loss")


def cut_against_lora(run: Any, rows: Rows) -> Table:
    """LoRA of rank r, alpha = 2r at its best rate, against the cut update of that rank."""
    found, _ = arms(rows)
    named = {f"LoRA, {name}": values for name, values in found.items()}
    named |= {f"cut to {rank}": values for rank, values in _cut(run).items()}
    pairs = [(f"LoRA, r = {r}", f"cut to {r}") for r in (8, 32, 128)]
    gaps = paired_gaps(named, pairs, "LoRA against the cut, three ranks")
    return gap_table(gaps, NATS, "validation loss")
