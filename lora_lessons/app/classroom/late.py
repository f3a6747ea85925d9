"""Due dates, extensions, and what late work loses: course.toml and extensions.csv say it.

    timezone = "Europe/Berlin"          # of the dates below and of an archive's times
    [due]
    01_rank_decomposition = 2026-11-20T23:59:00
    [late]
    grace_minutes = 10                  # so much later is not late
    per_day = 0.1                       # this share of the marks, for each day begun
    most = 0.5                          # never more than this share

extensions.csv has the columns student, lesson, until. `make release` leaves both files alone.
"""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .course import ClassroomError, Course

DAY = 24 * 60 * 60
KNOWN = {"timezone", "due", "late"}
KNOWN_LATE = {"grace_minutes", "per_day", "most"}


@dataclass(frozen=True)
class Rules:
    """What course.toml and extensions.csv say."""

    zone: tzinfo | None  # None: this machine's
    due: dict[str, datetime]
    until: dict[tuple[str, str], datetime]
    grace: float = 0.0  # seconds
    per_day: float = 0.0
    most: float = 1.0

    def due_for(self, student: str, lesson: str) -> datetime | None:
        """The date that counts for a student, in UTC; None where there is none."""
        return self.until.get((student.casefold(), lesson), self.due.get(lesson))

    def share(self, student: str, lesson: str, handed_in: datetime | None) -> float:
        """The share of the marks that late work loses: 0 in time, `most` at most."""
        due = self.due_for(student, lesson)
        if due is None or handed_in is None:
            return 0.0
        late = (handed_in - due).total_seconds()
        if late <= self.grace:
            return 0.0
        return min(self.most, self.per_day * math.ceil(late / DAY))


def read_rules(root: Path) -> Rules:
    """Read both files; where there is none nothing is ever late. Raises ClassroomError."""
    path = root / "course.toml"
    try:
        said = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
        late = said.get("late", {})
        unknown = (said.keys() - KNOWN) | (late.keys() - KNOWN_LATE)
        if unknown:
            raise ValueError(f"{sorted(unknown)[0]!r} is no setting")
        zone = ZoneInfo(said["timezone"]) if "timezone" in said else None
        due = {lesson: as_utc(when, zone) for lesson, when in said.get("due", {}).items()}
        numbers = {key: float(late[key]) for key in ("per_day", "most") if key in late}
        if not all(0 <= number <= 1 for number in numbers.values()):
            raise ValueError("a share lies between 0 and 1")
        grace = 60 * float(late.get("grace_minutes", 0))
        return Rules(zone, due, _extensions(root, zone), grace, **numbers)
    except (ValueError, TypeError, ZoneInfoNotFoundError) as error:
        raise ClassroomError(f"{path.name} or extensions.csv: {error}") from None


def _extensions(root: Path, zone: tzinfo | None) -> dict[tuple[str, str], datetime]:
    path, course = root / "extensions.csv", Course(root)
    if not path.exists():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        (row["student"].strip().casefold(), course.lesson(row["lesson"].strip())): as_utc(
            row["until"].strip(), zone
        )
        for row in rows
    }


def as_utc(when: datetime | str, zone: tzinfo | None) -> datetime:
    """A date in UTC; one without a zone is in `zone`, or this machine's."""
    if not isinstance(when, datetime):
        when = datetime.fromisoformat(str(when))
    return (when if when.tzinfo else when.replace(tzinfo=zone)).astimezone(UTC)


def refresh(root: Path, lesson: str, students: Iterable[str] | None = None) -> None:
    """Write each submission's penalty into the gradebook, from its time and its marks of now."""
    rules = read_rules(root)
    with _gradebook(root) as book:
        assignment = book.find_assignment(lesson)
        if lesson in rules.due:
            assignment.duedate = rules.due[lesson].replace(tzinfo=None)
        for submission in assignment.submissions:
            name = submission.student.id
            if students is not None and name not in students:
                continue
            when = submission.timestamp
            share = rules.share(name, lesson, when and when.replace(tzinfo=UTC))
            for notebook in submission.notebooks:
                notebook.late_submission_penalty = round(share * notebook.score, 2) or None
        book.db.commit()


def _gradebook(root: Path) -> Any:
    from nbgrader.api import Gradebook  # only a teacher has nbgrader

    return Gradebook(Course(root).gradebook(), "lora-lessons")
