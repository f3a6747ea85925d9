"""The index: what it says of the lessons, the learner's marks in it, and where `lab` opens."""

from __future__ import annotations

import json
import os
import re

import nbformat
import pytest
from index_notebook import index_notebook
from jupyterlab.commands import get_app_dir
from notebook_source import lesson_sources

from lora_lessons.app import lab, way
from lora_lessons.course import lesson, progress


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A learner's folder after the first `lab`, and a function that solves exercises there."""
    monkeypatch.delenv("LORA_LESSONS_PROGRESS", raising=False)
    lab.copy_notebooks(tmp_path)
    return tmp_path


def solve(folder, number, most=99):
    for name in list(lesson(number).exercises)[:most]:
        progress.record(number, name, "right", folder)


def work_on(folder, number, at):
    """Change a lesson's notebook, at this time."""
    (path,) = folder.glob(f"{number}_*.ipynb")
    path.write_text(path.read_text("utf-8") + " ", "utf-8")
    os.utime(path, (at, at))
    return path.name


def test_the_index_links_every_lesson_with_its_minutes_and_aims():
    notebook = index_notebook()
    nbformat.validate(notebook)
    (table,) = (cell.source for cell in notebook.cells if cell.id == "lessons")
    rows = re.findall(r"^\| \[(\d\d) .+\]\((\S+)\) \| (\d+).* \| (.+) \|$", table, re.MULTILINE)
    assert [file for _, file, _, _ in rows] == [f"{s.stem}.ipynb" for s in lesson_sources()]
    assert all(int(minutes) >= 20 and aims.count(";") >= 2 for _, _, minutes, aims in rows)


def test_names_of_files_and_outcomes_are_those_of_the_course():
    assert way.PROGRESS == progress.FILE
    assert way.RIGHT == progress.RIGHT


def test_the_way_counts_what_was_solved(mine):
    solve(mine, "00")
    solve(mine, "01", most=2)
    found = way.my_way(mine)
    stages = {stage.number: stage for stage in found.stages}
    assert list(stages) == [source.name[:2] for source in lesson_sources()]
    assert [stages[n].state for n in ("00", "01", "02")] == ["all solved", "begun", "not begun"]
    assert stages["01"].solved == 2 and set(stages["01"].exercises) == set(lesson("01").exercises)
    assert found.next.number == "01"
    assert found.summary().endswith("exercises solved. Go on with lesson 01.")
    html = found._repr_html_()
    assert html.count('<a href="') == len(stages) and html.count("here you go on") == 1


def test_at_the_beginning_and_at_the_end(mine):
    assert way.my_way(mine).summary().endswith("Begin with lesson 00.")
    for source in lesson_sources():
        solve(mine, source.name[:2])
    assert way.my_way(mine).next is None
    assert way.my_way(mine).summary().endswith("You have them all.")


@pytest.mark.parametrize("text", ["not json", "[]", '{"00": 1}'])
def test_a_broken_progress_file_counts_as_nothing_solved(mine, text):
    (mine / way.PROGRESS).write_text(text, "utf-8")
    assert way.my_way(mine).summary().startswith("0 of ")


def test_the_index_is_written_with_the_marks_and_stays_a_notebook(mine):
    solve(mine, "00", most=1)
    notebook = nbformat.read(way.write_index(mine), as_version=4)
    nbformat.validate(notebook)
    (cell,) = (cell for cell in notebook.cells if cell.id == way.MARKS)
    (output,) = cell.outputs
    assert "1 of 5" in output.data["text/html"] and "1 of 5" in output.data["text/plain"]
    assert "outputs" in way.shipped_index().read_text("utf-8")
    shipped = nbformat.read(way.shipped_index(), as_version=4)
    assert not any(cell.get("outputs") for cell in shipped.cells)


def test_lab_opens_the_index_first_and_then_where_the_learner_stopped(mine):
    assert way.stopped_at(mine) == "index.ipynb"
    first = work_on(mine, "00", at=1_000_000)
    assert way.stopped_at(mine) == first
    later = work_on(mine, "02", at=2_000_000)
    assert way.stopped_at(mine) == later
    work_on(mine, "00", at=3_000_000)
    solve(mine, "00")
    assert way.stopped_at(mine).startswith("01_")  # the next one that is left
    solve(mine, "15")
    work_on(mine, "15", at=4_000_000)
    assert way.stopped_at(mine) == "index.ipynb"  # none after it


def test_progress_without_a_changed_notebook_opens_the_first_that_is_left(mine):
    solve(mine, "00")
    assert way.stopped_at(mine).startswith("01_")


def test_the_defaults_for_jupyterlab_are_found_and_are_its_own():
    """News off, names not cut: set under keys that this JupyterLab has."""
    text = (lab.JUPYTER / "labconfig" / "default_setting_overrides.json").read_text("utf-8")
    for plugin, values in json.loads(text).items():
        package, name = plugin.split(":")
        schema = os.path.join(get_app_dir(), "schemas", package, f"{name}.json")
        with open(schema, encoding="utf-8") as file:
            assert set(values) <= set(json.load(file)["properties"])
    assert str(lab.JUPYTER) in lab.lab_environment()["JUPYTER_CONFIG_PATH"].split(os.pathsep)
