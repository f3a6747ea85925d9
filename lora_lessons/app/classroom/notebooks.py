"""Read whatever a student hands in as a notebook: any editor's, any version, any encoding.

A file that no reader of notebooks would take is refused in one sentence.
"""

from __future__ import annotations

import codecs
import json
import warnings
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

NO_NOTEBOOK = "is not a notebook: ask for the file again"
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
LARGEST = 50_000_000  # bytes; a notebook with every plot of a lesson has one or two million


def parse_notebook(raw: bytes) -> NotebookNode:
    """Return the notebook in these bytes, as version 4.

    Raises ValueError if they hold none.
    """
    encoding = next((name for mark, name in MARKS.items() if raw.startswith(mark)), "utf-8")
    if len(raw) > LARGEST:
        raise ValueError(f"has {len(raw) // 10**6} MB: ask for the file without its outputs")
    try:
        content = json.loads(raw.decode(encoding))
        _put_right(content)
        with warnings.catch_warnings():  # about cell ids, which are put right on the way
            warnings.simplefilter("ignore")
            return nbformat.convert(nbformat.from_dict(content), 4)
    except Exception:  # whatever is in there: the readers of old versions raise all kinds
        raise ValueError(NO_NOTEBOOK) from None


def _put_right(content: dict[str, Any]) -> None:
    """Give every cell the fields that readers take for granted; raise where there are no cells."""
    content.setdefault("nbformat", 4)
    content["metadata"] = _dict(content.get("metadata"))
    old = content["nbformat"] < 4
    if not old:
        content["nbformat_minor"] = 5
    cells = [c for sheet in (content["worksheets"] if old else [content]) for c in sheet["cells"]]
    for position, cell in enumerate(cells):
        cell["metadata"] = _dict(cell.get("metadata"))
        text = "input" if "input" in cell else "source"
        source = cell.get(text) or ""
        source = source if isinstance(source, str) else "".join(source)
        cell[text] = source.replace("\r\n", "\n")  # what Windows writes
        if not old:
            cell["id"] = f"cell-{position:04d}"  # what stands there need be neither valid nor one
        if cell["cell_type"] == "code":
            cell["outputs"] = []
            cell["prompt_number" if old else "execution_count"] = None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def read_notebook(path: Path) -> NotebookNode:
    """Return the notebook of a file; raises ValueError if it holds none, OSError without one."""
    return parse_notebook(path.read_bytes())


def grade_id(cell: NotebookNode) -> str | None:
    """The nbgrader id of a cell; None where it has none, whatever stands in its metadata."""
    about = cell.metadata.get("nbgrader")
    name = about.get("grade_id") if isinstance(about, dict) else None
    return name if isinstance(name, str) and name else None


def is_check(cell: NotebookNode) -> bool:
    """Tell whether a cell of the release is a check: graded by running it."""
    about = cell.metadata.get("nbgrader", {})
    return bool(about.get("grade")) and not about.get("solution")


def lesson_of(notebook: NotebookNode, releases: dict[str, NotebookNode]) -> str | None:
    """The release that a notebook is a copy of, told by its cells and not by its name."""
    names = {grade_id(cell) for cell in notebook.cells} - {None}
    shared = {
        lesson: len(names & {grade_id(cell) for cell in release.cells})
        for lesson, release in releases.items()
    }
    best = max(shared, key=lambda lesson: shared[lesson], default=None)
    return best if best is not None and shared[best] else None
