"""One lesson's page: the stored run, with the stub shown, the answer folded, results hidden."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import nbformat
from learner_copy import learner_copy
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from notebook_source import is_answer, read_source, without_markers

IMAGE = re.compile(r'<img(?P<rest>[^>]*?) src="data:image/png;base64,(?P<data>[^"]+)"')
HIDDEN = re.compile(r"### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS\n?", re.DOTALL)
PAGE = re.compile(r'href="(?P<name>\d\d_\w+)\.ipynb')
LINK = re.compile(r"\((?P<name>\d\d_\w+)\.ipynb\)")
# of a run that nobody watched: what a learner did, and panels that need a kernel
STALE = ("lesson.predict(", "lesson.summary(", "lesson.quiz(")
GUESSED = re.compile(r"lesson\.(?P<verb>predict|compare)\(\s*['\"](?P<key>[^'\"]+)")


class LessonPage:
    """Makes the notebook that myst-nb shows. `solutions` collects what is folded in later."""

    def __init__(self, source: Path, images: Path, solutions: dict[str, tuple[str, bool]]) -> None:
        self.source, self.images, self.solutions = source, images, solutions
        self.number = source.name[:2]
        self.waiting: set[str] = set()  # predictions that are made and not yet compared

    def notebook(self) -> NotebookNode:
        """The page, from the stored run."""
        stored = nbformat.read(self.source.with_suffix(".ipynb"), as_version=4)
        stubs = {cell.id: cell for cell in learner_copy(self.source).cells}
        answers = {cell.id: cell for cell in read_source(self.source).cells}
        cells: list[NotebookNode] = []
        for cell in stored.cells:
            cells += self.cell(cell, stubs[cell.id], answers[cell.id])
        stored.cells = [cells[0], self.download(), *cells[1:]]
        stored.metadata["language_info"] = {"name": "python"}
        return stored

    def download(self) -> NotebookNode:
        """The learner's notebook, and where else the page leads."""
        text = (
            f'<a href="../notebooks/{self.source.stem}.ipynb" download>Download this lesson\'s '
            "notebook</a> to work through it. On this page its results are hidden until you have "
            "guessed, and its solutions are folded."
        )
        return new_markdown_cell(text, id="download")

    def cell(self, cell: NotebookNode, stub: NotebookNode, answer: NotebookNode) -> list[Any]:
        """The cells that stand for one of the notebook."""
        cell.source = HIDDEN.sub("", stub.source).strip()
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(r"(\g<name>.ipynb)", cell.source)
        cell.outputs = [self.output(o) for o in cell.get("outputs", []) if self.is_kept(cell, o)]
        if cell.cell_type == "markdown":
            del cell["outputs"]
        self.note_guesses(cell)
        if cell.cell_type == "code" and self.waiting and cell.outputs:
            cell.metadata.setdefault("tags", []).append("hide-output")
        return [cell, *self.fold(answer)] if is_answer(answer) else [cell]

    def fold(self, answer: NotebookNode) -> list[NotebookNode]:
        """A place for the solution, which `finish` fills."""
        place = f"{self.number}-{answer.id}"
        self.solutions[place] = (without_markers(answer.source), answer.cell_type == "code")
        text = f'<div class="solution-place" id="{place}"></div>'
        return [new_markdown_cell(text, id=f"solution-{answer.id}"[:64])]

    def note_guesses(self, cell: NotebookNode) -> None:
        """Between a prediction and its comparison results are hidden; the comparison's too."""
        if cell.cell_type != "code":
            return
        found = list(GUESSED.finditer(cell.source))
        self.waiting |= {m["key"] for m in found if m["verb"] == "predict"}
        if any(m["verb"] == "compare" for m in found):
            if cell.outputs:
                cell.metadata.setdefault("tags", []).append("hide-output")
            self.waiting -= {m["key"] for m in found if m["verb"] == "compare"}

    def is_kept(self, cell: NotebookNode, output: NotebookNode) -> bool:
        """Whether an output says something to a reader."""
        if any(call in cell.source for call in STALE) or output.get("name") == "stderr":
            return False
        data = output.get("data", {})
        return "lesson.explore" not in cell.source or "text/html" in data or "image/png" in data

    def output(self, output: NotebookNode) -> NotebookNode:
        """The output, with its pictures in files of their own."""
        data = output.get("data", {})
        if "text/html" in data:
            text = IMAGE.sub(self._to_file, "".join(data["text/html"]))
            data["text/html"] = PAGE.sub(r'href="\g<name>.html', text)
            data.pop("text/plain", None)
        return output

    def _to_file(self, match: re.Match[str]) -> str:
        self.images.mkdir(parents=True, exist_ok=True)
        name = f"{self.number}-{len(list(self.images.glob(f'{self.number}-*'))):02d}.png"
        (self.images / name).write_bytes(base64.b64decode(match["data"].replace("\\n", "")))
        return f'<img{match["rest"]} loading="lazy" src="../_static/figures/{name}"'
