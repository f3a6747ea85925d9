"""Right answers of other forms to lesson 02, written without a look at what its checks draw."""
# ruff: noqa: E501

from . import RightAnswer

FRESH = {
    "start_factors": [
        RightAnswer(
            "fresh: rand",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return ((2 * torch.rand(r, i, generator=gen) - 1) * b, torch.zeros(o, r))
""",
        ),
        RightAnswer(
            "fresh: kaiming",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = torch.empty(r, i)
    torch.nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=gen)
    return (A, torch.zeros((o, r)))
""",
        ),
        RightAnswer(
            "fresh: list",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return [torch.nn.init.uniform_(torch.empty(r, i), -b, b, generator=gen), torch.zeros(o, r)]
""",
        ),
        RightAnswer(
            "fresh: zeros_like",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = torch.empty(r, i).uniform_(-b, b, generator=gen)
    return (A, A.new_zeros(o, r))
""",
        ),
        RightAnswer(
            "fresh: lerp",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.lerp(torch.tensor(-b), torch.tensor(b), torch.rand(r, i, generator=gen)), torch.zeros(o, r))
""",
        ),
        RightAnswer(
            "fresh: rowwise",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.stack([torch.empty(i).uniform_(-b, b, generator=gen) for _ in range(r)]), torch.full((o, r), 0.0))
""",
        ),
        RightAnswer(
            "fresh: B first",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    B = torch.zeros(o, r)
    A = (torch.rand((r, i), generator=gen) - 0.5) * 2 / math.sqrt(i)
    return (A, B)
""",
        ),
        RightAnswer(
            "fresh: skip",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    torch.rand(3, generator=gen)
    return (torch.empty(r, i).uniform_(-b, b, generator=gen), torch.zeros(o, r))
""",
        ),
        RightAnswer(
            "fresh: numpy seeded by gen",
            """
import numpy as np

def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    q = np.random.default_rng(int(torch.randint(2 ** 31, (1,), generator=gen)))
    return (torch.tensor(q.uniform(-b, b, (r, i)), dtype=torch.float32), torch.zeros(o, r))
""",
        ),
        RightAnswer(
            "fresh: constant_",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    B = torch.empty(o, r)
    torch.nn.init.zeros_(B)
    return (torch.empty(r, i).uniform_(-b, b, generator=gen), B)
""",
        ),
        RightAnswer(
            "fresh: normal cdf",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = torch.distributions.Normal(0.0, 1.0).cdf(torch.randn(r, i, generator=gen)) * 2 * b - b
    return (A, torch.zeros(o, r))
""",
        ),
    ],
    "forward_with_branch": [
        RightAnswer(
            "fresh: plain",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * (x @ A.T @ B.T)
""",
        ),
        RightAnswer(
            "fresh: matmul",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return torch.add(linear(x), torch.matmul(torch.matmul(x, A.t()), B.t()), alpha=s)
""",
        ),
        RightAnswer(
            "fresh: weight+bias",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    y = x @ linear.weight.T + s * (x @ A.T) @ B.T
    return y if linear.bias is None else y + linear.bias
""",
        ),
        RightAnswer(
            "fresh: einsum",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * torch.einsum('...r,or->...o', torch.einsum('...i,ri->...r', x, A), B)
""",
        ),
        RightAnswer(
            "fresh: mT",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + x @ A.mT @ (s * B).mT
""",
        ),
        RightAnswer(
            "fresh: reshape",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    X = x.reshape(-1, x.shape[-1])
    y = linear(X) + s * (X @ A.T @ B.T)
    return y.reshape(*x.shape[:-1], len(B))
""",
        ),
        RightAnswer(
            "fresh: tensordot",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * torch.tensordot(torch.tensordot(x, A, ([-1], [1])), B, ([-1], [1]))
""",
        ),
        RightAnswer(
            "fresh: h scaled",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    h = x @ A.T * s
    return linear(x) + h @ B.T
""",
        ),
        RightAnswer(
            "fresh: r from B",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + alpha / B.shape[-1] * torch.nn.functional.linear(torch.nn.functional.linear(x, A), B)
""",
        ),
        RightAnswer(
            "fresh: column way",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * (B @ (A @ x.unsqueeze(-1))).squeeze(-1)
""",
        ),
        RightAnswer(
            "fresh: addmm-like",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x).add(x.matmul(A.T).matmul(B.T), alpha=s)
""",
        ),
    ],
    "AdaptedLinear": [
        RightAnswer(
            "fresh: plain",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
        ),
        RightAnswer(
            "fresh: params loop freeze",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        [p.requires_grad_(False) for p in linear.parameters()]
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
        ),
        RightAnswer(
            "fresh: other attr name",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.base = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.base(x) + self.s * (x @ self.A.T @ self.B.T)
""",
        ),
        RightAnswer(
            "fresh: s buffer",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = None
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        self.register_buffer('scale', torch.tensor(alpha / r, dtype=W.dtype))

    def forward(self, x):
        return self.linear(x) + self.scale * (x @ self.A.T @ self.B.T)
""",
        ),
        RightAnswer(
            "fresh: alpha and r kept",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = None
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        self.alpha, self.r = (alpha, r)

    def forward(self, x):
        return self.linear(x) + self.alpha / self.r * torch.nn.functional.linear(torch.nn.functional.linear(x, self.A), self.B)
""",
        ),
        RightAnswer(
            "fresh: factory",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.rand(r, linear.in_features, generator=gen).mul(2 * b).sub(b).to(W))
        self.B = torch.nn.Parameter(W.new_zeros(linear.out_features, r))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
        ),
        RightAnswer(
            "fresh: register_parameter",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.register_parameter('A', torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen)))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
        ),
        RightAnswer(
            "fresh: kaiming",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        torch.nn.init.kaiming_uniform_(self.A, a=math.sqrt(5), generator=gen)

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
        ),
        RightAnswer(
            "fresh: einsum",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        h = torch.einsum('...i,ri->...r', x, self.A)
        return self.linear(x) + self.s * torch.einsum('...r,or->...o', h, self.B)
""",
        ),
        RightAnswer(
            "fresh: method",
            """
from torch import nn

class AdaptedLinear(nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        for p in linear.parameters():
            p.requires_grad = False
        self.lin = linear
        self.k = alpha / r
        d = linear.weight.dtype
        i, o = (linear.in_features, linear.out_features)
        b = 1 / i ** 0.5
        self.A = nn.Parameter((torch.rand((r, i), generator=gen, dtype=torch.float64) * 2 - 1).mul(b).to(d))
        self.B = nn.Parameter(torch.zeros((o, r), dtype=d))

    def branch(self, x):
        return x @ self.A.T @ self.B.T * self.k

    def forward(self, x):
        return self.lin(x) + self.branch(x)
""",
        ),
        RightAnswer(
            "fresh: frozen first",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        self.linear = linear
        self.linear.requires_grad_(False)
        pass
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
        ),
    ],
    "gradients_by_hand": [
        RightAnswer(
            "fresh: plain",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
        ),
        RightAnswer(
            "fresh: per item",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    a = sum((s * (G[k] @ B).T @ x[k] for k in range(len(x))))
    b = sum((s * G[k].T @ (x[k] @ A.T) for k in range(len(x))))
    return (a, b, G @ (W + s * B @ A))
""",
        ),
        RightAnswer(
            "fresh: tensordot",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * B.T @ torch.tensordot(G, x, ([0, 1], [0, 1])), s * torch.tensordot(G, x, ([0, 1], [0, 1])) @ A.T, G @ W + s * G @ B @ A)
""",
        ),
        RightAnswer(
            "fresh: grad W route",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    D = g.T @ X
    return (s * B.T @ D, s * D @ A.T, G @ W + s * (G @ B) @ A)
""",
        ),
        RightAnswer(
            "fresh: bmm",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * torch.bmm((G @ B).mT, x).sum(0), s * torch.bmm(G.mT, x @ A.T).sum(0), G @ W + s * G @ B @ A)
""",
        ),
        RightAnswer(
            "fresh: scaled factors",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    As, Bs = (s * A, s * B)
    return ((g @ Bs).T @ X, g.T @ (X @ As.T), G @ W + G @ Bs @ A)
""",
        ),
        RightAnswer(
            "fresh: view back",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T), (g @ W + s * g @ B @ A).view_as(x))
""",
        ),
        RightAnswer(
            "fresh: list einsum",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return [s * torch.einsum('no,or,ni->ri', g, B, X), s * torch.einsum('no,ni,ri->or', g, X, A), torch.einsum('bto,oi->bti', G, W + s * B @ A)]
""",
        ),
        RightAnswer(
            "fresh: no_grad",
            """
@torch.no_grad()
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
        ),
        RightAnswer(
            "fresh: outer",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    a = torch.zeros_like(A)
    b = torch.zeros_like(B)
    for xi, gi in zip(X, g):
        a += s * torch.outer(B.T @ gi, xi)
        b += s * torch.outer(gi, A @ xi)
    return (a, b, G @ W + s * G @ B @ A)
""",
        ),
    ],
    "inject": [
        RightAnswer(
            "fresh: plain",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
        ),
        RightAnswer(
            "fresh: set_submodule",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        model.set_submodule(n, make(model.get_submodule(n)))
    pass
    return t
""",
        ),
        RightAnswer(
            "fresh: sorted",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return sorted(t)
""",
        ),
        RightAnswer(
            "fresh: loop params freeze",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    [p.requires_grad_(False) for p in model.parameters()] if t else 0
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
        ),
        RightAnswer(
            "fresh: named_children recursion",
            """
def inject(model, names, make):
    found = []

    def walk(m, prefix):
        for k, c in list(m.named_children()):
            full = f'{prefix}.{k}' if prefix else k
            if k in names and isinstance(c, torch.nn.Linear):
                found.append((m, k, full, c))
            walk(c, full)
    walk(model, '')
    if found:
        for p in model.parameters():
            p.requires_grad = False
    for m, k, full, c in found:
        setattr(m, k, make(c))
    return [f[2] for f in found]
""",
        ),
        RightAnswer(
            "fresh: dict",
            """
from torch import nn

def inject(model, names, make):
    mods = dict(model.named_modules())
    hits = {n: m for n, m in mods.items() if type(m) is nn.Linear and n.split('.')[-1] in set(names)}
    if not hits:
        return []
    for p in model.parameters():
        p.requires_grad_(False)
    for n, m in hits.items():
        *p, l = n.split('.')
        setattr(mods['.'.join(p)], l, make(m))
    return list(hits)
""",
        ),
        RightAnswer(
            "fresh: regex",
            r"""
from torch import nn

import re

def inject(model, names, make):
    pat = re.compile('(?:.*\\.)?(' + '|'.join(map(re.escape, names)) + ')$')
    t = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear) and pat.fullmatch(n)]
    if t:
        model.requires_grad_(False)
    for n, m in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(m))
    return [n for n, _ in t]
""",
        ),
        RightAnswer(
            "fresh: _modules",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        model.get_submodule(p)._modules[l] = make(model.get_submodule(n))
    pass
    return t
""",
        ),
        RightAnswer(
            "fresh: getattr reduce",
            """
import functools

def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        *p, l = n.split('.')
        q = functools.reduce(getattr, p, model)
        setattr(q, l, make(getattr(q, l)))
    pass
    return t
""",
        ),
        RightAnswer(
            "fresh: empty early",
            """
from torch import nn

def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n.rpartition('.')[-1] in names]
    if not t:
        return t
    model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        q = model.get_submodule(p)
        setattr(q, l, make(q.get_submodule(l)))
    return t
""",
        ),
        RightAnswer(
            "fresh: buffers ok",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
        ),
    ],
    "overlap": [
        RightAnswer(
            "fresh: plain",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return (C ** 2).sum().item() / min(i, j)
""",
        ),
        RightAnswer(
            "fresh: norm",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return torch.linalg.norm(C).item() ** 2 / min(i, j)
""",
        ),
        RightAnswer(
            "fresh: 0-d",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return C.square().sum() / min(i, j)
""",
        ),
        RightAnswer(
            "fresh: svdvals",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return torch.linalg.svdvals(C).square().sum().item() / min(i, j)
""",
        ),
        RightAnswer(
            "fresh: eigh",
            """
def overlap(M, N, i, j):
    M, N = (M.double(), N.double())
    a = torch.linalg.eigh(M.T @ M)[1].flip(1)[:, :i]
    c = torch.linalg.eigh(N.T @ N)[1].flip(1)[:, :j]
    return ((a.T @ c) ** 2).sum().item() / min(i, j)
""",
        ),
        RightAnswer(
            "fresh: torch.svd",
            """
def overlap(M, N, i, j):
    a = torch.svd(M).V[:, :i]
    c = torch.svd(N).V[:, :j]
    return ((a.T @ c) ** 2).sum().item() / min(i, j)
""",
        ),
        RightAnswer(
            "fresh: full",
            """
def overlap(M, N, i, j):
    a = torch.linalg.svd(M).Vh[:i]
    c = torch.linalg.svd(N).Vh[:j]
    return float(torch.einsum('id,jd->ij', a, c).pow(2).sum() / min(i, j))
""",
        ),
        RightAnswer(
            "fresh: U of transpose",
            """
def overlap(M, N, i, j):
    a = torch.linalg.svd(M.T, full_matrices=False).U[:, :i]
    c = torch.linalg.svd(N.T, full_matrices=False).U[:, :j]
    return (a.T @ c).pow(2).sum().item() / min(i, j)
""",
        ),
        RightAnswer(
            "fresh: loops",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return sum((float(V[a] @ Q[c]) ** 2 for a in range(i) for c in range(j))) / min(i, j)
""",
        ),
        RightAnswer(
            "fresh: numpy",
            """
import numpy as np

def overlap(M, N, i, j):
    a = np.linalg.svd(M.double().numpy())[2][:i]
    c = np.linalg.svd(N.double().numpy())[2][:j]
    return np.sum((a @ c.T) ** 2) / min(i, j)
""",
        ),
        RightAnswer(
            "fresh: cosines angle",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return float(torch.cos(torch.acos(C.clamp(-1, 1))).square().sum()) / min(i, j)
""",
        ),
    ],
}
