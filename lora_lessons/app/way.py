"""The way through the course, and how far a learner is on it: the index notebook's marks.

What each lesson holds stands in the metadata of the index notebook, which `tools/index_notebook.py`
writes from the lessons' sources; what was solved stands in the progress file beside the notebooks.
So the marks need no torch, and `lora-lessons lab` can put them into the index before it opens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from lora_lessons.app import lab
from lora_lessons.storage import write_whole

INDEX = "index.ipynb"
PROGRESS = ".lora-lessons-progress.json"  # as course.progress has it, without torch
RIGHT = "right"
MARKS = "marks"  # the id of the index's cell that shows them


@dataclass(frozen=True)
class Stage:
    """One lesson on the way: its notebook, its title, its exercises by name, and what is solved."""

    number: str
    file: str
    title: str
    minutes: int
    exercises: Mapping[str, str]
    outcomes: Mapping[str, str]

    @property
    def solved(self) -> int:
        """How many exercises are right."""
        return sum(self.outcomes.get(name) == RIGHT for name in self.exercises)

    @property
    def state(self) -> str:
        """In a word or two: "not begun", "begun", "all solved"."""
        if self.solved == len(self.exercises):
            return "all solved"
        return "begun" if self.outcomes else "not begun"


@dataclass(frozen=True)
class Way:
    """All stages, in order; a notebook shows it as a table with links."""

    stages: tuple[Stage, ...]

    @property
    def next(self) -> Stage | None:
        """The first lesson that is not all solved."""
        return next((stage for stage in self.stages if stage.state != "all solved"), None)

    def __repr__(self) -> str:
        rows = [
            f"{s.number}  {s.solved} of {len(s.exercises)} solved  {s.title}" for s in self.stages
        ]
        return "\n".join([*rows, self.summary()])

    def summary(self) -> str:
        """One sentence: how many are solved, and where to go on."""
        every = sum(len(stage.exercises) for stage in self.stages)
        solved = sum(stage.solved for stage in self.stages)
        begun = any(stage.outcomes for stage in self.stages)
        verb = "Go on" if begun else "Begin"
        where = f"{verb} with lesson {self.next.number}." if self.next else "You have them all."
        return f"{solved} of {every} exercises solved. {where}"

    def _repr_html_(self) -> str:
        rows = "".join(_row(stage, stage is self.next) for stage in self.stages)
        heads = "".join(
            f'<th scope="col" style="text-align: left">{head}</th>'
            for head in ("Lesson", "Solved", "You")
        )
        return (
            f'<table><caption style="text-align: left">{self.summary()}</caption>'
            f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        )


def _row(stage: Stage, is_next: bool) -> str:
    state = f"<b>{stage.state}: here you go on</b>" if is_next else stage.state
    link = f'<a href="{stage.file}">{stage.number} {escape(stage.title)}</a>'
    cells = (link, f"{stage.solved} of {len(stage.exercises)}", state)
    columns = "".join(f'<td style="text-align: left">{cell}</td>' for cell in cells)
    return f"<tr>{columns}</tr>"


def my_way(folder: str | Path = ".") -> Way:
    """The way, with what was solved in `folder`, your folder of notebooks."""
    notebook = json.loads(shipped_index().read_text("utf-8"))
    kept = read_progress(Path(folder))
    stages = notebook["metadata"]["lora_lessons"]["lessons"]
    return Way(tuple(Stage(**one, outcomes=_of(kept, one["number"])) for one in stages))


def _of(kept: Mapping[str, Any], number: str) -> Mapping[str, str]:
    found = kept.get(number)
    return found if isinstance(found, dict) else {}


def read_progress(folder: Path) -> dict[str, Any]:
    """Lesson -> exercise -> outcome; empty where nothing was kept or the file is broken."""
    try:
        kept = json.loads((folder / PROGRESS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def shipped_index() -> Path:
    """The index notebook beside the lessons'. Raises FileNotFoundError where there are none."""
    return lab.shipped_notebooks()[0].with_name(INDEX)


def write_index(folder: Path) -> Path:
    """Write the index, which holds no work of theirs, into a learner's folder with their marks."""
    notebook = json.loads(shipped_index().read_text("utf-8"))
    way = my_way(folder)
    shown = {"text/html": way._repr_html_(), "text/plain": repr(way)}
    for cell in notebook["cells"]:
        if cell["id"] == MARKS:
            output = {"output_type": "execute_result", "execution_count": 1, "metadata": {}}
            cell |= {"execution_count": 1, "outputs": [{**output, "data": shown}]}
    write_whole({folder / INDEX: (json.dumps(notebook, indent=1) + "\n").encode()})
    return folder / INDEX


def stopped_at(folder: Path) -> str:
    """The notebook to open: where the learner stopped, or the index on the first run.

    That is the lesson that was changed last, or the one after it where it is all solved; without a
    changed notebook the first one that is not, if anything was solved at all.
    """
    stages = my_way(folder).stages
    changed = [p for p in (folder / s.file for s in stages) if lab.was_changed(p)]
    if not changed:
        begun = any(stage.outcomes for stage in stages)
        left = Way(stages).next
        return left.file if begun and left and (folder / left.file).exists() else INDEX
    last = max(changed, key=lambda path: path.stat().st_mtime).name
    place = [stage.file for stage in stages].index(last)
    if stages[place].state == "all solved":
        later = [s for s in stages[place + 1 :] if s.state != "all solved"]
        return later[0].file if later and (folder / later[0].file).exists() else INDEX
    return last
