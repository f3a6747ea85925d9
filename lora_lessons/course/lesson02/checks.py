"""Lesson 02's checks begin here: what they draw, and the first values of A and B.

Every expected value is computed here in float64, by other means than the package's own functions.
The exercises ask for other names and arguments than the package and PEFT have.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong
from ..checks.lived import lived_in

# Unequal primes, so that a transposed or mixed-up shape cannot pass by chance.
OUT, IN, R = 23, 31, 3
ALPHA = 7
SCALING = ALPHA / R


def draw(rng: torch.Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64).to(dtype)


def leave_sevens(out: int, r: int, dtype: torch.dtype = torch.float32) -> None:
    """Free memory of B's size full of sevens: torch.empty is not zeros then."""
    freed = [torch.full((out, r), 7.0, dtype=dtype) for _ in range(4)]
    del freed


def make_linear(
    rng: torch.Generator,
    dtype: torch.dtype = torch.float32,
    in_: int = IN,
    out: int = OUT,
    bias: bool = True,
) -> nn.Linear:
    """A layer in some mode; its weight and bias, and their gradients, are drawn from `rng`."""
    linear = nn.Linear(in_, out, bias=bias, dtype=dtype)
    with torch.no_grad():
        linear.weight.copy_(draw(rng, out, in_, dtype=dtype))
        if bias:
            linear.bias.copy_(draw(rng, out, dtype=dtype))
    return lived_in(linear, rng)


# --- 2.1 -------------------------------------------------------------------------------------


def check_start_factors(answer: Callable[..., Any], rng: torch.Generator) -> None:
    in_, out, r = 499, 127, 31  # large enough that a spread is known to 1 %
    seed = int(torch.randint(2**31, (1,), generator=rng))

    def draw_with(seed: int) -> Any:
        leave_sevens(out, r)
        return answer(in_, out, r, torch.Generator().manual_seed(seed))

    A, B = two(draw_with(seed), "Return two tensors, (A, B).")
    check_shapes(A, B, r, in_, out)
    _check_own_memory(A, B, two(draw_with(seed), "Return two tensors, (A, B).")[1])
    a_zero, b_zero = (not factor.any() for factor in (A, B))
    if a_zero and b_zero:
        raise Wrong("Both are zero: then neither ever gets a gradient, and nothing is learnt.")
    if a_zero:
        raise Wrong("A is zero and B random. It could work, but LoRA has A random and B zero.")
    if not b_zero:
        raise Wrong("B is not zero: B A would change the layer before the first step.")
    check_uniform(A.double(), in_, out, r)
    if A.dtype != torch.float32 or B.dtype != torch.float32:
        raise Wrong(f"Both in float32, PyTorch's default; got {A.dtype} and {B.dtype}.")
    check_follows_gen(draw_with(seed)[0], draw_with(seed + 1)[0], A)
    gen = torch.Generator().manual_seed(seed)
    check_gen_moves_on(*(answer(in_, out, r, gen)[0] for _ in range(2)))
    wide = answer(211, 499, r, gen)[0].detach()  # out is the larger side here
    check_uniform(wide.double(), 211, 499, r)
    for in_, out, r in ((5, 3, 1), (2, 4, 7), (1, 1, 1)):  # rank 1, and r above the sides
        A, B = two(answer(in_, out, r, gen), "Return two tensors, (A, B).")
        check_shapes(A, B, r, in_, out)
        if B.any() or not A.any() or not A.abs().max() <= in_**-0.5 * (1 + 1e-5):
            raise Wrong(
                f"Not right for in = {in_}, out = {out}, r = {r}: A within 1/sqrt(in), B 0."
            )


def _check_own_memory(A: Tensor, B: Tensor, other: Tensor) -> None:
    """Raise where numbers share memory, in A, in B, or with another layer's B: they will train."""
    for name, factor in (("A", A), ("B", B)):
        sides = zip(factor.stride(), factor.shape, strict=True)
        if any(step == 0 and side > 1 for step, side in sides):
            raise Wrong(
                f"{name} is expanded: its numbers share one place in memory, and cannot be trained "
                "apart. Make a tensor of the whole shape."
            )
    if B.data_ptr() == other.data_ptr():
        raise Wrong("Two layers got one and the same B: make a new one at each call.")


def check_uniform(A: Tensor, in_: int, out: int, r: int) -> None:
    """Raise unless A looks uniform in ±1/sqrt(in); the spread names the mistake."""
    bound = 1 / math.sqrt(in_)
    ratio = (A.square().mean().sqrt() / (bound / math.sqrt(3))).item()
    if A.min() >= 0:
        raise Wrong(
            "A has no negative numbers: rand gives 0 to 1, and it should be -1 to 1 before it is "
            "scaled to the width."
        )
    inside = A.abs().max() <= bound * (1 + 1e-5)
    if inside:
        _check_lines_differ(A)
    if inside and abs(ratio - 1) < 0.03:
        _check_spread_evenly(A / bound)
        return
    if inside and not abs(ratio * bound / A.abs().max() - 1) <= 0.03:  # of a uniform draw that is 1
        where = "at the ends" if ratio > 1 else "in the middle"
        raise Wrong(
            f"The numbers lie within 1/sqrt(in), and too many are {where}: draw them uniform."
        )
    for mistaken, message in (
        (math.sqrt(6), "A is 2.45 times too wide: that is Kaiming with a = 0. Use a = sqrt(5)."),
        (math.sqrt(3), "1/sqrt(in) is the bound of the uniform draw, not a standard deviation."),
        (1, "The spread is right but numbers lie beyond 1/sqrt(in): draw uniform, not normal."),
        (math.sqrt(in_ / r), "The bound is 1/sqrt(r). A's inputs are in_features: 1/sqrt(in)."),
        (math.sqrt(in_ / out), "The bound is 1/sqrt(out). A's inputs are in_features."),
        (1 / math.sqrt(in_), "The bound is 1/in. Take the square root: 1/sqrt(in)."),
        (math.sqrt(in_), "The bound is 1: divide by sqrt(in)."),
        (0.5, "A is half as wide: rand goes from 0 to 1, so 2 * rand - 1 from -1 to 1."),
        (2, "A is twice as wide: it must lie within 1/sqrt(in) of zero."),
        (math.sqrt(2), "The bound is sqrt(2/in), Kaiming's rule with a = 1. Take 1/sqrt(in)."),
        (
            math.sqrt(in_ * 3) / r,
            "This is PEFT's Gaussian, of width 1/r. Draw uniform in ±1/sqrt(in).",
        ),
        (math.sqrt(3 * in_), "The spread is 1: divide by sqrt(in), and draw uniform."),
        (
            math.sqrt(6 * in_ / (in_ + out)),
            "The bound is Xavier's, from in + out. Take 1/sqrt(in).",
        ),
        (math.sqrt(6 * in_ / (in_ + r)), "The bound is Xavier's, from in + r. Take 1/sqrt(in)."),
    ):
        if abs(ratio / mistaken - 1) < 0.03:
            raise Wrong(message)
    raise Wrong(f"A is {ratio:.3g} times as wide as uniform in -1/sqrt(in) to 1/sqrt(in).")


def _check_spread_evenly(A: Tensor) -> None:
    """Raise unless A / bound is spread evenly over -1 to 1."""
    values = A.flatten().sort().values
    even = torch.linspace(-1, 1, len(values), dtype=values.dtype)
    if (values - even).abs().max() > 10 / len(values) ** 0.5:  # 15,469 draws: 0.08; never by luck
        raise Wrong("The bound is right, but the numbers between are not uniform: draw them so.")
    if abs(values.mean()) < 1e-7:
        raise Wrong("The mean of A was set to zero. Draw the numbers and leave them as they are.")


def _check_lines_differ(A: Tensor) -> None:
    """Raise where two rows or two columns are one and the same, or one is constant."""
    for lines, what in ((A, "rows"), (A.T, "columns")):
        unit = (lines - lines.mean(1, keepdim=True)).nan_to_num()
        unit = unit / unit.norm(dim=1, keepdim=True).clamp_min(1e-12)
        unit = unit[unit[:, 0].argsort()]  # then equal lines are neighbours
        alike = (unit[1:] * unit[:-1]).sum(1).abs().max()
        if alike > 0.99 or (lines.std(1) < 1e-6).any():
            raise Wrong(f"Two {what} of A are alike: draw each of its r x in numbers by itself.")


def check_gen_moves_on(first: Tensor, second: Tensor) -> None:
    """`first` and `second` were drawn one after the other from one generator."""
    if torch.equal(first, second):
        raise Wrong(
            "Two layers drawn from one generator got the same A: draw from `gen` itself, which "
            "moves on, not from its seed or from a copy."
        )


def check_follows_gen(again: Tensor, other: Tensor, A: Tensor) -> None:
    """`again` was drawn with the seed of `A`, `other` with another."""
    if not torch.equal(A, again):
        raise Wrong(
            "The same seed gave another A: draw from the generator `gen` that you are given."
        )
    if torch.equal(A, other):
        raise Wrong(
            "Another seed gave the same A: draw from the generator `gen`, not a fixed seed."
        )


def two(pair: Any, message: str) -> tuple[Tensor, Tensor]:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise Wrong(message)
    if not all(isinstance(part, Tensor) for part in pair):
        raise Wrong(message)
    return pair[0].detach(), pair[1].detach()


def check_shapes(A: Tensor, B: Tensor, r: int, in_: int, out: int) -> None:
    shapes = tuple(A.shape), tuple(B.shape)
    if shapes == ((out, r), (r, in_)) != ((r, in_), (out, r)):
        raise Wrong("A and B are the wrong way round: A is (r, in), B is (out, r).")
    wanted = ((r, in_), (out, r))
    if shapes != wanted and sorted(map(sorted, shapes)) == sorted(map(sorted, wanted)):
        raise Wrong(f"A factor is transposed: A is (r, in), B is (out, r); got {shapes}.")
    if shapes != wanted:
        raise Wrong(f"A must be (r, in) = ({r}, {in_}), B (out, r) = ({out}, {r}); got {shapes}.")
