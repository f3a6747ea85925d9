"""Wrong answers that learners really give in lesson 03, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers
from .fresh03 import FRESH


def _weight(
    scaling: str = "alpha / r ** (0.5 if stabilized else 1)", result: str = "W + s * (B @ A)"
) -> str:
    return f"""
def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = {scaling}
    return {result}
"""


def _first(
    sgd: str = "-lr * s * s * (G @ A.T) @ A", adam: str = "-lr * s * torch.sign(G @ A.T) @ A"
) -> str:
    return f"""
def first_update(G, A, s, lr, optimizer):
    return {sgd} if optimizer == "sgd" else {adam}
"""


def _same(
    rate: str = "root if optimizer == 'adamw' else k", start: str = "root", decay: str = "1 / f"
) -> str:
    return f"""
def same_run(k, lr, weight_decay, optimizer):
    root = k ** 0.5
    f = {rate}
    return {{"lr": lr * f, "weight_decay": weight_decay * ({decay}), "start_A": {start}}}
"""


def _alpha(body: str) -> str:
    return f"def alpha_for(new_r, old_r, old_alpha, stabilized):\n    return {body}\n"


def _law(slope: str = "a @ b / (a @ a)", a: str = "x.log()", b: str = "y.log()") -> str:
    return f"""
def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError("zero has no logarithm")
    x, y = torch.tensor(x).double(), torch.tensor(y).double()
    a, b = {a}, {b}
    a, b = a - a.mean(), b - b.mean()
    return ({slope}).item()
"""


def _outcome(
    finite: str = "all(math.isfinite(loss) for loss in losses)",
    excess: str = "[loss - base for loss, base in zip(losses, untrained)]",
    diverged: str = "sum(excess[-n:]) / n > margin",
    spiked: str = "max(excess) > margin",
) -> str:
    return f"""
def run_outcome(losses, untrained, margin):
    n = max(1, len(losses) // 10)
    if not ({finite}):
        return "diverged"
    excess = {excess}
    if {diverged}:
        return "diverged"
    return "spiked" if {spiked} else "stable"
"""


WRONG = {
    "adapted_weight": [
        WrongAnswer("r over alpha", _weight(scaling="r / alpha"), "upside down"),
        WrongAnswer("bare alpha", _weight(scaling="alpha"), "leave out the division by r"),
        WrongAnswer("root without rsLoRA", _weight(scaling="alpha / r ** 0.5"), "is False"),
        WrongAnswer("never the root", _weight(scaling="alpha / r"), "is True"),
        WrongAnswer("W scaled too", _weight(result="s * (W + B @ A)"), "W is scaled too"),
        WrongAnswer("the update alone", _weight(result="s * (B @ A)"), "W is missing"),
        WrongAnswer("the card's loose words", _weight(result="s * W"), "loosely"),
        WrongAnswer("not scaled", _weight(result="W + B @ A"), "not scaled"),
        WrongAnswer("r from B's rows", _weight(scaling="alpha / B.shape[0]"), "out_features"),
        WrongAnswer("r from A's columns", _weight(scaling="alpha / A.shape[1]"), "in_features"),
        WrongAnswer(
            "the root of alpha too",
            _weight(scaling="(alpha / r) ** (0.5 if stabilized else 1)"),
            "of alpha too",
        ),
        WrongAnswer("no fraction", _weight(scaling="alpha // r"), "Divide with /"),
        WrongAnswer("subtracted", _weight(result="W - s * (B @ A)"), "subtracted"),
        WrongAnswer("in place", _weight(result="W.add_(s * (B @ A))"), "changes `W` itself"),
    ],
    "first_update": [
        WrongAnswer("s once for SGD", _first(sgd="-lr * s * (G @ A.T) @ A"), "s squared"),
        WrongAnswer("s forgotten", _first(sgd="-lr * (G @ A.T) @ A"), "s is missing"),
        WrongAnswer("uphill", _first(sgd="lr * s * s * (G @ A.T) @ A"), "against the gradient"),
        WrongAnswer("drops A.T A", _first(sgd="-lr * s * s * G"), "rows of A"),
        WrongAnswer(
            "Adam for both", _first(sgd="-lr * s * torch.sign(G @ A.T) @ A"), "Adam's step"
        ),
        WrongAnswer(
            "s squared in Adam", _first(adam="-lr * s * s * torch.sign(G @ A.T) @ A"), "s squared"
        ),
        WrongAnswer("SGD for both", _first(adam="-lr * s * s * (G @ A.T) @ A"), "SGD's step"),
        WrongAnswer(
            "sign of the product", _first(adam="-lr * s * torch.sign(G @ A.T @ A)"), "B's gradient"
        ),
        WrongAnswer(
            "sign of G", _first(adam="-lr * s * torch.sign(G) @ A.T @ A"), "sign was taken of G"
        ),
        WrongAnswer(
            "the step of B",
            "def first_update(G, A, s, lr, optimizer):\n    return -lr * s * G @ A.T\n",
            "This is B's step",
        ),
        WrongAnswer("full fine-tuning, scaled", _first(sgd="-lr * s * G"), "and s once"),
        WrongAnswer("no lr in SGD", _first(sgd="-s * s * (G @ A.T) @ A"), "lr is missing"),
        WrongAnswer("no lr in Adam", _first(adam="-s * torch.sign(G @ A.T) @ A"), "lr is missing"),
        WrongAnswer(
            "sign of G, and s twice",
            _first(adam="-lr * s * s * torch.sign(G) @ A.T @ A"),
            "s is there twice",
        ),
        WrongAnswer(
            "divided by the whole norm",
            _first(adam="-lr * s * (G @ A.T) / (G @ A.T).norm() @ A"),
            "its whole norm",
        ),
        WrongAnswer(
            "averages not corrected",
            _first(adam="-lr * s * 0.1 * (G @ A.T) / (0.001 * (G @ A.T) ** 2) ** 0.5 @ A"),
            "sqrt(10) times too long",
        ),
    ],
    "same_run": [
        WrongAnswer("lr x k for AdamW", _same(rate="k"), "moves A k times as far"),
        WrongAnswer("lr x root for SGD", _same(rate="root"), "make up"),
        WrongAnswer(
            "lr x k squared for SGD",
            _same(rate="root if optimizer == 'adamw' else k * k"),
            "first update only",
        ),
        WrongAnswer("A's start forgotten", _same(start="1.0"), "unchanged"),
        WrongAnswer("A's start x k", _same(start="k"), "takes sqrt(k)"),
        WrongAnswer("decay unchanged", _same(decay="1"), "lr x decay"),
        WrongAnswer("decay x k", _same(decay="k"), "divided"),
        WrongAnswer("only A's start", _same(rate="1"), "Change lr too"),
        WrongAnswer(
            "a tuple", "def same_run(k, lr, weight_decay, optimizer):\n    return lr, k\n", "dict"
        ),
        WrongAnswer(
            "a rate for each factor",
            "def same_run(k, lr, weight_decay, optimizer):\n"
            "    return {'lr': [lr, lr * k], 'weight_decay': weight_decay, 'start_A': 1.0}\n",
            "lr must be one number",
        ),
        WrongAnswer(
            "the factor for the rate",
            "def same_run(k, lr, weight_decay, optimizer):\n"
            "    f = k ** 0.5 if optimizer == 'adamw' else k\n"
            "    return {'lr': f, 'weight_decay': 1 / f, 'start_A': k ** 0.5}\n",
            "not the factor",
        ),
        WrongAnswer(
            "decay divided by k for both", _same(decay="1 / k"), "so that lr x decay stays"
        ),
    ],
    "alpha_for": [
        WrongAnswer("alpha unchanged", _alpha("old_alpha"), "the trap"),
        WrongAnswer("the inverse", _alpha("old_alpha * old_r / new_r"), "upside down"),
        WrongAnswer("one rule for both", _alpha("old_alpha * new_r / old_r"), "is True"),
        WrongAnswer("the root for both", _alpha("old_alpha * (new_r / old_r) ** 0.5"), "is False"),
        WrongAnswer("2r", _alpha("2 * new_r"), "habit"),
        WrongAnswer("adds the difference", _alpha("old_alpha + new_r - old_r"), "ratio"),
        WrongAnswer("returns the scaling", _alpha("old_alpha / old_r"), "the scaling"),
        WrongAnswer("the new scaling", _alpha("old_alpha / new_r"), "if alpha stays"),
        WrongAnswer(
            "the factor alone", _alpha("(new_r / old_r) ** (0.5 if stabilized else 1)"), "factor"
        ),
        WrongAnswer(
            "from the plain scaling to the root",
            _alpha("old_alpha / old_r * (new_r ** 0.5 if stabilized else new_r)"),
            "alpha / sqrt(old_r)",
        ),
        WrongAnswer(
            "the root of alpha too",
            _alpha("(old_alpha * new_r / old_r) ** (0.5 if stabilized else 1)"),
            "of alpha too",
        ),
        WrongAnswer(
            "rounded",
            _alpha("round(old_alpha * (new_r / old_r) ** (0.5 if stabilized else 1))"),
            "rounded",
        ),
    ],
    "power_law": [
        WrongAnswer("a linear fit", _law(a="x", b="y"), "slope of y against x"),
        WrongAnswer("log of y only", _law(a="x"), "exponential"),
        WrongAnswer("log of x only", _law(b="y"), "logarithm of y too"),
        WrongAnswer("x for y", _law(slope="a @ b / (b @ b)"), "wrong way round"),
        WrongAnswer("mixed bases", _law(b="y.log2()"), "different bases"),
        WrongAnswer("two points", _law(slope="(b[-1] - b[0]) / (a[-1] - a[0])"), "last point"),
        WrongAnswer(
            "no constant", _law(slope="(x.log() @ y.log()) / (x.log() @ x.log())"), "origin"
        ),
        WrongAnswer(
            "takes zeros",
            "def power_law(x, y):\n"
            "    a, b = (torch.tensor(v).double().log() for v in (x, y))\n"
            "    a, b = a - a.mean(), b - b.mean()\n"
            "    return (a @ b / (a @ a)).item()\n",
            "ValueError",
        ),
        WrongAnswer(
            "leaves the zeros out",
            "def power_law(x, y):\n"
            "    kept = [(math.log(a), math.log(b)) for a, b in zip(x, y) if a > 0 and b > 0]\n"
            "    if not kept:\n"
            "        raise ValueError('nothing left')\n"
            "    a, b = torch.tensor(kept, dtype=torch.float64).T\n"
            "    a, b = a - a.mean(), b - b.mean()\n"
            "    return (a @ b / (a @ a)).item()\n",
            "one y = 0 among others",
        ),
        WrongAnswer("looks at y alone", _law().replace("min(x) <= 0 or ", ""), "For x = 0"),
        WrongAnswer("looks for zeros alone", _law().replace("<=", "=="), "a negative y"),
        WrongAnswer(
            "an assertion",
            "def power_law(x, y):\n    assert min(x) > 0 and min(y) > 0\n"
            + _law(a="x.log()").split("\n", 4)[4],
            "raised AssertionError",
        ),
        WrongAnswer(
            "the constant",
            _law(slope="y.log().mean() - a @ b / (a @ a) * x.log().mean()"),
            "This is log c",
        ),
        WrongAnswer("the correlation", _law(slope="a @ b / (a.norm() * b.norm())"), "correlation"),
        WrongAnswer("mean of the slopes", _law(slope="(b.diff() / a.diff()).mean()"), "neighbours"),
    ],
    "run_outcome": [
        WrongAnswer("no test for nan", _outcome(finite="True"), "nan or inf"),
        WrongAnswer(
            "against the first loss",
            _outcome(excess="[loss - losses[0] for loss in losses]"),
            "same batch",
        ),
        WrongAnswer("no margin", _outcome(spiked="max(excess) > 0"), "below the margin"),
        WrongAnswer("last loss only", _outcome(diverged="excess[-1] > margin"), "last tenth"),
        WrongAnswer(
            "the spike first",
            _outcome(diverged="False"),
            "before you ask for a spike",
        ),
        WrongAnswer("any spike is the end", _outcome(diverged="max(excess) > margin"), "came back"),
        WrongAnswer(
            "diverged at once above the base",
            _outcome(diverged="sum(excess[-n:]) / n > 0"),
            "less than the margin",
        ),
        WrongAnswer("never a spike", _outcome(spiked="False"), "that is a spike"),
        WrongAnswer(
            "the worst of the last tenth",
            _outcome(diverged="max(excess[-n:]) > margin"),
            "their mean is not",
        ),
        WrongAnswer(
            "no spike in the last tenth",
            _outcome(spiked="max(excess[:-n]) > margin"),
            "counts there too",
        ),
        WrongAnswer(
            "the last ten losses",
            _outcome(diverged="sum(excess[-10:]) / len(excess[-10:]) > margin"),
            "3 of its 30 losses",
        ),
        WrongAnswer(
            "a sum for the mean",
            _outcome(diverged="sum(excess[-n:]) > margin"),
            "less than the margin on average",
        ),
        WrongAnswer(
            "the median of the last tenth",
            _outcome(diverged="sorted(excess[-n:])[n // 2] > margin"),
            "not the median",
        ),
        WrongAnswer(
            "either side of the base",
            _outcome(excess="[abs(loss - base) for loss, base in zip(losses, untrained)]"),
            "ends below the base",
        ),
        WrongAnswer(
            "a short run is averaged whole",
            _outcome()
            .replace("max(1, len(losses) // 10)", "len(losses) // 10")
            .replace("/ n", "/ len(excess[-n:])"),
            "last tenth is one step",
        ),
        WrongAnswer(
            "a short run divides by zero",
            _outcome().replace("max(1, len(losses) // 10)", "len(losses) // 10"),
            "ZeroDivisionError for a run of 5",
        ),
        WrongAnswer(
            "a bool",
            "def run_outcome(losses, untrained, margin):\n    return max(losses) > margin\n",
            'Return "stable"',
        ),
    ],
}

# The numbers of self-study.
WRONG["my_alphas"] = wrong_numbers(
    "my_alphas",
    {
        "the wrong way round": ("495.2037, 2_786.667", "wrong way round"),
        "rsLoRA without the root": ("2_786.667, 2_786.667", "root of r"),
        "alpha falls": ("2.778947, 495.2037", "alpha must grow"),
        "the scaling for the alpha": ("29.33333, 495.2037", "the scaling that you have now"),
        "alpha left alone": ("88, 88", "the trap"),
        "the plain scaling kept under rsLoRA": ("2_786.667, 285.906", "old scaling"),
        "the first rounded": ("2_787, 495.2037", "first number was rounded"),
        "the second rounded": ("2_786.667, 495", "second number was rounded"),
        "both rounded": ("2_787, 495", "was rounded too far"),
        "another student's": ("123.4, 56.78", "not the answer to your numbers"),
    },
)

for _name, _more in FRESH.items():
    WRONG[_name] += _more

WRONG = joined(WRONG, afresh("03"))
