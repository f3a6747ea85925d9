"""Lesson 02: no bias, rank 1, one vector and four dimensions, all singular vectors."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from . import SEEDS, Edge, normal, positive, whole

LEADING = st.lists(whole(1, 3), max_size=3)


@st.composite
def _layer(draw):
    out, in_, r, seed = draw(whole(1, 6)), draw(whole(1, 6)), draw(whole(1, 4)), draw(SEEDS)
    linear = nn.Linear(in_, out, bias=draw(st.booleans()))
    x = normal(draw(SEEDS), *draw(LEADING), in_)
    return x, linear, normal(seed, r, in_), normal(seed + 1, out, r), draw(positive(0.1, 64))


def _forward(x, linear, A, B, alpha):
    W = linear.weight.detach().double() + alpha / len(A) * (B.double() @ A.double())
    b = 0 if linear.bias is None else linear.bias.detach().double()
    return torch.einsum("...i,oi->...o", x.double(), W) + b


@st.composite
def _gradients(draw):
    (x, linear, A, B, alpha), n = draw(_layer()), draw(whole(1, 3))
    x = x.reshape(1, -1, x.shape[-1]).expand(n, -1, -1).clone()
    W = linear.weight.detach()
    return x, normal(draw(SEEDS), *x.shape[:2], len(W)), W, A, B, alpha


def _autograd(x, G, W, A, B, scaling):
    x, A, B = (t.double().requires_grad_() for t in (x, A, B))
    y = x @ W.double().T + scaling * (x @ A.T @ B.T)
    return torch.autograd.grad(y, (A, B, x), G.double())


@st.composite
def _overlaps(draw):
    out, in_ = draw(whole(1, 6)), draw(whole(1, 6))
    most = min(out, in_)
    M, N = (1 + normal(5 * draw(SEEDS) // 5 * 5 + 1, out, in_) for _ in range(2))
    return M, N, draw(whole(1, most)), draw(whole(1, most))


def _phi(M, N, i, j):
    first, second = (
        np.linalg.svd(X.double().numpy(), full_matrices=False)[2][:k] for X, k in ((M, i), (N, j))
    )
    cosines = np.linalg.svd(first @ second.T, compute_uv=False)
    return (cosines**2).sum() / min(i, j)


@st.composite
def _sizes(draw):
    gen = torch.Generator().manual_seed(draw(SEEDS))
    return draw(whole(1, 9)), draw(whole(1, 9)), draw(whole(1, 5)), gen


def starts(result, in_, out, r, gen):
    """The shapes, and whether the values are where they may start."""
    A, B = result
    return *A.shape, *B.shape, bool((A.abs() <= in_**-0.5).all()), bool(B.any())


EDGES = {
    "start_factors": Edge(_sizes(), lambda i, o, r, gen: (r, i, o, r, True, False)),
    "forward_with_branch": Edge(_layer(), _forward),
    "gradients_by_hand": Edge(_gradients(), _autograd),
    "overlap": Edge(_overlaps(), _phi),
}
SEEN = {"start_factors": starts}
