"""The checks of lesson 02's layer: its first values, forward, what trains, gradients by hand.

Every expected value is computed here in float64, by other means than the package's own functions.
The exercises ask for other names and arguments than the package and PEFT have.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..checks.by_hand import without_autograd
from ..checks.core import Wrong, expect

# Unequal primes, so that a transposed or mixed-up shape cannot pass by chance.
OUT, IN, R = 23, 31, 3
ALPHA = 7
SCALING = ALPHA / R


def draw(rng: torch.Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64).to(dtype)


def _linear(rng: torch.Generator, dtype: torch.dtype = torch.float32) -> nn.Linear:
    """A layer (31 -> 23) with a bias, both drawn from `rng`."""
    linear = nn.Linear(IN, OUT, dtype=dtype)
    with torch.no_grad():
        linear.weight.copy_(draw(rng, OUT, IN, dtype=dtype))
        linear.bias.copy_(draw(rng, OUT, dtype=dtype))
    return linear


# --- 2.1 -------------------------------------------------------------------------------------


def check_start_factors(answer: Callable[..., Any], rng: torch.Generator) -> None:
    in_, out, r = 499, 127, 31  # large enough that a spread is known to 1 %
    seed = int(torch.randint(2**31, (1,), generator=rng))

    def draw_with(seed: int) -> Any:
        return answer(in_, out, r, torch.Generator().manual_seed(seed))

    A, B = _two(draw_with(seed), "Return two tensors, (A, B).")
    _shapes(A, B, r, in_, out)
    a_zero, b_zero = (not factor.any() for factor in (A, B))
    if a_zero and b_zero:
        raise Wrong("Both are zero: then neither ever gets a gradient, and nothing is learnt.")
    if a_zero:
        raise Wrong("A is zero and B random. It could work, but LoRA has A random and B zero.")
    if not b_zero:
        raise Wrong("B is not zero: B A would change the layer before the first step.")
    _check_uniform(A.double(), in_, out, r)
    if A.dtype != torch.float32 or B.dtype != torch.float32:
        raise Wrong(f"Both in float32, PyTorch's default; got {A.dtype} and {B.dtype}.")
    _check_follows_gen(draw_with(seed)[0], draw_with(seed + 1)[0], A)


def _check_uniform(A: Tensor, in_: int, out: int, r: int) -> None:
    """Raise unless A looks uniform in ±1/sqrt(in); the spread names the mistake."""
    bound = 1 / math.sqrt(in_)
    ratio = (A.square().mean().sqrt() / (bound / math.sqrt(3))).item()
    if A.min() >= 0:
        raise Wrong("A has no negative numbers: rand gives 0 to 1, and it should be -1 to 1.")
    inside = A.abs().max() <= bound * (1 + 1e-5)
    if inside and abs(ratio - 1) < 0.03:
        return
    for mistaken, message in (
        (math.sqrt(6), "A is 2.45 times too wide: that is Kaiming with a = 0. Use a = sqrt(5)."),
        (math.sqrt(3), "1/sqrt(in) is the bound of the uniform draw, not a standard deviation."),
        (1, "The spread is right but numbers lie beyond 1/sqrt(in): draw uniform, not normal."),
        (math.sqrt(in_ / r), "The bound is 1/sqrt(r). A's inputs are in_features: 1/sqrt(in)."),
        (math.sqrt(in_ / out), "The bound is 1/sqrt(out). A's inputs are in_features."),
        (1 / math.sqrt(in_), "The bound is 1/in. Take the square root: 1/sqrt(in)."),
        (math.sqrt(in_), "The bound is 1: divide by sqrt(in)."),
    ):
        if abs(ratio / mistaken - 1) < 0.03:
            raise Wrong(message)
    raise Wrong(f"A is {ratio:.3g} times as wide as uniform in -1/sqrt(in) to 1/sqrt(in).")


def _check_follows_gen(again: Tensor, other: Tensor, A: Tensor) -> None:
    """`again` was drawn with the seed of `A`, `other` with another."""
    if not torch.equal(A, again):
        raise Wrong(
            "The same seed gave another A: draw from the generator `gen` that you are given."
        )
    if torch.equal(A, other):
        raise Wrong(
            "Another seed gave the same A: draw from the generator `gen`, not a fixed seed."
        )


def _two(pair: Any, message: str) -> tuple[Tensor, Tensor]:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise Wrong(message)
    if not all(isinstance(part, Tensor) for part in pair):
        raise Wrong(message)
    return pair[0].detach(), pair[1].detach()


def _shapes(A: Tensor, B: Tensor, r: int, in_: int, out: int) -> None:
    shapes = tuple(A.shape), tuple(B.shape)
    if shapes == ((out, r), (r, in_)):
        raise Wrong("A and B are the wrong way round: A is (r, in), B is (out, r).")
    if shapes != ((r, in_), (out, r)):
        raise Wrong(f"A must be (r, in) = ({r}, {in_}), B (out, r) = ({out}, {r}); got {shapes}.")


# --- 2.2 -------------------------------------------------------------------------------------


def check_forward_with_branch(answer: Callable[..., Any], rng: torch.Generator) -> None:
    linear, A, B = _linear(rng), draw(rng, R, IN), draw(rng, OUT, R)
    x = draw(rng, 5, IN)
    _expect_forward(answer(x, linear, A, B, ALPHA), x, linear, A, B)
    x = draw(rng, 2, 5, IN)
    try:
        result = answer(x, linear, A, B, ALPHA)
    except NotImplementedError:
        raise
    except Exception as error:
        raise Wrong(
            "Right for x of shape (batch, in), but it fails for (batch, time, in): transpose A and "
            f"B, not x, and multiply from the right. ({type(error).__name__})"
        ) from error
    _expect_forward(result, x, linear, A, B)
    with _NoProductOfFactors():
        answer(x, linear, A, B, ALPHA)


class _NoProductOfFactors(TorchFunctionMode):
    """Raises `Wrong` when a product of matrices has the shape of W: B A was formed."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        is_product = func.__name__ in ("matmul", "__matmul__", "mm", "einsum", "linear")
        if is_product and tuple(result.shape) in ((OUT, IN), (IN, OUT)):
            raise Wrong(
                "The numbers are right, but B A was formed, a matrix as large as W: multiply x by "
                "A first, then by B."
            )
        return result


def _expect_forward(result: Any, x: Tensor, linear: nn.Linear, A: Tensor, B: Tensor) -> None:
    W, b = linear.weight.detach().double(), linear.bias.detach().double()
    base = torch.einsum("...i,oi->...o", x.double(), W) + b
    branch = torch.einsum("...i,ri,or->...o", x.double(), A.double(), B.double())
    expect(
        result,
        base + SCALING * branch,
        k=IN * R,
        mistakes={
            "The base is scaled too: alpha / r belongs to the branch alone.": (
                SCALING * (base + branch)
            ),
            "The bias is added twice: the branch has no bias.": base + b + SCALING * branch,
            "The branch has the linear's bias, scaled: it has none.": (
                base + SCALING * (branch + b)
            ),
            "The bias is missing: call linear(x), or add linear.bias.": (
                base - b + SCALING * branch
            ),
            "The branch is r times too large: did you leave out the division by r?": (
                base + ALPHA * branch
            ),
            "The branch is not scaled: multiply it by alpha / r.": base + branch,
            "The scaling is upside down: it is alpha / r.": base + branch / SCALING,
            "alpha was divided by sqrt(r). Here it is divided by r itself.": (
                base + ALPHA / math.sqrt(R) * branch
            ),
            "alpha was divided by in_features. r is the number of A's rows, A.shape[0].": (
                base + ALPHA / IN * branch
            ),
            "alpha was divided by out_features. r is the number of A's rows, A.shape[0].": (
                base + ALPHA / OUT * branch
            ),
            "alpha // r drops the fraction. Divide with /.": base + ALPHA // R * branch,
            "The branch is subtracted: it is added.": base - SCALING * branch,
            "The base is missing: the branch is added to linear(x).": SCALING * branch,
            "The branch is missing: this is linear(x) alone.": base,
        },
    )


# --- 2.3 -------------------------------------------------------------------------------------


def check_AdaptedLinear(answer: Callable[..., Any], rng: torch.Generator) -> None:
    linear = _linear(rng, torch.float64)
    kept = {name: value.clone() for name, value in linear.state_dict().items()}
    x = draw(rng, 2, 5, IN, dtype=torch.float64)
    start = linear(x).detach()
    module = answer(linear, R, ALPHA, rng)
    A, B = _own_factors(module)
    _check_what_trains(module, linear)
    expect(
        module(x),
        start,
        k=IN,
        mistakes={"forward returns the branch alone: add linear(x).": torch.zeros_like(start)},
    )
    with torch.no_grad():
        B.copy_(draw(rng, OUT, R))
    _expect_forward(module(x), x, linear, A.detach(), B.detach())
    _check_gradients_flow(module, linear, A, B, x)
    if any(not torch.equal(linear.state_dict()[name], value) for name, value in kept.items()):
        raise Wrong("W or the bias was written to. They stay as they were given.")
    _check_first_values(answer, rng)


def _check_first_values(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """A is as in 2.1: 93 numbers, so their spread is known to some 5 %."""
    seed = int(torch.randint(2**31, (1,), generator=rng))
    A, again, other = (
        answer(_linear(rng, torch.float64), R, ALPHA, torch.Generator().manual_seed(s)).A.detach()
        for s in (seed, seed, seed + 1)
    )
    bound = 1 / math.sqrt(IN)
    if A.abs().max() > bound * (1 + 1e-5) or A.std() < 0.7 * bound / math.sqrt(3):
        raise Wrong("self.A is not uniform within 1/sqrt(in) of zero: start it as in exercise 2.1.")
    _check_follows_gen(again, other, A)


def _own_factors(module: Any) -> tuple[nn.Parameter, nn.Parameter]:
    if not isinstance(module, nn.Module):
        raise Wrong(
            "AdaptedLinear must be a torch.nn.Module: write class AdaptedLinear(nn.Module)."
        )
    for name in "AB":
        factor = getattr(module, name, None)
        if factor is None:
            raise Wrong(f"The module has no attribute {name}. Set self.A and self.B in __init__.")
        if not isinstance(factor, nn.Parameter):
            raise Wrong(
                f"self.{name} must be an nn.Parameter, else no optimizer finds it; "
                f"got {type(factor).__name__}."
            )
    _shapes(module.A, module.B, R, IN, OUT)
    if not module.A.any() or module.B.any():
        raise Wrong("Start with A random and B zero, as in exercise 2.1.")
    if module.A.dtype != torch.float64 or module.B.dtype != torch.float64:
        raise Wrong(
            "W is float64 here and A or B is not: give both the dtype of W, linear.weight.dtype."
        )
    return module.A, module.B


def _check_what_trains(module: nn.Module, linear: nn.Linear) -> None:
    if not any(part is linear for part in module.modules()):
        raise Wrong("The given linear is not part of the module: keep it, as self.linear = linear.")
    if not (module.A.requires_grad and module.B.requires_grad):
        raise Wrong(
            "A and B are frozen too: freeze the linear alone, linear.requires_grad_(False)."
        )
    if linear.weight.requires_grad:
        raise Wrong("W still trains: freeze it with linear.requires_grad_(False).")
    if linear.bias.requires_grad:
        raise Wrong("The bias still trains: freeze the whole linear, not its weight alone.")
    trained = [name for name, p in module.named_parameters() if p.requires_grad]
    if sorted(trained) != ["A", "B"]:
        raise Wrong(f"Only A and B should train; these do: {', '.join(trained)}.")


def _check_gradients_flow(
    module: nn.Module, linear: nn.Linear, A: Tensor, B: Tensor, x: Tensor
) -> None:
    x = x.clone().requires_grad_()
    output = module(x)
    if not output.requires_grad:
        raise Wrong("The output carries no gradient at all: is all of forward under no_grad?")
    output.sum().backward()
    W = linear.weight.detach()
    ones = torch.ones(*x.shape[:-1], OUT, dtype=torch.float64)
    branch = SCALING * torch.einsum("...o,or,ri->...i", ones, B.detach(), A.detach())
    if x.grad is None:
        raise Wrong("No gradient reaches the layer below. Frozen is not no_grad: remove it.")
    expect(
        x.grad,
        ones @ W + branch,
        k=OUT,
        mistakes={
            "No gradient flows through W to the layer below: is W's product under no_grad, or "
            "detached? Frozen is not no_grad.": branch,
            "No gradient flows through the branch to the layer below: is x detached there?": (
                ones @ W
            ),
        },
    )
    if A.grad is None or B.grad is None:
        raise Wrong("A or B gets no gradient in backward: use self.A and self.B as they are.")


# --- 2.4 -------------------------------------------------------------------------------------


def check_gradients_by_hand(answer: Callable[..., Any], rng: torch.Generator) -> None:
    x, G = draw(rng, 2, 5, IN), draw(rng, 2, 5, OUT)
    W, A, B = draw(rng, OUT, IN), draw(rng, R, IN), draw(rng, OUT, R)
    got = without_autograd(answer, x, G, W, A, B, SCALING)
    if not (isinstance(got, tuple | list) and len(got) == 3):
        raise Wrong("Return three tensors: (grad_A, grad_B, grad_x).")
    if not all(isinstance(gradient, Tensor) for gradient in got):
        raise Wrong("One of (grad_A, grad_B, grad_x) is not a tensor.")
    if tuple(got[0].shape) == (OUT, R) and tuple(got[1].shape) == (R, IN):
        raise Wrong("grad_A and grad_B are exchanged: return (grad_A, grad_B, grad_x).")
    x, G, W, A, B = (t.double() for t in (x, G, W, A, B))
    grad_A = SCALING * torch.einsum("bto,or,bti->ri", G, B, x)
    grad_B = SCALING * torch.einsum("bto,bti,ri->or", G, x, A)
    for name, mine, right in (("A", got[0], grad_A), ("B", got[1], grad_B)):
        _check_shape_of_gradient(name, mine, right)
        expect(mine, right, k=10 * OUT, mistakes=_factor_mistakes(name, right))
    through_W, branch = G @ W, torch.einsum("bto,or,ri->bti", G, B, A)
    expect(
        got[2],
        through_W + SCALING * branch,
        k=OUT * R,
        mistakes={
            "grad_x lacks the way through W. Frozen is not no_grad: G @ W flows on.": (
                SCALING * branch
            ),
            "grad_x lacks the way through the branch: add scaling * G @ B @ A.": through_W,
            "The scaling is missing in grad_x: it belongs to the branch.": through_W + branch,
            "In grad_x the way through W is scaled too: the scaling belongs to the branch.": (
                SCALING * (through_W + branch)
            ),
        },
    )


def _check_shape_of_gradient(name: str, mine: Tensor, right: Tensor) -> None:
    shape, wanted = tuple(mine.shape), tuple(right.shape)
    if shape == (2, *wanted):
        raise Wrong(f"grad_{name} is one for each item of the batch. Sum over the batch too.")
    if shape != wanted:
        raise Wrong(f"grad_{name} must have the shape of {name}: {wanted}; got {shape}.")


def _factor_mistakes(name: str, right: Tensor) -> dict[str, Tensor]:
    return {
        f"The scaling is missing in grad_{name}.": right / SCALING,
        f"The scaling appears twice in grad_{name}: each branch product has it once.": (
            right * SCALING
        ),
        f"grad_{name} is a mean over the rows of the batch. Sum them: the mean is in G already.": (
            right / 10
        ),
        f"grad_{name} is a mean over the batch. Sum over it: the mean is in G already.": right / 2,
        f"grad_{name} has the wrong sign: a gradient points uphill.": -right,
        f"grad_{name} is zero. It is so at the first step alone, for A, because B is zero then. "
        "Here neither is.": torch.zeros_like(right),
    }
