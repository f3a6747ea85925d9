"""Wrong answers to lesson 01, written without a look at what its checks draw."""
# ruff: noqa: E501

from . import WrongAnswer

FRESH = {
    "best_rank_k": [
        WrongAnswer(
            "fresh: columns of Vh.T slip",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, :k] * S[:k] @ Vh.T[:, :k].T * 1.0001
""",
            "the entry that differs most), for W of shape",
        ),
        WrongAnswer(
            "fresh: square only eig",
            """
def best_rank_k(W, k):
    e, V = torch.linalg.eigh(W @ W.T)
    V = V[:, :k]
    return V @ V.T @ W
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: keeps k//2",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, :k // 2] * S[:k // 2] @ Vh[:k // 2]
""",
            "This copy has rank k // 2.",
        ),
        WrongAnswer(
            "fresh: max(k,1) fixed 3",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    k = 3
    return U[:, :k] * S[:k] @ Vh[:k]
""",
            "This copy has rank k - 1: one term too few.",
        ),
        WrongAnswer(
            "fresh: transposed result",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return (U[:, :k] * S[:k] @ Vh[:k]).T
""",
            "The shape must be (23, 31); got (31, 23): is a transpose",
        ),
        WrongAnswer(
            "fresh: factors",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return (U[:, :k] * S[:k], Vh[:k])
""",
            "Return a tensor; got tuple.",
        ),
        WrongAnswer(
            "fresh: float32 forced",
            """
def best_rank_k(W, k):
    W = W.float()
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, :k] * S[:k] @ Vh[:k]
""",
            "`W` is float64 and the result is torch.float32: digits are",
        ),
        WrongAnswer(
            "fresh: half",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return ((U[:, :k] * S[:k]).bfloat16() @ Vh[:k].bfloat16()).to(W.dtype)
""",
            "Nearly right: was it rounded, computed in a lower",
        ),
        WrongAnswer(
            "fresh: zeroes S in W in place",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    W.copy_(U[:, :k] * S[:k] @ Vh[:k])
    return W
""",
            "Your code changes `W` itself, which it was given. Make a",
        ),
        WrongAnswer(
            "fresh: qr",
            """
def best_rank_k(W, k):
    Q, R = torch.linalg.qr(W)
    return Q[:, :k] @ R[:k]
""",
            "This comes from a QR decomposition. The leading directions",
        ),
        WrongAnswer(
            "fresh: min only wide",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W)
    n = W.shape[0]
    D = torch.zeros(n, n)
    D[:k, :k] = torch.diag(S[:k])
    return U @ D @ Vh[:n]
""",
            "Your code raised RuntimeError: mat1 and mat2 shapes cannot",
        ),
        WrongAnswer(
            "fresh: drops the first",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, 1:k + 1] * S[1:k + 1] @ Vh[1:k + 1]
""",
            "The first term is missing: counting starts at 0, S[:k].",
        ),
        WrongAnswer(
            "fresh: mean added",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, :k] * S[:k] @ Vh[:k] + W.mean()
""",
            "",
        ),
        WrongAnswer(
            "fresh: soft threshold",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, :k] * (S[:k] - S[k] if k < len(S) else S[:k]) @ Vh[:k]
""",
            "The values of S were lowered by the next one. Keep them as",
        ),
        WrongAnswer(
            "fresh: U twice",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, :k] * S[:k] @ U[:, :k].T
""",
            "Vh is already transposed: use its first k rows as they are.",
        ),
        WrongAnswer(
            "fresh: S squared root mix",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, :k] * S[:k] ** 1.5 @ Vh[:k]
""",
            "This is S to the power of 1.5: S stands between U and Vh",
        ),
        WrongAnswer(
            "fresh: numpy array",
            """
import numpy as np

def best_rank_k(W, k):
    U, S, Vh = np.linalg.svd(W.numpy(), full_matrices=False)
    return U[:, :k] * S[:k] @ Vh[:k]
""",
            "Return a tensor; got ndarray.",
        ),
        WrongAnswer(
            "fresh: V not transposed",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    V = Vh.T
    return U[:, :k] * S[:k] @ V[:k]
""",
            "Vh is already transposed: use its first k rows as they are.",
        ),
        WrongAnswer(
            "fresh: list rows",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return (U[:, :k] * S[:k] @ Vh[:k]).tolist()
""",
            "Return a tensor; got list.",
        ),
        WrongAnswer(
            "fresh: grad off",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    torch.set_grad_enabled(False)
    return U[:, :k] * S[:k] @ Vh[:k]
""",
            "The recording of gradients is off after the call; before it",
        ),
        WrongAnswer(
            "fresh: energy threshold",
            """
def best_rank_k(W, k):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    k = int((S > S[0] * 0.5).sum())
    return U[:, :k] * S[:k] @ Vh[:k]
""",
            "Expected",
        ),
    ],
    "truncation_error": [
        WrongAnswer(
            "fresh: S[k]**2",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return (s[k] ** 2 if k < len(s) else s[0] * 0).item()
""",
            "This is the square of the next value alone. Add the squares",
        ),
        WrongAnswer(
            "fresh: kept complement approx",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return (s.norm() - s[:k].norm()).item()
""",
            "Norms cannot be subtracted: take the root of the squares",
        ),
        WrongAnswer(
            "fresh: next two only",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return math.hypot(*s[k:k + 2].tolist())
""",
            "These are two terms alone: the sum goes on to the last",
        ),
        WrongAnswer(
            "fresh: abs sum root",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return math.sqrt(float(s[k:].sum()))
""",
            "The squares are missing under the root.",
        ),
        WrongAnswer(
            "fresh: rounds",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return round(float(s[k:].norm()), 3)
""",
            "It is rounded to",
        ),
        WrongAnswer(
            "fresh: negative index",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return float(s[-k:].norm())
""",
            "These are the last k values. The first k are kept, and",
        ),
        WrongAnswer(
            "fresh: len-k",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return float(s[:len(s) - k].norm())
""",
            "These are the first of them. What is left out starts at",
        ),
        WrongAnswer(
            "fresh: skips last",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return float(s[k:-1].norm())
""",
            "The last value is missing: S[k:] goes to the end.",
        ),
        WrongAnswer(
            "fresh: 1-norm",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return float(s[k:].norm(p=1))
""",
            "This is the sum of the singular values. Add their squares,",
        ),
        WrongAnswer(
            "fresh: max",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return float(max(s[k:], default=0))
""",
            "This is the next singular value alone, the error in the",
        ),
        WrongAnswer(
            "fresh: crashes at the end",
            """
import functools

def truncation_error(singular_values, k):
    s = singular_values
    return math.sqrt(functools.reduce(lambda a, b: a + b, [float(x) ** 2 for x in s[k:]]))
""",
            "Your code raised TypeError: reduce() of empty iterable with",
        ),
        WrongAnswer(
            "fresh: tensor list",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return s[k:]
""",
            "Return a number; got a tensor of shape (",
        ),
        WrongAnswer(
            "fresh: percent",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return float(100 * s[k:].norm() / s.norm())
""",
            "This is in percent of the norm of W. Return the error",
        ),
        WrongAnswer(
            "fresh: divides by root n",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return float(s[k:].norm()) / len(s) ** 0.5
""",
            "It was divided by the root of the number of values: divide",
        ),
        WrongAnswer(
            "fresh: unique",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return float(s[k:].unique().norm())
""",
            "This is the next singular value alone, the error in the",
        ),
        WrongAnswer(
            "fresh: mutates",
            """
def truncation_error(singular_values, k):
    s = singular_values
    s[:k] = 0
    return float(s.norm())
""",
            "Your code changes `singular_values` itself, which it was",
        ),
        WrongAnswer(
            "fresh: cubes",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return float(s[k:].norm(p=3))
""",
            "The third powers were added: square.",
        ),
        WrongAnswer(
            "fresh: nan at end",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return float((s[k:].square().mean() * len(s[k:])).sqrt())
""",
            "With all values kept nothing is left out: the error is 0,",
        ),
        WrongAnswer(
            "fresh: string",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return str(float(s[k:].norm()))
""",
            "Return a number; got str.",
        ),
        WrongAnswer(
            "fresh: drops zeros count",
            """
def truncation_error(singular_values, k):
    s = singular_values
    return float(s[k + 1:].norm() if k else s.norm())
""",
            "One value too many was kept: the first k are kept, so the",
        ),
    ],
    "rank_for_energy": [
        WrongAnswer(
            "fresh: strict",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return int((c <= share).sum()) + 1
""",
            "Where a rank holds exactly the share, it is enough: at",
        ),
        WrongAnswer(
            "fresh: rounded share",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return int((c.round(decimals=1) < share).sum()) + 1
""",
            "of the energy, less than the share of",
        ),
        WrongAnswer(
            "fresh: index",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return int((c < share).sum())
""",
            "This rank is one too small: it keeps less than the share.",
        ),
        WrongAnswer(
            "fresh: values",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return int((s.cumsum(0) / s.sum() < share).sum()) + 1
""",
            "This is the rank for the sum of S. Energy adds the squares,",
        ),
        WrongAnswer(
            "fresh: norm",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return int((c.sqrt() < share).sum()) + 1
""",
            "This is the rank for a share of the norm. Energy is its square: no root",
        ),
        WrongAnswer(
            "fresh: float",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return float((c < share).sum() + 1)
""",
            "Return an int, a whole number; got float.",
        ),
        WrongAnswer(
            "fresh: threshold s",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return int((s >= share * s[0]).sum())
""",
            "of the energy, less than the share of",
        ),
        WrongAnswer(
            "fresh: threshold e",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return int((e >= (1 - share) * e[0]).sum())
""",
            "The smallest such rank is asked for; got",
        ),
        WrongAnswer(
            "fresh: len",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return len(s)
""",
            "This is every singular value. Count from the largest on,",
        ),
        WrongAnswer(
            "fresh: tensor list",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return (c < share).int() + 1
""",
            "Return an int, a whole number; got a tensor of shape (23,).",
        ),
        WrongAnswer(
            "fresh: share of count",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return math.ceil(share * len(s))
""",
            "This is a share of the number of singular values. The",
        ),
        WrongAnswer(
            "fresh: from the tail",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    f = e.flip(0).cumsum(0) / e.sum()
    return int((f < share).sum()) + 1
""",
            "It was counted from the smallest on. Count from the largest",
        ),
        WrongAnswer(
            "fresh: tail share",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    f = e.flip(0).cumsum(0) / e.sum()
    return len(s) - int((f < share).sum())
""",
            "This rank leaves out the share: it must keep it.",
        ),
        WrongAnswer(
            "fresh: 0.9 fixed",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return int((c < 0.9).sum()) + 1
""",
            "This is the rank for a share of 0.9. Use `share`.",
        ),
        WrongAnswer(
            "fresh: argmax gt",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return int((c > share).int().argmax()) + 1
""",
            "Where a rank holds exactly the share, it is enough: at",
        ),
        WrongAnswer(
            "fresh: loop off",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    for k in range(len(s)):
        if c[k] >= share:
            return k
""",
            "This rank is one too small: it keeps less than the share.",
        ),
        WrongAnswer(
            "fresh: not reached None",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    for k in range(len(s) - 1):
        if c[k] >= share:
            return k + 1
""",
            "It returns None. Is the `return` missing?",
        ),
        WrongAnswer(
            "fresh: mutates",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    s.square_()
    return int((c < share).sum()) + 1
""",
            "Your code changes `singular_values` itself, which it was",
        ),
        WrongAnswer(
            "fresh: entropy",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    p = e / e.sum()
    return int(torch.exp(-(p * p.clamp_min(1e-12).log()).sum()).round())
""",
            "The smallest such rank is asked for; got",
        ),
        WrongAnswer(
            "fresh: tolerance",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return int((c < share - 0.02).sum()) + 1
""",
            "of the energy, less than the share of",
        ),
        WrongAnswer(
            "fresh: str",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return str(int((c < share).sum()) + 1)
""",
            "Return an int, a whole number; got str.",
        ),
        WrongAnswer(
            "fresh: min 2",
            """
def rank_for_energy(singular_values, share):
    s = singular_values
    e = s.square()
    c = e.cumsum(0) / e.sum()
    return max(2, int((c < share).sum()) + 1)
""",
            "The smallest such rank is asked for; got",
        ),
    ],
    "loss_at_rank": [
        WrongAnswer(
            "fresh: returns nothing",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        return None
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
            "It returns None. Is the `return` missing?",
        ),
        WrongAnswer(
            "fresh: rounded",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        return round(measure(), 2)
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
            "It is rounded to 2 decimals: return the number as it is.",
        ),
        WrongAnswer(
            "fresh: minus",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        return -measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
            "The result has the wrong sign, for a layer of shape (23,",
        ),
        WrongAnswer(
            "fresh: grad zeroed",
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
            layer.weight.grad = None
""",
            "Your code changes `layer.weight.grad`. Leave gradients as",
        ),
        WrongAnswer(
            "fresh: sets requires_grad",
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
            layer.weight.requires_grad_(True)
""",
            "The weight was frozen and trains now: leave requires_grad",
        ),
        WrongAnswer(
            "fresh: restores by load W_base",
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
            layer.weight.copy_(W_base)
""",
            "The layer was not restored: give it its tuned weight back.",
        ),
        WrongAnswer(
            "fresh: no restore",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    with torch.no_grad():
        layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
    return measure()
""",
            "The layer was not restored: give it its tuned weight back.",
        ),
        WrongAnswer(
            "fresh: no finally",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    with torch.no_grad():
        layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        x = measure()
        layer.weight.copy_(old)
    return x
""",
            "When measure() failed, the layer kept the cut: restore in",
        ),
        WrongAnswer(
            "fresh: alias not clone",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.data
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        layer.weight.data.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        return measure()
    finally:
        layer.weight.data.copy_(old)
""",
            "The layer was not restored: give it its tuned weight back.",
        ),
        WrongAnswer(
            "fresh: except Exception",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    with torch.no_grad():
        layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        try:
            x = measure()
        except Exception:
            layer.weight.copy_(old)
            raise
        layer.weight.copy_(old)
        return x
""",
            "When measure() was interrupted, the layer kept the cut:",
        ),
        WrongAnswer(
            "fresh: returns inf on failure",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    with torch.no_grad():
        layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        try:
            return measure()
        except Exception:
            return float('inf')
        finally:
            layer.weight.copy_(old)
""",
            "measure() failed and the error was swallowed: let it",
        ),
        WrongAnswer(
            "fresh: eval",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    layer.eval()
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
            "`layer` is left in eval mode, and it was in train mode.",
        ),
        WrongAnswer(
            "fresh: frozen forever",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    layer.weight.requires_grad_(False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
            "The weight does not train any more: leave requires_grad as",
        ),
        WrongAnswer(
            "fresh: bias zeroed",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    with torch.no_grad():
        if layer.bias is not None:
            layer.bias.zero_()
        layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        try:
            return measure()
        finally:
            layer.weight.copy_(old)
""",
            "Your code changes `layer.bias` itself, which it was given.",
        ),
        WrongAnswer(
            "fresh: uses svd of W_base",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_((lambda a: W_base + a[0][:, :k] * a[1][:k] @ a[2][:k])(torch.linalg.svd(W_base, full_matrices=False)))
        return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
            "The base was cut. Cut the update.",
        ),
        WrongAnswer(
            "fresh: k rows",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + torch.cat([(old - W_base)[:k], 0 * (old - W_base)[k:]]))
        return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
            "The first rows of the update were kept. Rank counts",
        ),
        WrongAnswer(
            "fresh: noise",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k] * 0.999)
        return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
            "While measuring, the layer's update has the right directions, those of the first",
        ),
        WrongAnswer(
            "fresh: sqrt S",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + U[:, :k] * S[:k].sqrt() @ Vh[:k])
        return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
            "",
        ),
        WrongAnswer(
            "fresh: attribute left",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    layer.rank = k
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
            "`layer.rank` is 2 after the call; before it was 'not",
        ),
        WrongAnswer(
            "fresh: hook left",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    layer.register_forward_hook(lambda *a: None)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
            "A hook is left on `layer`. Keep the handle, handle.remove().",
        ),
        WrongAnswer(
            "fresh: relative",
            """
def loss_at_rank(layer, W_base, k, measure):
    old = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(old - W_base, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + U[:, :k] * S[:k] @ Vh[:k])
        return measure() / max(1e-09, abs(measure()))
    finally:
        with torch.no_grad():
            layer.weight.copy_(old)
""",
            "Expected",
        ),
    ],
    "split_update": [
        WrongAnswer(
            "fresh: A first",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return (q[:, None] * Vh[:r], U[:, :r] * q)
""",
            "The factors are the wrong way round: return (B, A), B of",
        ),
        WrongAnswer(
            "fresh: whole S in B",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    return (U[:, :r] * S[:r] / scaling, Vh[:r])
""",
            "The product is right, but the factors do not have the same",
        ),
        WrongAnswer(
            "fresh: frobenius balance",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    B = U[:, :r] * S[:r] / scaling
    A = Vh[:r]
    c = (B.norm() / A.norm()).sqrt()
    return (B / c, A * c)
""",
            "The product is right, but the factors do not have the same",
        ),
        WrongAnswer(
            "fresh: dict",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return {'B': U[:, :r] * q, 'A': q[:, None] * Vh[:r]}
""",
            "Return two tensors, (B, A).",
        ),
        WrongAnswer(
            "fresh: product",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return U[:, :r] * q @ (q[:, None] * Vh[:r])
""",
            "Return two tensors, (B, A).",
        ),
        WrongAnswer(
            "fresh: alpha/r again",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling / r).sqrt()
    return (U[:, :r] * q, q[:, None] * Vh[:r])
""",
            "The update was divided by r as well: the scaling holds that",
        ),
        WrongAnswer(
            "fresh: no sqrt scaling",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = S[:r].sqrt()
    return (U[:, :r] * q / scaling ** 0.5, q[:, None] * Vh[:r])
""",
            "The root of the scaling is in one factor alone: give it to",
        ),
        WrongAnswer(
            "fresh: full rank",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S / scaling).sqrt()
    return (U * q, q[:, None] * Vh)
""",
            "B must be (out, r) = (23,",
        ),
        WrongAnswer(
            "fresh: tail",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[-r:] / scaling).sqrt()
    return (U[:, -r:] * q, q[:, None] * Vh[-r:])
""",
            "These are the smallest singular values. They come sorted,",
        ),
        WrongAnswer(
            "fresh: r-1 padded",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    S = S.clone()
    S[r - 1] = 0 if r > 1 else S[r - 1]
    q = (S[:r] / scaling).sqrt()
    return (U[:, :r] * q, q[:, None] * Vh[:r])
""",
            "The rank is one too small.",
        ),
        WrongAnswer(
            "fresh: float32",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta.float(), full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return (U[:, :r] * q, q[:, None] * Vh[:r])
""",
            "`delta` is float64 and the result is torch.float32: digits",
        ),
        WrongAnswer(
            "fresh: V not transposed",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return (U[:, :r] * q, q[:, None] * Vh[:, :r].T)
""",
            "B must be (out, r) = (23,",
        ),
        WrongAnswer(
            "fresh: column sign only on B",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return (-U[:, :r] * q, q[:, None] * Vh[:r])
""",
            "The result has the wrong sign, for an update of shape (23,",
        ),
        WrongAnswer(
            "fresh: cube root",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling) ** (1 / 3)
    return (U[:, :r] * q, q[:, None] * Vh[:r])
""",
            "The cube root was taken. Two factors share S: each takes",
        ),
        WrongAnswer(
            "fresh: in place",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    delta.div_(scaling)
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = S[:r].sqrt()
    return (U[:, :r] * q, q[:, None] * Vh[:r])
""",
            "Your code changes `delta` itself, which it was given. Make",
        ),
        WrongAnswer(
            "fresh: rsqrt",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).rsqrt()
    return (U[:, :r] * q, q[:, None] * Vh[:r])
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: parameters shared nan",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).log().exp().sqrt() * float('nan')
    return (U[:, :r] * q, q[:, None] * Vh[:r])
""",
            "The result holds nan or inf.",
        ),
        WrongAnswer(
            "fresh: mixed permutation",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return ((U[:, :r] * q).flip(1), q[:, None] * Vh[:r])
""",
            "The columns of B and the rows of A are in another order:",
        ),
        WrongAnswer(
            "fresh: only B",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return U[:, :r] * q
""",
            "Return two tensors, (B, A).",
        ),
        WrongAnswer(
            "fresh: uniform stretch",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    q = (S[:r] / scaling).sqrt()
    return (2 * U[:, :r] * q, q[:, None] * Vh[:r] / 2)
""",
            "The product is right, but the factors do not have the same",
        ),
    ],
    "largest_saving_rank": [
        WrongAnswer(
            "fresh: equality",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return i * o // (i + o)
""",
            "At this rank B and A are as large as W or larger: equal is",
        ),
        WrongAnswer(
            "fresh: half",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return i // 2 - 1
""",
            "Half of in_features is right for a square only.",
        ),
        WrongAnswer(
            "fresh: at least one",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return max(1, (i * o - 1) // (i + o))
""",
            "At this rank B and A are as large as W or larger: equal is",
        ),
        WrongAnswer(
            "fresh: int minus one",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return int(i * o / (i + o)) - 1
""",
            "One rank more still saves. Subtract before the division,",
        ),
        WrongAnswer(
            "fresh: round",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return round(i * o / (i + o))
""",
            "At this rank B and A are as large as W or larger: equal is",
        ),
        WrongAnswer(
            "fresh: floor only",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return math.floor(i * o / (i + o))
""",
            "At this rank B and A are as large as W or larger: equal is",
        ),
        WrongAnswer(
            "fresh: float",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return i * o / (i + o)
""",
            "Return an int, a whole number; got float.",
        ),
        WrongAnswer(
            "fresh: min",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return min(i, o)
""",
            "This is the full rank of W. Ask where r * (in + out) stays",
        ),
        WrongAnswer(
            "fresh: min-1",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return min(i, o) - 1
""",
            "This is one below the full rank. Ask where r * (in + out)",
        ),
        WrongAnswer(
            "fresh: 2r",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return (i * o - 1) // (2 * (i + o))
""",
            "Half of it: solve r * (in + out) < in * out.",
        ),
        WrongAnswer(
            "fresh: geometric",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return int((i * o) ** 0.5 / 2)
""",
            "Half the geometric mean of the sides is right for a square",
        ),
        WrongAnswer(
            "fresh: in only",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return (i * o - 1) // (2 * i)
""",
            "Both sides count: r * (in + out), not 2 * r * in.",
        ),
        WrongAnswer(
            "fresh: loop break <=",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    r = 0
    while r * (i + o) <= i * o:
        r += 1
    return r - 1
""",
            "At this rank B and A are as large as W or larger: equal is",
        ),
        WrongAnswer(
            "fresh: first failing",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    r = 0
    while r * (i + o) < i * o:
        r += 1
    return r
""",
            "At this rank B and A are as large as W or larger: equal is",
        ),
        WrongAnswer(
            "fresh: starts at 1",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    r = 1
    while (r + 1) * (i + o) < i * o:
        r += 1
    return r
""",
            "At this rank B and A are as large as W or larger: equal is",
        ),
        WrongAnswer(
            "fresh: cap 512",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    for r in range(512, -1, -1):
        if r * (i + o) < i * o:
            return r
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: tensor float32",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return int(torch.tensor(i * o - 1, dtype=torch.float32) / (i + o))
""",
            "At this rank B and A are as large as W or larger: equal is",
        ),
        WrongAnswer(
            "fresh: bool",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return i * o > i + o
""",
            "Return an int, a whole number; got bool.",
        ),
        WrongAnswer(
            "fresh: swap minus",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return (i - 1) * (o - 1) // (i + o)
""",
            "One rank more still saves. Subtract before the division,",
        ),
        WrongAnswer(
            "fresh: harmonic",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    return int(2 * i * o / (i + o))
""",
            "Twice as much: solve r * (in + out) < in * out.",
        ),
        WrongAnswer(
            "fresh: none",
            """
def largest_saving_rank(in_features, out_features):
    i, o = (in_features, out_features)
    print((i * o - 1) // (i + o))
""",
            "It returns None. Is the `return` missing?",
        ),
    ],
}
