"""docs/peft-parity.md has the rows of the tables that write it, and their last column."""

from __future__ import annotations

import pytest

from tests.parity import test_layers, test_quantized
from tests.parity.layer_differences import LAYER_BEHAVIOUR
from tests.parity.other_differences import OTHER_BEHAVIOUR
from tests.parity.quantized_differences import QUANTIZED_BEHAVIOUR
from tests.parity.table import BEHAVIOUR, PAGE
from tests.parity.weight_differences import WEIGHT_BEHAVIOUR
from tests.parity.weight_models import CASES, FIELDS


@pytest.fixture(scope="module")
def rows():
    """The cells of each line of a table in the page."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]


def test_every_layer_and_config_is_compared(rows):
    head = ["layer", *test_layers.FIELDS]
    at = rows.index(head)
    table = rows[at + 1 : at + 1 + len(test_layers.LAYERS)]
    assert [row[0] for row in table] == list(test_layers.LAYERS)
    assert all(len(row) == len(head) for row in table)
    missing = {
        (row[0], fields)
        for row in table
        for fields, cell in zip(head[1:], row[1:], strict=True)
        if cell == "-"
    }
    every = {(layer, fields) for layer in test_layers.LAYERS for fields in test_layers.FIELDS}
    assert missing == every - set(test_layers.CASES)


def test_every_weight_and_config_is_compared(rows):
    at = rows.index(["weights", *FIELDS])
    table = rows[at + 1 : at + 1 + len(CASES)]
    assert [row[0] for row in table] == list(CASES)
    assert {cell for row in table for cell in row[1:]} == {"yes"}


def test_every_layer_of_few_bits_is_compared(rows):
    head = ["few bits", *test_quantized.FIELDS]
    at = rows.index(head)
    table = rows[at + 1 : at + 1 + len(test_quantized.THEIRS)]
    cells = {
        (row[0], fields): cell
        for row in table
        for fields, cell in zip(head[1:], row[1:], strict=True)
    }
    assert {case for case, cell in cells.items() if cell == "yes"} == set(test_quantized.CASES)
    assert set(cells.values()) == {"yes", "-"}


def test_every_difference_stands_with_what_happens_here(rows):
    at = next(i for i, row in enumerate(rows) if row[0] == "case")
    written = [(row[0], row[-1]) for row in rows[at + 1 :]]
    every = [*BEHAVIOUR, *LAYER_BEHAVIOUR, *OTHER_BEHAVIOUR, *WEIGHT_BEHAVIOUR]
    every += QUANTIZED_BEHAVIOUR
    assert written == [(name, here) for name, _, here in every]
