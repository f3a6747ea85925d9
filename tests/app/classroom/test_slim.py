"""Which cells need not run for the marks."""

from __future__ import annotations

import nbformat
import pytest

from lora_lessons.app.classroom.slim import left_out, names_of


def cells(*sources: str):
    """Code cells; one that begins with # NAME is graded under that id."""
    made = []
    for source in sources:
        about = {"nbgrader": {"grade_id": source[2:].split("\n")[0]}} if source[:2] == "# " else {}
        made.append(nbformat.v4.new_code_cell(source, metadata=about))
    return made


RELEASED = cells(
    "import torch",
    "def helper(): pass",
    "model = helper()",
    "history = train(model)",
    "plot(history)",
    "# answer\ndef answer(): ...",
    "# check_answer\ncheck(answer)",
)


def test_what_no_answer_reads_is_left_out():
    assert left_out(RELEASED, RELEASED) == {1, 2, 3, 4}


def test_what_an_answer_reads_and_what_that_reads_is_kept():
    handed_in = [*RELEASED[:5], *cells("# answer\ndef answer(): return model"), RELEASED[6]]
    assert left_out(handed_in, RELEASED) == {3, 4}


def test_cells_of_the_students_own_are_kept_and_so_is_what_they_read():
    handed_in = [*RELEASED, *cells("print(history)")]
    assert left_out(handed_in, RELEASED) == {4}
    changed = [*RELEASED[:4], *cells("plot(history, size=3)"), *RELEASED[5:]]
    assert left_out(changed, RELEASED) == set()


def test_what_an_answer_under_a_magic_reads_is_kept():
    answer = nbformat.v4.new_code_cell("%%time\ndef answer(): return model")
    answer.metadata.nbgrader = {"grade_id": "answer"}
    assert left_out([*RELEASED[:5], answer, RELEASED[6]], RELEASED) == {3, 4}


def test_the_first_code_cell_is_kept():
    assert 0 not in left_out(RELEASED, RELEASED)


@pytest.mark.parametrize(
    ("source", "bound"),
    [
        ("a = 1", {"a"}),
        ("a.b = 1", {"a"}),
        ("a[0].b += 1", {"a"}),
        ("for a in x: pass", {"a"}),
        ("import a.b as c, d.e", {"c", "d"}),
        ("with x as a: pass", {"a"}),
        ("class A: pass", {"A"}),
        ("(a := 1)", {"a"}),
        ("del a", {"a"}),
        ("from x import a", {"a"}),
        ("def a(b):\n    c = 1", {"a"}),
        ("def a():\n    global b\n    b = 1", {"a", "b"}),
    ],
)
def test_every_way_to_bind_a_name_counts(source, bound):
    assert names_of(source)[0] == bound


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("def f(a, b=c):\n    U, S = a\n    return U + g", {"c", "g"}),
        ("[a for a in b]", {"b"}),
        ("class A(B):\n    def f(self): return C", {"B", "C"}),
        ("a.b = c", {"a", "c"}),
        ("lambda a: a + b", {"b"}),
        ("def f():\n    def g(): return a\n    return g", {"a"}),
    ],
)
def test_only_global_names_are_read(source, read):
    assert names_of(source)[1] == read


def test_a_cell_that_is_no_python_is_kept():
    magic = cells("%matplotlib inline")
    assert left_out([*RELEASED, *magic], [*RELEASED, *magic]) == {1, 2, 3, 4}
