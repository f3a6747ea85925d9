"""Lesson 14: the pieces are right, and the page says what was measured."""

from __future__ import annotations

import importlib.util

import pytest

from lora_lessons.course import recorded
from lora_lessons.course.lesson14 import explorer, figures, own
from lora_lessons.deploy import requests as aws
from lora_lessons.experiments import lesson14 as experiment
from lora_lessons.experiments import llama_server

STUDENTS = ["self-study", "ada", "bob", "cyd", "dan"]

# --- the student's own numbers ---------------------------------------------------------------


@pytest.mark.parametrize("student", STUDENTS)
def test_the_own_batch_is_answered_row_by_row(student):
    """By groups that are computed apart and put back, as a mixed batch does it."""
    mine = own.MY_BATCH.own.of(student, "14")
    out, passes = [0] * own.ROWS, 1
    for name in (own.BASE, *mine["factors"]):
        rows = [i for i, wanted in enumerate(mine["names"]) if wanted == name]
        passes += bool(rows) and name != own.BASE
        for i in rows:
            out[i] = mine["rows"][i] * mine["base"] + mine["rows"][i] * mine["factors"].get(name, 0)
    assert own.UNKNOWN in mine["names"] and own.BASE in mine["names"]
    total = sum(place * value for place, value in enumerate(out, 1))
    assert own.MY_BATCH.own.right(**mine) == (total, passes)


@pytest.mark.parametrize("student", STUDENTS)
def test_no_mistake_gives_the_right_number(student):
    mine = own.MY_BATCH.own.of(student, "14")
    right = own.MY_BATCH.own.right(**mine)
    for message, numbers in own.MY_BATCH.own.mistakes(**mine).items():
        assert all(a != b for a, b in zip(numbers, right, strict=True)), message


# --- experiments -----------------------------------------------------------------------------


def test_each_way_answers_in_every_round_and_the_sizes_are_counted():
    data = experiment.latency(counts=[2], tokens=1, rounds=2)
    assert [row["way"] for row in data["rows"]] == [*experiment.WAYS] * 2
    assert all(row["seconds"] > 0 for row in data["rows"])
    assert data["base"] == 144_192 and data["width"] == 4
    blocks, hidden, r = 3, 64, 4
    model = experiment.many_adapters("nano", 1)
    layers = [m for m in model.modules() if hasattr(m, "lora_A")]
    shapes = [m.base_layer.weight.shape for m in layers]
    assert data["adapter"] == sum(r * (a + b) for a, b in shapes) and hidden in shapes[0]
    assert len(layers) == blocks * len(llama_server.TARGETS)


def test_medians_are_of_each_way_and_count():
    rows = [
        {"way": "mixed", "adapters": 2, "seed": i, "seconds": s} for i, s in enumerate([1, 9, 2])
    ]
    assert experiment.medians({"rows": rows}) == {("mixed", 2): 2}


def test_a_drawn_adapter_is_the_same_each_time_and_writes_another_text():
    one, two = (experiment.separate_runs("nano", 2, tokens=6) for _ in range(2))
    assert one == two and experiment.told_apart(one) > 0.9


# --- requests --------------------------------------------------------------------------------

SHAPE = {
    "type": "structure",
    "required": ["name"],
    "members": {
        "name": {"type": "string", "pattern": "[a-z]+", "min": 1, "max": 4},
        "tags": {"type": "list", "max": 1, "member": {"type": "string", "max": 2}},
        "count": {"type": "integer", "min": 1, "max": 9},
        "on": {"type": "boolean"},
        "more": {"type": "map", "value": {"type": "string", "max": 1}},
    },
}


@pytest.mark.parametrize(
    ("params", "problems"),
    [
        ({"name": "abcd", "tags": ["ab"], "count": 9, "on": True, "more": {"k": "v"}}, []),
        ({}, [("name", "required")]),
        ({"name": "a", "x": 1}, [("x", "unknown")]),
        ({"name": "a\n"}, [("name", "pattern")]),
        ({"name": ""}, [("name", "min"), ("name", "pattern")]),
        ({"name": "abcde"}, [("name", "max")]),
        ({"name": 7}, [("name", "type")]),
        ({"name": "a", "tags": ["abc", "b"]}, [("tags", "max"), ("tags[0]", "max")]),
        ({"name": "a", "count": True}, [("count", "type")]),
        ({"name": "a", "count": 10}, [("count", "max")]),
        ({"name": "a", "on": 1}, [("on", "type")]),
        ({"name": "a", "more": {"k": "vv"}}, [("more.k", "max")]),
    ],
)
def test_a_request_is_checked_by_its_shape(params, problems):
    assert aws.request_problems(SHAPE, params) == problems


def test_a_pattern_that_python_cannot_read_is_no_answer():
    shape = {"type": "string", "pattern": r"\p{L}+"}
    with pytest.raises(ValueError, match=r"none of Python's"):
        aws.request_problems(shape, "a", "name")


def test_the_recorded_verdicts_are_those_of_the_recorded_shapes():
    data = recorded.load("14_requests").data
    trials = experiment.trial_requests()
    assert [row["wrong"] for row in data["rows"]] == [what for what, _, _ in trials]
    for row, (_, operation, params) in zip(data["rows"], trials, strict=True):
        found = aws.request_problems(data["shapes"][operation], params)
        assert [list(problem) for problem in found] == row["ours"]
    assert figures.let_pass(data) == [
        "_ in the job's name", "a name of 70 letters", "a role that is no ARN", "https for s3",
        "_ in the endpoint's name",
    ]  # fmt: skip


@pytest.mark.skipif(not aws.installed(), reason="needs botocore")
def test_stubber_says_today_what_was_recorded():
    data, now = recorded.load("14_requests").data, experiment.aws_requests()
    assert [bool(row["stubber"]) for row in now["rows"]] == [
        bool(row["stubber"]) for row in data["rows"]
    ]


def test_without_botocore_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"lora-lessons\[aws\]"):
        experiment.aws_requests()


# --- what the page says of the recordings ------------------------------------------------------


def test_the_transcript_has_the_faults_that_the_page_names():
    data = recorded.load("14_llama").data
    wrong = [row["sent"] for row in data["asked"] if not figures.is_right(row, data["torch"])]
    assert wrong == [
        llama_server.AFTER,
        'model: "first"',
        "lora: number 7, which is not there",
        "the same, after its file was replaced",
    ]
    assert figures.leaked(data)
    (leak,) = (row for row in data["asked"] if row["sent"] == llama_server.AFTER)
    assert leak["from_cache"] > 0 and figures.owner(leak["text"], data["torch"]) == "nobody's"
    assert len(figures.transcript(data).rows) == len(data["asked"])


def test_the_load_lost_and_mixed_nothing():
    data = recorded.load("14_load").data
    assert data["requests"] == data["right"] == 1000 and data["adapters"] == 8
    assert data["wrong_adapter"] == data["lost"] == data["wrong_otherwise"] == 0
    assert data["told_apart"] > 0.9


def test_the_order_of_the_ways_is_the_recorded_one():
    found = experiment.medians(recorded.load("14_latency").data)
    for n in (4, 8, 16):
        assert found["merged", n] < found["mixed", n] < found["one at a time", n]
        assert found["one at a time", n] < found["swapped", n]
    assert figures.faster(recorded.load("14_latency").data, 8) > 1.5


# --- figures, the drawing, the explorer --------------------------------------------------------


def made_up():
    return {
        "tokens": 3,
        "rows": [
            {"way": way, "adapters": n, "seed": turn, "seconds": n * (i + 1) + turn / 100}
            for n in (1, 2)
            for i, way in enumerate(experiment.WAYS)
            for turn in (1, 2, 3)
        ],
    }


def test_tables_and_figures_draw_every_way():
    table = figures.latency_table(made_up(), "made up")
    assert [row[0] for row in table.rows] == [*experiment.WAYS]
    assert table.rows[0][2:] == ["1,020", "2,020"]
    (axis,) = figures.latency_figure(made_up(), "made up").axes
    assert len(axis.lines) == len(experiment.WAYS)
    assert figures.faster(made_up(), 2, "mixed", "swapped") == pytest.approx(10.02 / 6.02)
    assert figures.by_round(made_up(), 1)["merged"] == {1: 1010.0, 2: 1020.0, 3: 1030.0}


def test_the_drawing_tells_what_it_shows():
    drawing = figures.mixed_batch()
    assert drawing.svg.startswith("<svg") and "ada" in drawing.text and len(drawing.text) > 200


def test_what_fits_on_a_card_is_counted():
    base = 1e9 * explorer.WIDTH / explorer.GIB
    assert explorer.held(10, 1, 1.0, merged=True) == pytest.approx(10 * base)
    assert explorer.held(10, 1, 1.0, merged=False) == pytest.approx(1.1 * base)
    for merged in (True, False):
        n = explorer.most(8, 0.3, 80, merged)
        assert explorer.held(n, 8, 0.3, merged) <= 80 < explorer.held(n + 1, 8, 0.3, merged)
    assert explorer.most(70, 1.0, 24, merged=False) == 0


def test_every_control_of_the_explorer_changes_the_picture():
    (panel,) = explorer.EXPLORERS.values()
    seen = panel.drive()
    for name, control in panel.controls.items():
        shown = {seen[name, value] for value in control.probes()}
        assert len(shown) == 3 and all('<img alt="' in html for html in shown)
