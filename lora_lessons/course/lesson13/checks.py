"""The checks of lesson 13 on the layer: rsLoRA's scaling, DoRA's weight, PiSSA's start."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect, number
from ..checks.draws import whole

# Unequal primes, so that a transposed shape cannot pass by chance.
OUT, IN = 13, 11


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    """Normal numbers in float32."""
    return torch.randn(*shape, generator=rng)


def between(rng: torch.Generator, low: float, high: float) -> float:
    """A number between two."""
    return low + (high - low) * torch.rand((), generator=rng, dtype=torch.float64).item()


def parts(result: Any, count: int, what: str) -> list[Any]:
    """The result as that many parts, or a message that says which."""
    if result is None:
        raise Wrong("It returns None. Is the `return` missing?")
    if not isinstance(result, tuple | list) or len(result) != count:
        raise Wrong(f"Return {what}, in this order; got {type(result).__name__}.")
    return list(result)


def require_dtype(name: str, value: Any, W: Tensor) -> None:
    """Raise `Wrong` if a tensor has another dtype than W."""
    if isinstance(value, Tensor) and value.dtype != W.dtype:
        raise Wrong(f"W is {W.dtype}, and {name} is {value.dtype}: the layer works in W's dtype.")


def same(actual: float, wanted: float) -> bool:
    """Whether two numbers are the same but for rounding."""
    return math.isclose(actual, wanted, rel_tol=1e-6)


# --- 13.1 ------------------------------------------------------------------------------------


def check_rs_scaling(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """13.1: rsLoRA's scaling, and the alpha that gives plain LoRA the same."""
    drawn = [(whole(rng, 5, 40), whole(rng, 5, 90)) for _ in range(3)]
    fraction = drawn[0][0] + 0.5, drawn[0][1]  # an alpha need not be whole
    for alpha, r in [*drawn, (16, 8), (16, 1), fraction]:
        both = "two numbers: rsLoRA's scaling, and the alpha of plain LoRA"
        scaling, plain = map(number, parts(answer(alpha, r), 2, both))
        _check_scaling(scaling, alpha, r)
        _check_plain_alpha(plain, alpha, r)


CUT = "alpha is cut to a whole number. It may be any."


def _check_scaling(found: float, alpha: float, r: float) -> None:
    _compare(
        found,
        alpha / r**0.5,
        f"The scaling for alpha = {alpha}, r = {r}: ",
        {
            CUT: int(alpha) / r**0.5,
            "this is plain LoRA's, alpha / r. rsLoRA divides by the root of r.": alpha / r,
            "the root stands over alpha too. Only r is under it.": (alpha / r) ** 0.5,
            "alpha stands under the root, and r does not.": alpha**0.5 / r,
            "this multiplies by the root of r. Divide.": alpha * r**0.5,
            "this is upside down: alpha is above, the root of r below.": r**0.5 / alpha,
            "this multiplies by r. Divide by its root.": alpha * r,
            "this is r over alpha.": r / alpha,
            "this is one over the root of r. Where is alpha?": 1 / r**0.5,
        },
    )


def _check_plain_alpha(found: float, alpha: float, r: float) -> None:
    _compare(
        found,
        alpha * r**0.5,
        f"The plain alpha for alpha = {alpha}, r = {r}: ",
        {
            CUT: int(alpha) * r**0.5,
            "this converts the other way, from plain to rsLoRA. Plain LoRA divides by more, so it "
            "needs the larger alpha.": alpha / r**0.5,
            "this is the same alpha. Then plain LoRA's scaling is smaller by the root of r.": alpha,
            "this is too large by the root of r: alpha' / r must be alpha / sqrt(r).": alpha * r,
            "this is the scaling that plain LoRA has with this alpha, not an alpha.": alpha / r,
            "this is the root of r alone.": r**0.5,
        },
    )


def _compare(found: float, wanted: float, where: str, mistakes: dict[str, float]) -> None:
    """Numbers agree, or the first mistake that explains the answer is named."""
    if same(found, wanted):
        return
    for message, mistaken in mistakes.items():
        if same(found, mistaken):
            raise Wrong(where + message)
    raise Wrong(f"{where}expected {wanted:.6g}, got {found:.6g}.")


# --- 13.2 ------------------------------------------------------------------------------------


def check_dora_weight(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """13.2: DoRA's weight, and gradients that see its lengths as constants."""
    for r, size, s in ((1, 1.0, between(rng, 0.3, 3.0)), (3, 0.05, between(rng, 0.3, 3.0)),
                       (2, 1.0, 0.0)):  # fmt: skip
        W, A, B = size * normal(rng, OUT, IN), size * normal(rng, r, IN), normal(rng, OUT, r)
        m = normal(rng, OUT).abs() + 0.5
        m[whole(rng, 0, OUT - 1)] *= -1  # m trains, so it may cross zero
        trained = [tensor.requires_grad_() for tensor in (A, B, m)]
        found = answer(W, A, B, m, s)
        require_dtype("W'", found, W)
        _check_dora_value(found, *(t.detach().double() for t in (W, A, B, m)), s)
        _check_dora_gradient(found, W, trained, s, rng)
    A, B = normal(rng, 2, IN), torch.zeros(OUT, 2)
    W = normal(rng, OUT, IN)
    found = answer(W, A, B, W.norm(dim=1), 2.0)
    if not torch.allclose(found.detach(), W, atol=1e-5):
        raise Wrong("With B = 0, and m the lengths of W's rows, W' must be W: it starts there.")


def _check_dora_value(found: Any, W: Tensor, A: Tensor, B: Tensor, m: Tensor, s: float) -> None:
    V = W + s * B @ A
    rows, columns = V.norm(dim=1, keepdim=True), V.norm(dim=0, keepdim=True)
    m = m[:, None]
    expect(
        found,
        m * V / rows,
        k=IN,
        mistakes={
            "A negative m is made positive. m is a trained number like any other: multiply by "
            "it.": m.abs() * V / rows,
            "Lengths below 1 are raised to 1. A row may be as short as it likes.": m
            * V
            / rows.clamp(min=1.0),
            "The norm is taken over columns. Each output has one length: that of its row, over the "
            "in_features (dim=1).": m * V / columns,
            "The norm is that of W alone. Divide by the length that the rows have now, "
            "W + s B A.": m * V / W.norm(dim=1, keepdim=True),
            "W + s B A is not divided by its lengths: m comes on top of them.": m * V,
            "m is missing: these rows have length 1.": V / rows,
            "This is W + s B A, plain LoRA.": V,
            "The scaling s is missing in W + s B A.": m
            * (W + B @ A)
            / (W + B @ A).norm(dim=1, keepdim=True),
            "Only W is scaled by m over the lengths. The update is, too.": m * W / rows + s * B @ A,
            "This is divided by the norm of the whole matrix. Each row has its own.": m
            * V
            / V.norm(),
            "This is divided by the squared lengths: a root is missing.": m * V / rows.square(),
            "This is divided by the sum of absolute values. A length is the root of the sum of "
            "squares.": m * V / V.abs().sum(1, keepdim=True),
        },
    )


def _check_dora_gradient(
    found: Tensor, W: Tensor, trained: list[Tensor], s: float, rng: torch.Generator
) -> None:
    G = normal(rng, OUT, IN)
    if not found.requires_grad:
        raise Wrong("No gradient reaches A, B and m: only the norm is detached, not the result.")
    got = torch.autograd.grad((found * G).sum(), trained, allow_unused=True)
    A, B, m = (t.detach().double() for t in trained)
    V = W.double() + s * B @ A
    norms = V.norm(dim=1, keepdim=True)
    through = m[:, None] * G.double() / norms  # dL/dV with the norm as a constant
    wanted = (s * B.T @ through, s * through @ A.T, (G.double() * V / norms).sum(1))
    full = through - V / norms.square() * (through * V).sum(1, keepdim=True)
    for name, gradient, right in zip("ABm", got, wanted, strict=True):
        if gradient is None:
            raise Wrong(f"No gradient reaches {name}. Detach the norm, and nothing else.")
        mistakes = {}
        if name != "m":
            followed = s * B.T @ full if name == "A" else s * full @ A.T
            mistakes = {
                "The gradient goes through the norm too. It is a constant here: "
                ".norm(...).detach().": followed
            }
        expect(gradient, right, k=OUT * IN, mistakes=mistakes)


# --- 13.3 ------------------------------------------------------------------------------------


def check_pissa(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """13.3: what stays of W, and factors that give the rest back at the start."""
    for shape, dtype in (
        ((OUT, IN), torch.float32),
        ((IN, OUT), torch.float32),
        ((OUT, IN), torch.float64),
    ):
        r = whole(rng, 2, 5) if dtype == torch.float32 else 1
        s = between(rng, 1.6, 4.0)
        s = s if shape[0] > shape[1] else float(round(s))  # a whole one, too
        U, S, Vh = torch.linalg.svd(normal(rng, *shape).double(), full_matrices=False)
        # singular values well apart: where two nearly agree, float32 cannot tell the first r
        W = (U * 9 * 0.75 ** torch.arange(len(S)) @ Vh).to(dtype)
        result = parts(answer(W.clone(), r, s), 3, "three tensors: what stays of W, A, and B")
        for name, value in zip(("the rest of W", "A", "B"), result, strict=True):
            require_dtype(name, value, W)
        _check_pissa(result, W.double(), r, s)


def _check_pissa(result: list[Any], W: Tensor, r: int, s: float) -> None:
    shapes = (("the rest of W", tuple(W.shape)), ("A", (r, W.shape[1])), ("B", (W.shape[0], r)))
    for value, (name, shape) in zip(result, shapes, strict=True):
        if not isinstance(value, Tensor):
            raise Wrong(f"{name} must be a tensor; got {type(value).__name__}.")
        if tuple(value.shape) != shape:
            raise Wrong(
                f"{name} must have the shape {shape}; got {tuple(value.shape)}. torch.linalg.svd "
                "returns U, S and V transposed: W = U diag(S) Vh."
            )
    A, B = (value.detach().double() for value in result[1:])
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    main = U[:, :r] * S[:r] @ Vh[:r]
    _check_taken_out(s * B @ A, main, U, S, Vh, r, s)
    expect(
        result[0],
        W - main,
        k=IN,
        mistakes={
            "W keeps the whole of itself: then W + s B A counts its main part twice. Take it "
            "out.": W,
            "The part is added to W. Take it out.": W + main,
            "B A is taken out, without the scaling. The layer adds s B A.": W - main / s,
            "The main part is what stays. It belongs to A and B; the rest stays.": main,
        },
    )
    _check_balance(A, B, S[:r], s)


def _check_taken_out(
    product: Tensor, main: Tensor, U: Tensor, S: Tensor, Vh: Tensor, r: int, s: float
) -> None:
    low = U[:, -r:] * S[-r:] @ Vh[-r:]
    roots = U[:, :r] * S[:r].sqrt() @ Vh[:r]
    expect(
        product,
        main,
        k=IN,
        mistakes={
            "B A is the main part of W, so s B A is s times too much. Divide each factor by the "
            "root of s.": s * main,
            "The root is missing: each factor has S / s in full, and their product its square.": U[
                :, :r
            ]
            * (S[:r].square() / s)
            @ Vh[:r],
            "The scaling is divided out twice.": main / s,
            "The scaling is divided out once too little: only one factor has its root.": main
            * s**0.5,
            "These are the smallest singular values. S is in descending order: take the first "
            "r.": low,
            "These are the smallest singular values. S is in descending order: take the first "
            "r. And s B A must be that part: divide by s.": s * low,
            "Only one of the factors has the root of S: the product has S to the power of a "
            "half.": roots,
            "The singular values are in both factors in full: their product squares them. Each "
            "gets the root.": U[:, :r] * S[:r].square() @ Vh[:r],
            "The singular values are missing.": U[:, :r] @ Vh[:r],
        },
    )


def _check_balance(A: Tensor, B: Tensor, S: Tensor, s: float) -> None:
    """Each column of B and each row of A is as long as the root of S / s."""
    wanted = (S / s).sqrt()
    if torch.allclose(B.norm(dim=0), wanted, rtol=1e-3):
        return
    if torch.allclose(B.norm(dim=0), torch.ones_like(S), rtol=1e-3) or torch.allclose(
        A.norm(dim=1), torch.ones_like(S), rtol=1e-3
    ):
        raise Wrong(
            "The product is right, but one factor holds all of S and the other has length 1. Each "
            "gets the root, so that both learn at the same pace."
        )
    if torch.allclose(B.norm(dim=0), S.sqrt(), rtol=1e-3):
        raise Wrong("The product is right, but the scaling is all in A. Each gets the root of it.")
    if torch.allclose(A.norm(dim=1), S.sqrt(), rtol=1e-3):
        raise Wrong("The product is right, but the scaling is all in B. Each gets the root of it.")
    raise Wrong(
        "The product is right, but column i of B and row i of A must both be as long as "
        "sqrt(S_i / s)."
    )
