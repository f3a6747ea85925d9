"""The cheats: the look names each, and none reaches the teacher's files."""

from __future__ import annotations

import pytest
from nbgrader.api import Gradebook

from lora_lessons.app.classroom import isolation, trees
from lora_lessons.app.classroom.grading import grade
from lora_lessons.app.classroom.look import look

from .cheats import CHEATS, NAMED, Cheat
from .handed_in import Class, cell_of, code_cell, new_class


@pytest.fixture(scope="module")
def cheaters(tmp_path_factory) -> Class:
    """One submission for each cheat, and a blank one after all of them."""
    made = new_class(tmp_path_factory.mktemp("cheats"), "01")
    (ada,) = made.exercises["my_budget"].own.right(
        **made.exercises["my_budget"].own.of("ada", "01")
    )
    for number, cheat in enumerate(CHEATS.values()):
        hand_in(made, f"cheat-{number:02d}", cheat, ada)
    for number, (_, cheat) in enumerate(NAMED.values()):
        hand_in(made, f"named-{number:02d}", cheat, ada)
    made.submit("zoe", made.notebook("zoe", {}))
    return made


def hand_in(made: Class, student: str, cheat: Cheat, ada: int) -> None:
    notebook = made.notebook(student, {})
    for name, source in cheat.answers.items():
        cell_of(notebook, name)["source"] = source.replace("ADA", str(ada))
    at = next(i for i, c in enumerate(notebook["cells"]) if c["cell_type"] == "code") + 1
    at = 1 if "%%writefile" in cheat.cell else at  # above all else
    text = cheat.cell.replace("COURSE", str(made.course.root))
    notebook["cells"].insert(at, code_cell(text))
    made.submit(student, notebook)


@pytest.mark.parametrize("number", range(len(CHEATS)), ids=list(CHEATS))
def test_the_look_names_each(cheaters, number):
    found = [line for line in look(cheaters.course, "01") if f"cheat-{number:02d}: " in line]
    assert any("look what for" in line for line in found)


@pytest.mark.parametrize("number", range(len(NAMED)), ids=list(NAMED))
def test_the_look_names_what_no_judge_in_the_process_can_stop(cheaters, number):
    word, _ = list(NAMED.values())[number]
    found = [line for line in look(cheaters.course, "01") if f"named-{number:02d}: " in line]
    assert any(f"holds {word!r}: look what for" in line for line in found)


def test_the_look_has_nothing_against_a_blank_notebook(cheaters):
    assert not [line for line in look(cheaters.course, "01") if line.startswith("zoe: ")]


@pytest.mark.nightly
def test_no_cheat_wins_what_it_did_not_solve_nor_touches_the_teachers_files(cheaters):
    """Graded all, with the strongest isolation that is here; then the blank one has 0."""
    mode, why_not = isolation.choose(cheaters.course.root)
    if mode == "none":
        pytest.skip(f"nothing isolates here: {why_not}")
    before = trees.guarded(cheaters.course.root)
    report = grade(cheaters.course, cheaters.lesson)
    assert not report.failed and not report.changed
    assert trees.guarded(cheaters.course.root) == before
    assert set(cheaters.marks("zoe").values()) == {0}
    for number, name in enumerate(CHEATS):
        won = {key for key, points in cheaters.marks(f"cheat-{number:02d}").items() if points}
        assert won == set(), name
    with Gradebook(cheaters.course.gradebook(), "lora-lessons") as book:
        for submission in book.assignment_submissions(cheaters.lesson):
            assert submission.score <= submission.max_score
            assert all(g.manual_score is None for n in submission.notebooks for g in n.grades)
