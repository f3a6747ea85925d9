"""An exercise, its contract, and the verdict: not attempted, wrong (and why), or right."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .own import OwnNumbers

NOT_ATTEMPTED, WRONG, RIGHT = "not attempted", "wrong", "right"


class Wrong(Exception):
    """What a check raises; the message says what is wrong in the learner's terms."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """One task and its contract: what a right answer is, whatever the numbers.

    `check` gets the learner's object and a seeded generator and raises `Wrong`. `allowed` lists
    the package's functions that an answer may call, by full dotted name. `own` draws each
    student's numbers, and the check gets those in place of the generator.

    The rest is asked of every call by the guard, so that no check has to:

    takes            the names of the arguments, in order; of a class, those of its constructor
    mutates          what may change in them: "model" all of it, "linear.requires_grad" that alone,
                     "linear.weight.values" that of one part. The aspects are values, grad,
                     requires_grad, parameters (their identity), modules, training, attributes,
                     hooks, and items (of a list, a dict or a set)
    because          argument -> a sentence that tells why it must stay as it is
    differentiable   the arguments that a gradient must reach from the result
    dtype            "input": the result has the dtype of the first tensor among the arguments
    returns          "int" or "number": a number of that kind, which the check gets as Python's own
    """

    name: str
    title: str
    points: int
    minutes: int
    hints: tuple[str, str, str]
    check: Callable[[Any, Any], None]
    allowed: tuple[str, ...] = ()
    own: OwnNumbers | None = None
    takes: tuple[str, ...] = ()
    mutates: tuple[str, ...] = ()
    because: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    differentiable: tuple[str, ...] = ()
    dtype: Literal["", "input"] = ""
    returns: Literal["", "int", "number"] = ""

    def __post_init__(self) -> None:
        named = {text.split(".")[0] for text in self.mutates}
        if unknown := (named | set(self.differentiable)) - set(self.takes):
            raise ValueError(f"{self.name}: {sorted(unknown)} is not in takes={self.takes}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one check. `require()` raises unless the answer is right.

    `seed` is the draw's; `after` stands behind the message: the next hint, and once the seed.
    """

    exercise: str
    outcome: str
    message: str = ""
    seed: int | None = None
    title: str = ""
    after: str = ""

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
        word = "wrong" if self.outcome == WRONG else "not attempted yet"
        said = f"{self.title or self.exercise}: {word}. {self.message}"
        return f"{said} {self.after}".rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        # the word carries the outcome; the colour of the border only repeats it
        colour = {RIGHT: "#009E73", WRONG: "#D55E00", NOT_ATTEMPTED: "#767676"}[self.outcome]
        return (
            f'<div role="status" style="border-left: 6px solid {colour}; padding: 4px 10px">'
            f"{_code(escape(str(self)))}</div>"
        )


def _code(html: str) -> str:
    """What stands between backticks, as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html)
