"""The wrong answers that learners really give: each must be refused, with its message."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WrongAnswer:
    """`source` defines the exercise's name; the verdict's message must contain `says`."""

    label: str
    source: str
    says: str


def wrong_numbers(name: str, mistakes: dict[str, tuple[str, str]]) -> list[WrongAnswer]:
    """Wrong answers to a question of the student's own: {label: (what it returns, message)}."""
    return [
        WrongAnswer(label, f"def {name}():\n    return {value}\n", says)
        for label, (value, says) in mistakes.items()
    ]
