"""Which of a model's adapters are active: setting, disabling and deleting them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ....errors import PeftWarning, did_you_mean
from ....undo import all_or_nothing
from ...merge import mergeable_layers
from ...model import PeftModel
from ...plugs import method_of
from ...tuner import LoraModel
from ...tuner_layer import as_list


def check_known(tuner: LoraModel, names: Iterable[str], problem: str = "not found") -> None:
    """Raise for a name that no adapter has, with the nearest."""
    for name in names:
        if name not in tuner.peft_config:
            hint = did_you_mean(name, tuner.peft_config)
            raise ValueError(f"Adapter {name} {problem}.{hint}")


@method_of(LoraModel)
def set_adapter(
    tuner: LoraModel, adapter_name: str | list[str], inference_mode: bool = False
) -> None:
    """Make these the active adapters; whatever is merged is unmerged first."""
    names = as_list(adapter_name)
    check_known(tuner, names)
    holders = tuner.holders()
    for holder in holders:
        holder.check_set_adapter(names)
    with all_or_nothing(tuner):
        if tuner.is_merged():
            _warn("Adapter cannot be set when the model is merged. Unmerging the model first.")
            tuner.unmerge_adapter()
        for holder in holders:
            holder.set_adapter(names, inference_mode)


@method_of(LoraModel)
def enable_adapter_layers(tuner: LoraModel) -> None:
    """Use the active adapters again. What was frozen before disabling stays frozen."""
    active, flags = tuner.flags_before
    with all_or_nothing(tuner):
        for holder in tuner.holders():
            holder.enable_adapters(True)
        for parameter, flag in flags if active == tuner.active_adapters else ():
            parameter.requires_grad_(flag)
        tuner.flags_before = ([], [])


@method_of(LoraModel)
def disable_adapter_layers(tuner: LoraModel) -> None:
    """Use no adapter: the outputs are the base's, its biases included."""
    with all_or_nothing(tuner):
        if tuner.is_merged():
            tuner.unmerge_adapter()
        if not tuner.are_disabled():
            flags = [(each, each.requires_grad) for each in tuner.model.parameters()]
            tuner.flags_before = (tuner.active_adapters, flags)
        for holder in tuner.holders():
            holder.enable_adapters(False)


@method_of(PeftModel)
@contextmanager
def disable_adapter(model: PeftModel) -> Iterator[None]:
    """Inside it the model is the base model; after it, also after an error, as before."""
    was_off = model.base_model.are_disabled()
    model.base_model.disable_adapter_layers()
    try:
        yield
    finally:
        if not was_off:
            model.base_model.enable_adapter_layers()


@method_of(LoraModel)
def are_disabled(tuner: LoraModel) -> bool:
    """True where the adapters are switched off; a model that is half so becomes enabled."""
    flags = {holder.disable_adapters for holder in tuner.holders()}
    if len(flags) > 1:
        _warn(
            "The model contains some adapter layers that are enabled and others that are disabled. "
            "This is most likely unintentional. After exiting the disable_adapter context, all "
            "adapters will be enabled"
        )
    return flags == {True}


@method_of(LoraModel)
def delete_adapter(tuner: LoraModel, adapter_name: str) -> None:
    """Take an adapter out, with the values that it gave to the base's biases.

    Other active adapters stay so; where there are none, the first of the rest is it.
    """
    check_known(tuner, [adapter_name], "does not exist")
    layers = mergeable_layers(tuner.model)
    merged = [layer for layer in layers if adapter_name in layer.merged_adapters]
    if merged:
        raise ValueError(
            f"Cannot delete adapter(s) {[adapter_name]} while they are merged. Please unmerge them "
            f"first. {len(merged)} layers have it merged."
        )
    with all_or_nothing(tuner):
        active = tuner.active_adapters
        del tuner.peft_config[adapter_name]
        tuner.plans.pop(adapter_name, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PeftWarning)
            for holder in tuner.holders():
                holder.delete_adapter(adapter_name)
        if adapter_name in active:
            _activate_rest(tuner, adapter_name, [name for name in active if name != adapter_name])


def _activate_rest(tuner: LoraModel, deleted: str, rest: list[str]) -> None:
    if not rest and tuner.peft_config:
        rest = [next(iter(tuner.peft_config))]
        _warn(
            f"Adapter {deleted} was active which is now deleted. Setting active adapter to "
            f"{rest[0]}."
        )
    set_adapter(tuner, rest, inference_mode=False)


@method_of(LoraModel)
def set_requires_grad(
    tuner: LoraModel, adapter_names: str | list[str], requires_grad: bool = True
) -> None:
    """Train or freeze adapters, without a change of which are active."""
    check_known(tuner, as_list(adapter_names))
    for holder in tuner.holders():
        holder.set_requires_grad(adapter_names, requires_grad)


def _warn(message: str) -> None:
    warnings.warn(message, PeftWarning, stacklevel=5)
