"""Every decimal number in prose, cards, claims and docs has a source that gives it."""

from __future__ import annotations

import pytest
from check_numbers import check_doc, check_lesson, docs, docs_values, named_sources, named_value

from tests.open_points import LESSONS, each_lesson, owing

NAMES = [path.name[:2] for path in LESSONS] + list(docs())


def without_source(found):
    return [f"{one.name} [{one.place}] ... {one.around}" for one, s in found.items() if s is None]


@each_lesson("numbers")
def test_every_number_of_a_lesson_has_a_source(path):
    lost = without_source(check_lesson(path))
    assert not lost, (
        f"no output, recording or entry of tests/number_sources/{path.name[:2]}.yml gives these: "
        f"print them in a cell (ll.gap_table), or mend them\n" + "\n".join(lost)
    )


@pytest.fixture(scope="module")
def values():
    return docs_values()


@pytest.mark.parametrize("name", owing("numbers", {name: name for name in docs()}))
def test_every_number_of_the_docs_has_a_source(name, values):
    assert without_source(check_doc(name, values)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_named_source_says_where_or_computes(name):
    wrong = [text for text, said in named_sources(name).items() if not named_value(text, said)]
    assert wrong == [], "name the paper and its table, or the sum after '='"
