"""Right answers to lesson 06 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined

RIGHT = {
    "adapter_contents": [
        RightAnswer(
            "renamed biases first",
            """
import copy


def adapter_contents(model, biases):
    def factor(n):
        return bool({"lora_A", "lora_B"} & set(n.split(".")))

    def plain(n):
        return n.replace("base_layer.", "")

    now = {plain(n): n for n, _ in model.named_parameters()}
    p = dict(model.named_parameters())
    keep = [now[b] for b in biases] + [n for n in p if factor(n)]
    return {n: copy.deepcopy(p[n].data) for n in keep}
""",
        ),
        RightAnswer(
            "numpy roundtrip",
            """
def adapter_contents(model, biases):
    def factor(n):
        return bool({"lora_A", "lora_B"} & set(n.split(".")))

    def plain(n):
        return n.replace("base_layer.", "")

    return {
        n: torch.from_numpy(p.detach().numpy().copy())
        for n, p in model.named_parameters()
        if factor(n) or plain(n) in biases
    }
""",
        ),
    ],
    "bias_numbers": [
        RightAnswer(
            "numpy",
            """
import numpy as np


def bias_numbers(hidden, heads, kv_heads, blocks, wrapped, mode):
    narrow = hidden * kv_heads // heads

    w = np.array([hidden, narrow, narrow])
    on = np.array(
        [
            mode == "all" or mode == "lora_only" and n in wrapped
            for n in ("q_proj", "k_proj", "v_proj")
        ]
    )
    return int(blocks * w[on].sum())
""",
        ),
    ],
    "biases_that_train": [
        RightAnswer(
            "frozenset",
            """
def biases_that_train(model, wrapped, mode):
    if mode not in ("none", "lora_only", "all"):
        raise ValueError(mode)
    names = {n for n, _ in model.named_parameters() if n.split(".")[-1] == "bias"}

    own = frozenset(w + ".bias" for w in wrapped)
    return (
        frozenset()
        if mode == "none"
        else frozenset(names)
        if mode == "all"
        else own & names
    )
""",
        ),
    ],
    "fewer_biases": [
        RightAnswer(
            "einsum list",
            """
def fewer_biases(b_q, b_k, b_v, W_o, b_o):
    return [
        b_q.clone(),
        torch.zeros_like(b_k),
        torch.zeros_like(b_v),
        b_o + torch.einsum("oi,i->o", W_o, b_v),
    ]
""",
        ),
        RightAnswer(
            "double",
            """
def fewer_biases(b_q, b_k, b_v, W_o, b_o):
    return (
        b_q,
        torch.zeros(len(b_k), dtype=b_k.dtype),
        torch.zeros(len(b_v), dtype=b_v.dtype),
        (b_o.double() + W_o.double() @ b_v.double()).to(b_o.dtype),
    )
""",
        ),
    ],
    "measure_base": [
        RightAnswer(
            "load_state_dict strict=False",
            """
def measure_base(model, start, measure):
    layers = [m for m in model.modules() if hasattr(m, "branch_on")]
    was = [m.branch_on for m in layers]
    P = dict(model.named_parameters())
    kept = {n: P[n].detach().clone() for n in start}

    try:
        model.load_state_dict(start, strict=False)
        for m in layers:
            m.branch_on = False
        return measure(model)
    finally:
        model.load_state_dict(kept, strict=False)
        for m, s in zip(layers, was):
            m.branch_on = s
""",
        ),
        RightAnswer(
            "ExitStack",
            """
import contextlib


def measure_base(model, start, measure):
    layers = [m for m in model.modules() if hasattr(m, "branch_on")]
    was = [m.branch_on for m in layers]
    P = dict(model.named_parameters())
    kept = {n: P[n].detach().clone() for n in start}

    import contextlib

    with contextlib.ExitStack() as stack:
        for m, s in zip(layers, was):
            stack.callback(setattr, m, "branch_on", s)
            m.branch_on = False
        for n, v in start.items():
            stack.callback(P[n].data.copy_, kept[n])
            P[n].data.copy_(v)
        return measure(model)
""",
        ),
    ],
    "run_blocks": [
        RightAnswer(
            "reduce",
            """
from torch.utils.checkpoint import checkpoint
import functools


def run_blocks(embed, blocks, ids):
    hidden = embed(ids)

    return functools.reduce(
        lambda h, b: checkpoint(b, h, use_reentrant=False), blocks, hidden
    )
""",
        ),
        RightAnswer(
            "all blocks + Identity, one segment each",
            """
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential
from torch.utils.checkpoint import checkpoint, checkpoint_sequential


def run_blocks(embed, blocks, ids):
    hidden = embed(ids)

    seq = [*blocks, nn.Identity()]
    return checkpoint_sequential(seq, len(seq), hidden, use_reentrant=False)
""",
        ),
        RightAnswer(
            "embed in checkpoint non-reentrant",
            """
from torch.utils.checkpoint import checkpoint


def run_blocks(embed, blocks, ids):
    h = checkpoint(embed, ids, use_reentrant=False)
    for b in blocks:
        h = checkpoint(
            b, h, use_reentrant=False, preserve_rng_state=True, determinism_check="none"
        )
    return h
""",
        ),
        RightAnswer(
            "checkpoint_sequential non-reentrant last run? n segments",
            """
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential


def run_blocks(embed, blocks, ids):
    hidden = embed(ids)

    for b in list(blocks):
        hidden = checkpoint_sequential(
            [b, nn.Identity()], 2, hidden, use_reentrant=False
        )
    return hidden
""",
        ),
    ],
}

RIGHT = joined(RIGHT, afresh("06"))
