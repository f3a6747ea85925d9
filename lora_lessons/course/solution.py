"""The solutions, on request, from one generated file that the classroom wheel leaves out."""

from __future__ import annotations

import json
from pathlib import Path

from .messages import Note

KEY = Path(__file__).with_name("key.json")


def solution_source(lesson: str, exercise: str, graded: bool = False) -> Note:
    """The answer's source, or a word on who holds it.

    A notebook that is graded gets the word alone: a teacher's environment may have the key, and
    students read what their cells printed there.
    """
    if graded or not KEY.exists():
        return Note("Your teacher holds the solutions of this course.")
    key = json.loads(KEY.read_text(encoding="utf-8"))
    return Note(key[lesson][exercise], code=True)
