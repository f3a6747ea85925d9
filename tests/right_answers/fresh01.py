"""Right answers of other forms to lesson 01, written without a look at what its checks draw."""

from . import RightAnswer

FRESH = {
    "best_rank_k": [
        RightAnswer(
            "fresh: zeroing S",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    S = S.clone()
    S[k:] = 0
    return U @ torch.diag(S) @ Vh
""",
        ),
        RightAnswer(
            "fresh: einsum",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return torch.einsum('ok,k,ki->oi', U[:, :k], S[:k], Vh[:k])
""",
        ),
        RightAnswer(
            "fresh: projection",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    V = Vh[:k]
    return W @ V.T @ V
""",
        ),
        RightAnswer(
            "fresh: left projection",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, :k] @ U[:, :k].T @ W
""",
        ),
        RightAnswer(
            "fresh: torch.svd",
            """
def best_rank_k(W, k):
    U, S, V = torch.svd(W)
    return U[:, :k] @ torch.diag(S[:k]) @ V[:, :k].T
""",
        ),
        RightAnswer(
            "fresh: subtract tail",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return W - U[:, k:] * S[k:] @ Vh[k:]
""",
        ),
        RightAnswer(
            "fresh: outer loop",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    out = torch.zeros_like(W)
    for j in range(k):
        out += S[j] * torch.outer(U[:, j], Vh[j])
    return out
""",
        ),
        RightAnswer(
            "fresh: transpose trick",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W.T, full_matrices=False)
    return (U[:, :k] * S[:k] @ Vh[:k]).T
""",
        ),
        RightAnswer(
            "fresh: np matmul",
            """
import numpy as np

def best_rank_k(W, k):
    U, S, V = np.linalg.svd(W.numpy(), full_matrices=False)
    return torch.as_tensor(U[:, :k] @ np.diag(S[:k]) @ V[:k])
""",
        ),
        RightAnswer(
            "fresh: no_grad",
            """
@torch.no_grad()
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, :k] @ (S[:k, None] * Vh[:k])
""",
        ),
    ],
    "truncation_error": [
        RightAnswer(
            "fresh: norm",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return s[k:].norm()
""",
        ),
        RightAnswer(
            "fresh: linalg",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return torch.linalg.vector_norm(s[k:]).item()
""",
        ),
        RightAnswer(
            "fresh: sum",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return math.sqrt(sum((float(x) ** 2 for x in s[k:])))
""",
        ),
        RightAnswer(
            "fresh: dot",
            """
def truncation_error(singular_values, k):
    s = singular_values
    t = s[k:].double()
    return float((t @ t) ** 0.5)
""",
        ),
        RightAnswer(
            "fresh: mask",
            """
def truncation_error(singular_values, k):
    s = singular_values
    i = torch.arange(len(s))
    return float(((i >= k) * s).norm())
""",
        ),
        RightAnswer(
            "fresh: np",
            """
import numpy as np

def truncation_error(singular_values, k):
    s = singular_values
    return np.sqrt(np.sum(np.square(s.numpy()[k:])))
""",
        ),
        RightAnswer(
            "fresh: cumsum",
            """
def truncation_error(singular_values, k):
    s = singular_values
    c = s.double().square().flip(0).cumsum(0).flip(0)
    return float(c[k].sqrt()) if k < len(s) else 0.0
""",
        ),
        RightAnswer(
            "fresh: diff double",
            """
def truncation_error(singular_values, k):
    s = singular_values
    e = s.double().square()
    return math.sqrt(max(0.0, float(e.sum() - e[:k].sum())))
""",
        ),
        RightAnswer(
            "fresh: tensor11",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return (s[k:] ** 2).sum(dim=0, keepdim=True).sqrt()
""",
        ),
        RightAnswer(
            "fresh: fro of diag",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return torch.linalg.norm(torch.diag(s[k:])).item() if k < len(s) else 0
""",
        ),
    ],
    "rank_for_energy": [
        RightAnswer(
            "fresh: loop",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    t = 0.0
    for k, x in enumerate(e.tolist(), 1):
        t += x
        if t >= share * sum(e.tolist()):
            return k
    return len(s)
""",
        ),
        RightAnswer(
            "fresh: np searchsorted",
            """
import numpy as np

def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return min(len(s), int(np.searchsorted(c.numpy(), share)) + 1)
""",
        ),
        RightAnswer(
            "fresh: 0-d",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return (c < share).sum().clamp(max=len(s) - 1) + 1
""",
        ),
        RightAnswer(
            "fresh: double",
            """
def rank_for_energy(s, share):
    e = s.double() ** 2
    c = e.cumsum(0)
    return min(len(s), int((c < share * c[-1]).sum()) + 1)
""",
        ),
        RightAnswer(
            "fresh: next",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return next((j + 1 for j, x in enumerate(c.tolist()) if x >= share), len(s))
""",
        ),
        RightAnswer(
            "fresh: accumulate",
            """
import itertools

def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    a = list(itertools.accumulate((float(x) ** 2 for x in s)))
    return next((j for j, x in enumerate(a, 1) if x >= share * a[-1]))
""",
        ),
        RightAnswer(
            "fresh: nonzero min",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    z = torch.where(c >= share)[0]
    return int(z.min()) + 1 if len(z) else len(s)
""",
        ),
        RightAnswer(
            "fresh: while",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    k = 1
    while k < len(s) and e[:k].sum() < share * e.sum():
        k += 1
    return k
""",
        ),
        RightAnswer(
            "fresh: np.int32",
            """
import numpy as np

def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return np.int32(min(len(s), int((c < share).sum()) + 1))
""",
        ),
        RightAnswer(
            "fresh: bisect",
            """
import bisect

def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return min(len(s), bisect.bisect_left(c.tolist(), share) + 1)
""",
        ),
    ],
    "loss_at_rank": [
        RightAnswer(
            "fresh: plain",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
        ),
        RightAnswer(
            "fresh: under no_grad measure",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    with torch.no_grad():
        try:
            layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
            return measure()
        finally:
            layer.weight.copy_(old)
""",
        ),
        RightAnswer(
            "fresh: .data",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        layer.weight.data.copy_(W_base + U[:, :k] @ torch.diag(S[:k]) @ Vh[:k])
        return measure()
    finally:
        layer.weight.data.copy_(old)
""",
        ),
        RightAnswer(
            "fresh: swap data",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    keep = layer.weight.data
    layer.weight.data = W_base + U[:, :k] * S[:k] @ Vh[:k]
    try:
        return measure()
    finally:
        layer.weight.data = keep
""",
        ),
        RightAnswer(
            "fresh: ExitStack",
            """
import contextlib

def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)

    def back():
        with torch.no_grad():
            layer.weight.copy_(old)
    with contextlib.ExitStack() as stack:
        stack.callback(back)
        with torch.no_grad():
            layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        return measure()
""",
        ),
        RightAnswer(
            "fresh: BaseException",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    with torch.no_grad():
        layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        try:
            x = measure()
        except BaseException:
            layer.weight.copy_(old)
            raise
        layer.weight.copy_(old)
    return x
""",
        ),
        RightAnswer(
            "fresh: minus tail",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(old - U[:, k:] * S[k:] @ Vh[k:])
        return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
        ),
        RightAnswer(
            "fresh: state_dict",
            """
import copy

def loss_at_rank(layer, W_base, k, measure):
    sd = copy.deepcopy(layer.state_dict())
    U, S, Vh = torch.linalg.svd(sd['weight'] - W_base, full_matrices=False)
    try:
        layer.load_state_dict({'weight': W_base + U[:, :k] * S[:k] @ Vh[:k]}, strict=False)
        return measure()
    finally:
        layer.load_state_dict(sd)
""",
        ),
        RightAnswer(
            "fresh: set_",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.detach().copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        x = measure()
    finally:
        layer.weight.detach().copy_(old)
    return x
""",
        ),
        RightAnswer(
            "fresh: slice",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    with torch.no_grad():
        layer.weight[:] = W_base + U[:, :k] * S[:k] @ Vh[:k]
    try:
        return float(measure())
    finally:
        with torch.no_grad():
            layer.weight[:] = old
""",
        ),
    ],
    "split_update": [
        RightAnswer(
            "fresh: np",
            """
import numpy as np

def split_update(delta, r, scaling):
    U, S, V = np.linalg.svd(delta.numpy() / scaling, full_matrices=False)
    q = np.sqrt(S[:r])
    return (torch.from_numpy(U[:, :r] * q), torch.from_numpy(q[:, None] * V[:r]))
""",
        ),
        RightAnswer(
            "fresh: scaled delta",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta / scaling, full_matrices=False)
    q = S[:r].sqrt()
    return (U[:, :r] * q, q[:, None] * Vh[:r])
""",
        ),
        RightAnswer(
            "fresh: list",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return [U[:, :r] * q, (Vh[:r].T * q).T]
""",
        ),
        RightAnswer(
            "fresh: einsum",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling) ** 0.5
    return (torch.einsum('or,r->or', U[:, :r], q), torch.einsum('r,ri->ri', q, Vh[:r]))
""",
        ),
        RightAnswer(
            "fresh: permuted",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return ((U[:, :r] * q).flip(1), (q[:, None] * Vh[:r]).flip(0))
""",
        ),
        RightAnswer(
            "fresh: torch.svd",
            """
def split_update(delta, r, scaling):
    U, S, V = torch.svd(delta)
    q = (S[:r] / scaling).sqrt()
    return (U[:, :r] * q, (V[:, :r] * q).T)
""",
        ),
        RightAnswer(
            "fresh: parameters",
            """
from torch import nn

def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return (nn.Parameter(U[:, :r] * q), nn.Parameter(q[:, None] * Vh[:r]))
""",
        ),
        RightAnswer(
            "fresh: double back",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta.double(), full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return ((U[:, :r] * q).to(delta.dtype), (q[:, None] * Vh[:r]).to(delta.dtype))
""",
        ),
        RightAnswer(
            "fresh: namedtuple",
            """
import collections

F_ = collections.namedtuple('F_', 'B A')

def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return F_(U[:, :r] * q, q[:, None] * Vh[:r])
""",
        ),
        RightAnswer(
            "fresh: random signs",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    g = torch.tensor([(-1.0) ** j for j in range(r)], dtype=delta.dtype)
    q = (S[:r] / scaling).sqrt()
    return (U[:, :r] * q * g, (g * q)[:, None] * Vh[:r])
""",
        ),
    ],
    "largest_saving_rank": [
        RightAnswer(
            "fresh: ceil",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return math.ceil(i * o / (i + o)) - 1
""",
        ),
        RightAnswer(
            "fresh: -(-)",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return -(-i * o // (i + o)) - 1
""",
        ),
        RightAnswer(
            "fresh: loop",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    r = 0
    while (r + 1) * (i + o) < i * o:
        r += 1
    return r
""",
        ),
        RightAnswer(
            "fresh: max gen",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return max((r for r in range(min(i, o) + 1) if r * (i + o) < i * o))
""",
        ),
        RightAnswer(
            "fresh: Fraction",
            """
from fractions import Fraction

def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return math.ceil(Fraction(i * o, i + o)) - 1
""",
        ),
        RightAnswer(
            "fresh: np",
            """
import numpy as np

def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return np.int64((i * o - 1) // (i + o))
""",
        ),
        RightAnswer(
            "fresh: tensor",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return torch.tensor((i * o - 1) // (i + o))
""",
        ),
        RightAnswer(
            "fresh: down",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    r = min(i, o)
    while r * (i + o) >= i * o:
        r -= 1
    return r
""",
        ),
        RightAnswer(
            "fresh: int - mod",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    r = i * o // (i + o)
    return r - 1 if r * (i + o) == i * o else r
""",
        ),
        RightAnswer(
            "fresh: keyword names",
            """
def largest_saving_rank(a, b):
    return (a * b - 1) // (a + b)
""",
        ),
    ],
}
