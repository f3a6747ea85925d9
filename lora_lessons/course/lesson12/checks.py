"""The checks of lesson 12 on the format: the table, codes and scales, decoding, bits a weight.

What is expected is computed here in float64, block by block, where the package works on all blocks
at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect

LEVELS = 16
OFFSET = 0.9677083
NEAR_TIE = 1e-6  # a weight so near to the middle of two levels may get either: sums are in float32


def table_of(offset: float = OFFSET, positive: int = 8, negative: int = 7) -> Tensor:
    """The normal-float levels, ascending, in float64."""
    ends = (
        [-x for x in _quantiles(offset, negative)],
        [0.0],
        _quantiles(offset, positive)[::-1],
    )
    values = torch.tensor([x for part in ends for x in part], dtype=torch.float64)
    return values / values.abs().max()


def _quantiles(offset: float, count: int) -> list[float]:
    """`count` quantiles of N(0, 1), from the probability `offset` down to above a half."""
    step = (offset - 0.5) / count
    return [NormalDist().inv_cdf(offset - i * step) for i in range(count)]


# --- 12.1 ------------------------------------------------------------------------------------


def check_nf4_table(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """12.1: NF4's sixteen levels, for the published offset and another."""
    _check_table(answer(), OFFSET)
    offset = 0.93 + 0.05 * torch.rand((), generator=rng, dtype=torch.float64).item()
    try:
        table = answer(offset)
    except TypeError as error:
        raise Wrong(f"nf4_table takes the offset as an argument, too: {error}.") from error
    if isinstance(table, Tensor) and table.shape == (LEVELS,) and _same(table, table_of()):
        raise Wrong(
            f"With offset={offset:.4f} the table is that of {OFFSET}: the outermost quantile is "
            "the argument."
        )
    _check_table(table, offset)


def _check_table(table: Any, offset: float) -> None:
    if not isinstance(table, Tensor):
        raise Wrong(f"Return a tensor of 16 numbers; got {type(table).__name__}.")
    if table.shape == (LEVELS - 1,) or table.shape == (LEVELS + 1,):
        raise Wrong(
            f"There are {len(table)} levels, and 4 bits name 16: 8 above zero, 7 below it, and "
            "zero once."
        )
    if table.shape != (LEVELS,):
        raise Wrong(f"The shape must be (16,); got {tuple(table.shape)}.")
    if table.is_floating_point() and torch.finfo(table.dtype).bits < 32:
        raise Wrong(
            f"The levels are rounded to {table.dtype}, so they are others. Return them in float32 "
            "or float64."
        )
    if not table.isfinite().all():
        raise Wrong(
            "A level is infinite or nan. The quantile of probability 1 is infinite: start at the "
            "offset, just below 1."
        )
    if not (table < 0).any():
        raise Wrong("No level is below zero: the quantiles of that side need a minus.")
    if len(table.unique()) < LEVELS:
        raise Wrong("A level is there twice. Zero comes once, from neither side.")
    right = table_of(offset)
    if not _same(table, right) and _same(table.sort().values, right):
        raise Wrong("The levels are right, but not in ascending order.")
    unscaled = right * _quantiles(offset, 1)[0]
    even = torch.tensor(_quantiles(offset, 8), dtype=torch.float64)
    both = torch.cat([-even, even]).sort().values / even.max()
    middles = [NormalDist().inv_cdf((i + 0.5) / LEVELS) for i in range(LEVELS)]
    middle = torch.tensor(middles, dtype=torch.float64)
    mistakes = {
        "The levels are not divided by the largest: they must end in -1 and 1, because a block is "
        "divided by its largest weight.": unscaled,
        "There are 8 levels on each side and no zero. A weight of 0 must stay 0: take 7 below, 8 "
        "above, and an exact zero.": both,
        "There are 8 levels below zero and 7 above it: the other way round.": -right.flip(0),
        "These are evenly spaced levels (an int4). Those of NF4 are quantiles: dense near 0, where "
        "normal weights are.": torch.linspace(-1, 1, LEVELS, dtype=torch.float64),
        "These are 16 quantiles in equal steps of probability: none is zero. Start from the "
        "offset, on each side of zero.": middle / middle.max(),
        "These are the 16 middles of equal shares, not divided by the largest.": middle,
        "The probabilities end in 0.5 itself and skip a step: split offset to 0.5 into 8 steps "
        "above zero (7 below), and leave 0.5 out.": _too_few_steps(offset),
    }
    expect(table, right, mistakes=mistakes)


def _too_few_steps(offset: float) -> Tensor:
    """8 and 7 probabilities from the offset to just above 0.5, 0.5 + one step of a finer grid."""
    up = torch.linspace(offset, 0.5, 8 + 2, dtype=torch.float64)[:8]
    down = torch.linspace(offset, 0.5, 7 + 2, dtype=torch.float64)[:7]
    parts = (-torch.special.ndtri(down), torch.zeros(1).double(), torch.special.ndtri(up).flip(0))
    values = torch.cat(parts)
    return values / values.max()


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.double(), other, rtol=0, atol=2e-6)


# --- 12.2 ------------------------------------------------------------------------------------


def weights(rng: torch.Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal weights of the usual size."""
    return (0.02 * torch.randn(*shape, generator=rng, dtype=torch.float64)).to(dtype)


def pieces(W: Tensor, block: int) -> Iterator[Tensor]:
    """The blocks of W, row after row, in float64; the last may be short."""
    yield from W.double().flatten().split(block)


def check_quantize(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """12.2: the nearest code of each weight in its block, two packed to a byte, and scales."""
    table = table_of().float()
    # levels as of an int4, with its zero at code 7 too: `table` is an argument
    even = torch.cat([torch.arange(-7, 0) / 7, torch.arange(0, 9) / 8])
    for shape, block, dtype, levels in (
        ((6, 80), 32, torch.float32, table),
        ((5, 42), 64, torch.float32, table),  # the last block is short
        ((12, 96), 16, torch.bfloat16, table),
        ((6, 34), 16, torch.float32, even),
        ((3, 14), 64, torch.float32, table),  # one block, and it is short
    ):
        W = weights(rng, *shape, dtype=dtype)
        W[0, 3] = -9 * W.abs().max()  # the largest of its block is negative
        _check_quantized(answer(W, levels, block), W, levels, block)
    W = weights(rng, 6, 34).T  # its numbers do not lie in a row
    _check_quantized(answer(W, table, 16), W, table, 16)
    _check_small_blocks(answer, weights(rng, 3, 64), table)


def _check_small_blocks(answer: Callable[..., Any], W: Tensor, table: Tensor) -> None:
    """A block of zeros, and one of tiny weights that a guard against 0 must leave alone."""
    W[1], W[2] = 0, 2e-6 * W[2]
    packed, absmax = answer(W, table, 64)
    fits = _fits(unpacked(packed), W, table, 64).view(3, 64).all(1)
    if not absmax.isfinite().all() or not fits[1]:
        raise Wrong(
            "A block of zeros has the scale 0, and its codes must be 7, the level of zero: do not "
            "divide by 0."
        )
    if absmax[1] != 0:
        raise Wrong(
            f"A block of zeros has the scale 0; absmax holds {absmax[1].item():.3g}. What you "
            "divide by there is not what you return."
        )
    largest = W[2].abs().max().item()
    if not fits[2] or not math.isclose(absmax[2].item(), largest, rel_tol=1e-5):
        raise Wrong(
            f"A block whose largest weight is {largest:.2g} is not divided by it. Small is not "
            "zero: a guard such as clamp(min=...) must leave all scales but 0 as they are."
        )


def _check_quantized(result: Any, W: Tensor, table: Tensor, block: int) -> None:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong("Return two tensors, (packed, absmax).")
    packed, absmax = result
    if not isinstance(packed, Tensor) or not isinstance(absmax, Tensor):
        raise Wrong("Return two tensors, (packed, absmax).")
    _check_absmax(absmax, W, block)
    n = W.numel()
    if packed.numel() == n:
        raise Wrong(f"packed has {n} numbers, one a weight. Two codes of 4 bits go into each byte.")
    if packed.dtype != torch.uint8:
        raise Wrong(f"packed must be uint8, one byte for two codes; it is {packed.dtype}.")
    if packed.shape != (n // 2,):
        raise Wrong(
            f"packed must have the shape ({n // 2},), for {n} weights; got {tuple(packed.shape)}. "
            "Codes of a padding do not belong to it."
        )
    codes = unpacked(packed)
    if _codes_fit(codes, W, table, block):
        return
    if _codes_fit(codes.view(-1, 2).flip(1).flatten(), W, table, block):
        raise Wrong("The nibbles are swapped: the first code goes into the high half of the byte.")
    halves = torch.cat([packed // 16, packed % 16]).long()
    if _codes_fit(halves, W, table, block):
        raise Wrong(
            "The codes of the first half are in the high halves, those of the second in the low "
            "ones. Two that follow each other share a byte: codes[0::2] and codes[1::2]."
        )
    scaled = torch.cat([piece / piece.abs().max() for piece in pieces(W, block)])
    below = (torch.searchsorted(table.double(), scaled, right=True) - 1).clamp(0)
    above = torch.searchsorted(table.double(), scaled).clamp(max=15)
    unscaled = (W.double().flatten()[:, None] - table.double()).abs().argmin(1)
    nf4 = (scaled[:, None] - table_of()).abs().argmin(1)
    globally = (W.double().flatten() / W.double().abs().max())[:, None] - table.double()
    for message, mistaken in (
        ("The codes are those of the level below each weight. Take the nearest level.", below),
        ("The codes are those of the level above each weight. Take the nearest level.", above),
        ("The codes are those of NF4's levels. `table` holds the levels.", nf4),
        ("The codes are those of W itself. Divide each block by its absmax first.", unscaled),
        (
            "The codes are those of W / (largest of all). Each block has its own.",
            globally.abs().argmin(1),
        ),
    ):
        if (codes == mistaken).float().mean() > 0.999:
            raise Wrong(message)
    off = (~_fits(codes, W, table, block)).double().mean()
    raise Wrong(f"{off:.0%} of the codes are not those of the level nearest to W / absmax.")


def _check_absmax(absmax: Tensor, W: Tensor, block: int) -> None:
    count = math.ceil(W.numel() / block)
    if absmax.numel() == 1 != count:
        raise Wrong(f"There is one absmax for all; each of the {count} blocks has its own.")
    if absmax.numel() == W.shape[0] != count:
        raise Wrong("There is one absmax a row. A block is `block` numbers, rows notwithstanding.")
    if absmax.shape != (count,):
        raise Wrong(
            f"absmax must have the shape ({count},): {W.numel()} weights in blocks of {block}, the "
            f"last one short if need be; got {tuple(absmax.shape)}."
        )
    if absmax.dtype != torch.float32:
        raise Wrong(f"absmax must be float32; it is {absmax.dtype}.")
    right = torch.stack([piece.abs().max() for piece in pieces(W, block)])
    mistakes = {
        "This is the largest weight of each block, not the largest absolute value.": torch.stack(
            [piece.max() for piece in pieces(W, block)]
        ),
        "These are means of absolute values. The largest one must become 1.": torch.stack(
            [piece.abs().mean() for piece in pieces(W, block)]
        ),
        "There is one scale for all here. Each block has its own.": W.double()
        .abs()
        .max()
        .expand(count),
        "These are one over the scales. Return what a block is divided by.": 1 / right,
        "These are standard deviations. The largest one must become 1.": torch.stack(
            [piece.std() for piece in pieces(W, block)]
        ),
    }
    expect(absmax, right, mistakes=mistakes)


def unpacked(packed: Tensor) -> Tensor:
    """The codes in the bytes, the high half first."""
    return torch.stack([packed // 16, packed % 16], dim=1).flatten().long()


def _fits(codes: Tensor, W: Tensor, table: Tensor, block: int) -> Tensor:
    """Whether each code is that of the nearest level, up to ties."""
    scaled = torch.cat([p / p.abs().max().clamp_min(1e-300) for p in pieces(W, block)])
    distance = (scaled[:, None] - table.double()).abs()  # (n, 16)
    return distance.gather(1, codes[:, None])[:, 0] <= distance.amin(1) + NEAR_TIE


def _codes_fit(codes: Tensor, W: Tensor, table: Tensor, block: int) -> bool:
    return len(codes) == W.numel() and bool(_fits(codes, W, table, block).all())


# --- 12.3 ------------------------------------------------------------------------------------


def check_dequantize(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """12.3: the weights that codes and scales stand for, in their shape and dtype."""
    for shape, block, dtype in (
        ((6, 80), 32, torch.float32),
        ((5, 42), 64, torch.bfloat16),  # the last block is short
        ((3, 4, 16), 16, torch.float16),
    ):
        table = table_of(0.9 + 0.07 * torch.rand((), generator=rng).item()).float()
        n = math.prod(shape)
        packed = torch.randint(256, (n // 2,), generator=rng, dtype=torch.uint8)
        absmax = weights(rng, math.ceil(n / block)).abs() + 1e-3
        _check_decoded(
            answer(packed.clone(), absmax.clone(), table, block, shape, dtype),
            packed,
            absmax,
            table,
            block,
            shape,
            dtype,
        )


def _check_decoded(
    found: Any,
    packed: Tensor,
    absmax: Tensor,
    table: Tensor,
    block: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
) -> None:
    if not isinstance(found, Tensor):
        raise Wrong(f"Return a tensor; got {type(found).__name__}.")
    if tuple(found.shape) != shape:
        raise Wrong(f"The shape must be {shape}; got {tuple(found.shape)}. Is a padding in it?")
    if found.dtype != dtype:
        raise Wrong(f"The dtype must be {dtype}, as given; got {found.dtype}.")
    codes, n = unpacked(packed), found.numel()
    scales = absmax.double().repeat_interleave(block)[:n]
    values = table.double()[codes]
    right = (values * scales).view(shape)
    if torch.equal(found, right.to(dtype)):
        return
    swapped = table.double()[codes.view(-1, 2).flip(1).flatten()]
    cycled = absmax.double().repeat(math.ceil(n / len(absmax)))[:n]
    by_row = absmax.double().repeat_interleave(math.ceil(n / shape[0]))
    by_row = by_row.repeat(math.ceil(n / len(by_row)))[:n]
    mistakes = {
        "The nibbles are swapped: the first code is in the high half.": swapped * scales,
        "The levels are not multiplied by the scale of their block.": values,
        "The levels are divided by the scale. W was divided to be coded: now multiply.": values
        / scales,
        "Each weight is multiplied by another block's scale: repeat each scale `block` times "
        "(repeat_interleave), not the list of scales.": values * cycled,
        "There is a scale for each row here. A block is `block` numbers long, whatever the shape "
        "is.": values * by_row,
        "These are the codes times the scale. Look up the level of each code.": codes * scales,
    }
    off = (found.double() - right).abs().max() / right.abs().max()
    if off < 2 * torch.finfo(dtype).eps and dtype != torch.float32:
        wrong = (found != right.to(dtype)).double().mean()
        if wrong < 0.01:
            return
        raise Wrong(
            f"{wrong:.0%} of the weights are one step of {dtype} off: the levels or the scales "
            "were rounded before the product. Multiply in float32, and round once."
        )
    expect(found, right, mistakes={text: value.view(shape) for text, value in mistakes.items()})


# --- 12.4 ------------------------------------------------------------------------------------


def check_bits_per_weight(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """12.4: bits a weight with scales in float32, and with scales that are quantized too."""
    for _ in range(3):
        block = 2 ** int(torch.randint(5, 9, (), generator=rng))
        # such that no two mistakes give one number, and none is the answer rounded
        second = (48, 96, 160)[int(torch.randint(3, (), generator=rng))]
        _check_bits(answer(block, False, second), block, second, double=False)
        _check_bits(answer(block, True, second), block, second, double=True)
    _check_bits(answer(64), 64, 256, double=False)
    _check_bits(answer(16), 16, 256, double=False)
    _check_bits(answer(64, double=True), 64, 256, double=True)


def _check_bits(found: Any, block: int, second: int, double: bool) -> None:
    here = f"(block={block}, double={double}, second={second}) "
    plain = 4 + 32 / block
    right = 4 + 8 / block + 32 / (block * second) if double else plain
    mistakes = {
        "The scales are forgotten: each block has one.": 4.0,
        "A scale of its own for each weight is counted; a block shares one.": 4 + 32.0,
        "A scale has 32 bits before it is quantized; this counts 8.": 4 + 8 / block,
        "A scale has 32 bits here; this counts 16.": 4 + 16 / block,
        "These are the scales alone. The codes have 4 bits each.": right - 4,
        "This is with double quantization, which is off here.": 4
        + 8 / block
        + 32 / (block * second),
        "The scales' share is multiplied by 4; only the code has 4 bits.": 4 * (right - 3),
        "This is for blocks of 64. `block` says how long they are.": 4 + 32 / 64,
        "These are bytes. Count bits.": right / 8,
        "These are the bits of a whole block. Divide by its length.": right * block,
    }
    if double:
        mistakes = {
            "This is without double quantization.": plain,
            "The second level is forgotten: `second` scales share a float32.": 4 + 8 / block,
            "The second level is counted once a block; `second` blocks share it.": 4 + 40 / block,
            "The second level is counted once for each `second` weights; it is shared by `second` "
            "blocks.": 4 + 8 / block + 32 / second,
            "The 8-bit scale replaces the first, it does not come on top of it.": plain
            + 8 / block
            + 32 / (block * second),
            "This takes 256 scales to a block of scales. `second` says how many.": 4
            + 8 / block
            + 32 / (block * 256),
            "The scale of the scales is a float32, too; this counts 8 bits.": 4
            + 8 / block
            + 8 / (block * second),
            **mistakes,
        }
    as_tensors = {here + text: torch.tensor(v).double() for text, v in mistakes.items()}
    expect(found, torch.tensor(right, dtype=torch.float64), mistakes=as_tensors)
