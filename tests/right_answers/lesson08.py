"""Right answers to lesson 08 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined
from .afresh08 import AFRESH

RIGHT = {
    "answer_tokens": [
        RightAnswer(
            "overlap",
            """
def answer_tokens(offsets, sides, start, end):
    p = [(i, a, b) for i, ((a, b), s) in enumerate(zip(offsets, sides)) if s == 1]
    if not p or p[0][1] > start or p[-1][2] < end:
        return 0, 0
    hit = [i for i, a, b in p if a < end and start < b]
    return (hit[0], hit[-1]) if hit else (0, 0)
""",
        ),
    ],
    "best_span": [
        RightAnswer(
            "numpy ints returned",
            """
import numpy as np


def best_span(start, end, page, longest):
    T = len(start)

    s = np.where(page.numpy(), start.detach().numpy(), -np.inf)
    e = np.where(page.numpy(), end.detach().numpy(), -np.inf)
    m = s[:, None] + e[None]
    d = np.arange(T)[None] - np.arange(T)[:, None]
    return np.unravel_index(
        np.where((d >= 0) & (d < longest), m, -np.inf).argmax(), m.shape
    )
""",
        ),
        RightAnswer(
            "triu/tril vectorised",
            """
def best_span(start, end, page, longest):
    T = len(start)

    inf = float("inf")
    s = start.masked_fill(~page, -inf)[:, None] + end.masked_fill(~page, -inf)[None]
    ok = torch.ones(T, T, dtype=torch.bool).triu().tril(longest - 1)
    i, j = divmod(s.masked_fill(~ok, -inf).argmax().item(), T)
    return i, j
""",
        ),
    ],
    "label_pieces": [
        RightAnswer(
            "index()",
            """
def label_pieces(word_ids, labels):
    return [
        labels[w] if w is not None and word_ids.index(w) == i else -100
        for i, w in enumerate(word_ids)
    ]
""",
        ),
    ],
    "masked_mean": [
        RightAnswer(
            "einsum",
            """
def masked_mean(hidden, mask):
    w = mask.to(hidden.dtype)
    w = w / w.sum(1, keepdim=True)
    return torch.einsum("nt,nth->nh", w, hidden)
""",
        ),
        RightAnswer(
            "nanmean",
            """
def masked_mean(hidden, mask):
    return hidden.masked_fill(mask.unsqueeze(-1) == 0, float("nan")).nanmean(dim=1)
""",
        ),
    ],
    "new_modules": [
        RightAnswer(
            "numpy setdiff",
            """
import numpy as np


def new_modules(in_model, in_file):
    return sorted({str(n).rsplit(".", 1)[0] for n in np.setdiff1d(in_model, in_file)})
""",
        ),
    ],
    "table_macro_f1": [
        RightAnswer(
            "P/R harmonic loop",
            """
def table_macro_f1(table):
    total = 0.0
    for c in range(len(table)):
        tp = table[c, c].item()
        said, true = table[:, c].sum().item(), table[c].sum().item()
        p = tp / said if said else 0.0
        r = tp / true if true else 0.0
        total += 2 * p * r / (p + r) if p + r else 0.0
    return total / len(table)
""",
        ),
        RightAnswer(
            "eps 1e-4",
            """
def table_macro_f1(table):
    tp = table.diagonal()
    p = tp / (table.sum(0) + 1e-6)
    r = tp / (table.sum(1) + 1e-6)
    return (2 * p * r / (p + r + 1e-6)).mean()
""",
        ),
    ],
}

for name, more in AFRESH.items():
    RIGHT[name] = [*RIGHT.get(name, []), *more]

RIGHT = joined(RIGHT, afresh("08"))
