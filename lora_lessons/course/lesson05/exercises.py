"""Lesson 05, target modules: exercises with their checks and hints, and the review cards.

The checks of names (5.1 to 5.4) are in `checks.lesson05`; the budget and the fused layer follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..cards import Card
from ..checks.core import Exercise, Wrong, expect
from .checks import check_all_linear, check_in_blocks, check_is_target, check_not_found
from .own import MY_TARGETS

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
    _at_least_one(answer(list(shapes), cost // 5))


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
        "A or B is left out: both train.": round(budget / sum(in_ for _, in_ in shapes)),
        "A or B is left out: both train. ": round(budget / sum(out for out, _ in shapes)),
    }
    for message, value in mistakes.items():
        if actual in (value, max(1, value)):
            raise Wrong(message.strip())
    raise Wrong(
        f"For the budget {budget:,d} the nearest rank is {right}; got {actual}. It is not the same "
        "for every choice of layers."
    )


def _at_least_one(actual: Any) -> None:
    if actual != 1:
        raise Wrong(f"A rank is 1 at least, also for a tiny budget; got {actual!r}.")


# --- 5.6 -------------------------------------------------------------------------------------


def check_fused_update(answer: Callable[..., Any], rng: torch.Generator) -> None:
    groups = int(torch.randint(2, 4, (1,), generator=rng))
    sizes, width, scaling = {"q": 7 * groups, "k": 7, "v": 7}, 31, 7 / 3
    # not in the order of the parts, and k is switched off
    factors = {part: _factors(rng, sizes[part], width, 3) for part in ("v", "q")}
    result = answer(dict(sizes), dict(factors), scaling)
    if isinstance(result, Tensor) and len(result) == sizes["q"] + sizes["v"]:
        raise Wrong("The rows of k are missing: a part that is switched off has an update of zero.")
    _compare_fused(result, sizes, factors, scaling)
    ranks = {"q": 2, "k": 1, "v": 4}
    factors = {part: _factors(rng, sizes[part], width, r) for part, r in ranks.items()}
    _check_another_order(answer, sizes, factors, scaling)


def _check_another_order(
    answer: Callable[..., Any],
    sizes: dict[str, int],
    factors: dict[str, tuple[Tensor, Tensor]],
    scaling: float,
) -> None:
    """All three are on, and v lies first: neither the names nor the factors say where."""
    rows, other = sum(sizes.values()), {part: sizes[part] for part in ("v", "q", "k")}
    expect(
        answer(dict(other), dict(factors), scaling),
        _placed(_starts(other), factors, scaling, rows),
        k=31,
        mistakes={
            "The parts lie in the order of `sizes`: v, q, k here. Do not write the order down.": (
                _placed(_starts(sizes), factors, scaling, rows)
            ),
        },
    )


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
    expect(
        result,
        _placed(starts, factors, scaling, rows),
        k=31,
        mistakes={
            "The scaling is missing.": _placed(starts, factors, 1.0, rows),
            "The scaling is there twice.": _placed(starts, factors, scaling**2, rows),
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


EXERCISES = [
    Exercise(
        name="is_target",
        title="5.1 What a name must be to match",
        points=2,
        minutes=6,
        hints=(
            "isinstance(targets, str) tells the two rules apart.",
            "For a list: the name is the entry, or it ends with a dot and the entry.",
            "A string: re.fullmatch(targets, name) is not None. A list: "
            'any(name == entry or name.endswith("." + entry) for entry in targets).',
        ),
        check=check_is_target,
    ),
    Exercise(
        name="in_blocks",
        title="5.2 In which block",
        points=1,
        minutes=5,
        hints=(
            'name.split(".") gives the words between the dots.',
            "word.isdigit() is True for a word that is a whole number. Take the first such word.",
            'numbers = [int(word) for word in name.split(".") if word.isdigit()]; then ask whether '
            "there is a first one and whether it is in the list.",
        ),
        check=check_in_blocks,
    ),
    Exercise(
        name="all_linear",
        title="5.3 Every linear layer but one",
        points=2,
        minutes=5,
        hints=(
            "model.named_modules() gives every module with its full name.",
            "Ask the type, isinstance(module, torch.nn.Linear), not the name.",
            "Compare the module itself: `module is not model.get_output_embeddings()`.",
        ),
        check=check_all_linear,
    ),
    Exercise(
        name="not_found",
        title="5.4 The entries that matched nothing",
        points=2,
        minutes=5,
        hints=(
            "Look for each entry by itself, in all the names.",
            "An entry is found if some name is the entry, or ends with a dot and the entry.",
            "[entry for entry in entries if not any(... for name in names)]",
        ),
        check=check_not_found,
    ),
    Exercise(
        name="rank_for_budget",
        title="5.5 The rank for a budget",
        points=2,
        minutes=6,
        hints=(
            "What does one rank cost? Each layer adds in + out numbers for it.",
            "Add that up over all layers, divide the budget by it, and round to the nearest.",
            "cost = sum(out + in_ for out, in_ in shapes); max(1, round(budget / cost)).",
        ),
        check=check_rank_for_budget,
    ),
    Exercise(
        name="fused_update",
        title="5.6 A fused layer, part by part",
        points=3,
        minutes=8,
        hints=(
            "The update of the fused layer is the parts' updates, one below the other.",
            "A part without factors has an update of zeros, with as many rows as its size.",
            "Make a list of blocks in the order of sizes: scaling * B @ A, or zeros(size, in). "
            "torch.cat(blocks) puts them one below the other.",
        ),
        check=check_fused_update,
    ),
    MY_TARGETS,
]

CARDS = [
    Card(
        'target_modules=["proj"]: which of q_proj, up_proj and proj get an adapter?',
        "proj alone. An entry of a list must be the full name or what follows a dot in it.",
    ),
    Card(
        "When is target_modules a regular expression?",
        "When it is one string, and it must fit the full name. Inside a list an entry is plain "
        "text: a pattern there matches nothing.",
    ),
    Card(
        'Which linear layer does "all-linear" leave out, and how is it found?',
        "The output layer of a language model. get_output_embeddings() finds it, not its name.",
    ),
    Card(
        "You misspell one of two target modules. What happens?",
        "In PEFT nothing: the other one trains, and the loss falls a little less. Here: an error "
        "with the nearest name. So read the report of what matched, or count what trains.",
    ),
    Card(
        "How are two choices of target modules compared fairly?",
        "At one number of trained parameters, r (in + out) summed over the layers, each at its own "
        "best learning rate, over several seeds.",
    ),
    Card(
        "What is special about LoRA on a fused qkv layer?",
        "A plain adapter shares its A among q, k and v. With an own A and a block of B for each, "
        "parts can have their own rank or none.",
    ),
]
