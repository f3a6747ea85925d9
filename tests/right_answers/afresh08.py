"""More right answers to lesson 08, written without a look at what its checks draw."""

from . import RightAnswer

# fmt: off
AFRESH = {
    "new_modules": [
        RightAnswer('set', """
def new_modules(in_model, in_file):
    return {n[: n.rindex(".")] for n in set(in_model) - set(in_file)}
"""),
        RightAnswer('dict', """
def new_modules(in_model, in_file):
    return list(dict.fromkeys(n.rsplit(".", 1)[0] for n in in_model if n not in in_file))
"""),
        RightAnswer('regex', """
def new_modules(in_model, in_file):
    import re

    return tuple({re.sub(r"\\.[^.]*$", "", n) for n in in_model if n not in set(in_file)})
"""),
        RightAnswer('loop', """
def new_modules(in_model, in_file):
    out = []
    for n in in_model:
        m = ".".join(n.split(".")[:-1])
        if n not in in_file and m not in out:
            out.append(m)
    return out
"""),
    ],
    "label_pieces": [
        RightAnswer('index', """
def label_pieces(word_ids, labels):
    return [
        labels[w] if w is not None and word_ids.index(w) == i else -100
        for i, w in enumerate(word_ids)
    ]
"""),
        RightAnswer('zip', """
def label_pieces(word_ids, labels):
    return [
        -100 if w is None or w == b else labels[w]
        for b, w in zip([None] + list(word_ids), word_ids)
    ]
"""),
        RightAnswer('tensor', """
def label_pieces(word_ids, labels):
    out = torch.full((len(word_ids),), -100)
    seen = set()
    for i, w in enumerate(word_ids):
        if w is not None and w not in seen:
            out[i] = labels[w]
            seen.add(w)
    return out
"""),
        RightAnswer('groupby', """
def label_pieces(word_ids, labels):
    import itertools

    out = []
    for w, g in itertools.groupby(word_ids):
        n = len(list(g))
        out += [-100] * n if w is None else [labels[w]] + [-100] * (n - 1)
    return out
"""),
    ],
    "table_macro_f1": [
        RightAnswer('pr', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal()
    p = (h / t.sum(0)).nan_to_num()
    r = (h / t.sum(1)).nan_to_num()
    return (2 * p * r / (p + r)).nan_to_num().mean().item()
"""),
        RightAnswer('loops', """
def table_macro_f1(table):
    n = len(table)
    s = 0.0
    for c in range(n):
        tp = table[c, c].item()
        d = table[c].sum().item() + table[:, c].sum().item()
        s += 2 * tp / d if d else 0.0
    return s / n
"""),
        RightAnswer('numpy', """
import numpy as np


def table_macro_f1(table):
    t = table.numpy().astype(float)
    h = np.diag(t)
    with np.errstate(all="ignore"):
        f = np.nan_to_num(2 * h / (t.sum(0) + t.sum(1)))
    return f.mean()
"""),
        RightAnswer('0-d', """
def table_macro_f1(table):
    t = table.double()
    h = t.diagonal()
    return (2 * h / (t.sum(0) + t.sum(1)).clamp(min=1)).mean()
"""),
        RightAnswer('float32', """
def table_macro_f1(table):
    t = table.float()
    h = t.diagonal()
    return (2 * h / (t.sum(0) + t.sum(1)).clamp(min=1)).mean().item()
"""),
    ],
    "answer_tokens": [
        RightAnswer('dict', """
def answer_tokens(offsets, sides, start, end):
    a = {offsets[i][0]: i for i, s in enumerate(sides) if s == 1}
    b = {offsets[i][1]: i for i, s in enumerate(sides) if s == 1}
    return (a[start], b[end]) if start in a and end in b else (0, 0)
"""),
        RightAnswer('next', """
def answer_tokens(offsets, sides, start, end):
    f = next((i for i, s in enumerate(sides) if s == 1 and offsets[i][0] == start), None)
    l = next((i for i, s in enumerate(sides) if s == 1 and offsets[i][1] == end), None)
    return (0, 0) if f is None or l is None else (f, l)
"""),
        RightAnswer('overlap', """
def answer_tokens(offsets, sides, start, end):
    p = [i for i, s in enumerate(sides) if s == 1]
    if not p or offsets[p[0]][0] > start or offsets[p[-1]][1] < end:
        return 0, 0
    q = [i for i in p if offsets[i][0] < end and offsets[i][1] > start]
    return q[0], q[-1]
"""),
        RightAnswer('list result', """
def answer_tokens(offsets, sides, start, end):
    try:
        p = [i for i, s in enumerate(sides) if s == 1]
        x = [offsets[i][0] for i in p].index(start)
        y = [offsets[i][1] for i in p].index(end)
        return [p[x], p[y]]
    except ValueError:
        return [0, 0]
"""),
    ],
    "best_span": [
        RightAnswer('matrix -inf', """
def best_span(start, end, page, longest):
    T = len(page)
    s = start[:, None] + end
    ok = (
        (page[:, None] & page)
        & torch.ones(T, T, dtype=torch.bool).triu()
        & ~torch.ones(T, T, dtype=torch.bool).triu(longest)
    )
    k = s.where(ok, -float("inf")).argmax()
    return tuple(map(int, divmod(int(k), T)))
"""),
        RightAnswer('itertools', """
def best_span(start, end, page, longest):
    import itertools

    p = page.nonzero().flatten().tolist()
    return max(
        ((i, j) for i, j in itertools.product(p, p) if i <= j < i + longest),
        key=lambda q: start[q[0]] + end[q[1]],
    )
"""),
        RightAnswer('init -inf', """
def best_span(start, end, page, longest):
    b = -float("inf")
    T = len(start)
    r = None
    for i in range(T):
        for j in range(i, min(i + longest, T)):
            v = start[i].item() + end[j].item()
            if page[i] and page[j] and v > b:
                b = v
                r = (i, j)
    return r
"""),
        RightAnswer('numpy', """
import numpy as np


def best_span(start, end, page, longest):
    s = start.numpy()
    e = end.numpy()
    p = np.flatnonzero(page.numpy())
    b = max(((s[i] + e[j], i, j) for i in p for j in p if 0 <= j - i < longest))
    return b[1], b[2]
"""),
        RightAnswer('tensors', """
def best_span(start, end, page, longest):
    T = len(page)
    s = (start[:, None] + end[None]).double()
    i, j = torch.arange(T)[:, None], torch.arange(T)[None]
    ok = page[:, None] & page[None] & (j >= i) & (j - i < longest)
    s[~ok] = -torch.inf
    k = s.flatten().argmax()
    return k // T, k % T
"""),
    ],
    "masked_mean": [
        RightAnswer('einsum', """
def masked_mean(hidden, mask):
    m = mask.to(hidden.dtype)
    return torch.einsum("nth,nt->nh", hidden, m / m.sum(1, keepdim=True))
"""),
        RightAnswer('bmm', """
def masked_mean(hidden, mask):
    m = mask.to(hidden.dtype)
    return (m[:, None] @ hidden)[:, 0] / m.sum(1, keepdim=True)
"""),
        RightAnswer('loop', """
def masked_mean(hidden, mask):
    return torch.stack([h[m.bool()].mean(0) for h, m in zip(hidden, mask)])
"""),
        RightAnswer('nanmean', """
def masked_mean(hidden, mask):
    return hidden.masked_fill(mask[..., None] == 0, float("nan")).nanmean(1)
"""),
        RightAnswer('where', """
def masked_mean(hidden, mask):
    return torch.where(mask.bool().unsqueeze(-1), hidden, 0).sum(1) / mask.count_nonzero(
        1
    ).unsqueeze(-1)
"""),
        RightAnswer('clamp', """
def masked_mean(hidden, mask):
    m = mask.unsqueeze(-1).expand_as(hidden).to(hidden.dtype)
    return (hidden * m).sum(1) / m.sum(1).clamp(min=1e-9)
"""),
        RightAnswer('double', """
def masked_mean(hidden, mask):
    return ((hidden.double() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).to(
        hidden.dtype
    )
"""),
    ],
}
