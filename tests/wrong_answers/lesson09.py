"""Wrong answers that learners really give in lesson 09, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers
from .afresh09 import AFRESH


def _file(
    test: str = "name.endswith(f'.{factor}.{adapter}.weight')",
    key: str = "'base_model.model.' + name.removesuffix(f'.{adapter}.weight') + '.weight'",
) -> str:
    return f"""
def file_tensors(state, adapter):
    found = {{}}
    for name, tensor in state.items():
        for factor in ("lora_A", "lora_B"):
            if {test}:
                found[{key}] = tensor
    return found
"""


def _load(
    missing: str = "[f'missing {k}' for k in targets if k not in given]",
    extra: str = "[f'unexpected {k}' for k in given if k not in targets]",
    shape: str = "[f'shape of {k}' for k in both if given[k].shape != targets[k].shape]",
    finite: str = "[f'{k} is not finite' for k in both if not given[k].isfinite().all()]",
    fail: str = "raise ValueError(str(faults))",
    copy: str = "targets[k].copy_(given[k])",
) -> str:
    return f"""
def load_strictly(targets, given):
    both = [k for k in targets if k in given]
    faults = {missing}
    faults += {extra}
    faults += {shape}
    faults += {finite}
    if faults:
        {fail}
    with torch.no_grad():
        for k in both:
            {copy}
"""


_LOAD_ON_THE_WAY = """
def load_strictly(targets, given):
    with torch.no_grad():
        for k, value in given.items():
            if k not in targets or value.shape != targets[k].shape or value.isnan().any():
                raise ValueError(k)
            targets[k].copy_(value)
    for k in targets:
        if k not in given:
            raise ValueError(k)
"""


def _merge(
    merged: str = "(W.float() + delta).to(W.dtype)",
    unchanged: str = "(merged == W)[delta != 0].float().mean().item()",
    delta: str = "scaling * (B @ A)",
    returned: str = "merged, unchanged",
) -> str:
    return f"""
def merge_rounded(W, A, B, scaling):
    delta = {delta}
    merged = {merged}
    unchanged = {unchanged}
    return {returned}
"""


_MERGE_IN_PLACE = """
def merge_rounded(W, A, B, scaling):
    delta = scaling * (B @ A)
    before = W.clone()
    W += delta.to(W.dtype)
    return W, (W == before)[delta != 0].float().mean().item()
"""

_LOAD_ONE_KIND_AFTER_THE_OTHER = """
def load_strictly(targets, given):
    if targets.keys() != given.keys():
        raise ValueError(f"keys: {targets.keys() ^ given.keys()}")
    faults = [k for k in targets if targets[k].shape != given[k].shape]
    faults += [k for k in targets if not given[k].isfinite().all()]
    if faults:
        raise ValueError(f"shapes or values: {faults}")
    with torch.no_grad():
        for k in targets:
            targets[k].copy_(given[k])
"""

_MERGE_INTO_FLOAT32 = """
def merge_rounded(W, A, B, scaling):
    delta, before = scaling * (B @ A), W.clone()
    merged = W.float()
    merged += delta
    merged = merged.to(W.dtype)
    return merged, (merged == before)[delta != 0].float().mean().item()
"""


def _exact(
    init: str = "self.kept = None",
    keep: str = "self.kept = W.clone() if self.kept is None else self.kept",
    write: str = "W.copy_(W.float() + delta)",
    after: str = "pass",
    back: str = "W.copy_(self.kept)",
    drop: str = "self.kept = None",
) -> str:
    return f"""
class ExactMerge:
    def __init__(self, linear):
        self.linear = linear
        W = linear.weight
        {init}

    @torch.no_grad()
    def merge(self, delta):
        W = self.linear.weight
        {keep}
        {write}
        {after}

    @torch.no_grad()
    def unmerge(self):
        W = self.linear.weight
        {back}
        {drop}
"""


def _serve(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"def serve_batch(x, linear, adapters, names):\n    y = linear(x)\n{lines}    return y\n"


_EACH = """for name, (A, B, s) in adapters.items():
    rows = [i for i, n in enumerate(names) if n == name]
"""


def _sum(A: str, B: str) -> str:
    return f"""
def weighted_sum(adapters, weights):
    As, Bs, scalings = zip(*adapters)
    triples = list(zip(weights, scalings, Bs))
    return {A}, {B}
"""


_ROWS = "torch.cat(As)"


def _head(
    tied: str = "head.weight is embedding.weight",
    own: str = "head.weight = torch.nn.Parameter(head.weight.detach().clone())",
    flag: str = "model.config.tie_word_embeddings = False",
    write: str = "head.weight += delta",
) -> str:
    return f"""
def merge_into_head(model, delta):
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if {tied}:
        {own}
        {flag}
    with torch.no_grad():
        {write}
"""


WRONG = {
    "file_tensors": [
        WrongAnswer(
            "the adapter's name kept",
            _file(key="'base_model.model.' + name"),
            "adapter's name is still in a key",
        ),
        WrongAnswer(
            "no prefix",
            _file(key="name.removesuffix(f'.{adapter}.weight') + '.weight'"),
            "Each key begins with",
        ),
        WrongAnswer(
            "the base saved too",
            """
def file_tensors(state, adapter):
    return {"base_model.model." + k.replace(f".{adapter}.weight", ".weight"): v
            for k, v in state.items()}
""",
            "Weights of the base",
        ),
        WrongAnswer(
            "every adapter",
            _file(
                test="factor in name",
                key="'base_model.model.' + '.'.join(p for i, p in enumerate(name.split('.')) "
                "if i != len(name.split('.')) - 2 or p != adapter)",
            ),
            "another adapter",
        ),
        WrongAnswer(
            "the name taken out everywhere",
            _file(key="'base_model.model.' + name.replace(f'.{adapter}.', '.')"),
            'a module is called "sea" too',
        ),
        WrongAnswer("A alone", _file(test="name.endswith(f'.lora_A.{adapter}.weight')"), "missing"),
        WrongAnswer(
            "a list of keys",
            "def file_tensors(state, adapter):\n    return [k for k in state if adapter in k]\n",
            "Return a dict",
        ),
        WrongAnswer(
            "takes the tensors out of state",
            _file(
                test="name.endswith(f'.{factor}.{adapter}.weight')",
            )
            .replace("state.items()", "list(state.items())")
            .replace("= tensor", "= state.pop(name)"),
            "changes the dict `state` itself",
        ),
    ],
    "load_strictly": [
        WrongAnswer("missing keys overlooked", _load(missing="[]"), "is missing in the file"),
        WrongAnswer("unexpected keys ignored", _load(extra="[]"), "is extra"),
        WrongAnswer("shapes unchecked", _load(shape="[]"), "has another shape"),
        WrongAnswer(
            "the number of values compared",
            _load(
                shape="[f'shape of {k}' for k in both if given[k].numel() != targets[k].numel()]"
            ).replace("copy_(given[k])", "copy_(given[k].view_as(targets[k]))"),
            "has another shape",
        ),
        WrongAnswer("NaN let in", _load(finite="[]"), "is not finite"),
        WrongAnswer(
            "infinity let in",
            _load(finite="[f'{k} is NaN' for k in both if given[k].isnan().any()]"),
            "is not finite (inf)",
        ),
        WrongAnswer("checks while it copies", _LOAD_ON_THE_WAY, "half-loaded"),
        WrongAnswer(
            "one kind of fault after the other",
            _LOAD_ONE_KIND_AFTER_THE_OTHER,
            "Collect every fault",
        ),
        WrongAnswer(
            "the gradient switched off",
            _load(copy="targets[k].requires_grad_(False).copy_(given[k])"),
            "does not require a gradient",
        ),
        WrongAnswer(
            "only prints",
            _load(fail="print(faults); return"),
            "nothing was raised",
        ),
        WrongAnswer(
            "names the first fault only",
            _load(fail="raise ValueError(faults[0])"),
            "Collect every fault",
        ),
        WrongAnswer(
            "another error", _load(fail="raise KeyError(str(faults))"), "raise a ValueError"
        ),
        WrongAnswer(
            "a new tensor in the dict",
            _load(copy="targets[k] = torch.nn.Parameter(given[k].clone())"),
            "in place",
        ),
        WrongAnswer(
            "the memory shared", _load(copy="targets[k].data = given[k]"), "shares its memory"
        ),
        WrongAnswer(
            "nothing copied",
            _load(copy="pass"),
            "does not hold the file's values",
        ),
    ],
    "merge_rounded": [
        WrongAnswer("the update rounded first", _merge("W + delta.to(W.dtype)"), "round once"),
        WrongAnswer(
            "the factors rounded first",
            _merge(delta="scaling * (B.to(W.dtype) @ A.to(W.dtype)).float()"),
            "round once",
        ),
        WrongAnswer("the scaling lost", _merge(delta="B @ A"), "scaling is missing"),
        WrongAnswer(
            "the scaling twice", _merge("(W.float() + scaling * delta).to(W.dtype)"), "twice"
        ),
        WrongAnswer("in place", _MERGE_IN_PLACE, "changes `W` itself"),
        WrongAnswer("in place where W is float32", _MERGE_INTO_FLOAT32, "changes `W` itself"),
        WrongAnswer("left in float32", _merge("W.float() + delta"), "must have W's dtype"),
        WrongAnswer(
            "all weights counted",
            _merge(unchanged="(merged == W).float().mean().item()"),
            "Weights without an update are counted too",
        ),
        WrongAnswer(
            "the share that changed",
            _merge(unchanged="(merged != W)[delta != 0].float().mean().item()"),
            "share that did change",
        ),
        WrongAnswer(
            "a count",
            _merge(unchanged="(merged == W)[delta != 0].sum().item()"),
            "This is a count",
        ),
        WrongAnswer("the merged weight alone", _merge(returned="merged"), "two values"),
    ],
    "ExactMerge": [
        WrongAnswer(
            "subtracts",
            _exact(keep="self.kept = delta", back="W.copy_(W.float() - self.kept)"),
            "Keep a copy",
        ),
        WrongAnswer("a reference", _exact(keep="self.kept = W.data"), "is it no copy"),
        WrongAnswer(
            "detach taken for a copy",
            _exact(keep="self.kept = W.detach()"),
            "is it no copy",
        ),
        WrongAnswer(
            "the copy after the merge",
            _exact(keep="pass", after="self.kept = W.clone()"),
            "after the merge",
        ),
        WrongAnswer(
            "the second merge overwrites",
            _exact(keep="self.kept = W.clone()"),
            "overwrote the copy",
        ),
        WrongAnswer(
            "the copy from the start",
            _exact(init="self.kept = W.detach().clone()", keep="pass", drop="pass"),
            "gave back the old ones",
        ),
        WrongAnswer(
            "the copy kept for ever",
            _exact(
                init="self.fresh = True",
                keep="self.kept = W.clone() if self.fresh else self.kept",
                after="self.fresh = False",
                drop="self.fresh = True",
            ),
            "still holds a copy",
        ),
        WrongAnswer(
            "a new Parameter",
            _exact(
                write="self.linear.weight = torch.nn.Parameter((W.float() + delta).to(W.dtype))"
            ),
            "new Parameter",
        ),
        WrongAnswer(
            "the update rounded first", _exact(write="W += delta.to(W.dtype)"), "round once"
        ),
        WrongAnswer(
            "merges into a copy", _exact(write="W = W.float() + delta"), "left linear.weight"
        ),
        WrongAnswer(
            "the weight becomes float32",
            _exact(write="W.data = W.float() + delta"),
            "takes the dtype of what it is given",
        ),
        WrongAnswer(
            "subtracts when it merges", _exact(write="W.copy_(W.float() - delta)"), "add it"
        ),
        WrongAnswer(
            "only the first merge counts",
            _exact(
                keep="if self.kept is not None:\n            return\n        self.kept = W.clone()"
            ),
            "second merge did nothing",
        ),
        WrongAnswer(
            "each merge begins at the copy",
            _exact(write="W.copy_(self.kept.float() + delta)"),
            "took the first one out",
        ),
    ],
    "serve_batch": [
        WrongAnswer(
            "the first adapter for all",
            _serve("A, B, s = adapters[names[0]]\ny = y + s * (x @ A.T @ B.T)"),
            "first row's adapter",
        ),
        WrongAnswer(
            "every adapter on every row",
            _serve("for A, B, s in adapters.values():\n    y = y + s * (x @ A.T @ B.T)"),
            "sum of all adapters",
        ),
        WrongAnswer(
            "the branches of all rows on every row",
            _serve(
                "for name in names:\n    if name:\n        A, B, s = adapters[name]\n"
                "        y = y + s * (x @ A.T @ B.T)"
            ),
            "branches of all rows",
        ),
        WrongAnswer("the base alone", _serve(""), "base alone"),
        WrongAnswer(
            "the branch in place of the base",
            _serve(_EACH + "    y[rows] = s * (x[rows] @ A.T @ B.T)"),
            "its branch alone",
        ),
        WrongAnswer(
            "the bias lost",
            _serve(_EACH + "    y[rows] += s * (x[rows] @ A.T @ B.T)").replace(
                "linear(x)", "x @ linear.weight.T"
            ),
            "bias is missing",
        ),
        WrongAnswer(
            "a merged weight for each row",
            """
def serve_batch(x, linear, adapters, names):
    rows = []
    for row, name in zip(x, names):
        A, B, s = adapters[name] if name else (torch.zeros(1, 11), torch.zeros(13, 1), 0.0)
        rows.append(torch.nn.functional.linear(row, linear.weight + s * B @ A, linear.bias))
    return torch.stack(rows)
""",
            "linear was not called",
        ),
        WrongAnswer(
            "merges and subtracts for each row",
            _serve(
                "for i, name in enumerate(names):\n"
                "    if name:\n"
                "        A, B, s = adapters[name]\n"
                "        linear.weight += s * B @ A\n"
                "        y[i] = torch.nn.functional.linear(x[i], linear.weight, linear.bias)\n"
                "        linear.weight -= s * B @ A"
            ),
            "Merge nothing",
        ),
        WrongAnswer(
            "the base twice",
            _serve(_EACH + "    y[rows] += linear(x[rows]) + s * (x[rows] @ A.T @ B.T)"),
            "base twice",
        ),
        WrongAnswer(
            "the base once for each group",
            _serve(_EACH + "    y[rows] = linear(x[rows]) + s * (x[rows] @ A.T @ B.T)"),
            "The base ran 3 times",
        ),
        WrongAnswer(
            "the order lost",
            _serve(
                "parts = [y[[i for i, n in enumerate(names) if n is None]]]\n"
                + _EACH
                + "    parts.append(y[rows] + s * (x[rows] @ A.T @ B.T))\ny = torch.cat(parts)"
            ),
            "another order",
        ),
        WrongAnswer(
            "None gives zeros",
            _serve(
                "z = torch.zeros_like(y)\n"
                + _EACH
                + "    z[rows] = y[rows] + s * (x[rows] @ A.T @ B.T)\ny = z"
            ),
            "rows of None are zero",
        ),
        WrongAnswer(
            "the scaling lost",
            _serve(_EACH + "    y[rows] += x[rows] @ A.T @ B.T"),
            "scaling is missing",
        ),
        WrongAnswer(
            "None looked up",
            _serve(
                "for i, name in enumerate(names):\n    A, B, s = adapters[name]\n"
                "    y[i] += s * (x[i] @ A.T @ B.T)"
            ),
            "KeyError: None",
        ),
    ],
    "weighted_sum": [
        WrongAnswer(
            "adds the As and the Bs",
            _sum("sum(As)", "sum(w * s * B for w, s, B in triples)"),
            "cross terms",
        ),
        WrongAnswer(
            "averages both",
            _sum("sum(As) / len(As)", "sum(w * s * B for w, s, B in triples) / len(As)"),
            "cross terms",
        ),
        WrongAnswer(
            "the weight on both factors",
            _sum(
                "torch.cat([w * A for w, A in zip(weights, As)])",
                "torch.cat([w * s * B for w, s, B in triples], dim=1)",
            ),
            "counts squared",
        ),
        WrongAnswer(
            "the root of a negative weight",
            _sum(
                "torch.cat([torch.tensor(w).sqrt() * A for w, A in zip(weights, As)])",
                "torch.cat([torch.tensor(w).sqrt() * s * B for w, s, B in triples], dim=1)",
            ),
            "root of a negative weight",
        ),
        WrongAnswer(
            "the root in Python, where it is complex",
            _sum(
                "torch.cat([w**0.5 * A for w, A in zip(weights, As)])",
                "torch.cat([w**0.5 * s * B for w, s, B in triples], dim=1)",
            ),
            "root of a negative weight",
        ),
        WrongAnswer(
            "scales the given B",
            _sum(_ROWS, "torch.cat([B.mul_(w * s) for w, s, B in triples], dim=1)"),
            "itself, which it was given",
        ),
        WrongAnswer(
            "the weights made to sum to one",
            _sum(_ROWS, "torch.cat([w / sum(weights) * s * B for w, s, B in triples], dim=1)"),
            "divided by their sum",
        ),
        WrongAnswer(
            "the scaling lost",
            _sum(_ROWS, "torch.cat([w * B for w, s, B in triples], dim=1)"),
            "scalings are missing",
        ),
        WrongAnswer(
            "the weights lost",
            _sum(_ROWS, "torch.cat([s * B for w, s, B in triples], dim=1)"),
            "weights are missing",
        ),
        WrongAnswer(
            "stacked along the wrong side",
            _sum(_ROWS, "torch.cat([w * s * B for w, s, B in triples])"),
            "columns of the Bs",
        ),
        WrongAnswer(
            "the full matrix as a factor",
            _sum(
                "torch.eye(As[0].shape[1])",
                "sum(w * s * B @ A for A, (w, s, B) in zip(As, triples))",
            ),
            "It should stay small",
        ),
        WrongAnswer(
            "a mean",
            _sum(_ROWS, "torch.cat([w * s * B / len(As) for w, s, B in triples], dim=1)"),
            "This is the mean",
        ),
    ],
}

WRONG["merge_into_head"] = [
    WrongAnswer("merges without a look", _head("False"), "it still is the same Parameter"),
    WrongAnswer(
        "looks in named_parameters, which lists a shared tensor once",
        _head("sum(p is head.weight for _, p in model.named_parameters()) > 1"),
        "lists a shared one once",
    ),
    WrongAnswer(
        "compares the values",
        _head("torch.equal(head.weight, embedding.weight)"),
        "are equal and yet not one",
    ),
    WrongAnswer("unties what is not tied", _head("True"), "This model is not tied"),
    WrongAnswer(
        "asks the config", _head("model.config.tie_word_embeddings"), "This config says False"
    ),
    WrongAnswer(
        "a second Parameter over the same memory",
        _head(own="head.weight = torch.nn.Parameter(head.weight.detach())"),
        "over one memory",
    ),
    WrongAnswer("leaves the config as it was", _head(flag="pass"), "is still True"),
    WrongAnswer(
        "sets the flag on the model",
        _head(flag="model.tie_word_embeddings = False"),
        "config.tie_word_embeddings is still True",
    ),
    WrongAnswer(
        "merges into the embedding",
        _head(write="embedding.weight += delta"),
        "is in the input embedding",
    ),
    WrongAnswer(
        "merges before it unties",
        _head(
            own="head.weight.data += delta; "
            "head.weight = torch.nn.Parameter(head.weight.detach().clone())",
            write="pass",
        ),
        "Untie first, then add",
    ),
    WrongAnswer(
        "merges into the old weight, by a name kept from before",
        """
def merge_into_head(model, delta):
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    merged = head.weight + delta
    if head.weight is embedding.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
        model.config.tie_word_embeddings = False
""",
        "The output layer is as it was",
    ),
    WrongAnswer("subtracts", _head(write="head.weight -= delta"), "delta was subtracted"),
    WrongAnswer(
        "delta in place of the weight",
        _head(write="head.weight.copy_(delta)"),
        "holds delta alone",
    ),
]

# The numbers of self-study.
WRONG["my_merge"] = wrong_numbers(
    "my_merge",
    {
        "the exact sum": ("6.00625, 6.03125", "exact sum"),
        "one rounding in both": ("6.0, 6.0", "round twice in the second"),
        "two roundings in both": ("6.03125, 6.03125", "round once in the first"),
        "the wrong way round": ("6.03125, 6.0", "wrong way round"),
        "not rounded at the end": ("6.0, 6.00625", "round after the first one too"),
        "another student's": ("0.21875, 0.2197265625", "not the answer to your numbers"),
    },
)

for name, more in AFRESH.items():
    WRONG[name] = [*WRONG.get(name, []), *more]

WRONG = joined(WRONG, afresh("09"))
