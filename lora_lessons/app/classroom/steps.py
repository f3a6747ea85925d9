"""nbgrader's steps, made honest: what a submission carries costs only the exercise it touches.

nbgrader_config.py puts them in place of nbgrader's own. `TakeAnswers` and `PutChecksBack` come
before a submission runs, `RunIsolated` runs it, `AssignPenalties` comes after.
"""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import (
    AssignLatePenalties,
    Execute,
    NbGraderPreprocessor,
    OverwriteCells,
)
from nbgrader.preprocessors.execute import UnresponsiveKernelError
from traitlets import Bool, Int, Integer

from . import isolation, late, trees
from .kernel import IsolatedKernelManager, chosen_mode
from .notebooks import grade_id, is_check, parse_notebook, read_notebook
from .own_numbers import fault_of_own
from .slim import left_out

Step = tuple[NotebookNode, dict[str, Any]]
ENDS_AT_MOST = 3  # so many cells of a notebook may end Python before it is given up
ENDED = "This cell ended Python or did not stop. It was left out, and the others ran again."
UNCONFIRMED = "The check was run, and its verdict is not right."
CUT = "\n... the rest of this output was cut off\n"
MOST_SHOWN = 3_000_000  # characters of plots and tables that a cell may show


class TreeChanged(Exception):
    """A submission changed the package, the sources, the release or the gradebook."""


class AnyNotebook(NotebookExporter):
    """Reads what `parse_notebook` reads: any version, any encoding, any editor's."""

    def from_file(self, file_stream: Any, resources: Any = None, **kw: Any) -> tuple[str, Any]:
        """Export the notebook of an open file."""
        notebook = parse_notebook(file_stream.buffer.read())
        return self.from_notebook_node(notebook, resources=resources, **kw)


def released_notebook(resources: dict[str, Any]) -> NotebookNode:
    """The release of what is being graded; nbgrader works in the course folder."""
    about = resources["nbgrader"]
    return read_notebook(Path("release") / about["assignment"] / f"{about['notebook']}.ipynb")


class TakeAnswers(NbGraderPreprocessor):
    """Give each cell of the release its own metadata back, and take all from the others.

    Of several cells with one id the last is graded. A changed or deleted first code cell comes
    back on top. So no tag, id or field of an editor decides what runs or counts.
    """

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Step:
        """Change the notebook in place."""
        released = released_notebook(resources)
        known = {grade_id(c): c for c in released.cells if grade_id(c)}
        for position in reversed(range(len(nb.cells))):
            cell = nb.cells[position]
            given = known.pop(grade_id(cell), None)
            if given is None:
                cell.metadata = {}
            else:  # of the student's cell only the text is taken
                nb.cells[position] = {**copy.deepcopy(given), "source": cell.source}
        nb.cells = [nbformat.from_dict(cell) for cell in nb.cells]
        nb.metadata = {"kernelspec": copy.deepcopy(released.metadata.get("kernelspec", {}))}
        setup = next(cell for cell in released.cells if cell.cell_type == "code")
        if all(cell.source.strip() != setup.source.strip() for cell in nb.cells):
            nb.cells.insert(0, copy.deepcopy(setup))
        for position, cell in enumerate(nb.cells):  # each its own, and one that nbformat takes
            cell.id = f"cell-{position:04d}"
        return nb, resources


class PutChecksBack(OverwriteCells):
    """A check that a student deleted comes back below its answer, which may still be right.

    nbgrader's own way stops at a check whose answer is gone too; here that exercise scores 0.
    """

    add_missing_cells = Bool(True).tag(config=True)

    def add_missing_grade_cells(self, nb: NotebookNode, resources: dict[str, Any]) -> Step:
        """Insert them, from nbgrader's database."""
        source = self.gradebook.find_notebook(self.notebook_id, self.assignment_id)
        texts = {cell.name: cell for cell in source.source_cells}
        for check in source.grade_cells:
            names = [grade_id(cell) for cell in nb.cells]
            answer = check.name.removeprefix("check_")
            if check.name not in names and answer in names:
                cell = self.missing_cell_transform(texts[check.name], check.max_score)
                nb.cells.insert(names.index(answer) + 1, cell)
        return nb, resources


class RunIsolated(Execute):
    """Run a submission where it can change nothing, and only what its marks need.

    Text on stderr beside a check takes no mark: nbgrader would give 0. A cell that ends Python is
    left out, and the rest runs again.
    """

    slim = Bool(True, help="leave out the cells that no answer hangs on").tag(config=True)
    most_output = Int(20_000, help="characters of output that a cell keeps").tag(config=True)

    # on a busy machine a cell's last output comes late; nbclient gives up after 4 seconds
    iopub_timeout = Integer(60).tag(config=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"kernel_manager_class": IsolatedKernelManager, **kwargs})

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any], **kw: Any) -> Step:
        """Fill in the outputs, in place."""
        self.mode = chosen_mode() or isolation.choose(Path.cwd())[0]
        released = released_notebook(resources)
        self.skipped = left_out(nb.cells, released.cells) if self.slim else set()
        checks = {grade_id(cell) for cell in released.cells if is_check(cell)}
        before = self._guarded()
        for _ in range(ENDS_AT_MOST + 1):
            try:
                nb, resources = super().preprocess(nb, resources, **kw)
                break
            except (DeadKernelError, UnresponsiveKernelError, CellTimeoutError) as error:
                self._leave_out(nb, error)
            finally:
                self.room.remove()
        self._compare(before)
        for cell in nb.cells:
            _tidy(cell, grade_id(cell) in checks, self.most_output)
        return nb, resources

    def start_new_kernel(self, **kwargs: Any) -> None:
        """Start it in a room of its own."""
        about = self.resources["nbgrader"]
        self.room = room = isolation.make_room(self.mode, about["student"], about["assignment"])
        self.km.settle(self.mode, room)
        # only the account may enter its room: the command goes there once it runs as that
        place = str(room.work) if room.account is None else "/"
        kwargs |= {"cwd": place, "env": isolation.environment(room)}
        self.begun = False
        kwargs |= {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        super().start_new_kernel(**kwargs)

    def preprocess_cell(self, cell: NotebookNode, resources: dict[str, Any], index: int) -> Step:
        """Run one cell, unless it is left out."""
        if index in self.skipped:
            return cell, resources
        self.running, self.written, self.shown = index, 0, 0
        if not self.begun:
            self._begin(resources["nbgrader"]["assignment"][:2])
        cell, resources = super().preprocess_cell(cell, resources, index)
        if "verdict.require()" in cell.source and cell.cell_type == "code":
            self._confirm(cell, index)
        return cell, resources

    def _begin(self, number: str) -> None:
        """Load the package before any cell: no file of the student's can take its name then."""
        self.begun = True
        self.wait_for_reply(
            self.kc.execute(f"__import__('lora_lessons').lesson({number!r})", silent=True)
        )

    def _confirm(self, cell: NotebookNode, index: int) -> None:
        """Look for what speaks against a check that raised nothing; it becomes the cell's error."""
        if any(out.output_type == "error" for out in cell.outputs):
            return
        about = self.resources["nbgrader"]
        name = (grade_id(cell) or "").removeprefix("check_")
        fault = None if self._is_right(name, about["assignment"][:2]) else UNCONFIRMED
        if fault is None:
            above = [c for i, c in enumerate(self.nb.cells[:index]) if i not in self.skipped]
            sources = [c.source for c in above if c.cell_type == "code"]
            whose = (about["student"], about["assignment"][:2])
            fault = fault_of_own(name, sources, *whose, self.mode, self.room)
        if fault is not None:
            said = {"ename": "NotRight", "evalue": fault, "traceback": [fault]}
            cell.outputs.append(new_output("error", **said))

    def _is_right(self, name: str, number: str) -> bool:
        """Ask for the verdict past the shell, which could have been told to drop the demand.

        The lesson's own record is asked too: the cell's `verdict` may have come from elsewhere.
        """
        record = f"__import__('lora_lessons').lesson({number!r}).verdicts[{name!r}].outcome"
        ask = {"cell": "verdict.outcome", "record": record}
        reply = self.wait_for_reply(self.kc.execute("", silent=True, user_expressions=ask))
        said = (reply or {}).get("content", {}).get("user_expressions", {})
        texts = [said.get(key, {}).get("data", {}).get("text/plain") for key in ask]
        return texts == ["'right'"] * 2

    def output(self, outs: Any, msg: dict[str, Any], display_id: Any, cell_index: int) -> Any:
        """Keep an output as long as the cell has not written or shown too much."""
        content = msg["content"]
        if msg["msg_type"] == "stream":
            room = max(self.most_output - self.written, 0)
            self.written += len(content["text"])
            if len(content["text"]) > room:
                if not room:
                    return None
                content["text"] = content["text"][:room] + CUT
        elif "data" in content:
            self.shown += sum(len(str(part)) for part in content["data"].values())
            if self.shown > MOST_SHOWN:
                return None
        return super().output(outs, msg, display_id, cell_index)

    def _leave_out(self, nb: NotebookNode, error: Exception) -> None:
        """Leave the cell out that just ran, with an error in place of its output."""
        self.skipped.add(self.running)
        for index, cell in enumerate(nb.cells):
            if cell.cell_type == "code" and index not in self.skipped:
                cell.outputs = []
        about = {"ename": type(error).__name__, "evalue": ENDED, "traceback": [ENDED]}
        nb.cells[self.running].outputs = [new_output("error", **about)]

    def _guarded(self) -> dict[str, str]:
        """What must not change meanwhile, where nothing else keeps it: the trees, the gradebook."""
        if self.mode != "none":
            return {}
        course = Path.cwd()
        return trees.guarded(course) | trees.digests(course, "gradebook.db")

    def _compare(self, before: dict[str, str]) -> None:
        """Raise TreeChanged if the submission changed what it must not."""
        changed = trees.changed(before, self._guarded())
        if changed:
            raise TreeChanged(f"this submission changed {', '.join(changed)}")


class AssignPenalties(AssignLatePenalties):
    """Takes off what course.toml says for late work, at each grading and regrading."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Step:
        """Write the penalty into the gradebook."""
        about = resources["nbgrader"]
        late.refresh(Path.cwd(), about["assignment"], [about["student"]])
        return nb, resources


def _tidy(cell: NotebookNode, is_a_check: bool, most: int) -> None:
    """Show stderr as stdout beside a check, which takes no mark then; cut endless messages.

    An error of a check goes first: nbgrader gives the points at a value, if it meets that before.
    """
    if is_a_check:
        cell.outputs.sort(key=lambda out: out.output_type != "error")
    for out in cell.get("outputs", []):
        if out.output_type == "stream" and is_a_check:
            out.name = "stdout"
        if out.output_type == "error":
            out.evalue = out.evalue[:most]
            out.traceback = [line[:most] for line in out.traceback]
