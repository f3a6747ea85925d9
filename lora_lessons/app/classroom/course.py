"""nbgrader's course folder: where its parts lie, and who handed in what."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from ...errors import nearest_and_known
from .notebooks import lesson_of, read_notebook

# What archives and editors leave behind; never a student.
LITTER = ("__MACOSX", ".ipynb_checkpoints", ".DS_Store", "Thumbs.db")


class ClassroomError(Exception):
    """A verb of the classroom cannot go on; the message says why, and the cure."""


@dataclass(frozen=True)
class Course:
    """The folder that `make release` made."""

    root: Path

    def lessons(self) -> list[str]:
        """The lessons that were released."""
        return sorted(p.parent.name for p in self.root.glob("release/*/*.ipynb") if _own_name(p))

    def lesson(self, wanted: str) -> str:
        """The full name of a lesson, also from its number ("01"). Raises ClassroomError."""
        known = self.lessons()
        found = [name for name in known if wanted in (name, name[:2])]
        if not found:
            hint = nearest_and_known(wanted, known) if known else ""
            raise ClassroomError(
                f"no release of {wanted!r} in {self.root}{hint}: run `make release` first"
            )
        return found[0]

    def released_path(self, lesson: str) -> Path:
        """The notebook that students got."""
        return self.root / "release" / lesson / f"{lesson}.ipynb"

    def released(self, lesson: str) -> NotebookNode:
        """The same, read."""
        return read_notebook(self.released_path(lesson))

    def releases(self) -> dict[str, NotebookNode]:
        """Every released notebook by its name."""
        return {lesson: self.released(lesson) for lesson in self.lessons()}

    def submitted_path(self, student: str, lesson: str) -> Path:
        """Where nbgrader looks for a student's notebook."""
        return self.root / "submitted" / student / lesson / f"{lesson}.ipynb"

    def autograded_path(self, student: str, lesson: str) -> Path:
        """Where nbgrader writes the notebook that it ran."""
        return self.root / "autograded" / student / lesson / f"{lesson}.ipynb"

    def students(self, lesson: str) -> list[str]:
        """Who has a folder for this lesson."""
        folders = sorted(self.root.glob(f"submitted/*/{lesson}"))
        return [f.parent.name for f in folders if f.is_dir() and f.parent.name not in LITTER]

    def gradebook(self) -> str:
        """nbgrader's database, as SQLAlchemy names it."""
        return f"sqlite:///{self.root / 'gradebook.db'}"

    def put_names_right(self, lesson: str) -> list[str]:
        """Copy a notebook of another name to the name that nbgrader looks for; say which."""
        said, releases = [], self.releases()
        for student in self.students(lesson):
            wanted = self.submitted_path(student, lesson)
            found = [] if wanted.exists() else _of_lesson(wanted.parent, lesson, releases)
            if len(found) == 1:
                write_whole(wanted, found[0].read_bytes())
                said.append(f"{student}: {found[0].name} is taken as {wanted.name}")
        return said


def _own_name(path: Path) -> bool:
    return path.stem == path.parent.name


def _of_lesson(folder: Path, lesson: str, releases: dict[str, NotebookNode]) -> list[Path]:
    """The files of a folder that are copies of this lesson's release."""
    found = []
    for path in sorted(folder.glob("*.ipynb")):
        try:
            found += [path] if lesson_of(read_notebook(path), releases) == lesson else []
        except ValueError:
            continue
    return found


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's content; {} where there is none."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}
