"""The command `lora-lessons`: what a learner does outside the notebooks.

lora-lessons lab        copy the notebooks into a folder of your own; open where you stopped
lora-lessons doctor     say what is missing on this machine and how to get it
lora-lessons progress   say which exercises you solved
lora-lessons models     list the base models, or add a larger public one
lora-lessons review     ask the review cards that are due today
lora-lessons capstone   put your mini-LoRA of lesson 15, a file, to its tests
lora-lessons export     write an adapter for llama.cpp, Bedrock's import or ONNX
lora-lessons convert    write an adapter's old adapter_model.bin as safetensors

For teachers, in the folder that `make release` made (see docs/teaching.md):

lora-lessons collect    sort a learning platform's archive into submitted/
lora-lessons look       say what is odd in the submissions, before anything runs
lora-lessons grade      run and mark them where they can change nothing
lora-lessons marks      write the marks as csv, also for Moodle and Canvas
lora-lessons feedback   write one zip a student
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lora_lessons import __version__
from lora_lessons.app import convert, export, lab, places, way
from lora_lessons.app.classroom import verbs as verbs_of_teachers


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code: 0 if all is well, 1 if not, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except BrokenPipeError:  # whoever reads, as `head` does, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing left to flush
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lora-lessons",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lora-lessons {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser("lab", help="copy the notebooks and open JupyterLab where you stopped")
    _add_folder(verb, lab.DEFAULT_FOLDER)
    verb.add_argument("--no-browser", action="store_true", help="print the address instead")
    verb.add_argument("--no-open", action="store_true", help="copy the notebooks, nothing else")
    verb.add_argument("jupyter", nargs="*", help="after --: options for JupyterLab itself")
    verb.set_defaults(run=run_lab)

    verb = verbs.add_parser("doctor", help="say what is missing and how to get it")
    _add_folder(verb)
    verb.set_defaults(run=run_doctor)

    verb = verbs.add_parser("progress", help="say which exercises you solved")
    _add_folder(verb)
    verb.set_defaults(run=run_progress)

    verb = verbs.add_parser("models", help="list the base models, or add a public one")
    actions = verb.add_subparsers(metavar="list|add")
    verb.set_defaults(run=run_models_list)
    actions.add_parser("list", help="the base models, and which are there")
    action = actions.add_parser("add", help="get a larger public model")
    action.add_argument("name", help="smollm2 or minilm")
    action.set_defaults(run=run_models_add)

    _add_practice(verbs)
    export.add_to(verbs)
    convert.add_to(verbs)
    verbs_of_teachers.add_to(verbs)
    return parser


def _add_practice(verbs: Any) -> None:
    """The verbs for what comes after a lesson."""
    verb = verbs.add_parser("review", help="ask the review cards that are due today")
    _add_folder(verb)
    verb.add_argument("lessons", nargs="*", help="01 02 ...: of these lessons only")
    verb.add_argument("--most", type=int, default=20, help="cards at a sitting (20)")
    verb.set_defaults(run=run_review)

    verb = verbs.add_parser("capstone", help="put your mini-LoRA of lesson 15 to its tests")
    verb.add_argument("file", type=Path, help="your file, at most 120 lines")
    verb.add_argument("--seed", type=int, default=0, help="other shapes and numbers")
    verb.set_defaults(run=run_capstone)


def _add_folder(verb: argparse.ArgumentParser, default: Path | None = None) -> None:
    found = default or f"here, ./{lab.DEFAULT_FOLDER}, or what `lab` used last"
    told = f"your own folder for the notebooks (default: {found})"
    verb.add_argument("--dir", type=Path, default=default, help=told)


def run_lab(options: argparse.Namespace) -> int:
    """Copy the notebooks into the learner's folder and open JupyterLab there."""
    folder = options.dir.expanduser()
    try:
        copied = lab.copy_notebooks(folder)
        way.write_index(folder)
        places.remember(folder)
    except OSError as error:
        return _fail(error)
    for one in copied:
        if one.outcome != "kept":
            print(f"{one.outcome}: {one.path}")
    if lab.is_a_classrooms():
        print("These are for learning alone. Hand in the notebook that your teacher gave you.")
    if options.no_open:
        return 0
    opens = way.stopped_at(folder)
    try:
        return lab.open_lab(folder, opens, not options.no_browser, options.jupyter)
    except ModuleNotFoundError as error:
        return _fail(error)


def run_doctor(options: argparse.Namespace) -> int:
    """Print what the machine lacks; 1 if the course cannot run without it."""
    from lora_lessons.app import doctor

    findings = doctor.examine(places.learners_folder(options.dir))
    print(doctor.report(findings))
    return int(any(finding.state == "missing" for finding in findings))


def run_progress(options: argparse.Namespace) -> int:
    """Print the exercises solved and those that are left, lesson by lesson."""
    from lora_lessons.course import lesson, progress
    from lora_lessons.course.lesson import lesson_numbers

    folder = places.learners_folder(options.dir)
    if not folder.is_dir():
        return _fail(FileNotFoundError(f"no folder {folder}: `lora-lessons lab` makes it"))
    print(f"in {folder.resolve()}")
    kept = progress.read(folder)
    for number in lesson_numbers():
        exercises = lesson(number).exercises
        outcomes = kept.get(number, {})
        left = [e.title for name, e in exercises.items() if outcomes.get(name) != "right"]
        print(f"{number}: {len(exercises) - len(left)} of {len(exercises)} exercises solved")
        for title in left:
            print(f"    left: {title}")
    return 0


def run_review(options: argparse.Namespace) -> int:
    """Ask the review cards that are due in the learner's folder."""
    from lora_lessons.app import review

    options.dir = places.learners_folder(options.dir)
    return review.run_review(options)


def run_capstone(options: argparse.Namespace) -> int:
    """Put a file to the blank-file test of lesson 15."""
    from lora_lessons.app import capstone

    return capstone.run_capstone(options)


def run_models_list(_: argparse.Namespace) -> int:
    """Print the base models and which of them are there."""
    from lora_lessons.app import optional_models

    print(optional_models.listing())
    return 0


def run_models_add(options: argparse.Namespace) -> int:
    """Get one optional model and keep it as safetensors."""
    from lora_lessons.app import optional_models

    try:
        print(f"{options.name} is at {optional_models.add(options.name)}")
    except optional_models.ModelError as error:
        return _fail(error)
    return 0


def _fail(error: Exception) -> int:
    print(f"lora-lessons: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
