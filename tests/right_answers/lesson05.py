"""Right answers to lesson 05 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined

RIGHT = {
    "all_linear": [
        RightAnswer(
            "sorted",
            """
from torch import nn


def all_linear(model):
    out = model.get_output_embeddings()
    return sorted(
        n for n, m in model.named_modules() if isinstance(m, nn.Linear) and m is not out
    )
""",
        ),
    ],
    "fused_update": [
        RightAnswer(
            "split views in place",
            """
def fused_update(sizes, factors, scaling):
    width = next(iter(factors.values()))[0].shape[1]

    A0 = next(iter(factors.values()))[0]
    out = torch.zeros(sum(sizes.values()), width, dtype=A0.dtype)
    for (p, s), block in zip(sizes.items(), out.split(list(sizes.values()))):
        if p in factors:
            block.copy_((scaling * (factors[p][1] @ factors[p][0])).detach())
    return out
""",
        ),
        RightAnswer(
            "block matrices",
            """
import numpy as np


def fused_update(sizes, factors, scaling):
    width = next(iter(factors.values()))[0].shape[1]

    As = torch.cat([A for A, _ in factors.values()])
    B = torch.zeros(sum(sizes.values()), len(As), dtype=As.dtype)
    col = 0
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()])))
    for p, (A, b) in factors.items():
        B[starts[p] : starts[p] + sizes[p], col : col + len(A)] = b
        col += len(A)
    return scaling * B @ As
""",
        ),
    ],
    "in_blocks": [
        RightAnswer(
            "try int",
            """
def in_blocks(name, blocks):
    for w in name.split("."):
        try:
            n = int(w)
        except ValueError:
            continue
        return n in blocks
    return False
""",
        ),
    ],
    "is_target": [
        RightAnswer(
            "set of suffixes",
            """
import re


def is_target(name, targets):
    if type(targets) is str:
        return re.compile(targets).fullmatch(name) is not None
    words = name.split(".")
    return not {".".join(words[i:]) for i in range(len(words))}.isdisjoint(targets)
""",
        ),
    ],
    "not_found": [
        RightAnswer(
            "filter",
            """
def not_found(names, entries):
    return list(
        filter(lambda e: all(not ("." + n).endswith("." + e) for n in names), entries)
    )
""",
        ),
    ],
    "rank_for_budget": [
        RightAnswer(
            "torch .item",
            """
def rank_for_budget(shapes, budget):
    c = torch.tensor(shapes, dtype=torch.float64).sum()
    return int((budget / c).round().clamp(min=1).item())
""",
        ),
        RightAnswer(
            "search min",
            """
def rank_for_budget(shapes, budget):
    c = sum(map(sum, shapes))
    return min(range(1, budget // c + 3), key=lambda r: abs(r * c - budget))
""",
        ),
    ],
}

RIGHT = joined(RIGHT, afresh("05"))
