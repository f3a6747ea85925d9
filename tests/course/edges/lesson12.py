"""Lesson 12: blocks of one, blocks longer than all, zeros, bf16, other tables, one row."""

import math
from statistics import NormalDist

import torch
from hypothesis import strategies as st

from . import SEEDS, Edge, normal, whole

DTYPE = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])


def _levels(offset=0.9677083):
    quantile = NormalDist().inv_cdf
    up = [quantile(0.5 + (offset - 0.5) * i / 8) for i in range(1, 9)]
    down = [-quantile(0.5 + (offset - 0.5) * i / 7) for i in range(7, 0, -1)]
    return torch.tensor([*down, 0.0, *up], dtype=torch.float64) / up[-1]


@st.composite
def _weights(draw):
    rows, pairs, seed = draw(whole(1, 6)), draw(whole(1, 12)), draw(SEEDS)
    W = normal(seed, rows, 2 * pairs, dtype=draw(st.sampled_from([torch.float32, torch.bfloat16])))
    W[draw(whole(0, rows - 1))] *= draw(st.sampled_from([0.0, 1e-4, 1.0, 1e3]))
    return W, _levels().float(), draw(whole(1, 80))


def _coded(W, table, block):
    """The weights that are stored, in units of each block's scale, and the scales."""
    units, scales = [], []
    for piece in W.double().flatten().split(block):
        scale = max(map(abs, piece.tolist()))
        scales.append(scale)
        for weight in piece.tolist():
            at = weight / scale if scale else 0.0
            units.append(min(table.tolist(), key=lambda level: abs(level - at)))
    return torch.tensor(units), torch.tensor([math.log(s) if s else 0.0 for s in scales])


def _decoded(result, W, table, block):
    packed, absmax = result
    codes = [code for byte in packed.tolist() for code in divmod(byte, 16)]
    logs = torch.tensor([math.log(s) if s else 0.0 for s in absmax.tolist()])
    return table[codes], logs


@st.composite
def _codes(draw):
    shape = draw(st.sampled_from([(2,), (1, 6), (4, 5), (2, 3, 4)]))
    n, block, seed = math.prod(shape), draw(whole(1, 30)), draw(SEEDS)
    gen = torch.Generator().manual_seed(seed)
    packed = torch.randint(256, (n // 2,), generator=gen, dtype=torch.uint8)
    absmax = torch.rand(math.ceil(n / block), generator=gen)
    return packed, absmax, _levels(0.95).float(), block, shape, draw(DTYPE)


def _weights_of(packed, absmax, table, block, shape, dtype):
    codes = [code for byte in packed.tolist() for code in divmod(byte, 16)]
    values = [table[code] * absmax[i // block] for i, code in enumerate(codes)]
    return torch.stack(values).to(dtype).reshape(shape)


def _bits(block, double, second):
    weights = block * second
    scales = 8 * second + 32 if double else 32 * second
    return (4 * weights + scales) / weights


@st.composite
def _product(draw):
    in_, out, lead = draw(whole(1, 5)), draw(whole(1, 5)), draw(st.lists(whole(1, 3), max_size=2))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    W = normal(draw(SEEDS), out, in_, dtype=dtype)
    x = normal(draw(SEEDS), *lead, in_, dtype=dtype).requires_grad_()
    return x, torch.zeros(3, dtype=torch.uint8), lambda packed: W.clone()


def _both_ways(x, packed, decode):
    y = torch.einsum("...i,oi->...o", x.detach().double(), decode(packed).double())
    return y, torch.einsum("...o,oi->...i", 2 * y, decode(packed).double())


def _with_gradient(y, x, packed, decode):
    return y.detach(), torch.autograd.grad(y.square().sum(), x)[0]


EDGES = {
    "nf4_table": Edge(st.tuples(st.floats(0.6, 0.999)), _levels),
    "quantize": Edge(_weights(), _coded),
    "dequantize": Edge(_codes(), _weights_of),
    "bits_per_weight": Edge(st.tuples(whole(1, 4096), st.booleans(), whole(1, 512)), _bits),
    "frozen_product": Edge(_product(), _both_ways),
}
SEEN = {"quantize": _decoded, "frozen_product": _with_gradient}
