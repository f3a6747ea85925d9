"""Right answers to lesson 03 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined
from .fresh03 import FRESH

RIGHT = {
    "adapted_weight": [
        RightAnswer(
            "F.linear",
            """
import torch.nn.functional as F


def adapted_weight(W, B, A, alpha, stabilized):
    s = alpha / (len(A) ** 0.5 if stabilized else len(A))
    return W + s * F.linear(B, A.T)
""",
        ),
        RightAnswer(
            "numpy",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return torch.from_numpy(W.numpy() + s * (B.numpy() @ A.numpy())).to(W.dtype)
""",
        ),
        RightAnswer(
            "einsum",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W + s * torch.einsum("or,ri->oi", B, A)
""",
        ),
        RightAnswer(
            "sum of outers",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    out = W.clone()
    for i in range(r):
        out += s * torch.outer(B[:, i], A[i])
    return out
""",
        ),
    ],
    "alpha_for": [
        RightAnswer(
            "torch",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = torch.tensor(new_r / old_r, dtype=torch.float64)
    return (old_alpha * (q.sqrt() if stabilized else q)).item()
""",
        ),
        RightAnswer(
            "0-d f32 tensor",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = torch.tensor(new_r / old_r)
    return old_alpha * (q.sqrt() if stabilized else q)
""",
        ),
    ],
    "first_update": [
        RightAnswer(
            "torch.optim",
            """
def first_update(G, A, s, lr, optimizer):
    B = torch.zeros(G.shape[0], A.shape[0], dtype=G.dtype, requires_grad=True)
    opt = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]([B], lr=lr)
    B.grad = s * G @ A.T
    opt.step()
    return (s * B @ A).detach()
""",
        ),
        RightAnswer(
            "einsum",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -s * lr * torch.einsum("or,ri->oi", g if optimizer == "sgd" else g.sign(), A)
""",
        ),
        RightAnswer(
            "numpy",
            """
import numpy as np


def first_update(G, A, s, lr, optimizer):
    g = s * G.numpy() @ A.numpy().T
    B = -lr * (g if optimizer == "sgd" else np.sign(g))
    return torch.from_numpy(s * B @ A.numpy())
""",
        ),
    ],
    "power_law": [
        RightAnswer(
            "log10",
            """
import numpy as np


def power_law(x, y):
    if any(v <= 0 for v in list(x) + list(y)):
        raise ValueError("positive")
    lx = np.log(np.array(x, dtype=float))
    ly = np.log(np.array(y, dtype=float))
    return float(np.polyfit(np.log10(x), np.log10(y), 1)[0])
""",
        ),
        RightAnswer(
            "lstsq",
            """
import numpy as np


def power_law(x, y):
    if any(v <= 0 for v in list(x) + list(y)):
        raise ValueError("positive")
    lx = np.log(np.array(x, dtype=float))
    ly = np.log(np.array(y, dtype=float))
    M = torch.tensor(np.stack([lx, np.ones_like(lx)], 1))
    return torch.linalg.lstsq(M, torch.tensor(ly)[:, None]).solution[0, 0].item()
""",
        ),
        RightAnswer(
            "math.log domain error as the ValueError",
            """
import math
import statistics


def power_law(x, y):
    lx = [math.log(v) for v in x]
    ly = [math.log(v) for v in y]
    return statistics.linear_regression(lx, ly).slope
""",
        ),
        RightAnswer(
            "polyfit",
            """
import numpy as np


def power_law(x, y):
    if any(v <= 0 for v in list(x) + list(y)):
        raise ValueError("positive")
    lx = np.log(np.array(x, dtype=float))
    ly = np.log(np.array(y, dtype=float))
    return np.polyfit(lx, ly, 1)[0]
""",
        ),
    ],
    "run_outcome": [
        RightAnswer(
            "torch",
            """
def run_outcome(losses, untrained, margin):
    l = torch.tensor(losses, dtype=torch.float64)
    d = l - torch.tensor(untrained, dtype=torch.float64)
    if not l.isfinite().all() or d[-max(1, len(d) // 10) :].mean() > margin:
        return "diverged"
    return "spiked" if (d > margin).any() else "stable"
""",
        ),
        RightAnswer(
            "statistics",
            """
import math
import statistics


def run_outcome(losses, untrained, margin):
    pass
    if not (all(math.isfinite(l) for l in losses)):
        return "diverged"
    n = max(1, len(losses) // 10)
    d = [a - b for a, b in zip(losses, untrained)]
    if statistics.mean(d[-n:]) > margin:
        return "diverged"
    return "spiked" if max(d) > margin else "stable"
""",
        ),
        RightAnswer(
            "nan via !=",
            """
def run_outcome(losses, untrained, margin):
    pass
    if not (all(l == l and abs(l) != float("inf") for l in losses)):
        return "diverged"
    n = max(1, len(losses) // 10)
    d = [a - b for a, b in zip(losses, untrained)]
    if sum(d[-n:]) / n > margin:
        return "diverged"
    return "spiked" if max(d) > margin else "stable"
""",
        ),
    ],
    "same_run": [
        RightAnswer(
            "extra key",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == "adamw" else k
    return dict(lr=lr * f, start_A=q, weight_decay=weight_decay / f, eps=1e-8 / q)
""",
        ),
        RightAnswer(
            "torch tensors",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == "adamw" else k
    return {
        "lr": torch.tensor(lr * f, dtype=torch.float64),
        "start_A": torch.tensor(q, dtype=torch.float64),
        "weight_decay": torch.tensor(weight_decay / f, dtype=torch.float64),
    }
""",
        ),
    ],
}

for _name, _more in FRESH.items():
    RIGHT[_name] += _more

RIGHT = joined(RIGHT, afresh("03"))
