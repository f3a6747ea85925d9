"""Merging: W + ΔW written into W itself, and an exact way back.

A merged weight is always round(kept W + the sum of the updates in float32): one rounding,
whatever the order. Unmerging copies the kept W back, bit for bit; subtracting ΔW could not.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from ..errors import MergeError, PeftWarning
from ..undo import Remembered, all_or_nothing, write
from .arithmetic import at_least_float32
from .plugs import METHODS
from .tuner_layer import BaseTunerLayer

Backup = Literal["device", "cpu"] | None


class Versions(dict[str, tuple[int, int]]):
    """By key: (id, version) of a merged tensor, which show a write by somebody else.

    A class of its own, so that an undone merge does not bring old counts back: undoing writes too.
    """


@dataclass
class KeptBase(Remembered):
    """The values that a layer's weight and bias had before the first merge, without gradient.

    It is a plain attribute of the layer, not a buffer: `state_dict`, `.to()` and DDP pass it by.
    """

    values: dict[str, Tensor]
    exact: bool = True
    versions: Versions = field(default_factory=Versions)


def merge_layers(
    model: nn.Module, adapter_names: list[str] | None, safe_merge: bool, backup: Backup
) -> None:
    """Merge in all layers, or in none: what can be known before is, and an error is undone."""
    if adapter_names is not None:
        METHODS["check_names"](model, adapter_names)
    shared = shared_parameters(model)
    with all_or_nothing(model):
        for layer in mergeable_layers(model):
            merge_layer(layer, adapter_names, safe_merge, backup, shared)


def merge_layer(
    layer: BaseTunerLayer,
    adapter_names: list[str] | None = None,
    safe_merge: bool = False,
    backup: Backup = "device",
    shared: dict[int, list[str]] | None = None,
) -> None:
    """Merge adapters (None: the active ones) into the base layer's own weight and bias.

    The caller's `all_or_nothing` undoes it.
    `safe_merge` raises ValueError, before anything is written, if a merged value is not finite.
    `backup`: where the old values are kept; None keeps none, and unmerging is approximate.
    `shared`: the modules that hold a weight which is not this layer's alone, by its id.
    """
    names = _names_to_merge(layer, adapter_names)
    if not names:
        return
    if backup not in ("device", "cpu", None):
        raise ValueError(f'backup must be "device", "cpu" or None, and it is {backup!r}')
    layer.check_merge(names)
    live = base_values(layer)
    if shared and layer.alone:
        refuse_tied(shared.get(id(layer.base_weight), []))
    kept: KeptBase | None = layer.kept_base
    if kept is None:
        places = {k: "cpu" if backup == "cpu" else v.device for k, v in live.items() if backup}
        copies = {key: live[key].detach().to(place, copy=True) for key, place in places.items()}
        kept = KeptBase(copies, exact=backup is not None)
    all_names = layer.merged_adapters + names if kept.exact else names
    merged = merged_values(layer, all_names, kept.values or live)
    if safe_merge and not all(value.isfinite().all() for value in merged.values()):
        raise ValueError(
            f"NaNs detected in the merged weights. The adapter {names[0]} seems to be broken"
        )
    _write(live, merged, kept, kept_there=kept.exact and not layer.merged_adapters)
    layer.kept_base = kept
    layer.merged_adapters += names


def merged_values(
    layer: BaseTunerLayer, names: Iterable[str], base: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The merged weight (and bias), each rounded once to the base's dtype."""
    sums = {key: at_least_float32(base[key]) for key in base}
    touched: set[str] = set()
    for name in sorted(names):  # in one order, whatever the order of merging
        touched |= layer.add_to(sums, name)
    return {key: sums[key].to(base[key].dtype) for key in touched}


def unmerge_layers(model: nn.Module) -> None:
    """Unmerge every layer that has something merged into it."""
    merged = [layer for layer in mergeable_layers(model) if layer.merged]
    if not merged:
        _warn("Already unmerged. Nothing to do.")
    with all_or_nothing(model):
        for layer in merged:
            unmerge_layer(layer)


def unmerge_layer(layer: BaseTunerLayer) -> None:
    """Copy the kept values back into the base layer, inside the caller's `all_or_nothing`."""
    kept: KeptBase | None = layer.kept_base
    if kept is None:
        _warn("Already unmerged. Nothing to do.")
        return
    base = layer.get_base_layer()
    live = {key: getattr(base, key) for key in kept.versions}
    for key, tensor in live.items():
        version = kept.versions[key]
        if version[0] == id(tensor) and version[1] != tensor._version:  # a copy's ids are others
            raise MergeError(
                f"the base's {key} was written to while adapters were merged into it; unmerging "
                "would lose that. Unmerge before you load or train the base."
            )
    values = kept.values if kept.exact else _subtracted(layer, kept)
    _write(live, {key: values[key] for key in live}, kept, kept_there=False)
    layer.merged_adapters.clear()
    layer.kept_base = None


def _write(
    live: dict[str, Tensor], values: dict[str, Tensor], kept: KeptBase, kept_there: bool
) -> None:
    """Write into W and the bias, in place: the optimizer and tied modules hold the same ones.

    `kept_there`: what stands there is what was kept, and needs no other copy to be undone.
    """
    for key, value in values.items():

        def count(key: str = key, tensor: Tensor = live[key]) -> None:
            kept.versions[key] = (id(tensor), tensor._version)

        write(live[key], value, kept.values[key] if kept_there else None, after=count)


def base_values(layer: BaseTunerLayer) -> dict[str, Tensor]:
    """The base layer's live weight and bias; raises where a sum would mean nothing."""
    base = layer.get_base_layer()
    weight: Tensor = getattr(base, layer.weight_name)
    of_torchao = type(weight).__module__.startswith("torchao.")  # quantized after it got adapters
    kind = type(weight).__name__ if of_torchao else weight.dtype
    floats = weight.is_floating_point() and weight.element_size() > 1 and not of_torchao
    if not floats or weight.is_meta:
        raise MergeError(f"cannot merge into a weight of {kind} on {weight.device}")
    bias = getattr(base, "bias", None)
    return {layer.weight_name: weight} | ({} if bias is None else {"bias": bias})


def _subtracted(layer: BaseTunerLayer, kept: KeptBase) -> dict[str, Tensor]:
    """The approximate way back, for want of a kept copy: merged W minus the updates."""
    live = base_values(layer)
    merged = {key: at_least_float32(live[key]) for key in kept.versions}
    again = dict(merged)
    for name in layer.merged_adapters:
        layer.add_to(again, name)
    return {key: merged[key] - (again[key] - merged[key]) for key in merged}


def mergeable_layers(model: nn.Module) -> list[BaseTunerLayer]:
    """All layers that adapters can be merged into: those of LoRA, and embeddings with rows."""
    layers = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
    return [layer for layer in layers if layer.mergeable]


def _names_to_merge(layer: BaseTunerLayer, adapter_names: list[str] | None) -> list[str]:
    """The adapters that are on this layer and not merged yet."""
    if isinstance(adapter_names, str):
        raise ValueError(f"adapter_names should be a list of strings, got {adapter_names!r}.")
    wanted = layer.active_adapters if adapter_names is None else adapter_names
    names = [name for name in dict.fromkeys(wanted) if name not in layer.merged_adapters]
    if layer.merged_adapters:
        _warn(
            f"Already following adapters were merged {','.join(layer.merged_adapters)}. "
            f"You are now additionally merging {','.join(names)}."
            if names
            else "All adapters are already merged, nothing to do."
        )
    return [name for name in names if layer.has_adapter(name)]


def shared_parameters(model: nn.Module) -> dict[int, list[str]]:
    """The modules that hold a Parameter which more than one holds, by its id."""
    holders: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            holders.setdefault(id(parameter), []).append(name.removesuffix(".base_layer"))
    return {key: names for key, names in holders.items() if len(names) > 1}


def refuse_tied(names: list[str]) -> None:
    """Raise where modules share a weight: an update of one would be an update of the others."""
    if names:
        raise MergeError(
            f"{' and '.join(names)} share one weight, and merging would change them both. Untie "
            "them (give each a Parameter of its own, and set the config's tie_word_embeddings to "
            "False), or use the adapter unmerged."
        )


def _warn(message: str) -> None:
    warnings.warn(message, PeftWarning, stacklevel=5)
