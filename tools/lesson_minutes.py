"""The minutes that a lesson takes, by one rule: reading, the exercises' own minutes, computing.

    python tools/lesson_minutes.py          one line for each lesson
    python tools/lesson_minutes.py 03       each section of lesson 03 too

Words of prose are read at 200 a minute. An exercise takes what its heading says. Computing is what
the stored run of the solution took (the small preset, one thread); a lesson that was stored without
its seconds counts one minute, the most that a lesson may take. What is under a heading marked
*extra*, and what is folded in <details>, is not core. Written answers and code are not counted.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from notebook_source import grade_id, lesson_sources, read_source

WORDS_A_MINUTE = 200
CORE_AT_MOST = 45
UNMEASURED_SECONDS = 60.0
FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)
HEADING = re.compile(r"^(#{1,6}) (.*)$", re.MULTILINE)
EXERCISE = re.compile(r"^(?:Exercise|Question)\b.*?(\d+) minutes?\b")
STATED = re.compile(
    r"\*\*Time:\*\* (\d+) minutes for the core path"
    r"(?:; what is marked \*extra\* takes (\d+) more)?\."
)


@dataclass
class Section:
    """What one heading and the text below it take."""

    heading: str
    extra: bool
    words: int = 0
    exercise: float = 0.0
    seconds: float = 0.0

    @property
    def reading(self) -> float:
        """Minutes of reading."""
        return self.words / WORDS_A_MINUTE

    @property
    def minutes(self) -> float:
        """Minutes in all."""
        return self.reading + self.exercise + self.seconds / 60


def sections(notebook: NotebookNode, seconds: dict[str, float]) -> list[Section]:
    """Return the notebook's sections in order; `seconds` maps a code cell's id to its run time."""
    found, levels = [Section("(the opening)", False)], []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            found[-1].seconds += seconds.get(cell.id, 0.0)
        elif not grade_id(cell):  # else it is a written answer
            _read(cell.source, found, levels)
    return found


def _read(text: str, found: list[Section], levels: list[tuple[int, bool]]) -> None:
    folded = sum(len(part.split()) for part in FOLDED.findall(text))
    pieces = HEADING.split(FOLDED.sub("", text))
    found[-1].words += len(pieces[0].split())
    for marks, heading, below in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        while levels and levels[-1][0] >= len(marks):
            levels.pop()
        extra = "*extra*" in heading or any(inherited for _, inherited in levels)
        levels.append((len(marks), extra))
        exercise = EXERCISE.match(heading)
        words = len(heading.split()) + len(below.split())
        found.append(Section(heading, extra, words, float(exercise[1]) if exercise else 0.0))
    if folded:
        found.append(Section(f"(folded in {found[-1].heading})", True, folded))
        found.append(Section(found[-2].heading, found[-2].extra))


def total(parts: list[Section], extra: bool) -> Section:
    """The sum of the core's sections, or of the extra ones."""
    mine = [part for part in parts if part.extra == extra]
    whole = Section("extra" if extra else "core", extra)
    for part in mine:
        whole.words += part.words
        whole.exercise += part.exercise
        whole.seconds += part.seconds
    return whole


def stored_seconds(source: Path) -> dict[str, float] | None:
    """Cell id -> seconds of the stored run; None where it was stored without them."""
    path = source.with_suffix(".ipynb")
    if not path.exists():
        return None
    about = nbformat.read(path, as_version=4).metadata.get("lora_lessons", {})
    return about.get("seconds")


def lesson_minutes(source: Path) -> list[Section]:
    """The sections of a lesson, with the seconds of its stored run."""
    seconds = stored_seconds(source)
    parts = sections(read_source(source), seconds or {})
    if seconds is None:
        parts[0].seconds += UNMEASURED_SECONDS
    return parts


def stated(source: Path) -> tuple[int, int] | None:
    """(core, extra) minutes that the lesson's first cell promises, or None without such a line."""
    text = "\n".join(c.source for c in read_source(source).cells[:1])
    found = STATED.search(" ".join(text.split()))
    return (int(found[1]), int(found[2] or 0)) if found else None


def _line(name: str, of: Section) -> str:
    return (
        f"{name:8s} {of.minutes:5.1f} = {of.reading:5.1f} reading ({of.words:,d} words) + "
        f"{of.exercise:3.0f} exercises + {of.seconds / 60:3.1f} computing"
    )


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="lessons, by number: 00 01")
    numbers = parser.parse_args(arguments).numbers
    for source in lesson_sources(numbers):
        parts = lesson_minutes(source)
        if numbers:
            for part in filter(lambda part: part.minutes, parts):
                print(f"{part.minutes:5.1f}  {'extra' if part.extra else '':5s}  {part.heading}")
        number, core = source.name[:2], total(parts, extra=False)
        print(_line(f"{number} core", core), f"| stated {stated(source)}")
        print(_line(f"{number} extra", total(parts, extra=True)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
