"""Lesson 01: rank 1 and full rank, zeros, one row, share 1, sides that break even."""

from fractions import Fraction

import numpy as np
import torch
from hypothesis import assume
from hypothesis import strategies as st

from . import SEEDS, Edge, normal, positive, whole


@st.composite
def _matrix_and_rank(draw):
    out, in_, seed = draw(whole(1, 7)), draw(whole(1, 7)), draw(SEEDS)
    return normal(seed, out, in_), draw(whole(1, min(out, in_)))


def _best(W, k):
    U, S, Vh = np.linalg.svd(W.double().numpy(), full_matrices=False)
    return torch.from_numpy(sum(S[i] * np.outer(U[:, i], Vh[i]) for i in range(k)))


@st.composite
def _spectrum(draw, least=1):
    values = draw(st.lists(st.just(0.0) | st.floats(0.125, 8, width=32), max_size=64))
    values = sorted([*values, 1.0], reverse=True)
    return torch.tensor(values), draw(whole(0, len(values)))


@st.composite
def _energy(draw):
    spectrum, _ = draw(_spectrum())
    return spectrum, draw(st.just(1.0) | st.floats(0.01, 0.999))


def _rank(spectrum, share):
    energy = [Fraction(s) ** 2 for s in spectrum.tolist()]
    kept = [float(sum(energy[: k + 1]) / sum(energy)) for k in range(len(energy))]
    assume(share == 1 or all(abs(k - share) > 1e-5 for k in kept))  # rounding decides no test
    return next(k + 1 for k, value in enumerate(kept) if value >= share)


def _split(delta, r, scaling):
    return _best(delta, r)


def product(result, delta, r, scaling):
    """scaling * B @ A, once the factors have an equal share."""
    B, A = result
    assert torch.allclose(B.norm(dim=0), A.norm(dim=1), atol=1e-5)
    return scaling * B.double() @ A.double()


@st.composite
def _layer(draw):
    W, k = draw(_matrix_and_rank())
    layer = torch.nn.Linear(W.shape[1], W.shape[0], bias=False)
    layer.weight.data.copy_(W)
    base = normal(draw(SEEDS), *W.shape)
    return layer, base, k, lambda: layer.weight.detach().double().square().sum().item()


def _loss(layer, base, k, measure):
    return (base.double() + _best(layer.weight.detach() - base, k)).square().sum()


EDGES = {
    "best_rank_k": Edge(_matrix_and_rank(), _best),
    "truncation_error": Edge(_spectrum(), lambda S, k: S.double()[k:].square().sum().sqrt()),
    "rank_for_energy": Edge(_energy(), _rank),
    "loss_at_rank": Edge(_layer(), _loss),
    "split_update": Edge(
        st.tuples(_matrix_and_rank(), positive(0.1, 9)).map(lambda t: (*t[0], t[1])), _split
    ),
    "largest_saving_rank": Edge(
        st.tuples(whole(1, 60), whole(1, 60)),
        lambda i, o: max(r for r in range(61) if r * (i + o) < i * o),
    ),
}
SEEN = {"split_update": product}
