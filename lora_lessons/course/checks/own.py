"""Questions whose numbers are each student's own, so that a copied answer is a wrong one.

The answer is a function without arguments that returns one number or several. It is called with
nothing of the notebook in reach: an answer that computes itself from `lesson.mine(...)` would be
right in any notebook, and could be copied. No message says what the right number is.
"""

from __future__ import annotations

import builtins
import inspect
import math
import numbers
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..student import Draw, student_seed
from .exercise import Exercise, Wrong
from .plain import plain

Numbers = tuple[float | None, ...]
NOT_YOURS = "not the answer to your numbers"
PLACES = ("first", "second", "third")
# what arithmetic needs; nothing that runs a text, opens a file or asks what else there is
ARITHMETIC = (
    *("abs", "all", "any", "bool", "divmod", "enumerate", "float", "int", "len", "list", "max"),
    *("min", "pow", "range", "round", "sorted", "sum", "tuple", "zip", "NotImplementedError"),
)
IN_REACH = {name: getattr(builtins, name) for name in ARITHMETIC}


@dataclass(frozen=True)
class OwnNumbers:
    """What makes a question a student's own.

    `draw` makes the numbers. Given these by name, `right` returns the answer and `mistakes` what
    each mistake gives: {message: numbers}, with None for a number that it says nothing about.
    A whole number must be met exactly, any other to one part in 10,000.
    """

    draw: Callable[[Draw], dict[str, Any]]
    right: Callable[..., tuple[float, ...]]
    mistakes: Callable[..., Mapping[str, Numbers]]

    def of(self, student: str, lesson: str) -> dict[str, Any]:
        """The numbers of one student."""
        return self.draw(Draw(student_seed(student, lesson)))

    def check(self, answer: Callable[[], Any], mine: Mapping[str, Any]) -> None:
        """Raise `Wrong` unless `answer()` is the answer to `mine`."""
        result = plain(_alone(answer)())
        right = self.right(**mine)  # after the call: no frame of it holds what is right
        given = _as_numbers(result, len(right))
        if agree(given, right):
            return
        mistakes = self.mistakes(**mine)
        for message, mistaken in mistakes.items():
            if agree(given, mistaken):
                raise Wrong(message)
        met = [agree([number], [wanted]) for number, wanted in zip(given, right, strict=True)]
        for i, number in enumerate(given):
            for message, mistaken in mistakes.items():
                if not met[i] and mistaken[i] is not None and agree([number], [mistaken[i]]):
                    raise Wrong(f"Your {PLACES[i]} number: {message}")
            if not met[i] and _rounded(number, right[i]):
                raise Wrong(f"Your {PLACES[i]} number is rounded too far: give five digits.")
        if any(met):
            raise Wrong(f"The {PLACES[met.index(False)]} number is {NOT_YOURS}; another one is.")
        more = " Neither number is. Take one at a time, and ask for a hint." * (len(met) == 2)
        raise Wrong(f"This is {NOT_YOURS}.{more}")


def own_exercise(own: OwnNumbers, **about: Any) -> Exercise:
    """An exercise with these numbers; `about` is the rest of `Exercise`."""
    return Exercise(check=own.check, own=own, **about)


def _alone(answer: Callable[[], Any]) -> Callable[[], Any]:
    """The answer's function, with `math` and Python's built-ins in reach and nothing else."""
    code = getattr(inspect.unwrap(answer), "__code__", None)
    if code is None:
        raise Wrong("Hand in the function that returns your answer.")
    if hidden := [name for name in code.co_names if "__" in name]:
        raise Wrong(_looks_up(hidden[0]))
    if code.co_freevars:
        raise Wrong(_looks_up(code.co_freevars[0]))
    alone = types.FunctionType(code, {"math": math, "__builtins__": IN_REACH})
    function = answer.watch.wrap(alone) if hasattr(answer, "watch") else alone

    def call() -> Any:
        try:
            return function()
        except (NameError, ImportError) as error:
            raise Wrong(_looks_up(error.name or "import")) from None

    return call


def _looks_up(name: str) -> str:
    return (
        f"Not a number yet: it uses {name!r}, and only numbers are read here. Work the answer out "
        "in a cell of its own, and return the plain number that came out. Arithmetic is taken too."
    )


def _as_numbers(actual: Any, count: int) -> list[float]:
    given = list(actual) if isinstance(actual, tuple | list) else [actual]
    if len(given) != count:
        wanted = "one number" if count == 1 else f"{count} numbers"
        raise Wrong(f"Return {wanted}; got {actual!r}.")
    for number in given:
        if isinstance(number, bool) or not isinstance(number, numbers.Real):
            raise Wrong(f"Return numbers; got {type(number).__name__}.")
    return given


def _rounded(number: float, wanted: float) -> bool:
    """Whether `number` is `wanted` with fewer digits."""
    places = len(str(number).partition(".")[2])
    return isinstance(wanted, float) and 0 < places < 4 and number == round(wanted, places)


def agree(given: list[float], wanted: Numbers | list[float]) -> bool:
    """Whether each number is the wanted one: a whole one exactly, others to 1 in 10,000."""
    return all(
        number == aim if isinstance(aim, int) else math.isclose(number, aim, rel_tol=1e-4)
        for number, aim in zip(given, wanted, strict=True)
        if aim is not None
    )
