"""Lesson 05: where the first step could gain, kind of layer by kind of layer, before any training.

A first step of plain gradient descent against G = dL/dW lowers the loss by its size times ||G||^2,
up to terms of second order. LoRA's first step moves B alone, and its update is G projected on the r
rows of A: of ||G||^2 it meets the share r / in on average. So a choice of layers can gain at first

    reach = sum over its layers of ||G||_F^2 min(1, r / in),        G (out, in)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import nn

from ..base.load import load_base
from ..base.text import load_text
from ..base.tokens import encode
from .progress import each


class Squared(NamedTuple):
    """||G||_F^2 of all layers of one kind, and the layers' number of inputs."""

    gradient: float
    inputs: int


def squared_gradients(
    base: str = "decoder",
    batches: int = 4,
    batch_size: int = 8,
    length: int = 64,
    progress: bool = False,
) -> dict[str, Squared]:
    """Kind of linear layer ("q_proj") -> its squared gradient, for the base on Moby Dick."""
    model, tokenizer = load_base(base)
    model.requires_grad_(True)
    ids = encode(tokenizer, load_text("moby_dick").train)[: batches * batch_size * length]
    for batch in each(ids.view(batches, batch_size, length), "batches", progress):
        (model(input_ids=batch, labels=batch).loss / batches).backward()
    found: dict[str, Squared] = {}
    output = model.get_output_embeddings()
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and layer is not output:
            kind = name.rsplit(".", 1)[-1]
            square = layer.weight.grad.double().square().sum().item()
            before = found.get(kind, Squared(0.0, layer.in_features))
            found[kind] = before._replace(gradient=before.gradient + square)
    return found


def share(squares: Mapping[str, Squared], kinds: Sequence[str]) -> float:
    """The share of the whole squared gradient that lies in these kinds of layers."""
    return sum(squares[kind].gradient for kind in kinds) / _whole(squares)


def reach(squares: Mapping[str, Squared], kinds: Sequence[str], r: int) -> float:
    """The share of the whole squared gradient that a first step of LoRA of rank r meets."""
    met = sum(squares[kind].gradient * min(1.0, r / squares[kind].inputs) for kind in kinds)
    return met / _whole(squares)


def _whole(squares: Mapping[str, Squared]) -> float:
    return sum(square.gradient for square in squares.values())
