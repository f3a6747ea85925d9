"""The checks of lesson 00's model: perplexity, and the share of the weights that trains."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.cases import first_wrong
from ..checks.core import Wrong, expect
from ..checks.lived import lived_in
from .checks_models import simple_models


def number(value: float) -> Tensor:
    """The value as float64, for `expect`."""
    return torch.tensor(value, dtype=torch.float64)


# --- 0.1 -------------------------------------------------------------------------------------


def check_perplexity(answer: Callable[..., Any], rng: torch.Generator) -> None:
    losses = (2.0 + 2.0 * torch.rand(4, generator=rng, dtype=torch.float64)).tolist()
    tokens = [512, 512, 512, int(torch.randint(7, 60, (1,), generator=rng))]
    losses[-1] += 2.0  # the short last batch differs most, so an unweighted mean shows
    _expect_perplexity(answer, losses, tokens)
    for count in (3, 9):  # no two alike, a large loss, the shortest batch first
        losses = (11.0 * torch.rand(count, generator=rng, dtype=torch.float64)).tolist()
        tokens = (1 + 97 * torch.randperm(count, generator=rng)).tolist()
        _expect_perplexity(answer, losses, [3, *tokens[1:]])
        _expect_perplexity(answer, [*losses, losses[1]], [*tokens, 11])  # one loss stands twice
    _expect_perplexity(answer, [1.25], [7])
    _expect_perplexity(answer, [11.5, 12.5], [31, 17])  # a model that knows nothing
    certain = "of a model that is certain of every token: a perplexity of 1 is the lowest there is"
    _expect_perplexity(answer, [0.0], [1], certain)


def _expect_perplexity(
    answer: Callable[..., Any], losses: list[float], tokens: list[int], of_what: str = ""
) -> None:
    total = sum(tokens)
    sums = [loss * n for loss, n in zip(losses, tokens, strict=True)]
    result = _finite(answer, list(losses), list(tokens))
    mistakes = _mistakes_of_perplexity(losses, tokens, sums)
    case = f"for the losses {[round(loss, 2) for loss in losses]} of {tokens} tokens"
    case = f"{case}, {of_what}" if of_what else case
    expect(
        result,
        number(math.exp(sum(sums) / total)),
        k=len(losses),
        mistakes=mistakes,
        case=case,
        otherwise=lambda: first_wrong(answer, SIMPLE_BATCHES),
    )


def _simple(what: str, losses: list[float], tokens: list[int]) -> tuple[str, tuple, float]:
    """A case for `first_wrong`, with its perplexity."""
    total = math.fsum(loss * n for loss, n in zip(losses, tokens, strict=True))
    return what, (losses, tokens), math.exp(total / sum(tokens))


SIMPLE_BATCHES = (
    _simple("one batch", [1.0], [10]),
    _simple("two batches of as many tokens", [1.0, 2.0], [10, 10]),
    _simple("batches that differ in their tokens", [1.0, 2.0], [10, 30]),
    _simple("a longer batch that comes first", [1.0, 2.0, 1.5], [30, 10, 20]),
    _simple("losses that go up and down", [2.0, 1.0, 3.0], [10, 30, 20]),
    _simple("a batch of one token", [2.0, 1.0], [1, 30]),
    _simple("two batches with one and the same loss", [1.0, 2.0, 1.0], [10, 30, 20]),
    _simple("two batches with as many tokens, and a third", [1.0, 2.0, 4.0], [10, 10, 20]),
    _simple("losses with decimals", [1.23, 2.34], [17, 31]),
    _simple("a large loss, of a model that knows nothing", [11.0, 12.0], [10, 30]),
    _simple("a loss far above the others", [1.0, 1.1, 0.9, 1.0, 9.0], [10, 30, 20, 10, 10]),
    _simple("a loss of 0", [0.0, 2.0], [10, 30]),
    _simple("nine batches", [1.0, 3.0, 2.0, 1.5, 2.5, 1.2, 3.1, 2.2, 0.7],
            [30, 10, 20, 50, 40, 7, 9, 60, 3]),
)  # fmt: skip


def _mistakes_of_perplexity(
    losses: list[float], tokens: list[int], sums: list[float]
) -> dict[str, Tensor]:
    total, batches, mean = sum(tokens), len(losses), sum(sums) / sum(tokens)
    exps = [math.exp(loss) for loss in losses]
    return {
        "This is a mean over batches: weight each batch by its number of tokens.": (
            number(_power(math.e, sum(losses) / batches))
        ),
        "The batches' perplexities were averaged. Average the losses, then take e to that.": (
            number(sum(exps) / batches)
        ),
        "The perplexities were averaged, weighted. Average the losses, then take e to that.": (
            number(sum(e * n for e, n in zip(exps, tokens, strict=True)) / total)
        ),
        "The losses are in nats, so the base is e, not 2.": number(2**mean),
        "The losses are in nats, so the base is e, not 10.": number(_power(10, mean)),
        "e is 2.71828...: take math.exp.": number(2.718**mean),
        "Each loss is a batch's mean: multiply it by its tokens before you add.": (
            number(_power(math.e, sum(losses) / total))
        ),
        "This is the mean loss. Perplexity is its exponential.": number(mean),
        "This is the mean loss over batches. Weight it by tokens, then take its exponential.": (
            number(sum(losses) / batches)
        ),
        "The loss is positive: take e to the power of it, without a minus.": number(
            math.exp(-mean)
        ),
        "The losses were added, not averaged: divide by the number of tokens.": (
            number(_power(math.e, sum(losses)))
        ),
        "This is the middle one of the losses. A mean over all tokens is asked for.": (
            number(math.exp(median(losses)))
        ),
        "The last batch is missing: it is short, and it counts.": (
            number(math.exp(sum(sums[:-1]) / max(1, sum(tokens[:-1]))))
        ),
        "This is the last batch alone. Take all of them.": number(exps[-1]),
        "This is the first batch alone. Is the `return` inside the loop?": number(exps[0]),
        "The divisor is one too small: divide by the number of all tokens.": (
            number(_power(math.e, sum(sums) / max(0.5, total - 1)))
        ),
        "The logarithm was taken. Perplexity is e to the power of the mean loss.": (
            number(math.log(mean) if mean > 0 else -math.inf)
        ),
        "The square root is too much: perplexity is e to the mean loss.": (
            number(math.exp(mean / 2))
        ),
        "This is one less than the perplexity: math.exp, not math.expm1.": (
            number(math.expm1(mean))
        ),
        "The longer batch must count more: multiply by its tokens, do not divide.": (
            number(
                math.exp(
                    sum(loss / n for loss, n in zip(losses, tokens, strict=True))
                    / sum(1 / n for n in tokens)
                )
            )
        ),
        "The tokens are squared: multiply each loss by them once.": number(
            math.exp(
                sum(loss * n * n for loss, n in zip(losses, tokens, strict=True))
                / sum(n * n for n in tokens)
            )
        ),
        "The first batch is missing: take all of them.": (
            number(math.exp(sum(sums[1:]) / max(1, sum(tokens[1:]))))
        ),
        "The losses and the tokens were paired in another order. Each batch has its own.": (
            number(
                math.exp(
                    sum(loss * n for loss, n in zip(losses, tokens[::-1], strict=True)) / total
                )
            )
        ),
        "Every batch was taken to be as long as the first. Use the tokens of each.": (
            number(_power(math.e, sum(sums) / (tokens[0] * batches)))
        ),
        **_mistakes_of_choice(losses, tokens),
    }


def _mistakes_of_choice(losses: list[float], tokens: list[int]) -> dict[str, Tensor]:
    """The formula is right, and something else was put into it."""
    pairs, total = list(zip(losses, tokens, strict=True)), sum(tokens)

    def mean(pairs: list[tuple[float, float]], divisor: float = 0.0) -> Tensor:
        divisor = divisor or sum(n for _, n in pairs) or 1.0
        return number(_power(math.e, sum(loss * n for loss, n in pairs) / divisor))

    mistakes = {
        "The sum is divided by the tokens of all batches but the last. Divide by all.": mean(
            pairs, sum(tokens[:-1])
        ),
        "The mean was divided by the number of batches as well: the tokens are divisor enough.": (
            mean(pairs, total * len(pairs))
        ),
        "The weights are the roots of the tokens. Take the tokens themselves.": mean(
            [(loss, n**0.5) for loss, n in pairs]
        ),
        "Each batch counts with one token less than it has. Its loss is the mean of all n.": mean(
            [(loss, n - 1) for loss, n in pairs]
        ),
        "Each batch counts with one token more than it has.": mean(
            [(loss, n + 1) for loss, n in pairs]
        ),
        "Two batches have the same loss, and a dict keeps one of them: go through the pairs, "
        "zip(losses, tokens).": mean(list(dict(pairs).items())),
        "Two batches have as many tokens, and a dict keeps one of them: go through the pairs, "
        "zip(losses, tokens).": mean(
            [(loss, n) for n, loss in {n: loss for loss, n in pairs}.items()]
        ),
        "The losses and the tokens were paired in another order: each list was sorted.": mean(
            list(zip(sorted(losses), sorted(tokens), strict=True))
        ),
        "The mean loss was cut to a whole number before e was raised to it.": number(
            math.exp(int(sum(loss * n for loss, n in pairs) / total))
        ),
        "The weights were rounded to whole percents. Take the tokens themselves.": mean(
            [(loss, 100 * n // total) for loss, n in pairs], 100
        ),
    }
    for i, (loss, n) in enumerate(pairs[1:-1], 1):
        said = f"Batch {i}, of loss {loss:.3g} and {n} tokens, is missing: take all of them."
        mistakes[said] = mean(pairs[:i] + pairs[i + 1 :])
    return mistakes


def _power(base: float, exponent: float) -> float:
    return 1e300 if exponent * math.log(base) > 690 else base**exponent


def _finite(answer: Callable[..., Any], losses: list[float], tokens: list[int]) -> Any:
    """The answer's result; e to the summed loss of all tokens is past every float."""
    try:
        result = answer(losses, tokens)
    except OverflowError:
        result = math.inf
    except ZeroDivisionError as error:
        raise Wrong(
            f"It divides by zero for the losses {losses} of {tokens} tokens. A loss of 0 counts "
            "like any other, and a batch of one token too: divide by the sum of the tokens."
        ) from error
    if isinstance(result, float | torch.Tensor) and torch.as_tensor(result).isinf().any():
        raise Wrong(
            "The exponent is the loss of hundreds of tokens: divide the sum by the number of all "
            "tokens before you take e to that."
        )
    return result


# --- 0.2 -------------------------------------------------------------------------------------


class _Tied(nn.Module):
    """A model with one tensor under two names, frozen parts and trained parts, at three depths.

    Names tell nothing: a frozen part has an adapter's name, and a trained one has none. It holds a
    single number, a kernel of four sides, a bias that trains by itself, and buffers (no weights).
    Two frozen parts take two bytes a number, as a base often does.
    """

    def __init__(
        self, rng: torch.Generator, trains: bool | None = None, scalar: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        width = int(torch.randint(11, 29, (1,), generator=rng))
        self.embedding = nn.Embedding(37, width)
        self.frozen = nn.Linear(width, 41)
        self.down = nn.Linear(width, 3, bias=False)  # no telling name: requires_grad decides
        self.up = nn.Linear(3, 41, bias=False)
        self.head = nn.Linear(width, 37, bias=False)
        self.head.weight = self.embedding.weight
        self.lora_old = nn.Linear(5, 7)
        norms = nn.BatchNorm1d(13), nn.LayerNorm(13)  # equal numbers, and not one tensor
        self.block = nn.Sequential(nn.ModuleList([nn.Linear(7, 5)]), *norms)
        self.kernel = nn.Conv2d(2, 3, 5)
        self.scale = nn.Parameter(torch.ones(scalar))
        for part in (self.embedding, self.frozen, self.lora_old, self.kernel):
            part.requires_grad_(False)
        self.frozen.half()
        self.kernel.half()
        self.block[0][0].weight.requires_grad_(False)  # its bias trains
        if trains is not None:
            self.requires_grad_(trains)


OTHERS = ("block.1.weight", "block.1.bias", "block.2.weight", "block.2.bias", "kernel.weight",
          "kernel.bias", "scale", "embedding.weight")  # fmt: skip
"""The tensors of what is no nn.Linear; the head holds the embedding's."""


def check_trainable_share(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for trains, scalar in ((None, (1,)), (None, ()), (True, ())):  # a part, and all
        model = lived_in(_Tied(rng, trains, scalar), rng)
        expected, mistakes = _shares(model)
        case = "of a model with tied, frozen and one-dimensional tensors, and a convolution"
        expect(
            answer(model),
            expected,
            k=4,
            mistakes=mistakes,
            case=case,
            otherwise=lambda: first_wrong(answer, simple_models(), given=False),
        )
    expect(answer(model), expected, k=4, case="for the same model once more: count anew each time")


def _shares(model: _Tied) -> tuple[Tensor, dict[str, Tensor]]:
    """The share, counted by hand from the sides, and what each mistake gives."""
    width = model.frozen.in_features
    sizes = {
        "embedding.weight": 37 * width, "frozen.weight": 41 * width, "frozen.bias": 41,
        "down.weight": 3 * width, "up.weight": 41 * 3, "lora_old.weight": 35, "lora_old.bias": 7,
        "block.0.0.weight": 35, "block.0.0.bias": 5, "block.1.weight": 13, "block.1.bias": 13,
        "block.2.weight": 13, "block.2.bias": 13,
        "kernel.weight": 3 * 2 * 25, "kernel.bias": 3, "scale": 1,
    }  # fmt: skip
    named = dict(model.named_parameters())
    trained = {name: n for name, n in sizes.items() if named[name].requires_grad}
    part, total = sum(trained.values()), sum(sizes.values())
    twice, buffers = sizes["embedding.weight"], 2 * 13 + 1
    again = twice if "embedding.weight" in trained else 0
    rows = {n: len(p) if p.dim() else 1 for n, p in named.items()}
    weights = {n for n in sizes if not n.endswith("bias")}
    mistakes = {
        "This divides by the frozen numbers alone. The share is of all numbers.": (
            part / max(1, total - part)
        ),
        "This counts tensors. Count the numbers in them: p.numel().": len(trained) / len(sizes),
        "A tensor that is used twice was counted twice. model.parameters() lists it once.": (
            (part + again) / (total + twice)
        ),
        "This is in percent. Return a share between 0 and 1.": 100 * part / total,
        "This counts bytes, and these tensors differ in their dtype. Count numbers: p.numel().": (
            sum(n * named[name].element_size() for name, n in trained.items())
            / sum(n * named[name].element_size() for name, n in sizes.items())
        ),
        "This counts rows: len(p) is the first side only. Use p.numel().": (
            sum(rows[n] for n in trained) / sum(rows.values())
        ),
        "This is the share that is frozen.": 1 - part / total,
        "This is a count. Divide by the number of all of them.": part,
        "Biases were left out: a bias holds numbers too.": (
            sum(trained[n] for n in trained if n in weights) / sum(sizes[n] for n in weights)
        ),
        "state_dict() lists buffers and a shared tensor twice. Take model.parameters().": (
            part / (total + twice + buffers)
        ),
        "Nothing was found to train. Ask p.requires_grad of each of model.parameters(): a name "
        "does not tell, no gradient is there before training, and the tensors of state_dict() are "
        "detached.": 0.0,
        "This is right only where everything trains: ask p.requires_grad.": 1.0,
        "This goes by names. A name does not tell whether a tensor trains: p.requires_grad does.": (
            sum(n for name, n in sizes.items() if "lora_" in name) / total
        ),
        "Buffers were counted. They are no weights: take model.parameters().": (
            part / (total + buffers)
        ),
        "Only nn.Linear layers were counted. Other layers hold weights too.": (
            (part - sum(trained.get(n, 0) for n in OTHERS))
            / (total - sum(sizes[n] for n in OTHERS if n != "embedding.weight"))
        ),
        "Only matrices were counted: biases and convolutions hold numbers too.": (
            sum(trained[n] for n in trained if named[n].dim() == 2)
            / sum(n for name, n in sizes.items() if named[name].dim() == 2)
        ),
        "Only the direct parts were looked at: model.parameters() goes to any depth.": (
            sum(n for name, n in trained.items() if name.count(".") == 1)
            / sum(n for name, n in sizes.items() if name.count(".") == 1)
        ),
        "Sides were added, not multiplied: p.numel() is the product of the shape.": (
            sum(sum(named[n].shape) for n in trained) / sum(sum(p.shape) for p in named.values())
        ),
        "Biases are in one of the two counts and not in the other.": (
            part / sum(sizes[n] for n in weights)
        ),
        "It is upside down: divide what trains by all.": total / max(1, part),
        "These are the parameters of the model itself, without those of its parts.": (
            1.0 if "scale" in trained else 0.0
        ),
    }
    return number(part / total), {text: number(float(value)) for text, value in mistakes.items()}
