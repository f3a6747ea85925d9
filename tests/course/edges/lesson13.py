"""Lesson 13: rank 1 and full rank, wide and tall, s of zero, m below zero, models of no adapter."""

import math

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import nn

from . import SEEDS, Edge, normal, positive, whole


def _scaling(lora_alpha, r):
    return lora_alpha * r**-0.5, lora_alpha / math.exp(-0.5 * math.log(r))


@st.composite
def _dora(draw):
    in_, out, r, seed = draw(whole(1, 5)), draw(whole(1, 5)), draw(whole(1, 4)), draw(SEEDS)
    W, A, B = normal(5 * seed + 1, out, in_), normal(seed, r, in_), normal(seed + 1, out, r)
    s = draw(st.one_of(st.just(0.0), positive(0.1, 5)))
    lengths = (W.double() + s * B.double() @ A.double()).square().sum(1).sqrt()
    assume(bool((lengths > 1e-2).all()))
    return W, A, B, normal(seed + 2, out), s


def _rows(W, A, B, m, s):
    rows = []
    for i in range(len(W)):
        v = W[i].double() + s * sum(B[i, j].double() * A[j].double() for j in range(len(A)))
        rows.append(m[i].double() * v / (v @ v) ** 0.5)
    return torch.stack(rows)


def apart(out, in_, seed):
    """A matrix whose singular values are well apart: float32 can tell the first r."""
    U, S, Vh = torch.linalg.svd(normal(5 * seed + 1, out, in_).double(), full_matrices=False)
    return (U * 4 * 0.6 ** torch.arange(len(S)) @ Vh).float()


def main_part(M, r):
    """The first r terms of the decomposition, from the eigenvectors of M M^T."""
    values, vectors = torch.linalg.eigh(M.double() @ M.double().T)
    U = vectors[:, -r:]
    return U @ U.T @ M.double(), values.clamp(min=0).sqrt().flip(0)


@st.composite
def _pissa(draw):
    out, in_ = draw(whole(1, 5)), draw(whole(1, 5))
    return apart(out, in_, draw(SEEDS)), draw(whole(1, min(out, in_))), draw(positive(0.2, 9))


def _split(W, r, s):
    main, values = main_part(W, r)
    lengths = (values[:r] / s).sqrt()
    return W.double() - main, main, lengths, lengths


def _seen_split(result, W, r, s):
    rest, A, B = result
    return rest, s * B.double() @ A.double(), A.norm(dim=1), B.norm(dim=0)


NAMES = st.sampled_from(
    ["lora_A", "lora_B", "lora_magnitude_vector", "lora_embedding_B", "head", "score_B", "base"]
)


@st.composite
def _model(draw):
    model = nn.Module()
    for i in range(draw(whole(0, 3))):
        part = nn.Module()
        for name in draw(st.lists(NAMES, unique=True, max_size=5)):
            holder = nn.Module()
            holder.default = nn.Linear(2, 3, bias=draw(st.booleans()))
            holder.requires_grad_(draw(st.booleans()))
            part.add_module(name, holder)
        model.add_module(f"layer{i}", part)
    return model, draw(positive(1e-5, 1e-2)), draw(positive(1, 32))


def _rates(model, lr, ratio):
    return {
        f"{place}.{name}": lr * ratio if place.split(".")[1] == "lora_B" else lr
        for place, part in model.named_modules()
        for name, p in part.named_parameters(recurse=False)
        if p.requires_grad
    }


def _by_name(groups, model, lr, ratio):
    names = {id(p): name for name, p in model.named_parameters()}
    found = [(names[id(p)], group["lr"]) for group in groups for p in group["params"]]
    assert len(found) == len(dict(found))
    return dict(found)


def grid(X):
    """A quantizer: thirds, to the nearest."""
    return (X * 3).round() / 3


@st.composite
def _loftq(draw):
    out, in_ = draw(whole(2, 5)), draw(whole(2, 5))
    W = normal(5 * draw(SEEDS) + 1, out, in_)
    return W, grid, draw(whole(1, min(out, in_) - 1)), draw(whole(1, 4))


def _turns(W, quantize, r, steps):
    held = torch.zeros_like(W).double()
    for _ in range(steps):
        asked = W.double() - held
        # where float32 and float64 may round to two levels, or not tell the first r, ask another
        assume(bool(((asked * 3).frac().abs() - 0.5).abs().min() > 1e-4))
        Q = quantize(asked)
        held, values = main_part(W.double() - Q, r)
        assume(bool(values[r - 1] > 1.05 * values[r] + 1e-3) if r < len(values) else True)
    return Q, held


EDGES = {
    "rs_scaling": Edge(st.tuples(positive(0.5, 256), whole(1, 512)), _scaling),
    "dora_weight": Edge(_dora(), _rows),
    "pissa": Edge(_pissa(), _split),
    "loraplus_groups": Edge(_model(), _rates),
    "loftq": Edge(_loftq(), _turns),
}
SEEN = {
    "pissa": _seen_split,
    "loraplus_groups": _by_name,
    "loftq": lambda result, *given: (result[0], result[2].double() @ result[1].double()),
}
