"""The checks of lesson 04's layer: the branch with a mask, the layer with it, its penalty.

Every expected value is computed here in float64, by other means than the package's own functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong, expect

# Unequal primes, so that a transposed or mixed-up shape cannot pass by chance.
OUT, IN, R = 23, 31, 3


def _draw(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64).float()


def _rate(rng: torch.Generator) -> float:
    """A p from 0.2 to 0.4: keeping with p, or dropping with it, cannot be confused."""
    return 0.2 + 0.2 * torch.rand((), generator=rng).item()


# --- 4.1 The branch --------------------------------------------------------------------------


def check_dropped_branch(answer: Callable[..., Any], rng: torch.Generator) -> None:
    x, A, B, s = _draw(rng, 2, 5, IN), _draw(rng, R, IN), _draw(rng, OUT, R), 7 / 3
    noise, p = torch.rand(x.shape, generator=rng), _rate(rng)
    result = _leaving_alone(answer, x, noise, A, B, s, p)
    again = answer(x.clone(), noise.clone(), A, B, s, p)
    if isinstance(result, Tensor) and isinstance(again, Tensor) and not torch.equal(result, again):
        raise Wrong("Two calls give two results: make the mask from `noise`, do not draw again.")
    expect(
        result,
        s * _branch(x.double() * _mask(noise, p) / (1 - p), A, B),
        k=IN,
        mistakes=_branch_mistakes(x.double(), noise, A, B, s, p),
    )
    expect(answer(x, noise, A, B, s, 0.0), s * _branch(x.double(), A, B), k=IN)


def _leaving_alone(answer: Callable[..., Any], x: Tensor, noise: Tensor, *more: Any) -> Any:
    """The answer's result; `Wrong` where it wrote into the x or the noise that it was given."""
    my_x, my_noise = x.clone(), noise.clone()
    result = answer(my_x, my_noise, *more)
    if not torch.equal(my_x, x):
        raise Wrong("Your code changes x itself. Make a new tensor: the base still needs all of x.")
    if not torch.equal(my_noise, noise):
        raise Wrong("Your code changes noise itself. Make a new tensor for the mask.")
    return result


def _mask(noise: Tensor, p: float) -> Tensor:
    return (noise >= p).double()


def _branch(x: Tensor, A: Tensor, B: Tensor) -> Tensor:
    return torch.einsum("...i,ri,or->...o", x, A.double(), B.double())


def _branch_mistakes(
    x: Tensor, noise: Tensor, A: Tensor, B: Tensor, s: float, p: float
) -> dict[str, Tensor]:
    mask, keep = _mask(noise, p), 1 - p
    thin = torch.einsum("...i,ri->...r", x, A.double())
    thin = thin * mask[..., :R] / keep
    right = s * _branch(x * mask / keep, A, B)
    return {
        "This masks the branch's output. The mask is on its input: on x, before A.": (
            s * _branch(x, A, B) * mask[..., :OUT] / keep
        ),
        "This masks A x, the r numbers in between. The mask is on x, before A.": (
            s * torch.einsum("...r,or->...o", thin, B.double())
        ),
        "What is kept must grow by 1 / (1 - p), so that the mean stays: that factor is missing.": (
            right * keep
        ),
        "This multiplies by 1 - p. What is kept must grow: divide by it.": right * keep**2,
        "This keeps an element with probability p. p is the share that is dropped.": (
            s * _branch(x * (1 - mask) / keep, A, B)
        ),
        "This keeps an element with probability p and divides by p. p is the share dropped.": (
            s * _branch(x * (1 - mask) / p, A, B)
        ),
        "This divides by p. The share that is kept is 1 - p: divide by that.": right * keep / p,
        "This divides by the share that this one mask kept. Divide by 1 - p, whatever the mask.": (
            right * keep / mask.mean()
        ),
        "This drops where the noise is high. Drop an element where its noise is below p.": (
            s * _branch(x * (noise < keep) / keep, A, B)
        ),
        "This keeps where the noise is above 1 - p: only with probability p. Keep it from p on.": (
            s * _branch(x * (noise >= keep) / keep, A, B)
        ),
        "The threshold is p, not one half.": s * _branch(x * (noise >= 0.5) / keep, A, B),
        "All tokens lose the same features here. Each token has its own row of noise.": (
            s * _branch(x * mask[..., :1, :] / keep, A, B)
        ),
        "This multiplies by the noise itself. A mask is 0 or 1: compare the noise with p.": (
            s * _branch(x * noise / keep, A, B)
        ),
        "This multiplies by the noise itself. Make a mask of 0 and 1, and divide by 1 - p.": (
            s * _branch(x * noise, A, B)
        ),
        "The scaling is missing.": right / s,
        "Nothing is dropped here: this is the branch without a mask.": s * _branch(x, A, B),
    }


# --- 4.2 The layer ---------------------------------------------------------------------------


def check_DropoutLora(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """B A keeps lengths here, so the mask on the input can be read off the output."""
    out, s, p = 37, 7 / 3, _rate(rng)
    A = torch.linalg.qr(_draw(rng, IN, IN)).Q
    B = torch.linalg.qr(_draw(rng, out, IN)).Q  # (out, in), orthonormal columns: A' B' B A = I
    x = _draw(rng, 20, 10, IN)
    x = x + 0.5 * x.sign()  # no element is near zero, where a dropped one would hide
    linear = nn.Linear(IN, out).requires_grad_(False)
    base = linear(x).double()
    layer = answer(linear, A, B, s, p)
    if not isinstance(layer, nn.Module):
        raise Wrong(f"DropoutLora must be a torch.nn.Module; got {type(layer).__name__}.")
    _check_in_evaluation(layer, x, base, s * _branch(x.double(), A, B), p, linear.bias.double())
    _check_gradient_below(layer, x, linear, s * B.double() @ A.double())
    silent = answer(linear, A, torch.zeros_like(B), s, p).train()
    if (silent(x.clone()) - base).abs().max() > 1e-4 * base.abs().max():
        raise Wrong("With B = 0 the output is not the base's: the mask reaches the base path too.")
    layer.train()
    given = x.clone()
    first, second = layer(given), layer(x.clone())
    if not torch.equal(given, x):
        raise Wrong("The layer changes x itself: leave out inplace=True, others still read x.")
    if torch.equal(first, second):
        raise Wrong("In training two calls give the same output: draw a new mask at each call.")
    branch = (first.detach().double() - base) / s
    _check_mask(branch, x.double(), A.double(), B.double(), p)


def _check_gradient_below(layer: nn.Module, x: Tensor, linear: nn.Linear, delta: Tensor) -> None:
    """Frozen is not no_grad: what lies below the layer learns through W too."""
    below = x[:1, :1].clone().requires_grad_()
    out = layer(below)
    if out.requires_grad:
        out.sum().backward()
    got = torch.zeros_like(below) if below.grad is None else below.grad
    whole = (linear.weight.double() + delta).sum(0)
    if (got.double() - whole).abs().max() > 1e-3 * whole.abs().max():
        raise Wrong(
            "The gradient with respect to x is not that of W + s B A: frozen is not no_grad, and "
            "not detach. W does not train, but the layers below learn through it."
        )


def _check_in_evaluation(
    layer: nn.Module, x: Tensor, base: Tensor, branch: Tensor, p: float, bias: Tensor
) -> None:
    layer.eval()
    result = layer(x)
    if isinstance(result, Tensor) and not torch.equal(result, layer(x)):
        raise Wrong("In evaluation the output is still random: drop only while self.training.")
    expect(
        result,
        base + branch,
        k=IN,
        mistakes={
            "The base's output is missing: return base plus branch.": branch,
            "The base's bias is missing: call the linear layer itself.": base - bias + branch,
            "The scaling is missing.": base + branch / (7 / 3),
            "In evaluation the branch is gone. Only the mask goes; the branch stays.": base,
            "In evaluation the branch is multiplied by 1 - p. With 1 / (1 - p) in training, "
            "nothing is left to do in evaluation.": base + (1 - p) * branch,
            "In evaluation the branch is still divided by 1 - p.": base + branch / (1 - p),
        },
    )


def _check_mask(branch: Tensor, x: Tensor, A: Tensor, B: Tensor, p: float) -> None:
    """branch (20, 10, out) is B A (what was done to x): recover it and compare with x."""
    ratio = ((branch @ (B @ A)) / x).flatten(0, 1)  # (200, in): 0 or 1 / (1 - p)
    kept = ratio.abs() > 1e-3
    for factor, message in (
        (1 / (1 - p), ""),
        (1.0, "What is kept must grow by 1 / (1 - p) in training: that factor is missing."),
        (1 / p, "This divides by p, or keeps with probability p. p is the share dropped."),
        (1 - p, "This multiplies by 1 - p. What is kept must grow: divide by it."),
    ):
        if kept.any() and ((ratio[kept] - factor).abs() < 1e-3 * factor).all():
            if message:
                raise Wrong(message)
            return _check_share(kept, p)
    raise Wrong(_where_is_the_mask(branch, x, A, B))


def _check_share(kept: Tensor, p: float) -> None:
    if (kept == kept[0]).all():
        raise Wrong("All rows lose the same features. Each element of x has its own mask.")
    if (kept == kept[:, :1]).all():
        raise Wrong("Whole rows of x are dropped. Each element of x has its own mask.")
    dropped = 1 - kept.double().mean().item()  # of 6,200: known to 0.006 or better
    if abs(dropped - p) > 0.05:
        raise Wrong(f"With p = {p:.2f} a share of {dropped:.2f} was dropped.")


def _where_is_the_mask(branch: Tensor, x: Tensor, A: Tensor, B: Tensor) -> str:
    """Which other place of a mask explains the branch's output."""

    def two_values(masked: Tensor, whole: Tensor) -> bool:
        big = whole.abs() > 0.1 * whole.square().mean().sqrt()  # of a small one rounding is left
        ratio = masked[big] / whole[big]
        kept = ratio[ratio.abs() > 1e-2]
        return len(kept) > 0 and bool(((kept - kept[0]).abs() < 1e-2 * kept[0].abs()).all())

    rows, inputs = branch.flatten(0, 1), x.flatten(0, 1)
    if two_values(rows, _branch(inputs, A, B)):
        return "The mask is on the branch's output. It belongs on its input, x, before A."
    if two_values(rows @ B, inputs @ A.T):
        return "The mask is on A x. It belongs on the branch's input, x, before A."
    matrix = torch.linalg.lstsq(inputs, rows).solution
    if (inputs @ matrix - rows).abs().max() < 1e-3 * rows.abs().max():
        return "The mask is on a weight: one for the whole batch. It belongs on x, per element."
    return "In training the branch is not B A (x * mask / (1 - p)) for any mask."


# --- 4.3 The penalty -------------------------------------------------------------------------


def check_implied_penalty(answer: Callable[..., Any], rng: torch.Generator) -> None:
    # The square one first, so that rows taken for columns are told so and not "shapes differ".
    for out, in_ in ((17, 17), (OUT, IN)):
        X = _draw(rng, 40, in_) + 1.5
        W, D, p = _draw(rng, out, in_), 0.3 * _draw(rng, out, in_), 0.1 + _rate(rng)
        value = answer(X.clone(), W.clone(), W + D, p)
        if isinstance(value, Tensor) and value.numel() > 1:
            raise Wrong(f"Return one number: add up over the features. Got {tuple(value.shape)}.")
        expect(
            value,
            _penalty(X, (W + D).double() - W.double(), p),
            k=out * in_,
            mistakes=_penalty_mistakes(X, W, W + D, p),
        )


def _penalty(X: Tensor, D: Tensor, p: float) -> Tensor:
    """The variance of sum_j D_ij x_j m_j / (1 - p), summed over i, mean over the rows of X."""
    return p / (1 - p) * torch.einsum("nj,oj->no", X.double() ** 2, D**2).sum(1).mean()


def _penalty_mistakes(X: Tensor, W: Tensor, W_tuned: Tensor, p: float) -> dict[str, Tensor]:
    D, full, squares = W_tuned.double() - W.double(), W_tuned.double(), X.double() ** 2
    right, factor = _penalty(X, D, p), p / (1 - p)
    norms = D.square().sum(0)
    mistakes = {
        "The factor is p / (1 - p), not p alone.": right * (1 - p),
        "The factor is p / (1 - p), not 1 / (1 - p).": right / p,
        "The factor is p / (1 - p), not p (1 - p).": right * (1 - p) ** 2,
        "The factor p / (1 - p) is missing.": right / factor,
        "The factor is upside down: p / (1 - p) grows with p.": right / factor**2,
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
            factor * X.double().var(0) @ norms
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
    if len(D) == D.shape[1]:
        rows = factor * squares.mean(0) @ D.square().sum(1)
        mistakes["These are the rows of the update. Feature j meets column j: sum over dim 0."] = (
            rows
        )
    return mistakes
