"""Lesson 03: rank 1, equal ranks, two points, zeros, runs of one step, infinities of both signs."""

import math

import numpy as np
import torch
from hypothesis import assume
from hypothesis import strategies as st

from . import SEEDS, Edge, normal, positive, whole


@st.composite
def _weights(draw):
    out, in_, r, seed = draw(whole(1, 6)), draw(whole(1, 6)), draw(whole(1, 5)), draw(SEEDS)
    factors = normal(seed + 1, out, r), normal(seed + 2, r, in_)
    return normal(seed, out, in_), *factors, draw(positive(0.1, 64)), draw(st.booleans())


def _weight(W, B, A, alpha, stabilized):
    s = alpha / len(A) ** (0.5 if stabilized else 1)
    return W.double() + s * torch.einsum("or,ri->oi", B.double(), A.double())


@st.composite
def _gradients(draw):
    out, in_, r = draw(whole(1, 6)), draw(whole(1, 6)), draw(whole(1, 4))
    G, A = normal(draw(SEEDS), out, in_), normal(draw(SEEDS), r, in_)
    thin = G.double() @ A.double().T
    assume(bool(((thin == 0) | (thin.abs() > 1e-3)).all()))  # else rounding decides the sign
    return G, A, draw(positive(0.1, 9)), draw(positive(1e-3, 1)), draw(st.sampled_from(RULES))


RULES = ["sgd", "adam"]


def _first(G, A, s, lr, rule):
    B = -lr * (s * torch.einsum("oi,ri->or", G.double(), A.double()))
    return s * (B if rule == "sgd" else lr * B.sign()) @ A.double()


def _same_run(k, lr, decay, rule):
    factor = k**0.5 if rule == "adamw" else k
    return {"lr": lr * factor, "weight_decay": decay / factor, "start_A": k**0.5}


@st.composite
def _points(draw):
    x = draw(st.lists(positive(), min_size=2, max_size=8))
    assume(max(x) / min(x) > 1.5)
    y = [draw(positive()) for _ in x]
    if draw(st.booleans()):
        (x if draw(st.booleans()) else y)[draw(whole(0, len(x) - 1))] = draw(
            st.sampled_from([0.0, -1.0])
        )
    return x, y


def _slope(x, y):
    if min(*x, *y) <= 0:
        raise ValueError
    return np.linalg.lstsq(
        np.stack([np.log(x), np.ones(len(x))], 1), np.log(y), rcond=None
    )[0][0]  # fmt: skip


LOSS = st.floats(0, 9) | st.sampled_from([math.nan, math.inf, -math.inf])


@st.composite
def _runs(draw):
    quiet = st.sampled_from([1.0, 1.0, 1.0, 1.25, 4.0])
    losses = draw(st.lists(quiet, min_size=1, max_size=40) | st.lists(LOSS, min_size=1))
    return losses, [draw(st.sampled_from([0.5, 1.0])) for _ in losses], draw(positive(0.1, 2))


def _outcome(losses, untrained, margin):
    excess = np.array(losses) - np.array(untrained)
    if not np.isfinite(losses).all():
        return "diverged"
    end = excess[len(excess) - max(1, len(excess) // 10) :].mean()
    assume(abs(end - margin) > 1e-9 and abs(excess.max() - margin) > 1e-9)
    return "diverged" if end > margin else "spiked" if excess.max() > margin else "stable"


EDGES = {
    "adapted_weight": Edge(_weights(), _weight),
    "alpha_for": Edge(
        st.tuples(whole(1, 300), whole(1, 300), positive(), st.booleans()),
        lambda new, old, alpha, root: alpha * (new / old) ** (0.5 if root else 1),
    ),
    "first_update": Edge(_gradients(), _first),
    "same_run": Edge(
        st.tuples(positive(), positive(), positive(), st.sampled_from(["adamw", "sgd"])), _same_run
    ),
    "power_law": Edge(_points(), _slope),
    "run_outcome": Edge(_runs(), _outcome),
}
