"""Lesson 15: its planted flaws are found, its questions have rows, its page says what came out."""

from __future__ import annotations

import json
from collections import Counter

import pytest

import lora_lessons as ll
from lora_lessons.course.lesson15 import explorer, figures, own
from lora_lessons.course.lesson15.interview import QUESTIONS, interview
from lora_lessons.course.solution import KEY
from lora_lessons.experiments import lesson15 as pieces
from lora_lessons.experiments import stress as study

LESSON = ll.lesson("15")


@pytest.fixture(scope="module")
def choices():
    return LESSON.recorded("15_choices").data


@pytest.fixture(scope="module")
def leak():
    return LESSON.recorded("15_leak").data


# --- the planted flaw ----------------------------------------------------------------------------


def test_each_flaw_is_planted_for_some_student_and_found_in_one_line_only():
    drawn = [own.MY_FLAW.own.of(f"student{i}", "15") for i in range(120)]
    found = Counter()
    for mine in drawn:
        lines = [own._find({code: text}) for code, text in mine["report"].items() if _flawed(text)]
        assert len(lines) == 1 and lines[0] == own.right(**mine)
        found[lines[0][0]] += 1
    assert set(found) == {1, 2, 3, 4, 5, 6} and min(found.values()) >= 8


def _flawed(text):
    try:
        return bool(own._find({0: text}))
    except ValueError:
        return False


def test_a_sound_line_that_is_named_gets_its_reason():
    mine = own.MY_FLAW.own.of("self-study", "15")
    flaw, line = own.right(**mine)
    lines = {second for _, second in own.mistakes(**mine).values()}
    assert lines >= set(mine["report"]) - {line}
    assert all(first != flaw or second != line for first, second in own.mistakes(**mine).values())


# --- the questions -------------------------------------------------------------------------------


def test_twenty_questions_each_with_a_row_that_is_measured():
    assert len(QUESTIONS) == 20 == len({question.asked for question in QUESTIONS})
    for question in QUESTIONS:
        row = question.row()
        assert any(sign.isdigit() for sign in row), question.asked
        assert "nan" not in row and "inf" not in row
        assert 25 <= len(question.answer.split()) <= 90, question.asked
        assert question.wrong and question.follow_up.endswith("?")


def test_no_answer_types_a_decimal_in():
    for question in QUESTIONS:
        for text in (question.answer, question.wrong, question.follow_up):
            assert not any(a.isdigit() and b == "." and c.isdigit() for a, b, c in
                           zip(text, text[1:], text[2:], strict=False)), text  # fmt: skip


def test_the_questions_are_folded_one_by_one():
    html = interview()._repr_html_()
    assert html.count("<details>") == html.count("</details>") == 20
    assert repr(interview()).count("Measured: ") == 20


# --- the blank file ------------------------------------------------------------------------------


def test_the_sample_for_teachers_is_the_solution(root):
    scope = {}
    exec(json.loads(KEY.read_text("utf-8"))["15"]["mini_lora"], scope)
    assert scope["mini_lora"]() == (root / "docs/samples/mini_lora_good.txt").read_text("utf-8")


# --- the pieces and pictures ---------------------------------------------------------------------


def test_the_pieces_are_those_of_the_task():
    words = study.stress.some_families(20)
    train, asked = pieces.package_split(words, lambda word: word.stem, 15, 3)
    assert not {w.stem for w in train} & {w.stem for w in asked} and len(asked) >= 15
    guesses = pieces.package_rule([(w.text, w.kind) for w in train], [w.text for w in asked], 4)
    assert guesses == study.stress.by_ending(train, asked)


def test_the_explorer_draws_the_recorded_curves_and_then_ones_own(choices, monkeypatch):
    monkeypatch.setattr(explorer, "_mine", {})
    figure = explorer.draw(study.LORA, "LoRA, r = 1")
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    ends = figures.accuracies(choices)["LoRA, r = 1"].values()
    assert lines["LoRA, r = 1"][-1] == pytest.approx(100 * sum(ends) / len(ends))
    assert {"majority", "ending"} <= set(lines)
    assert "no runs yet" in explorer.alt(study.LORA, explorer.MINE)
    explorer.draw(study.LORA, explorer.MINE)
    explorer.add_mine(
        [{"seed": s, "steps": [0, 10], "curve": [0.2, 0.7 + s / 100]} for s in (0, 1)]
    )
    assert "your study: 70.5" in explorer.alt(study.LORA, explorer.MINE)


def test_the_drawing_tells_what_it_shows():
    for words in ("abandoned", "nothing to look up"):
        assert words in figures.two_splits().svg


# --- what the page says --------------------------------------------------------------------------


def test_the_random_split_leaks(leak):
    gap = figures.leak_gap(leak)
    assert gap.settled and round(gap.mean, 3) == 0.136
    assert {row["kin"] for row in leak["runs"] if row["split"] == figures.BY_STEM} == {0.0}


def test_rank_1_is_worse_and_the_others_tie(choices):
    gaps = {gap.first: gap for gap in figures.choice_gaps(choices)}
    assert gaps["LoRA, r = 1"].settled and round(gaps["LoRA, r = 1"].mean, 3) == -0.027
    for arm in ("LoRA, r = 4", "LoRA, r = 8, query and value", "full"):
        assert not gaps[arm].settled
    assert figures.verdict_on_rank(choices)["4 ties, 1 is worse"]


def test_every_chosen_rate_lies_inside_its_grid(choices):
    for arm, lr in choices["chosen"].items():
        tried = sorted({row["lr"] for row in choices["tuning"] if row["arm"] == arm})
        assert tried[0] < lr < tried[-1], arm


def test_every_adapter_beats_both_rules(choices):
    bar = choices["baselines"]["ending"]["accuracy"]
    found = figures.accuracies(choices)
    assert all(min(found[arm].values()) > bar for arm in found if arm.startswith("LoRA"))


def test_at_the_highest_rate_three_of_four_adapters_fall_to_the_majority(choices):
    high = [row for row in choices["tuning"] if row["lr"] == 1e-2 and row["arm"].startswith("LoRA")]
    fallen = {row["arm"] for row in high if row["accuracy"] < 0.72}
    assert len({row["arm"] for row in high}) == 4 and len(fallen) == 3
