"""The roster: who is in the class, and under which names a learning platform knows them.

roster.csv in the course folder has a header and one row a student. `id` is needed, all else helps
to find who a file is from and to write the marks:

    id,first_name,last_name,email,moodle,canvas,login,group

`moodle` is the number in "Participant 4711" and in a download's folder names, `canvas` the user's
number in a download's file names. Moodle's own grading worksheet and Canvas's gradebook are read
too: `id` is then the ID number or the e-mail's first part (Moodle), or the SIS User ID (Canvas).
"""

from __future__ import annotations

import csv
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from .course import ClassroomError

ALSO = {  # other headers for the same thing, in lower case
    "id number": "id",
    "sis user id": "id",
    "sis login id": "login",
    "email address": "email",
    "first name": "first_name",
    "last name": "last_name",
    "surname": "last_name",
    "full name": "name",
    "student": "name",
    "identifier": "moodle",
}
FORBIDDEN = re.compile(r"[/\\_+:*?\"<>|\s]")


@dataclass(frozen=True)
class Student:
    """One row of the roster."""

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    moodle: str = ""
    canvas: str = ""
    login: str = ""
    section: str = ""
    group: str = ""

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}".strip()


def read_roster(root: Path) -> dict[str, Student]:
    """{id: student}; {} where the course has no roster. Raises ClassroomError for a broken one."""
    path = root / "roster.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, Student] = {}
    for line, row in enumerate(rows, start=2):
        student = _student({k: v for k, v in row.items() if k and isinstance(v, str)}, line)
        if student is None:
            continue
        if student.id in found:
            raise ClassroomError(f"roster.csv, line {line}: {student.id!r} is there twice")
        found[student.id] = student
    if not found:
        raise ClassroomError("roster.csv names no student; its first line is the header, with `id`")
    return found


def _student(row: dict[str, str], line: int) -> Student | None:
    """One row; None for the row of "Points Possible" that Canvas writes."""
    canvas_file = "SIS Login ID" in row
    said = {ALSO.get(key.strip().lower(), key.strip().lower()): v.strip() for key, v in row.items()}
    if canvas_file:
        said["canvas"] = row.get("ID", "").strip()
        said["id"] = row.get("SIS User ID", "").strip() or said.get("login", "")
    if not any(said.values()) or "points possible" in said.get("name", "").lower():
        return None
    if not said.get("id"):
        said["id"] = said.get("email", "").partition("@")[0]
    if not said["id"] or FORBIDDEN.search(said["id"]):
        raise ClassroomError(
            f"roster.csv, line {line}: {said['id']!r} is no id; it becomes a folder's name, "
            "so it must have no space, underscore or slash"
        )
    said["moodle"] = re.sub(r"\D", "", said.get("moodle", ""))
    if said.get("name") and not said.get("last_name"):
        said["first_name"], said["last_name"] = _parts(said["name"])
    return Student(**{key: said.get(key, "") for key in Student.__dataclass_fields__})


def _parts(name: str) -> tuple[str, str]:
    """(first, last) of "Ada Lovelace" or "Lovelace, Ada"."""
    if "," in name:
        last, _, first = name.partition(",")
        return first.strip(), last.strip()
    first, _, last = name.rpartition(" ")
    return first, last


def plain(text: str) -> str:
    """Letters and digits alone, in lower case and without accents: "Zoë O'Neil" is "zoeoneil"."""
    split = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    return re.sub(r"[^a-z0-9]", "", split.casefold())


def names_of(student: Student) -> set[str]:
    """Every name that a platform may give this student's files."""
    first, last = student.first_name, student.last_name
    names = {student.id, student.login, student.email, student.email.partition("@")[0]}
    names |= {first + last, last + first} if first and last else set()
    return {plain(name) for name in names} - {""}
