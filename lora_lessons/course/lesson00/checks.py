"""The checks of lesson 00: perplexity, the share that trains, bytes, an interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..checks.core import Wrong, expect


def _number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def check_perplexity(answer: Callable[..., Any], rng: torch.Generator) -> None:
    losses = (2.0 + 2.0 * torch.rand(4, generator=rng, dtype=torch.float64)).tolist()
    tokens = [512, 512, 512, int(torch.randint(7, 60, (1,), generator=rng))]
    losses[-1] += 2.0  # the short last batch differs most, so an unweighted mean shows
    total = sum(tokens)
    mean = sum(loss * n for loss, n in zip(losses, tokens, strict=True)) / total
    exps = [math.exp(loss) for loss in losses]
    expect(
        _finite(answer, list(losses), list(tokens)),
        _number(math.exp(mean)),
        k=4,
        mistakes={
            "This is a mean over batches: weight each batch by its number of tokens.": (
                _number(math.exp(sum(losses) / 4))
            ),
            "The batches' perplexities were averaged. Average the losses, then take e to that.": (
                _number(sum(exps) / 4)
            ),
            "The perplexities were averaged, weighted. Average the losses, then take e to that.": (
                _number(sum(e * n for e, n in zip(exps, tokens, strict=True)) / total)
            ),
            "The losses are in nats, so the base is e, not 2.": _number(2**mean),
            "Each loss is a batch's mean: multiply it by its tokens before you add.": (
                _number(math.exp(sum(losses) / total))
            ),
            "This is the mean loss. Perplexity is its exponential.": _number(mean),
            "The loss is positive: take e to the power of it, without a minus.": (
                _number(math.exp(-mean))
            ),
            "The losses were added, not averaged: divide by the number of tokens.": (
                _number(math.exp(sum(losses)))
            ),
        },
    )


def _finite(answer: Callable[..., Any], losses: list[float], tokens: list[int]) -> Any:
    """The answer's result; e to the summed loss of all tokens is past every float."""
    try:
        result = answer(losses, tokens)
    except OverflowError:
        result = math.inf
    if isinstance(result, float | torch.Tensor) and torch.as_tensor(result).isinf().any():
        raise Wrong(
            "The exponent is the loss of hundreds of tokens: divide the sum by the number of all "
            "tokens before you take e to that."
        )
    return result


class _Tied(nn.Module):
    """A model with one tensor under two names, a frozen part and a trained part."""

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        width = int(torch.randint(11, 29, (1,), generator=rng))
        self.embedding = nn.Embedding(37, width)
        self.frozen = nn.Linear(width, 41)
        self.down = nn.Linear(width, 3, bias=False)  # no telling name: requires_grad decides
        self.up = nn.Linear(3, 41, bias=False)
        self.head = nn.Linear(width, 37, bias=False)
        self.head.weight = self.embedding.weight
        for part in (self.embedding, self.frozen):
            part.requires_grad_(False)


def check_trainable_share(answer: Callable[..., Any], rng: torch.Generator) -> None:
    model = _Tied(rng)
    width = model.frozen.in_features
    trained = 3 * (width + 41)
    frozen = 37 * width + 41 * width + 41
    rows_all = 37 + 41 + 41 + 3 + 41  # embedding, frozen weight, frozen bias, A, B
    expect(
        answer(model),
        _number(trained / (trained + frozen)),
        k=4,
        mistakes={
            "This divides by the frozen numbers alone. The share is of all numbers.": (
                _number(trained / frozen)
            ),
            "This counts tensors. Count the numbers in them: p.numel().": _number(2 / 5),
            "A tensor that is used twice was counted twice. model.parameters() lists it once.": (
                _number(trained / (trained + frozen + 37 * width))
            ),
            "This is in percent. Return a share between 0 and 1.": (
                _number(100 * trained / (trained + frozen))
            ),
            "This counts rows: len(p) is the first side only. Use p.numel().": (
                _number((3 + 41) / rows_all)
            ),
            "This is the share that is frozen.": _number(frozen / (trained + frozen)),
            "This is a count. Divide by the number of all of them.": _number(float(trained)),
            "Nothing was found to train. Ask p.requires_grad of each of model.parameters(): a name "
            "does not tell, and the tensors of state_dict() are detached.": _number(0.0),
        },
    )


def check_adapter_bytes(answer: Callable[..., Any], rng: torch.Generator) -> None:
    sides = torch.randint(100, 3000, (6,), generator=rng).tolist()
    shapes = [(sides[i], sides[i] + sides[i + 1]) for i in (0, 2, 4)]
    shapes.append(shapes[1])  # the blocks of a model repeat their shapes
    r, size = 3, 8
    numbers = sum(r * out + r * in_ for out, in_ in shapes)
    weights = sum(out * in_ for out, in_ in shapes)
    expect(
        answer(list(shapes), r, size),
        _number(float(numbers * size)),
        k=1,
        mistakes={
            "Every layer was taken as a square. B has `out` rows, A has `in` columns.": (
                _number(float(sum(2 * r * in_ for _, in_ in shapes) * size))
            ),
            "Every layer was taken as a square of its `out` side.": (
                _number(float(sum(2 * r * out for out, _ in shapes) * size))
            ),
            "Two bytes a number were used. Use bytes_per_number.": _number(float(numbers * 2)),
            "Four bytes a number were used. Use bytes_per_number.": _number(float(numbers * 4)),
            "The frozen W was counted too. It is not in the adapter's file.": (
                _number(float((numbers + weights) * size))
            ),
            "These are numbers, not bytes: multiply by bytes_per_number.": _number(float(numbers)),
            "Only A was counted. Each layer has B of shape (out, r) too.": (
                _number(float(sum(r * in_ for _, in_ in shapes) * size))
            ),
            "Only B was counted. Each layer has A of shape (r, in) too.": (
                _number(float(sum(r * out for out, _ in shapes) * size))
            ),
            "This is r times the product of the sides. A and B hold r times their sum.": (
                _number(float(r * weights * size))
            ),
            "These are the layers themselves. Only A and B are in the file.": (
                _number(float(weights * size))
            ),
            "The rank is missing: A has r rows, B has r columns.": (
                _number(float(numbers // r * size))
            ),
            "This is the first layer alone. Is the `return` inside the loop?": (
                _number(float(r * sum(shapes[0]) * size))
            ),
            "Two layers of one shape were counted as one. Each has its own A and B.": (
                _number(float((numbers - r * sum(shapes[1])) * size))
            ),
        },
    )
    if answer([(128, 256)], 8) != 8 * (128 + 256) * 4:
        raise Wrong("Without bytes_per_number a number takes 4 bytes: keep the default.")


def check_interval(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for n, t in ((5, 2.776), (4, 3.182)):  # another n, so that a fixed 5 or 2.776 shows
        values = (3.0 + torch.randn(n, generator=rng, dtype=torch.float64)).tolist()
        _check_interval(answer(list(values), t), values, t)


def _check_interval(result: Any, values: list[float], t: float) -> None:
    n = len(values)
    mean = sum(values) / n
    squares = sum((v - mean) ** 2 for v in values)
    s = math.sqrt(squares / (n - 1))

    def pair(half: float) -> torch.Tensor:
        return torch.tensor([mean - half, mean + half], dtype=torch.float64)

    try:
        low, high = (float(end) for end in result)
    except (TypeError, ValueError):
        raise Wrong("Return two numbers, (low, high).") from None
    expect(
        torch.tensor([low, high], dtype=torch.float64),
        pair(t * s / math.sqrt(n)),
        k=4,
        mistakes={
            "1.96 belongs to large samples. Five runs need t, which you are given.": (
                pair(1.96 * s / math.sqrt(n))
            ),
            "The deviation was divided by n. A sample's is divided by n - 1.": (
                pair(t * math.sqrt(squares / n) / math.sqrt(n))
            ),
            "The root of n is missing: this is an interval for one run, not for the mean.": (
                pair(t * s)
            ),
            "These are the smallest and the largest value. They widen with more runs.": (
                torch.tensor([min(values), max(values)], dtype=torch.float64)
            ),
            "This uses the variance. The deviation is its square root.": (
                pair(t * s * s / math.sqrt(n))
            ),
            "The half-width was divided by n, not by its root.": pair(t * s / n),
            "t is missing: the half-width is t times s over the root of n.": pair(s / math.sqrt(n)),
            "These are the mean and the half-width: return mean - half, mean + half.": (
                torch.tensor([mean, t * s / math.sqrt(n)], dtype=torch.float64)
            ),
            "The mean is missing: the interval lies around it.": (
                pair(t * s / math.sqrt(n)) - mean
            ),
            "The root is of n, not of n - 1; that belongs to the sample deviation alone.": (
                pair(t * s / math.sqrt(n - 1))
            ),
            "This divides by the root of 5. Take the number of values: it is not always 5.": (
                pair(t * s / math.sqrt(5))
            ),
            "The ends are the wrong way round: return (low, high).": (pair(-t * s / math.sqrt(n))),
            "This is right for five runs alone: take n from the values, and the t you are given.": (
                pair(2.776 * s / math.sqrt(n))
            ),
        },
    )
