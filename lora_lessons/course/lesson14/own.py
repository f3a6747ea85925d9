"""Lesson 14's question with the student's own numbers: one mixed batch, grouped and put back.

The layer is made of whole numbers: the base multiplies a row by `base`, and an adapter adds its own
factor times the row. So a result says which rows met which adapter.
"""

from __future__ import annotations

from typing import Any

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw

ADAPTERS = ("ada", "bob", "cyd")
BASE, UNKNOWN = "__base__", "dan"
ROWS = 9


def draw(numbers: Draw) -> dict[str, Any]:
    """Nine rows with the names of their adapters, one of them not loaded, and factors."""
    names = [*ADAPTERS, ADAPTERS[0], ADAPTERS[1], BASE, BASE, UNKNOWN, ADAPTERS[2]]
    for i in range(ROWS - 1, 0, -1):
        j = numbers.whole(0, i)
        names[i], names[j] = names[j], names[i]
    return {
        "names": names,
        "rows": [numbers.whole(10, 99) for _ in range(ROWS)],
        "base": numbers.whole(3, 9),
        "factors": {name: numbers.whole(11, 49) for name in ADAPTERS},
    }


def results(
    names: list[str], rows: list[int], base: int, factors: dict[str, int], unknown: bool = False
) -> list[int]:
    """Each row's result; 0 for a row that is refused. `unknown`: such a row gets the base."""
    served = {*factors, BASE} | ({UNKNOWN} if unknown else set())
    return [
        row * (base + factors.get(name, 0)) if name in served else 0
        for name, row in zip(names, rows, strict=True)
    ]


def weighted(values: list[int]) -> int:
    """The first, plus twice the second, and so on: another order gives another sum."""
    return sum(place * value for place, value in enumerate(values, start=1))


def passes(names: list[str]) -> int:
    """One of the base for the whole batch, and one for each adapter that has a row."""
    return 1 + len({name for name in names if name in ADAPTERS})


def right(names: list[str], rows: list[int], base: int, factors: dict[str, int]) -> tuple[int, int]:
    """The weighted sum of the results in the rows' own order, and the number of passes."""
    return weighted(results(names, rows, base, factors)), passes(names)


def mistakes(
    names: list[str], rows: list[int], base: int, factors: dict[str, int]
) -> dict[str, Numbers]:
    """What each mistake gives."""
    found = results(names, rows, base, factors)
    grouped = [
        value
        for wanted in dict.fromkeys(names)
        for name, value in zip(names, found, strict=True)
        if name == wanted
    ]
    dropped = [0 if name == BASE else value for name, value in zip(names, found, strict=True)]
    again = [
        value + (len(factors) - 1) * base * row if name != UNKNOWN else 0
        for name, row, value in zip(names, rows, found, strict=True)
    ]
    alone = [
        value - base * row if name in factors else value
        for name, row, value in zip(names, rows, found, strict=True)
    ]
    first = sum((place - 1) * value for place, value in enumerate(found, start=1))
    left_out = [value for name, value in zip(names, found, strict=True) if name != UNKNOWN]
    return {
        "The results are in the order of the groups: put each back into its own row.": (
            weighted(grouped),
            None,
        ),
        "The base's own rows are dropped: they want no adapter, but an answer.": (
            weighted(dropped),
            None,
        ),
        "The unknown adapter's row is served by the base: refuse it.": (
            weighted(results(names, rows, base, factors, unknown=True)),
            None,
        ),
        "The refused row is left out, so those after it moved up: its place stays, with 0.": (
            weighted(left_out),
            None,
        ),
        "The base is added once for each adapter. It runs once for the batch.": (
            weighted(again),
            None,
        ),
        "The adapters' rows lack the base: an adapter adds to it.": (weighted(alone), None),
        "The places are counted from 0. The first row counts once.": (first, None),
        "The results are not weighted by their places.": (sum(found), None),
        "The base's pass is left out.": (None, passes(names) - 1),
        "The unknown adapter makes no pass, and the base makes one for all.": (
            None,
            passes(names) + 1,
        ),
        "These are the rows. Rows of one adapter share a pass.": (None, ROWS),
        "The base runs once for the batch, not once for each adapter.": (
            None,
            2 * (passes(names) - 1),
        ),
    }


MY_BATCH = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_batch",
    title="14.6 A batch of your own",
    points=2,
    minutes=6,
    hints=(
        "Make a list of nine results, all 0. Group the row numbers by name, compute each group, "
        "and write each result back at its row number.",
        "A row's result is row * (base + factor of its adapter); the base's own rows have no "
        "factor; the row of an adapter that is not loaded keeps 0.",
        "First number: 1 * results[0] + 2 * results[1] + ... Second: one pass of the base for the "
        "batch, and one for each loaded adapter that has a row.",
    ),
)
