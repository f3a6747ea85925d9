"""Read a lesson's one source, solutions/NN_topic.py, and answer questions about it.

The source is in jupytext's percent format with nbgrader's metadata in the cell headers. Whatever
is generated from it (learner's copy, executed solution, key, release) starts from `read_source`.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "solutions"
LEARNER_COPIES = ROOT / "notebooks"
KEY = ROOT / "lora_lessons" / "course" / "key.json"

STUB = 'raise NotImplementedError("Your turn: replace this line.")'
BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
MARKERS = (BEGIN_SOLUTION, END_SOLUTION, "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class LessonError(Exception):
    """A lesson's source breaks a rule; the message names the file, the cell and the rule."""


def lesson_sources(numbers: list[str] | None = None, folder: Path = SOURCES) -> list[Path]:
    """Return the sources of the lessons with these two-digit numbers, or of all lessons."""
    found = {path.name[:2]: path for path in sorted(folder.glob("[0-9][0-9]_*.py"))}
    missing = [number for number in numbers or [] if number not in found]
    if missing:
        have = ", ".join(found) or "none"
        raise LessonError(f"no lesson {', '.join(missing)} in {folder}; there are: {have}")
    return [found[number] for number in numbers or found]


def read_source(path: Path) -> NotebookNode:
    """Read a percent-format source into a notebook, the same one every time.

    jupytext gives each cell a random id and notes its own version; here the ids come from
    the exercise or from the position, and the metadata holds the kernel and nothing else.
    """
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata = nbformat.from_dict({"kernelspec": dict(KERNEL)})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for position, cell in enumerate(notebook.cells):
        kept = {k: v for k, v in cell.metadata.items() if k in ("nbgrader", "tags")}
        cell.metadata = nbformat.from_dict(kept)
        exercise = grade_id(cell)
        cell.id = exercise.replace("_", "-") if exercise else f"cell-{position:03d}"
    check_rules(path, notebook)
    return notebook


def grade_id(cell: NotebookNode) -> str | None:
    """Return the exercise's id of a cell that nbgrader knows, else None."""
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def is_answer(cell: NotebookNode) -> bool:
    """Tell whether the learner writes this cell: code to fill in, or a written answer."""
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def check_rules(path: Path, notebook: NotebookNode) -> None:
    """Refuse a source that would make a broken learner's copy.

    Raises LessonError for an id that is used twice and for a solution region outside a function:
    its stub would raise as soon as the cell runs, and stop the notebook there.
    """
    ids = [cell.id for cell in notebook.cells]
    for twice in sorted({name for name in ids if ids.count(name) > 1}):
        raise LessonError(f"{path.name}: the id {twice!r} stands on two cells")
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if is_answer(cell) and BEGIN_SOLUTION not in cell.source:
            raise LessonError(f"{path.name}: exercise {cell.id!r} has no {BEGIN_SOLUTION!r} line")
        for region in solution_regions(cell.source):
            if not _inside_a_function(cell.source, region):
                raise LessonError(
                    f"{path.name}: the solution in cell {cell.id!r} (line {region.start}) is not "
                    "inside a function, so its stub would stop the notebook"
                )


def solution_regions(source: str) -> Iterator[range]:
    """Yield the 1-based line numbers between each pair of solution markers."""
    begin = None
    for number, line in enumerate(source.splitlines(), start=1):
        if BEGIN_SOLUTION in line:
            begin = number
        elif END_SOLUTION in line and begin is not None:
            yield range(begin + 1, number)
            begin = None


def region_statements(source: str, region: range) -> list[ast.stmt]:
    """Return the outermost statements that start inside the region."""
    inside = [n for n in ast.walk(ast.parse(source)) if _starts_in(n, region)]
    nested = {child for node in inside for child in ast.walk(node) if child is not node}
    return sorted((n for n in inside if n not in nested), key=lambda n: n.lineno)


def _starts_in(node: ast.AST, region: range) -> bool:
    return isinstance(node, ast.stmt) and node.lineno in region


def _inside_a_function(source: str, region: range) -> bool:
    statements = region_statements(source, region)
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    bodies = [child for function in functions for part in function.body for child in ast.walk(part)]
    positions = {(n.lineno, n.col_offset) for n in bodies if isinstance(n, ast.stmt)}
    return bool(statements) and all((n.lineno, n.col_offset) in positions for n in statements)


def without_markers(source: str) -> str:
    """Return the cell's text without nbgrader's marker lines."""
    lines = [line for line in source.splitlines() if line.strip() not in MARKERS]
    return "\n".join(lines).strip() + "\n"


def input_hash(path: Path, root: Path = ROOT) -> str:
    """Return one hash of everything that shapes the executed notebook of this lesson.

    These are the source, the lesson's experiment, checks and explorer, and its recorded runs.
    """
    number = re.match(r"\d\d", path.name)[0]
    package = root / "lora_lessons"
    inputs = [path, *sorted(package.glob(f"experiments/lesson{number}.py"))]
    inputs += sorted(package.glob(f"course/lesson{number}/*.py"))
    inputs += sorted(package.glob(f"recorded/{number}_*.json"))
    digest = hashlib.sha256()
    for file in inputs:
        digest.update(file.name.encode() + b"\0" + file.read_text("utf-8").encode() + b"\0")
    return digest.hexdigest()


def notebook_text(notebook: NotebookNode) -> str:
    """Return the notebook as it is stored."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    os.chmod(name, 0o644)
    os.replace(name, path)
