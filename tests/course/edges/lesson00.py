"""Lesson 00: one batch, one token, nothing or all trains, equal values."""

import math
import statistics

import torch
from hypothesis import strategies as st

from . import Edge, positive, whole

BATCHES = st.lists(st.tuples(st.floats(0, 12), whole(1, 600)), min_size=1, max_size=5)
LAYERS = st.lists(
    st.tuples(whole(1, 5), whole(1, 5), st.booleans(), st.booleans()), min_size=1, max_size=4
)


def _perplexity(losses, tokens):
    return math.exp(math.fsum(l * n for l, n in zip(losses, tokens, strict=True)) / sum(tokens))


def _model(layers):
    parts = torch.nn.ModuleList(torch.nn.Linear(i, o, bias=b) for o, i, b, _ in layers)
    for part, (*_, trains) in zip(parts, layers, strict=True):
        part.requires_grad_(trains)
    parts.sizes = layers
    return (parts,)


def _share(model):
    sizes = [(o * i + o * b, trains) for o, i, b, trains in model.sizes]
    return sum(n for n, trains in sizes if trains) / sum(n for n, _ in sizes)


def _interval(values, t):
    half = t * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values) - half, statistics.mean(values) + half


SHAPES = st.lists(st.tuples(whole(1, 9000), whole(1, 9000)), max_size=4)
VALUES = st.lists(positive(), min_size=2, max_size=6) | st.just([3.0, 3.0])
EDGES = {
    "perplexity": Edge(BATCHES.map(lambda b: tuple(map(list, zip(*b, strict=True)))), _perplexity),
    "trainable_share": Edge(LAYERS.map(_model), _share),
    "adapter_bytes": Edge(
        st.tuples(SHAPES, whole(1, 300), st.sampled_from([1, 2, 4, 8])),
        lambda shapes, r, size: sum(r * o * size + r * i * size for o, i in shapes),
    ),
    "interval": Edge(st.tuples(VALUES, positive(0.1, 13)), _interval),
}
