"""Runs a check. What checks are made of is named here too, so that one import is enough.

A check looks at the learner's object and nothing else. It computes what it expects by its own
arithmetic in float64, on inputs drawn from a seed: one for the session unless one is given.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import torch

from .arguments import Changed
from .compare import expect
from .exercise import NOT_ATTEMPTED, RIGHT, WRONG, Exercise, Verdict, Wrong
from .explain import explain, is_a_stub
from .guard import Forbidden, refuse_package_object
from .limits import TooSlow, time_limit
from .memory import REMEMBERED, Forgetful, may_remember
from .plain import number, plain, whole_number
from .seal import judges
from .usual import Usual
from .watch import Watch
from .world import OWNERS, Functions, RandomStates, Settings

__all__ = [
    "NOT_ATTEMPTED",
    "RIGHT",
    "WRONG",
    "Exercise",
    "Verdict",
    "Wrong",
    "expect",
    "number",
    "plain",
    "run_check",
    "whole_number",
]

SECONDS_AT_MOST = 20.0  # under the guard a first import alone may take 8 s on a busy machine
YOUR_TURN = "Replace the line in the exercise's cell, run it, check again."


class _Session:
    """The seed of this session's draws, and whether it was told."""

    seed = secrets.randbelow(2**31)
    told = False

    @classmethod
    def tell(cls, name: str) -> str:
        """The line on the seed, the first time only."""
        if cls.told:
            return ""
        cls.told = True
        return (
            f"(All checks of this session draw with seed {cls.seed}; later, "
            f"lesson.check.{name}(..., seed={cls.seed}) repeats it.)"
        )


def run_check(
    exercise: Exercise,
    answer: Any,
    seed: int | None = None,
    mine: Mapping[str, Any] | None = None,
) -> Verdict:
    """Check one answer; never raises, whatever the learner's code does, and leaves nothing changed.

    The session's seed is used unless one is given. An exercise with the student's own numbers gets
    them as `mine`, and draws nothing.
    """
    with Usual():
        return _run_check(exercise, answer, seed, mine)


def _run_check(
    exercise: Exercise, answer: Any, seed: int | None, mine: Mapping[str, Any] | None
) -> Verdict:
    given_seed, seed = seed, _Session.seed if seed is None else seed
    given = torch.Generator().manual_seed(seed) if mine is None else mine
    watch, settings = Watch(exercise), Settings()
    functions = Functions([*OWNERS, *judges()])
    remembers = mine is None and may_remember(answer)
    forgetful = Forgetful(answer) if remembers and not isinstance(answer, type) else None
    with RandomStates(seed):
        outcome, message = _judge(exercise, answer, given, watch)
    watch.put_back()
    if outcome == RIGHT and remembers:
        outcome, message = _judge_again(exercise, answer, seed + 1)
    elif outcome == WRONG and forgetful and _is_right(exercise, forgetful, seed):
        message = f"{REMEMBERED} ({message})"
    left = functions.put_back() or settings.put_back()
    if left and outcome != NOT_ATTEMPTED:
        outcome, message = WRONG, left
    print(watch.printed(), end="")
    drawn = outcome == WRONG and mine is None
    after = _Session.tell(exercise.name) if drawn and given_seed is None else ""
    return Verdict(exercise.name, outcome, message, seed if drawn else None, exercise.title, after)


def _judge_again(exercise: Exercise, answer: Any, seed: int) -> tuple[str, str]:
    """The outcome on other numbers, of an answer that may remember the first ones."""
    watch = Watch(exercise)
    with RandomStates(seed):
        outcome, message = _judge(exercise, answer, torch.Generator().manual_seed(seed), watch)
    watch.put_back()
    return (outcome, message) if outcome == RIGHT else (WRONG, f"{REMEMBERED} ({message})")


def _is_right(exercise: Exercise, answer: Any, seed: int) -> bool:
    """Whether it is right on these numbers."""
    watch = Watch(exercise)
    with RandomStates(seed):
        outcome, _ = _judge(exercise, answer, torch.Generator().manual_seed(seed), watch)
    watch.put_back()
    return outcome == RIGHT


def _judge(exercise: Exercise, answer: Any, given: Any, watch: Watch) -> tuple[str, str]:
    """The outcome and the message."""
    if answer is None or answer is Ellipsis:
        return NOT_ATTEMPTED, YOUR_TURN
    try:
        refuse_package_object(answer, exercise.allowed)
        with time_limit(SECONDS_AT_MOST):
            exercise.check(watch.wrap(answer), given)
            watch.finish()
    except NotImplementedError as error:
        if is_a_stub(error):
            return NOT_ATTEMPTED, YOUR_TURN
        return WRONG, explain(error, answer, exercise, watch)
    except (Wrong, Forbidden, TooSlow, Changed) as error:
        return WRONG, str(error)
    except (KeyboardInterrupt, SystemExit) as error:
        return WRONG, f"Your code stopped with {type(error).__name__}."
    except BaseException as error:
        return WRONG, explain(error, answer, exercise, watch)
    return RIGHT, ""
