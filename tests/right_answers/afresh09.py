"""More right answers to lesson 09, written without a look at what its checks draw."""

from . import RightAnswer

# fmt: off
AFRESH = {
    "file_tensors": [
        RightAnswer('split', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        p = k.split(".")
        if (
            len(p) > 2
            and p[-1] == "weight"
            and p[-2] == adapter
            and p[-3] in ("lora_A", "lora_B")
        ):
            o["base_model.model." + ".".join(p[:-2] + ["weight"])] = v
    return o
"""),
        RightAnswer('regex escaped', """
def file_tensors(state, adapter):
    import re

    q = re.compile(r"(.*\\.lora_[AB])\\." + re.escape(adapter) + r"\\.weight")
    return {
        "base_model.model." + m[1] + ".weight": v
        for k, v in state.items()
        if (m := q.fullmatch(k))
    }
"""),
        RightAnswer('removesuffix', """
def file_tensors(state, adapter):
    return {
        "base_model.model." + k.removesuffix(f".{adapter}.weight") + ".weight": v
        for k, v in state.items()
        if k.endswith((f".lora_A.{adapter}.weight", f".lora_B.{adapter}.weight"))
    }
"""),
        RightAnswer('rsplit', """
def file_tensors(state, adapter):
    o = {}
    for k in state:
        try:
            path, factor, name, w = k.rsplit(".", 3)
        except ValueError:
            continue
        if factor in {"lora_A", "lora_B"} and name == adapter and w == "weight":
            o[f"base_model.model.{path}.{factor}.weight"] = state[k]
    return o
"""),
    ],
    "load_strictly": [
        RightAnswer('data', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not torch.isfinite(given[k]).all():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    for k in targets:
        targets[k].data.copy_(given[k])
"""),
        RightAnswer('subclass', """
def load_strictly(targets, given):
    class Bad(ValueError):
        pass

    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not torch.isfinite(given[k]).all():
            bad.append(k)
    if bad:
        raise Bad(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
"""),
        RightAnswer('fill', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].size() != given[k].size() or (given[k] - given[k]).ne(0).any():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k, v in given.items():
            targets[k][...] = v
"""),
        RightAnswer('did you mean', """
def load_strictly(targets, given):
    import difflib

    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].size() != given[k].size() or not given[k].isfinite().all():
            bad.append(k)
    if bad:
        raise ValueError(
            "; ".join(
                f"{k}: did you mean {difflib.get_close_matches(k, list(targets), 1)}?"
                for k in bad
            )
        )
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
"""),
        RightAnswer('numpy finite', """
def load_strictly(targets, given):
    import numpy as np

    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if (
            tuple(targets[k].shape) != tuple(given[k].shape)
            or not np.isfinite(given[k].numpy()).all()
        ):
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
"""),
        RightAnswer('set_', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not torch.isfinite(given[k]).all():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.inference_mode(False), torch.no_grad():
        for k in targets:
            targets[k].mul_(0).nan_to_num_(0).add_(given[k])
"""),
    ],
    "merge_rounded": [
        RightAnswer('double', """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B.double() @ A.double())
    m = (W.double() + d).to(W.dtype)
    return m, (m == W)[d != 0].double().mean().item()
"""),
        RightAnswer('addmm', """
def merge_rounded(W, A, B, scaling):
    m = torch.addmm(W.float(), B, A, alpha=scaling).to(W.dtype)
    d = B @ A
    return m, (((m == W) & (d != 0)).sum() / (d != 0).sum()).item()
"""),
        RightAnswer('list', """
def merge_rounded(W, A, B, scaling):
    d = (scaling * B) @ A
    m = torch.add(W.to(torch.float32), d).to(dtype=W.dtype)
    k = d.ne(0)
    return [m, 1 - (m[k] != W[k]).float().mean()]
"""),
        RightAnswer('type promotion', """
def merge_rounded(W, A, B, scaling):
    d = scaling * B @ A
    m = W.clone()
    m += d
    return m, (m == W)[d != 0].float().mean().item()
"""),
    ],
    "ExactMerge": [
        RightAnswer('plain', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.kept = None

    def merge(self, delta):
        w = self.linear.weight
        if self.kept is None:
            self.kept = w.detach().clone()
        with torch.no_grad():
            w.copy_(w.float() + delta)

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.kept)
        self.kept = None
"""),
        RightAnswer('del attr', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear

    def merge(self, delta):
        w = self.linear.weight
        if not hasattr(self, "kept"):
            self.kept = w.data.clone()
        w.data.copy_(w.data.float() + delta)

    def unmerge(self):
        self.linear.weight.data.copy_(self.kept)
        del self.kept
"""),
        RightAnswer('list cleared', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.stack = []

    def merge(self, delta):
        w = self.linear.weight
        self.stack.append(w.detach().clone())
        with torch.no_grad():
            w.copy_(w.float() + delta)

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.stack[0])
        self.stack.clear()
"""),
        RightAnswer('sum once', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.kept = self.sum = None

    def merge(self, delta):
        w = self.linear.weight
        if self.kept is None:
            self.kept, self.sum = w.detach().clone(), torch.zeros_like(delta)
        self.sum = self.sum + delta
        with torch.no_grad():
            w.copy_(self.kept.float() + self.sum)

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.kept)
        self.kept = self.sum = None
"""),
        RightAnswer('numpy bits', """
import copy


class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.kept = None

    def merge(self, delta):
        w = self.linear.weight
        if self.kept is None:
            self.kept = copy.deepcopy(w.detach())
        with torch.no_grad():
            w[...] = (w.double() + delta).to(w.dtype)

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.kept)
        self.kept = None
"""),
        RightAnswer('add_', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.kept = None

    def merge(self, delta):
        w = self.linear.weight
        if self.kept is None:
            self.kept = w.detach().clone()
        with torch.no_grad():
            w.add_(delta)

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.kept)
        self.kept = None
"""),
    ],
    "serve_batch": [
        RightAnswer('mask', """
def serve_batch(x, linear, adapters, names):
    y = linear(x)
    for n, (A, B, s) in adapters.items():
        m = torch.tensor([k == n for k in names]).view(-1, 1, 1)
        y = y + m * s * (x @ A.T @ B.T)
    return y
"""),
        RightAnswer('stack rows', """
def serve_batch(x, linear, adapters, names):
    y = linear(x)
    out = []
    for row, base, n in zip(x, y, names):
        if n is None:
            out.append(base)
        else:
            A, B, s = adapters[n]
            out.append(
                base + s * torch.nn.functional.linear(torch.nn.functional.linear(row, A), B)
            )
    return torch.stack(out)
"""),
        RightAnswer('padded bmm', """
def serve_batch(x, linear, adapters, names):
    y = linear(x)
    R = max(len(A) for A, _, _ in adapters.values())
    As = x.new_zeros(len(names), R, x.shape[-1])
    Bs = x.new_zeros(len(names), y.shape[-1], R)
    for i, n in enumerate(names):
        if n is not None:
            A, B, s = adapters[n]
            As[i, : len(A)] = A
            Bs[i, :, : len(A)] = s * B
    return y + (x @ As.mT) @ Bs.mT
"""),
        RightAnswer('index_add', """
def serve_batch(x, linear, adapters, names):
    y = linear(x)
    for n, (A, B, s) in adapters.items():
        r = torch.tensor([i for i, m in enumerate(names) if m == n], dtype=torch.long)
        if len(r):
            y = y.index_add(0, r, s * (x[r] @ A.T @ B.T))
    return y
"""),
    ],
    "weighted_sum": [
        RightAnswer('on A', """
def weighted_sum(adapters, weights):
    return torch.cat([w * s * a for w, (a, b, s) in zip(weights, adapters)]), torch.cat(
        [b for _, b, _ in adapters], 1
    )
"""),
        RightAnswer('split', """
def weighted_sum(adapters, weights):
    return torch.cat([w * a for w, (a, b, s) in zip(weights, adapters)]), torch.hstack(
        [s * b for _, b, s in adapters]
    )
"""),
        RightAnswer('reversed order', """
def weighted_sum(adapters, weights):
    k = list(zip(weights, adapters))[::-1]
    return torch.cat([a for _, (a, b, s) in k]), torch.cat(
        [w * s * b for w, (a, b, s) in k], dim=-1
    )
"""),
        RightAnswer('exact svd', """
def weighted_sum(adapters, weights):
    d = sum(w * s * b.double() @ a.double() for w, (a, b, s) in zip(weights, adapters))
    U, S, V = torch.linalg.svd(d, full_matrices=False)
    r = sum(len(a) for a, _, _ in adapters)
    return V[:r].float(), (U[:, :r] * S[:r]).float()
"""),
        RightAnswer('split sign', """
def weighted_sum(adapters, weights):
    import math

    A = []
    B = []
    for w, (a, b, s) in zip(weights, adapters):
        c = math.sqrt(abs(w * s))
        A.append(c * a)
        B.append(math.copysign(c, w * s) * b)
    return [torch.cat(A), torch.cat(B, 1)]
"""),
    ],
    "merge_into_head": [
        RightAnswer('sum param', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        h.weight = torch.nn.Parameter((h.weight.detach().float() + delta).to(h.weight.dtype))
        model.config.tie_word_embeddings = False
    else:
        h.weight.data.add_(delta)
"""),
        RightAnswer('deepcopy', """
def merge_into_head(model, delta):
    import copy

    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        h.weight = copy.deepcopy(h.weight)
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        h.weight.copy_(h.weight + delta)
"""),
        RightAnswer('id', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if id(h.weight) == id(e.weight):
        setattr(h, "weight", torch.nn.Parameter(h.weight.data.clone()))
        model.config.tie_word_embeddings = False
    h.weight.data += delta
"""),
        RightAnswer('data_ptr', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight.data_ptr() == e.weight.data_ptr():
        h.register_parameter("weight", torch.nn.Parameter(h.weight.detach().clone()))
        setattr(model.config, "tie_word_embeddings", False)
    with torch.no_grad():
        h.weight.add_(delta)
"""),
        RightAnswer('whole new layer', """
def merge_into_head(model, delta):
    import copy

    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        n = copy.deepcopy(h)
        n.weight = torch.nn.Parameter(e.weight.detach().clone())
        model.set_output_embeddings(n)
        model.config.tie_word_embeddings = False
        h = n
    with torch.no_grad():
        h.weight += delta
"""),
    ],
}
