"""The check of exercise 10.3: what was forgotten when the target first reaches a goal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from ..checks.core import Wrong, number
from ..checks.draws import whole
from .checks import same, spread


class _Curves(NamedTuple):
    """The target's losses, the base's, the goal, the right answer, and what each mistake gives."""

    target: list[float]
    base: list[float]
    goal: float
    right: float | None
    mistakes: dict[str, float | None]


def check_forgetting_at(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """10.3: the base loss where the target loss first reaches the goal, or None."""
    for cases in CASES:
        for case in cases(rng):
            given = answer(list(case.target), list(case.base), case.goal)
            _compare_forgetting(given, case)


def _bumps(rng: torch.Generator) -> list[_Curves]:
    """A rise of the target before it reaches the goal, at the start too; a single measurement."""
    target, base = _curves(rng, 4)
    bumped = [target[0], target[0] - 0.05, target[0] + 0.04, target[0] - 0.3, target[0] - 0.4]
    lost = [base[0], *base]
    goal = _between(bumped, 3, 0.6)
    low = "This draws the line from the lowest loss so far. Draw it from the measurement before."
    share = (bumped[1] - goal) / (bumped[1] - bumped[3])
    again = [target[0], target[0] + 0.2, *target[1:]]
    first = "The goal is reached at the first measurement, exactly: return the first base loss."
    fallen, top = [base[0], base[1], base[0] - 0.1, *base[3:]], max(base[:2])
    high = "The base loss may fall again. Return it at the crossing, not the highest so far."
    back = _between([base[0], *base], 2, (again[1] - again[0]) / (again[1] - again[2]))
    return [
        _Curves(bumped, lost, goal, _between(lost, 3, 0.6), {low: _between(lost, 3, share)}),
        _Curves(again, [base[0] + 0.3, *base], again[0], base[0] + 0.3, {first: back}),
        _Curves(target[:1], base[:1], target[0], base[0], {}),
        _Curves(target, fallen, _between(target, 2, 0.6), _between(fallen, 2, 0.6), {high: top}),
    ]


def _compare_forgetting(given: Any, case: _Curves) -> None:
    if given is None and case.right is not None:
        if case.right == 0:
            raise Wrong(ZERO)
        raise Wrong("It returns None, but the goal is reached. Is a `return` missing?")
    if case.right is None:
        if given is not None:
            raise Wrong(NEVER)
        return
    value = number(given)
    if same(value, case.right):
        return
    for message, mistaken in case.mistakes.items():
        if mistaken is not None and same(value, mistaken):
            raise Wrong(message.strip())
    raise Wrong(f"Expected {case.right:.6g}, got {value:.6g}.")


ZERO = (
    "The base loss there is 0.0, and it returns None: 0.0 counts as false in `or` and `if`. Ask "
    "`is None`."
)
NEVER = (
    "The target loss never reaches the goal: return None. Anything else, the last value or a line "
    "drawn on beyond the end, was not measured."
)


def _curves(rng: torch.Generator, points: int) -> tuple[list[float], list[float]]:
    """A target that falls, in uneven steps, and a base that rises, with a dip or two."""
    steps = (0.05 + 0.2 * torch.rand(points - 1, generator=rng, dtype=torch.float64)).tolist()
    target, base = [5 + 0.3 * whole(rng, 0, 3)], [3 + 0.1 * whole(rng, 0, 5)]
    for step, noise in zip(steps, spread(rng, points - 1, 0.02), strict=True):
        target.append(target[-1] - step)
        base.append(base[-1] + 0.06 + noise)
    return target, base


def _between(x: Sequence[float], at: int, share: float) -> float:
    """The value at `share` of the way from point at - 1 to point at."""
    return x[at - 1] + share * (x[at] - x[at - 1])


def _falling(rng: torch.Generator) -> list[_Curves]:
    cases = []
    for at, share in ((2, 0.3), (3, 0.7), (1, 0.4)):
        target, base = _curves(rng, 6)
        right, goal = _between(base, at, share), _between(target, at, share)
        mistakes = _beside(base, at) | {
            AT_THE_END: base[-1],
            "The share is taken from the wrong end: near the earlier measurement the earlier base "
            "loss counts.": _between(base, at, 1 - share),
            "This is the mean of the two measurements around the goal. Where between them does the "
            "target cross it?": _between(base, at, 0.5),
            "This is the target loss. Return the base loss there.": goal,
            "This is how much the base loss rose. Return the loss itself.": right - base[0],
            "This is the base loss before training.": base[0],
        }
        cases.append(_Curves(target, base, goal, right, mistakes))
    return cases


AT_THE_END = (
    "This is the base loss at the end of the run, where the run that moved less would win. Read it "
    "where the goal is first reached."
)


def _beside(base: Sequence[float], at: int) -> dict[str, float | None]:
    """What a measurement gives that is not on the line between two."""
    said = "This is one of the two measurements around the goal. Draw a line between them."
    return {said: base[at], f"{said} ": base[at - 1]}


def _twice(rng: torch.Generator) -> list[_Curves]:
    """The target dips below the goal, comes back up, and goes below it again."""
    target, base = _curves(rng, 4)
    share = 0.35
    goal = _between(target, 2, share)
    target = [*target[:3], goal + 0.07, goal - 0.03, goal - 0.09]
    base = [*base[:3], base[2] + 0.2, base[2] + 0.33, base[2] + 0.41]
    upwards = (goal - target[2]) / (target[3] - target[2])
    mistakes = _beside(base, 2) | {
        "This is the last time that the target crosses the goal. Take the first: there one would "
        "stop.": _between(base, 4, 0.7),
        "The target crosses the goal upwards here. Take the first time that it comes down to it.": (
            _between(base, 3, upwards)
        ),
        AT_THE_END: base[-1],
    }
    return [_Curves(target, base, goal, _between(base, 2, share), mistakes)]


def _never(rng: torch.Generator) -> list[_Curves]:
    target, base = _curves(rng, 5)
    return [_Curves(target, base, target[-1] - gap, None, {}) for gap in (0.001, 0.4)]


def _at_the_start(rng: torch.Generator) -> list[_Curves]:
    """Reached before training: there is nothing before it to draw a line from."""
    target, base = _curves(rng, 5)
    said = "The goal is reached before the first step: return the first base loss."
    cases = []
    for goal in (target[0] + 0.3, target[0]):
        back = (target[-1] - goal) / (target[-1] - target[0])
        mistakes = {
            said: base[1],
            f"{said} ": base[-1],
            f"{said} Index -1 is the last measurement.": base[-1] + back * (base[0] - base[-1]),
        }
        cases.append(_Curves(target, base, goal, base[0], mistakes))
    return cases


def _on_a_point(rng: torch.Generator) -> list[_Curves]:
    target, base = _curves(rng, 5)
    said = "The target is exactly the goal at a measurement: it is reached there, at once."
    mistakes = {said: base[3], f"{said} ": base[1]}
    last = "The goal is reached at the last measurement: return the last base loss."
    return [
        _Curves(target, base, target[2], base[2], mistakes),
        _Curves(target, base, target[-1], base[-1], {last: base[-2]}),
    ]


def _to_zero(rng: torch.Generator) -> list[_Curves]:
    """A base loss of exactly 0 where the goal is reached: a number, not a missing one."""
    target, base = _curves(rng, 5)
    base = [x - base[2] for x in base]
    return [_Curves(target, base, target[2], 0.0, {})]


def _diverged(rng: torch.Generator) -> list[_Curves]:
    """nan from some point on: before the goal, and after it."""
    target, base = _curves(rng, 5)
    broken = [*target[:3], math.nan, math.nan]
    lost = [*base[:3], math.nan, math.nan]
    return [
        _Curves(broken, lost, _between(target, 2, 0.5), _between(base, 2, 0.5), {}),
        _Curves(broken, lost, target[4], None, {}),
    ]


CASES = (_falling, _twice, _never, _at_the_start, _on_a_point, _to_zero, _bumps, _diverged)
