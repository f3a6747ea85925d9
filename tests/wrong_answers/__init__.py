"""The wrong answers that learners really give: each must be refused, with its message."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WrongAnswer:
    """`source` defines the exercise's name; the verdict's message must contain `says`."""

    label: str
    source: str
    says: str
