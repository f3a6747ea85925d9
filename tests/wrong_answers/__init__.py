"""The wrong answers that learners really give: each must be refused, with its message."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


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


def afresh(number: str) -> dict[str, list[WrongAnswer]]:
    """Those of lessonNN.jsonl: written without a look at the check's draws, one JSON a line."""
    found: dict[str, list[WrongAnswer]] = {}
    for line in Path(__file__).with_name(f"lesson{number}.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        answer = WrongAnswer(row["label"], row["source"], row["says"])
        found.setdefault(row["exercise"], []).append(answer)
    return found


def joined(
    answers: dict[str, list[WrongAnswer]], more: dict[str, list[WrongAnswer]]
) -> dict[str, list[WrongAnswer]]:
    """Both collections, exercise by exercise."""
    return {name: [*answers.get(name, []), *more.get(name, [])] for name in {**answers, **more}}
