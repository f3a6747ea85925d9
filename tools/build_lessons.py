"""Generate every copy of a lesson from its one source, solutions/NN_topic.py.

    python tools/build_lessons.py all          learner's copies, executed solutions, key
    python tools/build_lessons.py learner 01   notebooks/01_*.ipynb only
    python tools/build_lessons.py execute 01   solutions/01_*.ipynb only (takes a minute)
    python tools/build_lessons.py key          course/key.json, and notebooks/index.ipynb
    python tools/build_lessons.py release 01   the teacher's course folder, release/
    python tools/build_lessons.py check        name every copy that differs from its source

Without numbers, all lessons are meant. The key and the index always hold all lessons.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from answer_key import key_text
from executed_solution import PRESET, executed_solution, stored_faults
from index_notebook import PATH as INDEX
from index_notebook import index_notebook
from learner_copy import learner_copy
from nbclient.exceptions import CellExecutionError
from notebook_source import (
    KEY,
    LEARNER_COPIES,
    LessonError,
    input_hash,
    lesson_sources,
    notebook_text,
    read_source,
    write_whole,
)
from teacher_release import make_release


def write_learner_copy(source: Path) -> None:
    """Write notebooks/NN_topic.ipynb."""
    write_whole(learner_path(source), notebook_text(learner_copy(source)))


def write_executed_solution(source: Path) -> None:
    """Execute the source and write solutions/NN_topic.ipynb."""
    write_whole(source.with_suffix(".ipynb"), notebook_text(executed_solution(source)))


def write_key() -> None:
    """Write the answers of all lessons, and the index of them."""
    write_whole(KEY, key_text(lesson_sources()))
    write_whole(INDEX, notebook_text(index_notebook()))


def learner_path(source: Path) -> Path:
    """Where the learner's copy lies."""
    return LEARNER_COPIES / f"{source.stem}.ipynb"


def drift(sources: list[Path]) -> Iterator[str]:
    """Yield one sentence for each generated copy that is not what its source makes."""
    for source in sources:
        yield from lesson_drift(source)
    yield from shared_drift()


def lesson_drift(source: Path) -> Iterator[str]:
    """Yield one sentence for each copy of this lesson that differs, then the verb that mends it."""
    found, learner = [], learner_path(source)
    if _text(learner) != notebook_text(learner_copy(source)):
        found.append(f"notebooks/{learner.name} differs from solutions/{source.name}")
    found += _drift_of_executed(source)
    yield from found
    if found:
        yield f"    to mend: make lessons NN={source.name[:2]}"


def shared_drift() -> Iterator[str]:
    """Yield a sentence for the key and the index, if one differs, and for each stray notebook."""
    shared = {KEY: key_text(lesson_sources()), INDEX: notebook_text(index_notebook())}
    for path, text in shared.items():
        if _text(path) != text:
            remedy = "make lessons NN=01, with the number of the lesson that changed: it writes all"
            yield f"{path.name} differs from the sources\n    to mend: {remedy}"
    expected = {source.stem for source in lesson_sources()}
    for stray in (*LEARNER_COPIES.glob("*.ipynb"), *lesson_folder().glob("*.ipynb")):
        if stray.stem not in expected and stray != INDEX:
            remedy = f"delete it, or write solutions/{stray.stem}.py"
            yield f"{stray.parent.name}/{stray.name} has no source\n    to mend: {remedy}"


def _drift_of_executed(source: Path) -> Iterator[str]:
    path = source.with_suffix(".ipynb")
    if not path.exists():
        yield f"solutions/{path.name} is missing"
        return
    stored, fresh = nbformat.read(path, as_version=4), read_source(source)
    key = ("id", "cell_type", "source", "metadata")
    if [[c[k] for k in key] for c in stored.cells] != [[c[k] for k in key] for c in fresh.cells]:
        yield f"the cells of solutions/{path.name} differ from solutions/{source.name}"
    recorded = {"preset": PRESET, "inputs": input_hash(source)}
    about = stored.metadata.get("lora_lessons", {})
    if {name: about.get(name) for name in recorded} != recorded:
        yield (
            f"solutions/{path.name} was executed before its source, experiment, checks, explorer "
            "or recorded runs changed"
        )
    for fault in stored_faults(stored):
        yield f"solutions/{path.name}: {fault}"


def lesson_folder() -> Path:
    """The folder of the sources."""
    return lesson_sources()[0].parent


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = ("all", "learner", "execute", "key", "release", "check")
    parser.add_argument("verb", choices=verbs)
    parser.add_argument("numbers", nargs="*", metavar="NN", help="lessons, by number: 00 01")
    options = parser.parse_args(arguments)
    try:
        return build(options.verb, lesson_sources(options.numbers))
    except (LessonError, CellExecutionError) as error:
        print(error, file=sys.stderr)
        return 1


def build(verb: str, sources: list[Path]) -> int:
    """Carry out one verb for these lessons and return the exit code."""
    if verb == "check":
        differences = list(drift(sources))
        print("\n".join(differences) or "every copy agrees with its source")
        return 1 if differences else 0
    if verb in ("all", "key"):  # first: a lesson that runs may show its answers
        write_key()
    for source in sources if verb != "key" else []:
        print(f"{source.stem}: {verb}", flush=True)
        if verb in ("all", "learner"):
            write_learner_copy(source)
        if verb in ("all", "execute"):
            write_executed_solution(source)
        if verb == "release":
            make_release(source)
    return 0


if __name__ == "__main__":
    sys.exit(main())
