# ruff: noqa: E501
"""Right answers to lesson 03 of other forms, written afresh."""

from . import RightAnswer

FRESH = {
    "adapted_weight": [
        RightAnswer(
            "fresh: addmm",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return torch.addmm(W, B, A, alpha=s)
""",
        ),
        RightAnswer(
            "fresh: np.sqrt",
            """
import numpy as np


def adapted_weight(W, B, A, alpha, stabilized):
    s = alpha / (np.sqrt(len(A)) if stabilized else len(A))
    return W + s * (B @ A)
""",
        ),
        RightAnswer(
            "fresh: tensor sqrt",
            """
def adapted_weight(W, B, A, alpha, stabilized):
    s = alpha / (torch.tensor(float(len(A))).sqrt().item() if stabilized else len(A))
    return W + s * B @ A
""",
        ),
        RightAnswer(
            "fresh: lerp through doubles",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return (W.double() + s * (B.double() @ A.double())).to(W.dtype)
""",
        ),
        RightAnswer(
            "fresh: two roots",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    q = math.sqrt(s)
    return W + (q * B) @ (q * A)
""",
        ),
        RightAnswer(
            "fresh: loop over rows",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return torch.stack([W[i] + s * (B[i] @ A) for i in range(len(W))])
""",
        ),
        RightAnswer(
            "fresh: B.size(1)",
            """
def adapted_weight(W, B, A, alpha, stabilized):
    r = B.size(1)
    return torch.add(W, B @ A, alpha=alpha * r ** (-0.5 if stabilized else -1))
""",
        ),
        RightAnswer(
            "fresh: clone and add in place",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    out = W.clone()
    out += s * B @ A
    return out
""",
        ),
        RightAnswer(
            "fresh: Parameter",
            """
import math
from torch import nn


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return torch.nn.Parameter(W + s * (B @ A))
""",
        ),
    ],
    "alpha_for": [
        RightAnswer(
            "fresh: np.sqrt",
            """
import numpy as np


def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return old_alpha * (np.sqrt(q) if stabilized else q)
""",
        ),
        RightAnswer(
            "fresh: Fraction-like",
            """
import math


def alpha_for(new_r, old_r, old_alpha, stabilized):
    from fractions import Fraction
    q = Fraction(new_r, old_r)
    return old_alpha * (math.sqrt(q) if stabilized else float(q))
""",
        ),
        RightAnswer(
            "fresh: scaling then back",
            """
import math


def alpha_for(new_r, old_r, old_alpha, stabilized):
    d = math.sqrt if stabilized else float
    return old_alpha / d(old_r) * d(new_r)
""",
        ),
        RightAnswer(
            "fresh: power of a bool",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    return old_alpha * (new_r / old_r) ** (1 - stabilized / 2)
""",
        ),
        RightAnswer(
            "fresh: exp log",
            """
import math


def alpha_for(new_r, old_r, old_alpha, stabilized):
    return old_alpha * math.exp(math.log(new_r / old_r) / (2 if stabilized else 1))
""",
        ),
        RightAnswer(
            "fresh: f64 tensor",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    return torch.tensor([old_alpha * (new_r / old_r) ** (0.5 if stabilized else 1)], dtype=torch.float64)
""",
        ),
        RightAnswer(
            "fresh: hypot",
            """
import math


def alpha_for(new_r, old_r, old_alpha, stabilized):
    return old_alpha * (math.sqrt(new_r) / math.sqrt(old_r) if stabilized else new_r / old_r)
""",
        ),
    ],
    "first_update": [
        RightAnswer(
            "fresh: eps of 1e-8",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s * (g / (g.square().sqrt() + 1e-8)) @ A
""",
        ),
        RightAnswer(
            "fresh: Gram matrix",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * s * G @ (A.T @ A) if optimizer == 'sgd' else -lr * s * g.sign() @ A
""",
        ),
        RightAnswer(
            "fresh: two steps by names",
            """
def first_update(G, A, s, lr, optimizer):
    step = {'sgd': lambda g: g, 'adam': torch.sign}[optimizer](s * torch.mm(G, A.t()))
    B = -lr * step
    return s * torch.mm(B, A)
""",
        ),
        RightAnswer(
            "fresh: autograd",
            """
def first_update(G, A, s, lr, optimizer):
    B = torch.zeros(len(G), len(A), requires_grad=True)
    (G * (s * B @ A)).sum().backward()
    step = B.grad if optimizer == 'sgd' else B.grad.sign()
    return s * (-lr * step) @ A
""",
        ),
        RightAnswer(
            "fresh: Adam by its averages",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    if optimizer == 'adam':
        m, v = 0.1 * g / (1 - 0.9), 0.001 * g * g / (1 - 0.999)
        g = m / (v.sqrt() + 1e-12)
    return s * (-lr * g) @ A
""",
        ),
    ],
    "same_run": [
        RightAnswer(
            "fresh: np",
            """
import numpy as np


def same_run(k, lr, weight_decay, optimizer):
    q = np.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': q}
""",
        ),
        RightAnswer(
            "fresh: match the name's start",
            """
def same_run(k, lr, weight_decay, optimizer):
    q = k ** 0.5
    f = q if optimizer.startswith('adam') else q * q
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': q}
""",
        ),
        RightAnswer(
            "fresh: tensor items",
            """
def same_run(k, lr, weight_decay, optimizer):
    q = torch.tensor(k, dtype=torch.float64).sqrt().item()
    f = {'adamw': q, 'sgd': k}[optimizer]
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': q}
""",
        ),
        RightAnswer(
            "fresh: eps and betas too",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'eps': 1e-8 / q, 'betas': (0.9, 0.999), 'start_A': q}
""",
        ),
        RightAnswer(
            "fresh: dict built in steps",
            """
def same_run(k, lr, weight_decay, optimizer):
    out = {}
    out['start_A'] = k ** 0.5
    out['lr'] = lr * k if optimizer == 'sgd' else lr * out['start_A']
    out['weight_decay'] = weight_decay * lr / out['lr']
    return out
""",
        ),
    ],
    "power_law": [
        RightAnswer(
            "fresh: stdlib",
            """
import math
import statistics


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    return statistics.linear_regression([math.log(v) for v in x], [math.log(v) for v in y])[0]
""",
        ),
        RightAnswer(
            "fresh: covariances",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a, b = np.log(x), np.log(y)
    return np.cov(a, b)[0, 1] / np.var(a, ddof=1)
""",
        ),
        RightAnswer(
            "fresh: correlation times spreads",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a, b = np.log(x), np.log(y)
    return np.corrcoef(a, b)[0, 1] * b.std() / a.std()
""",
        ),
        RightAnswer(
            "fresh: normal equations",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a, b = np.log(x), np.log(y)
    n = len(a)
    return (n * (a * b).sum() - a.sum() * b.sum()) / (n * (a * a).sum() - a.sum() ** 2)
""",
        ),
        RightAnswer(
            "fresh: any",
            """
import numpy as np


def power_law(x, y):
    if any(v <= 0 for v in [*x, *y]):
        raise ValueError("no")
    m = np.linalg.lstsq(np.vander(np.log(x), 2), np.log(y), rcond=None)[0]
    return float(m[0])
""",
        ),
        RightAnswer(
            "fresh: log2 of both",
            """
def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a = torch.tensor(x, dtype=torch.float64).log2()
    b = torch.tensor(y, dtype=torch.float64).log2()
    return torch.linalg.lstsq(torch.stack([a, torch.ones_like(a)], 1), b[:, None]).solution[0].item()
""",
        ),
        RightAnswer(
            "fresh: a subclass of ValueError",
            """
import numpy as np


def power_law(x, y):
    class E(ValueError):
        pass
    if not all(v > 0 for v in x + y):
        raise E
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)[0]
""",
        ),
    ],
    "run_outcome": [
        RightAnswer(
            "fresh: np",
            """
import numpy as np


def run_outcome(losses, untrained, margin):
    l, u = np.array(losses), np.array(untrained)
    if not np.isfinite(l).all():
        return "diverged"
    e = l - u
    if e[-max(1, len(e) // 10):].mean() > margin:
        return "diverged"
    return "spiked" if (e > margin).any() else "stable"
""",
        ),
        RightAnswer(
            "fresh: fsum",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if math.fsum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
        ),
        RightAnswer(
            "fresh: if-chain",
            """
import math
import statistics


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = len(losses) // 10 or 1
    e = list(map(lambda a, b: a - b, losses, untrained))
    out = 'stable'
    if any(v > margin for v in e):
        out = 'spiked'
    if statistics.fmean(e[len(e) - n:]) > margin:
        out = 'diverged'
    return out
""",
        ),
        RightAnswer(
            "fresh: float64 tensor",
            """
def run_outcome(losses, untrained, margin):
    d = torch.tensor(losses, dtype=torch.float64) - torch.tensor(untrained, dtype=torch.float64)
    if not d.isfinite().all() or d[-max(1, d.numel() // 10):].mean() > margin:
        return "diverged"
    return "spiked" if d.max() > margin else "stable"
""",
        ),
        RightAnswer(
            "fresh: float32 tensor",
            """
def run_outcome(losses, untrained, margin):
    d = torch.tensor(losses) - torch.tensor(untrained)
    if not d.isfinite().all() or d[-max(1, d.numel() // 10):].mean() > margin:
        return "diverged"
    return ["stable", "spiked"][int(d.max() > margin)]
""",
        ),
        RightAnswer(
            "fresh: means apart",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(losses[-n:]) / n - sum(untrained[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
        ),
    ],
}
