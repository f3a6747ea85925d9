"""The search for a number's source: what counts as a number, as a source, as the same rounding."""

from __future__ import annotations

from decimal import Decimal

import pytest
from check_numbers import (
    Value,
    arithmetic,
    checked,
    constants,
    leaves,
    named_value,
    numbers_in,
    printed,
)


def written(text, exercises=()):
    return [one.name for one in numbers_in(text, "here", exercises)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("falls from 4.218 to 4.086.", ["4.218", "4.086"]),
        (
            "is $0.38 \\pm 0.07$ and 0.05 ± 0.02, 1.5 +- 0.1",
            ["0.38 ± 0.07", "0.05 ± 0.02", "1.5 ± 0.1"],
        ),
        ("12,345.6 and .5 and 3", ["12,345.6"]),
        ("Exercise 4.5, section 7.2, tables 5.1 and 6.2; PEFT 0.21, lesson 3.1", []),
        ("arXiv 2106.09685, version 2.11, 0.21.2", []),
        ("[the paper](https://x.org/1.5) `lr=0.001` <b style='x: 1.5'>2.5</b>", ["2.5"]),
        ("your 4.2 of exercise 4.2", []),
    ],
)
def test_which_numbers_are_looked_for(text, found):
    assert written(text, ["4.2"]) == found


def is_from(text, output):
    (one,) = numbers_in(text, "here")
    return any(one.comes_from(value) for value in printed(output, "output"))


@pytest.mark.parametrize(
    ("text", "output", "same"),
    [
        ("4.17", "loss 4.1704", True),
        ("4.17", "loss 4.1651", True),
        ("4.17", "loss 4.165", True),  # either way at a half
        ("4.17", "loss 4.1649", False),
        ("4.170", "loss 4.17", True),
        ("4.171", "loss 4.17", False),
        ("0.50", "1/2 = 0.499", True),
        ("0.5", "-0.5", True),
        ("0.78 %", "share 0.0078", True),
        ("0.78 %", "0.78 %", True),
        ("0.78", "share 0.0078", False),
        ("5.5 M", "5,521,664 numbers", True),
        ("5.6 M", "5,521,664 numbers", False),
        ("0.0000012", "1.2e-06", True),
        ("0.050 ± 0.041", "0.0502 ± 0.0409", True),
        ("0.050 ± 0.041", "0.0502 +- 0.0409", True),
        ("0.050 ± 0.041", "0.0502 and 0.0409", False),
        ("0.050 ± 0.041", "0.0502 ± 0.032", False),
        ("4.17", 'src="data:image/png;base64,4.17"', False),
    ],
)
def test_which_output_is_a_source(text, output, same):
    assert is_from(text, output) is same


def test_a_recording_gives_its_values_but_not_its_long_lists():
    data = {"lr": 0.001, "ok": True, "runs": [{"best": 4.5}] * 13, "few": [1.5, {"r = 0.25": 2}]}
    assert {str(v.value) for v in leaves(data, "run") if v.decimals == 99} == {"0.001", "1.5", "2"}


def test_code_gives_its_constants():
    assert [str(v.value) for v in constants("x = 0.01\ny = 'a 3.5'", "code")] == ["0.01"]


def test_a_number_without_a_source_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("check_numbers.ROOT", tmp_path)
    folder = tmp_path / "tests" / "number_sources"
    folder.mkdir(parents=True)
    (folder / "03.yml").write_text('"70.4": Hu and others 2021, table 5\n')
    found = checked(
        "03", numbers_in("70.4, 1.25 and 9.5", "here"), [Value(Decimal("9.5"), 1, "out")]
    )
    assert [(one.text, source) for one, source in found.items()] == [
        ("70.4", "Hu and others 2021, table 5"),
        ("1.25", None),
        ("9.5", "out"),
    ]


def test_a_computed_source_must_compute():
    assert named_value("21.6", "= 6.91 / 0.32") and not named_value("21.5", "= 6.91 / 0.32")
    assert named_value("70.4", "Hu and others 2021, table 5") and not named_value("70.4", "Hu")
    assert arithmetic("2 * (3 - 1) ** 2") == 8
    with pytest.raises(ValueError, match="only numbers and"):
        arithmetic("__import__('os')")
