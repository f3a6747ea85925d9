"""The minutes that a lesson's first cell promises, by the rule of tools/lesson_minutes.py."""

from __future__ import annotations

import re

import nbformat
import pytest
from executed_solution import run_seconds
from lesson_minutes import (
    CORE_AT_MOST,
    UNMEASURED_SECONDS,
    lesson_minutes,
    main,
    sections,
    stated,
    total,
)

import lora_lessons as ll
from tests.open_points import LESSONS, each_lesson

WORDS = " ".join(["word"] * 200)


def cells(*texts):
    """A notebook of markdown texts; a number stands for a code cell that ran so many seconds."""
    made, seconds = [], {}
    for place, text in enumerate(texts):
        if isinstance(text, str):
            made.append(nbformat.v4.new_markdown_cell(text, id=f"c{place}"))
        else:
            made.append(nbformat.v4.new_code_cell("run()", id=f"c{place}"))
            seconds[f"c{place}"] = float(text)
    return sections(nbformat.v4.new_notebook(cells=made), seconds)


def minutes(parts, extra=False):
    return round(total(parts, extra=extra).minutes, 1)


def test_reading_exercises_and_computing_are_added():
    parts = cells(f"# Title\n{WORDS}", "### Exercise 1.1: x (4 minutes)\nDo it.", 120)
    assert minutes(parts) == round(1 + 4 + 2 + 9 / 200, 1)


def test_what_is_extra_or_folded_is_not_core():
    parts = cells(
        f"## 1. A\n{WORDS}",
        f"<details><summary>More</summary>\n{WORDS}\n</details>",
        60,
        f"## 2. B (*extra*)\n{WORDS}",
        600,
        f"### Question 2.1: deeper (written, 6 minutes)\n{WORDS}",
        f"## 3. C\n{WORDS}\n### Exercise 3.1: y (*extra*, 5 minutes)\n{WORDS}\n### Then\n{WORDS}",
    )
    assert minutes(parts) == round(1 + 1 + 2 + 8 / 200, 1)  # A, its 60 s, C and "Then"
    assert minutes(parts, extra=True) == round(1 + 1 + 10 + 7 + 6 + 22 / 200, 1)


def test_written_answers_are_not_read():
    cell = nbformat.v4.new_markdown_cell(WORDS, id="why")
    cell.metadata["nbgrader"] = {"grade_id": "why"}
    assert total(sections(nbformat.v4.new_notebook(cells=[cell]), {}), extra=False).words == 0


def test_the_seconds_of_a_run_are_taken_out_of_its_cells():
    cell = nbformat.v4.new_code_cell("run()", id="slow")
    times = ("2026-11-30T10:00:00.000000Z", "2026-11-30T10:00:02.600000Z")
    cell.metadata["execution"] = {"iopub.status.busy": times[0], "iopub.status.idle": times[1]}
    quick = nbformat.v4.new_code_cell("x", id="quick")
    quick.metadata["execution"] = {"iopub.status.busy": times[0], "iopub.status.idle": times[0]}
    notebook = nbformat.v4.new_notebook(cells=[cell, quick])
    assert run_seconds(notebook) == {"slow": 3}
    assert "execution" not in cell.metadata and "execution" not in quick.metadata


def test_a_lesson_without_seconds_counts_a_minute(tmp_path):
    source = tmp_path / "80_new.py"
    source.write_text("# %% [markdown]\n# # New\n# **Time:** 20 minutes for the core path.\n")
    assert lesson_minutes(source)[0].seconds == UNMEASURED_SECONDS
    assert stated(source) == (20, 0)
    source.write_text(
        "# %% [markdown]\n# **Time:** 40 minutes for the core path; what is\n"
        "# marked *extra* takes 15 more.\n"
    )
    assert stated(source) == (40, 15)


@each_lesson("core-minutes")
def test_the_core_takes_what_the_lesson_says_and_45_minutes_at_most(path):
    promised = stated(path)
    form = "**Time:** 45 minutes for the core path; what is marked *extra* takes 20 more."
    assert promised, f"the first cell of {path.name} has no line like {form!r}"
    parts = lesson_minutes(path)
    for extra, minutes_said in zip((False, True), promised, strict=True):
        takes = total(parts, extra=extra).minutes
        assert takes <= minutes_said + 0.5 and takes >= 0.6 * minutes_said, (
            f"{path.name} says {minutes_said} minutes {'extra' if extra else 'core'}, the rule "
            f"makes {takes:.1f}: python tools/lesson_minutes.py {path.name[:2]} shows where"
        )
    assert promised[0] <= CORE_AT_MOST


def test_the_tool_prints_each_lesson(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert out.count(" core ") == out.count(" extra ") == len(LESSONS)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name[:2])
def test_the_minutes_of_an_exercise_are_those_of_its_heading(path):
    source = path.read_text(encoding="utf-8")
    for name, exercise in ll.lesson(path.name[:2]).exercises.items():
        before = source[: source.index(f'"grade_id": "{name}"')]
        heading = re.findall(r"^# ### (?:Exercise|Question) .*$", before, flags=re.M)[-1]
        assert int(re.search(r"(\d+) minutes?\b", heading)[1]) == exercise.minutes, heading
