"""Wrong answers that learners really give in lesson 04, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers
from .fresh04 import FRESH


def _branch(body: str) -> str:
    return f"def dropped_branch(x, noise, A, B, scaling, p):\n    {body}\n"


def _layer(forward: str, init: str = "pass") -> str:
    return f"""
class DropoutLora(torch.nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = torch.nn.Dropout(p)
        {init}

    def forward(self, x):
        {forward}
"""


def _penalty(body: str) -> str:
    return f"""
def implied_penalty(X, W_base, W_tuned, p):
    delta, factor = W_tuned - W_base, p / (1 - p)
    {body}
"""


def _quiet(body: str) -> str:
    return f"def measure_quietly(model, measure):\n{body}"


def _report(body: str) -> str:
    return f"""
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    {body}
"""


WRONG = {
    "dropped_branch": [
        WrongAnswer(
            "on the output",
            _branch(
                "y = scaling * x @ A.T @ B.T; return y * (noise[..., :len(B)] >= p) / (1 - p)"
            ),
            "masks the branch's output",
        ),
        WrongAnswer(
            "between A and B",
            _branch(
                "h = x @ A.T; return scaling * (h * (noise[..., :len(A)] >= p) / (1 - p)) @ B.T"
            ),
            "masks A x",
        ),
        WrongAnswer(
            "no 1 / (1 - p)",
            _branch("return scaling * (x * (noise >= p)) @ A.T @ B.T"),
            "factor is missing",
        ),
        WrongAnswer(
            "times 1 - p",
            _branch("return scaling * (x * (noise >= p) * (1 - p)) @ A.T @ B.T"),
            "divide by it",
        ),
        WrongAnswer(
            "keeps with p",
            _branch("return scaling * (x * (noise < p) / (1 - p)) @ A.T @ B.T"),
            "keeps an element with probability p. p is the share that is dropped",
        ),
        WrongAnswer(
            "keeps with p, divides by p",
            _branch("return scaling * (x * (noise < p) / p) @ A.T @ B.T"),
            "divides by p",
        ),
        WrongAnswer(
            "scaling forgotten",
            _branch("return (x * (noise >= p) / (1 - p)) @ A.T @ B.T"),
            "scaling is missing",
        ),
        WrongAnswer(
            "draws its own mask",
            _branch("return scaling * torch.nn.functional.dropout(x, p) @ A.T @ B.T"),
            "do not draw again",
        ),
        WrongAnswer(
            "no mask at all",
            _branch("return scaling * x @ A.T @ B.T"),
            "Nothing is dropped",
        ),
        WrongAnswer(
            "x changed in place",
            _branch("x[noise < p] = 0; return scaling * (x / (1 - p)) @ A.T @ B.T"),
            "changes `x` itself",
        ),
        WrongAnswer(
            "noise changed in place",
            _branch("m = noise.sub_(p).sign_().clamp_(0); return scaling * (x * m / (1 - p)) "
                    "@ A.T @ B.T"),
            "changes `noise` itself",
        ),
        WrongAnswer(
            "divides by the share that was kept",
            _branch("m = (noise >= p).float(); return scaling * (x * m / m.mean()) @ A.T @ B.T"),
            "whatever the mask",
        ),
        WrongAnswer(
            "drops the high noise",
            _branch("return scaling * (x * (noise < 1 - p) / (1 - p)) @ A.T @ B.T"),
            "below p",
        ),
        WrongAnswer(
            "keeps above 1 - p",
            _branch("return scaling * (x * (noise >= 1 - p) / (1 - p)) @ A.T @ B.T"),
            "Keep it from p on",
        ),
        WrongAnswer(
            "the noise as a mask",
            _branch("return scaling * (x * noise / (1 - p)) @ A.T @ B.T"),
            "multiplies by the noise itself",
        ),
        WrongAnswer(
            "one half for p",
            _branch("return scaling * (x * noise.round() / (1 - p)) @ A.T @ B.T"),
            "not one half",
        ),
        WrongAnswer(
            "one row of noise for all tokens",
            _branch("return scaling * (x * (noise[..., :1, :] >= p) / (1 - p)) @ A.T @ B.T"),
            "same features here",
        ),
    ],
    "DropoutLora": [
        WrongAnswer(
            "the base is dropped too",
            _layer("x = self.dropout(x); return self.linear(x) + self.scaling * x @ self.A.T "
                   "@ self.B.T"),
            "reaches the base",
        ),
        WrongAnswer(
            "the sum is dropped",
            _layer("return self.dropout(self.linear(x) + self.scaling * x @ self.A.T @ self.B.T)"),
            "reaches the base",
        ),
        WrongAnswer(
            "active in evaluation",
            _layer("return self.linear(x) + self.scaling * torch.nn.functional.dropout(x, self.p) "
                   "@ self.A.T @ self.B.T"),
            "still random",
        ),
        WrongAnswer(
            "on A's weight",
            _layer("return self.linear(x) + self.scaling * x @ self.dropout(self.A).T @ self.B.T"),
            "on a weight",
        ),
        WrongAnswer(
            "on the branch's output",
            _layer("return self.linear(x) + self.dropout(self.scaling * x @ self.A.T @ self.B.T)"),
            "on the branch's output",
        ),
        WrongAnswer(
            "between A and B",
            _layer("return self.linear(x) + self.scaling * self.dropout(x @ self.A.T) @ self.B.T"),
            "on A x",
        ),
        WrongAnswer(
            "no 1 / (1 - p)",
            _layer("z = x * (torch.rand_like(x) >= self.p) if self.training else x; "
                   "return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T"),
            "1 / (1 - p) in training",
        ),
        WrongAnswer(
            "the old form: 1 - p in evaluation",
            _layer("z = x * (torch.rand_like(x) >= self.p) if self.training else x * (1 - self.p); "
                   "return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T"),
            "multiplied by 1 - p",
        ),
        WrongAnswer(
            "p is the share kept",
            _layer("return self.linear(x) + self.scaling * self.dropout(x) @ self.A.T @ self.B.T",
                   "self.dropout = torch.nn.Dropout(1 - p)"),
            "p is the share dropped",
        ),
        WrongAnswer(
            "one mask for all rows",
            _layer("m = (torch.rand(x.shape[-1]) >= self.p) / (1 - self.p) if self.training else 1;"
                   " return self.linear(x) + self.scaling * (x * m) @ self.A.T @ self.B.T"),
            "All rows lose the same features",
        ),
        WrongAnswer(
            "one mask for ever",
            _layer("m = self.m[..., :x.shape[-1]] if self.training else 1; "
                   "return self.linear(x) + self.scaling * (x * m) @ self.A.T @ self.B.T",
                   "self.m = (torch.rand(linear.in_features) >= p) / (1 - p)"),
            "new mask at each call",
        ),
        WrongAnswer(
            "no branch in evaluation",
            _layer("h = self.linear(x); return h if not self.training else "
                   "h + self.scaling * self.dropout(x) @ self.A.T @ self.B.T"),
            "the branch stays",
        ),
        WrongAnswer(
            "no bias",
            _layer("return x @ self.linear.weight.T + self.scaling * self.dropout(x) @ "
                   "self.A.T @ self.B.T"),
            "bias is missing",
        ),
        WrongAnswer(
            "no scaling",
            _layer("return self.linear(x) + self.dropout(x) @ self.A.T @ self.B.T"),
            "scaling is missing",
        ),
        WrongAnswer(
            "inplace",
            _layer("return self.linear(x) + self.scaling * self.dropout(x) @ self.A.T @ self.B.T",
                   "self.dropout = torch.nn.Dropout(p, inplace=True)"),
            "changes `x` itself",
        ),
        WrongAnswer(
            "the base under no_grad",
            _layer("torch.set_grad_enabled(False); h = self.linear(x); "
                   "torch.set_grad_enabled(True); return h + self.scaling * self.dropout(x) "
                   "@ self.A.T @ self.B.T"),
            "frozen is not no_grad",
        ),
        WrongAnswer(
            "rows of x, whole",
            _layer("return self.linear(x) + self.scaling * self.dropout(x) @ self.A.T @ self.B.T",
                   "self.dropout = torch.nn.Dropout1d(p)"),
            "Whole rows of x",
        ),
    ],
    "implied_penalty": [
        WrongAnswer(
            "p alone",
            _penalty("return p * X.square().mean(0) @ delta.square().sum(0)"),
            "not p alone",
        ),
        WrongAnswer(
            "1 / (1 - p)",
            _penalty("return 1 / (1 - p) * X.square().mean(0) @ delta.square().sum(0)"),
            "not 1 / (1 - p)",
        ),
        WrongAnswer(
            "the whole weight",
            _penalty("return factor * X.square().mean(0) @ W_tuned.square().sum(0)"),
            "Only the update",
        ),
        WrongAnswer(
            "rows for columns",
            _penalty("return factor * X.square().mean(0) @ delta.square().sum(1)"),
            "sum over dim 0",
        ),
        WrongAnswer(
            "square of the mean",
            _penalty("return factor * X.mean(0).square() @ delta.square().sum(0)"),
            "square of the mean",
        ),
        WrongAnswer(
            "variance of the inputs",
            _penalty("return factor * X.var(0, correction=0) @ delta.square().sum(0)"),
            "variance",
        ),
        WrongAnswer(
            "norms not squared",
            _penalty("return factor * X.square().mean(0) @ delta.norm(dim=0)"),
            "must be squared",
        ),
        WrongAnswer(
            "sum over the batch",
            _penalty("return factor * X.square().sum(0) @ delta.square().sum(0)"),
            "E is the mean",
        ),
        WrongAnswer(
            "inputs left out",
            _penalty("return factor * delta.square().sum()"),
            "inputs are left out",
        ),
        WrongAnswer(
            "variance, as torch has it",
            _penalty("return factor * X.var(0) @ delta.square().sum(0)"),
            "leaves its mean out",
        ),
        WrongAnswer(
            "difference of the squares",
            _penalty("return factor * X.square().mean(0) @ (W_tuned**2 - W_base**2).sum(0)"),
            "Square the difference",
        ),
        WrongAnswer(
            "product of two sums",
            _penalty("return factor * X.square().mean(0).sum() * delta.square().sum()"),
            "multiplies two sums",
        ),
        WrongAnswer(
            "one mean over all of X",
            _penalty("return factor * X.square().mean() * delta.square().sum()"),
            "one mean over all of X",
        ),
        WrongAnswer(
            "mean for the sum",
            _penalty("return factor * (X.square().mean(0) * delta.square().sum(0)).mean()"),
            "where a sum belongs",
        ),
        WrongAnswer(
            "square of the sum",
            _penalty("return factor * (X @ delta.T).square().sum(1).mean()"),
            "squares the sum",
        ),
        WrongAnswer(
            "factor upside down",
            _penalty("return (1 - p) / p * X.square().mean(0) @ delta.square().sum(0)"),
            "upside down",
        ),
        WrongAnswer(
            "not added up",
            _penalty("return factor * X.square().mean(0) * delta.square().sum(0)"),
            "add up over the features",
        ),
    ],
    "measure_quietly": [
        WrongAnswer(
            "no eval()",
            _quiet("    with torch.no_grad():\n        return measure(model)\n"),
            "Dropout was active",
        ),
        WrongAnswer(
            "mode not restored",
            _quiet("    model.eval()\n    with torch.no_grad():\n        return measure(model)\n"),
            "left in evaluation mode",
        ),
        WrongAnswer(
            "gradients kept",
            _quiet("    model.eval()\n    result = measure(model)\n    model.train()\n"
                   "    return result\n"),
            "Gradients were recorded",
        ),
        WrongAnswer(
            "train() for all parts",
            _quiet("    model.eval()\n    try:\n        with torch.no_grad():\n"
                   "            return measure(model)\n    finally:\n        model.train()\n"),
            "remember the mode",
        ),
        WrongAnswer(
            "restored only when it succeeds",
            _quiet("    modes = [(m, m.training) for m in model.modules()]\n    model.eval()\n"
                   "    with torch.no_grad():\n        result = measure(model)\n"
                   "    for m, mode in modes:\n        m.training = mode\n    return result\n"),
            "use `finally`",
        ),
        WrongAnswer(
            "returns nothing",
            _quiet("    modes = [(m, m.training) for m in model.modules()]\n    model.eval()\n"
                   "    with torch.no_grad():\n        measure(model)\n"
                   "    for m, mode in modes:\n        m.training = mode\n"),
            "Return what measure",
        ),
        WrongAnswer(
            "dropout alone",
            _quiet("    off = [m for m in model.modules() if isinstance(m, torch.nn.Dropout) "
                   "and m.training]\n"
                   "    [m.eval() for m in off]\n"
                   "    try:\n"
                   "        with torch.no_grad():\n"
                   "            return measure(model)\n"
                   "    finally:\n"
                   "        [m.train() for m in off]\n"),
            "switches all of them",
        ),
        WrongAnswer(
            "gradients on for good",
            _quiet("    modes = [(m, m.training) for m in model.modules()]\n"
                   "    model.eval()\n"
                   "    torch.set_grad_enabled(False)\n"
                   "    try:\n"
                   "        return measure(model)\n"
                   "    finally:\n"
                   "        torch.set_grad_enabled(True)\n"
                   "        for m, mode in modes:\n"
                   "            m.training = mode\n"),
            "is on after the call",
        ),
        WrongAnswer(
            "gradients off for good",
            _quiet("    modes = [(m, m.training) for m in model.modules()]\n"
                   "    model.eval()\n"
                   "    torch.set_grad_enabled(False)\n"
                   "    try:\n"
                   "        return measure(model)\n"
                   "    finally:\n"
                   "        for m, mode in modes:\n"
                   "            m.training = mode\n"),
            "is off after the call",
        ),
        WrongAnswer(
            "train() when it fails",
            _quiet("    modes = [(m, m.training) for m in model.modules()]\n"
                   "    model.eval()\n"
                   "    try:\n"
                   "        with torch.no_grad():\n"
                   "            result = measure(model)\n"
                   "    except Exception:\n"
                   "        model.train()\n"
                   "        raise\n"
                   "    for m, mode in modes:\n"
                   "        m.training = mode\n"
                   "    return result\n"),
            "each module in `finally`",
        ),
    ],
    "stopping_report": [
        WrongAnswer(
            "chosen on test",
            _report("at = test.index(min(test)); return at, test[at], test[-1] - test[at]"),
            "chosen on the test text",
        ),
        WrongAnswer(
            "best by train",
            _report("at = train.index(min(train)); return at, test[at], test[-1] - test[at]"),
            "training loss is lowest",
        ),
        WrongAnswer(
            "train - valid",
            _report("return at, test[at], valid[-1] - train[-1]"),
            "valid minus train",
        ),
        WrongAnswer(
            "reports the validation loss",
            _report("return at, valid[at], test[-1] - test[at]"),
            "chosen for being low",
        ),
        WrongAnswer(
            "sign turned",
            _report("return at, test[at], test[at] - test[-1]"),
            "sign is turned",
        ),
        WrongAnswer(
            "compares with the lowest test loss",
            _report("return at, test[at], test[-1] - min(test)"),
            "nobody could choose",
        ),
        WrongAnswer(
            "stops before the first rise",
            _report("at = next(i for i in range(9) if valid[i + 1] > valid[i]); return at, "
                    "test[at], test[-1] - test[at]"),
            "lowest of all",
        ),
        WrongAnswer(
            "counts from 1",
            _report("return at + 1, test[at], test[-1] - test[at]"),
            "counts from 0",
        ),
        WrongAnswer(
            "never negative",
            _report("return at, test[at], max(0.0, test[-1] - test[at])"),
            "not zero",
        ),
        WrongAnswer(
            "without its sign",
            _report("return at, test[at], abs(test[-1] - test[at])"),
            "Leave its sign",
        ),
        WrongAnswer(
            "a ratio",
            _report("return at, test[at], test[-1] / test[at]"),
            "a ratio",
        ),
        WrongAnswer(
            "rounded",
            _report("return at, round(test[at], 2), round(test[-1] - test[at], 2)"),
            "rounded to",
        ),
        WrongAnswer(
            "test minus valid",
            _report("return at, test[at], test[-1] - valid[at]"),
            "test with test",
        ),
    ],
}  # fmt: skip

# The numbers of self-study.
WRONG["my_dropout"] = wrong_numbers(
    "my_dropout",
    {
        "what is kept": ("908_044.8, 1_758.176", "are kept"),
        "the mask on the output": ("230_092.8, 1_758.176", "not on its output"),
        "one mask for all tokens": ("374.4, 1_758.176", "Each token"),
        "p for the factor": ("160_243.2, 1_494.45", "p / (1 - p)"),
        "the factor upside down": ("160_243.2, 56_457", "upside down"),
        "the square of the sum": ("160_243.2, 5_160.1765", "Square each product first"),
        "no x": ("160_243.2, 33", "x_j is squared too"),
        "another student's": ("160_243.2, 812.5", "second number is not the answer"),
    },
)

for _name, _more in FRESH.items():
    WRONG[_name] += _more

WRONG = joined(WRONG, afresh("04"))
