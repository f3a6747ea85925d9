"""Grading: honest marks for whatever a notebook carries, resumed, watched, and isolated."""

from __future__ import annotations

import random

import pytest

from lora_lessons.app import cli
from lora_lessons.app.classroom import grading, isolation, trees
from lora_lessons.app.classroom.course import ClassroomError
from lora_lessons.app.classroom.grading import grade, why_not
from lora_lessons.app.classroom.look import look

from .handed_in import Class, cell_of, code_cell, new_class
from .harmless import HARMLESS, mutate


@pytest.fixture(scope="module")
def school(tmp_path_factory) -> Class:
    return new_class(tmp_path_factory.mktemp("school"), "01")


@pytest.fixture
def empty(school):
    """The class, before anybody handed in."""
    for part in ("submitted", "autograded", "grading"):
        remove(school.course.root / part)
    return school


def remove(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o755)
        path.rmdir() if path.is_dir() else path.unlink()


def hand_in_mutated(school: Class, count: int, seed: int) -> dict[str, list[str]]:
    """`count` perfect notebooks, each with some harmless mutations; all occur if count allows."""
    rng, done = random.Random(seed), {}
    names, left = list(school.possible), []
    for number in range(count):
        share = max(5, -(-len(HARMLESS) // count))
        left = left if len(left) >= share else [*left, *rng.sample(list(HARMLESS), len(HARMLESS))]
        chosen, left = list(dict.fromkeys(left[:share])), left[share:]
        student = f"s{number:03d}"
        content, name = mutate(school.notebook(student), names, rng, chosen)
        school.submit(student, content, name)
        done[student] = chosen
    return done


def check_that_all_have_everything(school: Class, count: int, seed: int) -> None:
    done = hand_in_mutated(school, count, seed)
    report = grade(school.course, school.lesson)
    assert [outcome.error for outcome in report.failed] == []
    assert report.changed == []
    lost = {student: school.lost(student) for student in done}
    assert {s: (lost[s], done[s]) for s in done if lost[s]} == {}
    for student in done:  # a page of feedback that a browser opens
        assert school.course.autograded_path(student, school.lesson).stat().st_size < 2_000_000


def test_what_a_notebook_may_carry_costs_nothing(empty):
    """Two perfect notebooks carry every harmless mutation between them."""
    check_that_all_have_everything(empty, 2, seed=1)


@pytest.mark.nightly
def test_200_random_harmless_mutations_cost_nothing(empty):
    check_that_all_have_everything(empty, 200, seed=2)


FAULTS = {
    "a_cell_of_another_lesson": "that this lesson has not: it counts as a plain cell",
    "an_early_copy_of_a_cell": "has 2 cells",
    "a_check_deleted": "it is put back when graded",
    "a_check_changed": "has a changed cell",
    "tags_on_a_check": "it is not obeyed",
    "the_first_code_cell_changed": "has another first code cell",
    "a_mark_at_the_files_beginning": "byte-order mark",
    "another_file_name": "is this lesson's, and is taken for it",
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_look_names_what_is_unusual(empty, name):
    rng = random.Random(0)
    content, file = mutate(empty.notebook("ada"), list(empty.possible), rng, [name])
    empty.submit("ada", content, file)
    assert FAULTS[name] in "\n".join(look(empty.course, "01"))


def test_the_look_names_a_file_of_an_unusual_size(empty):
    notebook = empty.notebook("ada")
    notebook["cells"].append(code_cell("1"))
    notebook["cells"][-1]["outputs"] = [{"text": "x" * 6_000_000}]
    empty.submit("ada", notebook)
    assert "has 6 MB: its outputs are left out" in look(empty.course, "01")[0]


def test_only_the_exercise_at_fault_loses_and_the_rest_goes_on(empty):
    """An answer that ends Python, one without end... and a stub: the others have their marks."""
    notebook = empty.notebook("ada")
    cell_of(notebook, "best_rank_k")["source"] = (
        "import os\ndef best_rank_k(W, k):\n    os._exit(1)\n"
    )
    cell_of(notebook, "truncation_error")["source"] = "def truncation_error(:"
    empty.submit("ada", notebook)
    grade(empty.course, empty.lesson)
    assert empty.lost("ada") == {"best_rank_k", "truncation_error"}


def test_a_second_call_grades_only_what_is_new(empty, capsys):
    for student in ("ada", "bob"):
        empty.submit(student, empty.notebook(student, {}))
    empty.submit("cyd", b"no notebook")
    first = grade(empty.course, empty.lesson, ["ada", "cyd"])
    assert [outcome.student for outcome in first.outcomes if not outcome.error] == ["ada"]
    (failed,) = first.failed
    assert failed.error == "is not a notebook: ask for the file again"
    second = grade(empty.course, empty.lesson)
    assert {outcome.student for outcome in second.outcomes} == {"bob", "cyd"}
    assert second.kept == 1
    assert "60 take" in "\n".join(second.lines())
    empty.submit("ada", empty.notebook("ada"))
    assert {o.student for o in grade(empty.course, empty.lesson, ["ada"]).outcomes} == {"ada"}


def test_a_change_of_the_judge_grades_all_again(empty, monkeypatch):
    judge = trees.one_hash({"core.py": "a"})
    empty.submit("ada", empty.notebook("ada", {}))
    before = grading._hash_of(empty.course, "ada", empty.lesson, judge)
    assert before == grading._hash_of(empty.course, "ada", empty.lesson, judge)
    other = trees.one_hash({"core.py": "b"})
    assert before != grading._hash_of(empty.course, "ada", empty.lesson, other)


def test_without_isolation_a_change_is_found_and_stops_the_grading(empty):
    """The submission writes into source/, as the account that grades can."""
    target = empty.course.root / "source" / empty.lesson / "new.txt"
    notebook = empty.notebook("ada", {})
    notebook["cells"].append(code_cell(f"open({str(target)!r}, 'w').write('x')"))
    empty.submit("ada", notebook)
    with pytest.raises(ClassroomError, match=r"ada: this submission changed .*new\.txt"):
        grade(empty.course, empty.lesson, wanted="none")
    target.unlink()
    assert set(empty.marks("ada").values()) == {0}


@pytest.mark.parametrize("mode", isolation.MODES[:2])
def test_what_isolates_keeps_a_submission_from_files(empty, mode):
    """The probe first: a way that does not hold is not used."""
    try:
        assert isolation.choose(empty.course.root, mode) == (mode, [])
    except ClassroomError as error:
        pytest.skip(str(error))
    target = empty.course.root / "gradebook.db"
    trick = f"import os\nprint('reached', os.path.exists({str(target)!r}))\nimport sys\n"
    trick += f"for p in ({str(target)!r}, {str(isolation.KEY)!r}):\n"
    trick += "    try:\n        print('read', len(open(p).read(9)))\n"
    trick += "    except OSError as error:\n        print(type(error).__name__)\n"
    notebook = empty.notebook("ada", {})
    notebook["cells"].append(code_cell(trick))
    empty.submit("ada", notebook)
    grade(empty.course, empty.lesson, wanted=mode)
    text = empty.course.autograded_path("ada", empty.lesson).read_text()
    assert "read 9" not in text and "Error" in text


def test_the_probe_finds_what_is_open(empty):
    """Without isolation everything is: the same probe must say so."""
    found = isolation.reached("none", empty.course.root)
    assert f"read {empty.course.root}" in found
    assert f"change {isolation.PACKAGE}" in found


def test_a_way_that_was_asked_for_and_fails_is_an_error(empty, monkeypatch):
    monkeypatch.setattr(isolation.shutil, "which", lambda name: None)
    empty.submit("ada", empty.notebook("ada", {}))
    with pytest.raises(ClassroomError, match="no bubblewrap here"):
        grade(empty.course, empty.lesson, wanted="sandbox")
    assert isolation.choose(empty.course.root)[0] == "none"


def test_a_submissions_environment_holds_nothing_of_the_teachers(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("LORA_LESSONS_PRESET", "quick")
    room = isolation.make_room("none", "ada", "01")
    env = isolation.environment(room)
    room.remove()
    assert "SECRET_TOKEN" not in env and env["LORA_LESSONS_PRESET"] == "quick"
    assert env["HOME"].startswith(str(room.root)) and not room.root.exists()


def test_nothing_handed_in_is_an_error(empty, capsys):
    assert cli.main(["grade", "01", "--course", str(empty.course.root)]) == 1
    assert "there is no submission" in capsys.readouterr().err
    assert cli.main(["grade", "01", "ada", "--course", str(empty.course.root)]) == 1
    assert "no submission of ada" in capsys.readouterr().err


def test_another_folder_is_an_error(tmp_path, capsys):
    assert cli.main(["grade", "01", "--course", str(tmp_path)]) == 1
    assert "is no course folder" in capsys.readouterr().err


def test_the_reason_is_the_first_error_of_nbgraders_log():
    log = """[ERROR] There was an error
    Traceback (most recent call last):
    ValueError: is not a notebook
    nbgrader.converters.base.NbGraderException: see above"""
    assert why_not(log) == "is not a notebook"
    assert why_not("") == "nbgrader could not grade it"


@pytest.mark.nightly
def test_the_capstones_check_starts_its_process_in_the_grading_room(tmp_path):
    """Exercise 15.1's check runs the file in a process of its own; a blank notebook has nothing."""
    school = new_class(tmp_path, "15")
    school.submit("ada", school.notebook("ada"))
    school.submit("bea", school.notebook("bea", {}))
    report = grade(school.course, school.lesson)
    assert report.failed == []
    assert school.lost("ada") == set()
    assert set(school.marks("bea").values()) == {0}
