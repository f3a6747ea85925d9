"""The tools that make learner's copy, executed solution and key from a lesson's source."""

from __future__ import annotations

import ast
import copy
import json
import re

import build_lessons
import nbformat
import notebook_source as source_module
import pytest
from answer_key import lesson_answers
from executed_solution import executed_solution, finished_bar, stored_faults
from learner_copy import learner_copy, surviving_solutions
from notebook_source import LessonError, lesson_sources, notebook_text, read_source

SAMPLE = "tests/fixtures/90_sample.py"


@pytest.fixture
def sample(root, tmp_path):
    """A copy of the sample lesson that a test may change."""
    path = tmp_path / "90_sample.py"
    path.write_text((root / SAMPLE).read_text("utf-8"), "utf-8")
    return path


@pytest.fixture(scope="module")
def executed(root):
    return executed_solution(root / SAMPLE)


def edit(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_same_source_gives_the_same_bytes(sample):
    assert notebook_text(learner_copy(sample)) == notebook_text(learner_copy(sample))


def test_ids_come_from_the_exercise_or_the_position(sample):
    ids = [cell.id for cell in read_source(sample).cells]
    exercise = ["square", "check-square", "why"]
    assert ids == ["cell-000", "cell-001", "cell-002", *exercise, "cell-006", "cell-007"]


def test_metadata_names_the_kernel_and_no_tool(sample):
    text = notebook_text(read_source(sample))
    assert "jupytext" not in text
    assert json.loads(text)["metadata"] == {"kernelspec": source_module.KERNEL}


def test_learner_copy_is_valid_clean_and_stubbed(sample):
    learner = learner_copy(sample)
    nbformat.validate(learner)
    code = [cell for cell in learner.cells if cell.cell_type == "code"]
    assert all(cell.execution_count is None and not cell.outputs for cell in code)
    assert [cell.source for cell in learner.cells if source_module.STUB in cell.source] == [
        f'def square(x: float) -> float:\n    """Return x times x."""\n    {source_module.STUB}'
    ]
    text = notebook_text(learner)
    for secret in ("x * x", "remark", "cannot be negative", "HIDDEN", "assert verdict", "grade_id"):
        assert secret not in text


def test_learner_copy_and_release_hold_the_same_stub(root):
    assert source_module.STUB in (root / "nbgrader_config.py").read_text("utf-8")


@pytest.mark.parametrize(
    "repeated",
    [
        "def again(x):\n    result = x*x\n    return result",
        "# %% [markdown]\n# Say\n# result = x * x  # the teacher's own remark\n# return result",
    ],
)
def test_a_solution_repeated_elsewhere_is_found(sample, repeated):
    edit(sample, "# %% tags", f"# %%\n{repeated}\n\n# %% tags")
    with pytest.raises(LessonError, match="solution of square"):
        learner_copy(sample)


def test_markers_outputs_and_written_answers_left_in_a_copy_are_found(sample, executed):
    leaks = " ".join(surviving_solutions(read_source(sample), executed))
    for leak in ("BEGIN SOLUTION", "END HIDDEN TESTS", "an output", "the written answer why"):
        assert leak in leaks


def test_a_solution_at_top_level_is_refused(sample):
    edit(sample, "attempted = 0", "### BEGIN SOLUTION\nattempted = 0\n### END SOLUTION")
    with pytest.raises(LessonError, match="not inside a function"):
        read_source(sample)


def test_a_solution_in_a_class_body_outside_its_methods_is_refused(sample):
    body = "class A:\n    ### BEGIN SOLUTION\n    x = 1\n    ### END SOLUTION"
    edit(sample, "attempted = 0", body)
    with pytest.raises(LessonError, match="not inside a function"):
        read_source(sample)


def test_an_exercise_without_a_region_is_refused(sample):
    edit(sample, "    ### BEGIN SOLUTION\n", "")
    with pytest.raises(LessonError, match="exercise 'square' has no"):
        read_source(sample)


def test_an_id_used_twice_is_refused(sample):
    edit(sample, '"grade_id": "check_square"', '"grade_id": "square"')
    with pytest.raises(LessonError, match="'square' stands on two cells"):
        read_source(sample)


def test_an_unknown_lesson_is_named_with_those_there(root):
    with pytest.raises(LessonError, match=r"no lesson 77 .*90"):
        lesson_sources(["77"], root / "tests" / "fixtures")


def test_key_holds_each_answer_without_markers(sample):
    answers = lesson_answers(sample)
    assert list(answers) == ["square", "why"]
    assert ast.parse(answers["square"]) and "BEGIN" not in answers["square"]
    assert "cannot be negative" in answers["why"]


def test_executed_solution_is_complete(executed):
    assert stored_faults(executed) == []
    assert executed.cells[-1].outputs[0].text == "1 of 1 exercises solved\n"
    assert not {"widgets", "language_info"} & set(executed.metadata)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda c: c.update(execution_count=None), "execution count None, not 1"),
        (lambda c: c.update(execution_count=7), "execution count 7, not 1"),
        (lambda c: c.update(source=" "), "an empty code cell"),
        (lambda c: c.outputs.append(nbformat.v4.new_output("error", ename="E")), "a stored error"),
        (
            lambda c: c.outputs.append(nbformat.v4.new_output("stream", name="stderr", text="w")),
            "text on stderr",
        ),
    ],
)
def test_faults_of_a_stored_notebook_are_named(executed, change, fault):
    broken = copy.deepcopy(executed)
    change(next(cell for cell in broken.cells if cell.cell_type == "code"))
    assert any(fault in found for found in stored_faults(broken))


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    path.write_text("old")
    monkeypatch.setattr(
        source_module.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(OSError, match="full"):
        source_module.write_whole(path, "new")
    assert path.read_text() == "old"


def test_check_names_each_kind_of_drift(sample, executed, tmp_path, monkeypatch):
    monkeypatch.setattr(build_lessons, "LEARNER_COPIES", tmp_path / "notebooks")
    monkeypatch.setattr(build_lessons, "KEY", tmp_path / "key.json")
    monkeypatch.setattr(build_lessons, "lesson_sources", lambda *_: [sample])
    monkeypatch.setattr(build_lessons, "executed_solution", lambda _: executed)
    assert build_lessons.build("all", [sample]) == 0
    assert list(build_lessons.drift([sample])) == []
    edit(sample, "attempted = 0", "attempted = 1")
    (tmp_path / "notebooks" / "99_stray.ipynb").write_text("{}")
    found = "\n".join(build_lessons.drift([sample]))
    for sentence in (
        r"notebooks/90_sample.ipynb differs",
        r"cells of solutions/90_sample.ipynb differ",
        r"executed before",
        r"to mend: make lessons NN=90",
        r"99_stray.ipynb has no source\n    to mend: delete it",
    ):
        assert re.search(sentence, found)
    edit(sample, "result = x * x", "result = x**2")
    assert "key.json differs" in "\n".join(build_lessons.shared_drift())
    assert "key.json" not in "\n".join(build_lessons.lesson_drift(sample))


def test_a_bar_is_stored_finished():
    """A widget's text is that of its first moment."""
    assert finished_bar("  0%|          | 0/30 [00:00<?, ?step/s]") == "100%|██████████| 30/30"
    assert finished_bar("arms:   0%|  | 0/4 [00:00<?, ?it/s]") == "arms: 100%|██████████| 4/4"
    assert finished_bar("0% of 30") == "0% of 30"
