"""The stored notebooks: complete, in step with their sources, accessible, and compared for real.

`tools/run_tests.py` runs nbval on every notebook; the tests here prove that nbval's comparison
can fail, and look at what it does not.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys

import nbformat
import pytest
from build_lessons import learner_path, lesson_drift, shared_drift
from executed_solution import execute, executed_solution
from lesson_env import lesson_environment
from nbformat import NotebookNode
from notebook_source import is_answer, lesson_sources, notebook_text, read_source
from run_tests import NBVAL

SOURCES = lesson_sources()
each_lesson = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def shown_text(cell: NotebookNode) -> str:
    """Return what a reader sees under a cell, as text."""
    parts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
    return "\n".join(parts)


def solved(notebook: NotebookNode) -> tuple[int, int]:
    """Read (k, n) from the summary "k of n exercises solved" in the last code cell."""
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    found = re.search(r"(\d+) of (\d+) exercises", shown_text(last))
    assert found, f"the last code cell must be lesson.summary(); it is:\n{last.source}"
    return int(found[1]), int(found[2])


@each_lesson
def test_every_copy_agrees_with_its_source(source):
    found = "\n".join(lesson_drift(source))
    if found:
        pytest.fail(found, pytrace=False)


def test_the_key_agrees_with_the_sources_and_every_notebook_has_one():
    found = "\n".join(shared_drift())
    if found:
        pytest.fail(found, pytrace=False)


@each_lesson
def test_the_stored_solution_solves_every_exercise(source):
    k, n = solved(nbformat.read(source.with_suffix(".ipynb"), as_version=4))
    answers = [c for c in read_source(source).cells if c.cell_type == "code" and is_answer(c)]
    assert n == len(answers), (
        f"solutions/{source.name} has {len(answers)} exercises, "
        f"lora_lessons/course/lesson{source.name[:2]}/exercises.py has {n}"
    )
    assert k == n, f"{k} of {n} solved: a check refuses the solution, or no cell calls it"


@each_lesson
def test_the_learners_copy_runs_unsolved_to_its_end(source):
    notebook = nbformat.read(learner_path(source), as_version=4)
    ran = execute(notebook, source.parent, preset="quick")
    assert all(cell.execution_count for cell in ran.cells if cell.cell_type == "code")
    answers = [c for c in read_source(source).cells if c.cell_type == "code" and is_answer(c)]
    assert solved(ran) == (0, len(answers))


@each_lesson
def test_every_figure_has_alt_text(source):
    """As HTML, for JupyterLab gives an image output no alt text."""
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    cells = figures_without_alt(notebook)
    assert not cells, (
        f"{source.stem}: a figure without alt text in {', '.join(cells)}: show it by "
        f'll.show(figure, alt="..."), then make lessons NN={source.name[:2]}'
    )


def figures_without_alt(notebook: NotebookNode) -> list[str]:
    """Return the ids of cells that show a picture which a screen reader cannot describe."""
    wrong = []
    for cell in notebook.cells:
        texts = [cell.source] if cell.cell_type == "markdown" else []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            texts.append(data.get("text/html", ""))
            if any(kind.startswith("image/") for kind in data):
                wrong.append(cell.id)
        images = re.findall(r"<img\b[^>]*>", " ".join(texts))
        described = [re.search(r"\balt=([\"'])(.{10,}?)\1", image, re.DOTALL) for image in images]
        if not all(described) or "![](" in cell.source:
            wrong.append(cell.id)
    return wrong


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ({"text/html": '<img src="data:," alt="A line that falls from 4 to 3">'}, False),
        ({"text/html": '<img src="data:,">'}, True),
        ({"text/html": '<img src="data:," alt="">'}, True),
        ({"image/png": "aGVsbG8="}, True),
    ],
)
def test_a_figure_without_alt_text_is_found(data, wrong):
    cell = nbformat.v4.new_code_cell("x", outputs=[nbformat.v4.new_output("display_data", data)])
    assert bool(figures_without_alt(nbformat.v4.new_notebook(cells=[cell]))) is wrong


FIGURE = 'from IPython.display import HTML\nHTML(\'<img alt="falls to 3.21" src="%s">\')'


@pytest.fixture(scope="module")
def stored(root):
    """The executed sample lesson with two more cells: a figure, and a number."""
    notebook = executed_solution(root / "tests" / "fixtures" / "90_sample.py")
    figure = FIGURE % "data:image/png;base64,iVBORw0KGgo="
    added = [nbformat.v4.new_code_cell(source) for source in (figure, "print(round(2 / 3, 4))")]
    notebook.cells += added
    return execute(notebook, root, preset="small")


def nbval(notebook: NotebookNode, folder) -> subprocess.CompletedProcess:
    """Run nbval as tools/run_tests.py does, in a folder of its own."""
    (folder / "lesson.ipynb").write_text(notebook_text(notebook), "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *NBVAL]
    env = lesson_environment(folder / "home", "small")
    return subprocess.run(
        [*command, "lesson.ipynb"], cwd=folder, env=env, capture_output=True, text=True
    )


def change(notebook: NotebookNode, changes: dict[str, str]) -> NotebookNode:
    """Return a copy with pieces of its stored outputs changed."""
    changed = copy.deepcopy(notebook)
    for cell in changed.cells:
        for position, output in enumerate(cell.get("outputs", [])):
            text = json.dumps(output)
            for old, new in changes.items():
                text = text.replace(old, new)
            cell.outputs[position] = nbformat.from_dict(json.loads(text))
    return changed


def test_nbval_lets_only_pixels_differ(stored, tmp_path):
    ran = nbval(change(stored, {"iVBORw0KGgo=": "AAAA"}), tmp_path)
    assert ran.returncode == 0 and "7 passed" in ran.stdout, ran.stdout


def test_nbval_fails_on_each_changed_output(stored, tmp_path):
    changes = {"0.6667": "0.6668", "falls to 3.21": "falls to 3.22", "right\\n": "wrong\\n"}
    ran = nbval(change(stored, changes), tmp_path)
    assert ran.returncode == 1 and "3 failed, 4 passed" in ran.stdout, ran.stdout


def test_a_warning_in_a_notebook_is_an_error(tmp_path):
    cell = nbformat.v4.new_code_cell("import warnings\nwarnings.warn('old', DeprecationWarning)")
    ran = nbval(nbformat.v4.new_notebook(cells=[cell]), tmp_path)
    assert ran.returncode == 1 and "DeprecationWarning" in ran.stdout
