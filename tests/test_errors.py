"""The nearest right name in an error's message."""

from __future__ import annotations

import pytest

from lora_lessons import errors, text

NAMES = ["q_proj", "v_proj", "down_proj"]


@pytest.mark.parametrize(
    ("name", "near"),
    [("v_porj", "v_proj"), ("down", "down_proj"), ("q_proj", "q_proj"), ("embedding", None)],
)
def test_the_nearest_name_or_none(name, near):
    assert errors.nearest(name, NAMES) == near


def test_names_of_other_kinds_are_compared_as_text():
    assert errors.nearest(16, [8, 16]) == "16"


def test_both_hints_name_the_same_choice():
    assert errors.did_you_mean("v_porj", NAMES) == " Did you mean 'v_proj'?"
    known = "(known: q_proj, v_proj, down_proj)"
    assert text.did_you_mean("v_porj", NAMES) == f"; did you mean 'v_proj'? {known}"
    assert errors.did_you_mean("embedding", NAMES) == ""
    assert text.did_you_mean("embedding", NAMES) == f" {known}"
