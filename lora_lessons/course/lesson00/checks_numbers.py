"""The checks of lesson 00's numbers: the bytes of an adapter, and an interval from few runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from statistics import mean, median, stdev
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect
from ..checks.core import number as plain_number
from .checks import number

# --- 0.3 -------------------------------------------------------------------------------------

Shapes = list[tuple[int, int]]


def check_adapter_bytes(answer: Callable[..., Any], rng: torch.Generator) -> None:
    sides = torch.randint(100, 3000, (8,), generator=rng).tolist()
    shapes = [(sides[i], sides[i] + sides[i + 1]) for i in (0, 2, 4, 6)]
    shapes.insert(1, shapes[1])  # the blocks of a model repeat their shapes
    _expect_bytes(answer(list(shapes), 5, 6), shapes, 5, 6)  # no two mistakes agree here
    _expect_bytes(answer([(7, 5)], 1, 1), [(7, 5)], 1, 1)  # so small that one byte more shows
    # r above a side, a square, and sums that no count of layers divides
    uneven = [(5, 3), (3, 11), (7, 7), (2, 9)]
    _expect_bytes(answer(list(uneven), 13, 2), uneven, 13, 2)
    large = [(28_672, 8_192), (8_192, 28_672)] * 80  # more bytes than 32 bits count
    large.append((50_257, 12_289))  # and odd ones: float32 cannot hold their number
    _expect_bytes(answer(list(large), 255, 4), large, 255, 4)
    got = answer([(128, 256)], 8)
    if not abs(got - 8 * (128 + 256) * 4) <= 0.01:
        raise Wrong("Without bytes_per_number a number takes 4 bytes: keep the default.")


def _expect_bytes(result: Any, shapes: Shapes, r: int, size: int) -> None:
    numbers = sum(r * out + r * in_ for out, in_ in shapes)
    right = numbers * size
    case = f"for {shapes if len(shapes) < 6 else f'{len(shapes)} layers'}, r = {r}"
    mistakes = _mistakes_of_bytes(shapes, r, size)
    factors = {"r": r, "bytes_per_number": size, "the number of layers": len(shapes)}
    expect(result, number(right), mistakes=mistakes, case=case, factors=factors)
    got = plain_number(result)
    if right < 1000 and not abs(got - right) < 0.01:
        raise Wrong(f"Expected {right} bytes for {shapes}, r = {r}; got {got}.")
    if isinstance(got, int) and got != right:
        raise Wrong(f"Nearly right: {got - right:+} bytes of {right}. Count with whole numbers.")


def _mistakes_of_bytes(shapes: Shapes, r: int, size: int) -> dict[str, Tensor]:
    numbers = sum(r * (out + in_) for out, in_ in shapes)
    weights = sum(out * in_ for out, in_ in shapes)
    mistakes = {
        "Every layer was taken as a square. B has `out` rows, A has `in` columns.": (
            sum(2 * r * in_ for _, in_ in shapes) * size
        ),
        "Every layer was taken as a square of its `out` side.": (
            sum(2 * r * out for out, _ in shapes) * size
        ),
        "Two bytes a number were used. Use bytes_per_number.": numbers * 2,
        "Four bytes a number were used. Use bytes_per_number.": numbers * 4,
        "The frozen W was counted too. It is not in the adapter's file.": (
            (numbers + weights) * size
        ),
        "These are numbers, not bytes: multiply by bytes_per_number.": numbers,
        "Only A was counted. Each layer has B of shape (out, r) too.": (
            sum(r * in_ for _, in_ in shapes) * size
        ),
        "Only B was counted. Each layer has A of shape (r, in) too.": (
            sum(r * out for out, _ in shapes) * size
        ),
        "This is r times the product of the sides. A and B hold r times their sum.": (
            r * weights * size
        ),
        "These are the layers themselves. Only A and B are in the file.": weights * size,
        "The rank is missing: A has r rows, B has r columns.": numbers // r * size,
        "This is the first layer alone. Is the `return` inside the loop?": (
            r * sum(shapes[0]) * size
        ),
        "This is the last layer alone: add to the sum in each turn of the loop.": (
            r * sum(shapes[-1]) * size
        ),
        "Two layers of one shape were counted as one. Each has its own A and B.": (
            sum(r * sum(shape) for shape in set(shapes)) * size
        ),
        "An r x r matrix was counted too. There are A and B alone.": (
            (numbers + len(shapes) * r * r) * size
        ),
        "These are bits. A byte has eight.": numbers * size * 8,
        "It was divided by 1024: return bytes.": numbers * size / 1024,
        "It was divided by 1000: return bytes.": numbers * size / 1000,
        "These are megabytes: return bytes.": numbers * size / 10**6,
        "These are mebibytes: return bytes.": numbers * size / 2**20,
        "The optimizer's two numbers for each weight were counted. They are not in the file.": (
            3 * numbers * size
        ),
        "A rank of 8 was used. Use r.": numbers // r * 8 * size,
        "The rank was squared: r stands once.": numbers * r * size,
        "A bias was counted. A and B have none.": (
            (numbers + sum(out for out, _ in shapes)) * size
        ),
        "The rank multiplies both sides: r * (out + in), not r * out + in.": (
            sum(r * out + in_ for out, in_ in shapes) * size
        ),
        "The bytes multiply the whole sum, not one term of it.": (
            sum(r * out + in_ * size for out, in_ in shapes)
        ),
        "Eight bytes of a header were added. Return the bytes of the numbers alone.": (
            numbers * size + 8
        ),
        "Every layer was taken to have the first one's shape.": (
            len(shapes) * r * sum(shapes[0]) * size
        ),
        "The last layer is missing.": (numbers - r * sum(shapes[-1])) * size,
        "r may be above a side: it is not cut there.": (
            sum(min(r, *shape) * sum(shape) for shape in shapes) * size
        ),
        "It ran past 32 bits: Python's own ints, or torch.int64, hold such a number.": (
            (numbers * size + 2**31) % 2**32 - 2**31
        ),
        "A and B are counted twice.": 2 * numbers * size,
        "One number more was counted for each layer. A and B are all there is.": (
            (numbers + len(shapes)) * size
        ),
        "r * r was taken off each layer. The file holds A and B in full.": (
            (numbers - len(shapes) * r * r) * size
        ),
        "The sides were subtracted: A and B hold r times their sum.": (
            sum(r * abs(in_ - out) for out, in_ in shapes) * size
        ),
        "A layer whose sides are equal was counted once. It has A and B too.": (
            sum(r * (out + in_) if out != in_ else r * out for out, in_ in shapes) * size
        ),
        "Layers with r above a side were left out. They hold A and B too.": (
            sum(r * (out + in_) for out, in_ in shapes if r <= min(out, in_)) * size
        ),
        "The mean shape was cut to whole numbers. Add up each layer's own.": (
            (len(shapes) * r * (sum(o for o, _ in shapes) // len(shapes)) if shapes else 0)
            + len(shapes) * r * (sum(i for _, i in shapes) // len(shapes))
        )
        * size,
        "It is cut to whole kibibytes: return bytes.": numbers * size // 1024 * 1024,
        "B of one layer was put with A of the next. Each layer has its own pair.": (
            sum(r * (a[0] + b[1]) for a, b in pairwise(shapes)) * size
        ),
        "A layer that is as large as its A and B, or smaller, was left as it is. Count A and B.": (
            sum(min(out * in_, r * (out + in_)) for out, in_ in shapes) * size
        ),
    }
    return {text: number(float(value)) for text, value in mistakes.items()}


# --- 0.4 -------------------------------------------------------------------------------------


def check_interval(answer: Callable[..., Any], rng: torch.Generator) -> None:
    # another n and another t than Student's 95 %, so that a fixed 5, 2.776 or table shows
    for n, t in ((5, 2.776), (4, 3.182), (2, 12.706), (7, 3.707), (3, 1.5)):
        values = (3.0 + torch.randn(n, generator=rng, dtype=torch.float64)).tolist()
        _check_interval(answer(list(values), t), values, t)
    values = (torch.randn(6, generator=rng, dtype=torch.float64) - 20).tolist()
    _check_interval(answer(list(values), 2.571), values, 2.571)  # below zero: low is lower still
    _check_interval(answer([2.5, 2.5, 2.5], 4.303), [2.5, 2.5, 2.5], 4.303)  # they agree
    twice = [*values[:2], values[1], values[2]]
    _check_interval(answer(list(twice), 3.182), twice, 3.182)  # two runs may come out alike


def _check_interval(result: Any, values: list[float], t: float) -> None:
    try:
        low, high = (float(plain_number(end)) for end in result)
    except (TypeError, ValueError):
        raise Wrong("Return two numbers, (low, high).") from None
    squares = sum((v - mean(values)) ** 2 for v in values)
    half = t * math.sqrt(squares / (len(values) - 1)) / math.sqrt(len(values))
    if not half:
        if not (abs(low - values[0]) < 1e-3 and abs(high - values[0]) < 1e-3):
            raise Wrong("All values are the same here, so both ends are that value.")
        return
    expect(
        torch.tensor([low, high], dtype=torch.float64),
        _pair(mean(values), half),
        k=4,
        mistakes=_mistakes_of_interval(values, t, squares, half),
        case=f"for {len(values)} values and t = {t}",
        otherwise=lambda: _which_half((low + high) / 2, (high - low) / 2, values, half),
    )


def _which_half(middle: float, width: float, values: list[float], half: float) -> str:
    """Whether the middle is wrong, or the half-width, or both; and which end."""
    right = mean(values)
    same = {name: abs(got - wanted) <= 1e-4 * max(abs(wanted), half) for name, got, wanted in (
        ("middle", middle, right), ("width", width, half),
        ("low end", middle - width, right - half), ("high end", middle + width, right + half),
    )}  # fmt: skip
    if same["middle"]:
        return f"The middle is the mean, and the half-width is {width:.5g}, not {half:.5g}."
    if same["width"]:
        return f"The half-width is right, and the middle is {middle:.5g}, not the mean {right:.5g}."
    for end, other in (("low end", "high end"), ("high end", "low end")):
        if same[end]:
            return f"The {end} is right and the {other} is not: both are as far from the mean."
    return (
        f"The middle is {middle:.5g}, not the mean {right:.5g}; the half-width is {width:.5g}, "
        f"not {half:.5g}."
    )


def _interval_of(values: list[float], t: float) -> Tensor:
    """The interval of these values, or nan where they are too few."""
    n = len(values)
    return _pair(mean(values), t * stdev(values) / math.sqrt(n)) if n > 1 else _pair(math.nan, 0.0)


def _pair(middle: float, half: float) -> Tensor:
    return torch.tensor([middle - half, middle + half], dtype=torch.float64)


def _mistakes_of_interval(
    values: list[float], t: float, squares: float, half: float
) -> dict[str, Tensor]:
    n, middle, ends = len(values), mean(values), torch.tensor([min(values), max(values)])
    s = math.sqrt(squares / (n - 1))
    around = {
        "1.96 belongs to large samples. Few runs need t, which you are given.": (
            1.96 * s / math.sqrt(n)
        ),
        "The deviation was divided by n. A sample's is divided by n - 1.": (
            t * math.sqrt(squares / n) / math.sqrt(n)
        ),
        "The root of n is missing: this is an interval for one run, not for the mean.": t * s,
        "This uses the variance. The deviation is its square root.": t * s * s / math.sqrt(n),
        "The half-width was divided by n, not by its root.": t * s / n,
        "t is missing: the half-width is t times s over the root of n.": s / math.sqrt(n),
        "The root is of n, not of n - 1; that belongs to the sample deviation alone.": (
            t * s / math.sqrt(n - 1)
        ),
        "This divides by the root of 5. Take the number of values: it is not always 5.": (
            t * s / math.sqrt(5)
        ),
        "The ends are the wrong way round: return (low, high).": -half,
        "This is right for five runs alone: take n from the values, and the t you are given.": (
            2.776 * s / math.sqrt(n)
        ),
        "It is half as wide as it should be: the half-width goes to each side.": half / 2,
        "It is twice as wide as it should be: the half-width goes to each side.": 2 * half,
        "This is the spread of single runs: the mean of n runs has s over the root of n.": s,
        "This is the interval of a difference of two runs. That of the mean is asked for.": (
            t * s * math.sqrt(2)
        ),
        "This is the interval for one more run. That of the mean is asked for.": (
            t * s * math.sqrt(1 + 1 / n)
        ),
        "The deviations were not squared. s is the root of the mean square, with n - 1.": (
            t * sum(abs(v - middle) for v in values) / n / math.sqrt(n)
        ),
        "s is taken around zero: subtract the mean before you square.": (
            t * math.sqrt(sum(v * v for v in values) / (n - 1)) / math.sqrt(n)
        ),
        "t is in it twice.": t * half,
        "The size of the deviations was taken. s is the root of their mean square, with n - 1.": (
            t * sum(abs(v - middle) for v in values) / (n - 1) / math.sqrt(n)
        ),
        "Half of the range was taken for the deviation s.": (
            t * (ends[1] - ends[0]).item() / 2 / math.sqrt(n)
        ),
        "s was divided by the mean: the half-width has the unit of the values.": (
            half / abs(middle)
        ),
        "The half-width was cut to a whole number.": int(half) or math.nan,
        "The range was taken for the deviation s.": t * (ends[1] - ends[0]).item() / math.sqrt(n),
    }
    table = {text: _pair(middle, width) for text, width in around.items()}
    table |= {
        "These are the smallest and the largest value. They widen with more runs.": ends.double(),
        "These are the mean and the half-width: return mean - half, mean + half.": (
            torch.tensor([middle, half], dtype=torch.float64)
        ),
        "These are the low end and the width: return (low, high).": (
            torch.tensor([middle - half, 2 * half], dtype=torch.float64)
        ),
        "These are the mean and the high end: return mean - half, mean + half.": (
            torch.tensor([middle, middle + half], dtype=torch.float64)
        ),
        "The mean was divided by n - 1. That belongs to the sample deviation alone.": (
            _pair(middle * n / (n - 1), half)
        ),
        "The interval may lie below zero: cut nothing off.": (_pair(middle, half).clamp_min(0)),
        "The mean is missing: the interval lies around it.": _pair(0.0, half),
        "It lies around the middle value. Take the mean.": _pair(median(values), half),
        "It lies around the first value. Take the mean.": _pair(values[0], half),
        "The low end was cut off at 0. An interval may reach below zero.": torch.tensor(
            [max(0.0, middle - half), middle + half], dtype=torch.float64
        ),
        "The sign of the mean is lost: values may lie below zero.": _pair(abs(middle), half),
        "The last value is missing: take all of them.": _interval_of(values[:-1], t),
        "The first value is missing: take all of them.": _interval_of(values[1:], t),
        "Two values are equal, and one of them is missing: a set keeps one. Both count.": (
            _interval_of(list(dict.fromkeys(values)), t)
        ),
        "The smallest and the largest value were left out. All of them count.": (
            _interval_of(sorted(values)[1:-1], t)
        ),
    }
    return table
