"""Gaps seed by seed, against SciPy's and statsmodels' values, which are written down here."""

from __future__ import annotations

import itertools
import math
from statistics import mean, stdev

import pytest

from lora_lessons.experiments.gaps import (
    by_seed,
    gaps_against,
    half_width95,
    holm,
    paired_gap,
    paired_gaps,
    t_quantile,
    t_within,
)

# scipy 1.x: df -> (t.ppf(0.975), 2 t.sf(2), t.ppf(0.9995))
SCIPY_T = {
    1: (12.706204736174694, 0.2951672353008665, 636.6192487687897),
    2: (4.302652729749462, 0.18350341907227397, 31.599054576445365),
    3: (3.1824463052837078, 0.13932596855884305, 12.923978636687961),
    4: (2.7764451051977934, 0.11611652351681556, 8.610301581379522),
    5: (2.5705818356363146, 0.10193947882985835, 6.868826625881276),
    9: (2.262157162798205, 0.07655282377070101, 4.780912585931217),
    10: (2.228138851986274, 0.07338803477074037, 4.586893858702708),
    30: (2.0422724563012378, 0.054625044962983094, 3.6459586350420627),
}
A = dict(enumerate([4.553, 4.561, 4.548, 4.572, 4.559]))
B = dict(enumerate([4.530, 4.541, 4.535, 4.540, 4.533]))
# scipy.stats.ttest_rel(A, B): p, and its 95 % interval; ttest_ind(A, B): p
REL_P, REL_LOW, REL_HIGH = 0.0019397947148082602, 0.014046488968622815, 0.03155351103137678
IND_P = 0.0010538381025094344


@pytest.mark.parametrize("df", SCIPY_T)
def test_student_t_is_scipys(df):
    middle, beyond_two, far = SCIPY_T[df]
    assert t_quantile(0.975, df) == pytest.approx(middle, rel=1e-9)
    assert t_quantile(0.9995, df) == pytest.approx(far, rel=1e-6)
    assert 1 - t_within(2, df) == pytest.approx(beyond_two, rel=1e-9)


def test_a_gap_is_scipys_paired_test():
    gap = paired_gap(A, B)
    assert gap.p == gap.holm == pytest.approx(REL_P, rel=1e-9)
    assert (gap.low, gap.high) == pytest.approx((REL_LOW, REL_HIGH), rel=1e-9)
    assert gap.seeds == 5 and gap.settled
    turned = paired_gap(B, A)
    assert turned.mean == -gap.mean and turned.p == gap.p


def test_the_wrong_ways_give_other_numbers():
    gap, differences = paired_gap(A, B), [A[s] - B[s] for s in A]
    assert gap.p != pytest.approx(IND_P, rel=0.1)  # unpaired
    error = stdev(differences) / math.sqrt(5)
    assert gap.half != pytest.approx(1.96 * error, rel=0.2)  # the normal's quantile
    spread0 = math.sqrt(mean((d - gap.mean) ** 2 for d in differences))  # ddof 0
    assert gap.half != pytest.approx(t_quantile(0.975, 4) * spread0 / math.sqrt(5), rel=0.1)
    assert gap.half != pytest.approx(t_quantile(0.975, 5) * error, rel=0.05)  # n degrees of freedom
    assert gap.half != pytest.approx(t_quantile(0.95, 4) * error, rel=0.1)  # one-sided


def test_values_are_joined_by_seed_and_not_by_place():
    shuffled = {seed: B[seed] for seed in (3, 0, 4, 1, 2)}
    assert paired_gap(A, shuffled) == paired_gap(A, B)
    zipped = [a - b for a, b in zip(A.values(), shuffled.values(), strict=True)]
    assert half_width95(zipped) != pytest.approx(paired_gap(A, B).half, rel=0.1)


def test_holm_is_statsmodels():
    assert holm([0.01, 0.04, 0.03, 0.005, 0.9]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.9])
    assert holm([0.6, 0.7]) == [1, 1] and holm([]) == []


RANKS = {  # best losses of SmolLM2 in lesson 01, each rank at its best rate, seeds 0 to 2
    "1": (3.87545, 3.91495, 3.88318),
    "4": (3.87957, 3.89542, 3.88451),
    "8": (3.85832, 3.88601, 3.87711),
    "16": (3.84899, 3.88407, 3.86906),
    "64": (3.85651, 3.87502, 3.86057),
    "128": (3.84171, 3.87247, 3.85562),
}


def test_one_pair_of_fifteen_is_settled():
    """By other code, before this was written: 4 - 64 is 0.0225 +- 0.0046, p .002, Holm .034."""
    arms = {rank: dict(enumerate(losses)) for rank, losses in RANKS.items()}
    gaps = paired_gaps(arms, itertools.combinations(arms, 2), "all pairs of ranks")
    found = {(gap.first, gap.second): gap for gap in gaps}
    four = found["4", "64"]
    assert (round(four.mean, 4), round(four.half, 4)) == (0.0225, 0.0046)
    assert (round(four.p, 3), round(four.holm, 3)) == (0.002, 0.034)
    assert [pair for pair, gap in found.items() if gap.settled] == [("4", "64")]
    assert len([gap for gap in gaps if gap.p < 0.05]) == 6  # each called settled without Holm


def test_a_family_corrects_what_a_gap_alone_would_settle():
    arms = {"a": A, "b": {s: v + 0.002 + 0.0005 * s for s, v in A.items()}, "c": B}
    alone = paired_gap(arms["b"], arms["a"])
    gaps = gaps_against(arms, "a", "each arm against a")
    assert [gap.first for gap in gaps] == ["b", "c"] and {g.second for g in gaps} == {"a"}
    assert gaps[0].p == alone.p and gaps[0].family == "each arm against a"
    many = paired_gaps(arms, [("c", "a")] * 30, "thirty times")
    assert many[0].p == pytest.approx(REL_P) and many[0].holm == pytest.approx(30 * REL_P)
    assert paired_gap(B, A).settled and not many[0].settled


@pytest.mark.parametrize(
    ("first", "second", "error", "message"),
    [
        ([1.0, 2.0], {0: 1.0, 1: 2.0}, TypeError, r"first must be \{seed: value\}.*got a list"),
        ({0: 1.0, 1: 2.0}, {0: 1.0, 2: 2.0}, ValueError, r"do not share the seeds \[1, 2\]"),
        ({0: 1.0}, {0: 2.0}, ValueError, "two seeds at least"),
        ({0: 1.0, 1: math.nan}, {0: 1.0, 1: 2.0}, ValueError, "not a finite number"),
    ],
)
def test_what_cannot_be_paired_is_refused(first, second, error, message):
    with pytest.raises(error, match=message):
        paired_gap(first, second)


def test_equal_arms_are_not_settled_and_a_constant_gap_is():
    assert not paired_gap(A, A).settled and paired_gap(A, A).p == 1
    shifted = paired_gap({0: 1.5, 1: 2.5}, {0: 1.0, 1: 2.0})
    assert shifted.half == 0 and shifted.settled


def test_rows_become_seeds():
    rows = [
        {"arm": arm, "lr": lr, "seed": seed, "best": seed + lr}
        for arm in "ab"
        for lr in (1, 2)
        for seed in (0, 1)
    ]
    assert by_seed(rows, "best", arm="a", lr=2) == {0: 2, 1: 3}
    with pytest.raises(ValueError, match="two rows have the seed 0"):
        by_seed(rows, "best", arm="a")
    with pytest.raises(ValueError, match="no row has"):
        by_seed(rows, "best", arm="c")
    with pytest.raises(KeyError):
        by_seed(rows, "best", arms="a")


def test_an_unknown_reference_or_family_is_refused():
    with pytest.raises(ValueError, match="no arm 'x'; there are a, b"):
        gaps_against({"a": A, "b": B}, "x", "which")
    with pytest.raises(ValueError, match="family must name"):
        paired_gaps({"a": A, "b": B}, [("a", "b")], " ")
