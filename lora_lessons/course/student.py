"""Whose numbers: each student's id gives the questions of `course/mine/` numbers of their own.

In a learner's kernel the id is what the notebook's STUDENT says. While nbgrader grades it is the
name of the folder that holds the submission, whatever the notebook says. Learning alone, without
an id, everybody has the same numbers.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
ALONE = "self-study"


def clean_id(written: str) -> str:
    """The id as it counts: " Ada" and "ada" are the same student; "self-study" where none is."""
    return str(written).strip().casefold() or ALONE


def handed_in_by() -> str | None:
    """The student whose submission nbgrader is running in this kernel; None outside of grading.

    nbgrader sets NBGRADER_EXECUTION and runs a submission in autograded/STUDENT/ASSIGNMENT/.
    """
    if os.environ.get("NBGRADER_EXECUTION") != "autograde":
        return None
    return clean_id(Path.cwd().parent.name)


def student_seed(student: str, lesson: str) -> int:
    """A seed that depends on the student and the lesson and on nothing else."""
    digest = hashlib.sha256(f"{lesson}/{clean_id(student)}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


class Draw:
    """Numbers drawn from a seed.

    They use `random()` alone: Python promises that it stays the same from version to version, and
    the student and the teacher need not have the same one.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def wholes(self, count: int, low: int, high: int) -> list[int]:
        """Several whole numbers, each from low to high."""
        return [self.whole(low, high) for _ in range(count)]

    def some(self, options: Sequence[T], count: int) -> list[T]:
        """That many of the options, each once at most, in their order."""
        left = list(range(len(options)))
        drawn = sorted(left.pop(self.whole(0, len(left) - 1)) for _ in range(count))
        return [options[position] for position in drawn]
