"""Answers that remember an earlier call are found; what a model was in the middle of shows."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import nn

from lora_lessons.course.checks.core import RIGHT, WRONG, Exercise, expect, run_check
from lora_lessons.course.checks.lived import lived_in
from lora_lessons.course.checks.memory import REMEMBERED, may_remember


def check_square(answer, rng):
    x = torch.randn(3, generator=rng, dtype=torch.float64)
    expect(answer(x), x * x)


SQUARE = Exercise("square", "T Square", 1, 1, ("", "", ""), check_square, takes=("x",))


def define(source: str, **module):
    scope = {"torch": torch, "math": math, "functools": functools, **module}
    exec(source, scope)
    return scope["square"]


REMEMBERING = {
    "a global dict": "memo = {}\ndef square(x):\n    return memo.setdefault(len(x), x * x)\n",
    "a default": "def square(x, memo={}):\n    return memo.setdefault(len(x), x * x)\n",
    "an attribute": (
        "def square(x):\n    return square.__dict__.setdefault(len(x), x * x)\nsquare.kept = True\n"
    ),
    "a global name": (
        "kept = None\ndef square(x):\n    global kept\n    kept = x * x if kept is None else kept\n"
        "    return kept\n"
    ),
    "a helper": (
        "memo = {}\ndef helper(x):\n    return memo.setdefault(len(x), x * x)\n"
        "def square(x):\n    return helper(x)\n"
    ),
    "a class": (
        "class Kept:\n    memo = {}\ndef square(x):\n"
        "    return Kept.memo.setdefault(len(x), x * x)\n"
    ),
    "a closure": (
        "def make():\n    memo = []\n    def square(x):\n        memo.append(x * x)\n"
        "        return memo[0]\n    return square\nsquare = make()\n"
    ),
}


# in a notebook's cell, and as a script runs an answer that it has read: without a module's name
WHERE = {"a cell": {"__name__": "__main__"}, "a script": {}}


@pytest.mark.parametrize("module", WHERE.values(), ids=WHERE)
@pytest.mark.parametrize("source", REMEMBERING.values(), ids=REMEMBERING)
def test_an_answer_that_remembers_an_earlier_call_is_refused(source, module):
    answer = define(source, **module)
    assert may_remember(answer)
    verdict = run_check(SQUARE, answer, seed=3)
    assert verdict.outcome == WRONG
    assert verdict.message.startswith(REMEMBERED)


HARMLESS = {
    "nothing": "def square(x):\n    return x * x\n",
    "modules, functions, numbers": (
        "POWER = 2\ndef power(x):\n    return x ** POWER\n"
        "def square(x):\n    return power(x) + 0 * math.pi * torch.ones(3)\n"
    ),
    "a class of methods": (
        "class Squarer:\n    def __call__(self, x):\n        return x * x\n"
        "def square(x):\n    return Squarer()(x)\n"
    ),
}


@pytest.mark.parametrize("module", WHERE.values(), ids=WHERE)
@pytest.mark.parametrize("source", HARMLESS.values(), ids=HARMLESS)
def test_other_answers_are_checked_once(source, module):
    answer = define(source, **module)
    assert not may_remember(answer)
    assert run_check(SQUARE, answer, seed=3).outcome == RIGHT


def test_a_memory_that_does_no_harm_is_right():
    answer = define("TABLE = {2: 'two'}\ndef square(x):\n    return x ** len(TABLE) * x\n")
    assert may_remember(answer)
    assert run_check(SQUARE, answer, seed=3).outcome == RIGHT


def test_a_cached_function_is_found():
    assert may_remember(functools.lru_cache(lambda x: x))


def test_a_model_that_was_lived_in_has_gradients_and_two_modes():
    for seed in range(20):
        model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Dropout(), nn.LayerNorm(3)))
        lived_in(model, torch.Generator().manual_seed(seed))
        assert {part.training for part in model.modules()} == {True, False}
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    one = lived_in(nn.Linear(2, 2).bfloat16(), torch.Generator().manual_seed(0))
    assert one.weight.grad.dtype == torch.bfloat16
