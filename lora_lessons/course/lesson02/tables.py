"""The tables of lesson 02: overlaps and amplification factors, seed by seed."""

from __future__ import annotations

from typing import Any

from ...experiments.lesson02 import PAIRS, UNTRAINED, chance
from ..statistics import gap_table, paired_gaps, plus_minus
from ..tables import Table
from .figures import named

SMALL_LARGE, TWO_LARGE = (pair for pair in PAIRS if pair != UNTRAINED)
KINDS = [(module, of) for module in ("q_proj", "v_proj") for of in ("A", "BA")]


def _arms(result: dict[str, Any], i: int) -> dict[tuple[str, str, str], dict[int, float]]:
    """{(pair, layer, matrix): {seed: overlap of the first i directions}}."""
    return {
        (row["pair"], row["module"], row["of"]): {
            seed: curve[i - 1] for seed, curve in enumerate(row["equal"])
        }
        for row in result["rows"]
    }


def overlaps(result: dict[str, Any]) -> Table:
    """Mean overlap of the first and of all leading directions, with the interval of the mean."""
    last = result["small"]
    first, all_of_them = _arms(result, 1), _arms(result, last)
    rows = [
        [
            named(pair, result),
            f"{module}, {of}",
            *(plus_minus(values[pair, module, of].values()) for values in (first, all_of_them)),
        ]
        for pair, module, of in first
    ]
    by_chance = [chance(n, n, result["width"]) for n in (1, last)]
    rows.append(["chance", "", *(f"{value:.3f}" for value in by_chance)])
    head = ["runs", "layer, matrix", "first direction", f"first {last} directions"]
    return Table(head, rows, "Overlap, mean ± 95 % of the mean, five seeds")


def ranks_apart(result: dict[str, Any], i: int) -> Table:
    """Two runs of the large rank against the small rank and the large one."""
    arms = {_name(key, result): values for key, values in _arms(result, i).items()}
    pairs = [
        (_name((TWO_LARGE, *kind), result), _name((SMALL_LARGE, *kind), result)) for kind in KINDS
    ]
    return _table(arms, pairs, i, "two runs of one rank against two ranks")


def products_and_factors(result: dict[str, Any], i: int) -> Table:
    """The overlap of B A against that of A."""
    arms = {_name(key, result): values for key, values in _arms(result, i).items()}
    pairs = [
        (_name((pair, module, "BA"), result), _name((pair, module, "A"), result))
        for pair in (SMALL_LARGE, TWO_LARGE)
        for module in ("q_proj", "v_proj")
    ]
    return _table(arms, pairs, i, "BA against A")


def _name(key: tuple[str, str, str], result: dict[str, Any]) -> str:
    pair, module, of = key
    return f"{named(pair, result)}: {module} {of}"


def _table(arms: dict[str, Any], pairs: list[tuple[str, str]], i: int, family: str) -> Table:
    many = "the first direction" if i == 1 else f"the first {i} directions"
    return gap_table(paired_gaps(arms, pairs, family), caption=f"Overlap of {many}")


def amplification(rows: list[dict[str, Any]], of: str) -> Table:
    """The norms of W in three kinds of directions, the update's, and the factor."""
    head = ["layer, r", "W in the update's", "in its own", "in random ones", "chance"]
    head += ["times chance", "the update", "factor"]
    keys = ("in_update", "in_own", "in_random", "chance", "over_chance", "update")
    cells = [
        [
            f"{row['layer']}, {row['r']}",
            *(f"{row[key]:.2f}" for key in keys),
            f"{row['factor']:.2f}" + (f" ± {row['half']:.2f}" if row["half"] is not None else ""),
        ]
        for row in rows
    ]
    return Table(head, cells, f"{of}: Frobenius norms, and the amplification factor")


def factor_falls(result: dict[str, Any]) -> Table:
    """The factor at each rank against the next."""
    arms = {f"{_of(row)}": dict(enumerate(row["factor"])) for row in result["rows"]}
    pairs = [(f"{m}, r = {a}", f"{m}, r = {b}") for m in ("q_proj", "v_proj")
             for a, b in ((4, 8), (8, 64))]  # fmt: skip
    family = "each rank against the next"
    return gap_table(paired_gaps(arms, pairs, family), caption="Amplification factor")


def over_chance(result: dict[str, Any]) -> Table:
    """What W holds in the update's directions, in units of chance, against 1."""
    arms = {
        _of(row): {
            seed: held / by_chance
            for seed, (held, by_chance) in enumerate(
                zip(row["in_update"], row["chance"], strict=True)
            )
        }
        for row in result["rows"]
    }
    arms["chance"] = dict.fromkeys(next(iter(arms.values())), 1.0)
    pairs = [(name, "chance") for name in arms if name != "chance"]
    return gap_table(paired_gaps(arms, pairs, "against chance"), caption="W held, times chance")


def _of(row: dict[str, Any]) -> str:
    return f"{row['module']}, r = {row['r']}"
