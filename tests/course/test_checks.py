"""The framework of checks: it must refuse, name mistakes only when sure, and never raise."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import numpy as np
import pytest
import torch

import lora_lessons as ll
from lora_lessons.course.checks import core
from lora_lessons.course.checks.core import (
    NOT_ATTEMPTED,
    RIGHT,
    WRONG,
    Exercise,
    Wrong,
    expect,
    run_check,
)


def double(x):
    return 2 * x


def check_double(answer, rng):
    x = torch.randn(3, generator=rng)
    expect(answer(x), 2 * x.double(), mistakes={"You halved it.": x.double() / 2})


DOUBLE = Exercise("double", "Double", 1, 1, ("a", "b", "c"), check_double)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_right_answer_passes_in_its_own_precision(dtype):
    assert run_check(DOUBLE, lambda x: (2 * x).to(dtype)).outcome == RIGHT


def test_a_small_error_is_not_forgiven():
    verdict = run_check(DOUBLE, lambda x: 2.0005 * x)
    assert verdict.outcome == WRONG
    assert "the entry that differs most" in verdict.message


@pytest.mark.parametrize(
    ("factor", "says"),
    [(-1, "wrong sign"), (3, "3 times"), (0.1, "1/10 of"), (1.37, "Expected"), (5 / 6, "Expected")],
)
def test_a_ratio_is_told_only_if_it_says_something(factor, says):
    assert says in run_check(DOUBLE, lambda x: 2 * factor * x).message


def test_zeros_and_a_tensor_for_a_number_are_called_so():
    assert "It is 0 everywhere; expected" in run_check(DOUBLE, torch.zeros_like).message

    def check(answer, rng):
        expect(answer(torch.ones(2)), torch.tensor(2.0, dtype=torch.float64))

    total = Exercise("total", "Total", 1, 1, ("a", "b", "c"), check)
    assert "It is 0; expected 2." in run_check(total, lambda x: 0.0).message
    said = run_check(total, lambda x: x).message
    assert said == "Return one number; got a tensor of shape (2,)."
    for right in (Decimal(2), np.longdouble(2), np.float16(2), torch.tensor([2.0])):
        assert run_check(total, lambda x, right=right: right).outcome == RIGHT


def test_a_mistake_is_named_only_if_it_explains_the_answer():
    assert "You halved it." in run_check(DOUBLE, lambda x: x / 2).message
    assert "You halved it." not in run_check(DOUBLE, lambda x: x / 2 + 0.01).message


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x: None, "returns None"),
        (lambda x: "two", "got str"),
        (lambda x: torch.ones(4), "shape must be (3,)"),
        (lambda x: x * float("nan"), "nan or inf"),
        (lambda x: x.no_such_thing, "AttributeError"),
        (lambda: 0, "TypeError"),
        (7, "TypeError"),
    ],
)
def test_every_kind_of_failure_is_a_verdict(answer, says):
    verdict = run_check(DOUBLE, answer)
    assert verdict.outcome == WRONG
    assert says in verdict.message


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RecursionError, ValueError])
def test_a_check_never_raises(error):
    def answer(x):
        raise error("stop")

    assert error.__name__ in run_check(DOUBLE, answer).message


@pytest.mark.parametrize(
    ("error", "ends"),
    [(ValueError("It stops."), "ValueError: It stops."), (StopIteration(), "StopIteration.")],
)
def test_an_error_is_told_in_one_sentence(error, ends):
    def answer(x):
        raise error

    assert run_check(DOUBLE, answer).message.split(", at the line")[0].rstrip(".") + "." == (
        f"Your code raised {ends}"
    )


def test_an_endless_loop_ends_in_a_message(monkeypatch):
    monkeypatch.setattr(core, "SECONDS_AT_MOST", 0.2)

    def answer(x):
        while True:
            with contextlib.suppress(Exception):
                x = x + 0

    assert "endless loop" in run_check(DOUBLE, answer).message


def test_a_wrong_verdict_can_be_replayed():
    def wrong_for_some(x):
        return 2 * x if x[0] > 0 else x

    verdicts = [run_check(DOUBLE, wrong_for_some, seed=seed) for seed in range(20)]
    wrong = [verdict for verdict in verdicts if verdict.outcome == WRONG]
    assert 0 < len(wrong) < 20
    assert run_check(DOUBLE, wrong_for_some, seed=wrong[0].seed) == wrong[0]


def test_the_seed_is_told_once_a_session_and_repeats_each_draw(monkeypatch):
    monkeypatch.setattr(core._Session, "told", False)
    first, second = (run_check(DOUBLE, lambda x: x + 1) for _ in range(2))
    assert f"seed={first.seed}" in str(first)
    assert "seed" not in str(second)
    assert first.seed == second.seed == core._Session.seed
    assert run_check(DOUBLE, lambda x: x + 1, seed=first.seed).message == second.message


def check_layer(answer, rng):
    answer(torch.nn.Linear(5, 3), 2)(torch.randn(4, 5, generator=rng))


LAYER = Exercise("layer", "A layer", 1, 1, ("a", "b", "c"), check_layer)


def test_the_guard_refuses_the_packages_and_pefts_work():
    import peft

    from lora_lessons.lora.more.low_rank import truncate

    class Mine(ll.LoraLinear):
        pass

    class Hidden(torch.nn.Module):
        def __init__(self, base, r):
            super().__init__()

        def forward(self, x):
            return truncate(x, 1)

    class Theirs(torch.nn.Module):
        def __init__(self, base, r):
            super().__init__()
            self.inner = peft.tuners.lora.Linear(base, peft.LoraConfig(), "default", r=r)

    for cheat in (ll.LoraLinear, Mine, Hidden, Theirs, lambda base, r: ll.LoraLinear(base, r)):
        verdict = run_check(LAYER, cheat)
        assert verdict.outcome == WRONG, cheat
        assert "Write it yourself" in verdict.message


def test_a_name_of_the_package_is_told_as_a_notebook_writes_it(monkeypatch):
    monkeypatch.delitem(vars(ll), "truncate", raising=False)  # as before its first use
    verdict = run_check(DOUBLE, lambda x: ll.truncate(x, 1))
    assert verdict.message.startswith("This uses lora_lessons.truncate. Write it yourself")


def test_an_exercise_can_allow_a_package_function():
    from lora_lessons.lora.more.low_rank import truncate

    def check(answer, rng):
        expect(answer(torch.eye(3)), torch.eye(3, dtype=torch.float64))

    allowing = Exercise(
        "e",
        "E",
        1,
        1,
        ("a", "b", "c"),
        check,
        allowed=("lora_lessons.lora.more.low_rank.truncate",),
    )
    assert run_check(allowing, lambda W: truncate(W, 3)).outcome == RIGHT


def test_wrong_is_raised_with_the_learners_words():
    def check(answer, rng):
        raise Wrong("Too long: `a < b`.")

    exercise = Exercise("e", "E", 1, 1, ("a", "b", "c"), check)
    html = run_check(exercise, double)._repr_html_()
    assert "Too long: <code>a &lt; b</code>." in html
    assert 'role="status"' in html
    assert "<b>" not in run_check(exercise, double)._repr_html_()


def test_use_hands_back_the_learners_own_only_when_it_is_right(capsys):
    lesson = ll.lesson("01")

    def mine(in_features, out_features):
        return (in_features * out_features - 1) // (in_features + out_features)

    assert lesson.use("largest_saving_rank", mine, double) is double
    assert lesson.check.largest_saving_rank(mine).outcome == RIGHT
    assert lesson.use("largest_saving_rank", mine, double) is mine
    assert "your own" in capsys.readouterr().out
    assert lesson.summary().solved == 1
    assert "1 of 7 exercises solved" in repr(lesson.summary())


def test_an_answer_changed_after_its_check_is_not_used():
    lesson = ll.lesson("01")

    def mine(in_features, out_features):
        return (in_features * out_features - 1) // (in_features + out_features)

    def changed(in_features, out_features):
        return 7

    assert lesson.check.largest_saving_rank(mine).outcome == RIGHT
    assert lesson.use("largest_saving_rank", changed, double) is double


def test_running_the_first_cell_again_loses_no_answer():
    assert ll.lesson("01").check.best_rank_k().outcome == NOT_ATTEMPTED
    assert "best_rank_k" in ll.lesson("01_rank_decomposition").verdicts


def test_hints_rise_and_the_solution_is_shown_on_request():
    lesson = ll.lesson("01_rank_decomposition")
    shown = [repr(lesson.hint.best_rank_k()) for _ in range(4)]
    assert [text[:11] for text in shown] == [
        "Hint 1 of 3",
        "Hint 2 of 3",
        "Hint 3 of 3",
        "Hint 3 of 3",
    ]
    assert "def best_rank_k" in repr(lesson.solution.best_rank_k())
    with pytest.raises(ValueError, match="1 to 3"):
        lesson.hint.best_rank_k(4)


def test_names_are_found_with_tab_and_a_typo_is_answered():
    lesson = ll.lesson("1")
    assert "best_rank_k" in dir(lesson.check)
    with pytest.raises(AttributeError, match="did you mean 'best_rank_k'"):
        lesson.check.best_rank  # noqa: B018
    with pytest.raises(ValueError, match="there is no lesson"):
        ll.lesson("77")


def test_without_the_key_the_teacher_holds_the_solutions(monkeypatch, tmp_path):
    from lora_lessons.course import solution

    monkeypatch.setattr(solution, "KEY", tmp_path / "key.json")
    assert "teacher" in repr(ll.lesson("01").solution.best_rank_k())


def test_a_notebook_that_is_graded_shows_no_solution(monkeypatch, tmp_path):
    """Students read in the feedback what their cells printed."""
    folder = tmp_path / "autograded" / "ada" / "01_rank_decomposition"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert "teacher" in repr(ll.lesson("01").solution.best_rank_k())


def test_not_attempted_is_told_from_an_error_in_the_learners_code():
    def stub(x):
        raise NotImplementedError

    assert run_check(DOUBLE, stub).outcome == NOT_ATTEMPTED
