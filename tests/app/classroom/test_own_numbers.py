"""A student's own numbers are judged from the answer's text, in no process of the notebook's."""

from __future__ import annotations

import shutil

import pytest

import lora_lessons as ll
from lora_lessons.app.classroom import isolation
from lora_lessons.app.classroom.own_numbers import (
    NO_NUMBER,
    NOT_THEIRS,
    fault_of_own,
    last_definition,
)

OWN = ll.lesson("01").exercises["my_budget"].own
(ADA,) = OWN.right(**OWN.of("ada", "01"))
(BOB,) = OWN.right(**OWN.of("bob", "01"))


@pytest.fixture
def room():
    made = isolation.make_room("none", "ada", "01")
    yield made
    made.remove()


def fault(room, *cells, name="my_budget", student="ada"):
    return fault_of_own(name, cells, student, "01", "none", room)


@pytest.mark.parametrize(
    "source",
    [
        f"def my_budget():\n    return {ADA}",
        f"def my_budget():\n    return {ADA // 2} * 2 + {ADA % 2}",
        f"my_budget = lambda: {ADA}",
        f"def my_budget():\n    t = 0\n    for i in range(1):\n        t += {ADA}\n    return [t]",
        f"import functools\n@functools.cache\ndef my_budget() -> 'x':\n    return pow({ADA}, 1)",
        f"%%time\ndef my_budget():\n    return {ADA}",
        f"%%capture out\ndef my_budget():\n    return {ADA}",
        f"%time 1\ndef my_budget():\n    return round(math.sqrt({ADA}) ** 2)",
    ],
)
def test_numbers_and_arithmetic_count(room, source):
    assert fault(room, "def (", source, "print(my_budget())") is None


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ([f"def my_budget():\n    return {BOB}"], NOT_THEIRS),
        ([f"def my_budget():\n    return {ADA}, {ADA}"], NOT_THEIRS),
        ([f"exec('def made():\\n    return {ADA}')", "my_budget = made"], NO_NUMBER),
        ([f"def my_budget():\n    return {ADA}", "exec('x')\nmy_budget = other"], NO_NUMBER),
        ([f"def my_budget():\n    return {ADA}", "from x import my_budget"], NO_NUMBER),
        ([f"N = {ADA}", "def my_budget():\n    return N"], NO_NUMBER),
        (["def my_budget():\n    import os\n    return os.getpid()"], NO_NUMBER),
        (["def my_budget():\n    return ().__class__"], NO_NUMBER),
        (["def my_budget():\n    return True"], NO_NUMBER),
        (["x = 1"], NO_NUMBER),
    ],
)
def test_all_else_does_not(room, cells, says):
    assert fault(room, *cells) == says


def test_an_exercise_without_own_numbers_has_no_such_fault(room):
    assert fault(room, "x = 1", name="best_rank_k") is None


def test_what_does_not_end_is_ended(room, monkeypatch):
    monkeypatch.setattr("lora_lessons.app.classroom.own_numbers.SECONDS", 0.5)
    assert fault(room, "def my_budget():\n    while True:\n        pass") == NO_NUMBER


def test_the_last_one_counts():
    cells = ["def f():\n    return 1", "if True:\n    x = 1", "def f():\n    return 2"]
    assert last_definition("f", cells) == "def f():\n    return 2"
    assert last_definition("f", [*cells, "for f in []:\n    pass"]) is None


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="no bubblewrap here")
def test_in_the_sandbox_too(tmp_path):
    if isolation.choose(tmp_path, "auto")[0] != "sandbox":
        pytest.skip("bubblewrap does not isolate here")
    room = isolation.make_room("sandbox", "ada", "01")
    room.give_to_account()
    source = f"def my_budget():\n    return sum([{ADA}])"
    assert fault_of_own("my_budget", [source], "ada", "01", "sandbox", room) is None
    room.remove()
