"""Right answers to lesson 09 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined
from .afresh09 import AFRESH

RIGHT = {
    "ExactMerge": [
        RightAnswer(
            "W.data = new (same Parameter)",
            """
class ExactMerge:
    def __init__(self, linear):
        self.linear = linear
        self.kept = None

    @torch.no_grad()
    def merge(self, delta):
        W = self.linear.weight
        if self.kept is None:
            self.kept = W.detach().clone()
        W.data = (W.float() + delta).to(W.dtype)

    @torch.no_grad()
    def unmerge(self):
        W = self.linear.weight
        W.data = self.kept
        self.kept = None
""",
        ),
        RightAnswer(
            "sum from the copy (rounded once in total)",
            """
class ExactMerge:
    def __init__(self, linear):
        self.linear = linear
        self.kept = None
        self.d = 0

    @torch.no_grad()
    def merge(self, delta):
        W = self.linear.weight
        if self.kept is None:
            self.kept = W.detach().clone()
            self.d = 0
        self.d = self.d + delta
        W.copy_(self.kept.float() + self.d)

    @torch.no_grad()
    def unmerge(self):
        W = self.linear.weight
        if self.kept is not None:
            W.copy_(self.kept)
        self.kept = None
        self.d = 0
""",
        ),
        RightAnswer(
            "data in place with [:]",
            """
class ExactMerge:
    def __init__(self, linear):
        self.linear = linear
        self.kept = None

    @torch.no_grad()
    def merge(self, delta):
        W = self.linear.weight
        if self.kept is None:
            self.kept = W.detach().clone()
        W.data[:] = (W.float() + delta).to(W.dtype)

    @torch.no_grad()
    def unmerge(self):
        W = self.linear.weight
        W.data[:] = self.kept
        self.kept = None
""",
        ),
        RightAnswer(
            "unmerge raises if not merged",
            """
class ExactMerge:
    def __init__(self, linear):
        self.linear = linear
        self.kept = None

    @torch.no_grad()
    def merge(self, delta):
        W = self.linear.weight
        if self.kept is None:
            self.kept = W.detach().clone()
        W.copy_(W.float() + delta)

    @torch.no_grad()
    def unmerge(self):
        W = self.linear.weight
        if self.kept is None:
            raise RuntimeError("nothing merged")
        W.copy_(self.kept)
        self.kept = None
""",
        ),
        RightAnswer(
            "+= promotes",
            """
class ExactMerge:
    def __init__(self, linear):
        self.linear = linear
        self.kept = None

    @torch.no_grad()
    def merge(self, delta):
        W = self.linear.weight
        if self.kept is None:
            self.kept = W.detach().clone()
        W += delta

    @torch.no_grad()
    def unmerge(self):
        W = self.linear.weight
        if self.kept is not None:
            W.copy_(self.kept)
        self.kept = None
""",
        ),
    ],
    "file_tensors": [
        RightAnswer(
            "split index",
            """
def file_tensors(state, adapter):
    out = {}
    for k, v in state.items():
        p = k.split(".")
        if (
            len(p) > 2
            and p[-3] in ("lora_A", "lora_B")
            and ".".join(p[-2:-1]) == adapter
        ):
            out[".".join(["base_model", "model", *p[:-2], "weight"])] = v
    return out
""",
        ),
        RightAnswer(
            "regex escaped",
            """
import re


def file_tensors(state, adapter):
    r = re.compile(rf"^(.*\\.lora_[AB])\\.{re.escape(adapter)}\\.weight$")
    return {
        f"base_model.model.{m[1]}.weight": v
        for k, v in state.items()
        if (m := r.match(k))
    }
""",
        ),
    ],
    "load_strictly": [
        RightAnswer(
            "detach().copy_",
            """
def load_strictly(targets, given):
    bad = ["missing " + k for k in targets.keys() - given.keys()] + [
        "extra " + k for k in given.keys() - targets.keys()
    ]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape:
            bad.append("shape " + k)
        elif not torch.isfinite(given[k]).all():
            bad.append("value " + k)
    if bad:
        raise ValueError("; ".join(bad))
    with torch.enable_grad():
        for k in targets:
            targets[k].detach().copy_(given[k])
""",
        ),
        RightAnswer(
            "ValueError subclass",
            """
class Bad(ValueError):
    pass


def load_strictly(targets, given):
    bad = ["missing " + k for k in targets.keys() - given.keys()] + [
        "extra " + k for k in given.keys() - targets.keys()
    ]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape:
            bad.append("shape " + k)
        elif not torch.isfinite(given[k]).all():
            bad.append("value " + k)
    if bad:
        raise Bad(bad)
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""",
        ),
        RightAnswer(
            "multi-arg ValueError",
            """
def load_strictly(targets, given):
    bad = ["missing " + k for k in targets.keys() - given.keys()] + [
        "extra " + k for k in given.keys() - targets.keys()
    ]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape:
            bad.append("shape " + k)
        elif not torch.isfinite(given[k]).all():
            bad.append("value " + k)
    if bad:
        raise ValueError(*bad)
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""",
        ),
        RightAnswer(
            "slice assign",
            """
def load_strictly(targets, given):
    bad = ["missing " + k for k in targets.keys() - given.keys()] + [
        "extra " + k for k in given.keys() - targets.keys()
    ]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape:
            bad.append("shape " + k)
        elif not torch.isfinite(given[k]).all():
            bad.append("value " + k)
    if bad:
        raise ValueError("; ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k][...] = given[k]
""",
        ),
        RightAnswer(
            "numpy finite",
            """
import numpy as np


def load_strictly(targets, given):
    bad = ["missing " + k for k in targets.keys() - given.keys()] + [
        "extra " + k for k in given.keys() - targets.keys()
    ]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape:
            bad.append("shape " + k)
        elif not np.isfinite(given[k].float().numpy()).all():
            bad.append("value " + k)
    if bad:
        raise ValueError("; ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""",
        ),
    ],
    "merge_into_head": [
        RightAnswer(
            "deepcopy head module",
            """
import copy


def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        model.set_output_embeddings(copy.deepcopy(h))
        h = model.get_output_embeddings()
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        h.weight += delta
""",
        ),
        RightAnswer(
            "register_parameter",
            """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        h.register_parameter("weight", torch.nn.Parameter(h.weight.detach().clone()))
        setattr(model.config, "tie_word_embeddings", False)
    with torch.no_grad():
        h.weight.copy_(h.weight + delta)
""",
        ),
        RightAnswer(
            "deepcopy param",
            """
import copy


def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if id(h.weight) == id(e.weight):
        h.weight = copy.deepcopy(h.weight)
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        h.weight.add_(delta)
""",
        ),
    ],
    "merge_rounded": [
        RightAnswer(
            "masked compare float",
            """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A)
    m = (W.float() + d).to(W.dtype)
    u = (m.float() - W.float() == 0)[(B @ A) != 0].double().mean().item()
    return m, u
""",
        ),
        RightAnswer(
            "double directly",
            """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B.double() @ A.double())
    m = (W.double() + d).to(W.dtype)
    u = (m == W)[d != 0].float().mean().item()
    return m, u
""",
        ),
        RightAnswer(
            "einsum",
            """
def merge_rounded(W, A, B, scaling):
    d = torch.einsum("or,ri->oi", B, A) * scaling
    m = (W.float() + d).to(W.dtype)
    u = (m == W)[d != 0].float().mean().item()
    return m, u
""",
        ),
        RightAnswer(
            "addmm",
            """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A)
    m = torch.addmm(W.float(), B, A, alpha=scaling).to(W.dtype)
    u = (m == W)[d != 0].float().mean().item()
    return m, u
""",
        ),
        RightAnswer(
            "0-d tensor share",
            """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A)
    m = (W.float() + d).to(W.dtype)
    u = (m == W)[d != 0].float().mean()
    return m, u
""",
        ),
    ],
    "serve_batch": [
        RightAnswer(
            "index_add",
            """
def serve_batch(x, linear, adapters, names):
    y = linear(x)
    for n in dict.fromkeys(names):
        if n is None:
            continue
        A, B, s = adapters[n]
        k = torch.tensor([i for i, m in enumerate(names) if m == n])
        y = y.index_add(0, k, s * (x[k] @ A.T @ B.T))
    return y
""",
        ),
        RightAnswer(
            "linear on flattened x",
            """
def serve_batch(x, linear, adapters, names):
    y = linear(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    return torch.stack(
        [
            y[i]
            if n is None
            else y[i] + adapters[n][2] * (x[i] @ adapters[n][0].T @ adapters[n][1].T)
            for i, n in enumerate(names)
        ]
    )
""",
        ),
        RightAnswer(
            "linear.forward / __call__",
            """
def serve_batch(x, linear, adapters, names):
    y = linear.__call__(x)
    return torch.stack(
        [
            y[i]
            if n is None
            else y[i] + adapters[n][2] * (x[i] @ adapters[n][0].T @ adapters[n][1].T)
            for i, n in enumerate(names)
        ]
    )
""",
        ),
    ],
    "weighted_sum": [
        RightAnswer(
            "both reversed",
            """
def weighted_sum(adapters, weights):
    z = list(zip(weights, adapters))[::-1]
    return torch.cat([a for _, (a, _, _) in z]), torch.cat(
        [w * s * b for w, (_, b, s) in z], 1
    )
""",
        ),
        RightAnswer(
            "weight on A",
            """
def weighted_sum(adapters, weights):
    return torch.cat([w * s * a for w, (a, _, s) in zip(weights, adapters)]), torch.cat(
        [b for _, b, _ in adapters], 1
    )
""",
        ),
        RightAnswer(
            "preallocated",
            """
def weighted_sum(adapters, weights):
    R = sum(len(a) for a, _, _ in adapters)
    A = torch.zeros(R, adapters[0][0].shape[1])
    B = torch.zeros(len(adapters[0][1]), R)
    i = 0
    for w, (a, b, s) in zip(weights, adapters):
        A[i : i + len(a)] = a
        B[:, i : i + len(a)] = w * s * b
        i += len(a)
    return A, B
""",
        ),
    ],
}

for name, more in AFRESH.items():
    RIGHT[name] = [*RIGHT.get(name, []), *more]

RIGHT = joined(RIGHT, afresh("09"))
