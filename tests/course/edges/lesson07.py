"""Lesson 07: rows without an answer, answers without an end, large logits, empty lists."""

import math
from functools import cache

import torch
from hypothesis import assume
from hypothesis import strategies as st

from . import SEEDS, Edge, normal, whole


@st.composite
def _rows(draw):
    B, T = draw(whole(1, 4)), draw(whole(1, 6))
    lengths = [draw(whole(0, T)) for _ in range(B)]
    prompts = [draw(whole(0, T)) for _ in range(B)]
    ids = torch.tensor([[draw(whole(0, 9)) for _ in range(T)] for _ in range(B)])
    return ids, torch.tensor(prompts), torch.tensor(lengths)


def _labels(ids, prompts, lengths):
    rows = zip(ids.tolist(), prompts.tolist(), lengths.tolist(), strict=True)
    return torch.tensor(
        [[v if p <= t < n else -100 for t, v in enumerate(row)] for row, p, n in rows]
    )


@st.composite
def _logits(draw):
    B, T, V = draw(whole(1, 3)), draw(whole(2, 5)), draw(whole(1, 5))
    logits = normal(draw(SEEDS), B, T, V) * draw(st.sampled_from([1.0, 200.0]))
    label = whole(0, V - 1) | st.just(-100)
    labels = torch.tensor([[draw(label) for _ in range(T)] for _ in range(B)])
    assume(bool((labels[:, 1:] != -100).any()))
    return logits, labels


def _loss(logits, labels):
    losses = []
    for row, wanted in zip(logits.double().tolist(), labels.tolist(), strict=True):
        for scores, label in zip(row, wanted[1:], strict=False):
            if label != -100:
                top = max(scores)
                total = math.fsum(math.exp(s - top) for s in scores)
                losses.append(top + math.log(total) - scores[label])
    return sum(losses) / len(losses)


@st.composite
def _targets(draw):
    B, T = draw(whole(1, 3)), draw(whole(1, 5))
    label = whole(0, 9) | st.just(-100)
    return torch.tensor([[draw(label) for _ in range(T)] for _ in range(B)]), 11, 12


def _read(labels, start, pad):
    return torch.tensor(
        [[start, *(pad if v == -100 else v for v in row[:-1])] for row in labels.tolist()]
    )


SOUNDS = st.lists(st.sampled_from(["A", "AB", "B"]), max_size=5)


def _distance(guess, target):
    @cache
    def from_here(i, j):
        if i == len(guess) or j == len(target):
            return len(guess) - i + len(target) - j
        exchange = from_here(i + 1, j + 1) + (guess[i] != target[j])
        return min(exchange, 1 + from_here(i + 1, j), 1 + from_here(i, j + 1))

    return from_here(0, 0)


EDGES = {
    "labels_for": Edge(_rows(), _labels),
    "causal_loss": Edge(_logits(), _loss),
    "shift_right": Edge(_targets(), _read),
    "edit_distance": Edge(st.tuples(SOUNDS, SOUNDS), _distance),
}
