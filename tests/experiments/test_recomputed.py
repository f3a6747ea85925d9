"""Each comparison that the stored pages show is computed once more, and none changes.

`recomputed/` selects the arms from the recorded JSON and does the arithmetic by itself. So a wrong
seed, a rate that the tuning seeds did not choose, a family that is smaller than its table, a wrong
rounding, or a page that is behind its recording each fail here.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import pytest

from lora_lessons.experiments.gaps import holm, paired_gap, t_quantile

from .recomputed import arithmetic
from .recomputed.choosing import Pairs
from .recomputed.lesson_04 import lesson04
from .recomputed.lesson_10 import card_cells, lesson10
from .recomputed.lessons_01_03 import lesson01, lesson02, lesson03
from .recomputed.lessons_05_08 import lesson05, lesson06, lesson07, lesson08
from .recomputed.lessons_12_15 import lesson12, lesson13, lesson14, lesson15
from .recomputed.stored import Shown, all_tables, rounds_to, tables

LESSONS = {
    "01": lesson01, "02": lesson02, "03": lesson03, "04": lesson04, "05": lesson05,
    "06": lesson06, "07": lesson07, "08": lesson08, "10": lesson10, "12": lesson12,
    "13": lesson13, "14": lesson14, "15": lesson15,
}  # fmt: skip
WORDS = r"(\S+) ± (\S+) \(p (.+), Holm (.+)\)"  # a gap in a sentence
LIVE = {  # trained on the page itself, or an invented example: no recording holds these runs
    "00: B, C and D against A",
    "06: each arm against none",
    "10: forgetting at an equal target loss, 3.14",
}


@cache
def recomputed() -> dict[str, Pairs]:
    """{"03: caption": {row: (first, second)}}."""
    return {f"{nn}: {caption}": rows for nn, make in LESSONS.items()
            for caption, rows in make().items()}  # fmt: skip


@cache
def shown() -> dict[str, Shown]:
    """{"03: caption": table}; the second of one caption in one lesson ends in " (2)"."""
    found, times = {}, Counter()
    for table in tables():
        times[table.name] += 1
        found[table.name + (f" ({times[table.name]})" if times[table.name] > 1 else "")] = table
    return found


def test_every_table_of_differences_is_recomputed():
    assert shown().keys() == recomputed().keys() | LIVE


@pytest.mark.parametrize("name", recomputed())
def test_the_stored_table_says_what_the_recording_gives(name):
    table, rows = shown()[name], recomputed()[name]
    assert {row[0] for row in table.rows} == rows.keys()
    found = {label: arithmetic.paired(*arms) for label, arms in rows.items()}
    corrected = dict(zip(found, arithmetic.holm([one.p for one in found.values()]), strict=True))
    for label, size, seeds, p, *more, verdict in table.rows:
        one, (first, second) = found[label], label.split(" − ")
        assert all(map(rounds_to, (one.mean, one.half), size.split(" ± "))), (label, one)
        assert int(seeds) == one.seeds
        assert rounds_to(one.p, p), (label, one)
        assert [rounds_to(corrected[label], text) for text in more] == [True] * len(more), label
        settled = corrected[label] < 0.05
        lower = first if one.mean < 0 else second
        assert verdict == (f"{lower} is lower" if settled else "not settled"), label


@pytest.mark.parametrize("name", shown())
def test_a_table_of_several_rows_is_one_family_over_all_of_them(name):
    table = shown()[name]
    said = f"p, Holm over {len(table.rows)}"
    assert said in table.head or (len(table.rows) == 1 and table.head[-1:] == ["verdict"])


@pytest.mark.parametrize("name", sorted(LIVE))
def test_a_live_table_agrees_with_itself(name):
    """Its runs are not stored: p follows from mean and interval, Holm's from the p's."""
    table, found = shown()[name], []
    for _, size, seeds, p, *_ in table.rows:
        middle, half = (float(text.replace("−", "-")) for text in size.split(" ± "))
        df = int(seeds) - 1
        t = abs(middle) / half * arithmetic.quantile(df)
        found.append(arithmetic.outside(t, df))
        assert found[-1] == pytest.approx(float(p), rel=0.15)  # two digits of either are shown
    for (*_, p, verdict), again in zip(table.rows, arithmetic.holm(found), strict=True):
        assert again == pytest.approx(float(p), rel=0.15)
        assert verdict.endswith("is lower") == (float(p) < 0.05)


def test_the_cards_table_is_one_family_of_twelve():
    (table,) = [one for one in all_tables() if one.head[-2:] == ["each at its own rate", "so it"]]
    found = {label: arithmetic.paired(*arms) for label, arms in card_cells().items()}
    corrected = dict(zip(found, arithmetic.holm([one.p for one in found.values()]), strict=True))
    for _, compared, at_one, own, said in table.rows:
        for label, text in ((f"{compared}: one rate", at_one), (f"{compared}: own rates", own)):
            middle, half, p, holm_p = re.fullmatch(WORDS, text).groups()
            one = found.pop(label)
            for value, cell in ((one.mean, middle), (one.half, half), (one.p, p)):
                assert rounds_to(value, cell), label
            assert rounds_to(corrected[label], holm_p), label
            above = corrected[label] < 0.05 and one.mean > 0
        assert said.startswith("at one rate only") != above, compared
    assert not found


def test_the_packages_function_agrees_on_every_recorded_pair():
    for name, rows in recomputed().items():
        gaps = {label: paired_gap(*arms) for label, arms in rows.items()}
        found = {label: arithmetic.paired(*arms) for label, arms in rows.items()}
        for label, gap in gaps.items():
            one = found[label]
            assert (gap.mean, gap.half) == pytest.approx((one.mean, one.half), rel=1e-9), name
            assert gap.p == pytest.approx(one.p, rel=1e-6, abs=1e-12), (name, label)
        again = arithmetic.holm([one.p for one in found.values()])
        assert holm([gap.p for gap in gaps.values()]) == pytest.approx(again, rel=1e-6, abs=1e-12)


def test_scipy_agrees_with_the_second_arithmetic_too():
    stats = pytest.importorskip("scipy.stats")
    for name, rows in recomputed().items():
        for label, (first, second) in rows.items():
            one, seeds = arithmetic.paired(first, second), sorted(first)
            test = stats.ttest_rel([first[s] for s in seeds], [second[s] for s in seeds])
            if one.half == 0:
                continue  # scipy has no p for differences that are all the same
            low, high = test.confidence_interval(0.95)
            assert (one.mean - one.half, one.mean + one.half) == pytest.approx((low, high)), name
            assert one.p == pytest.approx(test.pvalue, rel=1e-6, abs=1e-12), (name, label)


def test_the_second_arithmetic_is_held_to_published_values():
    assert arithmetic.quantile(4) == pytest.approx(2.7764451051977934)  # any table of t
    assert arithmetic.quantile(2) == pytest.approx(t_quantile(0.975, 2)) == pytest.approx(4.3026527)
    again = arithmetic.holm([0.01, 0.04, 0.03, 0.005, 0.9])  # statsmodels' multipletests
    assert again == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.9])
