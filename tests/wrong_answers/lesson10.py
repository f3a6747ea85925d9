"""Wrong answers that learners really give in lesson 10, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers

_PICK = """
def pick(runs, tuning, fresh):
    import math
    from statistics import mean, median
    bad = lambda v: math.inf if math.isnan(v) else v
    rates = sorted({lr for lr, _, _ in runs})
    of = lambda lr, seeds: [bad(v) for rate, seed, v in runs if rate == lr and seed in seeds]
    raw = lambda lr, seeds: [v for rate, seed, v in runs if rate == lr and seed in seeds]
    best = min(rates, key=lambda lr: mean(of(lr, tuning)))
    edge = lambda lr: lr in (rates[0], rates[-1])
"""


def _pick(*lines: str) -> str:
    return _PICK + "".join(f"    {line}\n" for line in lines)


def _interval(*lines: str) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return (
        "def paired_interval(a, b, t):\n"
        "    import math\n"
        "    from statistics import mean, pstdev, stdev\n"
        "    gaps = [a[s] - b[s] for s in a]\n"
        "    n, m = len(gaps), mean(gaps)\n" + body
    )


def _forget(*lines: str) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"import math\n\ndef forgetting_at(target, base, goal):\n{body}"


_CROSSING = (
    "for i in range(1, len(target)):",
    "    if target[i] <= goal < target[i - 1]:",
    "        share = (target[i - 1] - goal) / (target[i - 1] - target[i])",
)

WRONG = {
    "pick": [
        WrongAnswer(
            "best single run",
            _pick(
                "best = min((bad(v), lr) for lr, s, v in runs if s in tuning)[1]",
                "return best, mean(of(best, fresh)), edge(best)",
            ),
            "a lucky seed",
        ),
        WrongAnswer(
            "chosen on the fresh seeds",
            _pick(
                "best = min(rates, key=lambda lr: mean(of(lr, fresh)))",
                "return best, mean(of(best, fresh)), edge(best)",
            ),
            "choose on the tuning seeds alone",
        ),
        WrongAnswer(
            "chosen on all seeds",
            _pick(
                "best = min(rates, key=lambda lr: mean(of(lr, tuning + fresh)))",
                "return best, mean(of(best, fresh)), edge(best)",
            ),
            "choose on the tuning seeds alone",
        ),
        WrongAnswer(
            "the highest loss",
            _pick(
                "best = max(rates, key=lambda lr: mean(of(lr, tuning)))",
                "return best, mean(of(best, fresh)), edge(best)",
            ),
            "Lower is better",
        ),
        WrongAnswer(
            "nan left out",
            _pick(
                "kept = lambda lr: [v for v in raw(lr, tuning) if not math.isnan(v)]",
                "best = min(rates, key=lambda lr: mean(kept(lr)))",
                "return best, mean(of(best, fresh)), edge(best)",
            ),
            "a tuning run diverged",
        ),
        WrongAnswer(
            "nan as zero",
            _pick(
                "kept = lambda lr: [0 if math.isnan(v) else v for v in raw(lr, tuning)]",
                "best = min(rates, key=lambda lr: mean(kept(lr)))",
                "return best, mean(of(best, fresh)), edge(best)",
            ),
            "a tuning run diverged",
        ),
        WrongAnswer(
            "nan in a fresh mean",
            _pick("return best, mean(raw(best, fresh)), edge(best)"),
            "A fresh run of this rate diverged",
        ),
        WrongAnswer(
            "reports the tuning seeds",
            _pick("return best, mean(of(best, tuning)), edge(best)"),
            "on which the rate was chosen",
        ),
        WrongAnswer(
            "reports all seeds",
            _pick("return best, mean(of(best, tuning + fresh)), edge(best)"),
            "the mean over the tuning and the fresh seeds",
        ),
        WrongAnswer(
            "reports every run",
            _pick("return best, mean(bad(v) for lr, s, v in runs if lr == best), edge(best)"),
            "the mean over all seeds.",
        ),
        WrongAnswer(
            "reports all seeds but the tuning ones",
            _pick(
                "rest = {s for _, s, _ in runs} - set(tuning)",
                "return best, mean(of(best, rest)), edge(best)",
            ),
            "report the seeds in `fresh`",
        ),
        WrongAnswer(
            "reports the best fresh run",
            _pick("return best, min(of(best, fresh)), edge(best)"),
            "the best of the fresh runs",
        ),
        WrongAnswer(
            "reports the best rate's fresh mean",
            _pick("return best, min(mean(of(lr, fresh)) for lr in rates), edge(best)"),
            "lowest mean of any rate",
        ),
        WrongAnswer(
            "reports the median",
            _pick("return best, median(of(best, fresh)), edge(best)"),
            "Report the mean",
        ),
        WrongAnswer(
            "sum for mean",
            _pick("return best, sum(of(best, fresh)), edge(best)"),
            "the sum of the fresh losses",
        ),
        WrongAnswer(
            "edge never flagged",
            _pick("return best, mean(of(best, fresh)), False"),
            "the best may lie outside",
        ),
        WrongAnswer(
            "only the upper edge",
            _pick("return best, mean(of(best, fresh)), best == rates[-1]"),
            "lowest that was tried",
        ),
        WrongAnswer(
            "only the lower edge",
            _pick("return best, mean(of(best, fresh)), best == rates[0]"),
            "highest that was tried",
        ),
        WrongAnswer(
            "edge for inside",
            _pick("return best, mean(of(best, fresh)), not edge(best)"),
            "at_edge",
        ),
        WrongAnswer(
            "edge by position in the list",
            _pick("return best, mean(of(best, fresh)), best in (runs[0][0], runs[-1][0])"),
            "at_edge",
        ),
        WrongAnswer(
            "the place of the rate",
            _pick("return rates.index(best), mean(of(best, fresh)), edge(best)"),
            "none of the rates",
        ),
        WrongAnswer(
            "the rate alone",
            _pick("return best"),
            "Return (rate, mean loss on the fresh seeds, at_edge)",
        ),
        WrongAnswer("no return", _pick("best, mean(of(best, fresh)), edge(best)"), "`return`"),
    ],
    "paired_interval": [
        WrongAnswer(
            "unpaired",
            _interval(
                "s = math.hypot(stdev(a.values()), stdev(b.values()))",
                "return m, t[n - 1] * s / math.sqrt(n)",
            ),
            "treats the runs as unrelated",
        ),
        WrongAnswer(
            "unpaired, 2n - 2 degrees of freedom",
            _interval(
                "s = math.hypot(stdev(a.values()), stdev(b.values()))",
                "return m, t[2 * n - 2] * s / math.sqrt(n)",
            ),
            "2n - 2 degrees of freedom",
        ),
        WrongAnswer(
            "by position",
            _interval(
                "gaps = [x - y for x, y in zip(a.values(), b.values())]",
                "return m, t[n - 1] * stdev(gaps) / math.sqrt(n)",
            ),
            "by their position",
        ),
        WrongAnswer(
            "1.96",
            _interval("return m, 1.96 * stdev(gaps) / math.sqrt(n)"),
            "1.96 is for many runs",
        ),
        WrongAnswer(
            "t[n]",
            _interval("return m, t[n] * stdev(gaps) / math.sqrt(n)"),
            "n - 1 degrees of freedom",
        ),
        WrongAnswer(
            "divides by n",
            _interval("return m, t[n - 1] * pstdev(gaps) / math.sqrt(n)"),
            "divides by n - 1",
        ),
        WrongAnswer(
            "no sqrt(n)",
            _interval("return m, t[n - 1] * stdev(gaps)"),
            "interval for one run",
        ),
        WrongAnswer(
            "n for sqrt(n)",
            _interval("return m, t[n - 1] * stdev(gaps) / n"),
            "divided by sqrt(n)",
        ),
        WrongAnswer(
            "the standard error",
            _interval("return m, stdev(gaps) / math.sqrt(n)"),
            "the standard error",
        ),
        WrongAnswer(
            "the spread",
            _interval("return m, stdev(gaps)"),
            "the standard deviation",
        ),
        WrongAnswer(
            "the whole width",
            _interval("return m, 2 * t[n - 1] * stdev(gaps) / math.sqrt(n)"),
            "the whole width",
        ),
        WrongAnswer(
            "two ends",
            _interval(
                "h = t[n - 1] * stdev(gaps) / math.sqrt(n)",
                "return m - h, m + h",
            ),
            "the two ends",
        ),
        WrongAnswer(
            "b - a",
            _interval("return -m, t[n - 1] * stdev(gaps) / math.sqrt(n)"),
            "The sign is wrong",
        ),
        WrongAnswer(
            "absolute",
            _interval("return abs(m), t[n - 1] * stdev(gaps) / math.sqrt(n)"),
            "The sign is wrong",
        ),
        WrongAnswer(
            "two intervals added",
            _interval("return m, t[n - 1] * (stdev(a.values()) + stdev(b.values())) / n**0.5"),
            "overlap is no test",
        ),
        WrongAnswer(
            "the variance",
            _interval("return m, t[n - 1] * stdev(gaps) ** 2 / math.sqrt(n)"),
            "not the variance",
        ),
        WrongAnswer(
            "a's own interval",
            _interval("return mean(a.values()), t[n - 1] * stdev(a.values()) / math.sqrt(n)"),
            "The mean of a - b",
        ),
        WrongAnswer("the mean alone", _interval("return m"), "(mean difference, half width)"),
    ],
    "forgetting_at": [
        WrongAnswer(
            "zero for nothing",
            _forget(
                "found = None",
                "if target[0] <= goal: found = base[0]",
                "for i in range(1, len(target)):",
                "    if found is None and target[i] <= goal:",
                "        share = (target[i - 1] - goal) / (target[i - 1] - target[i])",
                "        found = base[i - 1] + share * (base[i] - base[i - 1])",
                "return found or None",
            ),
            "Ask `is None`",
        ),
        WrongAnswer("the last value", _forget("return base[-1]"), "end of the run"),
        WrongAnswer(
            "the nearest measurement",
            _forget("return base[min(range(len(base)), key=lambda i: abs(target[i] - goal))]"),
            "one of the two measurements",
        ),
        WrongAnswer(
            "the first past the goal",
            _forget("return next((b for t, b in zip(target, base) if t <= goal), None)"),
            "one of the two measurements",
        ),
        WrongAnswer(
            "the last before it",
            _forget(*_CROSSING[:2], "        return base[i - 1]", "return None"),
            "one of the two measurements",
        ),
        WrongAnswer(
            "share from the wrong end",
            _forget(
                *_CROSSING,
                "        return base[i] + share * (base[i - 1] - base[i])",
                "return None",
            ),
            "from the wrong end",
        ),
        WrongAnswer(
            "the middle",
            _forget(*_CROSSING, "        return (base[i] + base[i - 1]) / 2", "return None"),
            "the mean of the two measurements",
        ),
        WrongAnswer(
            "the last crossing",
            _forget(
                "found = base[0] if target[0] <= goal else None",
                *_CROSSING,
                "        found = base[i - 1] + share * (base[i] - base[i - 1])",
                "return found",
            ),
            "the last time",
        ),
        WrongAnswer(
            "extrapolates",
            _forget(
                "if target[0] <= goal: return base[0]",
                "for i in range(1, len(target)):",
                "    if target[i] <= goal or i == len(target) - 1:",
                "        share = (target[i - 1] - goal) / (target[i - 1] - target[i])",
                "        return base[i - 1] + share * (base[i] - base[i - 1])",
            ),
            "never reaches the goal",
        ),
        WrongAnswer(
            "the last value where it never is",
            _forget(
                "if target[0] <= goal: return base[0]",
                *_CROSSING,
                "        return base[i - 1] + share * (base[i] - base[i - 1])",
                "return base[-1]",
            ),
            "never reaches the goal",
        ),
        WrongAnswer(
            "nan where it never is",
            _forget(
                "if target[0] <= goal: return base[0]",
                *_CROSSING,
                "        return base[i - 1] + share * (base[i] - base[i - 1])",
                "return math.nan",
            ),
            "never reaches the goal",
        ),
        WrongAnswer(
            "NumPy's interp",
            _forget(
                "import numpy as np",
                "return float(np.interp(-goal, [-t for t in target], base))",
            ),
            "never reaches the goal",
        ),
        WrongAnswer(
            "the start forgotten",
            _forget(
                *_CROSSING,
                "        return base[i - 1] + share * (base[i] - base[i - 1])",
                "return None",
            ),
            "It returns None, but the goal is reached",
        ),
        WrongAnswer(
            "a line from the last point to the first",
            _forget(
                "for i in range(len(target)):",
                "    if target[i] <= goal:",
                "        share = (target[i - 1] - goal) / (target[i - 1] - target[i])",
                "        return base[i - 1] + share * (base[i] - base[i - 1])",
                "return None",
            ),
            "before the first step",
        ),
        WrongAnswer(
            "strictly below",
            _forget(
                "if target[0] <= goal: return base[0]",
                "for i in range(1, len(target)):",
                "    if target[i] < goal < target[i - 1]:",
                "        share = (target[i - 1] - goal) / (target[i - 1] - target[i])",
                "        return base[i - 1] + share * (base[i] - base[i - 1])",
                "return None",
            ),
            "It returns None, but the goal is reached",
        ),
        WrongAnswer(
            "the target loss",
            _forget("return goal if min(target) <= goal else None"),
            "Return the base loss there",
        ),
        WrongAnswer(
            "the rise",
            _forget(
                "if target[0] <= goal: return 0.0",
                *_CROSSING,
                "        return base[i - 1] + share * (base[i] - base[i - 1]) - base[0]",
                "return None",
            ),
            "Return the loss itself",
        ),
        WrongAnswer(
            "the base at the lowest target",
            _forget("return base[target.index(min(target))] if min(target) <= goal else None"),
            "end of the run",
        ),
    ],
    "my_choice": wrong_numbers(
        "my_choice",
        {
            "the best that fits": ("912_640, 0.012039", "A smaller one is within its noise"),
            "too large": ("1_785_600, 0.012039", "larger than it may be"),
            "the smallest": ("119_040, 0.012039", "the smallest file of all"),
            "numbers for bytes": ("59_520, 0.012039", "four bytes"),
            "the rank": ("6, 0.012039", "This is the rank"),
            "the mean difference": ("238_080, 0.003", "Add half of its interval"),
            "half of the interval": ("238_080, 0.0090395", "Add it to the mean difference"),
            "the lower end": ("238_080, -0.0060395", "The upper end says"),
            "1.96": ("238_080, 0.0093813", "1.96 is for many runs"),
            "rounded": ("238_080, 0.012", "rounded too far"),
            "the bytes alone": ("238_080", "Return 2 numbers"),
            "looks it up": ("mine['most_bytes'], 0.0", "it uses 'mine'"),
        },
    ),
}
WRONG = joined(WRONG, afresh("10"))
