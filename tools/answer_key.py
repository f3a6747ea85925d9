"""Make the key: the answers of every lesson in one JSON file, which `lesson.solution` reads.

It is the only file of the package that holds solutions. The classroom wheel leaves it out.
"""

from __future__ import annotations

import json
from pathlib import Path

from notebook_source import is_answer, read_source, without_markers


def lesson_answers(source: Path) -> dict[str, str]:
    """Return {exercise: answer} of one lesson, in the order of the notebook."""
    cells = filter(is_answer, read_source(source).cells)
    return {cell.metadata.nbgrader.grade_id: without_markers(cell.source) for cell in cells}


def key_text(sources: list[Path]) -> str:
    """Return the whole key file: {lesson number: {exercise: answer}}."""
    key = {source.name[:2]: lesson_answers(source) for source in sources}
    return json.dumps(key, indent=1, ensure_ascii=False) + "\n"
