"""The check of exercise 2.2: the output of a layer with its branch, and its gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..checks.core import Wrong, expect
from .checks import ALPHA, IN, OUT, R, draw, make_linear


def check_forward_with_branch(answer: Callable[..., Any], rng: torch.Generator) -> None:
    linear, A, B = make_linear(rng), draw(rng, R, IN), draw(rng, OUT, R)
    x = draw(rng, 5, IN)
    run = lambda x: answer(x, linear, A, B, ALPHA)  # noqa: E731
    expect_forward(run(x), x, linear, A, B, run=run)
    for dims, shape in (
        ("(batch, time, in)", (2, 5, IN)), ("four dimensions", (2, 3, 2, IN)), ("(in,)", (IN,)),
        ("(1, 1, in)", (1, 1, IN)),
    ):  # fmt: skip
        x = draw(rng, *shape)
        try:
            result = answer(x, linear, A, B, ALPHA)
        except NotImplementedError:
            raise
        except Exception as error:
            raise Wrong(
                f"Right for x of shape (batch, in), but it fails for {dims}: "
                f"transpose A and B, not x, and multiply from the right. ({type(error).__name__})"
            ) from error
        expect_forward(result, x, linear, A, B, run=run)
    _check_other_layers(answer, rng)
    with _NoProductOfFactors(A, B, linear.weight):
        answer(draw(rng, 5, IN), linear, A, B, ALPHA)


def _check_other_layers(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """Layers without a bias, r above in and out, rank 1, float64; and every gradient."""
    for in_, out, r, alpha, bias in (
        (IN, OUT, 4, 16, False), (3, 5, 7, 0.5, True), (5, 2, 1, 3.0, True), (4, 4, 4, 1, True),
        (3, 2, 2, 0, True),  # with alpha = 0 it is the base
    ):  # fmt: skip
        linear = make_linear(rng, torch.float64, in_, out, bias)
        A, B = (draw(rng, *shape, dtype=torch.float64) for shape in ((r, in_), (out, r)))
        A, B = A.requires_grad_(), B.requires_grad_()
        x = draw(rng, 3, 2, in_, dtype=torch.float64).requires_grad_()
        result = answer(x, linear, A, B, alpha)
        expect_forward(result, x, linear, A, B, alpha)
        check_gradients(result, linear, A, B, x, alpha)
        _check_digits(result, x, linear, A, B, alpha)


def _check_digits(
    result: Tensor, x: Tensor, linear: nn.Linear, A: Tensor, B: Tensor, alpha: float
) -> None:
    """What was computed in float64 throughout has its digits."""
    with torch.no_grad():
        right = linear(x) + alpha / len(A) * torch.einsum("...i,ri,or->...o", x, A, B)
        lost = not (result - right).abs().max() <= 1e-11 * (1 + right.abs().max())
    if lost:
        raise Wrong("x is float64 and the output has the digits of float32: leave out .float().")


class _NoProductOfFactors(TorchFunctionMode):
    """Raises `Wrong` where a tensor of the shape of W holds B A: it was formed."""

    def __init__(self, A: Tensor, B: Tensor, W: Tensor) -> None:
        super().__init__()
        with torch.no_grad():
            self._W, self._BA = W.double(), B.double() @ A.double()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and tuple(result.shape) in ((OUT, IN), (IN, OUT)):
            with torch._C.DisableTorchFunction():
                formed = self._holds(result.detach().double())
            if formed:
                raise Wrong(
                    "The numbers are right, but B A was formed, a matrix as large as W: multiply "
                    "x by A first, then by B."
                )
        return result

    def _holds(self, M: Tensor) -> bool:
        """True where M is a multiple of B A, or of B A and W together."""
        M = (M if tuple(M.shape) == (OUT, IN) else M.T).flatten()
        both = torch.stack([self._BA.flatten(), self._W.flatten()], 1)  # (out in, 2)
        shares = torch.linalg.lstsq(both, M[:, None]).solution.flatten()
        rest = (both @ shares - M).abs().max()
        return bool(shares[0].abs() > 1e-6 and rest < 1e-4 * M.abs().max())


def expect_forward(
    result: Any,
    x: Tensor,
    linear: nn.Linear,
    A: Tensor,
    B: Tensor,
    alpha: float = ALPHA,
    run: Callable[[Tensor], Any] | None = None,
) -> None:
    """Raise `Wrong` unless `result` is W x + b + (alpha / r) B A x, and has x's dtype.

    `run` gives the output for another x, so that a message can say what the branch does to it.
    """
    given = x.detach()
    x, W, A, B = (t.detach().double() for t in (x, linear.weight, A, B))
    (r, in_), out = A.shape, len(B)
    b = torch.zeros(out).double() if linear.bias is None else linear.bias.detach().double()
    scaling = alpha / r
    upside_down = 1 / scaling if scaling else math.inf
    base = torch.einsum("...i,oi->...o", x, W) + b
    branch = torch.einsum("...i,ri,or->...o", x, A, B)
    expect(
        result,
        base + scaling * branch,
        k=in_ * r,
        case=f"for x {tuple(x.shape)}, A {tuple(A.shape)}, B {tuple(B.shape)}, alpha = {alpha}"
        + ("" if linear.bias is not None else ", without a bias"),
        otherwise=lambda: _what_is_added(run, given, base, branch, scaling, b) if run else "",
        mistakes=lambda: {
            "The base is scaled too: alpha / r belongs to the branch alone.": (
                scaling * (base + branch)
            ),
            "The bias is added twice: the branch has no bias.": base + b + scaling * branch,
            "The branch has the linear's bias, scaled: it has none.": (
                base + scaling * (branch + b)
            ),
            "The bias is missing: call linear(x), or add linear.bias.": (
                base - b + scaling * branch
            ),
            "The branch is r times too large: did you leave out the division by r?": (
                base + alpha * branch
            ),
            "The branch is not scaled: multiply it by alpha / r.": base + branch,
            "The scaling is upside down: it is alpha / r.": base + branch * upside_down,
            "alpha was divided by sqrt(r). Here it is divided by r itself.": (
                base + alpha / math.sqrt(r) * branch
            ),
            "alpha was divided by in_features. r is the number of A's rows, A.shape[0].": (
                base + alpha / in_ * branch
            ),
            "alpha was divided by out_features. r is the number of A's rows, A.shape[0].": (
                base + alpha / out * branch
            ),
            "alpha // r drops the fraction. Divide with /.": base + alpha // r * branch,
            "The branch is subtracted: it is added.": base - scaling * branch,
            "The base is missing: the branch is added to linear(x).": scaling * branch,
            "alpha was divided by r twice: it is alpha / r.": base + alpha / r**2 * branch,
            "The branch is added twice.": base + 2 * scaling * branch,
            "The branch is multiplied by alpha * r: it is alpha / r.": base + alpha * r * branch,
            "alpha was divided by the smaller side of A. r is its number of rows, A.shape[0].": (
                base + alpha / min(r, in_) * branch
            ),
            "x is scaled for both: the scaling belongs to the branch alone.": (
                scaling * (base - b) + b + scaling * branch
            ),
            "The base is added twice.": 2 * base + scaling * branch,
            "The branch is missing: this is linear(x) alone.": base,
            "The scaling is there twice: B A x is multiplied by it once.": (
                base + scaling**2 * branch
            ),
        },
    )


def _what_is_added(
    run: Callable[[Tensor], Any], x: Tensor, base: Tensor, branch: Tensor, scaling: float, b: Tensor
) -> str:
    """How a wrong output depends on x."""
    with torch.no_grad():
        got, again = run(x.clone()).double(), run(x.clone()).double()
        if not torch.equal(got, again):
            return "Two calls give two outputs: something random stands in it, such as dropout."
        rest, scale = got - base, base.abs().max() + got.abs().max()
        if x.dim() > 1 and len(x) > 1:
            alone = run(x[:1].clone()).double()
            if alone.shape != got[:1].shape or not (alone - got[:1]).abs().max() <= 1e-3 * scale:
                return "The output of a row changes with the other rows. Each row is for itself."
        times = (rest * branch).sum() / branch.square().sum()
        if (rest - times * branch).abs().max() < 1e-3 * scale:
            return (
                f"What is added to linear(x) is {times:.5g} times x A^T B^T. The scaling alpha / r "
                f"is {scaling:.5g}."
            )
        zero = run(torch.zeros_like(x)).double()
        if not (zero - b).abs().max() <= 1e-3 * scale:
            return "For x = 0 the output must be the bias, and it is not: the bias is added once."
        turned, plus = run(-x).double() - zero, got - zero
        if not (turned + plus).abs().max() <= 1e-3 * scale:
            return (
                "For -x the output does not turn round: something that is not linear, such as a "
                "relu, stands in it. Only products and a sum are asked for."
            )
    return "What is added to linear(x) is no multiple of x A^T B^T."


def check_gradients(
    result: Tensor, linear: nn.Linear, A: Tensor, B: Tensor, x: Tensor, alpha: float
) -> None:
    """Raise `Wrong` unless the sum of `result` has the right gradients by x, A and B."""
    if not result.requires_grad:
        raise Wrong("The output carries no gradient at all: is all of forward under no_grad?")
    if result.dtype != x.dtype:
        raise Wrong(f"x is {x.dtype} and the output {result.dtype}: keep the dtype of x.")
    got = torch.autograd.grad(result.sum(), (x, A, B), allow_unused=True)
    scaling, W = alpha / len(A), linear.weight.detach()
    with torch.no_grad():
        ones = torch.ones_like(result)
        branch = scaling * torch.einsum("...o,or,ri->...i", ones, B, A)
        grad_A = scaling * torch.einsum("...o,or,...i->ri", ones, B, x)
        grad_B = scaling * torch.einsum("...o,...i,ri->or", ones, x, A)
    if got[0] is None:
        raise Wrong("No gradient reaches the layer below. Frozen is not no_grad: remove it.")
    expect(
        got[0],
        ones @ W + branch,
        k=len(W),
        mistakes={
            "No gradient flows through W to the layer below: is W's product under no_grad, or "
            "detached? Frozen is not no_grad.": branch,
            "No gradient flows through the branch to the layer below: is x detached there?": (
                ones @ W
            ),
            "The gradient of x is too small by half: does a hook or a factor change it on the way "
            "back?": (ones @ W + branch) / 2,
        },
        case="in the gradient of x, with the output right",
    )
    for name, mine, right in (("A", got[1], grad_A), ("B", got[2], grad_B)):
        if mine is None:
            raise Wrong("A or B gets no gradient in backward: use A and B as they are, undetached.")
        expect(
            mine,
            right,
            k=len(W) * 10,
            case=f"in the gradient of {name}, with the output right",
            factors={"the scaling": scaling, "r": len(A)},
        )
