# ruff: noqa: E501
"""Right answers to lesson 04 of other forms, written afresh."""

from . import RightAnswer

FRESH = {
    "dropped_branch": [
        RightAnswer(
            "fresh: A.T @ B.T first",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return (x * (noise >= p) / (1 - p)) @ (scaling * (B @ A)).T
""",
        ),
        RightAnswer(
            "fresh: masked_fill",
            """
import torch.nn.functional as F


def dropped_branch(x, noise, A, B, scaling, p):
    return scaling * F.linear(F.linear(x.masked_fill(noise < p, 0) / (1 - p), A), B)
""",
        ),
        RightAnswer(
            "fresh: logical not",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    keep = ~(noise < p)
    return scaling / (1 - p) * (x * keep) @ A.T @ B.T
""",
        ),
        RightAnswer(
            "fresh: where on the noise",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    scale = torch.where(noise < p, 0.0, 1 / (1 - p)).to(x)
    return ((x * scale) @ A.T @ B.T).mul(scaling)
""",
        ),
        RightAnswer(
            "fresh: sub sign",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    keep = torch.heaviside(noise - p, torch.ones_like(noise))
    return scaling * (x * keep / (1 - p)) @ A.T @ B.T
""",
        ),
        RightAnswer(
            "fresh: tensordot",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    z = x * (noise >= p).to(x.dtype) / (1 - p)
    return scaling * torch.tensordot(torch.tensordot(z, A, ([-1], [1])), B, ([-1], [1]))
""",
        ),
        RightAnswer(
            "fresh: matmul by B A",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    z = x.clone()
    z[noise < p] = 0
    return torch.matmul(z, (B @ A).transpose(0, 1)) * (scaling / (1 - p))
""",
        ),
    ],
    "DropoutLora": [
        RightAnswer(
            "fresh: rand mask from doubles",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        keep = torch.empty_like(x).bernoulli_(1 - self.p) if self.training else None
        z = x if keep is None else x * keep / (1 - self.p)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
        ),
        RightAnswer(
            "fresh: base detached weight",
            """
import torch.nn.functional as F
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(x)
        return F.linear(x, self.linear.weight, self.linear.bias) + F.linear(F.linear(z, self.A), self.B, None) * self.scaling
""",
        ),
        RightAnswer(
            "fresh: buffers",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        self.register_buffer('a', A)
        self.register_buffer('b', B)

    def forward(self, x):
        z = self.dropout(x)
        return self.linear(x) + self.scaling * (z @ self.a.T) @ self.b.T
""",
        ),
        RightAnswer(
            "fresh: delta made once",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        self.delta = scaling * B @ A

    def forward(self, x):
        return self.linear(x) + self.dropout(x) @ self.delta.T
""",
        ),
        RightAnswer(
            "fresh: Identity where p is 0",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        self.drop = nn.Dropout(p) if p else nn.Identity()

    def forward(self, x):
        z = self.drop(x)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
        ),
        RightAnswer(
            "fresh: a sequence",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        a, b = nn.Linear(A.shape[1], A.shape[0], bias=False), nn.Linear(B.shape[1], B.shape[0], bias=False)
        with torch.no_grad():
            a.weight.copy_(A)
            b.weight.copy_(B)
        self.branch = nn.Sequential(nn.Dropout(p), a, b)

    def forward(self, x):
        return self.linear(x) + self.scaling * self.branch(x)
""",
        ),
        RightAnswer(
            "fresh: merged in evaluation",
            """
import torch.nn.functional as F
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        if not self.training:
            return F.linear(x, self.linear.weight + self.scaling * self.B @ self.A, self.linear.bias)
        z = self.dropout(x)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
        ),
        RightAnswer(
            "fresh: ParameterDict",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        self.ab = nn.ParameterDict({'A': nn.Parameter(A.clone()), 'B': nn.Parameter(B.clone())})

    def forward(self, x):
        z = self.dropout(x)
        return self.linear(x) + self.scaling * z @ self.ab['A'].T @ self.ab['B'].T
""",
        ),
    ],
    "implied_penalty": [
        RightAnswer(
            "fresh: 1/(1-p) - 1",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return (1 / (1 - p) - 1) * (X.square().mean(0) * d.square().sum(0)).sum()
""",
        ),
        RightAnswer(
            "fresh: einsum",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * torch.einsum('nj,oj->', X ** 2, d ** 2) / len(X)
""",
        ),
        RightAnswer(
            "fresh: loop",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    t = 0.0
    for j in range(X.shape[1]):
        t += float((X[:, j] ** 2).mean()) * float((d[:, j] ** 2).sum())
    return f * t
""",
        ),
        RightAnswer(
            "fresh: norms",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * ((X.norm(dim=0) ** 2 / X.shape[0]) @ (d.norm(dim=0) ** 2))
""",
        ),
        RightAnswer(
            "fresh: np.float32",
            """
import numpy as np


def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return np.float32(f) * np.sum(np.mean(np.square(X.numpy()), 0) * np.sum(np.square(d.numpy()), 0))
""",
        ),
        RightAnswer(
            "fresh: base less tuned",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    e = W_base - W_tuned
    return (f * (X * X).mean(0) @ (e * e).sum(0)).item()
""",
        ),
        RightAnswer(
            "fresh: per row, then mean",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return (f * (X ** 2 @ (d ** 2).T).sum(1)).mean().item()
""",
        ),
    ],
    "measure_quietly": [
        RightAnswer(
            "fresh: state dict",
            """
def measure_quietly(model, measure):
    modes = {n: m.training for n, m in model.named_modules()}
    model.train(False)
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for n, m in model.named_modules():
            m.training = modes[n]
""",
        ),
        RightAnswer(
            "fresh: inference mode",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            return measure(model)
    finally:
        for m, t in modes:
            m.training = t
""",
        ),
        RightAnswer(
            "fresh: context manager",
            """
def measure_quietly(model, measure):
    import contextlib
    
    @contextlib.contextmanager
    def quiet():
        modes = [(m, m.training) for m in model.modules()]
        model.eval()
        try:
            yield
        finally:
            for m, t in modes:
                m.training = t
    
    with quiet(), torch.no_grad():
        return measure(model)
""",
        ),
        RightAnswer(
            "fresh: set_grad_enabled kept",
            """
def measure_quietly(model, measure):
    was = torch.is_grad_enabled()
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    torch.set_grad_enabled(False)
    try:
        out = measure(model)
    finally:
        torch.set_grad_enabled(was)
        for m, t in modes:
            m.training = t
    return out
""",
        ),
        RightAnswer(
            "fresh: apply",
            """
def measure_quietly(model, measure):
    modes = {}
    model.apply(lambda m: modes.setdefault(m, m.training))
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        model.apply(lambda m: setattr(m, 'training', modes[m]))
""",
        ),
        RightAnswer(
            "fresh: except and else",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    
    def back():
        for m, t in modes:
            m.training = t
    
    model.eval()
    try:
        with torch.no_grad():
            out = measure(model)
    except BaseException:
        back()
        raise
    back()
    return out
""",
        ),
        RightAnswer(
            "fresh: recursion",
            """
def measure_quietly(model, measure):
    def modes(m):
        return m.training, [modes(c) for c in m.children()]
    
    def back(m, kept):
        m.training = kept[0]
        for c, k in zip(m.children(), kept[1]):
            back(c, k)
    
    kept = modes(model)
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        back(model, kept)
""",
        ),
    ],
    "stopping_report": [
        RightAnswer(
            "fresh: min of pairs",
            """
def stopping_report(train, valid, test):
    v, at = min((v, i) for i, v in enumerate(valid))
    return at, test[at], test[-1] - test[at]
""",
        ),
        RightAnswer(
            "fresh: running loop",
            """
def stopping_report(train, valid, test):
    at = 0
    for i, v in enumerate(valid):
        if v < valid[at]:
            at = i
    return at, test[at], test[-1] - test[at]
""",
        ),
        RightAnswer(
            "fresh: a list",
            """
import numpy as np


def stopping_report(train, valid, test):
    at = int(np.argmin(valid))
    return [at, test[at], test[-1] - test[at]]
""",
        ),
        RightAnswer(
            "fresh: namedtuple",
            """
def stopping_report(train, valid, test):
    import collections
    Report = collections.namedtuple('Report', 'place loss cost')
    at = valid.index(min(valid))
    return Report(at, test[at], test[-1] - test[at])
""",
        ),
        RightAnswer(
            "fresh: numpy all through",
            """
import numpy as np


def stopping_report(train, valid, test):
    v, t = np.array(valid), np.array(test)
    at = v.argmin()
    return at, t[at], t[-1] - t[at]
""",
        ),
        RightAnswer(
            "fresh: key",
            """
def stopping_report(train, valid, test):
    at = min(range(len(valid)), key=valid.__getitem__)
    return at, test[at], test[-1] - test[at]
""",
        ),
        RightAnswer(
            "fresh: sorted",
            """
def stopping_report(train, valid, test):
    at = sorted(range(len(valid)), key=lambda i: valid[i])[0]
    return at, test[at], -(test[at] - test[len(test) - 1])
""",
        ),
    ],
}
