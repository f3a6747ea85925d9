"""Lesson 05: block 0, names within names, alternatives, empty lists, parts without factors."""

import re

import torch
from hypothesis import assume
from hypothesis import strategies as st

from . import SEEDS, Edge, normal, positive, whole

WORD = st.sampled_from(["a", "b", "ab", "q_proj", "proj", "0", "1", "10", "layers", "fc1", "1a"])
NAME = st.lists(WORD, min_size=1, max_size=4).map(".".join)
PATTERN = st.sampled_from(["a|b", r".*\.a", "a", r".*(0|1).*", ".*", "layers.*|proj"])
SHAPES = st.lists(st.tuples(whole(1, 400), whole(1, 400)), min_size=1, max_size=4)


@st.composite
def _named(draw):
    """A name, and a pattern or entries that come near it: parts of it from either end."""
    name = draw(NAME)
    words = name.split(".")
    near = [".".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
    near += [name[1:], name[-1:], ".*", re.escape(name) + "|x", "x|" + words[0]]
    entry = st.sampled_from(near) | NAME
    return name, draw(st.lists(entry, max_size=2) | entry | PATTERN)


@st.composite
def _in_a_block(draw):
    name = draw(NAME)
    digits = [int(digit) for digit in re.findall(r"\d+", name)] or [0]
    return name, draw(st.lists(st.sampled_from(digits) | whole(0, 11), max_size=2))


def _ends(name, entry):
    words, wanted = name.split("."), entry.split(".")
    return words[len(words) - len(wanted) :] == wanted and len(wanted) <= len(words)


def _target(name, targets):
    if isinstance(targets, str):
        return re.match(f"(?:{targets})\\Z", name) is not None
    return any(_ends(name, entry) for entry in targets)


def _block(name, blocks):
    found = re.search(r"(?:^|\.)(\d+)(?=\.|$)", name)
    return found is not None and int(found[1]) in blocks


def _rank(shapes, budget):
    costs = sum(map(sum, shapes))
    assume(2 * budget % costs)  # halfway either is nearest
    return min(range(1, 2 + budget // costs + 1), key=lambda r: abs(r * costs - budget))


@st.composite
def _parts(draw):
    width, dtype = draw(whole(1, 5)), draw(st.sampled_from([torch.float32, torch.float64]))
    sizes = {name: draw(whole(1, 5)) for name in draw(st.permutations("qkvo"))}
    factors = {}
    for name in draw(st.permutations("qkvo"))[: draw(whole(1, 4))]:
        r, seed = draw(whole(1, 3)), draw(SEEDS)
        pair = normal(seed, r, width, dtype=dtype), normal(seed + 1, sizes[name], r, dtype=dtype)
        factors[name] = pair
    return sizes, factors, draw(positive(0.1, 9))


def _fused(sizes, factors, scaling):
    A, _ = next(iter(factors.values()))
    out = torch.zeros(sum(sizes.values()), A.shape[1], dtype=torch.float64)
    start = 0
    for name, size in sizes.items():
        if name in factors:
            A, B = (factor.double() for factor in factors[name])
            out[start : start + size] = scaling * torch.einsum("or,ri->oi", B, A)
        start += size
    return out


EDGES = {
    "is_target": Edge(_named(), _target),
    "in_blocks": Edge(_in_a_block(), _block),
    "not_found": Edge(
        st.tuples(st.lists(NAME, max_size=4), st.lists(NAME, max_size=4)),
        lambda names, entries: [e for e in entries if not any(_ends(n, e) for n in names)],
    ),
    "rank_for_budget": Edge(st.tuples(SHAPES, whole(0, 60_000)), _rank),
    "fused_update": Edge(_parts(), _fused),
}
