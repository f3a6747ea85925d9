"""Lesson 04: p = 0, noise that is exactly p, one feature, ties of the best moment."""

import torch
from hypothesis import strategies as st

from lora_lessons.course.lesson04.checks import _branch, _penalty

from . import SEEDS, Edge, normal, positive, whole

RATE = st.sampled_from([0.0, 0.25, 0.5, 0.75]) | st.floats(0, 0.9)


@st.composite
def _masked(draw):
    shape, seed = draw(st.lists(whole(1, 4), min_size=1, max_size=3)), draw(SEEDS)
    out, r, p = draw(whole(1, 5)), draw(whole(1, 4)), draw(RATE)
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    noise.view(-1)[0] = p  # kept: only what lies below p is dropped
    factors = normal(seed + 1, r, shape[-1]), normal(seed + 2, out, r)
    return normal(seed, *shape), noise, *factors, draw(positive(0.1, 9)), p


def _dropped(x, noise, A, B, scaling, p):
    keep = torch.tensor(
        [float(n >= torch.tensor(p)) for n in noise.flatten()], dtype=torch.float64
    ).view(noise.shape)
    return scaling * _branch(x.double() * keep / (1 - p), A, B)


@st.composite
def _penalised(draw):
    n, out, in_, seed = draw(whole(1, 5)), draw(whole(1, 5)), draw(whole(1, 5)), draw(SEEDS)
    pair = normal(seed + 1, out, in_), normal(seed + 2, out, in_)
    return normal(seed, n, in_), *pair, draw(st.just(0.0) | st.floats(0.01, 0.9))


@st.composite
def _curves(draw):
    n = draw(whole(1, 6))
    return tuple([draw(whole(1, 4)) / 2 for _ in range(n)] for _ in range(3))


def _report(train, valid, test):
    at = sorted(range(len(valid)), key=lambda i: (valid[i], i))[0]
    return at, test[at], test[-1] - test[at]


EDGES = {
    "dropped_branch": Edge(_masked(), _dropped),
    "implied_penalty": Edge(
        _penalised(), lambda X, W, T, p: _penalty(X, T.double() - W.double(), p)
    ),
    "stopping_report": Edge(_curves(), _report),
}
