"""The simplest case in which an answer is wrong: what it has that the cases before it have not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from .exercise import Wrong
from .plain import number

Case = tuple[str, tuple[Any, ...], float]
"""What is new in it, the arguments, and the right number."""


def first_wrong(answer: Callable[..., Any], cases: Iterable[Case], given: bool = True) -> str:
    """The first of the cases, from plain to odd, in which the answer gives another number.

    Each adds one thing to those before it, so the sentence says which thing goes wrong. `given`:
    the arguments are shown. Empty where all are right.
    """
    before = ""
    for what, args, expected in cases:
        shown = f", {', '.join(map(repr, args))}" if given else ""
        told = f"{before}Wrong for {what}{shown}"
        try:
            got = number(answer(*copy.deepcopy(args)))
        except Wrong as error:
            return f"{told}: {error}"
        except Exception as error:
            return f"{told}: it raises {type(error).__name__}, and {expected:.5g} is right."
        if not abs(got - expected) <= 1e-4 * max(abs(expected), 1e-3):
            return f"{told}: {expected:.5g} is right, and it gives {got:.5g}."
        before = f"Right for {what}. "
    return ""
