"""Cheap cheats get nothing: what judges cannot be exchanged, and numbers are what they hold."""

from __future__ import annotations

import inspect
import sys
import traceback
from functools import partial

import pytest
import torch

import lora_lessons as ll
from lora_lessons.course.checks import compare, core
from lora_lessons.course.checks.core import RIGHT, WRONG, Exercise, Verdict
from lora_lessons.course.lesson01 import checks as checks01


def nonsense(in_features, out_features):
    return -1


def exchange_the_check(lesson):
    for exercise in lesson.exercises.values():
        object.__setattr__(exercise, "check", lambda answer, rng: None)


def patch_the_comparison(lesson):
    for module in (compare, core, checks01):
        module.expect = lambda *args, **kwargs: None
    checks01._whole_number = lambda *args, **kwargs: None


def patch_the_verdict(lesson):
    Verdict.require = lambda self: self
    Verdict.__str__ = Verdict.__repr__ = lambda self: f"{self.exercise}: right"


def patch_the_watch(lesson):
    core.Watch.wrap = lambda self, answer: (
        lambda in_features, out_features: max(
            r for r in range(1000) if r * (in_features + out_features) < in_features * out_features
        )
    )


def patch_the_exercise(lesson):
    Exercise.__getattribute__ = lambda self, name: (
        (lambda answer, rng: None) if name == "check" else object.__getattribute__(self, name)
    )


@pytest.mark.parametrize(
    "cheat",
    [
        exchange_the_check,
        patch_the_comparison,
        patch_the_verdict,
        patch_the_watch,
        patch_the_exercise,
    ],
)
def test_what_judges_cannot_be_exchanged(cheat, request):
    lesson = ll.lesson("01")
    kept = checks01.expect, Verdict.require, core.Watch.wrap
    for exercise in lesson.exercises.values():  # the module's own, which later tests share
        request.addfinalizer(partial(object.__setattr__, exercise, "check", exercise.check))
    cheat(lesson)
    verdict = lesson.check.largest_saving_rank(nonsense)
    assert verdict.outcome == WRONG
    with pytest.raises(AssertionError, match="wrong"):
        verdict.require()
    assert (checks01.expect, Verdict.require, core.Watch.wrap) == kept


def test_an_answer_cannot_patch_the_check_while_it_runs():
    def answer(in_features, out_features):
        sys.modules["lora_lessons.course.lesson01.checks"]._whole_number = lambda *args: None
        return 187 if in_features == 256 else -1  # right for the first call, (256, 704)

    lesson = ll.lesson("01")
    assert "replaces lora_lessons" in lesson.check.largest_saving_rank(answer).message
    assert lesson.check.largest_saving_rank(nonsense).outcome == WRONG


def test_the_members_of_a_lesson_cannot_be_written_to():
    lesson = ll.lesson("01")
    with pytest.raises(TypeError):
        lesson.check._members["largest_saving_rank"] = lambda answer: None
    with pytest.raises(TypeError):
        lesson.exercises["largest_saving_rank"] = None


@pytest.mark.parametrize("name", ["check", "solution", "exercises", "verdicts", "_handed_in_by"])
def test_what_a_lesson_judges_with_is_set_once(name):
    with pytest.raises(AttributeError, match=f"lesson.{name} stays as it is"):
        setattr(ll.lesson("01"), name, None)


def test_a_notebooks_patch_of_pytorch_is_undone_before_a_check(monkeypatch):
    def always(*args, **kwargs):
        return True

    kept = torch.Tensor.max
    lesson = ll.lesson("01")
    for module, patched in (("torch.of_a_library", False), ("__main__", True)):
        always.__module__ = module
        monkeypatch.setattr(torch.Tensor, "max", always)
        lesson.check.largest_saving_rank(None)
        assert (torch.Tensor.max is kept) == patched


def test_pythons_own_walks_of_the_frames_are_refused():
    def answer(in_features, out_features):
        for frame, _ in traceback.walk_stack(None):
            if "expected" in getattr(frame, "f_" + "locals"):
                return 1
        return 2

    said = ll.lesson("01").check.largest_saving_rank(answer).message
    assert "looks at the frames of the check" in said


class AlwaysEqual(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__
    __ne__ = lambda self, other: False  # noqa: E731


class AlwaysIn(str):
    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


class AnyList(list):
    def __eq__(self, other):
        return True

    def __iter__(self):
        return iter(())


class AnyTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return torch.tensor(True) if func.__name__ in ("le", "__le__") else torch.zeros(23, 31)


@pytest.mark.parametrize(
    ("number", "name", "answer"),
    [
        ("01", "largest_saving_rank", lambda a, b: AlwaysEqual(0)),
        ("05", "rank_for_budget", lambda shapes, budget: AlwaysEqual(0)),
        ("05", "not_found", lambda names, entries: AnyList(["x"])),
        ("05", "not_found", lambda names, entries: [AlwaysIn("x")]),
        ("03", "run_outcome", lambda losses, untrained, margin: AlwaysIn("x")),
        ("01", "best_rank_k", lambda W, k: torch.zeros(23, 31).as_subclass(AnyTensor)),
        ("05", "is_target", lambda name, targets: AlwaysEqual(1)),
    ],
)
def test_a_number_is_what_it_holds(number, name, answer):
    assert getattr(ll.lesson(number).check, name)(answer).outcome == WRONG


@pytest.mark.parametrize(
    "body",
    [
        "return eval('6 * 7')",
        "exec('x = 1'); return 1",
        "return __builtins__['len']([])",
        "return ().__class__.__base__.__subclasses__()[0]",
        "return getattr(math, 'pi')",
        "return lesson.mine('my_budget')",
        "import math as m; return m.pi",
        "return open('/etc/hostname').read()",
    ],
)
def test_own_numbers_are_written_as_numbers(body):
    scope = {}
    exec(f"def my_budget():\n    {body}\n", scope)
    verdict = ll.lesson("01").check.my_budget(scope["my_budget"])
    assert verdict.outcome == WRONG
    assert "only numbers are read" in verdict.message


def test_what_is_right_is_in_no_frame_above_a_call_for_own_numbers():
    """`right` is worked out when the call has ended."""
    source = inspect.getsource(ll.lesson("01").exercises["my_budget"].own.check)
    assert source.index("_alone(answer)()") < source.index("self.right(")


def test_right_answers_stay_right():
    def mine(in_features, out_features):
        return (in_features * out_features - 1) // (in_features + out_features)

    assert ll.lesson("01").check.largest_saving_rank(mine).outcome == RIGHT


def test_the_lesson_stays_of_its_class():
    lesson = ll.lesson("01")
    with pytest.raises(AttributeError, match=r"lesson\.__class__ stays as it is"):
        lesson.__class__ = type("Other", (type(lesson),), {})


def test_code_put_into_a_function_of_the_checks_is_taken_out_again(monkeypatch):
    def judge(exercise, answer=None, seed=None, mine=None):
        return "right"

    check = ll.lesson("01").check.best_rank_k
    monkeypatch.setattr(core.run_check, "__code__", judge.__code__)
    monkeypatch.setattr(core.run_check, "__defaults__", (1, 2))
    assert check(lambda W, k: W).outcome == WRONG
    assert core.run_check.__defaults__ == (None, None)
