"""Grade every submission of a lesson: isolated, two at once, and where it stopped it goes on.

Each submission is nbgrader's own autograde, with the steps of `steps.py`. What was graded stands
in grading/LESSON.json with a hash of the submission and of the judge, so that a second call grades
only what is new or has changed.
"""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import re
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import isolation, trees
from .course import ClassroomError, Course, read_json, write_whole
from .late import read_rules

STAMP = "timestamp.txt"


@dataclass
class Outcome:
    """What came of one submission."""

    student: str
    seconds: float
    error: str = ""  # one sentence; empty if it was graded


@dataclass
class Report:
    """What came of all."""

    lesson: str
    mode: str
    jobs: int
    seconds: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    kept: int = 0
    changed: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[Outcome]:
        """Those that could not be graded."""
        return [outcome for outcome in self.outcomes if outcome.error]

    def lines(self) -> Iterator[str]:
        """The report as text."""
        for outcome in self.failed:
            yield f"{outcome.student}: not graded, has 0: {outcome.error}"
        done = len(self.outcomes) - len(self.failed)
        kept = f", {self.kept} were graded before" if self.kept else ""
        yield f"{self.lesson}: {done} of {len(self.outcomes)} graded{kept}"
        if self.outcomes:
            each = self.seconds / len(self.outcomes)
            workers = f"{self.jobs} worker{'s' * (self.jobs > 1)}"
            yield (
                f"it took {self.seconds:.0f} s with {workers}, {each:.1f} s a submission: "
                f"60 take {each:.1f} min"
            )
        if self.changed:
            yield f"CHANGED while it ran, so trust no mark of this run: {', '.join(self.changed)}"
        else:
            yield "package, sources and release are as they were"


SAYS = {
    "sandbox": "isolation: bubblewrap. A submission sees Python, the package without its key and a "
    "folder of its own; no network",
    "account": "isolation: an account that owns nothing. The course folder, the solutions and the "
    "key are closed to it",
    "none": "isolation: NONE. A submission runs as you and can read and write what you can; each "
    "is graded alone, and the package, the sources and the gradebook are compared before and after",
}


def grade(
    course: Course,
    lesson: str,
    students: Iterable[str] = (),
    jobs: int | None = None,
    wanted: str = "auto",
    again: bool = False,
    full: bool = False,
) -> Report:
    """Grade what is new, or all of `students`; prints how it goes. Raises ClassroomError."""
    chosen = sorted(students) or course.students(lesson)
    missing = [s for s in chosen if s not in course.students(lesson)]
    if missing or not chosen:
        who = f" of {', '.join(missing)}" if missing else ""
        raise ClassroomError(f"there is no submission{who} in {course.root}/submitted/*/{lesson}")
    read_rules(course.root)  # a mistake in course.toml stops here and not after an hour
    print("\n".join(course.put_names_right(lesson)), end="\n" * bool(chosen))
    mode, why_not = isolation.choose(course.root, wanted)
    print("\n".join([SAYS[mode], *(f"    not {line}" for line in why_not)]), flush=True)
    before = trees.guarded(course.root)
    judge = trees.one_hash(before)
    records = _path(course, lesson)
    known = {} if again else read_json(records)
    todo = [s for s in chosen if known.get(s) != _hash_of(course, s, lesson, judge)]
    report = Report(lesson, mode, 1 if mode == "none" else jobs or min(2, os.cpu_count() or 1))
    report.kept = len(chosen) - len(todo)
    started = time.monotonic()
    _run(course, report, todo, full, judge)
    report.seconds = time.monotonic() - started
    report.changed = trees.changed(before, trees.guarded(course.root))
    return report


def _path(course: Course, lesson: str) -> Path:
    return course.root / "grading" / f"{lesson}.json"


def _hash_of(course: Course, student: str, lesson: str, judge: str) -> str:
    """One hash of a submission, its time and what judges it."""
    folder = course.submitted_path(student, lesson).parent
    return hashlib.sha256((judge + repr(trees.digests(folder))).encode()).hexdigest()


def _run(course: Course, report: Report, todo: list[str], full: bool, judge: str) -> None:
    """Grade these in worker processes; write down each as it ends."""
    records = _path(course, report.lesson)
    known = read_json(records)
    for student in todo:
        known.pop(student, None)
    spawn = multiprocessing.get_context("spawn")
    setup = (str(course.root), report.mode, full)
    with ProcessPoolExecutor(report.jobs, spawn, _begin, setup) as pool:
        waiting = {pool.submit(grade_one, s, report.lesson): s for s in todo}
        try:
            for done in as_completed(waiting):
                outcome = _outcome(done, waiting[done])
                report.outcomes.append(outcome)
                if not outcome.error:
                    known[outcome.student] = _hash_of(course, outcome.student, report.lesson, judge)
                write_whole(records, trees.as_json(known))
                _say(outcome, len(report.outcomes), len(todo))
                if "this submission changed" in outcome.error:
                    raise ClassroomError(
                        f"{outcome.student}: {outcome.error}. Nothing more is graded"
                    )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _outcome(done: Any, student: str) -> Outcome:
    try:
        return done.result()
    except BrokenProcessPool:
        return Outcome(student, 0.0, "its worker ended: grade it again, with --jobs 1")


def _say(outcome: Outcome, number: int, of: int) -> None:
    said = outcome.error or "graded"
    print(f"[{number}/{of}] {outcome.student}: {said} ({outcome.seconds:.1f} s)", flush=True)


def _begin(root: str, mode: str, full: bool) -> None:
    """In each worker: the course's settings, and where nbgrader finds its tools."""
    os.environ["LORA_LESSONS_ISOLATION"] = mode
    os.environ["LORA_LESSONS_FULL"] = "1" if full else ""
    scripts = str(Path(sys.executable).parent)  # nbgrader calls alembic by its bare name
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", "")])
    os.chdir(root)
    warnings.filterwarnings("ignore", module="nbgrader")  # SQLAlchemy's, about nbgrader's sessions
    logging.getLogger("traitlets").addHandler(logging.NullHandler())


def grade_one(student: str, lesson: str) -> Outcome:
    """nbgrader's autograde of one submission, in a worker."""
    from nbgrader.apps.api import NbGraderAPI  # only a teacher has nbgrader
    from traitlets.config import PyFileConfigLoader

    started = time.monotonic()
    config = PyFileConfigLoader("nbgrader_config.py", ".").load_config()
    config.CourseDirectory.root = os.getcwd()
    if os.environ.get("LORA_LESSONS_FULL"):
        config.RunIsolated.slim = False
    result = NbGraderAPI(config=config).autograde(lesson, student, force=True, create=True)
    log = f"{result.get('log', '')}\n{result.get('error', '')}"
    write_whole(Path("grading") / lesson / f"{student}.log", log)
    error = "" if result["success"] else why_not(log)
    if error:
        _void(student, lesson)
    return Outcome(student, time.monotonic() - started, error)


def _void(student: str, lesson: str) -> None:
    """Take the marks back that an earlier notebook of this student had."""
    from nbgrader.api import Gradebook, MissingEntry

    with Gradebook(Course(Path.cwd()).gradebook(), "lora-lessons") as book:
        try:
            grades = book.find_submission_notebook(lesson, lesson, student).grades
        except MissingEntry:
            return
        for grade in grades:
            grade.auto_score, grade.needs_manual_grade = 0, False
        book.db.commit()


def why_not(log: str) -> str:
    """The first error's text in nbgrader's log, without its long traceback."""
    named = re.findall(r"^\s*(?:[\w.]*\.)?(\w*(?:Error|Changed|Exception))(?:: (.*))?$", log, re.M)
    told = [(kind, text) for kind, text in named if kind != "NbGraderException"]
    if not told:
        return "nbgrader could not grade it"
    kind, text = told[0]
    return text if kind in ("ValueError", "TreeChanged") else f"{kind}: {text}".removesuffix(": ")
