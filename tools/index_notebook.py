"""Make notebooks/index.ipynb, the way through the course, from the lessons' sources.

A lesson's title, minutes and aims are read from its first cell, its exercises from the package. The
learner's own marks are put in by `lora-lessons lab` and by the notebook's one code cell.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lesson_minutes import STATED
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_source import KERNEL, LEARNER_COPIES, LessonError, lesson_sources, read_source

from lora_lessons.app.way import INDEX, MARKS
from lora_lessons.course import lesson

PATH = LEARNER_COPIES / INDEX
TITLE = re.compile(r"^# (\d\d) (.+)$", re.MULTILINE)
AIMS = re.compile(r"\*\*You will be able to\*\*\n\n((?:\d\. .+\n(?:   ?.+\n)*)+)")
OPENING = """# LoRA Lessons: the way through

{count} lessons, one after the other. You write the pieces of low-rank adaptation, a check tells you
at once what is wrong with them, and each lesson measures what its argument does. **Begin with
[lesson 00]({first})**; it also tests what you should know before.

A lesson's *core path* is what later ones build on. What is marked *extra* can wait. The next time,
`lora-lessons lab` opens where you stopped.

## Where you are

The table is as of the last start by `lora-lessons lab`. Run the cell (Shift+Enter) to see it as of
now."""
ENDING = """## Beside the lessons

In a terminal, in any folder:

| command | what it does |
|---|---|
| `lora-lessons progress` | which exercises you solved, and which are left |
| `lora-lessons review` | asks the review cards that are due today |
| `lora-lessons doctor` | says what is missing on this machine, and how to get it |"""


def facts(source: Path) -> dict[str, Any]:
    """What the index says of one lesson. Raises LessonError where its first cell lacks it."""
    first = read_source(source).cells[0].source + "\n"
    title, minutes, aims = TITLE.search(first), STATED.search(" ".join(first.split())), None
    if found := AIMS.search(first):
        aims = [" ".join(aim.split()) for aim in re.split(r"(?m)^\d\. ", found[1])[1:]]
    if not (title and minutes and aims):
        raise LessonError(f"{source.name}: its first cell has no title, minutes or aims")
    exercises = lesson(title[1]).exercises
    return {
        "number": title[1],
        "file": f"{source.stem}.ipynb",
        "title": title[2].replace("`", ""),
        "minutes": int(minutes[1]),
        "extra": int(minutes[2] or 0),
        "aims": [aim.rstrip(".;") for aim in aims],
        "exercises": {name: exercise.title for name, exercise in exercises.items()},
    }


def index_notebook() -> NotebookNode:
    """The index of all lessons."""
    lessons = [facts(source) for source in lesson_sources()]
    opening = OPENING.format(count=len(lessons), first=lessons[0]["file"])
    marks = new_code_cell(
        "from lora_lessons.app.way import my_way\n\nmy_way()",
        id=MARKS,
        metadata={"tags": ["nbval-ignore-output"]},
    )
    cells = [
        new_markdown_cell(opening, id="opening"),
        marks,
        new_markdown_cell(table(lessons), id="lessons"),
        new_markdown_cell(ENDING, id="ending"),
    ]
    kept = ("number", "file", "title", "minutes", "exercises")
    stages = [{name: one[name] for name in kept} for one in lessons]
    about = {"kernelspec": dict(KERNEL), "lora_lessons": {"lessons": stages}}
    return new_notebook(cells=cells, metadata=about, nbformat_minor=5)


def table(lessons: list[dict[str, Any]]) -> str:
    """Each lesson with its link, its minutes, and what one can do afterwards."""
    rows = [
        f"| [{one['number']} {one['title']}]({one['file']}) | {_minutes(one)} | "
        f"{'; '.join(one['aims'])} |"
        for one in lessons
    ]
    heads = ["## The lessons", "", "| lesson | minutes | afterwards you can |", "|:---|:---|:---|"]
    return "\n".join([*heads, *rows])


def _minutes(one: dict[str, Any]) -> str:
    return f"{one['minutes']} + {one['extra']} extra" if one["extra"] else str(one["minutes"])
