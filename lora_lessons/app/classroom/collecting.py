"""Sort what a learning platform gives into submitted/STUDENT/LESSON/LESSON.ipynb.

The lesson is told by a notebook's cells, the student by the roster: by a platform's number, an id
or a name in the path. Who is in no roster is named and invents no student. Of several notebooks of
one student the latest is taken. Times are those in the archive, as `timestamp.txt`.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path, PurePosixPath

from .course import LITTER, ClassroomError, Course, write_whole
from .grading import STAMP
from .late import as_utc, read_rules
from .notebooks import LARGEST, lesson_of, parse_notebook
from .roster import Student, names_of, plain, read_roster

MOODLE = re.compile(r"_(\d+)_assignsubmission_")
CANVAS = re.compile(r"^[^_]+_(?:LATE_)?(\d+)_(\d+)_")
ANONYMOUS = re.compile(r"^(?:participant|teilnehmer/?in|participante?)[ _-]*(\d*)", re.I)
VERSION = re.compile(r"(?:-Copy|-|_| \()(\d+)\)?$")


@dataclass(frozen=True)
class Found:
    """One notebook in the archive."""

    path: PurePosixPath
    raw: bytes
    when: datetime
    lesson: str


@dataclass
class Collection:
    """What was collected, and what was odd."""

    taken: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The collection as text."""
        yield from self.odd
        if self.missing:
            yield "handed in nothing:"
            yield from (f"    {line}" for line in self.missing)
        yield f"{len(self.taken)} notebooks collected"


def collect(
    course: Course, archive: Path, lesson: str | None = None, force: bool = False
) -> Collection:
    """Sort an archive, or a folder, into submitted/.

    Raises ClassroomError if nothing in it is a notebook of a released lesson.
    """
    roster, rules = read_roster(course.root), read_rules(course.root)
    result = Collection()
    found = list(_notebooks(course, archive, rules.zone, result))
    found = [one for one in found if lesson in (None, one.lesson)]
    if not found:
        raise ClassroomError(
            f"{archive} holds no notebook of {lesson or 'a released lesson'}"
            + "".join(f"\n    {line}" for line in result.odd)
        )
    chosen: dict[tuple[str, str], list[Found]] = {}
    for one in found:
        student = _student_of(one.path, roster)
        if student is None:
            result.odd.append(f"{one.path}: from nobody in the roster, not taken")
        else:
            chosen.setdefault((student, one.lesson), []).append(one)
    for (student, its_lesson), several in sorted(chosen.items()):
        _take(course, student, its_lesson, several, force, result)
    _share_with_groups(course, chosen, roster, force, result)
    for its_lesson in sorted({one.lesson for one in found}):
        result.missing += _missing(course, its_lesson, roster)
    return result


def _notebooks(
    course: Course, archive: Path, zone: tzinfo | None, result: Collection
) -> Iterator[Found]:
    """Every notebook of a released lesson; what else there is, is named."""
    releases = course.releases()
    for path, raw, when in _files(archive, zone):
        if path.suffix.lower() != ".ipynb":
            result.odd.append(f"{path}: is no notebook, left where it is")
            continue
        try:
            lesson = lesson_of(parse_notebook(raw), releases)
        except ValueError as error:
            result.odd.append(f"{path}: {error}")
            continue
        if lesson is None:
            result.odd.append(f"{path}: has no cell of a released lesson, not taken")
        else:
            yield Found(path, raw, when, lesson)


def _files(archive: Path, zone: tzinfo | None) -> Iterator[tuple[PurePosixPath, bytes, datetime]]:
    """(path, content, time in UTC) of each file; archives in the archive are opened."""
    if archive.is_dir():
        for path in sorted(p for p in archive.rglob("*") if p.is_file()):
            inner = PurePosixPath(path.relative_to(archive).as_posix())
            when = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            yield from _opened(inner, path.read_bytes(), when, zone)
    elif not archive.exists():
        raise ClassroomError(f"there is no {archive}")
    else:
        yield from _opened(
            PurePosixPath("."), archive.read_bytes(), datetime.now(UTC), zone, top=True
        )


def _opened(
    path: PurePosixPath, raw: bytes, when: datetime, zone: tzinfo | None, top: bool = False
) -> Iterator[tuple[PurePosixPath, bytes, datetime]]:
    if any(part in LITTER or part.startswith("._") for part in path.parts):
        return
    if not top and path.suffix.lower() != ".zip":
        yield path, raw, when
        return
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as opened:
            for member in opened.infolist():
                if not member.is_dir() and member.file_size <= LARGEST:
                    inner = path.with_suffix("") / member.filename if not top else member.filename
                    then = as_utc(datetime(*member.date_time), zone)
                    yield from _opened(PurePosixPath(inner), opened.read(member), then, zone)
    except zipfile.BadZipFile:
        raise ClassroomError(f"{path if not top else 'the archive'} is no zip") from None


def _student_of(path: PurePosixPath, roster: dict[str, Student]) -> str | None:
    """Whose file it is: by the roster, or by what stands before the first underscore."""
    for part in path.parts:
        number = MOODLE.search(part) or CANVAS.match(part)
        kind = "moodle" if MOODLE.search(part) else "canvas"
        anonymous = ANONYMOUS.match(part)
        number = (number and number[1]) or (anonymous and anonymous[1])
        for student in roster.values() if number else ():
            known = {getattr(student, kind)} | ({student.moodle} if anonymous else set())
            if number in known:
                return student.id
    first = [path.parts[0], path.parts[0].split("_")[0], *path.parts[1:-1]]
    wanted = {plain(part) for part in first} - {""}
    fitting = [student.id for student in roster.values() if names_of(student) & wanted]
    if roster:
        return fitting[0] if len(fitting) == 1 else None
    return _without_roster(path)


def _without_roster(path: PurePosixPath) -> str | None:
    """The id that a path says: "ada_17_.../x.ipynb", "ada/x.ipynb", "Participant_4711_..."."""
    anonymous = ANONYMOUS.match(path.parts[0])
    if anonymous:
        number = anonymous[1] or "".join((MOODLE.search(path.parts[0]) or ("", ""))[1])
        return f"participant-{number}" if number else None
    name = path.parts[0].split("_")[0] if "_" in path.parts[0] or len(path.parts) > 1 else ""
    name = re.sub(r"[^\w.@-]+", "-", name).strip("-")
    return name or None


def _take(
    course: Course,
    student: str,
    lesson: str,
    several: list[Found],
    force: bool,
    result: Collection,
) -> None:
    """Write the latest of a student's notebooks, with its time."""
    latest = max(several, key=lambda one: (one.when, _version(one.path), str(one.path)))
    if len(several) > 1:
        others = ", ".join(sorted(str(one.path) for one in several if one is not latest))
        result.odd.append(f"{student}: {latest.path} is the latest; not taken: {others}")
    path = course.submitted_path(student, lesson)
    if path.exists() and path.read_bytes() != latest.raw and not force:
        result.odd.append(
            f"{student}: has a notebook of {lesson} already; --force puts this over it"
        )
        return
    write_whole(path, latest.raw)
    write_whole(path.parent / STAMP, latest.when.strftime("%Y-%m-%d %H:%M:%S UTC\n"))
    result.taken.append(student)


def _version(path: PurePosixPath) -> int:
    """Canvas writes -1, -2 behind a name that was handed in again."""
    found = VERSION.search(path.stem)
    return int(found[1]) if found else 0


def _share_with_groups(
    course: Course,
    chosen: dict[tuple[str, str], list[Found]],
    roster: dict[str, Student],
    force: bool,
    result: Collection,
) -> None:
    """One notebook of a group counts for all its members who handed in none."""
    for (student, lesson), several in sorted(chosen.items()):
        group = roster[student].group if student in roster else ""
        for other in roster.values() if group else ():
            if other.group == group and (other.id, lesson) not in chosen:
                _take(course, other.id, lesson, several, force, result)


def _missing(course: Course, lesson: str, roster: dict[str, Student]) -> list[str]:
    there = set(course.students(lesson))
    absent = [student for student in roster.values() if student.id not in there]
    return [f"{lesson}: {s.id} {s.name} {s.email}".rstrip() for s in absent]
