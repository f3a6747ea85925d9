"""A semester: 30 made-up submissions, four of them cheats, from the release to the marks.

The marks are worked out here by hand: from each student's mistakes, the points that the lesson
says, and the late days. All come in a zip as Moodle makes it.
"""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile

import pytest
from nbgrader.api import Gradebook

from lora_lessons.app import cli
from lora_lessons.app.classroom import isolation
from lora_lessons.app.classroom.grading import grade

from .cheats import CHEATS
from .handed_in import cell_of, code_cell, new_class

pytestmark = pytest.mark.nightly
LESSON = "01_rank_decomposition"
CHEATERS = {
    26: "reading source/",
    27: "reading the key",
    28: "writing the gradebook",
    29: "writing the package",
}
LATE = {4: ("2026-11-21", 1), 5: ("2026-11-23", 3), 6: ("2026-12-24", 5)}  # days; 5 at most
EXTENDED, ABSENT, GROUPED = 7, 30, (8, 31)
WRITTEN = 2.5  # what the teacher gives for the one written answer that is read


def wrong_of(number: int, names: list[str]) -> set[str]:
    """The exercises that this student has wrong: none, one, or several."""
    return {names[(number + i) % len(names)] for i in range(number % 4)}


@pytest.fixture(scope="module")
def term(tmp_path_factory):
    school = new_class(tmp_path_factory.mktemp("term"), "01")
    root = school.course.root
    rows = ["id,first_name,last_name,email,moodle,group"]
    for n in range(32):
        group = "red" if n in GROUPED else ""
        rows.append(f"s{n},First{n},Last{n},s{n}@uni.example,{4700 + n},{group}")
    (root / "roster.csv").write_text("\n".join(rows))
    due = f'timezone = "UTC"\n[due]\n{LESSON} = 2026-11-20T23:59:00\n'
    (root / "course.toml").write_text(due + "[late]\nper_day = 0.1\nmost = 0.5\n")
    (root / "extensions.csv").write_text(f"student,lesson,until\ns{EXTENDED},01,2026-12-01T00:00\n")
    with zipfile.ZipFile(root.parent / "moodle.zip", "w") as archive:
        for n in range(30):
            when = LATE.get(n, ("2026-11-28",) if n == EXTENDED else ("2026-11-19",))[0]
            date = tuple(int(part) for part in when.split("-"))
            name = f"First{n} Last{n}_{4700 + n}_assignsubmission_file_/{LESSON}.ipynb"
            archive.writestr(zipfile.ZipInfo(name, (*date, 12, 0, 0)), json.dumps(made(school, n)))
        archive.writestr("__MACOSX/._x.ipynb", "litter")
    return school


def made(school, n):
    """The notebook of student n."""
    if n in CHEATERS:
        notebook, cheat = school.notebook(f"s{n}", {}), CHEATS[CHEATERS[n]]
        text = cheat.cell.replace("COURSE", str(school.course.root))
        notebook["cells"].insert(3, code_cell(text))
        return notebook
    notebook = school.notebook(f"s{n}")
    for name in wrong_of(n, list(school.possible)):
        cell_of(notebook, name)["source"] = f"def {name}(*args, **kwargs):\n    return 'no'\n"
    return notebook


def points_by_hand(school, n, read=()) -> float:
    """Code and written points, less the share for the days."""
    if n in CHEATERS:
        return 0.0
    lost = wrong_of(n, list(school.possible))
    full = sum(points for name, points in school.possible.items() if name not in lost)
    full += WRITTEN if n in read else 0
    return round(full * (1 - 0.1 * LATE.get(n, ("", 0))[1]), 2)


def verb(school, *words: str) -> int:
    return cli.main([*words, "--course", str(school.course.root)])


def table(school, name: str) -> dict[str, dict[str, str]]:
    text = (school.course.root / name).read_text("utf-8")
    rows = csv.DictReader(io.StringIO(text))
    key = {"marks.csv": "id", "moodle.csv": "ID number", "canvas.csv": "SIS User ID"}[name]
    return {row[key]: row for row in rows}


def test_a_semester(term, capsys):
    course = term.course
    archive = str(course.root.parent / "moodle.zip")
    assert verb(term, "collect", archive) == 0
    said = capsys.readouterr().out
    assert f"s{ABSENT} First{ABSENT}" in said and "31 notebooks collected" in said
    assert verb(term, "look", "01") == 1
    looked = capsys.readouterr().out
    for n in CHEATERS:
        assert f"s{n}: {LESSON}.ipynb holds" in looked
    assert "s0: " not in looked

    started = time.monotonic()
    report = grade(course, LESSON)
    print("\n".join(report.lines()), f"in all {time.monotonic() - started:.0f} s")
    assert len(report.outcomes) == 31 and not report.failed and not report.changed
    if isolation.choose(course.root)[0] == "none":
        pytest.skip("nothing isolates here: cheats that write files are stopped by that alone")
    check_marks(term, read=())

    read = {0, 5}
    with Gradebook(course.gradebook(), "lora-lessons") as book:
        for n in read:
            grades = book.find_submission_notebook(LESSON, LESSON, f"s{n}").grades
            (written,) = [g for g in grades if g.name == "verdict_on_rank"]
            written.manual_score, written.needs_manual_grade = WRITTEN, False
        book.db.commit()
    check_marks(term, read)

    # all again, as after a mended check: penalties and points by hand stay
    again = grade(course, LESSON, [f"s{n}" for n in (0, 5, 6)], again=True)
    assert len(again.outcomes) == 3 and not again.failed
    check_marks(term, read, to_be_looked_at_again=read)

    assert verb(term, "feedback", "01") == 0
    zips = course.root / "feedback" / "zips"
    assert len(list((zips / LESSON).glob("s*.zip"))) == 31
    with zipfile.ZipFile(zips / LESSON / "s3.zip") as one:
        page = one.read(f"{LESSON}.html").decode()
    assert "Score" in page and str(course.root) not in page and str(isolation.PACKAGE) not in page


def check_marks(term, read, to_be_looked_at_again=()) -> None:
    assert verb(term, "marks") == 0
    marks, moodle, canvas = (table(term, f"{n}.csv") for n in ("marks", "moodle", "canvas"))
    head = next(key for key in marks["s0"] if key.startswith(f"{LESSON} ("))
    for n in range(30):
        if n in GROUPED:
            continue
        row, wanted = marks[f"s{n}"], points_by_hand(term, n, read)
        assert float(row[head]) == pytest.approx(wanted, abs=0.011), n
        unread = n not in CHEATERS and (n not in read or n in to_be_looked_at_again)
        assert row[f"{LESSON} note"] == ("not read" if unread else "")
        published = "" if unread else f"{float(row[head])}"
        assert canvas[f"s{n}"][LESSON] == published
        assert moodle[f"s{n}"][LESSON] == (published or "-")
    assert marks[f"s{ABSENT}"][f"{LESSON} note"] == "nothing handed in"
    assert marks["s1"]["last_name"] == "Last1" and canvas["s1"]["Student"] == "Last1, First1"
    # a group's second member has all that is not the first one's own
    first, second = (term.lost(f"s{n}") for n in GROUPED)
    assert second == first | {"my_budget"}
