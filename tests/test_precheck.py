"""The look at submissions before nbgrader: what would void them, and whose numbers they answer."""

from __future__ import annotations

import nbformat
import precheck_submissions
import pytest
from lesson_env import lesson_environment
from notebook_source import lesson_sources, notebook_text, write_whole
from precheck_submissions import literal_answer, main, precheck
from teacher_release import make_release

import lora_lessons as ll

(SOURCE,) = lesson_sources(["01"])
LESSON = SOURCE.stem
OWN = ll.lesson("01").exercises["my_budget"].own


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The released notebook of lesson 01."""
    env = lesson_environment(tmp_path_factory.mktemp("home"), "quick")
    env.pop("PYTHONWARNINGS")  # nbgrader's own packages warn
    return make_release(SOURCE, tmp_path_factory.mktemp("course"), env)


@pytest.fixture
def handed_in(release, tmp_path):
    """A course folder with the release, and a submission of it by ada that a test may spoil."""
    released = nbformat.read(release, as_version=4)
    write_whole(tmp_path / "release" / LESSON / release.name, notebook_text(released))
    submit(tmp_path, "ada", released, "ada")
    return tmp_path, released


def submit(course, folder: str, notebook, student: str, answer: str | None = None) -> None:
    """Hand in the notebook, with this id after STUDENT and this answer to the own question."""
    text = notebook_text(notebook).replace('STUDENT = \\"\\"', f'STUDENT = \\"{student}\\"')
    assert student in text
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        if answer and cell.metadata.get("nbgrader", {}).get("grade_id") == "my_budget":
            cell.source = f"def my_budget() -> int:\n    return {answer}\n"
    write_whole(course / "submitted" / folder / LESSON / f"{LESSON}.ipynb", notebook_text(notebook))


def answer_of(student: str) -> str:
    (number,) = OWN.right(**OWN.of(student, "01"))
    return f"{number:_}"


def test_a_submission_without_a_fault_can_be_graded(handed_in, capsys):
    folder, _ = handed_in
    assert main([str(folder), LESSON]) == 0
    assert "every submission can be graded" in capsys.readouterr().out


def test_a_duplicated_cell_is_named_before_it_voids_a_submission(handed_in, capsys):
    folder, released = handed_in
    twice = next(c for c in released.cells if c.metadata.get("nbgrader", {}).get("grade"))
    released.cells.append(nbformat.from_dict({**twice, "id": "a-copy"}))
    submit(folder, "ada", released, "ada")
    assert main([str(folder), LESSON]) == 1
    name = twice.metadata.nbgrader.grade_id
    assert f"ada: {LESSON}.ipynb has 2 cells {name!r}: delete" in capsys.readouterr().out


def test_a_deleted_cell_a_wrong_name_and_a_broken_file_are_named(handed_in):
    folder, released = handed_in
    gone = next(c for c in released.cells if c.metadata.get("nbgrader", {}).get("grade"))
    released.cells.remove(gone)
    submit(folder, "ada", released, "ada")
    write_whole(folder / "submitted" / "bob" / LESSON / "mine.ipynb", "{}")
    write_whole(folder / "submitted" / "cyd" / LESSON / f"{LESSON}.ipynb", "not a notebook")
    ada, bob, cyd = precheck(folder, LESSON)
    assert f"has no cell {gone.metadata.nbgrader.grade_id!r}" in ada
    assert "is missing: the file must be called" in bob
    assert "is not a notebook" in cyd


@pytest.mark.parametrize(
    ("written", "said"), [("bob", "says STUDENT = 'bob'"), (" ", "says STUDENT = ' '")]
)
def test_another_students_id_is_named(handed_in, written, said):
    folder, released = handed_in
    submit(folder, "ada", released, written)
    (line,) = precheck(folder, LESSON)
    assert said in line and "graded as those of 'ada'" in line


def test_a_missing_id_is_named(handed_in):
    folder, released = handed_in
    submit(folder, "ada", released, "")
    assert "has no id after STUDENT" in precheck(folder, LESSON)[0]


def test_a_notebook_that_would_hide_whose_it_is_is_named(handed_in):
    folder, released = handed_in
    released.cells.append(nbformat.v4.new_code_cell("import os\nos.chdir('/tmp/bob/01')"))
    submit(folder, "ada", released, "ada")
    assert precheck(folder, LESSON) == [f"ada: {LESSON}.ipynb holds 'chdir': look what for"]


def test_an_answer_to_another_students_numbers_is_named_for_the_teacher(handed_in):
    folder, released = handed_in
    for student in ("ada", "bob"):
        submit(folder, student, released, student, answer_of(student))
    assert precheck(folder, LESSON) == []
    submit(folder, "Cyd", released, "cyd", answer_of("ada"))
    assert precheck(folder, LESSON) == ["Cyd: my_budget answers the numbers of ada"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("return 3 * 4_096", (12288,)),
        ("return -1.5, 2", (-1.5, 2)),
        ("return 1 / 0", None),
        ("return 9 ** 9 ** 9", None),
        ("return open('key')", None),
        ("return x", None),
        ("return", None),
        ("raise NotImplementedError", None),
        ("return (", None),
    ],
)
def test_an_answer_is_read_and_never_run(written, read):
    assert literal_answer(f"def answer():\n    {written}\n") == read


def test_without_a_release_the_command_says_so(tmp_path):
    assert "make release" in precheck_submissions.precheck(tmp_path, LESSON)[0]
