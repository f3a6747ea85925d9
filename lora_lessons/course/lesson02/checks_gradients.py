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
    inputs = {"x": x, "G": G, "W": W, "A": A, "B": B, "scaling": scaling}
    factors = {"the scaling": scaling, "batch": batch, "time": time, "batch * time": batch * time}
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
        expect(
            mine,
            right,
            k=batch * time * out,
            mistakes=mistakes,
            case=f"in grad_{name}, {case}",
            factors=factors,
            otherwise=lambda name=name: _of_what(answer, name, inputs),
        )
    if tuple(got[2].shape) != tuple(x.shape):
        raise Wrong(
            f"grad_x must have the shape of x: {tuple(x.shape)}; got {tuple(got[2].shape)}. It is "
            "one for each token: flatten nothing, sum over nothing."
        )
    branch = torch.einsum("bto,or,ri->bti", G, B, A)
    otherwise = lambda: _of_what(answer, "x", inputs)  # noqa: E731
    _check_grad_x(got[2], G @ W, branch, scaling, case, otherwise)


MADE_OF = {"A": "x, G, B", "B": "x, G, A", "x": "G, W, A, B"}
"""What each gradient is made of, beside the scaling."""


def _of_what(answer: Callable[..., Any], name: str, inputs: dict[str, Any]) -> str:
    """Whether a wrong gradient depends on what it is made of, and on nothing else."""

    def grad(**changed: Tensor) -> Tensor:
        given = {**inputs, **changed}
        given = {k: v.clone() if isinstance(v, Tensor) else v for k, v in given.items()}
        return answer(*given.values())["ABx".index(name)].detach().double()

    whole, needs = grad(), MADE_OF[name].split(", ")
    small = 1e-4 * whole.abs().max()
    for other in "xGWAB":
        changed = grad(**{other: 2 * inputs[other]})
        same = (changed - whole).abs().max() <= small
        if not same and other not in needs:
            return f"grad_{name} changes with {other}. It is made of {MADE_OF[name]} and scaling."
        if same and other in needs:
            return f"grad_{name} does not change with {other}. It is made of {MADE_OF[name]}."
        if other in needs and name != "x" and (changed - 2 * whole).abs().max() > 100 * small:
            return f"With {other} doubled grad_{name} is not twice as large: {other} stands once."
    one = {"x": inputs["x"][:1, :1], "G": inputs["G"][:1, :1]}
    x, G = (one[k][0].double() for k in ("x", "G"))
    A, B, s = inputs["A"].double(), inputs["B"].double(), inputs["scaling"]
    right = {"A": s * B.T @ G.T @ x, "B": s * G.T @ x @ A.T, "x": None}[name]
    if right is not None and (grad(**one) - right).abs().max() <= 1e-4 * right.abs().max():
        return (
            f"grad_{name} is right for one token, and wrong for several: row by row x and G belong "
            "together, so flatten both alike and sum over all rows."
        )
    return ""


def _check_grad_x(
    mine: Tensor,
    through_W: Tensor,
    branch: Tensor,
    scaling: float,
    case: str,
    otherwise: Callable[[], str],
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
        otherwise=otherwise,
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
