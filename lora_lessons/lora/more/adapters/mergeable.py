"""What cannot be merged, found before any weight is written: a merge is of all layers or of none.

Without a kept copy a merge that fails half-way could only be undone approximately.
"""

from __future__ import annotations

from torch import nn

from ....errors import MergeError, did_you_mean
from ...layer import LoraLayer
from ...merge import base_values, mergeable_layers
from ...trainable import adapter_holders
from ...tuner_layer import BaseTunerLayer


def check_mergeable(model: nn.Module, adapter_names: list[str] | None) -> None:
    """Raise if a layer's adapters (None: the active ones) cannot be merged into it."""
    check_names(model, adapter_names)
    shared = shared_parameters(model)
    for layer in mergeable_layers(model):
        wanted = layer.active_adapters if adapter_names is None else adapter_names
        names = [name for name in wanted if layer.has_adapter(name)]
        if names:
            base_values(layer)
            layer.check_merge(names)
            if isinstance(layer, LoraLayer):
                _check_tied(layer, shared)


def check_names(model: nn.Module, adapter_names: list[str] | None) -> None:
    """Raise for a name that no adapter has: passed over, its update would silently be lost."""
    if isinstance(adapter_names, str):
        raise ValueError(f"adapter_names should be a list of strings, got {adapter_names!r}.")
    known = {n for holder in adapter_holders(model) for n in holder._get_available_adapters()}
    for name in adapter_names or ():
        if not known:
            raise ValueError(
                "the model has no adapters: `merge_and_unload` and `unload` take them out and "
                "return the plain model"
            )
        if name not in known:
            raise ValueError(f"Adapter {name} not found.{did_you_mean(name, known)}")


def check_adapters(layer: BaseTunerLayer, names: list[str]) -> None:
    """Raise for one layer: a bias without a place, or a W that fits other adapters."""
    biased = [name for name in names if getattr(layer, "lora_bias", {}).get(name)]
    if biased and getattr(layer.get_base_layer(), "bias", None) is None:
        raise MergeError(
            "Impossible to merge LoRA with `lora_bias=True` because the base layer has no bias."
        )
    taken = layer.taken_out
    if taken is not None and taken.in_use(layer) != taken.parts.keys() & set(names):
        raise MergeError(
            f"PiSSA or OLoRA took parts out of W for {sorted(taken.parts)}, and W is now without "
            f"those of the active adapters {layer.active_adapters}: call "
            f"`set_adapter({sorted(names)})` before these are merged"
        )


def shared_parameters(model: nn.Module) -> dict[int, list[str]]:
    """The modules that hold a Parameter which more than one holds, by its id."""
    holders: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            holders.setdefault(id(parameter), []).append(name.removesuffix(".base_layer"))
    return {key: names for key, names in holders.items() if len(names) > 1}


def _check_tied(layer: LoraLayer, shared: dict[int, list[str]]) -> None:
    """An update merged into a tied weight would be an update of the other module too."""
    names = shared.get(id(layer.get_base_layer().weight))
    if names:
        raise MergeError(
            f"{' and '.join(names)} share one weight, and merging would change them both. Untie "
            "them (give each a Parameter of its own, and set the config's tie_word_embeddings to "
            "False), or use the adapter unmerged."
        )
