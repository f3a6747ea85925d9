"""Lesson 09, save, merge and switch: exercises with their checks and hints, and the cards.

The checks on one adapter (9.1 to 9.4) are in `checks.lesson09`, that of the tied layer (9.7) in
`checks.lesson09_tied`; those on several adapters follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..cards import Card
from ..checks.core import Exercise, Wrong, expect
from .checks import (
    check_ExactMerge,
    check_file_tensors,
    check_load_strictly,
    check_merge_rounded,
    draw,
)
from .checks_tied import check_merge_into_head
from .own import MY_MERGE

# --- 9.5 -------------------------------------------------------------------------------------

OUT, IN, TIME = 13, 11, 3
SCALINGS = {"sea": 0.5, "land": 2.0}
NAMES = ["sea", None, "land", "sea", "land", None, "sea"]


def check_serve_batch(answer: Callable[..., Any], rng: torch.Generator) -> None:
    linear = nn.Linear(IN, OUT)
    with torch.no_grad():
        linear.weight.copy_(draw(rng, OUT, IN))
        linear.bias.copy_(draw(rng, OUT))
    x = draw(rng, len(NAMES), TIME, IN)
    adapters = {
        name: (draw(rng, r, IN), draw(rng, OUT, r), SCALINGS[name])
        for name, r in (("sea", 2), ("land", 3))
    }
    calls, weight = [], linear.weight.detach().clone()
    linear.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        y = answer(x.clone(), linear, dict(adapters), list(NAMES))
        base, updates = _serve_parts(x, linear, adapters)
    right, mistakes = _served(base, updates, linear.bias.double())
    if not torch.equal(linear.weight, weight):
        raise Wrong(
            "linear.weight was changed. Merge nothing: the weight is the same for all rows."
        )
    _check_order(y, right)
    expect(y, right, k=IN, mistakes=mistakes)
    if len(calls) > 1:
        raise Wrong(
            f"The base ran {len(calls)} times. It is the costly part, and the same for all rows: "
            "run it once on the whole batch."
        )
    if not calls:
        raise Wrong(
            "linear was not called. Run it once, linear(x), and add each row's branch to what it "
            "gives: a weight of its own for each row costs a whole matrix a row."
        )


def _serve_parts(
    x: Tensor, linear: nn.Linear, adapters: dict[str, tuple]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The base's output and each adapter's update for every row: (batch, time, out), float64."""
    x = x.double()
    base = x @ linear.weight.double().T + linear.bias.double()
    return base, {n: s * (x @ A.double().T @ B.double().T) for n, (A, B, s) in adapters.items()}


def _served(
    base: Tensor, updates: dict[str, Tensor], bias: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """What is right, and what each mistake gives: (batch, time, out)."""
    none = torch.zeros_like(base)
    own = torch.stack([updates.get(name, none)[i] for i, name in enumerate(NAMES)])
    unscaled = torch.stack(
        [update / SCALINGS.get(n, 1) for n, update in zip(NAMES, own, strict=True)]
    )
    has_one = torch.tensor([name is not None for name in NAMES])[:, None, None]
    return base + own, {
        "The first row's adapter was used for every row.": base + updates[NAMES[0]],
        "One adapter was used for all rows that have one.": base + has_one * updates["land"],
        "Every row got the sum of all adapters: each row names its own.": (
            base + updates["sea"] + updates["land"]
        ),
        "Rows with an adapter hold the base twice: linear(x) is in y already.": (
            base + own + base * has_one
        ),
        "The rows of None are zero: they are the base's own.": (base + own) * has_one,
        "Every row got the branches of all rows: each row names its own adapter.": (
            base + sum(NAMES.count(name) * update for name, update in updates.items())
        ),
        "This is the base alone: add each row's own branch.": base,
        "The base is missing: each branch comes on top of linear(x).": own,
        "Rows with an adapter are its branch alone: it comes on top of linear(x).": (
            base * ~has_one + own
        ),
        "The bias is missing: linear(x) is W x + bias.": base + own - bias,
        "The scaling is missing.": base + unscaled,
    }


def _check_order(y: Any, right: Tensor) -> None:
    """Raise `Wrong` if the rows are the right ones in another order."""
    if isinstance(y, Tensor) and y.shape == right.shape:
        nearest = torch.cdist(y.double().flatten(1), right.flatten(1)).min(1)
        if nearest.values.max() < 1e-3 and nearest.indices.tolist() != list(range(len(y))):
            raise Wrong("The rows came back in another order: put each one where it was in x.")


# --- 9.6 -------------------------------------------------------------------------------------


def check_weighted_sum(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for ranks, weights in (((3, 3), (0.7, -0.4)), ((2, 4, 1), (1.0, 0.25, -2.0))):
        adapters = [
            (draw(rng, r, IN), draw(rng, OUT, r), s)
            for r, s in zip(ranks, (2.0, 0.5, 3.0), strict=False)
        ]
        given = [(A.clone(), B.clone(), s) for A, B, s in adapters]
        _check_sum(answer(list(given), list(weights)), adapters, weights)
        if any(
            not (torch.equal(A, own_A) and torch.equal(B, own_B))
            for (A, B, _), (own_A, own_B, _) in zip(given, adapters, strict=True)
        ):
            raise Wrong(
                "An adapter's own A or B was changed (*= writes in place): it would be another "
                "adapter from now on. Make new tensors."
            )


def _check_sum(result: Any, adapters: list[tuple], weights: tuple[float, ...]) -> None:
    A, B = _factors(result)
    rank, most = len(A), sum(len(A) for A, _, _ in adapters)
    if any(factor.is_complex() or factor.isnan().any() for factor in (A, B)):
        raise Wrong(
            "It holds nan or complex numbers: the root of a negative weight. Put the whole weight "
            "on B alone."
        )
    if rank > most:
        raise Wrong(
            f"Its rank is {rank}; {most} rows are enough, all rows of all A. It should stay small."
        )
    products = [B.double() @ A.double() for A, B, _ in adapters]
    total = lambda factors: sum(f * p for f, p in zip(factors, products, strict=True))  # noqa: E731
    scalings = [s for _, _, s in adapters]
    pairs = list(zip(weights, scalings, strict=True))
    right = total([w * s for w, s in pairs])
    mean = {
        "This is the mean: the weights say how much of each, so add.": right / len(weights),
        "The weights were divided by their sum: take them as they are.": right / sum(weights),
    }
    expect(
        B.double() @ A.double() if rank == most else _lacking(A, B, right, rank, most),
        right,
        k=IN,
        mistakes=mean
        | {
            "The adapters' own scalings are missing.": total(weights),
            "The weights are missing.": total(scalings),
            "The weight is on A and on B, so it counts squared.": total(
                [w * w * s for w, s in pairs]
            ),
            "Weight and scaling are on A and on B, so both count squared.": total(
                [(w * s) ** 2 for w, s in pairs]
            ),
            "The scaling is on A and on B, so it counts squared.": total(
                [w * s * s for w, s in pairs]
            ),
            "A weight below zero takes an update away; here its sign is lost.": total(
                [abs(w) * s for w, s in pairs]
            ),
        },
    )


def _factors(result: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong("Return two tensors, (A, B).")
    A, B = result
    if not isinstance(A, Tensor) or not isinstance(B, Tensor) or A.dim() != 2 or B.dim() != 2:
        raise Wrong("Return two matrices, (A, B).")
    if A.shape[1] != IN or B.shape[0] != OUT or len(A) != B.shape[1]:
        raise Wrong(
            f"A must be (rank, {IN}) and B ({OUT}, rank); got {tuple(A.shape)} and "
            f"{tuple(B.shape)}. Stack the rows of the As, and the columns of the Bs (dim=1)."
        )
    return A, B


def _lacking(A: Tensor, B: Tensor, right: Tensor, rank: int, most: int) -> Tensor:
    """The product of fewer rows than all; wrong unless it is the exact sum all the same."""
    product = B.double() @ A.double()
    if (product - right).abs().max() > 1e-4 * right.abs().max():
        raise Wrong(
            f"Its rank is {rank}, and the sum's is {most}. Adding or averaging the As and the Bs "
            "gives cross terms such as B1 A2, which no adapter has learnt. Stack them."
        )
    return product


EXERCISES = [
    Exercise(
        name="file_tensors",
        title="9.1 The adapter's file",
        points=2,
        minutes=5,
        hints=(
            "Go through state.items() and keep a name only if it ends in lora_A or lora_B, a dot, "
            "exactly this adapter's name, and .weight.",
            'end = f".lora_A.{adapter}.weight" says both which names to keep and what to take '
            "away: name.removesuffix(end). A name with another adapter does not end in it.",
            'found[f"base_model.model.{name.removesuffix(end)}.lora_A.weight"] = tensor, and the '
            "same for lora_B.",
        ),
        check=check_file_tensors,
    ),
    Exercise(
        name="load_strictly",
        title="9.2 Loading it strictly",
        points=3,
        minutes=8,
        hints=(
            "Two passes: the first only looks and collects faults in a list; the second copies.",
            "targets.keys() - given.keys() are missing, given.keys() - targets.keys() are extra. "
            "For those in both compare .shape, and ask given[key].isfinite().all().",
            "if faults: raise ValueError('; '.join(faults)). Then, under torch.no_grad(), "
            "targets[key].copy_(given[key]) for every key.",
        ),
        check=check_load_strictly,
    ),
    Exercise(
        name="merge_rounded",
        title="9.3 Merging, rounded once",
        points=2,
        minutes=6,
        hints=(
            "Compute the update in float32, add it to W in float32, and only then go to W's dtype.",
            "delta = scaling * (B @ A); merged = (W.float() + delta).to(W.dtype). No += here.",
            "unchanged: among the weights where delta != 0, the share with merged == W, that is "
            "(merged == W)[delta != 0].float().mean().item().",
        ),
        check=check_merge_rounded,
    ),
    Exercise(
        name="ExactMerge",
        title="9.4 An exact way back",
        points=3,
        minutes=8,
        hints=(
            "What rounding took cannot be computed back. Something must be kept from before.",
            "self.kept = None in __init__. merge: if nothing is kept yet, keep "
            "self.linear.weight.detach().clone(). Then write the sum in place, under no_grad.",
            "unmerge: with torch.no_grad(): self.linear.weight.copy_(self.kept); then "
            "self.kept = None, so that the next merge takes a fresh copy.",
        ),
        check=check_ExactMerge,
    ),
    Exercise(
        name="serve_batch",
        title="9.5 Many adapters in one batch",
        points=2,
        minutes=7,
        hints=(
            "y = linear(x) once, for all rows. Then add to some rows of y, in place.",
            "For each adapter collect its row numbers: "
            "[i for i, name in enumerate(names) if name == adapter]. None is no adapter.",
            "for name, (A, B, s) in adapters.items(): rows = ...; "
            "y[rows] = y[rows] + s * (x[rows] @ A.T @ B.T).",
        ),
        check=check_serve_batch,
    ),
    Exercise(
        name="weighted_sum",
        title="9.6 The sum of adapters",
        points=2,
        minutes=7,
        hints=(
            "B1 A1 + B2 A2 is one product of two wider matrices. Which?",
            "[B1 B2] times [A1 over A2]: columns beside columns, rows below rows.",
            "A = torch.cat([A for A, _, _ in adapters]); B = torch.cat(scaled, dim=1), where "
            "scaled lists w * s * B for each adapter and its weight w.",
        ),
        check=check_weighted_sum,
    ),
    Exercise(
        name="merge_into_head",
        title="9.7 Untie, then merge",
        points=2,
        minutes=5,
        hints=(
            "One weight under two names: what does `head.weight is embedding.weight` say?",
            "If they are one, the output layer needs a Parameter over memory of its own: "
            ".detach().clone() copies, .detach() alone does not. And the config must say so.",
            "head.weight = torch.nn.Parameter(head.weight.detach().clone()); "
            "model.config.tie_word_embeddings = False. Then, tied or not, under torch.no_grad(): "
            "head.weight += delta.",
        ),
        check=check_merge_into_head,
    ),
    MY_MERGE,
]

CARDS = [
    Card(
        "What is in adapter_model.safetensors, and under which keys?",
        "A and B of each adapted layer (and modules_to_save, trained biases): base_model.model., "
        "the module's path, lora_A.weight. Neither the base nor the adapter's name.",
    ),
    Card(
        "Why must a loader look at all keys and shapes before it copies one?",
        "A skipped key leaves random A and zero B in a layer, without an error; a fault found half "
        "way leaves an adapter that nobody trained.",
    ),
    Card(
        "An update is 1 % of a bf16 weight's size. What does merging do to it?",
        "bf16 has 8 significant bits: a weight's neighbours are 0.4 to 0.8 % away. A fifth of the "
        "weights stay as they were, and the update is off by 17 %. In float16 it is 2 %.",
    ),
    Card(
        "Why does merged minus the update not give back W?",
        "The merge rounded W + update, and the difference is rounded again: some per cent of the "
        "weights differ, in every dtype. Only a copy gives all back, and it costs the size of the "
        "adapted weights.",
    ),
    Card(
        "How do two adapters serve one batch?",
        "The base runs once on all rows. Each adapter adds its branch to its own rows. Nothing is "
        "merged: a merged weight is the same for every row.",
    ),
    Card(
        "Why is the mean of two As and two Bs not the mean of two adapters?",
        "(B1 + B2)(A1 + A2) holds B1 A2 and B2 A1, which nobody trained. Stack the factors: the "
        "sum is exact, at the sum of the ranks.",
    ),
    Card(
        "A model's input embedding is its output layer too. What does merging into one of them do?",
        "It changes both, without an error: the loss may end above the base's. Untie first: a "
        "Parameter of its own for one, and tie_word_embeddings = False in the config.",
    ),
]
