"""The bare model again: with the adapters merged into it, or as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from ....undo import all_or_nothing
from ...inject import replace_module, targetable_modules
from ...merge import merge_layers, unmerge_layers
from .biases import bias_bank

if TYPE_CHECKING:
    from ...tuner import LoraModel


def unload_model(
    tuner: LoraModel,
    merge: bool,
    safe_merge: bool = False,
    adapter_names: list[str] | None = None,
) -> nn.Module:
    """The bare model: plain layers in the place of LoRA layers, with the updates merged or not.

    Saved modules: merging leaves the active adapter's copy, and else the original comes back.
    """
    with all_or_nothing(tuner):
        return _unload(tuner, merge, safe_merge, adapter_names)


def _unload(
    tuner: LoraModel, merge: bool, safe_merge: bool, adapter_names: list[str] | None
) -> nn.Module:
    model = tuner.model
    names = tuner.active_adapters if adapter_names is None else adapter_names
    if merge:
        merge_layers(model, names, safe_merge, "device" if safe_merge else None)
    elif tuner.is_merged():
        unmerge_layers(model)
    if not merge:
        for layer in tuner.lora_layers().values():
            layer.enable_adapters(False)  # gives back what PiSSA and OLoRA took out of W
    bank = bias_bank(model)
    bank.use(model, names if merge else [], train=False)
    for holder_name, holder in list(targetable_modules(model)):
        if hasattr(holder, "unloaded"):
            replace_module(model, holder_name, holder.unloaded(names if merge else []))
    for attribute in ("peft_config", "lora_biases"):
        model.__dict__.pop(attribute, None)
    return model
