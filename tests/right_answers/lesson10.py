"""Right answers to lesson 10 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined

RIGHT = {
    "forgetting_at": [
        RightAnswer(
            "with pairs",
            """
def forgetting_at(target, base, goal):
    if target[0] <= goal:
        return base[0]
    for (t0, b0), (t1, b1) in zip(zip(target, base), zip(target[1:], base[1:])):
        if t0 > goal >= t1:
            return b1 + (goal - t1) / (t0 - t1) * (b0 - b1)
""",
        ),
        RightAnswer(
            "with NumPy",
            """
def forgetting_at(target, base, goal):
    import numpy as np
    below = np.flatnonzero(np.array(target) <= goal)
    if not len(below):
        return None
    i = below[0]
    if i == 0:
        return base[0]
    return np.interp(goal, [target[i], target[i - 1]], [base[i], base[i - 1]])
""",
        ),
        RightAnswer(
            "recursion",
            """
def forgetting_at(target, base, goal):
    if not target:
        return None
    if target[0] <= goal:
        return base[0]
    if len(target) > 1 and target[1] <= goal:
        w = (target[0] - goal) / (target[0] - target[1])
        return (1 - w) * base[0] + w * base[1]
    return forgetting_at(target[1:], base[1:], goal)
""",
        ),
    ],
    "paired_interval": [
        RightAnswer(
            "with NumPy",
            """
def paired_interval(a, b, t):
    import numpy as np
    d = np.array([a[s] - b[s] for s in sorted(a)])
    return d.mean(), t[len(d) - 1] * d.std(ddof=1) / np.sqrt(len(d))
""",
        ),
        RightAnswer(
            "with torch",
            """
import torch


def paired_interval(a, b, t):
    d = torch.tensor([a[s] - b[s] for s in b], dtype=torch.float64)
    return d.mean(), t[d.numel() - 1] * d.std() / d.numel() ** 0.5
""",
        ),
        RightAnswer(
            "by hand",
            """
def paired_interval(a, b, t):
    d = [a[s] - b[s] for s in a]
    n, m = len(d), sum(d) / len(d)
    return [m, t[n - 1] * (sum((x - m) ** 2 for x in d) / (n - 1) / n) ** 0.5]
""",
        ),
    ],
    "pick": [
        RightAnswer(
            "with NumPy",
            """
def pick(runs, tuning, fresh):
    import numpy as np
    table = np.array(runs, dtype=float)
    table[np.isnan(table[:, 2]), 2] = np.inf
    rates = np.unique(table[:, 0])
    of = lambda lr, seeds: table[(table[:, 0] == lr) & np.isin(table[:, 1], seeds), 2].mean()
    best = rates[np.argmin([of(lr, tuning) for lr in rates])]
    return best, of(best, fresh), best == rates.min() or best == rates.max()
""",
        ),
        RightAnswer(
            "one pass over the runs",
            """
def pick(runs, tuning, fresh):
    sums = {}
    for lr, seed, loss in runs:
        total = sums.setdefault(lr, [0.0, 0.0, 0.0])
        place = 0 if seed in tuning else 1 if seed in fresh else 2
        total[place] += float("inf") if loss != loss else loss
    best = min(sums, key=lambda lr: sums[lr][0])
    return [best, sums[best][1] / len(fresh), not min(sums) < best < max(sums)]
""",
        ),
        RightAnswer(
            "with a sort",
            """
import math


def pick(runs, tuning, fresh):
    bad = lambda v: math.inf if math.isnan(v) else v
    means = sorted(
        (sum(bad(v) for r, s, v in runs if r == lr and s in tuning), lr)
        for lr in {r for r, _, _ in runs}
    )
    best = means[0][1]
    later = [bad(v) for r, s, v in runs if r == best and s in set(fresh)]
    rates = [lr for _, lr in means]
    return best, sum(later) / len(later), best in (min(rates), max(rates))
""",
        ),
    ],
}
RIGHT = joined(RIGHT, afresh("10"))
