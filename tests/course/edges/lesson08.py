"""Lesson 08: empty classes, cut rows, padding on both sides, spans of one token at either end."""

from fractions import Fraction

import torch
from hypothesis import assume
from hypothesis import strategies as st

from . import SEEDS, Edge, normal, whole

NAME = st.tuples(st.sampled_from(["a", "b.c", "weight"]), st.sampled_from(["weight", "bias"]))
NAMES = st.lists(NAME.map(".".join), unique=True, max_size=5)


def _new(in_model, in_file):
    return sorted({".".join(n.split(".")[:-1]) for n in set(in_model) - set(in_file)})


@st.composite
def _pieces(draw):
    counts = draw(st.lists(whole(1, 3), max_size=4))
    words = [word for word, count in enumerate(counts) for _ in range(count)]
    cut = words[: draw(whole(0, len(words)))]
    padding = [None] * draw(whole(1, 3))
    return [None, *cut, *padding], [draw(whole(0, 3)) for _ in counts]


def _pieces_labelled(word_ids, labels):
    first = {word: i for i, word in reversed(list(enumerate(word_ids))) if word is not None}
    return [labels[word] if first.get(word, -1) == i else -100 for i, word in enumerate(word_ids)]


@st.composite
def _table(draw):
    n = draw(whole(1, 5))
    count = whole(0, 9) | st.just(0)
    return (torch.tensor([[draw(count) for _ in range(n)] for _ in range(n)]),)


def _macro(table):
    rows = table.tolist()
    scores = []
    for i, row in enumerate(rows):
        below = sum(row) + sum(other[i] for other in rows)
        scores.append(Fraction(2 * row[i], below) if below else Fraction(0))
    return float(sum(scores) / len(scores))


@st.composite
def _spans(draw):
    T = draw(whole(1, 7))
    page = torch.tensor([draw(st.booleans()) for _ in range(T)])
    assume(bool(page.any()))
    start, end = (normal(5 * draw(SEEDS) + 1, T) * 20 for _ in range(2))
    return start, end, page, draw(whole(1, T))


def _span(start, end, page, longest):
    best, at = None, None
    for i in range(len(page)):
        for j in range(i, len(page)):
            if page[i] and page[j] and j - i < longest:
                total = start[i].double() + end[j].double()
                assume(best is None or abs(total - best) > 1e-4)
                if best is None or total > best:
                    best, at = total, (i, j)
    return at


@st.composite
def _states(draw):
    n, T, h = draw(whole(1, 3)), draw(whole(1, 5)), draw(whole(1, 4))
    mask = torch.tensor([[draw(whole(0, 1)) for _ in range(T)] for _ in range(n)])
    mask[:, draw(whole(0, T - 1))] = 1
    return normal(draw(SEEDS), n, T, h), mask


def _mean(hidden, mask):
    rows = zip(hidden.double(), mask, strict=True)
    return torch.stack([row[kept.bool()].mean(0) for row, kept in rows])


@st.composite
def _offsets(draw):
    def text(side):
        at, tokens = 0, []
        for length in draw(st.lists(whole(1, 3), min_size=1, max_size=4)):
            tokens.append(((at, at + length), side))
            at += length + draw(whole(0, 1))
        return tokens

    special = ((0, 0), None)
    page = text(1)
    tokens = [special, *text(0), special, *page, special, special]
    a = draw(whole(0, len(page) - 1))
    b = draw(whole(a, len(page) - 1))
    start, end = page[a][0][0], page[b][0][1] + draw(st.sampled_from([0, 0, 50]))
    return [t[0] for t in tokens], [t[1] for t in tokens], start, end


def _tokens(offsets, sides, start, end):
    found = list(zip(range(len(sides)), offsets, sides, strict=True))
    first = [i for i, (a, _), side in found if side == 1 and a == start]
    last = [i for i, (_, b), side in found if side == 1 and b == end]
    return (first[0], last[0]) if first and last else (0, 0)


EDGES = {
    "new_modules": Edge(st.tuples(NAMES, NAMES), _new),
    "label_pieces": Edge(_pieces(), _pieces_labelled),
    "table_macro_f1": Edge(_table(), _macro),
    "answer_tokens": Edge(_offsets(), _tokens),
    "best_span": Edge(_spans(), _span),
    "masked_mean": Edge(_states(), _mean),
}
