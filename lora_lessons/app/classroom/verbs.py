"""The teacher's verbs of the command `lora-lessons`.

lora-lessons collect ARCHIVE   sort a platform's archive into submitted/, and say who is missing
lora-lessons look LESSON       say what is odd in the submissions, before anything runs
lora-lessons grade LESSON      run and mark them, isolated; goes on where it stopped
lora-lessons marks             write marks.csv, and one that Moodle and one that Canvas imports
lora-lessons feedback LESSON   write one zip a student
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import isolation
from .course import ClassroomError, Course


def add_to(verbs: Any) -> None:
    """Add the verbs to the command's."""
    verb = _verb(verbs, "collect", "for teachers: sort an archive into submitted/", run_collect)
    verb.add_argument("archive", type=Path, help="the platform's zip, or a folder")
    verb.add_argument("--lesson", help="take only this lesson")
    verb.add_argument("--force", action="store_true", help="also over what was graded already")

    verb = _verb(verbs, "look", "for teachers: say what is odd in submissions", run_look)
    verb.add_argument("lesson", help="01, or 01_rank_decomposition")

    verb = _verb(verbs, "grade", "for teachers: run and mark submissions, isolated", run_grade)
    verb.add_argument("lesson", help="01, or 01_rank_decomposition")
    verb.add_argument("students", nargs="*", help="only these")
    verb.add_argument("--jobs", type=int, help="so many at once (default: 2, with 2 cores)")
    verb.add_argument("--again", action="store_true", help="also what is graded already")
    verb.add_argument("--full", action="store_true", help="run every cell, also plots")
    verb.add_argument(
        "--isolation",
        choices=("auto", *isolation.MODES),
        default="auto",
        help="auto: the strongest that works here",
    )

    _verb(verbs, "marks", "for teachers: write the marks as csv", run_marks)

    verb = _verb(verbs, "feedback", "for teachers: write one zip a student", run_feedback)
    verb.add_argument("lesson", help="01, or 01_rank_decomposition")


def _verb(verbs: Any, name: str, text: str, run: Callable[[Any], int]) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=run.__doc__)
    verb.add_argument(
        "--course", type=Path, default=Path("."), help="the folder that `make release` made"
    )
    verb.set_defaults(run=lambda options: _guarded(run, options))
    return verb


def _guarded(run: Callable[[Any], int], options: argparse.Namespace) -> int:
    """Run one verb; a mistake of the call or of a file is one line."""
    try:
        options.course = options.course.resolve()
        if not (options.course / "nbgrader_config.py").exists():
            raise ClassroomError(
                f"{options.course} is no course folder: `make release` makes release/; "
                "call this there, or with --course release"
            )
        return run(options)
    except KeyboardInterrupt:
        print("stopped: the same call goes on from here", file=sys.stderr)
        return 130
    except (ClassroomError, OSError, ImportError) as error:
        print(f"lora-lessons: {error}", file=sys.stderr)
        return 1


def run_collect(options: argparse.Namespace) -> int:
    """Sort the notebooks of an archive into submitted/STUDENT/LESSON/ and say who is missing."""
    from .collecting import collect

    course = Course(options.course)
    lesson = course.lesson(options.lesson) if options.lesson else None
    result = collect(course, options.archive, lesson, options.force)
    print("\n".join(result.lines()))
    return 1 if result.odd else 0


def run_look(options: argparse.Namespace) -> int:
    """Say what is odd in the submissions of a lesson; nothing of them is run."""
    from .look import look

    found = look(Course(options.course), options.lesson)
    print("\n".join(found) or "every submission can be graded, and nothing is odd")
    return 1 if found else 0


def run_grade(options: argparse.Namespace) -> int:
    """Grade what is new, isolated and in parallel; a second call goes on where this one stopped."""
    from .grading import grade

    os.environ.setdefault("LORA_LESSONS_PRESET", "quick")
    if options.jobs is not None and options.jobs < 1:
        raise ClassroomError("--jobs is a number from 1")
    course = Course(options.course)
    report = grade(
        course,
        course.lesson(options.lesson),
        options.students,
        options.jobs,
        options.isolation,
        options.again,
        options.full,
    )
    print("\n".join(report.lines()))
    return 1 if report.failed or report.changed else 0


def run_marks(options: argparse.Namespace) -> int:
    """Write marks.csv (all that is known), moodle.csv and canvas.csv (what they import)."""
    from .marks import write_marks

    print("\n".join(write_marks(Course(options.course))))
    return 0


def run_feedback(options: argparse.Namespace) -> int:
    """Write feedback/zips/STUDENT.zip, also for who could not be graded."""
    from .feedback import write_feedback

    course = Course(options.course)
    print("\n".join(write_feedback(course, course.lesson(options.lesson))))
    return 0
