"""The look at submissions before nbgrader: what would void them, and whose numbers they answer."""

from __future__ import annotations

import importlib

import nbformat
import pytest
from answer_key import lesson_answers
from learner_copy import learner_copy
from lesson_env import lesson_environment
from notebook_source import lesson_sources, notebook_text, write_whole
from teacher_release import make_release

import lora_lessons as ll
from lora_lessons.app import cli
from lora_lessons.app.classroom.copies import literal_answer
from lora_lessons.app.classroom.course import ClassroomError, Course
from lora_lessons.app.classroom.look import look
from lora_lessons.app.classroom.suspects import SUSPECT, suspect_words

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


def precheck(folder, lesson):
    return look(Course(folder), lesson)


def main(folder) -> int:
    """The verb; it wants the settings that a release has beside it."""
    (folder / "nbgrader_config.py").touch()
    return cli.main(["look", LESSON, "--course", str(folder)])


def test_a_submission_without_a_fault_can_be_graded(handed_in, capsys):
    folder, _ = handed_in
    assert main(folder) == 0
    assert "every submission can be graded" in capsys.readouterr().out


def named(folder, student: str) -> str:
    """What the look says of one student, as one text."""
    return "\n".join(line for line in precheck(folder, LESSON) if line.startswith(f"{student}: "))


def cells_of_a_check(released):
    """The first answer and its check."""
    return [c for c in released.cells if "best_rank_k" in nbgrader_id(c)]


def nbgrader_id(cell) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def test_a_duplicated_cell_is_named(handed_in, capsys):
    folder, released = handed_in
    twice = next(c for c in released.cells if c.metadata.get("nbgrader", {}).get("grade"))
    released.cells.append(nbformat.from_dict({**twice, "id": "a-copy"}))
    submit(folder, "ada", released, "ada")
    assert main(folder) == 1
    said = capsys.readouterr().out
    assert f"ada: {LESSON}.ipynb has 2 cells {nbgrader_id(twice)!r}: the last is graded" in said


def test_a_deleted_cell_a_wrong_name_and_a_broken_file_are_named(handed_in):
    folder, released = handed_in
    answer, check = cells_of_a_check(released)
    released.cells.remove(check)
    submit(folder, "ada", released, "ada")
    released.cells.remove(answer)
    submit(folder, "dan", released, "dan")
    write_whole(folder / "submitted" / "bob" / LESSON / "mine.ipynb", "{}")
    write_whole(folder / "submitted" / "cyd" / LESSON / f"{LESSON}.ipynb", "not a notebook")
    (folder / "submitted" / "eve" / LESSON).mkdir(parents=True)
    name = nbgrader_id(answer)
    assert f"has no cell 'check_{name}': it is put back when graded" in named(folder, "ada")
    for gone in (name, f"check_{name}"):
        assert f"has no cell {gone!r}: scores 0 unless you put it back" in named(folder, "dan")
    assert "is missing: the file must have this name" in named(folder, "bob")
    assert named(folder, "bob").endswith("there is 'mine.ipynb'")
    assert "is not a notebook" in named(folder, "cyd")
    assert named(folder, "eve").endswith("there is none")


def test_a_check_above_its_answer_is_named(handed_in):
    folder, released = handed_in
    answer, _ = cells_of_a_check(released)
    released.cells.remove(answer)
    released.cells.append(answer)
    submit(folder, "ada", released, "ada")
    assert "above its answer: scores 0 unless you move it" in named(folder, "ada")


def test_a_notebook_of_another_lesson_is_named(handed_in):
    folder, released = handed_in
    other = nbformat.from_dict(released)
    write_whole(folder / "release" / "02_x" / "02_x.ipynb", notebook_text(other))
    for cell in other.cells:
        if nbgrader_id(cell):
            cell.metadata.nbgrader.grade_id += "_2"
    write_whole(folder / "release" / "02_x" / "02_x.ipynb", notebook_text(other))
    submit(folder, "ada", other, "ada")
    assert "is a notebook of 02_x" in named(folder, "ada")


def test_the_learners_copy_in_place_of_the_release_is_named_in_one_line(handed_in):
    """`lora-lessons lab` hands out notebooks of the same names."""
    folder, _ = handed_in
    submit(folder, "ada", learner_copy(SOURCE), "ada")
    assert precheck(folder, LESSON) == [
        f"ada: {LESSON}.ipynb is not the notebook that you handed out: its answers must be copied "
        "into that one"
    ]


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


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("import os\nos.chdir('/tmp/bob/01')", "chdir"),
        ("type(verdict).require = lambda self: None", ".require"),
        ("lesson = Kind()", "lesson ="),
        ("open('../../../source/a.ipynb').read()", "../"),
        ("Path.cwd().parents[2]", ".parents"),
        ("import os\nos._exit(1)", "_exit"),
    ],
)
def test_words_that_an_honest_submission_has_no_use_for_are_named(handed_in, code, word):
    folder, released = handed_in
    released.cells.append(nbformat.v4.new_code_cell(code))
    submit(folder, "ada", released, "ada")
    assert precheck(folder, LESSON) == [f"ada: {LESSON}.ipynb holds {word!r}: look what for"]


def test_such_words_in_a_written_answer_say_nothing(handed_in):
    folder, released = handed_in
    released.cells.append(nbformat.v4.new_markdown_cell("Verdict: see ../, gradebook, lesson = 1"))
    submit(folder, "ada", released, "ada")
    assert precheck(folder, LESSON) == []


def test_a_file_that_is_handed_in_as_a_text_may_read_and_write(handed_in):
    _, released = handed_in
    cell = nbformat.v4.new_code_cell('def mini_lora():\n    return "p.write_text(open(q))"')
    cell.metadata["nbgrader"] = {"grade_id": "mini_lora"}
    notebook = nbformat.v4.new_notebook(cells=[*released.cells, cell])
    assert list(suspect_words(notebook, released)) == []
    cell.source += "\nopen('key')"
    assert list(suspect_words(notebook, released)) == ["holds 'open(': look what for"]


def test_no_answer_that_learners_give_holds_such_a_word():
    # but for lesson 15, whose answer is a whole file that reads and writes files
    sources = [source for source in lesson_sources() if not source.name.startswith("15")]
    answers = [text for source in sources for text in lesson_answers(source).values()]
    for number in (source.name[:2] for source in sources):
        wrong = importlib.import_module(f"tests.wrong_answers.lesson{number}").WRONG
        answers += [mistake.source for mistakes in wrong.values() for mistake in mistakes]
    code = [answer for answer in answers if "def " in answer]
    assert len(code) > 100
    assert [words.pattern for words in SUSPECT for text in code if words.search(text)] == []


def test_an_answer_to_another_students_numbers_is_named_for_the_teacher(handed_in):
    folder, released = handed_in
    for student in ("ada", "bob"):
        submit(folder, student, released, student, answer_of(student))
    assert precheck(folder, LESSON) == []
    submit(folder, "Cyd", released, "cyd", answer_of("ada"))
    submit(folder, "dan", released, "dan", answer_of("self-study"))
    assert precheck(folder, LESSON) == [
        "Cyd: my_budget answers the numbers of ada",
        "dan: my_budget answers the numbers of self-study",
    ]


def test_an_answer_to_a_mistyped_id_is_told_from_a_copy(handed_in):
    folder, released = handed_in
    submit(folder, "ada", released, "adda", answer_of("adda"))
    assert precheck(folder, LESSON)[1] == "ada: my_budget answers the numbers of adda"


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
    with pytest.raises(ClassroomError, match="make release"):
        look(Course(tmp_path), LESSON)
