"""Errors of a learner's code in plain words, with the learner's line."""

from __future__ import annotations

import linecache
import math

import pytest
import torch
from torch import nn

from lora_lessons.course.checks.core import WRONG, Exercise, Wrong, expect, run_check


def check_task(answer, rng):
    x, layer = torch.randn(4, 3, generator=rng), nn.Linear(3, 2, bias=False)
    result = answer(x, layer)
    if isinstance(result, str):
        raise Wrong("A text.")
    expect(result.mean(), x.double().mean(), k=12)


TASK = Exercise(
    "task", "9.9 A task", 1, 1, ("a", "b", "c"), check_task, takes=("x", "layer"),
    mutates=("layer",),
)  # fmt: skip


def define(body: str, head: str = "def task(x, layer):"):
    """The function, as a notebook's cell defines it: its lines can be read."""
    source = head + "".join(f"\n    {line}" for line in body.split("\n")) + "\n"
    linecache.cache["<cell>"] = (len(source), None, source.splitlines(True), "<cell>")
    scope = {"torch": torch, "math": math, "nn": nn, "__name__": "__main__"}
    exec(compile(source, "<cell>", "exec"), scope)
    return scope["task"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("layer.weight.mul_(2)", "torch.no_grad()"),
        ("layer.weight[0] = 0", "torch.no_grad()"),
        ("layer.weight.numpy()", "x.detach()"),
        ("x.sum().backward()", "no gradient"),
        ("x @ layer.weight", "4x3 and 2x3 differ: is a transpose"),
        ("x + torch.ones(4, 2)", "do not fit, 3 against 2"),
        ("x.view(5)", "another number of elements"),
        ("x.double() @ layer.weight.T", "dtype=x.dtype"),
        ("layer(x.double())", "dtype=x.dtype"),
        ("if x > 0: pass", ".any() or .all()"),
        ("return x.item()", "a tensor of one number"),
        ("a, b, c = x, x", "Left of `=` are 3 names, and the right side has 2 values"),
        ("a, b = x", "the right side has more values"),
        ("return layer.bias.sum()", "Something is None here"),
        ("y = 2; return y(x)", "is a sign missing before the bracket"),
        ("return 1 / (len(x) - 4)", "A divisor is zero"),
        ("return [1][3]", "past the end"),
        ("return math.exp(1e6)", "too large for a float"),
        ("return task(x, layer)", "calls itself without an end"),
        ("return tourch.ones(1)", "Did you mean `torch`?"),
        ("return layr(x)", "Did you mean `layer`?"),
        ("return x.sumn()", "Did you mean `sum`?"),
        ("return {'a': 1}['b']", "no such key"),
        ("y = y + 1", "`y` is used before it has a value on the way"),
    ],
)
def test_an_error_is_told_in_plain_words_with_its_line(body, says):
    verdict = run_check(TASK, define(body))
    assert verdict.outcome == WRONG
    assert says in verdict.message
    assert "at the line `" in verdict.message
    assert "calls itself" in says or f"at the line `{body}`" in verdict.message
    assert verdict.message.startswith("Your code raised ")


@pytest.mark.parametrize("head", ["def task(x):", "def task():", "def task(a, b, c):"])
def test_the_wrong_number_of_arguments_names_the_right_ones(head):
    message = run_check(TASK, define("return 1", head)).message
    assert "task is called with x, layer: keep these arguments" in message


def test_a_constructor_with_other_arguments_is_told_so():
    class task(nn.Module):
        def __init__(self, x):
            super().__init__()

    assert "task is called with x, layer" in run_check(TASK, task).message


def test_a_type_error_inside_the_answer_is_not_taken_for_its_own_call():
    body = "def inner(a):\n    return a\nreturn inner(1, 2)"
    message = run_check(TASK, define(body)).message
    assert "inner() takes 1 positional argument but 2 were given" in message
    assert "keep these arguments" not in message


def test_what_a_check_cannot_use_is_not_called_an_error_of_the_code():
    message = run_check(TASK, define("return [1, 2]")).message
    assert message.startswith("The check cannot use what your code returned, a value of type list")


def test_the_line_is_that_of_a_method_too():
    body = (
        "def __init__(self, x, layer): super().__init__()\n    def forward(self, x): return x @ x"
    )

    def check(answer, rng):
        answer(torch.ones(4, 3), nn.Linear(3, 2))(torch.ones(4, 3))

    exercise = Exercise("task", "9.9 A task", 1, 1, ("a", "b", "c"), check, takes=("x", "layer"))
    message = run_check(exercise, define(body.replace("\n    ", "\n"), "class task(nn.Module):"))
    assert "4x3 and 4x3 differ" in message.message
    assert "at the line `def forward(self, x): return x @ x`" in message.message


def test_a_message_ends_in_the_next_step_and_begins_with_the_title():
    import lora_lessons as ll

    lesson = ll.lesson("05")

    def wrong(names, entries):
        return entries

    said = str(lesson.check.not_found(wrong))
    assert said.startswith("5.4 The entries that matched nothing: wrong. ")
    assert "Next hint: lesson.hint.not_found()." in said
    for _ in range(3):
        lesson.hint.not_found()
    assert "lesson.solution.not_found() shows the answer." in str(lesson.check.not_found(wrong))
