"""Lesson 12's question with the student's own numbers: the largest block that is good enough."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ...base.quantize import SCALES, fake_quantize, relative_error
from ...seeding import generator
from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw

SHAPE = (16, 1024)
BLOCKS = (32, 64, 128, 256, 512)


def sample(seed: int, outlier: int) -> Tensor:
    """Normal weights, in each row one that is `outlier` times as large as usual."""
    W = torch.randn(*SHAPE, generator=generator(seed))
    W[:, 0] = outlier
    return W


@cache
def errors(seed: int, outlier: int) -> dict[int, float]:
    """The relative error of NF4 for each block size: it rises with the block."""
    W = sample(seed, outlier)
    return {block: relative_error(W, fake_quantize(W, "nf4", block)) for block in BLOCKS}


def draw(numbers: Draw) -> dict[str, Any]:
    """Weights to sample, a limit between the errors of two block sizes, and a layer to store."""
    seed, outlier = numbers.whole(0, 9999), numbers.whole(8, 30)
    place = numbers.whole(0, len(BLOCKS) - 2)
    found = errors(seed, outlier)
    limit = 100 * math.sqrt(found[BLOCKS[place]] * found[BLOCKS[place + 1]])
    return {
        "seed": seed,
        "outlier": outlier,
        "limit_percent": float(f"{limit:.4g}"),
        "out_features": 16 * numbers.whole(20, 600),
        "in_features": 1024 * numbers.whole(1, 8),
    }


def stored(n: int, block: int, scales: int = 1, second: int = 4, mean: int = 4) -> int:
    """Bytes of n weights: codes, a scale of so many bytes a block, and what all share."""
    blocks = math.ceil(n / block)
    return n // 2 + scales * blocks + second * math.ceil(blocks / SCALES) + mean


def right(
    seed: int, outlier: int, limit_percent: float, out_features: int, in_features: int
) -> tuple[int, int]:
    """The largest block whose error is within the limit, and the bytes of the layer with it."""
    within = [b for b, error in errors(seed, outlier).items() if 100 * error <= limit_percent]
    return max(within), stored(out_features * in_features, max(within))


def mistakes(
    seed: int, outlier: int, limit_percent: float, out_features: int, in_features: int
) -> dict[str, Numbers]:
    """What each mistake gives."""
    block, _ = right(seed, outlier, limit_percent, out_features, in_features)
    n = out_features * in_features
    return {
        "These are the codes alone. The scales are stored too.": (block, n // 2),
        "This is without double quantization: a scale has one byte here.": (
            block,
            stored(n, block, scales=4, second=0, mean=0),
        ),
        "The scales of the scales are left out: float32s that many blocks share.": (
            block,
            stored(n, block, second=0),
        ),
        "The mean is left out, one float32 for the layer.": (block, stored(n, block, mean=0)),
        "Both float32 parts are left out: the scales of the scales, and the mean.": (
            block,
            stored(n, block, second=0, mean=0),
        ),
        "These are bits. Eight make a byte.": (block, 8 * stored(n, block)),
        "This is a byte for each weight. Two codes share one.": (
            block,
            n + stored(n, block) - n // 2,
        ),
        "Its error is above your limit.": (2 * block, None),
        "A larger block is still within your limit.": (block // 2, None),
        "This is one float32 scale for the whole layer. Each block has one.": (block, n // 2 + 4),
    }


MY_BLOCK = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_block",
    title="12.6 A block size of your own",
    points=2,
    minutes=5,
    hints=(
        "Two steps: find the block by trying all five sizes, then count bytes for your layer.",
        "For each size: back = quantizer.fake_quantize(W, 'nf4', block), and the error is the norm "
        "of back - W over the norm of W. The largest block within the limit is your first number.",
        "Bytes: half a byte a weight, one byte a block, 4 bytes for each 256 blocks (rounded up), "
        "and 4 for the mean.",
    ),
)
