"""Lesson 10: runs that diverged, other seeds, two seeds, curves that rise, a single measurement."""

import math
from fractions import Fraction

from hypothesis import assume
from hypothesis import strategies as st

from . import Edge, whole

LOSS = st.floats(0.5, 9)


@st.composite
def _runs(draw):
    seeds = draw(st.lists(whole(0, 30), min_size=2, max_size=7, unique=True))
    cut, more = draw(whole(1, len(seeds) - 1)), draw(whole(0, 2))
    rates = draw(st.lists(st.floats(1e-6, 1), min_size=1, max_size=5, unique=True))
    loss = st.one_of(LOSS, st.just(math.nan))
    runs = [(lr, s, draw(loss)) for lr in rates for s in [*seeds, *range(100, 100 + more)]]
    return draw(st.permutations(runs)), seeds[:cut], seeds[cut:]


def _pick(runs, tuning, fresh):
    table = {(lr, seed): math.inf if loss != loss else loss for lr, seed, loss in runs}
    rates = sorted({lr for lr, _ in table})
    sums = [math.fsum(table[lr, s] for s in tuning) for lr in rates]
    lowest = sorted(sums)
    assume(lowest[0] < math.inf and (len(sums) == 1 or lowest[1] > lowest[0] + 1e-6))
    at = sums.index(lowest[0])
    mean = math.fsum(table[rates[at], s] for s in fresh) / len(fresh)
    return rates[at], mean if mean < math.inf else -1.0, at in (0, len(rates) - 1)


def _finite(result, *given):
    return result[0], result[1] if result[1] < math.inf else -1.0, result[2]


@st.composite
def _pair(draw):
    seeds = draw(st.lists(whole(0, 50), min_size=2, max_size=9, unique=True))
    a, b = ({s: draw(LOSS) for s in draw(st.permutations(seeds))} for _ in "ab")
    return a, b, {df: 2 + 10 / df**2 for df in range(1, 20)}


def _interval(a, b, t):
    gaps = [Fraction(a[s]) - Fraction(b[s]) for s in sorted(a)]
    n = len(gaps)
    middle = sum(gaps) / n
    variance = sum((gap - middle) ** 2 for gap in gaps) / (n - 1)
    return float(middle), t[n - 1] * math.sqrt(variance / n)


@st.composite
def _curves(draw):
    n = draw(whole(1, 6))
    target, base = ([draw(LOSS) for _ in range(n)] for _ in "ab")
    return target, base, draw(st.one_of(LOSS, st.sampled_from(target)))


def _crossing(target, base, goal):
    reached = [i for i, loss in enumerate(target) if loss <= goal]
    if not reached:
        return None
    at = reached[0]
    if at == 0 or target[at] == goal:
        return base[at]
    above, below = Fraction(target[at - 1]) - Fraction(goal), Fraction(goal) - Fraction(target[at])
    assume(above + below > 1e-9)
    weighed = below * Fraction(base[at - 1]) + above * Fraction(base[at])
    return float(weighed / (above + below))


EDGES = {
    "pick": Edge(_runs(), _pick),
    "paired_interval": Edge(_pair(), _interval),
    "forgetting_at": Edge(_curves(), _crossing),
}
SEEN = {"pick": _finite}
