"""Models with one oddness each: in which of them does a wrong share of exercise 0.2 go wrong?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

Model = tuple[str, tuple[Any, ...], float]


def simple_models() -> Iterator[Model]:
    """What is new in it, the model, and its share; each is two layers, of 6 and 20 numbers.

    The first one trains and the second is frozen, unless the sentence says otherwise.
    """
    for what, change in ODD.items():
        model = nn.ModuleDict({"a": nn.Linear(2, 3, bias=False), "b": nn.Linear(4, 5, bias=False)})
        model["b"].requires_grad_(False)
        part, total = change(model) or (0, 0)
        yield what, (model,), (6 + part) / (26 + total)


def _bias(model: nn.ModuleDict) -> tuple[int, int]:
    model["b"].bias = nn.Parameter(torch.ones(5))
    return 5, 5


def _frozen_bias(model: nn.ModuleDict) -> tuple[int, int]:
    model["a"].bias = nn.Parameter(torch.ones(3), requires_grad=False)
    return 0, 3


def _two_alike(model: nn.ModuleDict) -> tuple[int, int]:
    model["c"] = nn.Linear(2, 3, bias=False).requires_grad_(False)
    return 0, 6


def _equal(model: nn.ModuleDict) -> tuple[int, int]:
    model["c"] = nn.Linear(2, 3, bias=False)
    model["c"].weight.data.copy_(model["a"].weight.data)
    return 6, 6


def _tied(model: nn.ModuleDict) -> None:
    model["c"] = nn.Linear(4, 5, bias=False)
    model["c"].weight = model["b"].weight


def _nested(model: nn.ModuleDict) -> tuple[int, int]:
    model["c"] = nn.Sequential(nn.Sequential(nn.Linear(1, 7, bias=False)))
    return 7, 7


def _norm(model: nn.ModuleDict) -> tuple[int, int]:
    model["c"] = nn.LayerNorm(7, bias=False)
    return 7, 7


def _kernel(model: nn.ModuleDict) -> tuple[int, int]:
    model["c"] = nn.Conv2d(2, 3, 5, bias=False)
    return 150, 150


def _embedding(model: nn.ModuleDict) -> tuple[int, int]:
    model["c"] = nn.Embedding(7, 3)
    return 21, 21


def _own(model: nn.ModuleDict) -> tuple[int, int]:
    model.register_parameter("scale", nn.Parameter(torch.ones(9)))
    return 9, 9


def _single(model: nn.ModuleDict) -> tuple[int, int]:
    model["a"].register_parameter("scale", nn.Parameter(torch.tensor(2.0)))
    return 1, 1


def _zeros(model: nn.ModuleDict) -> None:
    model["a"].weight.data.zero_()


def _evaluation(model: nn.ModuleDict) -> None:
    model["a"].eval()


def _buffer(model: nn.ModuleDict) -> None:
    model["a"].register_buffer("mean", torch.ones(8))


def _half(model: nn.ModuleDict) -> None:
    model["b"].half()


def _gradient(model: nn.ModuleDict) -> None:
    model["b"].weight.grad = torch.ones(5, 4)


def _name(model: nn.ModuleDict) -> tuple[int, int]:
    model["lora_old"] = nn.Linear(1, 7, bias=False).requires_grad_(False)
    return 0, 7


def _large(model: nn.ModuleDict) -> tuple[int, int]:
    model["c"] = nn.Linear(307, 331, bias=False).requires_grad_(False)
    return 0, 307 * 331


ODD: dict[str, Callable[[nn.ModuleDict], tuple[int, int] | None]] = {
    "two layers of 6 and 20 numbers, of which the first trains": lambda model: None,
    "a bias that trains beside a frozen weight": _bias,
    "a frozen bias beside a weight that trains": _frozen_bias,
    "two tensors of one shape": _two_alike,
    "two tensors with equal numbers, which are not one tensor": _equal,
    "a tensor that is used twice": _tied,
    "a layer that lies in a part of a part": _nested,
    "a norm, whose weight has one side": _norm,
    "a convolution, whose weight has four sides": _kernel,
    "an embedding": _embedding,
    "a parameter of the model itself, in no part": _own,
    "a parameter that is a single number, with no side": _single,
    "weights that are all zero": _zeros,
    "a part in evaluation mode": _evaluation,
    "a buffer, which is no parameter": _buffer,
    "a part in float16": _half,
    "a frozen part that holds a gradient": _gradient,
    "a frozen part whose name has lora in it": _name,
    "a layer of 101,617 numbers": _large,
}
