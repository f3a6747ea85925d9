"""Wrong answers to lesson 02, written without a look at what its checks draw."""
# ruff: noqa: E501

from . import WrongAnswer

FRESH = {
    "start_factors": [
        WrongAnswer(
            "fresh: clamped normal",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = (torch.randn(r, i, generator=gen) * b).clamp(-b, b)
    return (A, torch.zeros(o, r))
""",
            "/sqrt(in), and too many are at the ends: draw them uniform",
        ),
        WrongAnswer(
            "fresh: randint grid",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = torch.randint(-1, 2, (r, i), generator=gen) * b
    return (A, torch.zeros(o, r))
""",
            "/sqrt(in), and too many are at the ends: draw them uniform",
        ),
        WrongAnswer(
            "fresh: row tiled",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return ((torch.rand(1, i, generator=gen) * 2 - 1).mul(b).repeat(r, 1), torch.zeros(o, r))
""",
            "Two rows of A are alike: draw each of its r x in numbers by",
        ),
        WrongAnswer(
            "fresh: column tiled",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return ((torch.rand(r, 1, generator=gen) * 2 - 1).mul(b).repeat(1, i), torch.zeros(o, r))
""",
            "Two rows of A are alike: draw each of its r x in numbers by",
        ),
        WrongAnswer(
            "fresh: own gen from seed",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    q = torch.Generator().manual_seed(gen.initial_seed())
    return (torch.empty(r, i).uniform_(-b, b, generator=q), torch.zeros(o, r))
""",
            "Two layers drawn from one generator got the same A: draw",
        ),
        WrongAnswer(
            "fresh: gen reset",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    gen.manual_seed(0)
    return (torch.empty(r, i).uniform_(-b, b, generator=gen), torch.zeros(o, r))
""",
            "Another seed gave the same A: draw from the generator",
        ),
        WrongAnswer(
            "fresh: global",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.empty(r, i).uniform_(-b, b), torch.zeros(o, r))
""",
            "The same seed gave another A: draw from the generator `gen`",
        ),
        WrongAnswer(
            "fresh: orthogonal-ish",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = torch.randn(r, i, generator=gen)
    A = A / A.norm(dim=1, keepdim=True)
    return (A, torch.zeros(o, r))
""",
            "1/sqrt(in) is the bound of the uniform draw, not a standard",
        ),
        WrongAnswer(
            "fresh: xavier",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = torch.empty(r, i)
    torch.nn.init.xavier_uniform_(A, generator=gen)
    return (A, torch.zeros(o, r))
""",
            "",
        ),
        WrongAnswer(
            "fresh: kaiming a=0",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = torch.empty(r, i)
    torch.nn.init.kaiming_uniform_(A, generator=gen)
    return (A, torch.zeros(o, r))
""",
            "A is 2.45 times too wide: that is Kaiming with a = 0. Use a",
        ),
        WrongAnswer(
            "fresh: fan_out",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = torch.empty(r, i)
    torch.nn.init.kaiming_uniform_(A, a=5 ** 0.5, mode='fan_out', generator=gen)
    return (A, torch.zeros(o, r))
""",
            "The bound is 1/sqrt(r). A's inputs are in_features:",
        ),
        WrongAnswer(
            "fresh: gaussian 1/r",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.randn(r, i, generator=gen) / r, torch.zeros(o, r))
""",
            "This is PEFT's Gaussian, of width 1/r. Draw uniform in",
        ),
        WrongAnswer(
            "fresh: 0..b",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.rand(r, i, generator=gen) * b, torch.zeros(o, r))
""",
            "A has no negative numbers: rand gives 0 to 1, and it should",
        ),
        WrongAnswer(
            "fresh: half",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.empty(r, i).uniform_(-b, b, generator=gen).half(), torch.zeros(o, r).half())
""",
            "The spread is right but numbers lie beyond 1/sqrt(in): draw",
        ),
        WrongAnswer(
            "fresh: order",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.zeros(o, r), torch.empty(r, i).uniform_(-b, b, generator=gen))
""",
            "A and B are the wrong way round: A is (r, in), B is (out,",
        ),
        WrongAnswer(
            "fresh: B tiny",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.empty(r, i).uniform_(-b, b, generator=gen), torch.rand(o, r, generator=gen) * 1e-09)
""",
            "B is not zero: B A would change the layer before the first",
        ),
        WrongAnswer(
            "fresh: A.T",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.empty(r, i).uniform_(-b, b, generator=gen).T, torch.zeros(o, r))
""",
            "A factor is transposed: A is (r, in), B is (out, r); got",
        ),
        WrongAnswer(
            "fresh: dict",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return {'A': torch.empty(r, i).uniform_(-b, b, generator=gen), 'B': torch.zeros(o, r)}
""",
            "Return two tensors, (A, B).",
        ),
        WrongAnswer(
            "fresh: squeezes",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.empty(r, i).uniform_(-b, b, generator=gen).squeeze(), torch.zeros(o, r))
""",
            "A must be (r, in) = (1, 5), B (out, r) = (3, 1); got ((5,),",
        ),
        WrongAnswer(
            "fresh: sin",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.sin(torch.empty(r, i).uniform_(-b, b, generator=gen) * 3.14 / b / 2) * b, torch.zeros(o, r))
""",
            "/sqrt(in), and too many are at the ends: draw them uniform",
        ),
        WrongAnswer(
            "fresh: min(r,i)",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    r = min(r, i, o)
    return (torch.empty(r, i).uniform_(-b, b, generator=gen), torch.zeros(o, r))
""",
            "A must be (r, in) = (7, 2), B (out, r) = (4, 7); got ((2,",
        ),
        WrongAnswer(
            "fresh: cube",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return ((torch.rand(r, i, generator=gen) * 2 - 1) ** 3 * b, torch.zeros(o, r))
""",
            "/sqrt(in), and too many are in the middle: draw them uniform",
        ),
        WrongAnswer(
            "fresh: linspace perm",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.linspace(-b, b, i)[torch.randperm(i, generator=gen)].repeat(r, 1), torch.zeros(o, r))
""",
            "Two rows of A are alike: draw each of its r x in numbers by",
        ),
        WrongAnswer(
            "fresh: B empty",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = torch.empty(r, i).uniform_(-b, b, generator=gen)
    return (A, torch.empty(o, r))
""",
            "B is not zero: B A would change the layer before the first",
        ),
        WrongAnswer(
            "fresh: Parameter no draw",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = torch.nn.Linear(i, r, bias=False).weight
    return (A.detach(), torch.zeros(o, r))
""",
            "The same seed gave another A: draw from the generator `gen`",
        ),
        WrongAnswer(
            "fresh: float64 out",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.empty(r, i).uniform_(-b, b, generator=gen).double(), torch.zeros(o, r))
""",
            "Both in float32, PyTorch's default; got torch.float64 and",
        ),
        WrongAnswer(
            "fresh: truncated normal",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = torch.empty(r, i)
    torch.nn.init.trunc_normal_(A, std=b / 3 ** 0.5, a=-b, b=b, generator=gen)
    return (A, torch.zeros(o, r))
""",
            "/sqrt(in), and too many are in the middle: draw them uniform",
        ),
        WrongAnswer(
            "fresh: bound sqrt3",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    b *= 3 ** 0.5
    return (torch.empty(r, i).uniform_(-b, b, generator=gen), torch.zeros(o, r))
""",
            "1/sqrt(in) is the bound of the uniform draw, not a standard",
        ),
        WrongAnswer(
            "fresh: grid",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    A = torch.randint(-4, 5, (r, i), generator=gen) / 4 * b
    return (A, torch.zeros(o, r))
""",
            "/sqrt(in), and too many are at the ends: draw them uniform",
        ),
        WrongAnswer(
            "fresh: B ones",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.empty(r, i).uniform_(-b, b, generator=gen), torch.ones(o, r))
""",
            "B is not zero: B A would change the layer before the first",
        ),
        WrongAnswer(
            "fresh: sorted",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.empty(r, i).uniform_(-b, b, generator=gen).sort(1).values, torch.zeros(o, r))
""",
            "Two rows of A are alike: draw each of its r x in numbers by",
        ),
        WrongAnswer(
            "fresh: A zero",
            """
def start_factors(in_features, out_features, r, gen):
    i, o = (in_features, out_features)
    b = i ** (-0.5)
    return (torch.zeros(r, i), torch.empty(o, r).uniform_(-b, b, generator=gen))
""",
            "A is zero and B random. It could work, but LoRA has A",
        ),
    ],
    "forward_with_branch": [
        WrongAnswer(
            "fresh: int alpha//",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + alpha // len(A) * (x @ A.T @ B.T)
""",
            "alpha // r drops the fraction. Divide with /.",
        ),
        WrongAnswer(
            "fresh: needs bias",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return x @ linear.weight.T + linear.bias + s * (x @ A.T @ B.T)
""",
            "Your code raised TypeError: unsupported operand type(s) for",
        ),
        WrongAnswer(
            "fresh: bias ignored",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return x @ linear.weight.T + s * (x @ A.T @ B.T)
""",
            "The bias is missing: call linear(x), or add linear.bias.",
        ),
        WrongAnswer(
            "fresh: x detached in branch",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * (x.detach() @ A.T @ B.T)
""",
            "No gradient flows through the branch to the layer below: is",
        ),
        WrongAnswer(
            "fresh: base detached",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x).detach() + s * (x @ A.T @ B.T)
""",
            "No gradient flows through W to the layer below: is W's",
        ),
        WrongAnswer(
            "fresh: base no_grad",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    with torch.no_grad():
        base = linear(x)
    return base + s * (x @ A.T @ B.T)
""",
            "No gradient flows through W to the layer below: is W's",
        ),
        WrongAnswer(
            "fresh: A detached",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * (x @ A.detach().T @ B.T)
""",
            "A or B gets no gradient in backward: use A and B as they",
        ),
        WrongAnswer(
            "fresh: B.data",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * (x @ A.T @ B.data.T)
""",
            "A or B gets no gradient in backward: use A and B as they",
        ),
        WrongAnswer(
            "fresh: merge into W",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    with torch.no_grad():
        linear.weight += s * B @ A
    return linear(x)
""",
            "The branch is missing: this is linear(x) alone.",
        ),
        WrongAnswer(
            "fresh: BA via einsum",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * x @ torch.einsum('or,ri->io', B, A)
""",
            "The numbers are right, but B A was formed, a matrix as",
        ),
        WrongAnswer(
            "fresh: outer sum",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * x @ sum((torch.outer(A[k], B[:, k]) for k in range(len(A))))
""",
            "The numbers are right, but B A was formed, a matrix as",
        ),
        WrongAnswer(
            "fresh: merged weight",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return torch.nn.functional.linear(x, linear.weight + s * B @ A, linear.bias)
""",
            "The numbers are right, but B A was formed, a matrix as",
        ),
        WrongAnswer(
            "fresh: in place",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    y = linear(x)
    x *= s
    return y + x @ A.T @ B.T
""",
            "Your code changes `x` itself, which it was given. Make a",
        ),
        WrongAnswer(
            "fresh: flat",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    X = x.reshape(-1, x.shape[-1])
    return linear(X) + s * (X @ A.T @ B.T)
""",
            "The shape must be (2, 5, 23); got (10, 23).",
        ),
        WrongAnswer(
            "fresh: bmm",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * torch.bmm(torch.bmm(x, A.T.expand(len(x), -1, -1)), B.T.expand(len(x), -1, -1))
""",
            "Your code raised RuntimeError: batch1 must be a 3D tensor.",
        ),
        WrongAnswer(
            "fresh: loop over batch",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return torch.stack([linear(t) + s * (B @ (A @ t)) for t in x])
""",
            "Right for x of shape (batch, in), but it fails for (batch,",
        ),
        WrongAnswer(
            "fresh: alpha/in",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + alpha / A.shape[1] * (x @ A.T @ B.T)
""",
            "alpha was divided by in_features. r is the number of A's",
        ),
        WrongAnswer(
            "fresh: sqrt",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + alpha / len(A) ** 0.5 * (x @ A.T @ B.T)
""",
            "alpha was divided by sqrt(r). Here it is divided by r",
        ),
        WrongAnswer(
            "fresh: relu",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * (torch.relu(x @ A.T) @ B.T)
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: float",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x.float()) + s * (x.float() @ A.float().T @ B.float().T)
""",
            "Your code raised RuntimeError: expected m1 and m2 to have",
        ),
        WrongAnswer(
            "fresh: eval+freeze",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    linear.requires_grad_(False)
    return linear(x) + s * (x @ A.T @ B.T)
""",
            "`linear.weight.requires_grad` is False after the call;",
        ),
        WrongAnswer(
            "fresh: dropout",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * (torch.nn.functional.dropout(x, 0.1) @ A.T @ B.T)
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: tuple",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return (linear(x), s * (x @ A.T @ B.T))
""",
            "Return a tensor; got tuple.",
        ),
        WrongAnswer(
            "fresh: scale x",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(s * x) + s * x @ A.T @ B.T
""",
            "x is scaled for both: the scaling belongs to the branch",
        ),
        WrongAnswer(
            "fresh: squeeze",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return (linear(x) + s * (x @ A.T @ B.T)).squeeze()
""",
            "The shape must be (1, 1, 23); got (23,).",
        ),
        WrongAnswer(
            "fresh: mean sub",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    y = linear(x) + s * (x @ A.T @ B.T)
    return y - y.mean() * 0.001
""",
            "Nearly right: was it rounded, computed in a lower",
        ),
        WrongAnswer(
            "fresh: half",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * (x.half() @ A.T.half() @ B.T.half()).to(x.dtype)
""",
            "times x A^T B^T. The scaling alpha / r is",
        ),
        WrongAnswer(
            "fresh: requires_grad on A",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    A.requires_grad_(True)
    return linear(x) + s * (x @ A.T @ B.T)
""",
            "`A.requires_grad` is True after the call; before it was",
        ),
        WrongAnswer(
            "fresh: scaled bias",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * (linear.bias if linear.bias is not None else 0) + s * (x @ A.T @ B.T)
""",
            "The branch has the linear's bias, scaled: it has none.",
        ),
        WrongAnswer(
            "fresh: only last token",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    y = linear(x)
    y[..., -1:, :] += 0
    return y + s * (x[..., :1] @ A.T[:1] @ B.T)
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: B A x wrong order",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + s * (x @ B @ A)
""",
            "Your code raised RuntimeError: mat1 and mat2 shapes cannot",
        ),
        WrongAnswer(
            "fresh: inference",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    with torch.inference_mode():
        return linear(x) + s * (x @ A.T @ B.T)
""",
            "The output carries no gradient at all: is all of forward",
        ),
        WrongAnswer(
            "fresh: r*alpha",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return linear(x) + alpha * len(A) * (x @ A.T @ B.T)
""",
            "The branch is multiplied by alpha * r: it is alpha / r.",
        ),
        WrongAnswer(
            "fresh: activation",
            """
def forward_with_branch(x, linear, A, B, alpha):
    s = alpha / len(A)
    return torch.tanh(linear(x) + s * (x @ A.T @ B.T))
""",
            "Expected",
        ),
    ],
    "AdaptedLinear": [
        WrongAnswer(
            "fresh: bias.requires_grad",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.weight.requires_grad = False
        linear.bias.requires_grad = False
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "Your code raised AttributeError: 'NoneType' object has no",
        ),
        WrongAnswer(
            "fresh: cached delta",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        self.delta = self.B @ self.A

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.delta.T)
""",
            "The branch is missing: this is linear(x) alone.",
        ),
        WrongAnswer(
            "fresh: cached views",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        self.AT, self.BT = (self.A.T, self.B.T)

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.AT @ self.BT)
""",
            "forward must use self.A and self.B as they are when it is",
        ),
        WrongAnswer(
            "fresh: cached data views",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        self.BT = self.B.data.T

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.BT)
""",
            "A or B gets no gradient in backward: use A and B as they",
        ),
        WrongAnswer(
            "fresh: no_grad base",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        with torch.no_grad():
            y = self.linear(x)
        return y + self.s * (x @ self.A.T @ self.B.T)
""",
            "No gradient flows through W to the layer below: is W's",
        ),
        WrongAnswer(
            "fresh: float32",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "W is float64 here and A or B is not: give both the dtype of",
        ),
        WrongAnswer(
            "fresh: float64",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features).uniform_(-b, b, generator=gen).double())
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r).double())
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "Your code raised RuntimeError: expected m1 and m2 to have",
        ),
        WrongAnswer(
            "fresh: upcasts output",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x).float() + self.s * (x.float() @ self.A.float().T @ self.B.float().T)
""",
            "x is torch.float64 and the output torch.float32: keep the",
        ),
        WrongAnswer(
            "fresh: eval merges",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + (self.s * (x @ self.A.T @ self.B.T) if self.training else 0)
""",
            "forward must use self.A and self.B as they are when it is",
        ),
        WrongAnswer(
            "fresh: x clone linear",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = torch.nn.Linear(linear.in_features, linear.out_features)
        self.linear.weight = linear.weight
        self.linear.bias = linear.bias
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "The given linear is not part of the module: keep it, as",
        ),
        WrongAnswer(
            "fresh: not a part",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.__dict__['linear'] = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "The given linear is not part of the module: keep it, as",
        ),
        WrongAnswer(
            "fresh: alpha//r",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha // r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "alpha // r drops the fraction. Divide with /.",
        ),
        WrongAnswer(
            "fresh: s trains",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = torch.nn.Parameter(torch.tensor(alpha / r))
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "Only A and B should train; these do: s, A, B.",
        ),
        WrongAnswer(
            "fresh: bias trains",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.weight.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "The bias still trains: freeze the whole linear, not its",
        ),
        WrongAnswer(
            "fresh: extra bias",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        self.b = torch.nn.Parameter(torch.zeros(linear.out_features))

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "Only A and B should train; these do: A, B, b.",
        ),
        WrongAnswer(
            "fresh: seeded",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        gen = torch.Generator().manual_seed(0)
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "Another seed gave the same A: draw from the generator",
        ),
        WrongAnswer(
            "fresh: normal",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.randn(r, linear.in_features, generator=gen, dtype=W.dtype) * b / 3 ** 0.5)
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "self.A is not uniform within 1/sqrt(in) of zero: start it",
        ),
        WrongAnswer(
            "fresh: one row",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter((torch.rand(1, linear.in_features, generator=gen, dtype=W.dtype) * 2 - 1).mul(b).repeat(r, 1))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "self.A is not uniform within 1/sqrt(in) of zero: start it",
        ),
        WrongAnswer(
            "fresh: W.data cloned",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        self.W0 = linear.weight.detach().clone()

    def forward(self, x):
        return x @ self.W0.T + (0 if self.linear.bias is None else self.linear.bias) + self.s * (x @ self.A.T @ self.B.T)
""",
            "forward uses a copy of W: use self.linear itself, its W may",
        ),
        WrongAnswer(
            "fresh: linear zeroed",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        linear.weight.data.mul_(1.0001)

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "Nearly right: was it rounded, computed in a lower",
        ),
        WrongAnswer(
            "fresh: 2-d only",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * torch.mm(torch.mm(x.reshape(-1, x.shape[-1]), self.A.T), self.B.T)
""",
            "Your code raised RuntimeError: The size of tensor a (5)",
        ),
        WrongAnswer(
            "fresh: hook",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        b = linear.in_features ** (-0.5)
        W = linear.weight
        self.linear = linear.requires_grad_(False)
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        linear.register_forward_hook(lambda m, i, o: o + alpha / r * (i[0] @ self.A.T @ self.B.T))

    def forward(self, x):
        return self.linear(x)
""",
            "A hook is left on `linear`. Keep the handle,",
        ),
        WrongAnswer(
            "fresh: B empty",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.empty(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "Start with A random and B zero, as in exercise 2.1.",
        ),
        WrongAnswer(
            "fresh: in place x",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        y = self.linear(x)
        x *= self.s
        return y + x @ self.A.T @ self.B.T
""",
            "Your code changes `x` itself, which it was given. Make a",
        ),
        WrongAnswer(
            "fresh: new param frozen",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.weight = torch.nn.Parameter(linear.weight.data, requires_grad=False)
        linear.bias = None if linear.bias is None else torch.nn.Parameter(linear.bias.data, requires_grad=False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "`linear.weight` is another object after the call. An",
        ),
        WrongAnswer(
            "fresh: casts linear",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        linear.float()
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "W is float64 here and A or B is not: give both the dtype of",
        ),
        WrongAnswer(
            "fresh: B.T shape",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(r, linear.out_features, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B)
""",
            "A factor is transposed: A is (r, in), B is (out, r); got",
        ),
        WrongAnswer(
            "fresh: detach h",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * ((x @ self.A.T).detach() @ self.B.T)
""",
            "No gradient flows through the branch to the layer below: is",
        ),
        WrongAnswer(
            "fresh: ModuleList",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = [linear]
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear[0](x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "The given linear is not part of the module: keep it, as",
        ),
        WrongAnswer(
            "fresh: global seed",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "The same seed gave another A: draw from the generator `gen`",
        ),
        WrongAnswer(
            "fresh: double branch",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + 2 * self.s * (x @ self.A.T @ self.B.T)
""",
            "The branch is added twice.",
        ),
        WrongAnswer(
            "fresh: returns branch before init",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T) + 0.001
""",
            "Nearly right: was it rounded, computed in a lower",
        ),
        WrongAnswer(
            "fresh: no base bias",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        pass

    def forward(self, x):
        return x @ self.linear.weight.T + self.s * (x @ self.A.T @ self.B.T)
""",
            "The bias is missing: call self.linear(x).",
        ),
        WrongAnswer(
            "fresh: retain grad buffer",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        linear.weight.grad = torch.zeros_like(linear.weight)

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "Your code changes `linear.weight.grad`. Leave gradients as they were.",
        ),
        WrongAnswer(
            "fresh: train mode flips",
            """
class AdaptedLinear(torch.nn.Module):

    def __init__(self, linear, r, alpha, gen):
        super().__init__()
        pass
        linear.requires_grad_(False)
        self.linear = linear
        W = linear.weight
        b = linear.in_features ** (-0.5)
        self.s = alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, linear.in_features, dtype=W.dtype).uniform_(-b, b, generator=gen))
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=W.dtype))
        linear.eval()

    def forward(self, x):
        return self.linear(x) + self.s * (x @ self.A.T @ self.B.T)
""",
            "`linear` is left in eval mode, and it was in train mode.",
        ),
    ],
    "gradients_by_hand": [
        WrongAnswer(
            "fresh: hard coded 2x5",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X / (len(X) / 10), s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
            "The result is 10 times what is expected, in grad_A, for x",
        ),
        WrongAnswer(
            "fresh: sum only batch",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * G[0].T @ (x[0] @ A.T), G @ W + s * G @ B @ A)
""",
            "grad_B is of the first item alone. Sum over the batch.",
        ),
        WrongAnswer(
            "fresh: s missing in x",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T), G @ W + G @ B @ A)
""",
            "The scaling is missing in grad_x: it belongs to the branch.",
        ),
        WrongAnswer(
            "fresh: W.T",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T), G @ W.T + s * G @ B @ A)
""",
            "Your code raised RuntimeError: mat1 and mat2 shapes cannot",
        ),
        WrongAnswer(
            "fresh: minus",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (-s * (g @ B).T @ X, s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
            "grad_A has the wrong sign: a gradient points uphill.",
        ),
        WrongAnswer(
            "fresh: zero A",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (torch.zeros_like(A), s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
            "grad_A is zero. It is so at the first step alone, for A,",
        ),
        WrongAnswer(
            "fresh: flattened x",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T), g @ W + s * g @ B @ A)
""",
            "grad_x must have the shape of x: (2, 5, 31); got (10, 31).",
        ),
        WrongAnswer(
            "fresh: mean rows",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T) / len(X), G @ W + s * G @ B @ A)
""",
            "grad_B is a mean over the rows of the batch. Sum them: the",
        ),
        WrongAnswer(
            "fresh: A.T",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return ((s * (g @ B).T @ X).T, s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
            "grad_A must have the shape of A: (3, 31); got (31, 3).",
        ),
        WrongAnswer(
            "fresh: autograd",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    x, A, B = (t.clone().requires_grad_() for t in (x, A, B))
    y = x @ W.T + scaling * (x @ A.T @ B.T)
    return torch.autograd.grad(y, (A, B, x), G)[0:3]
""",
            "The gradients come from autograd here: write the products",
        ),
        WrongAnswer(
            "fresh: in place",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    G *= s
    s = 1
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X.mul_(1.0), s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
            "Your code changes `G` itself, which it was given. Make a",
        ),
        WrongAnswer(
            "fresh: float32 out",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return ((s * (g @ B).T @ X).float(), (s * g.T @ (X @ A.T)).float(), G @ W + s * G @ B @ A)
""",
            "`x` is torch.float64 and the result is torch.float32: it",
        ),
        WrongAnswer(
            "fresh: s**2 x",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T), G @ W + s * s * G @ B @ A)
""",
            "The scaling is in grad_x twice.",
        ),
        WrongAnswer(
            "fresh: only branch",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T), s * G @ B @ A)
""",
            "grad_x lacks the way through W. Frozen is not no_grad: G @",
        ),
        WrongAnswer(
            "fresh: max token",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g[:5].T @ (X[:5] @ A.T), G @ W + s * G @ B @ A)
""",
            "grad_B is of the first item alone. Sum over the batch.",
        ),
        WrongAnswer(
            "fresh: uses A for B",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T) * 0 + s * g.T @ (X[:, :1] @ A[:, :1].T), G @ W + s * G @ B @ A)
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: generator",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (t for t in (s * (g @ B).T @ X, s * g.T @ (X @ A.T), G @ W + s * G @ B @ A))
""",
            "It returns a generator, which can be read only once: a",
        ),
        WrongAnswer(
            "fresh: two only",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T))
""",
            "Return three tensors: (grad_A, grad_B, grad_x).",
        ),
        WrongAnswer(
            "fresh: order x first",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (G @ W + s * G @ B @ A, s * (g @ B).T @ X, s * g.T @ (X @ A.T))
""",
            "grad_A must have the shape of A: (3, 31); got (2, 5, 31).",
        ),
        WrongAnswer(
            "fresh: 1/s",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return ((g @ B).T @ X / s, s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
            "grad_A is divided by the scaling: multiply by it.",
        ),
        WrongAnswer(
            "fresh: finite float noise",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return ((s * (g @ B).T @ X).half().to(X.dtype), s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
            "Nearly right: was it rounded, computed in a lower",
        ),
        WrongAnswer(
            "fresh: x grad view flat",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T), (G @ W + s * G @ B @ A).flatten(0, 1))
""",
            "grad_x must have the shape of x: (2, 5, 31); got (10, 31).",
        ),
        WrongAnswer(
            "fresh: A uses W",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ W).T[:len(A)] @ X if len(W.T) >= len(A) else 0 * A, s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: B without A",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * (g.T @ X)[:, :len(A)] if X.shape[1] >= len(A) else 0 * B, G @ W + s * G @ B @ A)
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: squared batch",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X * len(x), s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
            "It has batch as a factor once too often, or was not divided by it",
        ),
        WrongAnswer(
            "fresh: transpose reshape",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.transpose(0, 1).reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: numpy",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return tuple((t.numpy() for t in (s * (g @ B).T @ X, s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)))
""",
            "One of (grad_A, grad_B, grad_x) is not a tensor.",
        ),
        WrongAnswer(
            "fresh: int scaling",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = int(scaling)
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T), G @ W + s * G @ B @ A)
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: abs",
            """
def gradients_by_hand(x, G, W, A, B, scaling):
    s = scaling
    X = x.reshape(-1, x.shape[-1])
    g = G.reshape(-1, G.shape[-1])
    return (s * (g @ B).T @ X, s * g.T @ (X @ A.T), (G @ W + s * G @ B @ A).abs())
""",
            "Expected -",
        ),
    ],
    "inject": [
        WrongAnswer(
            "fresh: flag on model",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if getattr(model, '_d', 0):
        return []
    model._d = 1
    model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "A second run with other names, ['up'], must replace",
        ),
        WrongAnswer(
            "fresh: global cache",
            """
DONE = set()

def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if DONE:
        return []
    DONE.add(1)
    model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "A second run with other names, ['up'], must replace",
        ),
        WrongAnswer(
            "fresh: name lora trains",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    [p.requires_grad_('delta' in k or 'lora' in k) for k, p in model.named_parameters()] if t else 0
    return t
""",
            "layers.0.attn.q_proj.lora_fixed trains: make returned it frozen.",
        ),
        WrongAnswer(
            "fresh: make twice",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        make(model.get_submodule(n))
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "make was called 8 times for 4 layers: once for each, or a",
        ),
        WrongAnswer(
            "fresh: eval",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    model.eval()
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            " is left in eval mode, and it was in train mode.",
        ),
        WrongAnswer(
            "fresh: trains all of new",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)).requires_grad_(True))
    pass
    return t
""",
            "layers.0.attn.q_proj.lora_fixed trains: make returned it frozen.",
        ),
        WrongAnswer(
            "fresh: train() on new",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)).train())
    pass
    return t
""",
            "What make returned was changed: leave its mode and its",
        ),
        WrongAnswer(
            "fresh: freezes on every run",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "Run a second time, as a notebook cell is, it freezes the",
        ),
        WrongAnswer(
            "fresh: nothing frozen",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    pass
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "embed.weight still trains: freeze everything but what make",
        ),
        WrongAnswer(
            "fresh: freezes weights only",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    [p.requires_grad_(False) for k, p in model.named_parameters() if k.endswith('weight')] if t else 0
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "layers.0.attn.k_proj.bias still trains: freeze everything",
        ),
        WrongAnswer(
            "fresh: endswith",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and any((n.endswith(k) for k in names))]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "layers.0.attn.old_q_proj was replaced. The last part of its",
        ),
        WrongAnswer(
            "fresh: in any part",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and set(n.split('.')) & set(names)]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "Run a second time, as a notebook cell is, it puts LoRA",
        ),
        WrongAnswer(
            "fresh: last names",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return [n.split('.')[-1] for n in t]
""",
            "Return the full names of the replaced layers,",
        ),
        WrongAnswer(
            "fresh: modules returned",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return [model.get_submodule(n) for n in t]
""",
            "Return the layers' names, as text; got a list of _Adapted.",
        ),
        WrongAnswer(
            "fresh: count",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return len(t)
""",
            "Return the full names of the replaced layers,",
        ),
        WrongAnswer(
            "fresh: dict",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return {n: 1 for n in t}
""",
            "Return the full names of the replaced layers,",
        ),
        WrongAnswer(
            "fresh: root crash",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, l = n.rsplit('.', 1)
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "Your code raised ValueError: not enough values to unpack",
        ),
        WrongAnswer(
            "fresh: skips root",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if '.' in n and isinstance(m, torch.nn.Linear) and (n.split('.')[-1] in names)]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "v_proj was not replaced: it ends in a target, and it is an",
        ),
        WrongAnswer(
            "fresh: needs bias",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m.bias is not None and (n.split('.')[-1] in names)]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "layers.0.attn.v_proj was not replaced: it ends in a target,",
        ),
        WrongAnswer(
            "fresh: first name only",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] == names[0]]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "layers.0.attn.v_proj was not replaced: it ends in a target,",
        ),
        WrongAnswer(
            "fresh: names popped",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    names.clear()
    return t
""",
            "Your code changes the list `names` itself, which it was",
        ),
        WrongAnswer(
            "fresh: copy of linear",
            """
import copy

def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(copy.deepcopy(model.get_submodule(n))))
    pass
    return t
""",
            "layers.0.attn.q_proj wraps another layer than its own: give",
        ),
        WrongAnswer(
            "fresh: all names",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return [n for n, _ in model.named_modules()]
""",
            "Return the full names of the replaced layers,",
        ),
        WrongAnswer(
            "fresh: one make shared",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        k = globals().setdefault('_k', {})
        setattr(model.get_submodule(p), l, k.setdefault(l, None) or k.update({l: make(model.get_submodule(n))}) or k[l])
    pass
    return t
""",
            "layers.1.attn.q_proj was not replaced: it ends in a target,",
        ),
        WrongAnswer(
            "fresh: clears grads",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    model.zero_grad()
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "Your code changes `model.embed.weight.grad`. Leave",
        ),
        WrongAnswer(
            "fresh: grad None",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for p in model.parameters():
        p.grad = None
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "Your code changes `model.embed.weight.grad`. Leave",
        ),
        WrongAnswer(
            "fresh: Linear type name",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if 'Linear' in type(m).__name__ and any((k in n for k in names))]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "make was given a PackedLinear that has a target's name.",
        ),
        WrongAnswer(
            "fresh: depth 3 only",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if n.count('.') == 3 and isinstance(m, torch.nn.Linear) and (n.split('.')[-1] in names)]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return t
""",
            "v_proj was not replaced: it ends in a target, and it is an",
        ),
        WrongAnswer(
            "fresh: prefix model.",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return ['model.' + n for n in t]
""",
            "Return the full names of the replaced layers,",
        ),
        WrongAnswer(
            "fresh: string join",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return ','.join(t)
""",
            "Return the full names of the replaced layers,",
        ),
        WrongAnswer(
            "fresh: generator",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return (n for n in t)
""",
            "It returns a generator, which can be read only once: a",
        ),
        WrongAnswer(
            "fresh: requires grad all A",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    model.requires_grad_(True) if t else 0
    return t
""",
            "embed.weight still trains: freeze everything but what make",
        ),
        WrongAnswer(
            "fresh: set",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    pass
    return set(t)
""",
            "Return the full names of the replaced layers,",
        ),
        WrongAnswer(
            "fresh: half",
            """
def inject(model, names, make):
    t = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n.split('.')[-1] in names]
    if t:
        model.requires_grad_(False)
    for n in t:
        p, _, l = n.rpartition('.')
        setattr(model.get_submodule(p), l, make(model.get_submodule(n)))
    model.half()
    return t
""",
            "Your code changes `model.embed.weight` itself, which it was",
        ),
    ],
    "overlap": [
        WrongAnswer(
            "fresh: same rows assumed",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    D = V @ Q.T if V.shape == Q.shape else C
    return (D[:i, :j] ** 2).sum().item() / max(i, min(i, j))
""",
            "Divided by max(i, j): divide by min(i, j), so that a",
        ),
        WrongAnswer(
            "fresh: by i",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return (C ** 2).sum().item() / i
""",
            "Divided by max(i, j): divide by min(i, j), so that a",
        ),
        WrongAnswer(
            "fresh: by j",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return (C ** 2).sum().item() / j
""",
            "Divided by max(i, j): divide by min(i, j), so that a",
        ),
        WrongAnswer(
            "fresh: abs",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return C.abs().sum().item() / min(i, j)
""",
            "The cosines were not squared one by one before they were",
        ),
        WrongAnswer(
            "fresh: root",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return ((C ** 2).sum() / min(i, j)).sqrt().item()
""",
            "This is the root of φ: leave the squared norm as it is.",
        ),
        WrongAnswer(
            "fresh: max cos",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return C.abs().max().item()
""",
            "This is the largest cosine alone. Add the squares of all.",
        ),
        WrongAnswer(
            "fresh: mean",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return (C ** 2).mean().item()
""",
            "Divided by i * j: divide by min(i, j).",
        ),
        WrongAnswer(
            "fresh: max per row",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return (C ** 2).max(1).values.mean().item()
""",
            "Only",
        ),
        WrongAnswer(
            "fresh: U",
            """
def overlap(M, N, i, j):
    U = torch.linalg.svd(M, full_matrices=False).U
    P = torch.linalg.svd(N, full_matrices=False).U
    return ((U[:, :i].T @ P[:, :j]) ** 2).sum().item() / min(i, j)
""",
            "These are the left-singular vectors, in the space of",
        ),
        WrongAnswer(
            "fresh: no svd",
            """
def overlap(M, N, i, j):
    a = M[:i] / M[:i].norm(dim=1, keepdim=True)
    c = N[:j] / N[:j].norm(dim=1, keepdim=True)
    return ((a @ c.T) ** 2).sum().item() / min(i, j)
""",
            "Rows of the matrices were taken, at length 1. Take their",
        ),
        WrongAnswer(
            "fresh: qr rows",
            """
def overlap(M, N, i, j):
    a = torch.linalg.qr(M[:i].T).Q
    c = torch.linalg.qr(N[:j].T).Q
    return ((a.T @ c) ** 2).sum().item() / min(i, j)
""",
            "The first rows were cut out before the SVD. Cut its Vh.",
        ),
        WrongAnswer(
            "fresh: eigh asc",
            """
def overlap(M, N, i, j):
    a = torch.linalg.eigh(M.T @ M)[1][:, :i]
    c = torch.linalg.eigh(N.T @ N)[1][:, :j]
    return ((a.T @ c) ** 2).sum().item() / min(i, j)
""",
            "eigh returns the smallest eigenvalues first: these",
        ),
        WrongAnswer(
            "fresh: trunc svd first",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M[:i], full_matrices=False).Vh
    Q = torch.linalg.svd(N[:j], full_matrices=False).Vh
    return ((V @ Q.T) ** 2).sum().item() / min(i, j)
""",
            "The first rows were cut out before the SVD. Cut its Vh.",
        ),
        WrongAnswer(
            "fresh: swapped",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    C = V[:j] @ Q[:i].T
    return (C ** 2).sum().item() / min(i, j)
""",
            "i and j are exchanged: the first i vectors of M, the first",
        ),
        WrongAnswer(
            "fresh: tensor matrix",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return C ** 2 / min(i, j)
""",
            "Return one number; got a tensor of shape (2, 5).",
        ),
        WrongAnswer(
            "fresh: clip",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return min(1.0, (C ** 2).sum().item())
""",
            "",
        ),
        WrongAnswer(
            "fresh: minus chance",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return (C ** 2).sum().item() / min(i, j) - max(i, j) / M.shape[1]
""",
            "What chance gives was subtracted: return φ itself.",
        ),
        WrongAnswer(
            "fresh: rounded",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return round((C ** 2).sum().item() / min(i, j), 2)
""",
            "It is rounded to 2 decimals: return the number as it is.",
        ),
        WrongAnswer(
            "fresh: percent",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return 100 * (C ** 2).sum().item() / min(i, j)
""",
            "This is in percent.",
        ),
        WrongAnswer(
            "fresh: in place",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    M.zero_()
    return (C ** 2).sum().item() / min(i, j)
""",
            "Your code changes `M` itself, which it was given. Make a",
        ),
        WrongAnswer(
            "fresh: full vs full",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return ((V @ Q.T) ** 2).sum().item() / min(len(V), len(Q))
""",
            "All directions were compared: cut to the first i and the",
        ),
        WrongAnswer(
            "fresh: trace only",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    k = min(i, j)
    return (torch.diagonal(C) ** 2).sum().item() / k
""",
            "Only vectors of equal number were compared. Compare each of",
        ),
        WrongAnswer(
            "fresh: det",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    k = min(i, j)
    return torch.linalg.det(C[:k, :k]).abs().item()
""",
            "Expected 0.",
        ),
        WrongAnswer(
            "fresh: i only",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:i].T
    return (C ** 2).sum().item() / min(i, j)
""",
            "The same number was taken of both: the first i of M, and",
        ),
        WrongAnswer(
            "fresh: mean of sqrt",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return C.pow(2).sum(1).sqrt().mean().item()
""",
            "Expected 0.",
        ),
        WrongAnswer(
            "fresh: nan for one",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return (C ** 2).sum().item() / (min(i, j) - 1) if min(i, j) > 1 else 0.0
""",
            "The division by min(i, j) is missing.",
        ),
        WrongAnswer(
            "fresh: cov centred",
            """
def overlap(M, N, i, j):
    M, N = (M - M.mean(0), N - N.mean(0))
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return (C ** 2).sum().item() / min(i, j)
""",
            "The rows were centred before the SVD. Take the matrices as they are",
        ),
        WrongAnswer(
            "fresh: needs same rows",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    assert M.shape == N.shape
    return (C ** 2).sum().item() / min(i, j)
""",
            "Your code raised AssertionError.",
        ),
        WrongAnswer(
            "fresh: bool",
            """
def overlap(M, N, i, j):
    V = torch.linalg.svd(M, full_matrices=False).Vh
    Q = torch.linalg.svd(N, full_matrices=False).Vh
    C = V[:i] @ Q[:j].T
    return (C ** 2).sum().item() / min(i, j) > 0.5
""",
            "Return a number; got bool.",
        ),
    ],
}
