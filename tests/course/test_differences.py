"""The sentence that explains a wrong result: found on the numbers, not in a list of mistakes."""

from __future__ import annotations

import pytest
import torch

from lora_lessons.course.checks.cases import first_wrong
from lora_lessons.course.checks.core import Wrong, expect

RIGHT = torch.tensor([[1.5, -2.0, 4.0], [-3.25, 0.7, 5.0]], dtype=torch.float64)


def said(value, expected=RIGHT, **how) -> str:
    with pytest.raises(Wrong) as found:
        expect(value, expected, **how)
    return str(found.value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (RIGHT.relu(), "What is below zero was set to 0"),
        (-(-RIGHT).relu(), "What is above zero was set to 0"),
        (RIGHT.abs(), "every sign is positive"),
        (RIGHT * torch.tensor([1.0, -1.0, 1.0]), "2 of 6 signs are wrong"),
        (RIGHT.flip(0), "in reverse order along the rows"),
        (RIGHT.roll(1), "stand in another order"),
        (RIGHT + 0.25, "Every number is 0.25 too large"),
        (RIGHT * 1.37, "All its numbers are 1.37 times what they should be"),
        (RIGHT * torch.tensor([[1.0], [1.4]]), "Along the rows it is wrong only at 1"),
        (RIGHT * torch.tensor([[0.6], [1.4]]), "Along the rows each one is off by a factor"),
        (RIGHT.mean(0).expand(2, 3), "they are the mean over it"),
        (RIGHT[:1].expand(2, 3) * 1.1, "they are one and the same"),
    ],
)
def test_a_tensor_is_explained_by_what_it_has_in_common_with_the_right_one(value, why):
    assert why in said(value)
    assert "Expected" in said(value)  # the two numbers stand there too


@pytest.mark.parametrize(
    ("value", "expected", "why"),
    [
        (9.61, 3.1, "the square of"),
        (3.1**0.5, 3.1, "the square root of"),
        (1 / 3.1, 3.1, "1 divided by"),
        (0.37, 0.63, "1 minus"),
        (13, 12, "one too large"),
        (16, 12, "rounded up to a multiple of 16"),
        (184, 187, "rounded down to a multiple of 8"),
        (float(torch.tensor(31.2985).half()), 31.2985, "no more digits than float16 holds"),
    ],
)
def test_a_number_is_explained_too(value, expected, why):
    assert why in said(value, torch.tensor(expected, dtype=torch.float64))


def test_nothing_is_explained_by_what_does_not_reproduce_it():
    assert said(2.345, torch.tensor(7.89, dtype=torch.float64)) == "Expected 7.89, got 2.345."
    noise = torch.tensor([[0.3, 9.0, -4.0], [1.0, 2.0, 0.1]], dtype=torch.float64)
    assert said(noise) == "Expected -2, got 9 (the entry that differs most)."


@pytest.mark.parametrize(
    ("times", "why"),
    [
        (7.0, "It has alpha as a factor once too often"),
        (1 / 3, "It lacks r as a factor"),
        (7**0.5, "It has the root of alpha as a factor"),
        (1 / 49, "It lacks alpha squared as a factor"),
        (7 / 3, "It is alpha / r times what is expected"),
    ],
)
def test_a_ratio_is_told_in_the_numbers_of_the_task(times, why):
    assert why in said(RIGHT * times, factors={"alpha": 7, "r": 3})


def test_two_factors_that_explain_a_ratio_explain_none():
    assert "factor once" not in said(RIGHT * 3, factors={"r": 3, "batch": 3})


def test_the_check_is_asked_where_nothing_explains_the_difference():
    asked = lambda: "The mask is wrong."  # noqa: E731
    value = torch.tensor(2.345, dtype=torch.float64)
    assert said(value, value * 3.3, otherwise=asked).startswith("The mask is wrong. Expected")
    assert "The mask" not in said(value**2, value, otherwise=asked)  # its square explains it
    assert said(value, value * 3.3, otherwise=lambda: "").startswith("Expected")


def test_the_simplest_case_that_is_wrong_is_told_with_what_is_new_in_it():
    cases = (
        ("one number", ([2.0],), 2.0), ("two", ([2.0, 3.0],), 5.0), ("none", ([],), 0.0),
    )  # fmt: skip
    assert first_wrong(sum, cases) == ""
    found = first_wrong(max, cases)
    assert found == "Right for one number. Wrong for two, [2.0, 3.0]: 5 is right, and it gives 3."
    failing = lambda values: sum(values) / len(values) * len(values)  # noqa: E731
    assert "Wrong for none, []: it raises ZeroDivisionError" in first_wrong(failing, cases)
    assert "it gives nan" in first_wrong(lambda values: float("nan"), cases)
    pops = lambda values: sum(values.pop() for _ in range(len(values)))  # noqa: E731
    assert first_wrong(pops, cases) == "" and cases[1][1] == ([2.0, 3.0],)  # on copies
