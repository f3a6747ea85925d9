"""Every solution against arithmetic of its own, on inputs at the edges that hypothesis finds."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from torch import Tensor

import lora_lessons as ll
from tests.course.edges import Edge
from tests.course.test_exercises import define, solution, wrong_answers

# the right answer there is a state of a model, a table, a key or a file: their checks build these
NO_ARITHMETIC = {
    *("AdaptedLinear", "inject", "DropoutLora", "measure_quietly", "all_linear", "run_blocks"),
    *("biases_that_train", "adapter_contents", "measure_base", "fitting_arguments", "ExactMerge"),
    *("merge_into_head", "cache_key", "mini_lora"),
}
WRITTEN = sorted(path.stem[-2:] for path in Path(__file__).parent.glob("edges/lesson*.py"))
MODULES = {n: importlib.import_module(f"tests.course.edges.lesson{n}") for n in WRITTEN}
CASES = [
    pytest.param(number, name, edge, id=f"{number}-{name}")
    for number, module in MODULES.items()
    for name, edge in module.EDGES.items()
]
each_case = pytest.mark.parametrize(("number", "name", "edge"), CASES)


def agree(actual: Any, expected: Any) -> bool:
    """Equal; numbers and tensors up to rounding in float32, of the largest of them."""
    if isinstance(expected, dict):
        same = isinstance(actual, dict) and actual.keys() == expected.keys()
        return same and all(agree(actual[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple):
        pairs = zip(actual, expected, strict=False)
        return len(actual) == len(expected) and all(agree(a, b) for a, b in pairs)
    if isinstance(expected, bool | str | int | None):
        return actual == expected
    actual, expected = (torch.as_tensor(v).detach().double() for v in (actual, expected))
    if actual.shape != expected.shape and actual.numel() * expected.numel() != 1:
        return False
    if not expected.numel():
        return True
    scale = max(1.0, expected.abs().max().item())
    return (actual.reshape(expected.shape) - expected).abs().max().item() < 2e-4 * scale


def outcome(function: Any, arguments: tuple[Any, ...]) -> Any:
    """What a call returns, or the kind of what it raises."""
    try:
        return function(*arguments)
    except ValueError:
        return ValueError.__name__


def holds(number: str, name: str, edge: Edge, arguments: tuple[Any, ...], answer: Any) -> None:
    expected = outcome(edge.expected, arguments)  # first: it must not see what a call changed
    actual = outcome(answer, arguments)
    seen = getattr(MODULES[number], "SEEN", {}).get(name)
    if seen and actual != ValueError.__name__:
        actual = seen(actual, *arguments)
    assert agree(actual, expected), f"{arguments}: {actual} and not {expected}"


def tried(
    number: str, name: str, edge: Edge, examples: int, same: bool, answer: Any = None
) -> None:
    tested = answer or solution(number, name)

    @settings(
        max_examples=examples, derandomize=same, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate] if answer else list(Phase),  # of a wrong answer any input will do
    )  # fmt: skip
    @given(edge.arguments)
    def run(arguments: tuple[Any, ...]) -> None:
        holds(number, name, edge, arguments, tested)

    run()


@each_case
def test_a_solution_is_right_at_the_edges(number, name, edge):
    tried(number, name, edge, examples=25, same=True)


def differs(number: str, name: str, edge: Edge, answer: Any) -> bool:
    """Whether an answer gives another result than the edge's own at some input, or raises."""
    try:
        tried(number, name, edge, examples=25, same=True, answer=answer)
    except Exception:
        return True
    return False


@each_case
def test_an_edge_tells_a_wrong_answer(number, name, edge):
    wrong = (define(one.source, name) for one in wrong_answers(number)[name])
    assert any(differs(number, name, edge, answer) for answer in wrong)


@pytest.mark.nightly
@each_case
def test_a_solution_is_right_at_two_hundred_edges(number, name, edge):
    tried(number, name, edge, examples=200, same=False)


def test_each_exercise_has_an_edge_or_no_arithmetic():
    exercises = {
        name for n in MODULES for name, e in ll.lesson(n).exercises.items() if e.own is None
    }
    assert exercises - NO_ARITHMETIC == {name for m in MODULES.values() for name in m.EDGES}
    assert exercises >= NO_ARITHMETIC


def test_an_edge_finds_the_rank_that_was_one_too_many():
    """What 1.3's solution once was: 65 of 64 ranks, where the two sums are rounded otherwise."""

    def old(values: Tensor, share: float) -> int:
        energy = values.square()
        return int((energy.cumsum(0) / energy.sum() < share).sum()) + 1

    gen = torch.Generator().manual_seed(0)
    drawn = [torch.rand(64, generator=gen).sort(descending=True).values + 0.1 for _ in range(200)]
    assert any(old(values, 1.0) == 65 for values in drawn)
    assert all(solution("01", "rank_for_energy")(values, 1.0) == 64 for values in drawn)


@pytest.mark.parametrize(
    ("actual", "expected", "same"),
    [
        (torch.ones(2), torch.ones(2).double(), True),
        (torch.ones(2), torch.ones(3), False),
        (1.001, 1.0, False),
        ([1, 2], (1, 2), True),
        ([1], (1, 2), False),
        ({"a": 1.0}, {"b": 1.0}, False),
        ("stable", "spiked", False),
        (math.pi, torch.tensor(math.pi), True),
    ],
)
def test_agree_tells_results_apart(actual, expected, same):
    assert agree(actual, expected) is same
