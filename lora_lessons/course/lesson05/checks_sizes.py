"""The checks of lesson 05's sizes: the rank for a budget, a fused layer part by part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect

# --- 5.5 -------------------------------------------------------------------------------------


def check_rank_for_budget(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """Grouped-query attention: k and v are narrower than q, and the MLP is wider."""
    groups, blocks = torch.randint(2, 6, (2,), generator=rng).tolist()
    width = 24 * groups
    q, v, up = (width, width), (width // groups, width), (3 * width + 1, width)
    for shapes in ([v, q] * blocks, [up, up[::-1]] * blocks, [q, v, up] * blocks):
        cost = sum(out + in_ for out, in_ in shapes)
        r = int(torch.randint(40, 80, (1,), generator=rng))  # large: no two mistakes agree
        # a third of a rank below and above: the nearest is r both times
        for budget in (r * cost + cost // 3, r * cost - cost // 3):
            _whole_rank(answer(list(shapes), budget), r, shapes, budget)
        small = int(torch.randint(2, 5, (1,), generator=rng))
        _whole_rank(answer(list(shapes), small * cost), small, shapes, small * cost)
    for budget in (cost // 5, 0, cost + cost // 3):
        _at_least_one(answer(list(shapes), budget), budget)
    _one_layer(answer, up)


def _one_layer(answer: Callable[..., Any], shape: tuple[int, int]) -> None:
    """A single layer, and a budget so large that the rank exceeds its sides."""
    cost = sum(shape)
    for r in (5, cost + 3):
        _whole_rank(answer([shape], r * cost + 1), r, [shape], r * cost + 1)


def _whole_rank(actual: Any, right: int, shapes: list[tuple[int, int]], budget: int) -> None:
    if isinstance(actual, bool) or not isinstance(actual, int):
        raise Wrong(f"Return an int, a rank; got {type(actual).__name__}.")
    if actual == right:
        return
    first = sum(shapes[0])
    mistakes = {
        "This counts in x out for each layer, the size of W. B and A hold r (in + out).": round(
            budget / sum(out * in_ for out, in_ in shapes)
        ),
        "This takes every layer for as large as the first. With grouped-query attention k and v "
        "are narrower than q: add up (in + out) layer by layer.": round(
            budget / (first * len(shapes))
        ),
        "This is the rank for the first layer alone. The budget is for all layers together.": round(
            budget / first
        ),
        "This rounds down. Return the nearest: one rank more is closer to the budget.": (
            budget // sum(map(sum, shapes))
        ),
        "This rounds up. Return the nearest: one rank less is closer to the budget.": -(
            -budget // sum(map(sum, shapes))
        ),
        "This takes every layer for square, or for as large as the last. They differ: add up "
        "(in + out) layer by layer.": round(budget / (sum(shapes[-1]) * len(shapes))),
        "This counts layers of one shape once. Each of them has its own A and B.": round(
            budget / sum(map(sum, set(shapes)))
        ),
        "This is half of it: one rank costs in + out for each layer, not twice that.": round(
            budget / (2 * sum(map(sum, shapes)))
        ),
        "W is counted too. It is frozen: A and B alone train.": round(
            budget / sum(out * in_ + out + in_ for out, in_ in shapes)
        ),
        "This divides by the number of layers too. The sum of (in + out) over all layers is the "
        "cost of one rank already.": round(budget / len(shapes) / sum(map(sum, shapes))),
        "This is the mean of a rank for each layer by itself. All layers share one rank, so their "
        "costs are added up before the division.": round(
            sum(budget / len(shapes) / sum(shape) for shape in shapes) / len(shapes)
        ),
        "A or B is left out: both train.": round(budget / sum(in_ for _, in_ in shapes)),
        "A or B is left out: both train. ": round(budget / sum(out for out, _ in shapes)),
    }
    for message, value in mistakes.items():
        if actual in (value, max(1, value)):
            raise Wrong(message.strip())
    if actual in (64, min((2**i for i in range(12)), key=lambda r: abs(r - right))):
        raise Wrong(
            f"For the budget {budget:,d} the nearest rank is {right}; got {actual}. Does the "
            "search stop there, or try powers of two alone? Any whole number is a rank."
        )
    raise Wrong(
        f"For the budget {budget:,d} the nearest rank is {right}; got {actual}. It is not the same "
        "for every choice of layers."
    )


def _at_least_one(actual: Any, budget: int) -> None:
    if isinstance(actual, bool) or not isinstance(actual, int):
        raise Wrong(f"Return an int, a rank; got {type(actual).__name__}.")
    if actual < 1:
        raise Wrong(f"A rank is 1 at least, also for a tiny budget; got {actual!r}.")
    if actual > 1:
        raise Wrong(f"For the budget {budget:,d} the nearest rank is 1; got {actual}.")


# --- 5.6 -------------------------------------------------------------------------------------


def check_fused_update(answer: Callable[..., Any], rng: torch.Generator) -> None:
    groups = int(torch.randint(2, 4, (1,), generator=rng))
    sizes, width, scaling = {"q": 7 * groups, "k": 7, "v": 7}, 31, 7 / 3
    # not in the order of the parts, and k is switched off
    factors = {part: _factors(rng, sizes[part], width, 5) for part in ("v", "q")}
    result = answer(dict(sizes), dict(factors), scaling)
    if isinstance(result, Tensor) and len(result) == sizes["q"] + sizes["v"]:
        raise Wrong("The rows of k are missing: a part that is switched off has an update of zero.")
    _compare_fused(result, sizes, factors, scaling)
    if result[sizes["q"] : sizes["q"] + sizes["k"]].any():
        raise Wrong("k is switched off, and its rows are not zero: only nearly so.")
    ranks = {"q": 2, "k": 1, "v": 4}
    factors = {part: _factors(rng, sizes[part], width, r) for part, r in ranks.items()}
    _check_another_order(answer, sizes, factors, scaling)
    _check_other_parts(answer, rng)


def _check_another_order(
    answer: Callable[..., Any],
    sizes: dict[str, int],
    factors: dict[str, tuple[Tensor, Tensor]],
    scaling: float,
) -> None:
    """All three are on, and v lies first: neither the names nor the factors say where."""
    rows, other = sum(sizes.values()), {part: sizes[part] for part in ("v", "q", "k")}
    _expect_parts(
        answer(dict(other), dict(factors), scaling),
        other,
        factors,
        scaling,
        {
            "The parts lie in the order of `sizes`: v, q, k here. Do not write the order down.": (
                _placed(_starts(sizes), factors, scaling, rows)
            ),
        },
    )


def _check_other_parts(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """Other names and numbers of parts: one part alone is on, or not the first."""
    sizes, scaling = {"gate": 5, "k": 2, "up": 9, "v": 3}, 2
    for on in (("gate",), ("v", "up")):
        factors = {part: _factors(rng, sizes[part], 13, 1 + i) for i, part in enumerate(on)}
        result = answer(dict(sizes), dict(factors), scaling)
        if isinstance(result, Tensor) and len(result) < sum(sizes.values()):
            raise Wrong(
                f"Of the parts {', '.join(sizes)} these are on: {', '.join(on)}. The others' rows "
                "are zeros, and they are there."
            )
        unscaled = {"The scaling is missing.": _placed(_starts(sizes), factors, 1.0, 19)}
        _expect_parts(result, sizes, factors, scaling, unscaled)


def _expect_parts(
    result: Any,
    sizes: dict[str, int],
    factors: dict[str, tuple[Tensor, Tensor]],
    scaling: float,
    mistakes: dict[str, Tensor],
) -> None:
    """`expect`; where no mistake was named, the message says which part is wrong, and how."""
    right = _placed(_starts(sizes), factors, scaling, sum(sizes.values()))
    try:
        expect(result, right, k=right.shape[1], mistakes=mistakes)
    except Wrong as error:
        if not str(error).startswith(("Expected", "It is 0")):
            raise
        raise Wrong(_wrong_part(result.detach().double(), right, sizes, set(factors))) from error


def _wrong_part(result: Tensor, right: Tensor, sizes: dict[str, int], on: set[str]) -> str:
    """The first part whose rows differ, and whether they are zero."""
    parts, number = f"Of the parts {', '.join(sizes)}", "these are" if len(on) > 1 else "this is"
    if any(torch.allclose(result.roll(by, 0), right, atol=1e-3) for by in (1, -1)):
        return "All rows lie one too high or too low: a part begins where the one before ends."
    given = f"{parts} {number} on: {', '.join(p for p in sizes if p in on)}."
    for part, start in _starts(sizes).items():
        rows = slice(start, start + sizes[part])
        if (result[rows] - right[rows]).abs().max() <= 1e-3:
            continue
        where = f"{given} {part} has the rows {rows.start} to {rows.stop - 1},"
        if part not in on:
            return f"{where} and they are not zero: a part that is off has an update of zero."
        if not result[rows].any():
            return f"{where} and they are all zero: each part that is on gets its own update."
        return f"{where} and they are not scaling * B A of its own factors."
    return given


def _factors(rng: torch.Generator, out: int, in_: int, r: int) -> tuple[Tensor, Tensor]:
    """A (r, in) and B (out, r)."""
    return torch.randn(r, in_, generator=rng), torch.randn(out, r, generator=rng)


def _starts(sizes: dict[str, int]) -> dict[str, int]:
    """The first row of each part, in the order of `sizes`."""
    names = list(sizes)
    return {name: sum(sizes[before] for before in names[:i]) for i, name in enumerate(names)}


def _placed(
    starts: dict[str, int],
    factors: dict[str, tuple[Tensor, Tensor]],
    scaling: float,
    rows: int,
) -> Tensor:
    """Each part's product at its first row, zero elsewhere: (rows, in) in float64."""
    A, _ = next(iter(factors.values()))
    update = torch.zeros(rows, A.shape[1], dtype=torch.float64)
    for part, (A, B) in factors.items():
        rows_of_part = slice(starts[part], starts[part] + len(B))
        update[rows_of_part] = scaling * torch.einsum("or,ri->oi", B.double(), A.double())
    return update


def _compare_fused(
    result: Any,
    sizes: dict[str, int],
    factors: dict[str, tuple[Tensor, Tensor]],
    scaling: float,
) -> None:
    rows, starts = sum(sizes.values()), _starts(sizes)
    q, k, v = sizes.values()
    shared = {
        name: {part: (factors[name][0], B) for part, (_, B) in factors.items()} for name in factors
    }
    thirds = {part: i * (rows // 3) for i, part in enumerate(sizes)}
    _expect_parts(
        result,
        sizes,
        factors,
        scaling,
        {
            "The scaling is missing.": _placed(starts, factors, 1.0, rows),
            "The scaling is there twice.": _placed(starts, factors, scaling**2, rows),
            "The scaling is alpha / r already: do not divide by r again.": (
                _placed(starts, factors, scaling / 5, rows)
            ),
            "The scaling was divided by the number of parts: each part has the whole of it.": (
                _placed(starts, factors, scaling / 3, rows)
            ),
            "The scaling was shared among the parts that are on: each has the whole of it.": (
                _placed(starts, factors, scaling / 2, rows)
            ),
            "This divides by the scaling: multiply by it.": (
                _placed(starts, factors, 1 / scaling, rows)
            ),
            "The scaling was cut to a whole number: it may be any number.": (
                _placed(starts, factors, int(scaling), rows)
            ),
            "The parts lie in the order of `sizes`, not in that of the alphabet.": (
                _placed({"k": 0, "q": k, "v": k + q}, factors, scaling, rows)
            ),
            "This begins with the last part. The first of `sizes` lies on top.": (
                _placed({"v": 0, "k": v, "q": v + k}, factors, scaling, rows)
            ),
            "The parts lie in the order of `sizes`: q, k, v. Here v lies where k belongs.": (
                _placed({"q": 0, "v": q, "k": q + v}, factors, scaling, rows)
            ),
            "The parts lie in the order of `sizes`, not in that of `factors`.": (
                _placed({"v": 0, "q": v, "k": v + q}, factors, scaling, rows)
            ),
            "The parts are not thirds: k and v are narrower than q. Add up the sizes.": (
                _placed(thirds, factors, scaling, rows)
            ),
            "Every part has an A of its own: here q's is used for all.": (
                _placed(starts, shared["q"], scaling, rows)
            ),
            "Every part has an A of its own: here v's is used for all.": (
                _placed(starts, shared["v"], scaling, rows)
            ),
        },
    )
