"""The checks of lesson 04's arithmetic: the branch with a mask, and the penalty that it implies.

Every expected value is computed here in float64, by other means than the package's own functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect, number

# Unequal primes, so that a transposed or mixed-up shape cannot pass by chance.
OUT, IN, R = 23, 31, 3


def _draw(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64).float()


def _rate(rng: torch.Generator) -> float:
    """A p from 0.2 to 0.4: keeping with p, or dropping with it, cannot be confused."""
    return 0.2 + 0.2 * torch.rand((), generator=rng).item()


# --- 4.1 The branch --------------------------------------------------------------------------


# of x, out, r, p: the first has nothing to confuse; then one token, r above both, p = 0
BRANCHES = (
    ((2, 5, IN), OUT, R, None),
    ((7,), 5, 2, 0.75),
    ((6, 6), 3, 9, 0.5),
    ((2, 1, 3, 5), 4, 1, 0.25),
    ((3, 8), 8, 2, 0.0),
)


def check_dropped_branch(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for shape, out, r, rate in BRANCHES:
        x, A, B = _draw(rng, *shape), _draw(rng, r, shape[-1]), _draw(rng, out, r)
        noise, s = torch.rand(x.shape, generator=rng), 0.3 + 3 * torch.rand((), generator=rng)
        p = _rate(rng) if rate is None else rate
        if rate is not None:  # what is exactly p is not below p; these p are exact in any float
            noise.view(-1)[:: 1 if p == 0 else 3] = p
        if p:  # the smallest noise, and what is just below and just above p
            for i, value in enumerate((0.0, p - 1e-4, p + 1e-4)):
                noise.view(-1)[i + 1] = value
        _check_branch(answer, x, noise, A, B, s.item(), p)
    _check_scalings(answer, rng)
    wide = answer(x.double(), noise.double(), A.double(), B.double(), 0.7, 0.25)
    if wide.dtype != torch.float64:
        raise Wrong(f"x is in float64 and the result in {wide.dtype}: that loses digits.")


def _check_branch(
    answer: Callable[..., Any], x: Tensor, noise: Tensor, A: Tensor, B: Tensor, s: float, p: float
) -> None:
    given = (x.clone(), noise.clone(), A.clone(), B.clone(), s, p)
    result, again = answer(*given), answer(*given)
    if isinstance(result, Tensor) and isinstance(again, Tensor) and not torch.equal(result, again):
        raise Wrong("Two calls give two results: make the mask from `noise`, do not draw again.")
    expect(
        result,
        s * _branch(x.double() * _mask(noise, p) / (1 - p), A, B),
        k=x.shape[-1] * len(A),
        mistakes=_branch_mistakes(x.double(), noise, A, B, s, p),
        case=f"for x {tuple(x.shape)}, A {tuple(A.shape)}, scaling {s:.4g} and p = {p:.4g}",
        factors={"the scaling": s, "1 - p": 1 - p, "r": len(A)},
        otherwise=lambda: _what_becomes_of_x(answer, p),
    )


def _what_becomes_of_x(answer: Callable[..., Any], p: float) -> str:
    """With A and B the identity and a scaling of 1 the branch is x under its mask."""
    gen = torch.Generator().manual_seed(0)
    x, eye = 1 + torch.rand(31, 31, generator=gen), torch.eye(31)
    noise = torch.rand(x.shape, generator=gen)
    noise[0, :5] = torch.tensor([0, p, p - 1e-4, p + 1e-4, p / 2])  # and the edges
    found = answer(x.clone(), noise.clone(), eye, eye.clone(), 1.0, p).detach().double()
    ratio, below = found / x, noise < p
    kept, lost = int((ratio[below].abs() > 1e-6).sum()), int((ratio[~below].abs() < 1e-6).sum())
    if kept or lost:
        return (
            f"Of {int(below.sum())} elements whose noise is below p {kept} do not become 0, and of "
            f"the {int((~below).sum())} others {lost} do."
        )
    least, most = ratio[~below].min().item(), ratio[~below].max().item()
    if not most - least <= 1e-4:
        return (
            f"The right elements are dropped, and the others are multiplied by {least:.4g} to "
            f"{most:.4g}: each must be by 1 / (1 - p) = {1 / (1 - p):.4g}."
        )
    if not abs(most * (1 - p) - 1) <= 1e-4:
        return (
            f"The right elements are dropped, and the others are multiplied by {most:.4g}: with "
            f"p = {p:.4g} it must be 1 / (1 - p) = {1 / (1 - p):.4g}."
        )
    s = 1.2345
    scaled = answer(x.clone(), noise.clone(), eye, eye.clone(), s, p).detach().double() / found
    times = scaled[~below].mean().item()
    if not abs(times / s - 1) <= 1e-4:
        return f"The mask is right. A scaling of {s} multiplies by {times:.5g}."
    return "The mask is right, and so is the scaling. What A and B make of it is not."


def _check_scalings(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """A scaling of any size and sign: nothing about it is rounded or cut."""
    x, A, B, noise = (_draw(rng, *shape) for shape in ((3, 4), (2, 4), (5, 2), (3, 4)))
    for s in (-1.5, 1e-3, 2):
        given = (x.clone(), noise.clone(), A.clone(), B.clone(), s, 0.25)
        right = s * _branch(x.double() * _mask(noise, 0.25) / 0.75, A, B)
        expect(answer(*given), right, k=8, case=f"for a scaling of {s}")


def _mask(noise: Tensor, p: float) -> Tensor:
    return (noise >= p).double()


def _branch(x: Tensor, A: Tensor, B: Tensor) -> Tensor:
    return torch.einsum("...i,ri,or->...o", x, A.double(), B.double())


def _branch_mistakes(
    x: Tensor, noise: Tensor, A: Tensor, B: Tensor, s: float, p: float
) -> dict[str, Tensor]:
    mask, keep = _mask(noise, p), 1 - p
    thin = torch.einsum("...i,ri->...r", x, A.double())
    right = s * _branch(x * mask / keep, A, B)
    places = {}
    if len(B) <= x.shape[-1]:
        places["This masks the branch's output. The mask is on its input: on x, before A."] = (
            s * _branch(x, A, B) * mask[..., : len(B)] / keep
        )
    if len(A) <= x.shape[-1]:
        thin = thin * mask[..., : len(A)] / keep
        places["This masks A x, the r numbers in between. The mask is on x, before A."] = (
            s * torch.einsum("...r,or->...o", thin, B.double())
        )
    if x.dim() > 1:
        places["All tokens lose the same features here. Each token has its own row of noise."] = (
            s * _branch(x * mask[..., :1, :] / keep, A, B)
        )
    if x.dim() > 1:
        places |= {
            "Whole tokens are dropped here, by their first number. Each element has its own.": (
                s * _branch(x * mask[..., :1] / keep, A, B)
            ),
            "All tokens lose what the last one loses. Each has its own row of noise.": (
                s * _branch(x * mask.flatten(0, -2)[-1] / keep, A, B)
            ),
        }
    if x.numel() > 100:  # among a few numbers the quantile lies where p does
        places["This drops a share p exactly, by a quantile. Compare the noise with p itself."] = (
            s * _branch(x * (noise >= noise.flatten().quantile(p)) / keep, A, B)
        )
    places |= {
        "This divides by 1 + p. The share that is kept is 1 - p.": right * keep / (1 + p),
        "What is dropped becomes p here. It becomes 0.": (
            s * _branch(torch.where(mask > 0, x, p) / keep, A, B)
        ),
        "The noise itself stands where the mask keeps. A mask is 0 or 1.": (
            s * _branch(x * noise.clamp(min=p) / keep, A, B)
        ),
    }
    if p:
        places[
            "This keeps an element with probability p and divides by p. p is the share dropped."
        ] = s * _branch(x * (1 - mask) / p, A, B)
        places["This divides by p. The share that is kept is 1 - p: divide by that."] = (
            right * keep / p
        )
    mistakes = {
        "What is kept must grow by 1 / (1 - p), so that the mean stays: that factor is missing.": (
            right * keep
        ),
        "This multiplies by 1 - p. What is kept must grow: divide by it.": right * keep**2,
        "This keeps an element with probability p. p is the share that is dropped.": (
            s * _branch(x * (1 - mask) / keep, A, B)
        ),
        "This divides by the share that this one mask kept. Divide by 1 - p, whatever the mask.": (
            right * keep / mask.mean()
        ),
        "What is exactly p is dropped here. Drop an element where its noise is below p.": (
            s * _branch(x * (noise > p) / keep, A, B)
        ),
        "This divides by the root of 1 - p. Then the spread stays; the mean of x is to stay.": (
            right * keep**0.5
        ),
        "What is kept was divided by 1 - p twice.": right / keep,
        "The scaling is there twice.": right * s,
        "The scaling belongs above: multiply by it.": right / s**2,
        "This drops where the noise is high. Drop an element where its noise is below p.": (
            s * _branch(x * (noise < keep) / keep, A, B)
        ),
        "This keeps where the noise is above 1 - p: only with probability p. Keep it from p on.": (
            s * _branch(x * (noise >= keep) / keep, A, B)
        ),
        "The threshold is p, not one half.": s * _branch(x * (noise >= 0.5) / keep, A, B),
        "This multiplies by the noise itself. A mask is 0 or 1: compare the noise with p.": (
            s * _branch(x * noise / keep, A, B)
        ),
        "This multiplies by the noise itself. Make a mask of 0 and 1, and divide by 1 - p.": (
            s * _branch(x * noise, A, B)
        ),
        "The scaling is missing.": right / s,
        "Nothing is dropped here: this is the branch without a mask.": s * _branch(x, A, B),
    }
    return {m: v for m, v in (places | mistakes).items() if v.isfinite().all()}


# --- 4.3 The penalty -------------------------------------------------------------------------


# n, out, in, p, mean of the inputs: square first, so that rows taken for columns are told so and
# not "shapes differ"; then one row, one output, one feature, no dropout, half of all, nearly all
PENALTIES = (
    (40, 17, 17, None, 1.5),
    (40, OUT, IN, None, 1.5),
    (1, 5, 7, 0.05, -2.0),
    (6, 1, 9, 0.9, 0.0),
    (9, 8, 1, 0.5, 0.3),
    (5, 4, 6, 0.0, 1.0),
)


def check_implied_penalty(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for n, out, in_, rate, middle in PENALTIES:
        X = _draw(rng, n, in_) * (0.5 + _draw(rng, in_).abs()) + middle
        W, D = _draw(rng, out, in_), 0.3 * _draw(rng, out, in_)
        if min(n, in_) > 1:  # a feature that is never there, one that was not learnt; equal rows
            X[:, 2], D[:, 0], X[-1] = 0, 0, X[0]
        p = 0.1 + _rate(rng) if rate is None else rate
        value = answer(X.clone(), W.clone(), W + D, p)
        if isinstance(value, Tensor) and value.numel() > 1:
            raise Wrong(f"Return one number: add up over the features. Got {tuple(value.shape)}.")
        expect(
            value,
            _penalty(X, (W + D).double() - W.double(), p),
            k=out * in_,
            mistakes=_penalty_mistakes(X, W, W + D, p),
            case=f"for X {tuple(X.shape)}, weights {tuple(W.shape)} and p = {p:.4g}",
            factors={"n": n, "in": in_, "out": out, "p": p, "1 - p": 1 - p},
            otherwise=lambda: _which_part(answer),
        )


def _which_part(answer: Callable[..., Any]) -> str:
    """Which part of the formula a wrong penalty does not follow."""
    gen = torch.Generator().manual_seed(0)
    X, W, D = (torch.randn(*shape, generator=gen) for shape in ((6, 4), (3, 4), (3, 4)))

    def value(X: Tensor = X, D: Tensor = D, p: float = 0.5, W: Tensor = W) -> float:
        return number(answer(X.clone(), W.clone(), W + D, p))

    whole, columns = value(), torch.eye(4)
    laws = (
        ("goes from p = 0.5 to 0.8", value(p=0.8), 4.0,
         "p / (1 - p) goes from 1 to 4"),
        ("takes every row of X twice", value(X=torch.cat([X, X])), 1.0, "their mean stays"),
        ("doubles X", value(X=2 * X), 4.0, "x_j is squared"),
        ("turns the sign of X", value(X=-X), 1.0, "x_j is squared"),
        ("doubles the update", value(D=2 * D), 4.0, "the norms are squared"),
        ("turns the sign of one entry of the update",
         value(D=D * (1 - 2 * (torch.arange(12).view(3, 4) == 5).float())), 1.0,
         "each entry is squared"),
        ("takes another W_base with the same update", value(W=W + 1), 1.0,
         "only the difference counts"),
        ("turns the order of the outputs round", value(D=D.flip(0)), 1.0, "they are added up"),
        ("adds up what each column of the update gives by itself",
         sum(value(D=D * one) for one in columns), 1.0, "the features are added up"),
        ("adds up what each output gives by itself",
         sum(value(D=D * (torch.arange(3) == i).float()[:, None]) for i in range(3)), 1.0,
         "the squares of a column are added up"),
        ("takes the mean of what each row of X gives by itself",
         sum(value(X=row[None]) for row in X) / 6, 1.0, "E is the mean over the rows"),
    )  # fmt: skip
    for what, got, times, why in laws:
        if not abs(got - times * whole) <= 1e-3 * abs(times * whole):
            ratio = got / whole if whole else float("inf")
            return f"Where one {what} it becomes {ratio:.4g} times as large, not {times:g}: {why}."
    return ""


def _penalty(X: Tensor, D: Tensor, p: float) -> Tensor:
    """The variance of sum_j D_ij x_j m_j / (1 - p), summed over i, mean over the rows of X."""
    return p / (1 - p) * torch.einsum("nj,oj->no", X.double() ** 2, D**2).sum(1).mean()


def _penalty_mistakes(X: Tensor, W: Tensor, W_tuned: Tensor, p: float) -> dict[str, Tensor]:
    D, full, squares = W_tuned.double() - W.double(), W_tuned.double(), X.double() ** 2
    right, factor = _penalty(X, D, p), p / (1 - p)
    norms = D.square().sum(0)
    plain = _penalty(X, D, 0.5)  # where the factor is 1
    mistakes = {
        "The factor is p / (1 - p), not p alone.": plain * p,
        "The factor is p / (1 - p), not 1 / (1 - p).": plain / (1 - p),
        "The factor is p / (1 - p), not p (1 - p).": plain * p * (1 - p),
        "The factor p / (1 - p) is missing.": plain,
        "The factor is p / (1 - p): it is not squared.": plain * factor**2,
        "There is no half in this penalty.": right / 2,
        "This takes the largest term. Add up over the features.": (
            factor * (squares.mean(0) * norms).max()
        ),
        "This takes the mean of x_j. The mean of its square is meant.": (
            factor * X.double().mean(0) @ norms
        ),
        "This uses the first row of X alone. E is the mean over all.": factor * squares[0] @ norms,
        "The factor is p / (1 - p), without a square on p.": plain * p * factor,
        "The factor is p / (1 - p), not its root.": plain * factor**0.5,
        "The factor is 1 / (1 - p) - 1 = p / (1 - p), and not 1 / (1 - p) - p.": (
            plain * (1 / (1 - p) - p)
        ),
        "This squares the output. The masks are independent: square each product, then add up.": (
            factor * (X.double() @ D.T).square().mean()
        ),
        "The columns' entries must be squared, each by itself.": (
            factor * squares.mean(0) @ D.abs().sum(0)
        ),
        "This squares the sum of a column. Square each entry, then add up.": (
            factor * squares.mean(0) @ D.sum(0).square()
        ),
        "This adds the two weights. The update is W_tuned - W_base.": (
            _penalty(X, W_tuned.double() + W.double(), p)
        ),
        "The penalty is never negative.": -right,
        "This is the root of the penalty: the squares stay.": right.sqrt(),
        "This takes the mean over n - 1 rows. E is the mean over all n.": (
            right * len(X) / max(1, len(X) - 1)
        ),
        "This takes the size of x_j where its square belongs.": (
            factor * X.double().abs().mean(0) @ norms
        ),
        "This is for the whole W_tuned. Only the update W_tuned - W_base is dropped.": (
            _penalty(X, full, p)
        ),
        "This is for W_base. Only the update W_tuned - W_base is dropped.": (
            _penalty(X, W.double(), p)
        ),
        "This takes the square of the mean of x_j. The mean of its square is meant.": (
            factor * X.double().mean(0).square() @ norms
        ),
        "This takes the variance of x_j. The mean of its square is meant.": (
            factor * X.double().var(0, correction=0) @ norms
        ),
        "This takes the variance of x_j, which leaves its mean out. Take the mean of its square.": (
            factor * X.double().var(0, correction=min(1, len(X) - 1)) @ norms
        ),
        "This takes the difference of the squares. Square the difference, W_tuned - W_base.": (
            factor * squares.mean(0) @ (full.square() - W.double().square()).sum(0)
        ),
        "This multiplies two sums. Feature j has its own product: multiply, then add up.": (
            factor * squares.mean(0).sum() * norms.sum()
        ),
        "This takes one mean over all of X. Each feature has its own.": (
            factor * squares.mean() * norms.sum()
        ),
        "This takes a mean where a sum belongs: add up each column, and then the features.": (
            right / D.shape[1]
        ),
        "This squares the sum over the features. The masks are independent: square, then add up.": (
            factor * (X.double() @ D.T).square().sum(1).mean()
        ),
        "This sums over the rows of X. E is the mean over them.": right * len(X),
        "The norms of the columns must be squared.": factor * squares.mean(0) @ norms.sqrt(),
        "The inputs are left out: each column is weighted with the mean of x_j squared.": (
            factor * norms.sum()
        ),
    }
    for digits in (4, 3, 2, 1):
        mistakes[f"This is rounded to {digits} digits. Return the number as it is."] = torch.tensor(
            round(right.item(), digits), dtype=torch.float64
        )
    if p:
        mistakes["The factor is upside down: p / (1 - p) grows with p."] = plain / factor
    if len(D) == D.shape[1]:
        said = "These are the rows of the update. Feature j meets column j: sum over dim 0."
        mistakes = {said: factor * squares.mean(0) @ D.square().sum(1), **mistakes}
    return {message: value for message, value in mistakes.items() if value.isfinite()}
