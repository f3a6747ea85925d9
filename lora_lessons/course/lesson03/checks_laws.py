"""The checks of lesson 03's measuring: the exponent of a law, and which runs broke.

Every expected value is computed here, by other means than the package's own functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checks.cases import first_wrong
from ..checks.core import Wrong, expect
from ..checks.plain import number


def _uniform(rng: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand(1, generator=rng, dtype=torch.float64).item()


def _slope(x: Tensor, y: Tensor) -> Tensor:
    """The slope of y against x by least squares, by the pseudo-inverse."""
    design = torch.stack([x, torch.ones_like(x)], dim=1)
    return (torch.linalg.pinv(design) @ y)[0]


def check_power_law(answer: Callable[..., Any], rng: torch.Generator) -> None:
    # rising in order, falling in none, with one x twice; then below 1, whole numbers, two points
    x = torch.tensor([1, 2, 3, 5, 8, 13, 21, 34], dtype=torch.float64)
    _check_law(answer, x, _uniform(rng, 0.4, 0.8), rng)
    mixed = torch.cat([x[1:], x[3:4]])[torch.randperm(len(x), generator=rng)]
    _check_law(answer, mixed, -_uniform(rng, 0.4, 0.8), rng)
    _check_law(answer, x.flip(0) / 40, _uniform(rng, 1.2, 2.5), rng)
    _check_law(answer, x / 6, _uniform(rng, 0.4, 0.8), rng, c=0.7)  # on both sides of 1
    _check_law(answer, torch.tensor([0.3, 700.0], dtype=torch.float64), -0.7, rng)
    expect(answer([1, 2, 4, 16], [3, 1, 9, 2]), _slope(*_logs([1, 2, 4, 16], [3, 1, 9, 2])), k=100)
    for case, (x_given, y_given) in NO_LOGARITHM.items():
        _refuses(answer, case, list(x_given), list(y_given))


def _logs(x: list[float], y: list[float]) -> tuple[Tensor, Tensor]:
    return torch.tensor(x).double().log(), torch.tensor(y).double().log()


def _check_law(
    answer: Callable[..., Any], x: Tensor, p: float, rng: torch.Generator, c: float = 5.0
) -> None:
    noise = 0.1 * torch.randn(len(x), generator=rng, dtype=torch.float64)
    y = c * x**p * noise.exp()
    expect(
        answer(x.tolist(), y.tolist()),
        _slope(x.log(), y.log()),
        k=100,  # a fit cancels some digits
        mistakes=_mistaken_slopes(x, y),
        case=f"for {len(x)} points",
        otherwise=lambda: first_wrong(answer, LAWS) or _how_far_off(answer, x.log(), y.log()),
    )


def _how_far_off(answer: Callable[..., Any], log_x: Tensor, log_y: Tensor) -> str:
    """The squared distances to a line of this slope, and to the best one."""
    got = number(answer(log_x.exp().tolist(), log_y.exp().tolist()))
    slope = _slope(log_x, log_y).item()
    off, least = ((log_y - p * log_x).var(correction=0).item() * len(log_x) for p in (got, slope))
    return (
        f"Least squares means that no line is nearer. With p = {got:.5g} the squared distances in "
        f"log y add up to {off:.5g}, with {slope:.5g} to {least:.5g}."
    )


def _law(what: str, x: list[float], y: list[float]) -> tuple[str, tuple, float]:
    return what, (x, y), _slope(*_logs(x, y)).item()


def _mistaken_slopes(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    log_x, log_y = x.log(), y.log()
    slope = _slope(log_x, log_y)
    mistaken = {
        "This is the slope of y against x. A power law is straight in log y against log x.": (
            _slope(x, y)
        ),
        "Only y was put in logarithms: that finds an exponential, not a power.": _slope(x, log_y),
        "Only x was put in logarithms: take the logarithm of y too.": _slope(log_x, y),
        "x and y are the wrong way round: fit log y as a function of log x.": _slope(log_y, log_x),
        "The logarithms are of different bases (2 and e): use one for both.": slope / math.log(2),
        "The logarithms are of different bases (e and 2): use one for both.": slope * math.log(2),
        "This uses the first and the last point only. Fit all of them.": (
            (y[-1] / y[0]).log() / (x[-1] / x[0]).log()
        ),
        "This uses the smallest and the largest x only. Fit all points.": (
            (log_y[x.argmax()] - log_y[x.argmin()]) / (log_x.max() - log_x.min())
        ),
        "This line goes through the origin: let it have a constant, for y = c x^p.": (
            (log_x * log_y).sum() / log_x.square().sum()
        ),
        "This line goes through the first point. Least squares has a constant of its own.": (
            ((log_x - log_x[0]) * (log_y - log_y[0])).sum() / (log_x - log_x[0]).square().sum()
        ),
        "This is log c, where the line meets the axis. p is the slope of the line.": (
            log_y.mean() - slope * log_x.mean()
        ),
        "This is c, the factor in front. p is the slope of the line.": (
            (log_y.mean() - slope * log_x.mean()).exp()
        ),
        "This is the correlation. It says how straight the line is, not how steep.": (
            torch.corrcoef(torch.stack([log_x, log_y]))[0, 1]
        ),
        "This is the size of the exponent. A falling law has a negative one.": slope.abs(),
        "This is minus the exponent.": -slope,
        "log(1 + x) is not log x: near 1 it bends the line.": _slope(x.log1p(), y.log1p()),
        "This is the covariance. Divide it by the variance of log x.": (
            torch.cov(torch.stack([log_x, log_y]))[0, 1]
        ),
        "This takes a mean of the points' ratios log y / log x. Fit a line with a constant.": (
            (log_y / log_x).mean()
        ),
        "This is the mean of the slopes between neighbours. Least squares fits all points.": (
            (log_y.diff() / log_x.diff()).mean()
        ),
        "x and y were sorted each by itself. They are pairs: keep x[i] with y[i].": (
            _slope(log_x.sort().values, log_y.sort().values)
        ),
    }
    once = dict(zip(log_x.tolist(), log_y.tolist(), strict=True))
    alone = torch.tensor(list(once.items()), dtype=torch.float64)
    both = torch.linalg.svd(torch.stack([log_x - log_x.mean(), log_y - log_y.mean()], 1)).Vh
    pairs = torch.combinations(torch.arange(len(x)))
    runs, rises = (v[pairs[:, 1]] - v[pairs[:, 0]] for v in (log_x, log_y))
    bend = torch.stack([log_x**2, log_x, torch.ones_like(log_x)], 1)
    mistaken |= {
        "This is the median of the slopes between pairs. Least squares fits all points.": (
            (rises / runs)[runs != 0].quantile(0.5)
        ),
        "This is of a curve, with a square of log x. Fit a straight line.": (
            (torch.linalg.pinv(bend) @ log_y)[1]
        ),
        "The covariance was divided by n - 1 and the variance by n: take one for both.": (
            slope * len(x) / (len(x) - 1)
        ),
        "The covariance was divided by n and the variance by n - 1: take one for both.": (
            slope * (len(x) - 1) / len(x)
        ),
        "This is the ratio of the spreads. It has no sign, and grows with the distances.": (
            log_y.std() / log_x.std()
        ),
        "Points whose x is below 1 were left out. All of them count.": (
            _slope(log_x[x >= 1], log_y[x >= 1]) if (x >= 1).sum() > 1 else slope
        ),
        "The points are weighted by log x. Each counts once.": _weighted(log_x, log_y, log_x),
        "One x stands here twice, and both points count. A dict keeps one of them.": (
            _slope(*alone.T)
        ),
        "The logarithms are of different bases (e and 10): use one for both.": (
            slope / math.log(10)
        ),
        "The logarithms are of different bases (10 and e): use one for both.": (
            slope * math.log(10)
        ),
        "x and y were sorted against each other. They are pairs: keep x[i] with y[i].": (
            _slope(log_x.sort().values, log_y.sort(descending=True).values)
        ),
        "This measures the distance across the line. Least squares takes that in log y.": (
            both[0, 1] / both[0, 0]
        ),
        "The points are weighted by x. Each counts once.": _weighted(log_x, log_y, x * x),
    }
    for digits in (4, 3, 2, 1):
        mistaken[f"This is rounded to {digits} digits. Return the number as it is."] = torch.tensor(
            round(slope.item(), digits), dtype=torch.float64
        )
    return {message: value for message, value in mistaken.items() if value.isfinite()}


LAWS = (
    _law("points on the line", [1.0, 2.0, 4.0], [3.0, 6.0, 12.0]),
    _law("a law that falls", [1.0, 2.0, 4.0], [12.0, 6.0, 3.0]),
    _law("an exponent with a fraction", [1.0, 4.0, 16.0], [3.0, 6.0, 12.0]),
    _law("a point off the line", [1.0, 2.0, 4.0], [1.0, 4.0, 4.0]),
    _law("points in no order", [4.0, 1.0, 2.0, 8.0], [5.0, 1.0, 4.0, 6.0]),
    _law("points that lie unevenly", [1.0, 2.0, 3.0, 50.0], [1.0, 4.0, 2.0, 9.0]),
    _law("x below 1", [0.1, 0.2, 0.5, 2.0], [1.0, 4.0, 2.0, 9.0]),
    _law("y below 1", [1.0, 2.0, 4.0, 5.0], [0.1, 0.4, 0.2, 0.9]),
    _law("whole numbers", [1, 2, 4, 16], [3, 1, 9, 2]),
    _law("one x that stands twice", [1.0, 2.0, 2.0, 8.0], [1.0, 4.0, 2.0, 9.0]),
    _law("two points", [0.3, 700.0], [9.0, 2.0]),
    _law("large numbers", [1e3, 2e3, 9e3], [1e5, 9e5, 7e5]),
    _law("ten points", [float(i) for i in range(1, 11)], [float(i % 4 + 1) for i in range(10)]),
)


def _weighted(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    weights = weights / weights.sum()
    x, y = x - (weights * x).sum(), y - (weights * y).sum()
    return (weights * x * y).sum() / (weights * x * x).sum()


NO_LOGARITHM = {
    "y = 0 (the gradient of A at the start)": ((1.0, 2.0, 4.0, 8.0), (0.0, 0.0, 0.0, 0.0)),
    "one y = 0 among others above zero": ((1.0, 2.0, 4.0, 8.0), (3.0, 2.0, 0.0, 1.0)),
    "a negative y": ((1.0, 2.0, 4.0, 8.0), (3.0, 2.0, -1.0, 1.0)),
    "x = 0": ((0.0, 1.0, 2.0, 4.0), (4.0, 3.0, 2.0, 1.0)),
    "x = 0 at the end": ((4.0, 2.0, 1.0, 0.0), (4.0, 3.0, 2.0, 1.0)),
    "y = 0 at the end": ((1.0, 2.0, 4.0, 8.0), (4.0, 3.0, 2.0, 0.0)),
    "a negative x": ((1.0, -2.0, 4.0, 8.0), (4.0, 3.0, 2.0, 1.0)),
    "all values negative": ((-1.0, -2.0, -4.0), (-4.0, -3.0, -2.0)),
}


def _refuses(answer: Callable[..., Any], case: str, x: list[float], y: list[float]) -> None:
    try:
        answer(x, y)
    except np.linalg.LinAlgError as error:  # a ValueError by its class, and by accident
        raise Wrong(
            f"For {case} the fit itself failed ({error}). Look at the values first, and raise a "
            "ValueError that says what is wrong with them."
        ) from error
    except ValueError:
        return
    except Wrong as error:
        raise Wrong(f"For {case} it must raise a ValueError, not return a value.") from error
    except NotImplementedError:
        raise
    except Exception as error:
        raise Wrong(
            f"For {case} it raised {type(error).__name__}: raise a ValueError, for there is no "
            "logarithm."
        ) from error
    raise Wrong(f"For {case} it must raise a ValueError.")
