"""The table of gaps: what it says in words, its rounding, its HTML."""

from __future__ import annotations

import pytest

from lora_lessons.course.statistics import (
    gap_table,
    gap_words,
    gaps_against,
    interval95,
    paired_gap,
)
from lora_lessons.course.tables import Table

ARMS = {
    "q, v": {0: 4.40, 1: 4.44, 2: 4.42},
    "MLP <all>": {0: 4.301, 1: 4.339, 2: 4.322},
    "all": {0: 4.30, 1: 4.345, 2: 4.3181},
}


def test_the_table_says_what_is_settled_and_what_is_not():
    table = gap_table(gaps_against(ARMS, "all", "each choice against all"), "nats per token")
    lines = repr(table).splitlines()
    assert lines[0] == "each choice against all"
    assert "mean ± 95 % (nats per token)" in lines[1] and "p, Holm over 2" in lines[1]
    assert lines[2].startswith("q, v − all") and lines[2].endswith("all is lower")
    assert lines[3].startswith("MLP <all> − all") and lines[3].endswith("not settled")
    assert gap_table(gaps_against(ARMS, "all", "each choice against all")).rows == table.rows


def test_the_html_has_a_caption_and_heads_of_columns_and_rows():
    html = gap_table(gaps_against(ARMS, "all", "each choice against all"))._repr_html_()
    assert ">each choice against all</caption>" in html
    assert html.count('scope="col"') == 6 and html.count('scope="row"') == 2
    assert "MLP &lt;all&gt; − all" in html and "<all>" not in html


def test_one_gap_has_no_correction():
    gap = paired_gap(ARMS["q, v"], ARMS["all"], ("q, v", "all"))
    assert "Holm" not in repr(gap_table(gap)) and repr(gap_table(gap)).startswith("seed by seed")
    assert gap_words(gap, "nats") == "0.0990 ± 0.0089 nats (p < 0.001)"


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ({0: 1.0046, 1: 1.0030, 2: 1.0062}, "0.0046 ± 0.0040"),
        ({0: 0.5, 1: -2.0, 2: 3.0}, "−0.5 ± 6.2"),
        ({0: 1.00001, 1: 0.99999, 2: 1.0}, "0.000000 ± 0.000025"),
    ],
)
def test_two_digits_of_the_interval_are_shown(first, words):
    assert gap_words(paired_gap(first, dict.fromkeys(range(3), 1.0))).startswith(words)


def test_a_table_is_of_one_family_and_of_something():
    gaps = gaps_against(ARMS, "all", "one") + gaps_against(ARMS, "q, v", "other")
    with pytest.raises(ValueError, match="one table, one family"):
        gap_table(gaps)
    with pytest.raises(ValueError, match="one gap at least"):
        gap_table([])


def test_an_interval_of_a_mean_uses_students_t():
    low, high = interval95([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.302652729749 / 3**0.5, 2 + 4.302652729749 / 3**0.5))


def test_numbers_stand_to_the_right_and_words_to_the_left():
    table = Table(["arm", "loss", "word"], [["q", "4.3", "x"], ["all", "−14.0", "yy"]], note="n")
    assert repr(table) == "arm   loss  word\nq      4.3  x\nall  −14.0  yy\nn"
    html = table._repr_html_()
    assert '<td style="text-align: right">4.3</td>' in html
    assert '<td style="text-align: left">x</td>' in html
    with pytest.raises(ValueError, match="a row has 1 cells, the head 2"):
        Table(["a", "b"], [["1"]])


def test_a_column_without_a_name_has_no_header():
    """axe calls an empty header a fault: a screen reader would announce nothing."""
    html = Table(["arm", "loss", ""], [["A", "1.0", "lowest"]])._repr_html_()
    assert html.count('<th scope="col"') == 2
    assert '<td style="text-align: left"></td></tr></thead>' in html
