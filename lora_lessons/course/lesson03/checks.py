"""The checks of lesson 03: the scaling, the first update, equal runs, power laws, broken runs.

Every expected value is computed here in float64, by other means than the package's own functions.
The exercises ask for other names and arguments than the package and PEFT have.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect, number

# Unequal primes, an r with no whole root and an alpha it does not divide: no bug can hide.
OUT, IN, R, ALPHA = 23, 31, 3, 7


def _draw(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64).float()


def _uniform(rng: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand(1, generator=rng, dtype=torch.float64).item()


# out, in, r, alpha: all unequal and nothing whole first; then r above both, r = 1, a fraction; and
# alpha = 0, where W is left
WEIGHTS = ((23, 31, 7, 20), (5, 6, 16, 0.5), (4, 4, 1, 24.0), (6, 3, 2, 3), (3, 5, 2, 0))


def check_adapted_weight(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for out, in_, r, alpha in WEIGHTS:
        W, B, A = _draw(rng, out, in_), _draw(rng, out, r), _draw(rng, r, in_)
        for stabilized in (False, True):
            _check_weight(answer, W, B, A, alpha, stabilized)
    found = answer(W.double(), B.double(), A.double(), alpha, False)
    if found.dtype != torch.float64:
        raise Wrong(f"W is in float64 and the result in {found.dtype}: that loses digits.")
    expect(found, W.double() + alpha / r * torch.einsum("or,ri->oi", B.double(), A.double()), k=in_)


def _check_weight(
    answer: Callable[..., Any], W: Tensor, B: Tensor, A: Tensor, alpha: float, stabilized: bool
) -> None:
    r, W64, BA = len(A), W.double(), torch.einsum("or,ri->oi", B.double(), A.double())
    root = math.sqrt(r)
    s, other = (alpha / root, alpha / r) if stabilized else (alpha / r, alpha / root)
    which = (
        "stabilized is True: divide alpha by sqrt(r), not by r."
        if stabilized
        else "stabilized is False: divide alpha by r. The root is for rsLoRA alone."
    )
    found = answer(W.clone(), B.clone(), A.clone(), alpha, stabilized)
    _expect(
        found,
        lambda: _which_scaling(found, W64, BA, s, stabilized),
        W64 + s * BA,
        k=max(W.shape),
        mistakes={
            which: W64 + other * BA,
            "The scaling is upside down: alpha is above, r below.": (
                W64 + (1 / s if s else math.inf) * BA
            ),
            "The update is r times too large: did you leave out the division by r?": (
                W64 + alpha * BA
            ),
            "B A is not scaled: multiply it by the scaling.": W64 + BA,
            "W is scaled too. The scaling is the factor of B A, not of the weight.": s * (W64 + BA),
            "This is the update alone: W is missing.": s * BA,
            "This is the scaling times W. The card says it loosely: it is W + s B A.": s * W64,
            **_mistaken_scalings(W64, BA, alpha, r, stabilized),
        },
    )


def _expect(found: Any, otherwise: Callable[[], str], expected: Tensor, **how: Any) -> None:
    """`expect`; where it has no more to say than two numbers, `otherwise()` may say more."""
    try:
        expect(found, expected, **how)
    except Wrong as error:
        if not str(error).startswith(("Expected", "The result is", "Nearly right")):
            raise
        raise Wrong(otherwise() or str(error)) from error


def _which_scaling(found: Tensor, W: Tensor, BA: Tensor, s: float, stabilized: bool) -> str:
    """What B A was multiplied by, where it is one number."""
    update = found.detach().double() - W
    times = (update * BA).sum() / BA.square().sum()
    if not (update - times * BA).abs().max() <= 1e-3 * update.abs().max():
        return "What is added to W is not a multiple of B A: the product of matrices is B @ A."
    rule = "alpha / sqrt(r)" if stabilized else "alpha / r"
    return f"B A is multiplied by {times:.5g} here. The scaling is {rule} = {s:.5g}."


def _mistaken_scalings(
    W: Tensor, BA: Tensor, alpha: float, r: int, stabilized: bool
) -> dict[str, Tensor]:
    power, (out, in_) = 0.5 if stabilized else 1, W.shape
    s, root = alpha / r**power, math.sqrt(r)
    mistaken = {
        "alpha was divided by out_features. r is the number of A's rows.": alpha / out**power,
        "alpha was divided by in_features. r is the number of A's rows.": alpha / in_**power,
        "The root was taken of alpha too: it is alpha / sqrt(r).": math.sqrt(alpha / r),
        "// drops the fraction. Divide with /.": alpha // r**power,
        "The root of r was cut to a whole number: math.sqrt(r) has a fraction.": alpha / int(root),
        "The root of r was rounded: math.sqrt(r) has a fraction.": alpha / round(root),
        "The update is subtracted: it is added.": -s,
        "s is there twice. B A is multiplied by it once.": s * s,
        "alpha is divided by r and by its root too. One of them is meant.": alpha / r**1.5,
        "alpha is divided by r squared.": alpha / r**2,
    }
    return {message: W + scaling * BA for message, scaling in mistaken.items()}


def check_alpha_for(answer: Callable[..., Any], rng: torch.Generator) -> None:
    alpha = _uniform(rng, 6.0, 40.0)
    more = 5 + int(torch.randint(2, 200, (1,), generator=rng))
    # up, down, no change, from 1, a whole ratio with a whole alpha, then a broken one, a large
    # alpha, and one below 1
    ranks = ((more, 5, alpha), (6, 64, alpha), (9, 9, alpha), (17, 1, alpha), (128, 8, 8))
    ranks = (*ranks, (6, 4, 7), (512, 3, 300.0))
    for new_r, old_r, old in (*ranks, (3, more, 0.37)):
        for stabilized in (False, True):
            found = number(answer(new_r, old_r, old, stabilized))
            _check_alpha(found, new_r, old_r, old, stabilized)


def _check_alpha(found: Any, new_r: int, old_r: int, old: float, stabilized: bool) -> None:
    ratio, power = new_r / old_r, 0.5 if stabilized else 1
    rule = (
        "stabilized is True: the scaling is alpha / sqrt(r), so alpha grows with the root of r."
        if stabilized
        else "stabilized is False: the scaling is alpha / r, so alpha grows as r does."
    )
    unchanged = (
        "alpha is unchanged: then the scaling falls as r grows. That is the trap."
        if new_r > old_r
        else "alpha is unchanged, and new_r is smaller here: alpha falls with it."
    )
    mistaken = {
        unchanged: old,
        rule: old * (ratio if stabilized else math.sqrt(ratio)),
        "The ratio is upside down: a larger r needs a larger alpha.": old / ratio**power,
        "2r is a habit, not the same scaling: start from the old alpha and r.": 2.0 * new_r,
        "A scaling is a ratio: multiply by new_r / old_r, do not add the difference.": (
            old + new_r - old_r
        ),
    }
    as_tensor = lambda value: torch.tensor(float(value), dtype=torch.float64)  # noqa: E731
    mistakes = {message: as_tensor(value) for message, value in mistaken.items()}
    _expect(
        found,
        lambda: (
            f"This gives the scaling {float(found) / new_r**power:.5g} at r = {new_r}, and was "
            f"{old / old_r**power:.5g} at r = {old_r}, alpha = {old:.5g}: it must stay."
        ),
        as_tensor(old * ratio**power),
        mistakes=_mistaken_alphas(new_r, old_r, old, power) | mistakes,
    )


def _mistaken_alphas(new_r: int, old_r: int, old: float, power: float) -> dict[str, Tensor]:
    right, ratio = old * (new_r / old_r) ** power, new_r / old_r
    mistaken = {
        "This is the scaling, not the alpha that keeps it.": old / old_r**power,
        "This is what the scaling becomes if alpha stays. Return the alpha that keeps the old "
        "scaling.": old / new_r**power,
        "This is the factor for alpha. Multiply old_alpha by it.": ratio**power,
        "With stabilized the old scaling is alpha / sqrt(old_r), not alpha / old_r.": (
            old / old_r * new_r**power
        ),
        "The root was taken of alpha too. Only the ratio of the ranks is under it.": (
            (old * ratio) ** power
        ),
        "// drops the fraction. Divide the ranks with /.": old * (new_r // old_r) ** power,
        "The root was cut to a whole number: math.sqrt has a fraction.": (
            old * math.isqrt(new_r) / math.isqrt(old_r) if power < 1 else right
        ),
        "The root of the ratio was cut to a whole number: math.sqrt has a fraction.": (
            old * int(ratio**power)
        ),
        "The result was rounded. alpha need not be a whole number.": round(right),
        "The result was cut to a whole number. alpha may have a fraction.": math.floor(right),
    }
    return {
        message: torch.tensor(float(value), dtype=torch.float64)
        for message, value in mistaken.items()
    }


def check_first_update(answer: Callable[..., Any], rng: torch.Generator) -> None:
    # r above both sides, r = 1; s above 1 and below it
    for shape, low, high in (((OUT, IN, R), 2, 3), ((4, 6, 9), 0.2, 0.7), ((3, 5, 1), 1.2, 9)):
        _check_step(answer, shape, _uniform(rng, low, high), rng)
    _check_dead_outputs(answer, rng)


def _check_dead_outputs(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """Two outputs have no gradient, as dead units have none: their weights stay."""
    G, A, s, lr = _draw(rng, 5, 7), _draw(rng, 2, 7), 1.5, 0.1
    G[1] = G[3] = 0
    thin = G.double() @ A.double().T
    steps = {"sgd": s * thin, "adam": thin.sign()}
    for optimizer, step in steps.items():
        found = answer(G.clone(), A.clone(), s, lr, optimizer)
        if not isinstance(found, Tensor) or found.shape != G.shape:
            raise Wrong(f"Return a tensor of the shape of G, {tuple(G.shape)}.")
        rows = found.detach()[[1, 3]]
        if not rows.isfinite().all() or not rows.abs().max() <= 1e-4:
            raise Wrong(
                f"{optimizer}: where B's gradient is exactly 0 there is no step, and sign(0) is 0: "
                f"rows 1 and 3 of G are 0 here, and W moves there, by {rows.abs().max():.3g}."
            )
        expect(found, -lr * s * step @ A.double(), k=14, case="for a G with two rows of zeros")


def _check_step(
    answer: Callable[..., Any], shape: tuple[int, int, int], s: float, rng: torch.Generator
) -> None:
    (out, in_, r), lr, smallest = shape, _uniform(rng, 0.01, 0.1), 0.0
    while smallest < 0.02:  # nearer to zero, rounding decides the sign and Adam's eps counts
        G, A = _draw(rng, out, in_), _draw(rng, r, in_)
        G64, A64 = G.double(), A.double()
        thin = torch.einsum("oi,ri->or", G64, A64)  # the gradient of B, without s
        smallest = thin.abs().min().item()
    plain, signed = thin @ A64, thin.sign() @ A64
    first = answer(G.clone(), A.clone(), s, lr, "sgd")
    if isinstance(first, Tensor) and first.shape == (out, r) != (out, in_):
        raise Wrong(
            "This is B's step, of shape (out, r). W moves by s B A: multiply it by s and A."
        )
    expect(
        first,
        -lr * s * s * plain,
        k=in_ * r,
        mistakes={
            "s appears once. It is in the gradient of B and again in s B A: s squared.": (
                -lr * s * plain
            ),
            "s is missing.": -lr * plain,
            "The sign is wrong: a step goes against the gradient.": lr * s * s * plain,
            "A.T @ A is missing: W moves only along the rows of A.": -lr * s * s * G64,
            "A.T @ A is missing, and s once: B moves by -lr s G A.T, and W by s B A.": (
                -lr * s * G64
            ),
            "This is lr times G itself. B moves by lr times its own gradient, s G @ A.T, and W by "
            "s B A.": -lr * G64,
            "There is no half in it: a step is lr times the gradient.": -lr * s * s * plain / 2,
            "lr is missing: a step is lr times the gradient.": -s * s * plain,
            "lr is there twice.": -lr * lr * s * s * plain,
            "s is there three times: once in B's gradient, once in s B A.": -lr * s**3 * plain,
            "This is a mean over the rows of A. They add up in B A.": -lr * s * s * plain / r,
            "A moves too here. B starts at zero, so A's gradient is zero at the first step.": (
                -lr * s * s * thin @ (A64 - lr * A64)
            ),
            "This is Adam's step. SGD moves B by the gradient itself, not by its sign.": (
                -lr * s * signed
            ),
        },
        factors={"s": s, "lr": lr, "r": r, "out": out, "in": in_},
        otherwise=lambda: _which_step(first, A64, thin, s, lr),
    )
    moved = answer(G.clone(), A.clone(), s, lr, "adam")
    _expect(
        moved,
        lambda: _which_steps(moved, A64, thin, s * lr),
        -lr * s * signed,
        k=in_ * r,
        mistakes={
            "s squared belongs to SGD. Adam's step does not grow with the gradient, so s is "
            "left once.": -lr * s * s * signed,
            "s is missing: B moves by lr, and W by s B A.": -lr * signed,
            "This is SGD's step. Adam's first step moves each entry of B by lr times the sign of "
            "its gradient.": -lr * s * s * plain,
            "The sign is that of B's gradient, G @ A.T: take it before you multiply by A.": (
                -lr * s * plain.sign()
            ),
            **{
                f"The sign was taken of G{too}. Adam sees the gradient of B, which is s G @ A.T.": (
                    -lr * scaling * G64.sign() @ A64.T @ A64
                )
                for too, scaling in (("", s), (", and s is there twice", s * s))
            },
            "The gradient was divided by its mean size. Adam divides each entry by its own.": (
                -lr * s * plain / thin.abs().mean()
            ),
            "The gradient was divided by its root. Adam divides each entry by its size.": (
                -lr * s * math.sqrt(s) * (thin.sign() * thin.abs().sqrt()) @ A64
            ),
            "The gradient was divided by its whole norm. Adam divides each entry by its size.": (
                -lr * s * plain / thin.norm()
            ),
            "lr is missing: each entry of B moves by lr.": -s * signed,
            "This is sqrt(10) times too long: Adam's averages start at zero, and it corrects them. "
            "Then the first step is lr times the sign.": -lr * s * math.sqrt(10) * signed,
            "The sign is wrong: a step goes against the gradient.": lr * s * signed,
        },
    )


def _which_step(found: Tensor, A: Tensor, thin: Tensor, s: float, lr: float) -> str:
    """What B's step was in a wrong update by SGD, where A's rows let it be read off."""
    if len(A) > A.shape[1]:
        return ""
    wide = found.detach().double()
    B = wide @ torch.linalg.pinv(A) / s
    if not (B @ A * s - wide).abs().max() <= 1e-3 * wide.abs().max():
        return "s B A moves W along the rows of A alone, and this moves it off them."
    right = -lr * s * thin
    at = int((B - right).abs().argmax())
    return (
        f"For it an entry of B would move by {B.flatten()[at]:.4g}. SGD moves it by lr times its "
        f"gradient, s G @ A.T: by {right.flatten()[at]:.4g}."
    )


def _which_steps(found: Tensor, A: Tensor, thin: Tensor, unit: float) -> str:
    """How far each entry of B moved, in units of lr, where A's rows let it be read off."""
    if len(A) > A.shape[1]:
        return ""
    steps = found.detach().double() @ torch.linalg.pinv(A) / unit
    if (steps.abs() - 1).abs().max() < 1e-3:
        return "The signs of some steps are not those of G @ A.T, the gradient of B."
    return (
        f"B's entries move by {steps.abs().min():.3g} to {steps.abs().max():.3g} times lr here. "
        "Adam's first step divides each entry of the gradient by its own size: each moves by lr."
    )


SETTINGS = ("lr", "weight_decay", "start_A")


def check_same_run(answer: Callable[..., Any], rng: torch.Generator) -> None:
    above, below = _uniform(rng, 2.5, 9.0), _uniform(rng, 0.1, 0.6)
    rate, shrink = _uniform(rng, 0.001, 0.1), _uniform(rng, 0.01, 0.3)
    cases = ((above, rate, shrink), (below, 2.5, shrink), (16, rate, 3.0), (above, rate, 0.0))
    cases = (*cases, (below, rate / 1000, shrink / 100))  # as small as rates are for large models
    for k, lr, decay in cases:
        _check_settings(answer, k, lr, decay)


def _check_settings(answer: Callable[..., Any], k: float, lr: float, decay: float) -> None:
    for optimizer, power in (("adamw", 0.5), ("sgd", 1.0)):
        found = answer(k, lr, decay, optimizer)
        if not (isinstance(found, dict) and set(found) >= set(SETTINGS)):
            raise Wrong(f"Return a dict with the keys {', '.join(SETTINGS)}.")
        found = {name: found[name] for name in SETTINGS}  # one more, such as eps, does no harm
        for name, value in found.items():
            if not isinstance(value, numbers.Real | Tensor) or isinstance(value, bool):
                raise Wrong(f"{name} must be one number; got {type(value).__name__}.")
        if _is(found["lr"], k**power) and not _is(found["lr"], lr * k**power):
            raise Wrong("lr is the new learning rate itself, not the factor: multiply it by lr.")
        _check_rate(found["lr"] / lr, k, power, optimizer)
        _check_start(found["start_A"], k)
        if decay:
            _check_decay(found["weight_decay"] / decay, k, power, optimizer)
        elif found["weight_decay"] != 0:
            raise Wrong(f"{optimizer}: without weight decay there is none to make up for.")


def _is(value: float, expected: float) -> bool:
    return math.isclose(value, expected, rel_tol=1e-5)


def _check_rate(factor: float, k: float, power: float, optimizer: str) -> None:
    if _is(factor, k**power):
        return
    if optimizer == "adamw" and _is(factor, k):
        raise Wrong(
            "adamw: lr x k moves A k times as far too. Its steps do not grow with the gradient: "
            "A and B each take a factor sqrt(k)."
        )
    if optimizer == "sgd" and _is(factor, math.sqrt(k)):
        raise Wrong(
            "sgd: the gradients shrink by sqrt(k) as A and B grow by it, so the rate must make up "
            "for both."
        )
    if optimizer == "sgd" and _is(factor, k * k):
        raise Wrong("sgd: k squared is right for the first update only. The rate takes k.")
    if not math.isfinite(factor):
        raise Wrong(f"{optimizer}: lr is {factor} for k = {k:.4g}.")
    if k < 1 and _is(factor, 1):
        raise Wrong(f"{optimizer}: k is below 1 here, {k:.4g}, and lr falls with it.")
    if _is(factor, 1):
        raise Wrong(f"{optimizer}: with A's start alone the run is another one. Change lr too.")
    if _is(factor, k**-power):
        raise Wrong(f"{optimizer}: the rate is divided where it must be multiplied.")
    raise Wrong(
        f"{optimizer}: lr is multiplied by {_as_power(factor, k)}; expected "
        f"{_as_power(k**power, k)}."
    )


def _as_power(factor: float, k: float) -> str:
    """The factor, as a power of k where it is one."""
    powers = {
        -2: "1/k^2", -1.5: "k^-1.5", -1: "1/k", -0.5: "1/sqrt(k)", -0.25: "k^-0.25", 0: "1",
        0.25: "k^0.25", 0.5: "sqrt(k)", 0.75: "k^0.75", 1: "k", 1.5: "k^1.5", 2: "k^2", 4: "k^4",
    }  # fmt: skip
    named = [text for power, text in powers.items() if power and _is(factor, k**power)]
    return f"{named[0]} = {factor:.4g}" if named else f"{factor:.4g} (k is {k:.4g})"


def _check_start(factor: float, k: float) -> None:
    if _is(factor, math.sqrt(k)):
        return
    if _is(factor, 1):
        raise Wrong("A's start is unchanged: both A and B must be sqrt(k) times as large.")
    if _is(factor, k):
        raise Wrong("A's start takes sqrt(k): B supplies the other sqrt(k) of alpha x k.")
    raise Wrong(
        f"start_A is {_as_power(factor, k)}; expected {_as_power(math.sqrt(k), k)}: it is a factor "
        "for A's first values, and neither lr nor the decay is in it."
    )


def _check_decay(factor: float, k: float, power: float, optimizer: str) -> None:
    if _is(factor, k**-power):
        return
    if _is(factor, 1):
        raise Wrong(
            f"{optimizer}: the decay is unchanged, but a step shrinks a weight by lr x decay: that "
            "product must stay."
        )
    if _is(factor, k**power) or _is(factor, k):
        raise Wrong(f"{optimizer}: the decay is multiplied; lr x decay stays if it is divided.")
    if factor == 0:
        raise Wrong(f"{optimizer}: the decay is lost. lr x decay stays, so it is divided.")
    raise Wrong(
        f"{optimizer}: decay is multiplied by {_as_power(factor, k)}; expected "
        f"{_as_power(k**-power, k)}, so that lr x decay stays: lr takes {_as_power(k**power, k)}."
    )
