"""Right answers unlike the solution: a check accepts each, and its notebook goes on with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RightAnswer:
    """`source` defines the exercise's name in another way than the solution does."""

    label: str
    source: str
