"""Lesson 09: names within names, every kind of fault, bf16, rows without an adapter."""

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import nn

from lora_lessons.course.lesson09.checks import is_nearest

from . import SEEDS, Edge, normal, positive, whole

ADAPTER = st.sampled_from(["sea", "sea_2", "default", "a"])
LOW = st.sampled_from([torch.bfloat16, torch.float16, torch.float32])


@st.composite
def _state(draw):
    state = {}
    for path in draw(st.lists(st.sampled_from(["q", "sea.q", "layers.0.sea"]), max_size=3)):
        for name in draw(st.lists(ADAPTER, max_size=3)):
            state |= {f"{path}.lora_{f}.{name}.weight": torch.zeros(1) for f in "AB"}
        state[f"{path}.base_layer.weight"] = torch.ones(1)
    return state, draw(ADAPTER)


def _file(state, adapter):
    found = {}
    for name, tensor in state.items():
        *path, factor, whose, _ = [""] * 3 + name.split(".")
        if factor in ("lora_A", "lora_B") and whose == adapter:
            path = [word for word in path if word]
            found[".".join(["base_model", "model", *path, factor, "weight"])] = tensor
    return found


@st.composite
def _load(draw):
    targets = {key: torch.zeros(2, 3) for key in "abc"}
    given = {key: torch.ones(2, 3) for key in draw(st.permutations("abc"))}
    fault = draw(st.sampled_from(["", "missing", "extra", "shape", "row", "value"]))
    key = draw(st.sampled_from("abc"))
    if fault == "missing":
        del given[key]
    elif fault == "extra":
        given["d"] = torch.ones(1)
    elif fault in ("shape", "row"):
        given[key] = torch.ones(3, 2) if fault == "shape" else torch.ones(1, 3)
    elif fault == "value":
        bad = draw(st.sampled_from([float("nan"), float("inf"), -float("inf")]))
        given[key][draw(whole(0, 1)), draw(whole(0, 2))] = bad
    return targets, given


def _loaded(targets, given):
    if given.keys() != targets.keys():
        raise ValueError
    if any(v.shape != (2, 3) or not v.isfinite().all() for v in given.values()):
        raise ValueError


@st.composite
def _merge(draw):
    out, in_, r, seed = draw(whole(1, 6)), draw(whole(1, 6)), draw(whole(1, 3)), draw(SEEDS)
    A, B = normal(5 * seed + 1, r, in_), 0.003 * normal(5 * seed + 2, out, r)
    assume(bool((B @ A).abs().min() > 1e-6))
    return normal(seed, out, in_).to(draw(LOW)), A, B, draw(positive(0.1, 9))


def nearest(result, W, A, B, scaling):
    """Whether every merged number is the nearest in W's dtype, and the share that stayed."""
    merged, unchanged = result
    exact = W.double() + scaling * (B.double() @ A.double())
    return merged.dtype == W.dtype, is_nearest(merged, exact), unchanged


def _merged(W, A, B, scaling):
    stayed = (W.double() + scaling * (B.double() @ A.double())).to(W.dtype) == W
    return True, True, stayed.double().mean().item()


@st.composite
def _batch(draw):
    in_, out = draw(whole(1, 5)), draw(whole(1, 5))
    names = draw(st.lists(st.sampled_from([None, "a", "b"]), min_size=1, max_size=5))
    adapters = {}
    for name in ("a", "b"):
        r, seed = draw(whole(1, 3)), draw(SEEDS)
        adapters[name] = normal(seed, r, in_), normal(seed + 1, out, r), draw(positive(0.1, 9))
    x = normal(draw(SEEDS), len(names), draw(whole(1, 3)), in_)
    return x, nn.Linear(in_, out, bias=draw(st.booleans())), adapters, names


def _served(x, linear, adapters, names):
    rows = []
    for row, name in zip(x.double(), names, strict=True):
        y = row @ linear.weight.detach().double().T
        y = y if linear.bias is None else y + linear.bias.detach().double()
        if name is not None:
            A, B, scaling = adapters[name]
            y = y + scaling * (row @ (B.double() @ A.double()).T)
        rows.append(y)
    return torch.stack(rows)


@st.composite
def _adapters(draw):
    in_, out, n = draw(whole(1, 5)), draw(whole(1, 5)), draw(whole(1, 3))
    adapters = []
    for _ in range(n):
        r, seed = draw(whole(1, 3)), draw(SEEDS)
        adapters.append((normal(seed, r, in_), normal(seed + 1, out, r), draw(positive(0.1, 9))))
    return adapters, [draw(st.floats(-2, 2)) for _ in adapters]


def _sum(adapters, weights):
    return sum(
        w * s * (B.double() @ A.double()) for w, (A, B, s) in zip(weights, adapters, strict=True)
    )


EDGES = {
    "file_tensors": Edge(_state(), _file),
    "load_strictly": Edge(_load(), _loaded),
    "merge_rounded": Edge(_merge(), _merged),
    "serve_batch": Edge(_batch(), _served),
    "weighted_sum": Edge(_adapters(), _sum),
}
SEEN = {
    "merge_rounded": nearest,
    "weighted_sum": lambda result, *given: result[1].double() @ result[0].double(),
}
