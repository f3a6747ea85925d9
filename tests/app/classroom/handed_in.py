"""Make a course folder and submissions for the classroom's tests."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from answer_key import lesson_answers
from lesson_env import lesson_environment
from nbgrader.api import Gradebook
from notebook_source import lesson_sources
from teacher_release import make_release

import lora_lessons as ll
from lora_lessons.app.classroom.course import Course


@dataclass
class Class:
    """A released lesson, and those who hand it in."""

    course: Course
    lesson: str

    @property
    def number(self) -> str:
        return self.lesson[:2]

    @property
    def exercises(self) -> dict[str, Any]:
        return ll.lesson(self.number).exercises

    @property
    def possible(self) -> dict[str, int]:
        """{exercise: points} of the code."""
        return {name: exercise.points for name, exercise in self.exercises.items()}

    def answers(self, student: str) -> dict[str, str]:
        """Every answer as the key has it, and those to the student's own numbers."""
        (source,) = lesson_sources([self.number])
        own = {name: e.own for name, e in self.exercises.items() if e.own}
        return lesson_answers(source) | {
            name: f"def {name}():\n    return {o.right(**o.of(student, self.number))!r}\n"
            for name, o in own.items()
        }

    def notebook(self, student: str, answers: dict[str, str] | None = None) -> dict[str, Any]:
        """The release with these answers (all right ones if none are given), as plain data."""
        answers = self.answers(student) if answers is None else answers
        notebook = copy.deepcopy(nbformat.read(self.course.released_path(self.lesson), 4))
        for cell in notebook.cells:
            about = cell.metadata.get("nbgrader", {})
            if about.get("solution"):
                cell.source = answers.get(about["grade_id"], cell.source)
            cell.source = cell.source.replace('STUDENT = ""', f'STUDENT = "{student}"')
        plain = json.loads(nbformat.writes(notebook))
        for cell in plain["cells"]:
            cell["source"] = "".join(cell["source"])
        return plain

    def submit(self, student: str, notebook: Any, name: str = "") -> Path:
        """Hand in a notebook, or bytes, perhaps under another name."""
        path = self.course.submitted_path(student, self.lesson)
        path = path.with_name(name or path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
        path.write_bytes(raw)
        return path

    def marks(self, student: str) -> dict[str, float]:
        """{exercise: points} of the code, as nbgrader keeps them."""
        with Gradebook(self.course.gradebook(), "lora-lessons") as book:
            grades = book.find_submission_notebook(self.lesson, self.lesson, student).grades
            code = [g for g in grades if g.cell.cell_type == "code"]
            return {g.name.removeprefix("check_"): g.score for g in code}

    def lost(self, student: str) -> set[str]:
        """The exercises that did not get all their points."""
        given = self.marks(student)
        return {name for name, points in self.possible.items() if given[name] != points}


def new_class(folder: Path, number: str) -> Class:
    """Release one lesson into a new course folder."""
    (source,) = lesson_sources([number])
    env = lesson_environment(folder / "home", "quick")
    env.pop("PYTHONWARNINGS")  # nbgrader's own packages warn
    make_release(source, folder / "course", env)
    return Class(Course(folder / "course"), source.stem)


def code_cell(source: str, **metadata: Any) -> dict[str, Any]:
    """A cell of the student's own."""
    cell = {"cell_type": "code", "metadata": metadata, "source": source, "outputs": []}
    return {**cell, "execution_count": None}


def cell_of(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """The cell with this nbgrader id."""
    about = [c["metadata"].get("nbgrader") for c in notebook["cells"]]
    ids = [one.get("grade_id") if isinstance(one, dict) else None for one in about]
    return notebook["cells"][ids.index(name)]
