"""Small-sample statistics as the pages show them: intervals, and tables of gaps.

The arithmetic is `experiments/gaps.py`; here is how it looks in a notebook.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from statistics import mean

from ..experiments.gaps import (
    Gap,
    by_seed,
    gaps_against,
    half_width95,
    holm,
    paired_gap,
    paired_gaps,
    t_quantile,
)
from .tables import Table

__all__ = [
    "Gap",
    "by_seed",
    "gap_table",
    "gap_words",
    "gaps_against",
    "half_width95",
    "holm",
    "interval95",
    "paired_gap",
    "paired_gaps",
    "plus_minus",
    "t_quantile",
]
NOT_SETTLED = "not settled"


def interval95(values: Sequence[float]) -> tuple[float, float]:
    """(low, high): the 95 % interval of the mean of a few runs."""
    half = half_width95(values)
    return mean(values) - half, mean(values) + half


def plus_minus(values: Collection[float], digits: int = 3) -> str:
    """The mean over the seeds and half of its 95 % interval, as "4.123 ± 0.012"."""
    values = list(values)
    return f"{mean(values):.{digits}f} ± {half_width95(values):.{digits}f}"


def gap_table(gaps: Gap | Sequence[Gap], unit: str = "", caption: str = "") -> Table:
    """The table under a sentence that claims a difference: one row for each gap.

    A gap is settled where Holm's p is below 0.05; the interval is that of the one difference. Both
    are shown to two digits of the interval, so that 0.0046 ± 0.0047 does not become 0.005 ± 0.005.
    """
    rows = [gaps] if isinstance(gaps, Gap) else list(gaps)
    if not rows:
        raise ValueError("gap_table needs one gap at least")
    family = rows[0].family
    if any(gap.family != family for gap in rows):
        raise ValueError(f"one table, one family; got {sorted({gap.family for gap in rows})}")
    head = ["difference", f"mean ± 95 % ({unit})" if unit else "mean ± 95 %", "seeds", "p"]
    cells = [[f"{g.first} − {g.second}", _size(g), f"{g.seeds}", _p(g.p)] for g in rows]
    if family:
        head.append(f"p, Holm over {len(rows)}")
        cells = [[*row, _p(gap.holm)] for row, gap in zip(cells, rows, strict=True)]
    cells = [[*row, _verdict(gap)] for row, gap in zip(cells, rows, strict=True)]
    said = ": ".join(filter(None, (caption, family))) or "seed by seed"
    return Table([*head, "verdict"], cells, said)


def gap_words(gap: Gap, unit: str = "") -> str:
    """One gap as it stands in a sentence: "0.0225 ± 0.0046 (p 0.002, Holm 0.034)"."""
    holm_too = f", Holm {_p(gap.holm)}" if gap.family else ""
    return f"{_size(gap)} {unit}".strip() + f" (p {_p(gap.p)}{holm_too})"


def _decimals(half: float) -> int:
    """As many as show two digits of the interval."""
    return 3 if half <= 0 else min(9, max(0, 1 - math.floor(math.log10(half))))


def _size(gap: Gap) -> str:
    digits = _decimals(gap.half)
    shown = f"{gap.mean:.{digits}f}"
    shown = shown.replace("-", "−") if float(shown) else shown.lstrip("-")
    return f"{shown} ± {gap.half:.{digits}f}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def _verdict(gap: Gap) -> str:
    if not gap.settled:
        return NOT_SETTLED
    lower = gap.first if gap.mean < 0 else gap.second
    return f"{lower} is lower"
