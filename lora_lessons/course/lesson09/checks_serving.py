"""The checks of lesson 09's serving: a mixed batch, a weighted sum of adapters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong, expect
from .checks import draw

# --- 9.5 -------------------------------------------------------------------------------------

OUT, IN, TIME = 13, 11, 3
SCALINGS = {"sea": 0.5, "land": 2.0}
RANKS = {"sea": 2, "land": 3}
NAMES = ["sea", None, "land", "sea", "land", None, "sea"]


def check_serve_batch(answer: Callable[..., Any], rng: torch.Generator) -> None:
    _check_batch(answer, rng)
    adapters = {
        name: (draw(rng, r, IN), draw(rng, OUT, r), s)
        for name, r, s in (("sea", 1, 0.5), ("land", 3, 2.0), ("unused", 2, 1.0))
    }
    linear = nn.Linear(IN, OUT, bias=False)  # no bias, no row of an adapter, one row alone
    for names in ([None, None], ["land"], [None], ["land", "land", "sea"], ["sea", "sea"]):
        x = draw(rng, len(names), 1 if len(names) == 3 else 4, IN)
        with torch.no_grad():
            y = answer(x.clone(), linear, dict(adapters), list(names))
        base = x.double() @ linear.weight.detach().double().T
        rows = []
        for row, before, name in zip(x.double(), base, names, strict=True):
            A, B, s = adapters.get(name, (torch.zeros(1, IN), torch.zeros(OUT, 1), 0.0))
            rows.append(before + s * (row @ A.double().T @ B.double().T))
        _check_rows(y, torch.stack(rows), names)
    _check_gradient(answer, rng, linear, adapters)


def _check_gradient(
    answer: Callable[..., Any], rng: torch.Generator, linear: nn.Linear, adapters: dict[str, tuple]
) -> None:
    """The gradient of x goes through the base and through each row's branch."""
    x = draw(rng, 3, 2, IN).requires_grad_()
    with torch.enable_grad():
        y = answer(x, linear, dict(adapters), ["land", None, "sea"])
    if not y.requires_grad:
        return  # the guard says it better
    (found,) = torch.autograd.grad(y.sum(), x, allow_unused=True)
    W = linear.weight.detach().double()
    updates = [(s * B.double() @ A.double()) for A, B, s in (adapters["land"], adapters["sea"])]
    weights = torch.stack([W + updates[0], W, W + updates[1]])
    right = weights.sum(1)[:, None].expand(-1, 2, -1)
    if found is None or not (found - right).abs().max() <= 1e-3 * right.abs().max():
        raise Wrong(
            "The numbers are right, but a part of the gradient does not flow back to x: the base's "
            "or the branches'. Leave out detach() and .data."
        )


def _check_rows(y: Any, right: Tensor, names: list[str | None]) -> None:
    """`expect`, with the batch's names in the message."""
    try:
        expect(y, right, k=IN)
    except Wrong as error:
        raise Wrong(f"For a batch of {names}, by a layer without bias: {error}") from error


def _check_batch(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """Seven rows, two adapters of different rank, and the base; `linear` runs once."""
    linear = nn.Linear(IN, OUT)
    with torch.no_grad():
        linear.weight.copy_(draw(rng, OUT, IN))
        linear.bias.copy_(draw(rng, OUT))
    x = draw(rng, len(NAMES), TIME, IN)
    adapters = {
        name: (draw(rng, r, IN), draw(rng, OUT, r), SCALINGS[name]) for name, r in RANKS.items()
    }
    calls, weight = [], linear.weight.detach().clone()
    more = draw(rng, OUT)  # the layer gives this too, so that what it gives must be used

    def hook(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        calls.append(1)
        return output + more

    linear.register_forward_hook(hook)
    with torch.no_grad():
        y = answer(x.clone(), linear, dict(adapters), list(NAMES))
    if not torch.equal(linear.weight, weight):
        raise Wrong(
            "linear.weight was changed. Merge nothing: the weight is the same for all rows."
        )
    base, updates = _serve_parts(x, linear, adapters)
    if calls:
        _uses_the_layer(y, base, updates)
        base += more.double()
    right, mistakes = _served(base, updates, linear.bias.detach().double())
    _check_order(y, right)
    _check_each_row(y, right, mistakes)
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


def _check_each_row(y: Any, right: Tensor, mistakes: dict[str, Tensor]) -> None:
    """`expect`; where no mistake was named, the message names the rows that are wrong."""
    try:
        expect(y, right, k=IN, mistakes=mistakes)
    except Wrong as error:
        if not str(error).startswith("Expected"):
            raise
        off = (~((y - right).abs().amax((1, 2)) <= 1e-3)).nonzero().flatten().tolist()
        rows = ", ".join(f"{i} ({NAMES[i]!r})" for i in off)
        branch = "of its own adapter" if all(NAMES[i] for i in off) else "that it names, if any"
        raise Wrong(
            f"The batch is {NAMES}, and these rows are not right: {rows}. Each is linear(x) of the "
            f"row and the branch {branch}. {error}"
        ) from error


def _uses_the_layer(y: Any, base: Tensor, updates: dict[str, Tensor]) -> None:
    """Raise `Wrong` where W x was computed beside linear(x), whose result is thrown away."""
    right = base + _own_rows(base, updates)
    if not isinstance(y, Tensor) or y.shape != right.shape:
        return
    if ((y - right).abs().amax((1, 2)) < 1e-3).any():
        raise Wrong(
            "linear was called, and what it gave was not used: linear.weight was taken instead, "
            "which costs the product again. Add each row's branch to linear(x)."
        )


def _serve_parts(
    x: Tensor, linear: nn.Linear, adapters: dict[str, tuple]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The base's output and each adapter's update for every row: (batch, time, out), float64."""
    x = x.double()
    base = x @ linear.weight.detach().double().T + linear.bias.detach().double()
    return base, {n: s * (x @ A.double().T @ B.double().T) for n, (A, B, s) in adapters.items()}


def _own_rows(base: Tensor, updates: dict[str, Tensor]) -> Tensor:
    """Each row's own update, zero for None."""
    none = torch.zeros_like(base)
    return torch.stack([updates.get(name, none)[i] for i, name in enumerate(NAMES)])


def _served(
    base: Tensor, updates: dict[str, Tensor], bias: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """What is right, and what each mistake gives: (batch, time, out)."""
    own = _own_rows(base, updates)
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
        "The scaling is there twice.": base
        + torch.stack([u * SCALINGS.get(n, 1) for n, u in zip(NAMES, own, strict=True)]),
        "The scaling is alpha / r already: do not divide by r again.": base
        + torch.stack([u / RANKS.get(n, 1) for n, u in zip(NAMES, own, strict=True)]),
        "Rows of None have a branch here: they are the base's own.": base
        + own
        + ~has_one * updates["sea"],
        "Rows of None have a branch here: they are the base's own, whatever adapter is last.": (
            base + own + ~has_one * updates["land"]
        ),
        "Rows with an adapter got the branches of all adapters: each row names its own.": (
            base + has_one * (updates["sea"] + updates["land"])
        ),
        "The bias is there twice in rows with an adapter: it is in linear(x) already.": (
            base + own + has_one * bias
        ),
        "The bias is there twice: it is in linear(x) already.": base + own + bias,
        "Only the first token of a row has the branch: every token of it has its own.": (
            base + own * (torch.arange(TIME) == 0)[:, None]
        ),
        "Only the last token of a row has the branch: every token of it has its own.": (
            base + own * (torch.arange(TIME) == TIME - 1)[:, None]
        ),
        "The branch of a row's first token was added at all its tokens: each has its own.": (
            base + own[:, :1]
        ),
        "The branch of the mean over a row's tokens was added at all of them: each token has its "
        "own.": base + own.mean(1, keepdim=True),
        "The adapters were taken in turn, by the row's number. `names` says whose a row is.": (
            base
            + torch.stack(
                [
                    updates[tuple(SCALINGS)[i % 2]][i] * (name is not None)
                    for i, name in enumerate(NAMES)
                ]
            )
        ),
        "The branch is subtracted: add it.": base - own,
    }


def _check_order(y: Any, right: Tensor) -> None:
    """Raise `Wrong` if the rows are the right ones in another order."""
    if isinstance(y, Tensor) and y.shape == right.shape:
        nearest = torch.cdist(y.double().flatten(1), right.flatten(1)).min(1)
        if nearest.values.max() < 1e-3 and nearest.indices.tolist() != list(range(len(y))):
            raise Wrong("The rows came back in another order: put each one where it was in x.")


# --- 9.6 -------------------------------------------------------------------------------------


def check_weighted_sum(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for ranks, weights in (
        ((3, 3), (0.7, -0.4)),
        ((2, 4, 1), (1.0, 0.25, -2.0)),
        ((2,), (-0.5,)),  # one adapter
        ((3, 2, 2), (0.5, 0.0, 1.5)),  # one of weight zero
        ((2,), (0.0,)),
        ((1, 1), (0.5, 0.5)),
    ):
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
    if rank < most:
        raise Wrong(_why_lacking(A, B, right, rank, most))
    mean = {
        "This is the mean: the weights say how much of each, so add.": right / len(weights),
        "The weights were divided by their sum: take them as they are.": right / sum(weights),
    }
    expect(
        B.double() @ A.double(),
        right,
        k=IN,
        mistakes=mean
        | {
            "The first adapter's scaling is used for all: each has its own.": total(
                [w * scalings[0] for w in weights]
            ),
            "The first weight is used for all: each adapter has its own.": total(
                [weights[0] * s for s in scalings]
            ),
            "The sum of the weights is on each adapter: each has its own weight.": total(
                [sum(weights) * s for s in scalings]
            ),
            "The scaling is alpha / r already: do not divide by r again.": total(
                [w * s / len(A) for (w, s), (A, _, _) in zip(pairs, adapters, strict=True)]
            ),
            "The weights stand at the wrong adapters: they come in the order of `adapters`.": total(
                [w * s for w, s in zip(weights[::-1], scalings, strict=True)]
            ),
            "The As and the Bs are stacked in different orders, so that a B meets another "
            "adapter's A. Keep one order for both.": _crossed(adapters, pairs),
            "A weight below zero is left out: it takes an update away.": total(
                [max(w, 0) * s for w, s in pairs]
            ),
            "The weights were cut to whole numbers: take them as they are.": total(
                [int(w) * s for w, s in pairs]
            ),
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


def _crossed(adapters: list[tuple], pairs: list[tuple[float, float]]) -> Tensor:
    """The Bs, weighted, in order, against the As from the last to the first."""
    A = torch.cat([A.double() for A, _, _ in adapters[::-1]])
    B = [w * s * B.double() for (w, s), (_, B, _) in zip(pairs, adapters, strict=True)]
    return torch.cat(B, dim=1) @ A


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


def _why_lacking(A: Tensor, B: Tensor, right: Tensor, rank: int, most: int) -> str:
    """What is said of fewer rows than all: the exact sum all the same, or not."""
    if (B.double() @ A.double() - right).abs().max() <= 1e-4 * right.abs().max():
        return (
            f"The update is right, but its rank is {rank}, and the sum of all ranks is {most}. An "
            "adapter of weight 0 keeps its rows: who makes room for the result goes by the ranks, "
            "not by the weights."
        )
    return (
        f"Its rank is {rank}, and the sum's is {most}. Adding or averaging the As and the Bs "
        "gives cross terms such as B1 A2, which no adapter has learnt. Stack them."
    )
