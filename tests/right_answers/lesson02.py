"""Right answers to lesson 02 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined
from .fresh02 import FRESH

RIGHT = {
    "AdaptedLinear": [
        RightAnswer(
            "W from data",
            """
class AdaptedLinear(torch.nn.Module):
    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        W = linear.weight
        b = linear.in_features**-0.5
        A = torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(
            -b, b, generator=gen
        )
        B = torch.zeros(linear.out_features, r, dtype=W.dtype)
        self.s = alpha / r
        self.A = torch.nn.Parameter(A)
        self.B = torch.nn.Parameter(B)

    def forward(self, x):
        return torch.nn.functional.linear(
            x, self.linear.weight.data, self.linear.bias
        ) + self.s * (x @ self.A.T @ self.B.T)
""",
        ),
        RightAnswer(
            "B registered first",
            """
class AdaptedLinear(torch.nn.Module):
    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        W = linear.weight
        b = linear.in_features**-0.5
        A = torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(
            -b, b, generator=gen
        )
        B = torch.zeros(linear.out_features, r, dtype=W.dtype)
        self.s = alpha / r
        self.B = torch.nn.Parameter(B)
        self.A = torch.nn.Parameter(A)

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
        ),
        RightAnswer(
            "F.linear",
            """
import torch.nn.functional as F


class AdaptedLinear(torch.nn.Module):
    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        W = linear.weight
        b = linear.in_features**-0.5
        A = torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(
            -b, b, generator=gen
        )
        B = torch.zeros(linear.out_features, r, dtype=W.dtype)
        self.s = alpha / r
        self.A = torch.nn.Parameter(A)
        self.B = torch.nn.Parameter(B)

    def forward(self, x):
        F = torch.nn.functional
        return self.linear(x) + self.s * F.linear(F.linear(x, self.A), self.B)
""",
        ),
        RightAnswer(
            "merged weight",
            """
class AdaptedLinear(torch.nn.Module):
    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        W = linear.weight
        b = linear.in_features**-0.5
        A = torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(
            -b, b, generator=gen
        )
        B = torch.zeros(linear.out_features, r, dtype=W.dtype)
        self.s = alpha / r
        self.A = torch.nn.Parameter(A)
        self.B = torch.nn.Parameter(B)

    def forward(self, x):
        return torch.nn.functional.linear(
            x, self.linear.weight + self.s * self.B @ self.A, self.linear.bias
        )
""",
        ),
    ],
    "forward_with_branch": [
        RightAnswer(
            "scaled A",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / B.shape[1]
    return linear(x) + x @ (s * A).T @ B.T
""",
        ),
        RightAnswer(
            "F.linear",
            """
import torch.nn.functional as F


def forward_with_branch(x, linear, A, B, alpha):
    F = torch.nn.functional
    return linear(x) + alpha / A.shape[0] * F.linear(F.linear(x, A), B)
""",
        ),
        RightAnswer(
            "double inside",
            """
def forward_with_branch(x, linear, A, B, alpha):
    return (
        linear(x).double() + alpha / len(A) * (x.double() @ A.double().T @ B.double().T)
    ).to(x.dtype)
""",
        ),
        RightAnswer(
            "concatenated factors",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    h = torch.nn.functional.linear(x, torch.cat([linear.weight, A]))
    o = linear.weight.shape[0]
    y = h[..., :o] + s * h[..., o:] @ B.T
    return y if linear.bias is None else y + linear.bias
""",
        ),
    ],
    "gradients_by_hand": [
        RightAnswer(
            "double",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    d = x.dtype
    x, G, W, A, B = (t.double() for t in (x, G, W, A, B))
    x2, G2 = x.flatten(0, 1), G.flatten(0, 1)
    return (
        (scaling * (G2 @ B).T @ x2).to(d),
        (scaling * G2.T @ (x2 @ A.T)).to(d),
        (G @ W + scaling * G @ B @ A).to(d),
    )
""",
        ),
        RightAnswer(
            "einsum",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    h = torch.einsum("bti,ri->btr", x, A)
    g = torch.einsum("bto,or->btr", G, B)
    return (
        scaling * torch.einsum("btr,bti->ri", g, x),
        scaling * torch.einsum("bto,btr->or", G, h),
        torch.einsum("bto,oi->bti", G, W) + scaling * torch.einsum("btr,ri->bti", g, A),
    )
""",
        ),
        RightAnswer(
            "numpy",
            """
import numpy as np


def gradients_by_hand(x, G, W, A, B, scaling):
    a = [t.detach().numpy() for t in (x, G, W, A, B)]
    X, g, w, a_, b_ = a
    x2, g2 = X.reshape(-1, X.shape[-1]), g.reshape(-1, g.shape[-1])
    return tuple(
        torch.from_numpy(np.ascontiguousarray(v))
        for v in (
            scaling * (g2 @ b_).T @ x2,
            scaling * g2.T @ (x2 @ a_.T),
            g @ w + scaling * g @ b_ @ a_,
        )
    )
""",
        ),
        RightAnswer(
            "list",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    x2, G2 = x.flatten(0, 1), G.flatten(0, 1)
    return [
        scaling * (G2 @ B).T @ x2,
        scaling * G2.T @ (x2 @ A.T),
        G @ W + scaling * G @ B @ A,
    ]
""",
        ),
    ],
    "inject": [
        RightAnswer(
            "reversed order returned",
            """
def inject(model, names, make):
    found = [
        n
        for n, m in model.named_modules()
        if isinstance(m, torch.nn.Linear) and n.split(".")[-1] in names
    ]
    found = found[::-1]
    if found:
        model.requires_grad_(False)
    for n in found:
        p, _, l = n.rpartition(".")
        p = model.get_submodule(p)
        setattr(p, l, make(getattr(p, l)))
    return found
""",
        ),
        RightAnswer(
            "tuple returned",
            """
def inject(model, names, make):
    found = [
        n
        for n, m in model.named_modules()
        if isinstance(m, torch.nn.Linear) and n.split(".")[-1] in names
    ]
    if found:
        model.requires_grad_(False)
    for n in found:
        p, _, l = n.rpartition(".")
        p = model.get_submodule(p)
        setattr(p, l, make(getattr(p, l)))
    return tuple(found)
""",
        ),
        RightAnswer(
            "snapshot of params",
            """
def inject(model, names, make):
    found = [
        n
        for n, m in model.named_modules()
        if isinstance(m, torch.nn.Linear) and n.split(".")[-1] in names
    ]
    old = list(model.parameters()) if found else []
    for n in found:
        p, _, l = n.rpartition(".")
        p = model.get_submodule(p)
        setattr(p, l, make(getattr(p, l)))
    for q in old:
        q.requires_grad_(False)
    return found
""",
        ),
    ],
    "overlap": [
        RightAnswer(
            "projectors",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    P = V[:i].T @ V[:i]
    R = Q[:j].T @ Q[:j]
    return torch.trace(P @ R).item() / min(i, j)
""",
        ),
        RightAnswer(
            "numpy",
            """
import numpy as np


def overlap(M, N, i, j):
    V = np.linalg.svd(M.numpy())[2]
    Q = np.linalg.svd(N.numpy())[2]
    return float(np.linalg.norm(V[:i] @ Q[:j].T) ** 2 / min(i, j))
""",
        ),
        RightAnswer(
            "keyword args fro",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return float(torch.linalg.matrix_norm(C, ord="fro") ** 2) / min(i, j)
""",
        ),
    ],
    "start_factors": [
        RightAnswer(
            "Parameters",
            """
def start_factors(in_features, out_features, r, gen):
    b = in_features**-0.5
    return torch.nn.Parameter(
        torch.empty(r, in_features).uniform_(-b, b, generator=gen)
    ), torch.nn.Parameter(torch.zeros(out_features, r))
""",
        ),
        RightAnswer(
            "transposed draw",
            """
def start_factors(in_features, out_features, r, gen):
    b = in_features**-0.5
    return torch.empty(in_features, r).uniform_(-b, b, generator=gen).T, torch.zeros(
        out_features, r
    )
""",
        ),
        RightAnswer(
            "double then float",
            """
def start_factors(in_features, out_features, r, gen):
    b = in_features**-0.5
    return torch.empty(r, in_features, dtype=torch.float64).uniform_(
        -b, b, generator=gen
    ).float(), torch.zeros(out_features, r)
""",
        ),
    ],
}

for name, more in FRESH.items():
    RIGHT.setdefault(name, []).extend(more)

RIGHT = joined(RIGHT, afresh("02"))
