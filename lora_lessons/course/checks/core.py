"""An exercise, its check, and the verdict: not attempted, wrong (and why), or right.

A check looks at the learner's object and nothing else. It computes what it expects by its own
arithmetic in float64, on inputs drawn anew each time.
"""

from __future__ import annotations

import numbers
import secrets
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .guard import Forbidden, guarded, refuse_package_object
from .limits import TooSlow, time_limit

if TYPE_CHECKING:
    from .own import OwnNumbers

NOT_ATTEMPTED, WRONG, RIGHT = "not attempted", "wrong", "right"
SECONDS_AT_MOST = 20.0  # under the guard a first import alone may take 8 s on a busy machine


class Wrong(Exception):
    """What a check raises; the message says what is wrong in the learner's terms."""


@dataclass(frozen=True)
class Exercise:
    """One task: its check gets the learner's object and a seeded generator and raises `Wrong`.

    `allowed` lists the package's functions that an answer may call, by full dotted name. `own`
    draws each student's numbers, and the check gets those in place of the generator.
    """

    name: str
    title: str
    points: int
    minutes: int
    hints: tuple[str, str, str]
    check: Callable[[Any, Any], None]
    allowed: tuple[str, ...] = ()
    own: OwnNumbers | None = None


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check. `require()` raises unless the answer is right."""

    exercise: str
    outcome: str
    message: str = ""
    seed: int | None = None

    def require(self) -> Verdict:
        """Raise AssertionError unless right: for graded cells, where a wrong answer must fail.

        Returns the verdict, so that a cell which ends with it shows it.
        """
        if self.outcome != RIGHT:
            raise AssertionError(str(self))
        return self

    def __str__(self) -> str:
        if self.outcome == RIGHT:
            return f"{self.exercise}: right"
        if self.outcome == NOT_ATTEMPTED:
            return f"{self.exercise}: not attempted yet. {self.message}".rstrip()
        replay = "" if self.seed is None else f" (to repeat this draw: seed={self.seed})"
        return f"{self.exercise}: wrong. {self.message}{replay}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        # the word carries the outcome; the colour of the border only repeats it
        colour = {RIGHT: "#009E73", WRONG: "#D55E00", NOT_ATTEMPTED: "#767676"}[self.outcome]
        return (
            f'<div role="status" style="border-left: 6px solid {colour}; padding: 4px 10px">'
            f"{escape(str(self))}</div>"
        )


def run_check(
    exercise: Exercise,
    answer: Any,
    seed: int | None = None,
    mine: Mapping[str, Any] | None = None,
) -> Verdict:
    """Check one answer; never raises, whatever the learner's code does.

    A fresh seed is drawn unless one is given; a wrong verdict prints it. An exercise with the
    student's own numbers gets them as `mine`, and draws nothing.
    """
    seed = secrets.randbelow(2**31) if seed is None else seed
    given = torch.Generator().manual_seed(seed) if mine is None else mine
    verdict = _judge(exercise, answer, given)
    if verdict is None:
        return Verdict(exercise.name, RIGHT)
    outcome, message = verdict
    drawn = outcome == WRONG and mine is None
    return Verdict(exercise.name, outcome, message, seed if drawn else None)


def _judge(exercise: Exercise, answer: Any, given: Any) -> tuple[str, str] | None:
    """None if right, else (outcome, message)."""
    if answer is None or answer is Ellipsis:
        return NOT_ATTEMPTED, "Replace the line in the exercise's cell, run it, check again."
    try:
        refuse_package_object(answer, exercise.allowed)
        with time_limit(SECONDS_AT_MOST):
            exercise.check(guarded(answer, exercise.allowed), given)
    except NotImplementedError:
        return NOT_ATTEMPTED, "Replace the line in the exercise's cell, run it, check again."
    except (Wrong, Forbidden, TooSlow) as error:
        return WRONG, str(error)
    except (KeyboardInterrupt, SystemExit) as error:
        return WRONG, f"Your code stopped with {type(error).__name__}."
    except BaseException as error:
        return WRONG, _describe(error, answer)
    return None


def _describe(error: BaseException, answer: Any) -> str:
    """The error's type and text, and the line of the learner's code where it came from."""
    code = getattr(answer, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    mine = [f for f in frames if code is not None and f.filename == code.co_filename]
    where = f", at the line `{mine[-1].line}`" if mine and mine[-1].line else ""
    said = f": {text}" if (text := str(error).rstrip(".")) else ""
    return f"Your code raised {type(error).__name__}{said}{where}."


def expect(
    actual: Any, expected: Tensor, *, k: int = 1, mistakes: Mapping[str, Tensor] | None = None
) -> None:
    """Raise `Wrong` unless `actual` equals `expected` (float64) up to rounding.

    The tolerance is eps(dtype of actual) * sqrt(k) * 32 relative to the largest expected value,
    where k is the number of terms in a sum. `mistakes` maps a message to the value that this
    mistake gives; it is named only if it explains the answer alone.
    """
    value = _as_tensor(actual, expected)
    if _close(value, expected, k):
        return
    for message, mistaken in (mistakes or {}).items():
        if mistaken.shape == value.shape and _close(value, mistaken, k):
            raise Wrong(message)
    raise Wrong(_difference(value, expected))


def _as_tensor(actual: Any, expected: Tensor) -> Tensor:
    if actual is None:
        raise Wrong("It returns None. Is the `return` missing?")
    if isinstance(actual, bool) or not isinstance(actual, numbers.Real | Tensor):
        kind = "a tensor" if expected.dim() else "a number"
        raise Wrong(f"Return {kind}; got {type(actual).__name__}.")
    value = actual.detach().cpu() if isinstance(actual, Tensor) else _scalar(actual)
    if value.shape != expected.shape and value.numel() == expected.numel() == 1:
        value = value.reshape(expected.shape)
    if value.shape != expected.shape:
        raise Wrong(f"The shape must be {tuple(expected.shape)}; got {tuple(value.shape)}.")
    if not torch.isfinite(value.double()).all():
        raise Wrong("The result holds nan or inf.")
    return value


def _scalar(number: numbers.Real) -> Tensor:
    """A Python number, or one of NumPy's scalars."""
    return torch.tensor(float(number), dtype=torch.float64)


def _close(value: Tensor, expected: Tensor, k: int) -> bool:
    # a Python float may have been computed from float32 inputs, so float32 is the finest assumed
    eps = max(torch.finfo(torch.float32).eps, _eps(value.dtype))
    scale = expected.double().abs().max().clamp_min(1e-30)
    error = (value.double() - expected.double()).abs().max()
    return bool(error <= 32 * eps * k**0.5 * scale)


def _eps(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps if dtype.is_floating_point else 0.0


def _difference(value: Tensor, expected: Tensor) -> str:
    """A constant ratio if there is one, else the first numbers."""
    value, expected = value.double().flatten(), expected.double().flatten()
    big = expected.abs() > 1e-6 * expected.abs().max()
    ratio = value[big] / expected[big]
    constant = ratio.numel() and (ratio - ratio[0]).abs().max() < 1e-4 * ratio[0].abs()
    if constant and abs(ratio[0] - 1) > 5e-5:  # nearer to 1 it would read "1 times"
        return f"The result is {ratio[0]:.5g} times what is expected."
    at = int((value - expected).abs().argmax())
    which = " (the entry that differs most)" if value.numel() > 1 else ""
    return f"Expected {expected[at]:.7g}, got {value[at]:.7g}{which}."
