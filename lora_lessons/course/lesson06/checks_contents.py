"""The check of exercise 6.3: what an adapter's file must hold when biases were trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong
from .checks_toy import injected

OLD_NAME = "A wrapped layer's bias has `base_layer.` in its name now, and not in `biases`."
LAYERS = ("first", "block.first", "second")
# biases by their names before injection, and now
CASES = (
    ({"first.bias", "norm.bias"}, {"first.base_layer.bias", "norm.bias"}),
    ({"second.bias"}, {"second.base_layer.bias"}),
    (
        {"block.first.bias", "block.base_layer_norm.bias"},
        {"block.first.base_layer.bias", "block.base_layer_norm.bias"},
    ),
    (set(), set()),
)
DTYPES = (torch.float64, torch.float32, torch.float64, torch.float32)


def check_adapter_contents(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for number, (biases, keys) in enumerate(CASES):
        adapter = ("default", "style")[number % 2]
        width = int(torch.randint(2, 6, (1,), generator=rng))
        model = injected(rng, width, keys, adapter, DTYPES[number])
        right = {f"{name}.lora_{f}.{adapter}.weight" for name in LAYERS for f in "AB"} | keys
        _right_contents(_contents(answer, model, biases), model, right, "")
        model.requires_grad_(False)
        frozen = " Here the adapter was loaded to be used, so that nothing requires a gradient."
        _right_contents(_contents(answer, model, biases), model, right, frozen)


def _contents(answer: Callable[..., Any], model: nn.Module, biases: set[str]) -> Any:
    try:
        return answer(model, set(biases))
    except KeyError as error:
        if error.args and error.args[0] in biases:
            raise Wrong(f"{error} is no name of the model now. {OLD_NAME}") from error
        raise


def _right_contents(result: Any, model: nn.Module, right: set[str], frozen: str) -> None:
    if not isinstance(result, dict):
        raise Wrong(f"Return a dict from name to tensor; got {type(result).__name__}.")
    if others := [name for name, value in result.items() if not isinstance(value, Tensor)]:
        kind = type(result[others[0]]).__name__
        raise Wrong(f"Return tensors: under {others[0]!r} the dict has a {kind}.")
    _right_names(set(result), set(dict(model.named_parameters())), right, frozen)
    _right_values(result, dict(model.named_parameters()), right)


def _right_names(found: set[str], now: set[str], right: set[str], frozen: str) -> None:
    if found == now:
        raise Wrong("This is the whole model. An adapter's file holds what is its own.")
    if unknown := sorted(found - now):
        inside = "the adapter's name" if "lora_" in unknown[0] else "`base_layer.`"
        raise Wrong(
            f"{unknown[0]!r} is no parameter of this model: use its names as they are now, with "
            f"{inside} in them."
        )
    if extra := sorted(found - right):
        what = "is a bias that was not trained" if extra[0].endswith("bias") else "is the base's"
        raise Wrong(f"{extra[0]!r} {what}: it does not belong in the file.{frozen}")
    if missing := sorted(right - found):
        old = f" {OLD_NAME}" if ".base_layer." in missing[0] else ""
        raise Wrong(
            f"{missing[0]!r} is missing: loaded again, the model would be another one.{old}{frozen}"
        )


def _right_values(result: dict[str, Tensor], now: dict[str, nn.Parameter], right: set[str]) -> None:
    for name in sorted(right):
        value, parameter = result[name], now[name]
        if value.grad_fn is not None:
            raise Wrong(
                f"{name!r} still hangs on the model's graph: copy the value alone, "
                "parameter.detach().clone()."
            )
        if value.dtype != parameter.dtype:
            raise Wrong(
                f"{name!r} is {parameter.dtype} in the model and {value.dtype} here: loaded again "
                "it would be another number. Keep the dtype."
            )
        if value.shape != parameter.shape:
            raise Wrong(f"{name!r} has another shape here than in the model.")
    before = {name: value.detach().clone() for name, value in result.items()}
    kept = {name: now[name].detach().clone() for name in right}
    with torch.no_grad():
        for name in right:
            now[name].add_(1.0)  # as further training would
    changed = any(not torch.equal(result[name], before[name]) for name in right)
    with torch.no_grad():
        for name in right:
            now[name].copy_(kept[name])
    if changed:
        raise Wrong("Return copies: these tensors change when the model trains on. Use clone().")
    if any(not torch.equal(before[name], kept[name]) for name in right):
        raise Wrong("The values are not the model's.")
