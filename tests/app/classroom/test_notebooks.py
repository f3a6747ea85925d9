"""Reading whatever is handed in as a notebook."""

from __future__ import annotations

import codecs
import json

import pytest

from lora_lessons.app.classroom import notebooks
from lora_lessons.app.classroom.notebooks import grade_id, lesson_of, parse_notebook

CELL = {"cell_type": "code", "metadata": {}, "source": "1", "outputs": [], "execution_count": 1}


def text(cells=None, **fields) -> str:
    cells = [CELL] if cells is None else cells
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4} | fields)


@pytest.mark.parametrize(
    "raw",
    [
        text().encode(),
        codecs.BOM_UTF8 + text().encode(),
        text().encode("utf-16"),
        text(metadata=None).encode(),
        text(cells=[{**CELL, "source": ["1"]}]).encode(),
        text(cells=[{"cell_type": "code", "source": "1"}]).encode(),
        text(cells=[{**CELL, "metadata": None, "outputs": 3}]).encode(),
        json.dumps(
            {
                "nbformat": 3,
                "nbformat_minor": 0,
                "metadata": {"name": ""},
                "worksheets": [
                    {"cells": [{"cell_type": "code", "language": "python", "input": "1"}]}
                ],
            }
        ).encode(),
    ],
)
def test_every_encoding_version_and_editor_is_read(raw):
    (cell,) = parse_notebook(raw).cells
    assert (cell.source, cell.cell_type) == ("1", "code")


def test_the_line_ends_of_windows_are_those_of_the_release():
    (cell,) = parse_notebook(text([{**CELL, "source": "a\r\nb"}]).encode()).cells
    assert cell.source == "a\nb"


@pytest.mark.parametrize("raw", [b"", b"not json", b"[]", b"{}", b'{"cells": 3}', b"\xff\xfe\x00"])
def test_what_is_no_notebook_is_refused_in_one_sentence(raw):
    with pytest.raises(ValueError, match="is not a notebook: ask for the file again"):
        parse_notebook(raw)


def test_a_file_of_an_odd_size_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(notebooks, "LARGEST", 10)
    with pytest.raises(ValueError, match="without its outputs"):
        parse_notebook(text().encode())


@pytest.mark.parametrize("about", [None, [], "x", {}, {"grade_id": None}, {"grade_id": 3}])
def test_metadata_without_an_id_has_none(about):
    (cell,) = parse_notebook(text([{**CELL, "metadata": {"nbgrader": about}}]).encode()).cells
    assert grade_id(cell) is None


def test_the_lesson_is_told_by_the_cells_and_not_by_the_name():
    def with_ids(*names):
        cells = [{**CELL, "metadata": {"nbgrader": {"grade_id": name}}} for name in names]
        return parse_notebook(text(cells).encode())

    releases = {"01_a": with_ids("x", "y"), "02_b": with_ids("z", "w")}
    assert lesson_of(with_ids("x", "z", "w"), releases) == "02_b"
    assert lesson_of(with_ids("q"), releases) is None
    assert lesson_of(with_ids("x"), {}) is None
