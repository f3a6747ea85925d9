"""Wrong answers that learners really give in lesson 02, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers
from .fresh02 import FRESH


def _start(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return "def start_factors(in_features, out_features, r, gen):\n" + lines


_UNIFORM = "torch.empty(r, in_features).uniform_(-b, b, generator=gen)"
_ZERO = "torch.zeros(out_features, r)"


def _forward(body: str) -> str:
    return (
        "def forward_with_branch(x, linear, A, B, alpha):\n"
        "    s = alpha / A.shape[0]\n"
        f"    return {body}\n"
    )


def _layer(
    init: str = "",
    forward: str = "self.linear(x) + self.s * (x @ self.A.T @ self.B.T)",
    freeze: str = "linear.requires_grad_(False)",
    A: str = "torch.nn.Parameter(A)",
    dtype: str = "linear.weight.dtype",
) -> str:
    """The right class, but for what is given."""
    return f"""
class AdaptedLinear(torch.nn.Module):
    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        self.linear = linear
        {freeze}
        b = linear.in_features ** -0.5
        A = torch.empty(r, linear.in_features, dtype={dtype}).uniform_(-b, b, generator=gen)
        self.A = {A}
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype={dtype}))
        self.s = alpha / r
        {init}

    def forward(self, x):
        return {forward}
"""


def _gradients(
    A: str = "s * (G2 @ B).T @ x2",
    B: str = "s * G2.T @ (x2 @ A.T)",
    x: str = "G @ W + s * G @ B @ A",
    returned: str = "grad_A, grad_B, grad_x",
) -> str:
    return f"""
def gradients_by_hand(x, G, W, A, B, scaling):
    s, x2, G2 = scaling, x.reshape(-1, x.shape[-1]), G.reshape(-1, G.shape[-1])
    grad_A = {A}
    grad_B = {B}
    grad_x = {x}
    return {returned}
"""


_FREEZE_ONCE = (
    "if any(isinstance(m, torch.nn.Linear) and n.rpartition('.')[2] in names "
    "for n, m in model.named_modules()): model.requires_grad_(False)"
)


def _inject(
    test: str = "last in names and isinstance(module, torch.nn.Linear)",
    before: str = _FREEZE_ONCE,
    replace: str = "setattr(model.get_submodule(parent), last, make(module))",
    after: str = "pass",
    returned: str = "done",
    walk: str = "list(model.named_modules())",
) -> str:
    return f"""
def inject(model, names, make):
    {before}
    done = []
    for name, module in {walk}:
        parent, _, last = name.rpartition(".")
        if {test}:
            {replace}
            done.append(name)
    {after}
    return {returned}
"""


def _overlap(body: str) -> str:
    return f"""
def overlap(M, N, i, j):
    U, S, Vh = torch.linalg.svd(M, full_matrices=False)
    P, T, Qh = torch.linalg.svd(N, full_matrices=False)
    return {body}
"""


_COSINES = "(Vh[:i] @ Qh[:j].T)"

WRONG = {
    "start_factors": [
        WrongAnswer(
            "both zero",
            _start(f"return torch.zeros(r, in_features), {_ZERO}"),
            "Both are zero",
        ),
        WrongAnswer(
            "both random",
            _start(
                f"b = in_features ** -0.5\nA = {_UNIFORM}\n"
                "return A, torch.empty(out_features, r).uniform_(-b, b, generator=gen)"
            ),
            "B is not zero",
        ),
        WrongAnswer(
            "A zero and B random",
            _start(
                "return torch.zeros(r, in_features), torch.randn(out_features, r, generator=gen)"
            ),
            "A is zero and B random",
        ),
        WrongAnswer(
            "Kaiming with a = 0",
            _start(
                "A = torch.empty(r, in_features)\n"
                "torch.nn.init.kaiming_uniform_(A, generator=gen)\n"
                f"return A, {_ZERO}"
            ),
            "2.45 times too wide",
        ),
        WrongAnswer(
            "the bound as a standard deviation",
            _start(
                "A = torch.randn(r, in_features, generator=gen) * in_features ** -0.5\n"
                f"return A, {_ZERO}"
            ),
            "not a standard deviation",
        ),
        WrongAnswer(
            "normal with the right spread",
            _start(
                "A = torch.randn(r, in_features, generator=gen) * (3 * in_features) ** -0.5\n"
                f"return A, {_ZERO}"
            ),
            "uniform, not normal",
        ),
        WrongAnswer(
            "the bound from r",
            _start(f"b = r ** -0.5\nA = {_UNIFORM}\nreturn A, {_ZERO}"),
            "The bound is 1/sqrt(r)",
        ),
        WrongAnswer(
            "positive numbers only",
            _start(
                "A = torch.rand(r, in_features, generator=gen) * in_features ** -0.5\n"
                f"return A, {_ZERO}"
            ),
            "no negative numbers",
        ),
        WrongAnswer(
            "torch's global generator",
            _start(
                "b = in_features ** -0.5\nA = torch.empty(r, in_features).uniform_(-b, b)\n"
                f"return A, {_ZERO}"
            ),
            "`gen`",
        ),
        WrongAnswer(
            "a seed of its own",
            _start(
                "gen = torch.Generator().manual_seed(0)\n"
                f"b = in_features ** -0.5\nA = {_UNIFORM}\nreturn A, {_ZERO}"
            ),
            "Another seed gave the same A",
        ),
        WrongAnswer(
            "float64",
            _start(f"b = in_features ** -0.5\nA = {_UNIFORM}\nreturn A.double(), {_ZERO}"),
            "in float32",
        ),
        WrongAnswer(
            "the factors exchanged",
            _start(f"b = in_features ** -0.5\nA = {_UNIFORM}\nreturn {_ZERO}, A"),
            "wrong way round",
        ),
    ],
    "forward_with_branch": [
        WrongAnswer(
            "the base scaled too",
            _forward("s * (linear(x) + x @ A.T @ B.T)"),
            "base is scaled too",
        ),
        WrongAnswer(
            "the bias twice",
            _forward("linear(x) + s * (x @ A.T @ B.T) + linear.bias"),
            "bias is added twice",
        ),
        WrongAnswer(
            "the bias in the branch",
            _forward("linear(x) + s * (x @ A.T @ B.T + linear.bias)"),
            "branch has the linear's bias",
        ),
        WrongAnswer(
            "the batch transposed",
            _forward("linear(x) + s * (B @ A @ x.T).T"),
            "fails for (batch, time, in)",
        ),
        WrongAnswer(
            "B A formed",
            _forward("linear(x) + s * (x @ (B @ A).T)"),
            "B A was formed",
        ),
        WrongAnswer(
            "no division by r",
            _forward("linear(x) + alpha * (x @ A.T @ B.T)"),
            "division by r",
        ),
        WrongAnswer(
            "no scaling",
            _forward("linear(x) + x @ A.T @ B.T"),
            "not scaled",
        ),
        WrongAnswer(
            "r / alpha",
            _forward("linear(x) + x @ A.T @ B.T / s"),
            "upside down",
        ),
        WrongAnswer(
            "the branch alone",
            _forward("s * (x @ A.T @ B.T)"),
            "base is missing",
        ),
        WrongAnswer(
            "W without the bias",
            _forward("x @ linear.weight.T + s * (x @ A.T @ B.T)"),
            "bias is missing",
        ),
        WrongAnswer(
            "the root of r",
            _forward("linear(x) + alpha / A.shape[0] ** 0.5 * (x @ A.T @ B.T)"),
            "divided by sqrt(r)",
        ),
        WrongAnswer(
            "A's columns for r",
            _forward("linear(x) + alpha / A.shape[1] * (x @ A.T @ B.T)"),
            "divided by in_features",
        ),
        WrongAnswer(
            "B's rows for r",
            _forward("linear(x) + alpha / B.shape[0] * (x @ A.T @ B.T)"),
            "divided by out_features",
        ),
        WrongAnswer(
            "divides without the fraction",
            _forward("linear(x) + alpha // A.shape[0] * (x @ A.T @ B.T)"),
            "Divide with /",
        ),
        WrongAnswer(
            "subtracts the branch",
            _forward("linear(x) - s * (x @ A.T @ B.T)"),
            "subtracted",
        ),
    ],
    "AdaptedLinear": [
        WrongAnswer(
            "the base under no_grad",
            """
class AdaptedLinear(torch.nn.Module):
    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        self.linear, self.s = linear.requires_grad_(False), alpha / r
        W = linear.weight
        self.A = torch.nn.Parameter(torch.randn(r, W.shape[1], generator=gen, dtype=W.dtype))
        self.B = torch.nn.Parameter(torch.zeros(W.shape[0], r, dtype=W.dtype))

    def forward(self, x):
        with torch.no_grad():
            base = self.linear(x)
        return base + self.s * (x @ self.A.T @ self.B.T)
""",
            "Frozen is not no_grad",
        ),
        WrongAnswer(
            "all of forward under no_grad",
            _layer().replace("    def forward", "    @torch.no_grad()\n    def forward"),
            "no gradient at all",
        ),
        WrongAnswer(
            "the branch's input detached",
            _layer(forward="self.linear(x) + self.s * (x.detach() @ self.A.T @ self.B.T)"),
            "through the branch",
        ),
        WrongAnswer(
            "the adapters frozen too",
            _layer(init="self.requires_grad_(False)"),
            "frozen too",
        ),
        WrongAnswer("nothing frozen", _layer(freeze="pass"), "W still trains"),
        WrongAnswer(
            "the bias left to train",
            _layer(freeze="linear.weight.requires_grad_(False)"),
            "bias still trains",
        ),
        WrongAnswer(
            "A is a plain tensor",
            _layer(A="A.requires_grad_()"),
            "must be an nn.Parameter",
        ),
        WrongAnswer("the dtype lost", _layer(dtype="torch.float32"), "dtype of W"),
        WrongAnswer(
            "W copied into a new layer",
            _layer(
                init="self.linear = torch.nn.Linear(linear.in_features, linear.out_features)"
                ".to(linear.weight).requires_grad_(False)"
            ),
            "not part of the module",
        ),
        WrongAnswer(
            "A normal, and too wide",
            _layer(A="torch.nn.Parameter(torch.randn(r, 31, generator=gen).double())"),
            "as in exercise 2.1",
        ),
        WrongAnswer(
            "the generator not used",
            _layer().replace("generator=gen", "generator=None"),
            "draw from the generator `gen`",
        ),
        WrongAnswer(
            "no division by r",
            _layer(init="self.s = alpha"),
            "division by r",
        ),
    ],
    "gradients_by_hand": [
        WrongAnswer(
            "the scaling missing in A",
            _gradients(A="(G2 @ B).T @ x2"),
            "scaling is missing in grad_A",
        ),
        WrongAnswer(
            "the scaling missing in B",
            _gradients(B="G2.T @ (x2 @ A.T)"),
            "scaling is missing in grad_B",
        ),
        WrongAnswer(
            "the scaling twice",
            _gradients(A="s * s * (G2 @ B).T @ x2"),
            "twice in grad_A",
        ),
        WrongAnswer(
            "a mean over all rows",
            _gradients(B="s * G2.T @ (x2 @ A.T) / len(x2)"),
            "mean over the rows",
        ),
        WrongAnswer(
            "a mean over the batch",
            _gradients(A="s * (G2 @ B).T @ x2 / len(x)"),
            "mean over the batch",
        ),
        WrongAnswer(
            "one of them forgotten",
            _gradients(returned="None, grad_B, grad_x"),
            "not a tensor",
        ),
        WrongAnswer(
            "A and B exchanged",
            _gradients(returned="grad_B, grad_A, grad_x"),
            "exchanged",
        ),
        WrongAnswer(
            "transposed",
            _gradients(A="s * x2.T @ G2 @ B"),
            "grad_A must have the shape of A: (3, 31)",
        ),
        WrongAnswer(
            "one for each item of the batch",
            _gradients(B="s * G.transpose(1, 2) @ (x @ A.T)"),
            "Sum over the batch too",
        ),
        WrongAnswer(
            "A's gradient taken for zero",
            _gradients(A="torch.zeros_like(A)"),
            "because B is zero then",
        ),
        WrongAnswer(
            "no way through W",
            _gradients(x="s * G @ B @ A"),
            "lacks the way through W",
        ),
        WrongAnswer(
            "no way through the branch",
            _gradients(x="G @ W"),
            "lacks the way through the branch",
        ),
        WrongAnswer(
            "asks autograd",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    x, A, B = (t.clone().requires_grad_() for t in (x, A, B))
    y = x @ W.T + scaling * (x @ A.T @ B.T)
    return torch.autograd.grad(y, (A, B, x), G)
""",
            "come from autograd",
        ),
        WrongAnswer(
            "asks autograd, in a mode of its own",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    with torch.inference_mode(False), torch.enable_grad():
        x, A, B = (t.clone().requires_grad_() for t in (x, A, B))
        (x @ W.T + scaling * (x @ A.T @ B.T)).backward(G)
    return A.grad, B.grad, x.grad
""",
            "come from autograd",
        ),
        WrongAnswer(
            "asks torch.func.vjp",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    forward = lambda A, B, x: x @ W.T + scaling * (x @ A.T @ B.T)
    return torch.func.vjp(forward, A, B, x)[1](G)
""",
            "come from autograd",
        ),
        WrongAnswer(
            "asks torch.func.grad",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    score = lambda A, B, x: (G * (x @ W.T + scaling * (x @ A.T @ B.T))).sum()
    return torch.func.grad(score, argnums=(0, 1, 2))(A, B, x)
""",
            "come from autograd",
        ),
        WrongAnswer(
            "asks torch.func.jacfwd",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    import warnings
    score = lambda A, B, x: (G * (x @ W.T + scaling * (x @ A.T @ B.T))).sum()
    with warnings.catch_warnings(action="ignore"):  # of PyTorch to itself
        return torch.func.jacfwd(score, argnums=(0, 1, 2))(A, B, x)
""",
            "come from autograd",
        ),
    ],
    "inject": [
        WrongAnswer(
            "a local name",
            _inject(replace="module = make(module)"),
            "local name",
        ),
        WrongAnswer(
            "the top level only",
            _inject(walk="list(model.named_children())"),
            "layers.0.attn.q_proj was not replaced",
        ),
        WrongAnswer(
            "freezes afterwards",
            _inject(before="pass", after="model.requires_grad_(False)"),
            "frozen too",
        ),
        WrongAnswer("freezes nothing", _inject(before="pass"), "still trains"),
        WrongAnswer(
            "a second run freezes the adapters",
            _inject(before="model.requires_grad_(False)"),
            "freezes the adapters too",
        ),
        WrongAnswer(
            "matches a part of the name",
            _inject("any(n in name for n in names) and isinstance(module, torch.nn.Linear)"),
            "last part of its name must equal",
        ),
        WrongAnswer(
            "matches the end without the dot",
            _inject("name.endswith(tuple(names)) and isinstance(module, torch.nn.Linear)"),
            "last part of its name must equal",
        ),
        WrongAnswer(
            "LoRA inside LoRA",
            _inject("set(name.split('.')) & set(names) and isinstance(module, torch.nn.Linear)"),
            "LoRA inside LoRA",
        ),
        WrongAnswer("any kind of layer", _inject("last in names"), "has a target's name"),
        WrongAnswer("returns the last parts", _inject(returned="names"), "full names"),
        WrongAnswer(
            "sets the attribute on the model",
            _inject(replace="setattr(model, last, make(module))"),
            "the layer's own parent",
        ),
        WrongAnswer(
            "sets the full name on the model",
            _inject(replace="setattr(model, name, make(module))"),
            "setattr with the full name",
        ),
        WrongAnswer(
            "freezes the replaced layers only",
            _inject(
                before="pass",
                replace="module.requires_grad_(False); "
                "setattr(model.get_submodule(parent), last, make(module))",
            ),
            "still trains",
        ),
    ],
    "overlap": [
        WrongAnswer(
            "not squared",
            _overlap(f"{_COSINES}.norm().item() / min(i, j)"),
            "not squared",
        ),
        WrongAnswer(
            "divided by the larger",
            _overlap(f"{_COSINES}.square().sum().item() / max(i, j)"),
            "max(i, j)",
        ),
        WrongAnswer(
            "a mean over all pairs",
            _overlap(f"{_COSINES}.square().mean().item()"),
            "i * j",
        ),
        WrongAnswer(
            "not divided",
            _overlap(f"{_COSINES}.square().sum().item()"),
            "division by min(i, j) is missing",
        ),
        WrongAnswer(
            "i and j exchanged",
            _overlap("(Vh[:j] @ Qh[:i].T).square().sum().item() / min(i, j)"),
            "exchanged",
        ),
        WrongAnswer(
            "left-singular vectors",
            _overlap("(U[:, :i].T @ P[:, :j]).square().sum().item() / min(i, j)"),
            "left-singular",
        ),
        WrongAnswer(
            "columns of Vh",
            _overlap("(Vh[:, :i].T @ Qh[:, :j]).square().sum().item() / min(i, j)"),
            "columns of Vh",
        ),
        WrongAnswer(
            "the last vectors",
            _overlap("(Vh[-i:] @ Qh[-j:].T).square().sum().item() / min(i, j)"),
            "last singular vectors",
        ),
        WrongAnswer(
            "vectors of equal number only",
            _overlap(f"{_COSINES}.diagonal().square().sum().item() / min(i, j)"),
            "equal number",
        ),
        WrongAnswer(
            "rows of the matrices",
            _overlap("(M[:i] @ N[:j].T).square().sum().item() / min(i, j)"),
            "rows of the matrices themselves",
        ),
        WrongAnswer(
            "all vectors",
            _overlap("(Vh @ Qh.T).square().sum().item() / min(i, j)"),
            "All vectors were compared",
        ),
        WrongAnswer(
            "the smaller number of both",
            _overlap("(Vh[:min(i, j)] @ Qh[:min(i, j)].T).square().sum().item() / min(i, j)"),
            "same number was taken of both",
        ),
        WrongAnswer(
            "one vector of each",
            _overlap("(Vh[i] @ Qh[j]).square().item() / min(i, j)"),
            "Vh[i] is one vector",
        ),
        WrongAnswer(
            "with the singular values",
            _overlap(
                "((S[:i, None] * Vh[:i]) @ (T[:j, None] * Qh[:j]).T).square().sum().item() "
                "/ min(i, j)"
            ),
            "by their singular values",
        ),
        WrongAnswer(
            "the spectral norm",
            _overlap(f"torch.linalg.matrix_norm({_COSINES}, 2).square().item() / min(i, j)"),
            "spectral norm",
        ),
        WrongAnswer(
            "columns of the whole Vh",
            """
def overlap(M, N, i, j):
    Vh, Qh = torch.linalg.svd(M).Vh, torch.linalg.svd(N).Vh
    return (Vh[:, :i].T @ Qh[:, :j]).square().sum().item() / min(i, j)
""",
            "full_matrices=False",
        ),
    ],
}

# The numbers of self-study.
WRONG["my_gradients"] = wrong_numbers(
    "my_gradients",
    {
        "no scaling": ("116, 910", "scaling alpha / r is missing"),
        "alpha for alpha / r": ("1_276, 10_010", "not alpha"),
        "A has no gradient": ("0, 5_005", "zero only while B is"),
        "a row of B for its column": ("715, 5_005", "B's columns"),
        "a column of A for its row": ("638, 2_079", "row 0 of A"),
        "the wrong row of B": ("638, 715", "entry [0][0]"),
        "the wrong column of B": ("638, 2_156", "entry [1][1]"),
        "A's row and column exchanged": ("1_584, 5_005", "entry [1][0] of A's"),
        "B's row and column exchanged": ("638, 308", "entry [0][1] of B's"),
        "no scaling in the first": ("116, 5_005", "missing in the first"),
        "no scaling in the second": ("638, 910", "missing in the second"),
        "one number": ("638", "Return 2 numbers"),
        "another student's": ("640, 5_005", "first number is not the answer to your numbers"),
    },
)

for name, more in FRESH.items():
    WRONG.setdefault(name, []).extend(more)

WRONG = joined(WRONG, afresh("02"))
