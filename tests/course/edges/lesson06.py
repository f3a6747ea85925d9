"""Lesson 06: one head, nothing wrapped, biases of zero."""

import torch
from hypothesis import strategies as st

from lora_lessons.course.lesson06.checks_attention import _attention

from . import SEEDS, Edge, normal, whole

WRAPPED = st.lists(st.sampled_from(["q_proj", "k_proj", "v_proj"]), unique=True)


@st.composite
def _sizes(draw):
    kv, groups, head = draw(whole(1, 4)), draw(whole(1, 4)), draw(whole(1, 8))
    heads = kv * groups
    mode = draw(st.sampled_from(["none", "lora_only", "all"]))
    return heads * head, heads, kv, draw(whole(1, 9)), draw(WRAPPED), mode


def _count(hidden, heads, kv, blocks, wrapped, mode):
    width = {"q_proj": heads, "k_proj": kv, "v_proj": kv}
    asked = {"none": (), "lora_only": wrapped, "all": width}[mode]
    return sum(width[name] * hidden // heads for _ in range(blocks) for name in asked)


@st.composite
def _biases(draw):
    width, seed = draw(whole(1, 6)), draw(SEEDS)
    b = [normal(seed + i, width, dtype=torch.float64) for i in range(4)]
    return b[0], b[1], b[2], normal(seed + 7, width, width, dtype=torch.float64), b[3]


def attended(result, b_q, b_k, b_v, W_o, b_o):
    """What the attention gives with the new biases, two of which are zero."""
    assert not result[1].any() and not result[2].any()
    return _attend(*result[:3], W_o, result[3])


def _attend(b_q, b_k, b_v, W_o, b_o):
    width = len(b_q)
    x, *weights = (
        normal(n, 4 if n == 1 else width, width, dtype=torch.float64) for n in (1, 2, 3, 4)
    )
    return _attention(x, [*weights, W_o], [b_q, b_k, b_v, b_o], heads=1)


EDGES = {"bias_numbers": Edge(_sizes(), _count), "fewer_biases": Edge(_biases(), _attend)}
SEEN = {"fewer_biases": attended}
