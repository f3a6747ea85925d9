"""Wrong answers that learners really give in lesson 13, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers


def _scaling(result: str) -> str:
    return f"def rs_scaling(lora_alpha, r):\n    return {result}\n"


def _dora(V: str = "W + s * B @ A", lengths: str = "V.norm(dim=1).detach()",
          result: str = "(m / lengths)[:, None] * V") -> str:  # fmt: skip
    return f"""
def dora_weight(W, A, B, m, s):
    V = {V}
    lengths = {lengths}
    return {result}
"""


def _pissa(
    part: str = "slice(0, r)",
    root: str = "(S / s).sqrt()",
    B: str = "U * root",
    A: str = "root[:, None] * Vh",
    rest: str = "W - s * B @ A",
    result: str = "rest, A, B",
) -> str:
    return f"""
def pissa(W, r, s):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    part = {part}
    U, S, Vh = U[:, part], S[part], Vh[part]
    root = {root}
    B = {B}
    A = {A}
    rest = {rest}
    return {result}
"""


def _groups(
    asks: str = "p.requires_grad",
    fast: str = '"lora_B" in name',
    groups: str = '[{"params": slow, "lr": lr}, {"params": quick, "lr": ratio * lr}]',
    slow: str = "True",
) -> str:
    return f"""
def loraplus_groups(model, lr, ratio):
    slow, quick = [], []
    for name, p in model.named_parameters():
        if {asks}:
            if {fast}:
                quick.append(p)
            elif {slow}:
                slow.append(p)
    return {groups}
"""


def _loftq(
    start: str = "B = torch.zeros(W.shape[0], r); A = torch.zeros(r, W.shape[1])",
    asked: str = "W - B @ A",
    error: str = "W - Q",
    factors: str = "B, A = U[:, :r] * S[:r], Vh[:r]",
    end: str = "pass",
    turns: str = "range(steps)",
    result: str = "Q, A, B",
) -> str:
    return f"""
def loftq(W, quantize, r, steps):
    {start}
    for turn in {turns}:
        Q = quantize({asked})
        U, S, Vh = torch.linalg.svd({error}, full_matrices=False)
        {factors}
    {end}
    return {result}
"""


WRONG = {
    "rs_scaling": [
        WrongAnswer(
            "returns nothing", "def rs_scaling(lora_alpha, r):\n    pass\n", "It returns None"
        ),
        WrongAnswer("one number", _scaling("lora_alpha / r**0.5"), "two numbers"),
        WrongAnswer("plain scaling", _scaling("lora_alpha / r, lora_alpha * r**0.5"), "plain LoRA"),
        WrongAnswer("times r", _scaling("lora_alpha * r, lora_alpha"), "multiplies by r"),
        WrongAnswer(
            "root of both", _scaling("(lora_alpha / r) ** 0.5, lora_alpha"), "Only r is under it"
        ),
        WrongAnswer("root of alpha", _scaling("lora_alpha**0.5 / r, 1"), "r does not"),
        WrongAnswer("upside down", _scaling("r**0.5 / lora_alpha, 1"), "upside down"),
        WrongAnswer("multiplied", _scaling("lora_alpha * r**0.5, 1"), "Divide"),
        WrongAnswer("without alpha", _scaling("r**-0.5, lora_alpha"), "Where is alpha"),
        WrongAnswer(
            "inverse conversion", _scaling("lora_alpha / r**0.5, lora_alpha / r**0.5"), "other way"
        ),
        WrongAnswer(
            "alpha cut", _scaling("int(lora_alpha) / r**0.5, lora_alpha * r**0.5"), "is cut"
        ),
        WrongAnswer(
            "alpha cut in the second",
            _scaling("lora_alpha / r**0.5, int(lora_alpha) * r**0.5"),
            "is cut",
        ),
        WrongAnswer("same alpha", _scaling("lora_alpha / r**0.5, lora_alpha"), "the same alpha"),
        WrongAnswer("alpha times r", _scaling("lora_alpha / r**0.5, lora_alpha * r"), "too large"),
        WrongAnswer(
            "a scaling again", _scaling("lora_alpha / r**0.5, lora_alpha / r"), "not an alpha"
        ),
    ],
    "dora_weight": [
        WrongAnswer(
            "returns nothing", "def dora_weight(W, A, B, m, s):\n    pass\n", "It returns None"
        ),
        WrongAnswer(
            "columns",
            _dora(lengths="V.norm(dim=0).detach()", result="m[:, None] * V / lengths"),
            "over columns",
        ),
        WrongAnswer("norm of W alone", _dora(lengths="W.norm(dim=1)"), "W alone"),
        WrongAnswer("undivided", _dora(result="m[:, None] * V"), "not divided"),
        WrongAnswer("without m", _dora(result="V / lengths[:, None] + 0 * m[:, None]"), "m is"),
        WrongAnswer("plain LoRA", _dora(result="V + 0 * m[:, None]"), "plain LoRA"),
        WrongAnswer("without s", _dora(V="W + B @ A"), "s is missing"),
        WrongAnswer(
            "only W is scaled",
            _dora(result="(m / lengths)[:, None] * W + s * B @ A"),
            "The update is, too",
        ),
        WrongAnswer("one norm", _dora(lengths="V.norm().detach().expand(len(m))"), "whole matrix"),
        WrongAnswer("squared", _dora(lengths="V.square().sum(1).detach()"), "a root is missing"),
        WrongAnswer("absolute", _dora(lengths="V.abs().sum(1).detach()"), "absolute values"),
        WrongAnswer("not detached", _dora(lengths="V.norm(dim=1)"), "through the norm too"),
        WrongAnswer(
            "all detached",
            _dora(result="((m / lengths)[:, None] * V).detach()"),
            "only the norm is detached",
        ),
        WrongAnswer(
            "V detached", _dora(result="(m / lengths)[:, None] * V.detach()"), "nothing else"
        ),
        WrongAnswer(
            "m made positive", _dora(result="(m.abs() / lengths)[:, None] * V"), "negative m"
        ),
        WrongAnswer("W added to", _dora(V="W.add_(s * B @ A)"), "changes `W` itself"),
        WrongAnswer("m not unsqueezed", _dora(result="m * V / lengths[:, None]"), "size of tensor"),
    ],
    "pissa": [
        WrongAnswer("returns nothing", "def pissa(W, r, s):\n    pass\n", "It returns None"),
        WrongAnswer("rest forgotten", _pissa(result="A, B"), "three tensors"),
        WrongAnswer("W stays whole", _pissa(rest="W.clone()"), "counts its main part twice"),
        WrongAnswer("added", _pissa(rest="W + s * B @ A"), "added to W"),
        WrongAnswer("rest without s", _pissa(rest="W - B @ A"), "without the scaling"),
        WrongAnswer("main part stays", _pissa(rest="s * B @ A"), "main part is what stays"),
        WrongAnswer("without s", _pissa(root="S.sqrt()", rest="W - B @ A"), "s times too much"),
        WrongAnswer("s twice", _pissa(root="S.sqrt() / s"), "divided out twice"),
        WrongAnswer(
            "s in one root", _pissa(root="S.sqrt()", B="U * root / s**0.5"), "once too little"
        ),
        WrongAnswer("smallest", _pissa(part="slice(len(S) - r, None)"), "smallest singular"),
        WrongAnswer(
            "smallest, without s",
            _pissa(part="slice(len(S) - r, None)", root="S.sqrt()"),
            "divide by s",
        ),
        WrongAnswer(
            "root in one", _pissa(A="Vh / s**0.5", B="U * S.sqrt() / s**0.5"), "power of a half"
        ),
        WrongAnswer("squared", _pissa(root="S / s**0.5"), "squares them"),
        WrongAnswer(
            "no values", _pissa(B="U / s**0.5", A="Vh / s**0.5"), "singular values are missing"
        ),
        WrongAnswer("all in B", _pissa(B="U * S / s", A="Vh"), "holds all of S"),
        WrongAnswer("all in A", _pissa(B="U", A="(S / s)[:, None] * Vh"), "holds all of S"),
        WrongAnswer(
            "s in A alone",
            _pissa(B="U * S.sqrt()", A="S.sqrt()[:, None] * Vh / s"),
            "all in A",
        ),
        WrongAnswer(
            "s in B alone",
            _pissa(B="U * S.sqrt() / s", A="S.sqrt()[:, None] * Vh"),
            "all in B",
        ),
        WrongAnswer("A and B swapped", _pissa(result="rest, B, A"), "A must have the shape"),
        WrongAnswer(
            "V not transposed",
            _pissa(A="(root[:, None] * Vh).T", rest="W - s * B @ A.T"),
            "A must have the shape",
        ),
    ],
    "loraplus_groups": [
        WrongAnswer(
            "returns nothing",
            "def loraplus_groups(model, lr, ratio):\n    pass\n",
            "It returns None",
        ),
        WrongAnswer(
            "A faster",
            _groups(groups='[{"params": slow, "lr": ratio * lr}, {"params": quick, "lr": lr}]'),
            "A has the fast rate",
        ),
        WrongAnswer("any B", _groups(fast='"B" in name'), "Ask for all of that"),
        WrongAnswer("any _B", _groups(fast='"_B" in name'), "Ask for all of that"),
        WrongAnswer("any b", _groups(fast='"b" in name.lower()'), "Ask for all of that"),
        WrongAnswer("finds A", _groups(fast='"lora_A" in name'), "A has the fast rate"),
        WrongAnswer("frozen in", _groups(asks="True"), "is frozen"),
        WrongAnswer(
            "magnitudes lost", _groups(slow='"lora_A" in name or "score" in name'), "magnitude"
        ),
        WrongAnswer(
            "only A and B", _groups(slow='"magnitude" in name or "lora_A" in name'), "score"
        ),
        WrongAnswer(
            "vectors fast too",
            _groups(fast='"lora_B" in name or p.ndim == 1'),
            "Only B learns faster",
        ),
        WrongAnswer(
            "decay on one group",
            _groups(
                groups='[{"params": slow, "lr": lr, "weight_decay": 0.01}, '
                '{"params": quick, "lr": ratio * lr}]'
            ),
            "weight_decay differs",
        ),
        WrongAnswer(
            "the ratio is the rate",
            _groups(groups='[{"params": slow, "lr": lr}, {"params": quick, "lr": ratio}]'),
            "the ratio itself",
        ),
        WrongAnswer(
            "A slowed",
            _groups(groups='[{"params": slow, "lr": lr / ratio}, {"params": quick, "lr": lr}]'),
            "lr / ratio",
        ),
        WrongAnswer(
            "one rate", _groups(groups='[{"params": slow + quick, "lr": lr}]'), "rate of A"
        ),
        WrongAnswer(
            "B in both",
            _groups(
                groups='[{"params": slow + quick, "lr": lr}, {"params": quick, "lr": ratio * lr}]'
            ),
            "in two groups",
        ),
        WrongAnswer(
            "names",
            _groups().replace("append(p)", "append(name)"),
            "holds names",
        ),
        WrongAnswer("copies", _groups().replace("append(p)", "append(p.detach())"), "a copy"),
        WrongAnswer(
            "an optimizer",
            _groups(
                groups='torch.optim.AdamW([{"params": slow, "lr": lr}, {"params": quick}], lr=lr)'
            ),
            "made from them",
        ),
        WrongAnswer("a dict", _groups(groups='{"params": slow, "lr": lr}'), "list of dicts"),
        WrongAnswer("no rate", _groups(groups='[{"params": slow}, {"params": quick}]'), '"lr"'),
    ],
    "loftq": [
        WrongAnswer(
            "returns nothing", "def loftq(W, quantize, r, steps):\n    pass\n", "It returns None"
        ),
        WrongAnswer("SVD of W", _loftq(error="W"), "main part of W"),
        WrongAnswer("W each turn", _loftq(asked="W"), "the turns change nothing"),
        WrongAnswer("Q again", _loftq(start="Q = W", asked="Q"), "quantizes Q again"),
        WrongAnswer(
            "the error quantized", _loftq(start="Q = 0", asked="W - Q"), "Quantize W - B A"
        ),
        WrongAnswer("added", _loftq(asked="W + B @ A"), "is taken out"),
        WrongAnswer("one turn", _loftq(turns="range(1)"), "once a turn"),
        WrongAnswer("ends with Q", _loftq(end="Q = quantize(W - B @ A)"), "have not seen"),
        WrongAnswer(
            "never quantizes",
            _loftq(turns="range(0)", start="Q = W; B = W[:, :r]; A = W[:r]"),
            "never called",
        ),
        WrongAnswer("Q in floats", _loftq(end="Q = W - B @ A"), "in floats"),
        WrongAnswer(
            "rank grows",
            _loftq(factors="A, B = torch.cat([A, Vh[:r]]), torch.cat([B, U[:, :r] * S[:r]], 1)"),
            "must not grow",
        ),
        WrongAnswer("wrong sign", _loftq(error="Q - W"), "wrong sign"),
        WrongAnswer("main part of Q", _loftq(error="Q"), "main part of Q"),
        WrongAnswer(
            "smallest", _loftq(factors="B, A = U[:, -r:] * S[-r:], Vh[-r:]"), "best approximation"
        ),
        WrongAnswer(
            "values missing", _loftq(factors="B, A = U[:, :r], Vh[:r]"), "best approximation"
        ),
        WrongAnswer("A and B swapped", _loftq(result="Q, B, A"), "A must have the shape"),
    ],
    "my_verdict": wrong_numbers(
        "my_verdict",
        {
            "nothing like it": ("1.0, 2.0, 3.0", "not the answer to your numbers"),
            "best single run": ("3e-3, -0.005, 0.00832935", "the best single run"),
            "the variant at the edge": ("1e-4, -0.0206, 0.00832935", "cannot be judged"),
            "at LoRA's rate": ("1e-3, 0.0406, 0.00832935", "at the rate of plain LoRA"),
            "at the variant's rate": ("1e-3, -0.0482, 0.00832935", "at the variant's rate"),
            "the sign": ("1e-3, 0.005, 0.00832935", "The sign is turned"),
            "on the tuning seeds": ("1e-3, -0.013, 0.00832935", "on the tuning seeds"),
            "1.96": ("1e-3, -0.005, 0.00588", "1.96 is for many runs"),
            "no root of n": ("1e-3, -0.005, 0.018625", "interval for one run"),
            "the standard error": ("1e-3, -0.005, 0.003", "standard error"),
            "the whole interval": ("1e-3, -0.005, 0.0166587", "whole interval"),
            "two digits": ("1e-3, -0.005, 0.008", "rounded too far"),
            "two numbers": ("0.001, 0.5", "Return 3 numbers"),
        },
    ),
}
WRONG = joined(WRONG, afresh("13"))
