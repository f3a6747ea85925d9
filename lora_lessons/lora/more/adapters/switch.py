"""Which of a model's adapters are active: setting, disabling and deleting them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn

from ....errors import PeftWarning, did_you_mean
from ...merge import mergeable_layers
from ...trainable import adapter_holders, adapter_parameters, trained_biases
from .biases import bias_bank

if TYPE_CHECKING:
    from ...tuner import LoraModel


def as_list(names: str | Iterable[str]) -> list[str]:
    """One name or several, as a list."""
    return [names] if isinstance(names, str) else list(names)


def check_known(tuner: LoraModel, names: Iterable[str], problem: str = "not found") -> None:
    """Raise for a name that no adapter has, with the nearest."""
    for name in names:
        if name not in tuner.peft_config:
            hint = did_you_mean(name, tuner.peft_config)
            raise ValueError(f"Adapter {name} {problem}.{hint}")


def set_adapter(tuner: LoraModel, adapter_name: str | list[str], inference_mode: bool) -> None:
    """Make these the active adapters; whatever is merged is unmerged first."""
    names = as_list(adapter_name)
    check_known(tuner, names)
    holders = list(adapter_holders(tuner.model))
    for holder in holders:
        if hasattr(holder, "check_set_adapter"):
            holder.check_set_adapter(names)
    if tuner.is_merged():
        _warn("Adapter cannot be set when the model is merged. Unmerging the model first.")
        tuner.unmerge_adapter()
    for holder in holders:
        holder.set_adapter(names, inference_mode)
    off = any(holder.disable_adapters for holder in holders)
    bias_bank(tuner.model).use(tuner.model, [] if off else names, not inference_mode)
    tuner.active_adapter = adapter_name


def enable_adapters(tuner: LoraModel, enabled: bool) -> None:
    """Use the active adapters, or the plain base with its own biases."""
    if not enabled and tuner.is_merged():
        tuner.unmerge_adapter()
    if not enabled and not tuner.are_disabled():
        tuner.flags_before = (tuner.active_adapters, trainable_flags(tuner.model))
    for holder in adapter_holders(tuner.model):
        holder.enable_adapters(enabled)
    bias_bank(tuner.model).use(tuner.model, tuner.active_adapters if enabled else [])
    if enabled:
        _train_as_before(tuner)


def trainable_flags(model: nn.Module) -> list[tuple[nn.Parameter, bool]]:
    """Each parameter of an adapter, trained biases too, and whether it trains."""
    parts = [parameter for _, parameter in adapter_parameters(model)]
    parts += trained_biases(model, bias_bank(model).mode).values()
    return [(parameter, parameter.requires_grad) for parameter in parts]


def _train_as_before(tuner: LoraModel) -> None:
    """What was frozen before disabling, as an adapter for inference is, stays frozen."""
    active, flags = tuner.flags_before
    if active == tuner.active_adapters:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
    tuner.flags_before = ([], [])


def delete_adapter(tuner: LoraModel, adapter_name: str) -> None:
    """Take an adapter out, with the values that it gave to the base's biases."""
    check_known(tuner, [adapter_name], "does not exist")
    layers = mergeable_layers(tuner.model)
    merged = [layer for layer in layers if adapter_name in layer.merged_adapters]
    if merged:
        raise ValueError(
            f"Cannot delete adapter(s) {[adapter_name]} while they are merged. Please unmerge them "
            f"first. {len(merged)} layers have it merged."
        )
    bias_bank(tuner.model).forget(tuner.model, adapter_name)
    del tuner.peft_config[adapter_name]
    tuner.plans.pop(adapter_name, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PeftWarning)
        for holder in adapter_holders(tuner.model):
            holder.delete_adapter(adapter_name)
    if adapter_name in tuner.active_adapters:
        _activate_rest(tuner, adapter_name)


def _activate_rest(tuner: LoraModel, deleted: str) -> None:
    """The other active adapters stay so; where there were none, the first of the rest is it."""
    rest = [name for name in tuner.active_adapters if name != deleted]
    if not rest and tuner.peft_config:
        rest = [next(iter(tuner.peft_config))]
        _warn(
            f"Adapter {deleted} was active which is now deleted. Setting active adapter to "
            f"{rest[0]}."
        )
    set_adapter(tuner, rest, inference_mode=False)


def _warn(message: str) -> None:
    warnings.warn(message, PeftWarning, stacklevel=4)
