"""The minutes that a lesson's first cell promises: what is marked core fits into them, about."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lora_lessons as ll

LESSONS = sorted((Path(__file__).resolve().parents[2] / "solutions").glob("[0-9][0-9]_*.py"))
WORDS_A_MINUTE = 200
ABOUT = 1.25
"""Readers differ by more than a quarter; a sum that is further off is a promise not kept."""


def sections(source: str) -> list[tuple[str, str]]:
    """(heading, text below it) of a lesson's prose, in order; code and written answers left out."""
    cells = re.split(r"^# %%", source, flags=re.M)
    prose = [cell for cell in cells if cell.startswith(" [markdown]\n")]  # answers have metadata
    text = "\n".join(line.removeprefix("#").strip() for cell in prose for line in cell.splitlines())
    parts = re.split(r"^(##+ .*)$", text, flags=re.M)
    return [("", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]


def minutes(source: str, core: bool, extra: bool = False) -> float:
    """The exercises' minutes and the time to read; `core`: of the sections so marked alone.

    Sections marked *extra* are left out, or are all that counts.
    """
    total, in_core, in_extra = 0.0, True, False
    for heading, text in sections(source):
        exercise = re.search(r"^### (?:Exercise|Question).*?(\d+) minutes?\b", heading)
        if heading.startswith("## "):
            in_core, in_extra = "*core*" in heading, "*extra*" in heading
        if in_extra != extra:
            continue
        if core and not (in_core and (not exercise or "*core*" in heading)):
            continue
        total += len(text.split()) / WORDS_A_MINUTE + (int(exercise[1]) if exercise else 0)
    return total


def test_what_is_not_core_is_not_counted():
    source = (
        "# %% [markdown]\n# # Title\n# ## 1. A (*core*)\n"
        "# ### Exercise 1.1: x (*core*, 4 minutes)\n"
        "# ### Exercise 1.2: y (5 minutes)\n# %%\nx = 1\n# %% [markdown]\n# ## 2. B\n"
        "# ### Question 1.3: z (written, 6 minutes, 3 points)\n"
    )
    assert round(minutes(source, core=True)) == 4 and round(minutes(source, core=False)) == 15
    source = source.replace("2. B", "2. B (*extra*)")
    assert round(minutes(source, core=False)) == 9
    assert round(minutes(source, core=False, extra=True)) == 6


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name[:2])
def test_the_lesson_takes_about_the_time_that_it_says(path):
    source = path.read_text(encoding="utf-8")
    said = re.search(
        r"\*\*Time:\*\* (\d+) minutes in all\. The \*\*core path\*\* takes (\d+)", source
    )
    for core, promised in ((False, int(said[1])), (True, int(said[2]))):
        takes = minutes(source, core)
        assert takes <= ABOUT * promised, (
            f"{path.name} promises {promised} minutes for {'its core' if core else 'all'}; the "
            f"exercises and {WORDS_A_MINUTE} words a minute make {takes:.0f}"
        )
    assert int(said[1]) <= 60
    more = re.search(r"\*extra\* takes (\d+) more", source)
    assert bool(more) == ("(*extra*" in source)
    assert minutes(source, core=False, extra=True) <= ABOUT * int(more[1] if more else 0)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name[:2])
def test_the_minutes_of_an_exercise_are_those_of_its_heading(path):
    source = path.read_text(encoding="utf-8")
    for name, exercise in ll.lesson(path.name[:2]).exercises.items():
        before = source[: source.index(f'"grade_id": "{name}"')]
        heading = re.findall(r"^# ### (?:Exercise|Question) .*$", before, flags=re.M)[-1]
        assert int(re.search(r"(\d+) minutes?\b", heading)[1]) == exercise.minutes, heading
