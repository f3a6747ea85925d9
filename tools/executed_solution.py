"""Execute a lesson's source into the notebook with outputs that solutions/ stores.

The stored run is always the small preset on a CPU with one thread, whatever the machine has,
so that nbval can compare it with a run anywhere else.
"""

from __future__ import annotations

import re
import tempfile
from datetime import datetime
from pathlib import Path

from lesson_env import lesson_environment
from nbclient import NotebookClient
from nbformat import NotebookNode
from notebook_source import input_hash, read_source

CELL_TIMEOUT = 300  # seconds; a dead kernel is not noticed before it runs out
PRESET = "small"
WIDGET = "application/vnd.jupyter.widget-view+json"


def execute(notebook: NotebookNode, folder: Path, preset: str) -> NotebookNode:
    """Run a notebook from top to bottom with `folder` as its working directory.

    Raises nbclient's CellExecutionError at the first cell that fails.
    """
    with tempfile.TemporaryDirectory(prefix="lora-lessons-") as home:
        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT,
            kernel_name="python3",
            record_timing=True,  # `run_seconds` takes it out again
            coalesce_streams=True,  # how print is cut into pieces differs from run to run
            store_widget_state=False,  # and so does this
            resources={"metadata": {"path": str(folder)}},
        )
        return client.execute(env=lesson_environment(Path(home), preset))


def executed_solution(source: Path) -> NotebookNode:
    """Return the complete, executed notebook of a lesson."""
    notebook = execute(read_source(source), source.parent, PRESET)
    notebook.metadata.pop("language_info", None)  # names the Python version of this machine
    notebook.metadata.pop("widgets", None)
    seconds = run_seconds(notebook)
    notebook.metadata["lora_lessons"] = {
        "preset": PRESET,
        "inputs": input_hash(source),
        "seconds": seconds,
    }
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop(WIDGET, None)  # an id that no other kernel knows
            if "text/plain" in data:
                data["text/plain"] = finished_bar(data["text/plain"])
    return notebook


def finished_bar(text: str) -> str:
    """A progress bar's text as it is once its cell has run: a widget's stays as it was at first."""
    bar = re.fullmatch(r"(.*?)\s*0%\|\s*\| 0/(\d+) \[.*\]", text)
    return f"{bar[1]}{' ' if bar[1] else ''}100%|{10 * '█'}| {bar[2]}/{bar[2]}" if bar else text


def run_seconds(notebook: NotebookNode) -> dict[str, float]:
    """Take the times of a run out of the cells: {cell id: seconds} of those of a second or more."""
    found = {}
    for cell in notebook.cells:
        times = cell.metadata.pop("execution", {})
        ends = [times.get(f"iopub.{name}") for name in ("status.busy", "status.idle")]
        if all(ends):
            busy, idle = map(datetime.fromisoformat, ends)
            if (took := (idle - busy).total_seconds()) >= 1:
                found[cell.id] = round(took)
    return found


def stored_faults(notebook: NotebookNode) -> list[str]:
    """Name what a stored, executed notebook must not hold.

    nbval compares nothing in a cell without an execution count, and lets a stored error pass as
    a wanted one: so both are faults, and so is text on stderr, which holds paths and rates.
    """
    faults, expected = [], 1
    for cell in (c for c in notebook.cells if c.cell_type == "code"):
        if not cell.source.strip():
            faults.append(f"{cell.id}: an empty code cell")
            continue
        if cell.execution_count != expected:
            faults.append(f"{cell.id}: execution count {cell.execution_count}, not {expected}")
        expected += 1
        for output in cell.outputs:
            if output.output_type == "error":
                faults.append(f"{cell.id}: a stored error, {output.ename}")
            elif output.get("name") == "stderr":
                faults.append(f"{cell.id}: text on stderr: {output.text[:80]!r}")
    return faults
