"""The check of exercise 2.4: the gradients of a layer with LoRA, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks.by_hand import without_autograd
from ..checks.core import Wrong, expect
from .checks import IN, OUT, SCALING, R, draw


def check_gradients_by_hand(answer: Callable[..., Any], rng: torch.Generator) -> None:
    _check_gradients(answer, rng, 2, 5, IN, OUT, R, SCALING)
    # one token, rank 1; r above the sides; one sentence; a whole scaling
    for sizes in ((1, 1, 3, 2, 1, 0.5), (3, 4, 5, 7, 11, 1.0), (1, 6, 7, 3, 2, 16)):
        _check_gradients(answer, rng, *sizes)


def _check_gradients(
    answer: Callable[..., Any],
    rng: torch.Generator,
    batch: int,
    time: int,
    in_: int,
    out: int,
    r: int,
    scaling: float,
) -> None:
    x = A = G = B = torch.zeros(1, 1)
    # a product whose few terms cancel has too few digits in float32 to be compared
    while min((x @ A.mT).abs().max(), (G @ B).abs().max()) < 0.1:
        x, G = draw(rng, batch, time, in_), draw(rng, batch, time, out)
        W, A, B = draw(rng, out, in_), draw(rng, r, in_), draw(rng, out, r)
    got = without_autograd(answer, x, G, W, A, B, scaling)
    if not (isinstance(got, tuple | list) and len(got) == 3):
        raise Wrong("Return three tensors: (grad_A, grad_B, grad_x).")
    if not all(isinstance(gradient, Tensor) for gradient in got):
        raise Wrong("One of (grad_A, grad_B, grad_x) is not a tensor.")
    if (out, r) == tuple(got[0].shape) != tuple(got[1].shape) == (r, in_):
        raise Wrong("grad_A and grad_B are exchanged: return (grad_A, grad_B, grad_x).")
    case = f"for x {tuple(x.shape)}, A {tuple(A.shape)}, B {tuple(B.shape)}"
    x, G, W, A, B = (t.double() for t in (x, G, W, A, B))
    grad_A = scaling * torch.einsum("bto,or,bti->ri", G, B, x)
    grad_B = scaling * torch.einsum("bto,bti,ri->or", G, x, A)
    first = {
        "A": torch.einsum("to,or,ti->ri", G[0], B, x[0]),
        "B": torch.einsum("to,ti,ri->or", G[0], x[0], A),
    }
    for name, mine, right in (("A", got[0], grad_A), ("B", got[1], grad_B)):
        _check_shape_of_gradient(name, mine, right, batch)
        mistakes = _factor_mistakes(name, right, batch, time, scaling)
        mistakes[f"grad_{name} is of the first item alone. Sum over the batch."] = (
            scaling * first[name]
        )
        expect(mine, right, k=batch * time * out, mistakes=mistakes, case=f"in grad_{name}, {case}")
    if tuple(got[2].shape) != tuple(x.shape):
        raise Wrong(
            f"grad_x must have the shape of x: {tuple(x.shape)}; got {tuple(got[2].shape)}. It is "
            "one for each token: flatten nothing, sum over nothing."
        )
    _check_grad_x(got[2], G @ W, torch.einsum("bto,or,ri->bti", G, B, A), scaling, case)


def _check_grad_x(
    mine: Tensor, through_W: Tensor, branch: Tensor, scaling: float, case: str
) -> None:
    right, n = through_W + scaling * branch, branch.shape[0] * branch.shape[1]
    expect(
        mine,
        right,
        k=through_W.shape[-1] * 10,
        mistakes={
            "grad_x lacks the way through W. Frozen is not no_grad: G @ W flows on.": (
                scaling * branch
            ),
            "grad_x lacks the way through the branch: add scaling * G @ B @ A.": through_W,
            "The scaling is missing in grad_x: it belongs to the branch.": through_W + branch,
            "In grad_x the way through W is scaled too: the scaling belongs to the branch.": (
                scaling * (through_W + branch)
            ),
            "The scaling is in grad_x twice.": through_W + scaling**2 * branch,
            "The branch is subtracted in grad_x: add it.": through_W - scaling * branch,
            "grad_x was divided by the number of rows: the mean is in G already.": right / n,
            "grad_x was divided by the batch: the mean is in G already.": right / len(branch),
        },
        case=f"in grad_x, {case}",
    )


def _check_shape_of_gradient(name: str, mine: Tensor, right: Tensor, batch: int) -> None:
    shape, wanted = tuple(mine.shape), tuple(right.shape)
    if shape == (batch, *wanted):
        raise Wrong(f"grad_{name} is one for each item of the batch. Sum over the batch too.")
    if shape != wanted:
        raise Wrong(f"grad_{name} must have the shape of {name}: {wanted}; got {shape}.")


def _factor_mistakes(
    name: str, right: Tensor, batch: int, time: int, scaling: float
) -> dict[str, Tensor]:
    return {
        f"The scaling is missing in grad_{name}.": right / scaling,
        f"The scaling appears twice in grad_{name}: each branch product has it once.": (
            right * scaling
        ),
        f"grad_{name} is divided by the scaling: multiply by it.": right / scaling**2,
        f"grad_{name} is a mean over the rows of the batch. Sum them: the mean is in G already.": (
            right / (batch * time)
        ),
        f"grad_{name} is a mean over the batch. Sum over it: the mean is in G already.": (
            right / batch
        ),
        f"grad_{name} is a mean over the tokens. Sum over them: the mean is in G already.": (
            right / time
        ),
        f"grad_{name} has the wrong sign: a gradient points uphill.": -right,
        f"grad_{name} is zero. It is so at the first step alone, for A, because B is zero then. "
        "Here neither is.": torch.zeros_like(right),
    }
