"""Make the learner's copy of a lesson: the source without solutions, hidden tests and outputs.

nbgrader's own preprocessors cut the regions, so that the learner's copy and the teacher's release
hold the very same stubs.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from links import addresses
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.preprocessors import ClearHiddenTests, ClearMarkScheme, ClearOutput, ClearSolutions
from notebook_source import (
    BEGIN_SOLUTION,
    MARKERS,
    STUB,
    LessonError,
    is_answer,
    lesson_sources,
    read_source,
    region_statements,
    solution_regions,
)

INSTALL = """# @title Installs the course where it is not there, as on Colab. Else it does nothing.
import importlib.util

if importlib.util.find_spec("lora_lessons") is None:
    get_ipython().run_line_magic("pip", "install --quiet git+{address}")"""
CUT = (ClearSolutions, ClearHiddenTests, ClearMarkScheme, ClearOutput)


def learner_copy(source: Path) -> NotebookNode:
    """Return the learner's notebook; raises LessonError if any of the solution is left in it."""
    original, copy = read_source(source), read_source(source)
    for preprocessor in CUT:
        copy, _ = cut_with(preprocessor)(copy, {})
    for cell in copy.cells:
        cell.metadata.pop("nbgrader", None)
        if cell.cell_type == "code":
            cell.execution_count = None
    leaks = surviving_solutions(original, copy)
    if leaks:
        raise LessonError(f"{source.name}: the learner's copy would show {'; '.join(leaks)}")
    copy.cells[1:1] = [way_cell(source), install_cell()]
    return copy


def way_cell(source: Path) -> NotebookNode:
    """Links to the index and to the lessons before and after."""
    stems = [path.stem for path in lesson_sources()]
    links = ["[All lessons](index.ipynb)"]
    if source.stem in stems:
        place = stems.index(source.stem)
        if place > 0:
            links.append(f"before: [lesson {stems[place - 1][:2]}]({stems[place - 1]}.ipynb)")
        if place + 1 < len(stems):
            links.append(f"after: [lesson {stems[place + 1][:2]}]({stems[place + 1]}.ipynb)")
    return new_markdown_cell(", ".join(links), id="way")


def install_cell() -> NotebookNode:
    """Where the notebook was opened without the course, as on Colab, it gets the course."""
    kept = {"cellView": "form", "jupyter": {"source_hidden": True}}
    return new_code_cell(INSTALL.format(address=addresses()[0]), id="install", metadata=kept)


def cut_with(preprocessor: type) -> Any:
    """Return nbgrader's preprocessor, set up as nbgrader_config.py sets it up for the release."""
    ready = preprocessor()
    if isinstance(ready, ClearSolutions):
        ready.code_stub = {"python": STUB}
    return ready.preprocess


def surviving_solutions(original: NotebookNode, copy: NotebookNode) -> list[str]:
    """Name what a learner could read of the solutions: markers, outputs, or a region's code.

    A region counts as shown when the copy has the same run of statements anywhere (compared as
    syntax trees, so that layout and comments make no difference), or its text in a markdown cell.
    """
    leaks = []
    for cell in copy.cells:
        leaks += [f"the marker {mark!r} in {cell.id}" for mark in MARKERS if mark in cell.source]
        if cell.get("outputs"):
            leaks.append(f"an output in {cell.id}")
    blocks = [block for cell in copy.cells for block in _code_blocks(cell)]
    prose = " ".join(" ".join(c.source.split()) for c in copy.cells if c.cell_type == "markdown")
    for cell in filter(is_answer, original.cells):
        if cell.cell_type == "markdown":
            if " ".join(cell.source.split()) in prose:
                leaks.append(f"the written answer {cell.id}")
            continue
        for region in solution_regions(cell.source):
            wanted = [ast.dump(node) for node in region_statements(cell.source, region)]
            text = " ".join(" ".join(cell.source.splitlines()[n - 1] for n in region).split())
            if any(_has_run(block, wanted) for block in blocks) or text in prose:
                leaks.append(f"the solution of {cell.id}")
    return leaks


def _code_blocks(cell: NotebookNode) -> list[list[str]]:
    """Return each list of statements in a code cell, every statement as a normalised dump."""
    if cell.cell_type != "code" or BEGIN_SOLUTION in cell.source:
        return []
    tree = ast.parse(cell.source)
    bodies = [getattr(n, f, None) for n in ast.walk(tree) for f in ("body", "orelse", "finalbody")]
    return [[ast.dump(s) for s in body] for body in bodies if isinstance(body, list)]


def _has_run(block: list[str], wanted: list[str]) -> bool:
    size = len(wanted)
    return any(block[i : i + size] == wanted for i in range(len(block) - size + 1))
