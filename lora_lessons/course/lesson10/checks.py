"""The check of exercise 10.1, choosing on tuning seeds, and what the checks of lesson 10 share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any, NamedTuple

import torch

from ..checks.core import Wrong, number
from ..checks.draws import shuffled, whole


def spread(rng: torch.Generator, count: int, size: float) -> list[float]:
    """Normal numbers of this size."""
    return (size * torch.randn(count, generator=rng, dtype=torch.float64)).tolist()


def same(actual: float, expected: float) -> bool:
    """Whether two numbers are the same but for rounding; infinities too."""
    return actual == expected or math.isclose(actual, expected, rel_tol=1e-5, abs_tol=1e-9)


def items(actual: Any, count: int, what: str) -> list[Any]:
    """The answer as that many things, or `Wrong`, which says what they are."""
    if actual is None:
        raise Wrong("It returns None. Is the `return` missing?")
    if isinstance(actual, str | dict) or not hasattr(actual, "__len__") or len(actual) != count:
        raise Wrong(f"Return {what}, in this order; got {actual!r}.")
    return list(actual)


# --- 10.1 ------------------------------------------------------------------------------------


class _Sweep(NamedTuple):
    """The runs of a search: loss[rate][seed]."""

    loss: dict[float, dict[int, float]]
    tuning: list[int]
    fresh: list[int]
    other: int  # a seed of an earlier run, in neither list

    def runs(self, rng: torch.Generator) -> list[tuple[float, int, float]]:
        """(rate, seed, loss) of every run, in no order."""
        return shuffled(rng, [(lr, s, v) for lr, row in self.loss.items() for s, v in row.items()])

    def means(self, seeds: Sequence[int], broken: float = math.inf) -> dict[float, float]:
        """Rate -> mean loss over the seeds.

        A run that diverged counts as `broken`; it is left out where that is nan.
        """
        found = {}
        for lr, row in self.loss.items():
            kept = [broken if math.isnan(row[s]) else row[s] for s in seeds]
            found[lr] = mean([v for v in kept if not math.isnan(v)])
        return found


def _lowest(means: dict[float, float]) -> float:
    return min(means, key=means.__getitem__)


def _sweep(rng: torch.Generator, best: int, better_later: int, lucky: int) -> _Sweep:
    """Five rates, of which three stand out.

    `best` has the lowest mean on the tuning seeds, `better_later` on the fresh ones, and one tuning
    run of `lucky` is the lowest of all.
    """
    # from 1e-5 on: as texts, 0.00016 comes before 1e-05
    lowest = float(f"{whole(rng, 1, 4)}e-5")
    rates = [lowest * 2**i for i in range(5)]
    seeds = shuffled(rng, range(40))
    tuning, fresh, other = seeds[:3], seeds[3:8], seeds[8]
    loss = {}
    for i, lr in enumerate(rates):
        low = 4 + 0.1 * abs(i - best)
        row = [low + x for x in spread(rng, 3, 0.004)]
        if i == best != lucky:  # the lowest mean, and not the lowest of the worst runs
            row = [low - 0.2, low - 0.2, low + 0.33]
        if i == lucky:
            row = [low + 0.5, low - 0.7, low + 0.5]
        later = 4.2 + 0.1 * abs(i - better_later)
        loss[lr] = dict(zip(tuning, row, strict=True)) | dict(
            zip(fresh, [later + x for x in spread(rng, 5, 0.05)], strict=True)
        )
        loss[lr][other] = later + 0.3 + abs(i - better_later)  # were it asked, it would decide
    return _Sweep(loss, tuning, fresh, other)


def check_pick(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """10.1: the rate is chosen on the tuning seeds, and its loss read on the fresh ones."""
    for best, later, lucky in ((1, 2, 0), (2, 3, 1), (0, 1, 2), (4, 2, 1), (3, 1, 2)):
        _check_sweep(answer, rng, _sweep(rng, best, later, lucky))
    _check_diverged(answer, rng)
    sweep = _sweep(rng, 1, 3, 4)  # two rates alone: each is an edge
    two = sorted(sweep.loss)[1:3]
    _check_sweep(answer, rng, sweep._replace(loss={lr: sweep.loss[lr] for lr in two}))
    sweep = _sweep(rng, 2, 3, 1)
    sweep.loss[sorted(sweep.loss)[2]][sweep.fresh[0]] = 0.0  # a loss like any other
    _check_sweep(answer, rng, sweep)


def _check_diverged(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for broken in (1, 3):
        sweep = _sweep(rng, 2, 3, 4)
        row = sweep.loss[sorted(sweep.loss)[broken]]
        row |= {s: row[s] - 0.5 for s in sweep.tuning}  # the best of all, had it not diverged
        row[sweep.tuning[whole(rng, 0, 2)]] = math.nan
        _check_sweep(answer, rng, sweep)
    sweep = _sweep(rng, 2, 3, 1)
    sweep.loss[sorted(sweep.loss)[2]][sweep.fresh[1]] = math.nan
    _check_sweep(answer, rng, sweep)
    sweep = _sweep(rng, 3, 1, 2)  # beyond the best rate all runs diverged: it is no edge
    sweep.loss[max(sweep.loss)] = dict.fromkeys(sweep.loss[max(sweep.loss)], math.nan)
    _check_sweep(answer, rng, sweep)


def _check_sweep(answer: Callable[..., Any], rng: torch.Generator, sweep: _Sweep) -> None:
    given = answer(sweep.runs(rng), list(sweep.tuning), list(sweep.fresh))
    rate, loss, at_edge = items(given, 3, "(rate, mean loss on the fresh seeds, at_edge)")
    right = _lowest(sweep.means(sweep.tuning))
    if not same(number(rate), right):
        raise Wrong(_why_this_rate(number(rate), sweep))
    _check_fresh_mean(number(loss), sweep, right)
    edges = (min(sweep.loss), max(sweep.loss))
    if not isinstance(at_edge, bool):
        raise Wrong(f"at_edge is True or False; got {at_edge!r}.")
    if bool(at_edge) != (right in edges):
        raise Wrong(_why_this_edge(bool(at_edge), right, edges))


def _why_this_rate(rate: float, sweep: _Sweep) -> str:
    if rate not in sweep.loss:
        return f"{rate!r} is none of the rates that were tried."
    if any(math.isnan(sweep.loss[rate][s]) for s in sweep.tuning):
        return (
            "At this rate a tuning run diverged: its loss is nan. Count it as infinity. A mean "
            "that leaves it out hides it, and min() keeps a nan that comes first."
        )
    lowest_run = min(sweep.loss, key=lambda lr: min(sweep.loss[lr][s] for s in sweep.tuning))
    mistakes = {
        "This is the rate of the best single run, a lucky seed. Average over the tuning seeds "
        "first.": lowest_run,
        "This rate is chosen with the fresh seeds. They measure the choice, so they must not make "
        "it: choose on the tuning seeds alone.": _lowest(sweep.means(sweep.fresh)),
        "This rate is chosen with all seeds that are not fresh. `runs` may hold others: average "
        "over the seeds in `tuning`.": _lowest(sweep.means([*sweep.tuning, sweep.other])),
        "This is the rate whose worst run is the lowest. Compare the means.": min(
            sweep.loss, key=lambda lr: max(sweep.loss[lr][s] for s in sweep.tuning)
        ),
        "This rate has the highest loss. Lower is better.": _lowest(
            {lr: -loss for lr, loss in sweep.means(sweep.tuning).items()}
        ),
    }
    for message, mistaken in mistakes.items():
        if rate == mistaken:
            return message
    return (
        "This is not the rate with the lowest mean loss over the tuning seeds. The runs come in "
        "any order: go by the rate and the seed of each."
    )


def _check_fresh_mean(loss: float, sweep: _Sweep, rate: float) -> None:
    right = sweep.means(sweep.fresh)[rate]
    if same(loss, right):
        return
    row = sweep.loss[rate]
    fresh = [row[s] for s in sweep.fresh]
    if math.isinf(right):
        raise Wrong(
            f"A fresh run of this rate diverged (nan), so its mean is math.inf; got {loss!r}."
        )
    mistakes = {
        "This is the loss on the tuning seeds, on which the rate was chosen: it looks better than "
        "it is. Report the fresh seeds.": mean(row[s] for s in sweep.tuning),
        "This is the mean over all seeds. Report the fresh seeds alone.": mean(row.values()),
        "This is the mean over the tuning and the fresh seeds. Report the fresh seeds alone.": mean(
            row[s] for s in [*sweep.tuning, *sweep.fresh]
        ),
        "This is the mean over all seeds but those of tuning. `runs` may hold others: report the "
        "seeds in `fresh`.": mean([*fresh, row[sweep.other]]),
        "This is the best of the fresh runs. Report their mean.": min(fresh),
        "This is the lowest mean of any rate on the fresh seeds. Report the rate that you chose.": (
            min(sweep.means(sweep.fresh).values())
        ),
        "This is the sum of the fresh losses. Report their mean.": sum(fresh),
        "This is the median. Report the mean.": sorted(fresh)[len(fresh) // 2],
    }
    for message, mistaken in mistakes.items():
        if same(loss, mistaken):
            raise Wrong(message)
    raise Wrong(f"The mean over the fresh seeds at this rate is {right:.6g}; got {loss:.6g}.")


def _why_this_edge(said: bool, rate: float, edges: tuple[float, float]) -> str:
    if said:
        return (
            "The rate lies inside the rates that were tried, so at_edge is False. The runs come in "
            "any order: compare with the lowest and the highest rate, as numbers, and count those "
            "that diverged."
        )
    where = "lowest" if rate == edges[0] else "highest"
    return (
        f"The rate is the {where} that was tried, so at_edge is True: the best may lie outside. "
        "Look at both ends."
    )
