"""Right answers to lesson 04 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined
from .fresh04 import FRESH

RIGHT = {
    "DropoutLora": [
        RightAnswer(
            "rand mask",
            """
from torch import nn
import torch.nn.functional as F


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear = linear
        self.A = A
        self.B = B
        self.scaling = scaling
        self.p = p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        if self.training:
            z = torch.where(
                torch.rand(x.shape, dtype=x.dtype, device=x.device) < self.p,
                0.0,
                x / (1 - self.p),
            )
        else:
            z = x
        return self.linear(x) + F.linear(F.linear(z, self.A), self.B) * self.scaling
""",
        ),
        RightAnswer(
            "torch.dropout",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear = linear
        self.A = A
        self.B = B
        self.scaling = scaling
        self.p = p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        return (
            self.linear(x)
            + self.scaling
            * torch.dropout(x, self.p, self.training)
            @ self.A.T
            @ self.B.T
        )
""",
        ),
        RightAnswer(
            "calls earlier function with noise",
            """
from torch import nn


def dropped_branch(x, noise, A, B, scaling, p):
    return scaling * (x * (noise >= p) / (1 - p)) @ A.T @ B.T


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear = linear
        self.A = A
        self.B = B
        self.scaling = scaling
        self.p = p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        n = torch.rand_like(x) if self.training else torch.ones_like(x)
        return self.linear(x) + dropped_branch(
            x, n, self.A, self.B, self.scaling, self.p if self.training else 0.0
        )
""",
        ),
        RightAnswer(
            "subclass of nn.Linear",
            """
from torch import nn


class DropoutLora(nn.Linear):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__(
            linear.in_features, linear.out_features, bias=linear.bias is not None
        )
        self.load_state_dict(linear.state_dict())
        self.requires_grad_(False)
        self.A_, self.B_, self.s, self.drop = A, B, scaling, nn.Dropout(p)

    def forward(self, x):
        return super().forward(x) + self.s * self.drop(x) @ self.A_.T @ self.B_.T
""",
        ),
        RightAnswer(
            "Parameters",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear = linear
        self.A = nn.Parameter(A.clone())
        self.B = nn.Parameter(B.clone())
        self.scaling = scaling
        self.p = p

    def forward(self, x):
        z = x
        if self.training:
            z = x * torch.bernoulli(torch.full_like(x, 1 - self.p)) / (1 - self.p)
        return self.linear(x) + z @ (self.scaling * self.B @ self.A).T
""",
        ),
        RightAnswer(
            "Sequential of Linears",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear = linear
        self.A = A
        self.B = B
        self.scaling = scaling
        self.p = p
        self.dropout = nn.Dropout(p)
        a = nn.Linear(*A.shape[::-1], bias=False, dtype=A.dtype)
        b = nn.Linear(*B.shape[::-1], bias=False, dtype=B.dtype)
        a.weight.data = A.detach().clone()
        b.weight.data = B.detach().clone()
        self.seq = nn.Sequential(nn.Dropout(p), a, b)

    def forward(self, x):
        return self.linear(x) + self.scaling * self.seq(x)
""",
        ),
    ],
    "dropped_branch": [
        RightAnswer(
            "numpy",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    y = x.numpy() * (noise.numpy() >= p) / (1 - p)
    return torch.from_numpy(scaling * (y @ A.numpy().T @ B.numpy().T)).to(x.dtype)
""",
        ),
        RightAnswer(
            "clone then index",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    y = x.clone()
    y[noise < p] = 0
    y /= 1 - p
    return scaling * (y @ A.T) @ B.T
""",
        ),
        RightAnswer(
            "where",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    y = torch.where(noise < p, torch.zeros_like(x), x / (1 - p))
    return y @ A.T @ B.T * scaling
""",
        ),
        RightAnswer(
            "einsum",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    m = (noise >= p).to(x.dtype) / (1 - p)
    return scaling * torch.einsum("...i,ri,or->...o", x * m, A, B)
""",
        ),
    ],
    "implied_penalty": [
        RightAnswer(
            "numpy",
            """
import numpy as np


def implied_penalty(X, W_base, W_tuned, p):
    d = W_tuned - W_base
    f = p / (1 - p)
    return float(f * (np.mean(X.numpy() ** 2, 0) * np.sum(d.numpy() ** 2, 0)).sum())
""",
        ),
        RightAnswer(
            "trace",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d = W_tuned - W_base
    f = p / (1 - p)
    C = (X.T @ X) / len(X)
    return (f * (C.diag() * (d.T @ d).diag()).sum()).item()
""",
        ),
        RightAnswer(
            "0-d tensor",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d = W_tuned - W_base
    f = p / (1 - p)
    return f * X.square().mean(0) @ d.square().sum(0)
""",
        ),
        RightAnswer(
            "norm scaled",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d = W_tuned - W_base
    f = p / (1 - p)
    return f * (d * X.square().mean(0).sqrt()).norm().item() ** 2
""",
        ),
    ],
    "measure_quietly": [
        RightAnswer(
            "ExitStack",
            """
import contextlib


def measure_quietly(model, measure):
    with contextlib.ExitStack() as st:
        for m in model.modules():
            st.callback(setattr, m, "training", m.training)
        model.eval()
        st.enter_context(torch.no_grad())
        return measure(model)
""",
        ),
        RightAnswer(
            "m.train(mode) preorder",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for m, t in modes:
            m.train(t)
""",
        ),
        RightAnswer(
            "only those in training",
            """
def measure_quietly(model, measure):
    on = [m for m in model.modules() if m.training]
    for m in on:
        m.training = False
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for m in on:
            m.training = True
""",
        ),
    ],
    "stopping_report": [
        RightAnswer(
            "np.argmin",
            """
import numpy as np


def stopping_report(train, valid, test):
    i = np.argmin(valid)
    return i, test[i], test[-1] - test[i]
""",
        ),
        RightAnswer(
            "zip min",
            """
def stopping_report(train, valid, test):
    v, i, t = min(zip(valid, range(len(valid)), test))
    return i, t, test[-1] - t
""",
        ),
        RightAnswer(
            "torch",
            """
def stopping_report(train, valid, test):
    i = torch.tensor(valid, dtype=torch.float64).argmin().item()
    return i, test[i], test[-1] - test[i]
""",
        ),
    ],
}

for _name, _more in FRESH.items():
    RIGHT[_name] += _more

RIGHT = joined(RIGHT, afresh("04"))
