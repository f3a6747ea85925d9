"""More wrong answers to lesson 09, written without a look at what its checks draw."""

from . import WrongAnswer

# fmt: off
AFRESH = {
    "file_tensors": [
        WrongAnswer('replace once', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        if (".lora_A." in k or ".lora_B." in k) and f".{adapter}." in k:
            o["base_model.model." + k.replace("." + adapter, "", 1)] = v
    return o
""", "The adapter's name is still in a key (.sea.weight). The file leaves"),
        WrongAnswer('contains lora and adapter', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        if "lora_" in k and adapter in k:
            o["base_model.model." + k.replace("." + adapter + ".weight", ".weight")] = v
    return o
""", "tensors, and 'sea' has 4: those of another adapter are among them."),
        WrongAnswer('regex unescaped', """
def file_tensors(state, adapter):
    import re

    o = {}
    for k, v in state.items():
        m = re.fullmatch(r"(.*)\\.(lora_[AB])\\." + adapter + r"\\.weight", k)
        if m:
            o["base_model.model." + m[1] + "." + m[2] + ".weight"] = v
    return o
""", 're.escape(adapter) is the pattern of the name itself'),
        WrongAnswer('no weight suffix', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        for f in ("lora_A", "lora_B"):
            e = f".{f}.{adapter}.weight"
            if k.endswith(e):
                o["base_model.model." + k[: -len(e)] + "." + f] = v
    return o
""", '"base_model.model.model.layers.0.attn.q_proj.lora_A.weight" is'),
        WrongAnswer('one prefix', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        for f in ("lora_A", "lora_B"):
            e = f".{f}.{adapter}.weight"
            if k.endswith(e):
                o["base_model." + k[: -len(e)] + "." + f + ".weight"] = v
    return o
""", '"base_model.model.model.layers.0.attn.q_proj.lora_A.weight" is'),
        WrongAnswer('startswith adapter', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        p = k.split(".")
        if p[-1] == "weight" and p[-2].startswith(adapter) and p[-3] in ("lora_A", "lora_B"):
            o["base_model.model." + ".".join(p[:-2] + ["weight"])] = v
    return o
""", '"base_model.model.model.layers.0.attn.q_proj.lora_A.weight" has'),
        WrongAnswer('third last any lora', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        p = k.split(".")
        if len(p) > 2 and p[-2] == adapter:
            o["base_model.model." + ".".join(p[:-2] + ["weight"])] = v
    return o
""", "5 tensors, and 'sea' has 4: those of another adapter are among them."),
        WrongAnswer('clones', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        p = k.split(".")
        if len(p) > 2 and p[-2] == adapter and p[-3] in ("lora_A", "lora_B"):
            o["base_model.model." + ".".join(p[:-2] + ["weight"])] = v.clone()
    return o
""", '"base_model.model.model.layers.0.attn.q_proj.lora_A.weight" is a'),
        WrongAnswer('cpu float copies', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        p = k.split(".")
        if len(p) > 2 and p[-2] == adapter and p[-3] in ("lora_A", "lora_B"):
            o["base_model.model." + ".".join(p[:-2] + ["weight"])] = v.double()
    return o
""", "\"base_model.model.model.layers.0.attn.q_proj.lora_A.weight\" is"),
        WrongAnswer('first lora_A split', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        for f in ("lora_A", "lora_B"):
            if f".{f}.{adapter}." in k:
                a, _, b = k.partition(f".{f}.{adapter}.")
                o["base_model.model." + a + f".{f}." + b] = v
    return o
""", "For ['block.lora_A.default.q_proj.lora_A.default.weight',"),
        WrongAnswer('filters parts', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        if k.endswith(f".lora_A.{adapter}.weight") or k.endswith(f".lora_B.{adapter}.weight"):
            o["base_model.model." + ".".join(p for p in k.split(".") if p != adapter)] = v
    return o
""", '"base_model.model.model.sea.layers.1.v_proj.lora_A.weight" is'),
        WrongAnswer('swapped', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        p = k.split(".")
        if len(p) > 2 and p[-2] == adapter and p[-3] in ("lora_A", "lora_B"):
            o[
                "base_model.model."
                + ".".join(p[:-3] + [{"lora_A": "lora_B", "lora_B": "lora_A"}[p[-3]], "weight"])
            ] = v
    return o
""", '"base_model.model.model.layers.0.attn.q_proj.lora_A.weight" has'),
        WrongAnswer('raises if absent', """
def file_tensors(state, adapter):
    o = {}
    for k, v in state.items():
        p = k.split(".")
        if len(p) > 2 and p[-2] == adapter and p[-3] in ("lora_A", "lora_B"):
            o["base_model.model." + ".".join(p[:-2] + ["weight"])] = v
    if not o:
        raise KeyError(adapter)
    return o
""", 'return an empty dict'),
    ],
    "load_strictly": [
        WrongAnswer('numel', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].numel() != given[k].numel() or not given[k].isfinite().all():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", 'layers.1.lora_B.weight has another shape, and other tensors were'),
        WrongAnswer('nan only', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or given[k].isnan().any():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", 'layers.1.lora_B.weight is not finite (inf), and nothing was raised:'),
        WrongAnswer('abs max > 1e30', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not given[k].abs().max() < 1e30:
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", "A file without a fault was refused"),
        WrongAnswer('mean finite', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not given[k].mean().isfinite():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", '.weight. Its numbers are large, up to 3e38, and finite all the same:'),
        WrongAnswer('any finite', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not given[k].isfinite().any():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", 'layers.1.lora_B.weight is not finite (NaN), and nothing was raised:'),
        WrongAnswer('dims', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].dim() != given[k].dim() or not given[k].isfinite().all():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", 'layers.1.lora_B.weight has another shape, and other tensors were'),
        WrongAnswer('last dim', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape[-1:] != given[k].shape[-1:] or not given[k].isfinite().all():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", 'layers.1.lora_B.weight has another shape (copy_ repeats a single'),
        WrongAnswer('finite checked on first key', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or (
            k == list(targets)[0] and not given[k].isfinite().all()
        ):
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", 'layers.1.lora_B.weight is not finite (NaN), and nothing was raised:'),
        WrongAnswer('extra ignored', """
def load_strictly(targets, given):
    bad = [k for k in targets if k not in given]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not given[k].isfinite().all():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", 'layers.2.lora_A.weight is extra, and nothing was raised: the fault'),
        WrongAnswer('missing ignored', """
def load_strictly(targets, given):
    bad = [k for k in given if k not in targets]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not given[k].isfinite().all():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in given:
            targets[k].copy_(given[k])
""", 'layers.1.lora_B.weight is missing in the file, and nothing was'),
        WrongAnswer('nan set to zero', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape:
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k].nan_to_num())
""", 'layers.1.lora_B.weight is not finite (NaN), and nothing was raised:'),
        WrongAnswer('requires grad off', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not given[k].isfinite().all():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    for k in targets:
        targets[k].requires_grad_(False).copy_(given[k])
""", 'layers.0.lora_A.weight does not require a gradient any more, so it'),
        WrongAnswer('grad mode off', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not given[k].isfinite().all():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    torch.set_grad_enabled(False)
    for k in targets:
        targets[k].copy_(given[k])
""", 'The recording of gradients is off after the call; before it was on.'),
        WrongAnswer('assert', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not given[k].isfinite().all():
            bad.append(k)
    assert not bad, " ".join(bad)
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", 'layers.1.lora_B.weight is missing in the file: raise a ValueError'),
        WrongAnswer('all keys named', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not given[k].isfinite().all():
            bad.append(k)
    if bad:
        raise ValueError(str(list(targets) + list(given)))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", 'Only layers.1.lora_B.weight is at fault, and the message names all'),
        WrongAnswer('first fault', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not given[k].isfinite().all():
            bad.append(k)
    if bad:
        raise ValueError(bad[0])
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", 'Collect every fault, raise once'),
        WrongAnswer('pop given', """
def load_strictly(targets, given):
    bad = []
    for k in list(targets):
        if k not in given:
            bad.append(k)
        elif given[k].shape != targets[k].shape or not given[k].isfinite().all():
            bad.append(k)
            given.pop(k)
    bad += [k for k in given if k not in targets]
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given.pop(k))
""", 'Your code changes the dict `given` itself, which it was given. Work'),
        WrongAnswer('len compare', """
def load_strictly(targets, given):
    if len(targets) != len(given):
        raise ValueError(str(targets.keys() ^ given.keys()))
    bad = []
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not given[k].isfinite().all():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", 'layers.1.lora_B.weight is missing, and another is extra, and other'),
        WrongAnswer('extra not finite-> unnamed?', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if targets[k].shape != given[k].shape or not given[k].isfinite().all():
            bad.append(k.split(".")[-2])
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
""", 'Collect every fault, raise once'),
        WrongAnswer('transposed allowed', """
def load_strictly(targets, given):
    bad = [k for k in targets.keys() ^ given.keys()]
    for k in targets.keys() & given.keys():
        if sorted(targets[k].shape) != sorted(given[k].shape) or not given[k].isfinite().all():
            bad.append(k)
    if bad:
        raise ValueError(" ".join(bad))
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k] if given[k].shape == targets[k].shape else given[k].T)
""", 'layers.1.lora_B.weight has another shape, and nothing was raised: the'),
    ],
    "merge_rounded": [
        WrongAnswer('delta to dtype', """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A)
    m = W + d.to(W.dtype)
    return m, (m == W)[d != 0].float().mean().item()
""", '% of the weights are not the bfloat16 value nearest to W + scaling *'),
        WrongAnswer('factors to dtype', """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B.to(W.dtype) @ A.to(W.dtype))
    m = (W.float() + d.float()).to(W.dtype)
    return m, (m == W)[d != 0].float().mean().item()
""", '% of the weights are not the bfloat16 value nearest to W + scaling *'),
        WrongAnswer('product to dtype then float', """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A).to(W.dtype).float()
    m = (W.float() + d).to(W.dtype)
    return m, (m == W)[d != 0].float().mean().item()
""", '% of the weights are not the bfloat16 value nearest to W + scaling *'),
        WrongAnswer('truncation by bits', """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A)
    m = ((W.float() + d) * (1 - 2**-12)).to(W.dtype)
    return m, (m == W)[d != 0].float().mean().item()
""", '% of the weights are not the bfloat16 value nearest to W + scaling *'),
        WrongAnswer('allclose unchanged', """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A)
    m = (W.float() + d).to(W.dtype)
    return m, torch.isclose(m, W)[d != 0].float().mean().item()
""", 'of the weights with an update kept their value. Compare merged == W'),
        WrongAnswer('B!=0 rows', """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A)
    m = (W.float() + d).to(W.dtype)
    return m, (m == W)[B.abs().sum(1) == 0].float().mean().item()
""", 'of the weights with an update kept their value. Compare merged == W'),
        WrongAnswer('float32 always', """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A)
    m = W.float() + d
    return m, (m.to(W.dtype) == W)[d != 0].float().mean().item()
""", "merged must have W's dtype, torch.bfloat16; it has torch.float32."),
        WrongAnswer('bf16 always', """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A)
    m = (W.float() + d).bfloat16().to(W.dtype)
    return m, (m == W)[d != 0].float().mean().item()
""", '% of the weights are not the float16 value nearest to W + scaling * B'),
        WrongAnswer('in place +=', """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A)
    old = W.clone()
    W += d
    return W, (W == old)[d != 0].float().mean().item()
""", 'Your code changes `W` itself, which it was given. Make a new tensor:'),
        WrongAnswer('count by rounding small', """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A)
    m = (W.float() + d).to(W.dtype)
    return m, (d.abs() < 1e-8)[d != 0].float().mean().item()
""", "of the weights with an update kept their value. Compare merged == W"),
        WrongAnswer('scaling/r', """
def merge_rounded(W, A, B, scaling):
    d = scaling / len(A) * (B @ A)
    m = (W.float() + d).to(W.dtype)
    return m, (m == W)[d != 0].float().mean().item()
""", 'do not divide by r again'),
        WrongAnswer('string', """
def merge_rounded(W, A, B, scaling):
    d = scaling * (B @ A)
    m = (W.float() + d).to(W.dtype)
    return m, f"{(m == W)[d != 0].float().mean().item():.0%}"
""", 'unchanged must be a number; got str.'),
    ],
    "ExactMerge": [
        WrongAnswer('list kept', """
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
""", 'The weights got new values between two merges, and unmerge gave back'),
        WrongAnswer('pops one', """
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
            self.linear.weight.copy_(self.stack.pop())
""", 'merge was called twice, and unmerge went back by one: the second'),
        WrongAnswer('kept in dict', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.s = {}

    def merge(self, delta):
        w = self.linear.weight
        self.s.setdefault("w", w.detach().clone())
        with torch.no_grad():
            w.copy_(w.float() + delta)

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.s["w"])
""", 'The weights got new values between two merges, and unmerge gave back'),
        WrongAnswer('float32 copy and float data', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.kept = None

    def merge(self, delta):
        w = self.linear.weight
        if self.kept is None:
            self.kept = w.detach().clone().float()
        w.data = w.data.float() + delta

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.kept)
        self.kept = None
""", 'After merge linear.weight is torch.float32, and it was'),
        WrongAnswer('new parameter back', """
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
        self.linear.weight = torch.nn.Parameter(self.kept)
        self.kept = None
""", "After unmerge linear.weight is a new Parameter: an optimizer and tied"),
        WrongAnswer('data back', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.kept = None

    def merge(self, delta):
        w = self.linear.weight
        if self.kept is None:
            self.kept = w.detach().clone()
        w.data = (w.data.float() + delta).to(w.dtype)

    def unmerge(self):
        self.linear.weight = torch.nn.Parameter(self.kept, requires_grad=False)
        self.kept = None
""", "After unmerge linear.weight is a new Parameter: an optimizer and tied"),
        WrongAnswer('requires_grad off', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.kept = None
        linear.requires_grad_(False)

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
""", '`linear.weight.requires_grad` is False after the call; before it was'),
        WrongAnswer('inplace requires grad toggled', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.kept = None

    def merge(self, delta):
        w = self.linear.weight
        if self.kept is None:
            self.kept = w.detach().clone()
        w.requires_grad_(False)
        w.copy_(w.float() + delta)

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.kept)
        self.kept = None
""", '`linear.weight.requires_grad` is False after the call; before it was'),
        WrongAnswer('sum of deltas subtracted', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.total = None

    def merge(self, delta):
        w = self.linear.weight
        self.total = delta.clone() if self.total is None else self.total + delta
        with torch.no_grad():
            w.copy_(w.float() + delta)

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.linear.weight.float() - self.total)
        self.total = None
""", '% of the weights are not what they were: the merge rounded them, and'),
        WrongAnswer('class attr', """
class ExactMerge:
    pass

    def __init__(self, linear):
        pass
        self.linear = linear

    def merge(self, delta):
        w = self.linear.weight
        c = type(self)
        if not hasattr(c, "kept") or c.kept is None:
            c.kept = w.detach().clone()
        with torch.no_grad():
            w.copy_(w.float() + delta)

    def unmerge(self):
        c = type(self)
        with torch.no_grad():
            self.linear.weight.copy_(c.kept)
        c.kept = None
""", "Your code raised TypeError: copy_(): argument 'other' (position 1)"),
        WrongAnswer('saved on the layer', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear

    def merge(self, delta):
        w = self.linear.weight
        if not hasattr(self.linear, "kept"):
            self.linear.kept = w.detach().clone()
        with torch.no_grad():
            w.copy_(w.float() + delta)

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.linear.kept)
""", 'The weights got new values between two merges, and unmerge gave back'),
        WrongAnswer('adds to the bias', """
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
        with torch.no_grad():
            if self.linear.bias is not None:
                self.linear.bias.add_(0.1)

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.kept)
        self.kept = None
""", 'Your code changes `linear.bias` itself, which it was given.'),
        WrongAnswer('delta changed', """
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
            w.copy_(delta.add_(w.float()))

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.kept)
        self.kept = None
""", 'Your code changes `delta` itself, which it was given. Make a new'),
        WrongAnswer('delta rounded', """
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
            w.add_(delta.to(w.dtype).to(w.dtype))

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.kept)
        self.kept = None
""", '% of the weights are not the nearest to W + delta: add in float32,'),
        WrongAnswer('always from kept', """
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
            w.copy_(self.kept.float() + delta)

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.kept)
        self.kept = None
""", 'The second merge took the first one out: add delta to the weight as'),
        WrongAnswer('grad mode', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.kept = None

    def merge(self, delta):
        w = self.linear.weight
        if self.kept is None:
            self.kept = w.detach().clone()
        torch.set_grad_enabled(False)
        w.copy_(w.float() + delta)

    def unmerge(self):
        self.linear.weight.copy_(self.kept)
        self.kept = None
""", 'The recording of gradients is off after the call; before it was on.'),
        WrongAnswer('kept not dropped', """
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
        self.merged = False
""", 'The weights got new values between two merges, and unmerge gave back'),
        WrongAnswer('copy in init', """
class ExactMerge:
    pass

    def __init__(self, linear):
        self.linear = linear
        self.kept = linear.weight.detach().clone()

    def merge(self, delta):
        w = self.linear.weight
        with torch.no_grad():
            w.copy_(w.float() + delta)

    def unmerge(self):
        with torch.no_grad():
            self.linear.weight.copy_(self.kept)
""", 'The weights got new values between two merges, and unmerge gave back'),
    ],
    "serve_batch": [
        WrongAnswer('no grad', """
def serve_batch(x, linear, adapters, names):
    with torch.no_grad():
        y = linear(x)
        for i, n in enumerate(names):
            if n:
                A, B, s = adapters[n]
                y[i] += s * (x[i] @ A.T @ B.T)
    return y
""", 'The numbers are right, but no gradient flows back to `x`: nothing'),
        WrongAnswer('detached base', """
def serve_batch(x, linear, adapters, names):
    y = linear(x).detach()
    for i, n in enumerate(names):
        if n:
            A, B, s = adapters[n]
            y[i] += s * (x[i] @ A.T @ B.T)
    return y
""", 'The numbers are right, but a part of the gradient does not flow back'),
        WrongAnswer('detached branch', """
def serve_batch(x, linear, adapters, names):
    y = linear(x)
    out = []
    for i, n in enumerate(names):
        r = y[i]
        if n:
            A, B, s = adapters[n]
            r = r + s * (x[i].detach() @ A.T @ B.T)
        out.append(r)
    return torch.stack(out)
""", 'The numbers are right, but a part of the gradient does not flow back'),
        WrongAnswer('names.index', """
def serve_batch(x, linear, adapters, names):
    y = linear(x).clone()
    for n, (A, B, s) in adapters.items():
        if n in names:
            i = names.index(n)
            y[i] = y[i] + s * (x[i] @ A.T @ B.T)
    return y
""", '(the entry that differs most).'),
        WrongAnswer('merges weights', """
def serve_batch(x, linear, adapters, names):
    y = linear(x).clone()
    w = linear.weight.data.clone()
    for i, n in enumerate(names):
        if n:
            A, B, s = adapters[n]
            linear.weight.data += s * B @ A
            y[i] = linear(x[i])
            linear.weight.data.copy_(w)
    return y
""", 'The base ran 6 times. It is the costly part, and the same for all'),
        WrongAnswer('flatten time', """
def serve_batch(x, linear, adapters, names):
    y = linear(x.mean(1, keepdim=True)).expand(-1, x.shape[1], -1).clone()
    for i, n in enumerate(names):
        if n:
            A, B, s = adapters[n]
            y[i] = y[i] + s * (x[i] @ A.T @ B.T)
    return y
""", '(the entry that differs most).'),
        WrongAnswer('crash if all none', """
def serve_batch(x, linear, adapters, names):
    y = linear(x)
    b = torch.zeros_like(y)
    rows = [i for i, n in enumerate(names) if n]
    b[rows] = torch.stack(
        [
            adapters[names[i]][2] * (x[i] @ adapters[names[i]][0].T @ adapters[names[i]][1].T)
            for i in rows
        ]
    )
    return y + b
""", 'Your code raised RuntimeError: stack expects a non-empty TensorList.'),
        WrongAnswer('squeezes', """
def serve_batch(x, linear, adapters, names):
    y = linear(x)
    out = []
    for i, n in enumerate(names):
        r = y[i]
        if n:
            A, B, s = adapters[n]
            r = r + s * (x[i] @ A.T @ B.T)
        out.append(r)
    return torch.stack(out).squeeze()
""", "For a batch of ['land'], by a layer without bias: The shape must be"),
        WrongAnswer('bias needed', """
def serve_batch(x, linear, adapters, names):
    y = linear(x)
    for n, (A, B, s) in adapters.items():
        r = [i for i, m in enumerate(names) if m == n]
        y[r] = x[r] @ (linear.weight + s * B @ A).T + linear.bias
    return y
""", 'what it gave was not used'),
        WrongAnswer('adapters pop', """
def serve_batch(x, linear, adapters, names):
    y = linear(x)
    while adapters:
        n, (A, B, s) = adapters.popitem()
        r = [i for i, m in enumerate(names) if m == n]
        y[r] = y[r] + s * (x[r] @ A.T @ B.T)
    return y
""", 'Your code changes the dict `adapters` itself, which it was given.'),
        WrongAnswer('x scaled', """
def serve_batch(x, linear, adapters, names):
    y = linear(x)
    for n, (A, B, s) in adapters.items():
        r = [i for i, m in enumerate(names) if m == n]
        x[r] = x[r] * s
        y[r] = y[r] + x[r] @ A.T @ B.T
    return y
""", 'Your code changes `x` itself, which it was given. Make a new tensor:'),
        WrongAnswer('sorted groups', """
def serve_batch(x, linear, adapters, names):
    out = []
    for n in sorted(set(names), key=str):
        r = [i for i, m in enumerate(names) if m == n]
        y = linear(x[r])
        if n:
            A, B, s = adapters[n]
            y = y + s * (x[r] @ A.T @ B.T)
        out.append(y)
    return torch.cat(out)
""", 'The rows came back in another order: put each one where it was in x.'),
        WrongAnswer('F.linear, not linear', """
def serve_batch(x, linear, adapters, names):
    y = torch.nn.functional.linear(x, linear.weight, linear.bias)
    for n, (A, B, s) in adapters.items():
        r = [i for i, m in enumerate(names) if m == n]
        y[r] = y[r] + s * (x[r] @ A.T @ B.T)
    return y
""", "linear was not called. Run it once, linear(x), and add each row's"),
    ],
    "weighted_sum": [
        WrongAnswer('sqrt sign', """
def weighted_sum(adapters, weights):
    A = torch.cat([abs(w * s) ** 0.5 * a for w, (a, b, s) in zip(weights, adapters)])
    B = torch.cat([abs(w * s) ** 0.5 * b for w, (a, b, s) in zip(weights, adapters)], 1)
    return A, B
""", 'A weight below zero takes an update away; here its sign is lost.'),
        WrongAnswer('first two', """
def weighted_sum(adapters, weights):
    (a, b, s), (c, d, t) = adapters[:2]
    return torch.cat([a, c]), torch.cat([weights[0] * s * b, weights[1] * t * d], 1)
""", "Its rank is 6, and the sum's is 7. Adding or averaging the As and the"),
        WrongAnswer('svd to r', """
def weighted_sum(adapters, weights):
    d = sum(w * s * b @ a for w, (a, b, s) in zip(weights, adapters))
    U, S, V = torch.linalg.svd(d, full_matrices=False)
    r = max(len(a) for a, _, _ in adapters)
    return V[:r], U[:, :r] * S[:r]
""", "Its rank is 3, and the sum's is 6. Adding or averaging the As and the"),
        WrongAnswer('dense', """
def weighted_sum(adapters, weights):
    d = sum(w * s * b @ a for w, (a, b, s) in zip(weights, adapters))
    return torch.eye(d.shape[1]), d
""", 'Its rank is 11; 6 rows are enough, all rows of all A. It should stay'),
        WrongAnswer('order BA', """
def weighted_sum(adapters, weights):
    return torch.cat([w * s * b for w, (a, b, s) in zip(weights, adapters)], 1), torch.cat(
        [a for a, _, _ in adapters]
    )
""", 'A must be (rank, 11) and B (13, rank); got (13, 6) and (6, 11). Stack'),
        WrongAnswer('B mutated', """
def weighted_sum(adapters, weights):
    for w, (a, b, s) in zip(weights, adapters):
        b.mul_(w * s)
    return torch.cat([a for a, _, _ in adapters]), torch.cat([b for _, b, _ in adapters], 1)
""", 'Your code changes `adapters[0][1]` itself, which it was given. Make a'),
        WrongAnswer('only first scaling', """
def weighted_sum(adapters, weights):
    s = adapters[0][2]
    return torch.cat([a for a, _, _ in adapters]), torch.cat(
        [w * s * b for w, (a, b, _) in zip(weights, adapters)], 1
    )
""", "The first adapter's scaling is used for all: each has its own."),
        WrongAnswer('reversed weights', """
def weighted_sum(adapters, weights):
    return torch.cat([a for a, _, _ in adapters]), torch.cat(
        [w * s * b for w, (a, b, s) in zip(weights[::-1], adapters)], 1
    )
""", "The weights stand at the wrong adapters: they come in the order of"),
        WrongAnswer('padded rank', """
def weighted_sum(adapters, weights):
    A = torch.cat([a for a, _, _ in adapters])
    B = torch.cat([w * s * b for w, (a, b, s) in zip(weights, adapters)], 1)
    return torch.cat([A, torch.zeros_like(A)]), torch.cat([B, torch.zeros_like(B)], 1)
""", 'Its rank is 12; 6 rows are enough, all rows of all A. It should stay'),
        WrongAnswer('one adapter fails', """
def weighted_sum(adapters, weights):
    (a, b, s), (c, d, t), *_ = adapters + [adapters[0]]
    return torch.cat([a, c]), torch.cat([weights[0] * s * b, weights[-1] * t * d], 1)
""", "Its rank is 6, and the sum's is 7. Adding or averaging the As and the"),
        WrongAnswer('triple', """
def weighted_sum(adapters, weights):
    return (
        torch.cat([a for a, _, _ in adapters]),
        torch.cat([w * s * b for w, (a, b, s) in zip(weights, adapters)], 1),
        1.0,
    )
""", 'Return two tensors, (A, B).'),
        WrongAnswer('half', """
def weighted_sum(adapters, weights):
    return torch.cat([a for a, _, _ in adapters]).half(), torch.cat(
        [w * s * b for w, (a, b, s) in zip(weights, adapters)], 1
    ).half()
""", '(the entry that differs most).'),
        WrongAnswer('pops', """
def weighted_sum(adapters, weights):
    A = []
    B = []
    while adapters:
        a, b, s = adapters.pop(0)
        A.append(a)
        B.append(weights.pop(0) * s * b)
    return torch.cat(A), torch.cat(B, 1)
""", 'Your code changes the list `adapters` itself, which it was given.'),
    ],
    "merge_into_head": [
        WrongAnswer('equal compare', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if torch.equal(h.weight, e.weight):
        h.weight = torch.nn.Parameter(h.weight.detach().clone())
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        h.weight += delta
""", 'The two matrices are equal and yet not one: the layer got a new'),
        WrongAnswer('config asked', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if model.config.tie_word_embeddings:
        h.weight = torch.nn.Parameter(h.weight.detach().clone())
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        h.weight += delta
""", 'The input embedding changed too. This config says False, and the two'),
        WrongAnswer('always new', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    h.weight = torch.nn.Parameter(h.weight.detach().clone() + delta.to(h.weight.dtype))
    model.config.tie_word_embeddings = False
""", 'This model is not tied, and the layer got a new Parameter; an'),
        WrongAnswer('flag left', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        h.weight = torch.nn.Parameter(h.weight.detach().clone())
    with torch.no_grad():
        h.weight += delta
""", 'model.config.tie_word_embeddings is still True: whatever ties by it'),
        WrongAnswer('lm_head', """
def merge_into_head(model, delta):
    h, e = model.lm_head, model.embed
    if h.weight is e.weight:
        h.weight = torch.nn.Parameter(h.weight.detach().clone())
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        h.weight += delta
""", "Your code raised AttributeError: 'LanguageModel' object has no"),
        WrongAnswer('new linear drops bias', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        n = torch.nn.Linear(h.in_features, h.out_features, bias=False, dtype=h.weight.dtype)
        n.weight = torch.nn.Parameter(h.weight.detach().clone())
        model.set_output_embeddings(n)
        model.config.tie_word_embeddings = False
        h = n
    with torch.no_grad():
        h.weight += delta
""", "The output layer's bias is another one, or gone: only its weight may"),
        WrongAnswer('grad off for good', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        h.weight = torch.nn.Parameter(h.weight.detach().clone(), requires_grad=False)
        model.config.tie_word_embeddings = False
    h.weight.requires_grad_(False)
    h.weight += delta
""", "The output layer's weight does not require a gradient any more, so it"),
        WrongAnswer('delta changed', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        h.weight = torch.nn.Parameter(h.weight.detach().clone())
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        h.weight.copy_(delta.add_(h.weight))
""", 'Your code changes `delta` itself, which it was given. Make a new'),
        WrongAnswer('embedding zeroed and restored as new', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    old = e.weight.detach().clone()
    with torch.no_grad():
        h.weight += delta
    if h.weight is e.weight:
        e.weight = torch.nn.Parameter(old)
        model.config.tie_word_embeddings = False
""", 'The input embedding got the new Parameter. Leave it the one that it'),
        WrongAnswer('buffer', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        w = h.weight.detach().clone()
        del h.weight
        h.weight = w
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        h.weight += delta
""", "The output layer's weight is no Parameter any more: wrap it in"),
        WrongAnswer('shared memory', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        h.weight = torch.nn.Parameter(h.weight.data)
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        h.weight += delta
""", 'The input embedding changed too: there are two Parameters over one'),
        WrongAnswer('float32 head', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        h.weight = torch.nn.Parameter(h.weight.detach().float())
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        h.weight += delta
""", 'The input embedding changed too: there are two Parameters over one'),
        WrongAnswer('bias too', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    if h.weight is e.weight:
        h.weight = torch.nn.Parameter(h.weight.detach().clone())
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        h.weight += delta
        if h.bias is not None:
            h.bias += delta.mean(1)
""", "The output layer's bias is another one, or gone: only its weight may"),
        WrongAnswer('eval left', """
def merge_into_head(model, delta):
    h, e = model.get_output_embeddings(), model.get_input_embeddings()
    model.eval()
    if h.weight is e.weight:
        h.weight = torch.nn.Parameter(h.weight.detach().clone())
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        h.weight += delta
""", 'The model was left in eval mode: leave its mode as it was.'),
    ],
}
