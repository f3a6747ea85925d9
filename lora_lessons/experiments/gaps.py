"""Seed by seed: how far two arms of an experiment differ, and whether that is settled.

Arms share their seeds, and with them the batches and the random starts. So the difference is taken
within each seed, d_i = first_i - second_i, and the interval is that of the mean of d:

    mean(d) +- t(0.975, n - 1) s(d) / sqrt(n),      p = P(|T| >= |mean(d)| sqrt(n) / s(d))

Where several differences answer one question they are one family, and Holm's correction keeps the
chance that any of them is called settled by luck below 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Any

BySeed = Mapping[Hashable, float]
"""{seed: value} of one arm."""
LEVEL = 0.05


@dataclass(frozen=True)
class Gap:
    """The mean of first - second over the seeds, and how sure it is.

    `half` is half of the 95 % interval of the mean. `p` belongs to this difference alone; `holm` is
    corrected for its family (`p` itself where it stands alone).
    """

    first: str
    second: str
    mean: float
    half: float
    p: float
    holm: float
    seeds: int
    family: str = ""

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The upper end of the 95 % interval."""
        return self.mean + self.half

    @property
    def settled(self) -> bool:
        """True where the corrected p is below 5 %; for a gap alone: where 0 is outside."""
        return self.holm < LEVEL


def by_seed(rows: Iterable[Mapping[str, Any]], value: str, **where: Any) -> dict[Hashable, float]:
    """Return {seed: row[value]} of the rows whose fields are as `where` says.

    `by_seed(recorded.data["runs"], "best", arm="q, v")`. Raises ValueError where no row fits, or
    two rows of one seed do; KeyError for a field that the rows lack.
    """
    found: dict[Hashable, float] = {}
    for row in rows:
        if all(row[name] == wanted for name, wanted in where.items()):
            if row["seed"] in found:
                raise ValueError(f"two rows have the seed {row['seed']!r} and {where}: say more")
            found[row["seed"]] = row[value]
    if not found:
        raise ValueError(f"no row has {where}")
    return found


def paired_gap(first: BySeed, second: BySeed, names: tuple[str, str] = ("first", "second")) -> Gap:
    """Return how far `first` lies above `second`, seed by seed.

    Raises TypeError for anything but {seed: value}, and ValueError for other seeds in one than in
    the other, for fewer than two, and for a value that is no finite number.
    """
    seeds = _shared_seeds(first, second, names)
    gaps = [float(first[seed]) - float(second[seed]) for seed in seeds]
    if not all(map(math.isfinite, gaps)):
        raise ValueError(f"{names[0]} less {names[1]} is not a finite number in every seed: {gaps}")
    middle, half = mean(gaps), half_width95(gaps)
    p = _p_value(middle, stdev(gaps) / math.sqrt(len(gaps)), len(gaps) - 1)
    return Gap(names[0], names[1], middle, half, p, p, len(gaps))


def paired_gaps(
    arms: Mapping[str, BySeed], pairs: Iterable[tuple[str, str]], family: str
) -> list[Gap]:
    """Return the gap of each pair of arms, with Holm's correction over all of them.

    `family` names the one question that they answer together; it stands in the table's caption.
    """
    if not family.strip():
        raise ValueError("family must name the question that these gaps answer together")
    gaps = [paired_gap(arms[a], arms[b], (a, b)) for a, b in pairs]
    corrected = holm([gap.p for gap in gaps])
    return [replace(g, holm=p, family=family) for g, p in zip(gaps, corrected, strict=True)]


def gaps_against(arms: Mapping[str, BySeed], reference: str, family: str) -> list[Gap]:
    """Return the gap of every other arm less `reference`, as one family."""
    if reference not in arms:
        raise ValueError(f"there is no arm {reference!r}; there are {', '.join(arms)}")
    return paired_gaps(arms, [(arm, reference) for arm in arms if arm != reference], family)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p-values, in the order given.

    The smallest is multiplied by n, the next by n - 1, and so on; none is below the one before it.
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - done) * p_values[place]))
        corrected[place] = highest
    return corrected


def half_width95(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean, t s / sqrt(n); 0 for a single value."""
    n = len(values)
    return t_quantile(0.975, n - 1) * stdev(values) / math.sqrt(n) if n > 1 else 0.0


def t_within(t: float, df: int) -> float:
    """P(|T| <= t) of Student's t with `df` degrees of freedom, a whole number.

    The finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4, in the angle atan(t / sqrt(df)).
    """
    angle = math.atan(t / math.sqrt(df))
    cosine2 = math.cos(angle) ** 2
    odd = df % 2
    term, total = (math.cos(angle), 0.0) if odd else (1.0, 0.0)
    for k in range((df - odd) // 2):
        total += term
        term *= cosine2 * ((2 * k + 2) / (2 * k + 3) if odd else (2 * k + 1) / (2 * k + 2))
    share = math.sin(angle) * total
    return 2 / math.pi * (angle + share) if odd else share


def t_quantile(probability: float, df: int) -> float:
    """The t below which Student's t with `df` degrees of freedom falls with `probability`.

    Raises ValueError unless 0.5 <= probability < 1 and df >= 1.
    """
    if not 0.5 <= probability < 1 or df < 1:
        raise ValueError(f"0.5 <= probability < 1 and df >= 1; got {probability!r}, {df!r}")
    wanted, low, high = 2 * probability - 1, 0.0, 1.0
    while t_within(high, df) < wanted:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_within(middle, df) < wanted else (low, middle)
    return (low + high) / 2


def _p_value(middle: float, error: float, df: int) -> float:
    """The two-sided p of a mean with this standard error."""
    if error == 0:
        return 0.0 if middle else 1.0
    return max(0.0, 1 - t_within(abs(middle) / error, df))


def _shared_seeds(first: BySeed, second: BySeed, names: tuple[str, str]) -> list[Hashable]:
    for name, values in zip(names, (first, second), strict=True):
        if not isinstance(values, Mapping):
            kind = type(values).__name__
            raise TypeError(f"{name} must be {{seed: value}}, to be joined by seed; got a {kind}")
    if apart := sorted(first.keys() ^ second.keys(), key=str):
        raise ValueError(f"{names[0]} and {names[1]} do not share the seeds {apart}")
    if len(first) < 2:
        raise ValueError(f"two seeds at least make a gap; {names[0]} has {len(first)}")
    return list(first)
