"""The nearest right name in an error's message."""

from __future__ import annotations

import pytest

import lora_lessons as ll
from lora_lessons import errors

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
    assert errors.nearest_and_known("v_porj", NAMES) == f"; did you mean 'v_proj'? {known}"
    assert errors.did_you_mean("embedding", NAMES) == ""
    assert errors.nearest_and_known("embedding", NAMES) == f" {known}"
    assert errors.nearest_and_known("x", ["LoRA, q and v", "full"]) == (
        " (known: 'LoRA, q and v', full)"
    )


def test_a_name_that_the_package_has_not_comes_with_the_nearest():
    with pytest.raises(AttributeError, match=r"no attribute 'get_peft_modle'\. Did .*_peft_model'"):
        ll.get_peft_modle  # noqa: B018
    assert not hasattr(ll, "__no_such__")
