"""Tests of the blank file's `add_lora`: what is matched, what trains, what stays."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .sample import Failed, Given, layers, linear, raises, sample


def add(given: Given, model: nn.Module, targets: Any, r: int = 3, **how: Any) -> nn.Module:
    """The adapted model: what add_lora returns, or the model where it returns nothing."""
    returned = given.mini.add_lora(model, targets, r, how.get("alpha", 6), how.get("dropout", 0.0))
    return model if returned is None else returned


MATCHES = {
    "a list, by suffix": (
        ["q_proj", "attn.v_proj"],
        [f"layers.{i}.attn.{name}" for i in (0, 1) for name in ("q_proj", "v_proj")],
    ),
    "one layer, by its whole name": (["layers.1.up"], ["layers.1.up"]),
    "a string, by full match": (
        r"layers\.0\.attn\.(q|k)_proj",
        ["layers.0.attn.q_proj", "layers.0.attn.k_proj"],
    ),
    "a layer at the top": (["head"], ["head"]),
    "two entries that mean the same layers": (
        ["q_proj", "attn.q_proj"],
        ["layers.0.attn.q_proj", "layers.1.attn.q_proj"],
    ),
}


def matching(given: Given) -> None:
    """a list matches by suffix, a string by full match"""
    for what, (targets, expected) in MATCHES.items():
        try:
            found = sorted(layers(given, add(given, sample(given), targets)))
        except ValueError as error:
            said = f"Targets {targets!r} ({what}) must match {expected[0]}"
            raise Failed(f"{said}, but it says: {error}") from None
        if found == sorted(expected):
            continue
        more, less = sorted(set(found) - set(expected)), sorted(set(expected) - set(found))
        said = f"Targets {targets!r} ({what})"
        if more:
            raise Failed(f"{said} must not match {more[0]}. Compare whole names between dots.")
        raise Failed(f"{said} must match {less[0]}.")


def unmatched(given: Given) -> None:
    """an entry that matches nothing is an error, before anything changes"""
    for targets, entry in ((["q_proj", "v_prj"], "v_prj"), ("layers.*q_prj", "q_prj")):
        model = sample(given)
        what = f"Targets {targets!r}, of which {entry!r} matches nothing"
        with raises(what, model) as said:
            add(given, model, targets)
        if entry not in said[0]:
            raise Failed(f"{what}: the error does not name it. It says: {said[0]!r}.")


def trains(given: Given) -> None:
    """only A and B train, and a gradient reaches them"""
    model = add(given, sample(given), ["q_proj", "up"])
    mine = {
        id(part) for layer in layers(given, model).values() for part in given.mini.factors(layer)
    }
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in mine:
            raise Failed(f"{name} would train. Freeze everything but A and B.")
        if id(parameter) in mine and not parameter.requires_grad:
            raise Failed(f"{name} is frozen, and is A or B.")
    if len(mine) != 8:
        raise Failed("A or B is shared between layers.")
    loss = model(given.normal(4, width_of(model))).square().sum()
    if not loss.requires_grad:
        raise Failed("No gradient reaches B, nor A. Was the branch detached?")
    loss.backward()
    for name, layer in layers(given, model).items():
        A, B = given.mini.factors(layer)
        if B.grad is None or not B.grad.any():
            raise Failed(f"No gradient reaches B of {name}. Was the branch detached?")
        if A.grad is None:
            raise Failed(f"No gradient reaches A of {name}, not even one of zeros.")


def frozen_bits(given: Given) -> None:
    """five steps leave every bit of the base as it was"""
    model = sample(given)
    before = {id(p): (name, p, p.detach().clone()) for name, p in model.named_parameters()}
    model = add(given, model, ["q_proj", "v_proj", "head"], dropout=0.1).train()
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=0.05, weight_decay=0.1
    )
    x, target = given.normal(16, width_of(model)), given.normal(16, 5)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (model(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    for name, parameter, values in before.values():
        if not torch.equal(parameter, values):
            raise Failed(f"After 5 steps {name} of the base has changed.")
    if not losses[-1] < losses[0]:
        raise Failed("Five steps on one batch did not lower the loss.")
    alone = linear(given)
    given.mini.LoraLinear(alone, 2, 4, 0.0)
    if alone.weight.requires_grad:
        raise Failed("LoraLinear leaves its base trainable.")


def width_of(model: nn.Module) -> int:
    """The size of the inputs of a sample."""
    return model.layers[0].attn.not_q_proj.in_features


TESTS = (matching, unmatched, trains, frozen_bits)
