"""Right answers to lesson 00 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined
from .fresh00 import FRESH

RIGHT = {
    "adapter_bytes": [
        RightAnswer(
            "sum map",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return r * bytes_per_number * sum(map(sum, shapes))
""",
        ),
        RightAnswer(
            "tensor",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return torch.tensor(shapes).sum() * r * bytes_per_number
""",
        ),
        RightAnswer(
            "int(np)",
            """
import numpy as np


def adapter_bytes(shapes, r, bytes_per_number=4):
    return int(np.asarray(shapes).sum()) * r * bytes_per_number
""",
        ),
    ],
    "interval": [
        RightAnswer(
            "np ddof",
            """
import numpy as np


def interval(values, t):
    m = np.mean(values)
    h = t * np.std(values, ddof=1) / np.sqrt(len(values))
    return m - h, m + h
""",
        ),
        RightAnswer(
            "array",
            """
import numpy as np


def interval(values, t):
    m = np.mean(values)
    h = t * np.std(values, ddof=1) / np.sqrt(len(values))
    return m + h * np.array([-1, 1])
""",
        ),
        RightAnswer(
            "torch float32",
            """
def interval(values, t):
    v = torch.tensor(values)
    h = t * v.std() / len(v) ** 0.5
    return (v.mean() - h).item(), (v.mean() + h).item()
""",
        ),
    ],
    "perplexity": [
        RightAnswer(
            "fmean weights",
            """
import math
import statistics


def perplexity(batch_losses, batch_tokens):
    return math.exp(statistics.fmean(batch_losses, batch_tokens))
""",
        ),
        RightAnswer(
            "repeat tokens",
            """
import math
import numpy as np


def perplexity(batch_losses, batch_tokens):
    return math.exp(np.mean(np.repeat(batch_losses, batch_tokens)))
""",
        ),
    ],
    "trainable_share": [
        RightAnswer(
            "tensor",
            """
def trainable_share(model):
    n = torch.tensor([p.numel() for p in model.parameters()])
    g = torch.tensor([p.requires_grad for p in model.parameters()])
    return n[g].sum() / n.sum()
""",
        ),
        RightAnswer(
            "torch.nn.utils",
            """
def trainable_share(model):
    v = torch.nn.utils.parameters_to_vector
    return (
        v([p for p in model.parameters() if p.requires_grad]).numel()
        / v(model.parameters()).numel()
    )
""",
        ),
        RightAnswer(
            "modules walk",
            """
def trainable_share(model):
    seen = set()
    a = t = 0
    for m in model.modules():
        for p in m._parameters.values():
            if p is not None and p not in seen:
                seen.add(p)
                a += p.numel()
                if p.requires_grad:
                    t += p.numel()
    return t / a
""",
        ),
    ],
}

for name, more in FRESH.items():
    RIGHT.setdefault(name, []).extend(more)

RIGHT = joined(RIGHT, afresh("00"))
