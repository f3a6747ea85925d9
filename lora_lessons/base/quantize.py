"""Weights in few bits: tables of levels, block-wise scales, and scales of scales.

    code[i] = nearest level to W[i] / absmax[block of i]      W'[i] = level[code[i]] absmax[block]

After QLoRA (Dettmers et al. 2023, section 3). For "nf4" the codes and the scales are bitsandbytes'
own, bit for bit. Nothing here is trained, and no gradient flows through: see `nf4_linear`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from ..errors import nearest_and_known

BLOCK = 64  # numbers that share a scale
SCALES = 256  # scales that share a scale of their own
OFFSET = 0.9677083  # the outermost quantile of NF4: half way between 1 - 1/32 and 1 - 1/30

# As bitsandbytes ships it. `normal_float(4)` differs by 1.1e-7 at most: other quantile functions.
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
FP4 = (0.0, 0.0052083333, 0.16666667, 0.25, 0.33333333, 0.5, 0.66666667, 1.0)  # and their negatives
BITS = {"nf4": 4, "fp4": 4, "int4": 4, "nf3": 3, "nf2": 2}
"""The formats, and the bits of one code."""


def normal_float(bits: int, offset: float = OFFSET) -> Tensor:
    """The levels (2^bits,) of a normal float, ascending, float32: quantiles of N(0, 1), and 0.

    2^(bits-1) positive ones from the probability `offset` down to above 0.5, one fewer negative, an
    exact zero; all divided by the largest. The offset of other bits is NF4's, as in LoftQ's code.
    """
    half = 2 ** (bits - 1)

    def quantiles(count: int) -> Tensor:
        steps = torch.linspace(offset, 0.5, count + 1, dtype=torch.float64)[:-1]  # 0.5 is left out
        return torch.special.ndtri(steps)  # the inverse of the normal distribution function

    found = torch.cat([-quantiles(half - 1), torch.zeros(1).double(), quantiles(half)])
    return (found.sort().values / found.max()).float()


@cache
def _levels(form: str) -> Tensor:
    if form == "nf4":
        return torch.tensor(NF4)
    if form == "fp4":  # a sign and 3 bits; -0 is of no use in a list that ascends
        return torch.tensor([*(-x for x in reversed(FP4[1:])), *FP4])
    if form == "int4":  # -7 to 7 in steps of one: one code of the 16 is not used
        return torch.arange(-7, 8) / 7
    return normal_float(BITS[form])


def levels(form: str, device: torch.device | str = "cpu") -> Tensor:
    """The levels of a format, ascending, from -1 to 1. ValueError for a format that is none."""
    if form not in BITS:
        raise ValueError(f"no format {form!r}{nearest_and_known(form, BITS)}")
    return _levels(form).to(device)


@dataclasses.dataclass(frozen=True)
class Quantized:
    """A tensor in few bits.

    codes (n,): uint8, one for each number, an index into `levels(form)`. absmax (blocks,): float32.
    The last block may be short.
    """

    codes: Tensor
    absmax: Tensor
    shape: tuple[int, ...]
    form: str
    block: int
    dtype: torch.dtype


def quantize(W: Tensor, form: str = "nf4", block: int | None = BLOCK) -> Quantized:
    """The codes of W, any shape, in blocks of `block` numbers, row after row; None: one block.

    Raises ValueError for an unknown format, an empty block, and a W that is not finite: one NaN
    would be the scale of its whole block.
    """
    table = levels(form, W.device)
    if block is not None and block < 1:
        raise ValueError(f"a block has at least one number, not {block}")
    if not W.is_floating_point() or not W.isfinite().all():
        raise ValueError("only finite floating-point weights can be quantized")
    size = block or max(1, W.numel())
    codes, absmax = nearest_codes(W.detach().flatten().float(), table, size)
    return Quantized(codes, absmax, tuple(W.shape), form, size, W.dtype)


def nearest_codes(flat: Tensor, table: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """For numbers (n,): the code of the level nearest to each, (n,) uint8, and the scales.

    A block of zeros has the scale 0, and the code of zero throughout.
    """
    blocks = torch.nn.functional.pad(flat, (0, -len(flat) % block)).view(-1, block)
    absmax = blocks.abs().amax(dim=1)  # (blocks,)
    scaled = blocks / absmax.where(absmax > 0, torch.ones_like(absmax))[:, None]  # in [-1, 1]
    codes = torch.bucketize(scaled, (table[1:] + table[:-1]) / 2)  # the middles part the levels
    return codes.flatten()[: len(flat)].to(torch.uint8), absmax


def dequantize(q: Quantized, dtype: torch.dtype | None = None) -> Tensor:
    """W' in the shape of W: the level of each code, times the scale of its block.

    In float32, then rounded once to `dtype`, W's own if None is given.
    """
    values = levels(q.form, q.codes.device)[q.codes.long()]  # (n,)
    scales = q.absmax.repeat_interleave(q.block)[: len(values)]  # (n,)
    return (values * scales).view(q.shape).to(dtype or q.dtype)


def fake_quantize(W: Tensor, form: str = "nf4", block: int | None = BLOCK) -> Tensor:
    """W as it comes back from few bits: all of the error, and none of the savings."""
    return dequantize(quantize(W, form, block))


# --- two codes in a byte -----------------------------------------------------------------------


def pack(codes: Tensor, spare: int = 7) -> Tensor:
    """Two codes of 4 bits in each byte (ceil(n/2),): the first in the high half.

    An odd last code shares its byte with `spare`, in NF4 the code of zero.
    """
    if len(codes) and int(codes.max()) > 15:
        raise ValueError("two codes go into a byte only if both are below 16")
    even = torch.nn.functional.pad(codes, (0, len(codes) % 2), value=spare)
    return even[0::2] << 4 | even[1::2]


def unpack(packed: Tensor, n: int) -> Tensor:
    """The first n codes in the bytes, one in each uint8: the inverse of `pack`."""
    return torch.stack([packed >> 4, packed & 15], dim=1).flatten()[:n]


# --- the scales, quantized too -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class QuantizedScales:
    """absmax in 8 bits: codes (blocks,) uint8, a scale for each 256 of them, and the mean."""

    codes: Tensor
    absmax: Tensor
    mean: Tensor


@cache
def dynamic_levels() -> Tensor:
    """The 256 levels that bitsandbytes gives the scales: seven decades, finer as they go up.

    Decade i, from 10^(i-7) to 10^(i-6), has 2^i levels of each sign; then there are 0 and 1.
    """
    found = [0.0, 1.0]
    for i in range(7):
        edges = torch.linspace(0.1, 1, 2**i + 1)
        middles = ((edges[1:] + edges[:-1]) / 2 * 10.0 ** (i - 6)).tolist()
        found += middles + [-x for x in middles]
    return torch.tensor(sorted(found))


def quantize_scales(absmax: Tensor) -> QuantizedScales:
    """Double quantization: absmax less its mean, in 8 bits, in blocks of 256.

    The mean goes first, since all scales are positive and half of the levels are not.
    """
    mean = absmax.mean()
    codes, second = nearest_codes(absmax - mean, dynamic_levels().to(absmax.device), SCALES)
    return QuantizedScales(codes, second, mean)


def dequantize_scales(q: QuantizedScales, table: Tensor | None = None) -> Tensor:
    """absmax (blocks,), as it comes back from 8 bits. `table`: `dynamic_levels` on q's device."""
    table = dynamic_levels().to(q.codes.device) if table is None else table
    values = table[q.codes.long()]
    return values * q.absmax.repeat_interleave(SCALES)[: len(values)] + q.mean


def bits_per_weight(
    bits: int = 4, block: int = BLOCK, double: bool = False, second: int = SCALES
) -> float:
    """Storage for one weight: its code, and its share of the scales.

    32 / block more for a float32 scale; with `double` 8 / block, and 32 / (block * second) for the
    scale of the scales. What there is once for a tensor (the mean, the tables) is not counted.
    """
    if not double:
        return bits + 32 / block
    return bits + 8 / block + 32 / (block * second)


def relative_error(W: Tensor, other: Tensor) -> float:
    """‖W − other‖ / ‖W‖, in float64."""
    return (torch.dist(W.double(), other.double()) / W.double().norm()).item()


def code_bits(codes: Tensor | Sequence[int], count: int) -> float:
    """The entropy of the codes in bits: log2(count) if all `count` are used equally often."""
    shares = torch.bincount(torch.as_tensor(codes).long().flatten(), minlength=count).double()
    shares = shares[shares > 0] / shares.sum()
    return -(shares * shares.log2()).sum().item() if len(shares) > 1 else 0.0


def stored_bytes(numbers: int, bits: int = 4, block: int = BLOCK, double: bool = False) -> int:
    """Bytes of a weight of so many numbers: codes, scales and, doubled, their mean."""
    blocks = math.ceil(numbers / block)
    scales = blocks + 4 * math.ceil(blocks / SCALES) + 4 if double else 4 * blocks
    return math.ceil(numbers * bits / 8) + scales
