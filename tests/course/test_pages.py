"""The rules of a page: predictions are kept apart from answers, and answers come from data."""

from __future__ import annotations

import ast
import builtins
import itertools
from pathlib import Path

import pytest

import lora_lessons as ll
from tests.open_points import LESSONS, each_lesson, open_points


def predictions(path: Path) -> dict[str, list[ast.Call]]:
    """The calls of lesson.predict and lesson.compare in a lesson's source, in its order."""
    found: dict[str, list[ast.Call]] = {"predict": [], "compare": []}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if name in ("lesson.predict", "lesson.compare"):
            found[name.removeprefix("lesson.")].append(node)
    return found


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name[:2])
def test_every_prediction_of_a_lesson_is_compared_once_and_later(path):
    """Else a learner never sees the result, or sees it before the question."""
    found = predictions(path)
    asked, told = ({c.args[0].value: c.lineno for c in found[kind]} for kind in found)
    assert len(asked) == len(found["predict"]) and len(told) == len(found["compare"])
    assert asked.keys() == told.keys() != set()
    assert [key for key in asked if told[key] < asked[key]] == []


def typed(node: ast.expr) -> bool:
    """True for an answer without data in it: no name but Python's own, no subscript of one."""
    names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    return all(hasattr(builtins, name) for name in names)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ('"all-linear"', True),
        ("16", True),
        ('{"an error": True, "nothing": False}', True),
        ("round(100 * 0.71)", True),
        ('f"{2:d}"', True),
        ("figures.winner(run.data)", False),
        ('{"an error": error is not None}', False),
        ("losses", False),
    ],
)
def test_a_typed_answer_is_seen(answer, wrong):
    assert typed(ast.parse(answer, mode="eval").body) is wrong


@each_lesson("answers-from-data")
def test_no_answer_is_typed_in(path):
    """`lesson.compare(key, "the answer")` cannot turn out otherwise."""
    calls = predictions(path)["compare"]
    by_hand = [f"{c.args[0].value} (line {c.lineno})" for c in calls if typed(c.args[1])]
    assert by_hand == []


@each_lesson("why")
def test_every_comparison_says_why(path):
    lesson = ll.lesson(path.name[:2])
    why = getattr(lesson._module, "WHY", {})
    keys = [call.args[0].value for call in predictions(path)["compare"]]
    assert set(why) - set(keys) == set(), "WHY has a key that no comparison has"
    assert [key for key in keys if not 20 <= len(why.get(key, "")) <= 400] == []


def shown_figures(path: Path) -> list[ast.Call]:
    """The calls of ll.show in a lesson's source."""
    calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
    return [call for call in calls if ast.unparse(call.func) == "ll.show"]


@each_lesson("alt-from-data")
def test_no_alt_text_is_typed_into_a_page(path):
    """It would be read before the prediction, and be untrue of a live run: figures describe it."""
    lines = [
        call.lineno
        for call in shown_figures(path)
        for word in call.keywords
        if word.arg == "alt" and typed(word.value)
    ]
    assert lines == []


def code_cells(path: Path) -> list[str]:
    """The code of each code cell, in order; prose and cells between count as nothing."""
    cells = path.read_text("utf-8").split("\n# %%")
    code = [c.split("\n", 1)[1] if "\n" in c else "" for c in cells[1:] if "[markdown]" not in c]
    return [cell.strip() for cell in code]


@each_lesson("still-once")
def test_no_explorer_is_followed_by_the_same_picture(path):
    """The panel folds its own still picture, for where no kernel runs."""
    cells = code_cells(path)
    twice = [
        now
        for now, after in itertools.pairwise(cells)
        if now.startswith("lesson.explore.") and after == now.removesuffix("()") + ".static()"
    ]
    assert twice == []


def test_open_points_are_known_rules(tmp_path):
    (tmp_path / "03.yml").write_text("- why\n- whi\n")
    with pytest.raises(ValueError, match=r"03.yml lists \['whi'\]"):
        open_points("03", tmp_path)
    (tmp_path / "03.yml").write_text("- why\n")
    assert open_points("03", tmp_path) == ["why"] and open_points("04", tmp_path) == []
