"""Right answers to lesson 01 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined
from .fresh01 import FRESH

RIGHT = {
    "best_rank_k": [
        RightAnswer(
            "loop of outers",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return sum(S[i] * torch.outer(U[:, i], Vh[i]) for i in range(k))
""",
        ),
        RightAnswer(
            "numpy",
            """
import numpy as np


def best_rank_k(W, k):
    U, S, Vh = np.linalg.svd(W.detach().cpu().numpy(), full_matrices=False)
    return torch.from_numpy((U[:, :k] * S[:k]) @ Vh[:k])
""",
        ),
        RightAnswer(
            "double and back",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W.double())
    return ((U[:, :k] * S[:k]) @ Vh[:k]).to(W.dtype)
""",
        ),
        RightAnswer(
            "eigh of gram",
            """
def best_rank_k(W, k):
    e, V = torch.linalg.eigh(W.T @ W)
    V = V[:, -k:]
    return W @ V @ V.T
""",
        ),
        RightAnswer(
            "svd_lowrank with q=min, niter 10",
            """
def best_rank_k(W, k):
    U, S, V = torch.svd_lowrank(W, q=min(W.shape), niter=20)
    return U[:, :k] @ torch.diag(S[:k]) @ V[:, :k].T
""",
        ),
    ],
    "largest_saving_rank": [
        RightAnswer(
            "binary search",
            """
def largest_saving_rank(in_features, out_features):
    i, o = in_features, out_features
    lo, hi = 0, max(i, o)
    while lo < hi:
        m = (lo + hi + 1) // 2
        if m * (i + o) < i * o:
            lo = m
        else:
            hi = m - 1
    return lo
""",
        ),
        RightAnswer(
            "divmod",
            """
def largest_saving_rank(in_features, out_features):
    i, o = in_features, out_features
    q, m = divmod(i * o, i + o)
    return q if m else q - 1
""",
        ),
        RightAnswer(
            "ceil-1",
            """
import math


def largest_saving_rank(in_features, out_features):
    i, o = in_features, out_features
    return math.ceil(i * o / (i + o)) - 1
""",
        ),
    ],
    "loss_at_rank": [
        RightAnswer(
            "context manager",
            """
import contextlib


def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    new = W_base + (U[:, :k] * S[:k]) @ Vh[:k]

    @contextlib.contextmanager
    def patched():
        with torch.no_grad():
            layer.weight.copy_(new)
        try:
            yield
        finally:
            with torch.no_grad():
                layer.weight.copy_(old)

    with patched():
        return measure()
""",
        ),
        RightAnswer(
            "own best_rank_k",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return (U[:, :k] * S[:k]) @ Vh[:k]


def loss_at_rank(layer, W_base, k, measure):
    with torch.no_grad():
        tuned = layer.weight.clone()
        try:
            layer.weight.copy_(W_base + best_rank_k(layer.weight - W_base, k))
            return measure()
        finally:
            layer.weight.copy_(tuned)
""",
        ),
        RightAnswer(
            "state_dict",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    new = W_base + (U[:, :k] * S[:k]) @ Vh[:k]
    sd = {k_: v.clone() for k_, v in layer.state_dict().items()}
    try:
        layer.load_state_dict({**sd, "weight": new})
        return measure()
    finally:
        layer.load_state_dict(sd)
""",
        ),
        RightAnswer(
            ".data assignment",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    new = W_base + (U[:, :k] * S[:k]) @ Vh[:k]
    keep = layer.weight.data
    layer.weight.data = new
    try:
        return measure()
    finally:
        layer.weight.data = keep
""",
        ),
    ],
    "rank_for_energy": [
        RightAnswer(
            "numpy",
            """
import numpy as np


def rank_for_energy(singular_values, share):
    e = np.cumsum(singular_values.numpy() ** 2)
    return int(np.argmax(e / e[-1] >= share)) + 1
""",
        ),
        RightAnswer(
            "np.int64",
            """
import numpy as np


def rank_for_energy(singular_values, share):
    e = np.cumsum(singular_values.numpy() ** 2)
    return np.argmax(e / e[-1] >= share) + 1
""",
        ),
        RightAnswer(
            "argmax+1",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return int((c >= share).int().argmax()) + 1
""",
        ),
        RightAnswer(
            "truncation_error complement",
            """
def rank_for_energy(singular_values, share):
    t = (singular_values**2).sum()
    for k in range(1, len(singular_values) + 1):
        if (singular_values[k:] ** 2).sum() <= (1 - share) * t:
            return k
""",
        ),
        RightAnswer(
            "searchsorted+1 clamp",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return min(len(s), int(torch.searchsorted(c, share)) + 1)
""",
        ),
        RightAnswer(
            "nonzero",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return int(torch.nonzero(c >= share)[0]) + 1
""",
        ),
    ],
    "split_update": [
        RightAnswer(
            "sign flipped",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return -U[:, :r] * q, -q[:, None] * Vh[:r]
""",
        ),
        RightAnswer(
            "sqrt(S)/sqrt(scaling)",
            """
import math


def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = S[:r].sqrt() / math.sqrt(scaling)
    return U[:, :r] * q, q.unsqueeze(1) * Vh[:r]
""",
        ),
        RightAnswer(
            "diag",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = torch.diag((S[:r] / scaling).sqrt())
    return U[:, :r] @ q, q @ Vh[:r]
""",
        ),
        RightAnswer(
            "rotated by an orthogonal Q",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    torch.manual_seed(0)
    Q, _ = torch.linalg.qr(torch.randn(r, r, dtype=delta.dtype))
    return (U[:, :r] * q) @ Q, Q.T @ (q[:, None] * Vh[:r])
""",
        ),
    ],
    "truncation_error": [
        RightAnswer(
            "hypot",
            """
import math


def truncation_error(singular_values, k):
    s = singular_values
    return math.hypot(*s[k:].tolist())
""",
        ),
        RightAnswer(
            "numpy",
            """
import numpy as np


def truncation_error(singular_values, k):
    s = singular_values
    return float(np.linalg.norm(s.numpy()[k:]))
""",
        ),
        RightAnswer(
            "np.float32",
            """
import numpy as np


def truncation_error(singular_values, k):
    s = singular_values
    return np.linalg.norm(s.numpy()[k:])
""",
        ),
        RightAnswer(
            "total minus kept",
            """
import math


def truncation_error(singular_values, k):
    s = singular_values
    s = s.double()
    return math.sqrt(max(0.0, (s @ s - s[:k] @ s[:k]).item()))
""",
        ),
    ],
}

for name, more in FRESH.items():
    RIGHT.setdefault(name, []).extend(more)

RIGHT = joined(RIGHT, afresh("01"))
