"""Merging: W + ΔW written into W itself, and an exact way back.

A merged weight is always round(kept W + the sum of the updates in float32): one rounding,
whatever the order. Unmerging copies the kept W back, bit for bit; subtracting ΔW could not.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from ..errors import MergeError, PeftWarning
from ..undo import Remembered, all_or_nothing, copy_into, on_error
from .layer import LoraLayer, at_least_float32
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
    versions: Versions
    exact: bool = True


def lora_layers(model: nn.Module) -> dict[str, LoraLayer]:
    """The model's LoRA layers by name."""
    return {n: m for n, m in model.named_modules() if isinstance(m, LoraLayer)}


def mergeable_layers(model: nn.Module) -> list[LoraLayer]:
    """All layers that adapters can be merged into: those of LoRA, and embeddings with rows."""
    layers = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
    return [layer for layer in layers if not getattr(layer, "tied", False)]


def merge_layer(
    layer: LoraLayer,
    adapter_names: list[str] | None = None,
    safe_merge: bool = False,
    backup: Backup = "device",
) -> None:
    """Merge adapters (None: the active ones) into the base layer's own weight and bias.

    `safe_merge` raises ValueError, before anything is written, if a merged value is not finite.
    `backup`: where the old values are kept; None keeps none, and unmerging is approximate.
    """
    names = _names_to_merge(layer, adapter_names)
    if not names:
        return
    if backup not in ("device", "cpu", None):
        raise ValueError(f'backup must be "device", "cpu" or None, and it is {backup!r}')
    kept = layer.kept_base or KeptBase(_copies(layer, backup), Versions(), exact=backup is not None)
    all_names = layer.merged_adapters + names if kept.exact else names
    merged = merged_values(layer, all_names, kept.values or base_values(layer))
    if safe_merge and not all(value.isfinite().all() for value in merged.values()):
        raise ValueError(
            f"NaNs detected in the merged weights. The adapter {names[0]} seems to be broken"
        )
    with all_or_nothing(layer):
        _keep_for_undoing(layer, kept, merged)
        layer.kept_base = kept
        layer.merged_adapters += names
        for key, value in merged.items():
            copy_into(_tensor(layer, key), value)
            kept.versions[key] = _version(layer, key)


def unmerge_layer(layer: LoraLayer) -> None:
    """Copy the kept values back into the base layer."""
    if not layer.merged:
        warnings.warn("Already unmerged. Nothing to do.", PeftWarning, stacklevel=3)
        return
    kept = layer.kept_base
    for key, version in kept.versions.items():
        now = _version(layer, key)
        if now[0] == version[0] and now != version:  # a copied model's tensors are others
            raise MergeError(
                f"the base's {key} was written to while adapters were merged into it; unmerging "
                "would lose that. Unmerge before you load or train the base."
            )
    values = kept.values if kept.exact else _subtracted(layer)
    with all_or_nothing(layer):
        _keep_for_undoing(layer, kept, kept.versions)
        for key in kept.versions:
            copy_into(_tensor(layer, key), values[key])
        layer.merged_adapters.clear()
        layer.kept_base = None


def _keep_for_undoing(layer: LoraLayer, kept: KeptBase, keys: Iterable[str]) -> None:
    """Have the live values back, bit for bit, if the merge or unmerge that follows fails.

    Before a first merge they are the kept ones; else they are copied, to the CPU, for that long.
    """
    copies = _copies(layer, "cpu") if layer.merged or not kept.exact else kept.values
    keys, before = list(keys), layer.kept_base

    def give_back() -> None:
        for key in keys:
            copy_into(_tensor(layer, key), copies[key])
            if before is not None and key in before.versions:
                before.versions[key] = _version(layer, key)

    on_error(give_back)


def merged_values(
    layer: LoraLayer, names: Iterable[str], base: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The merged weight (and bias), each rounded once to the base's dtype."""
    layer.check_merge(list(names))
    sums = {key: at_least_float32(base[key]) for key in base}
    touched: set[str] = set()
    for name in sorted(names):  # in one order, whatever the order of merging
        touched |= layer.add_to(sums, name)
    return {key: sums[key].to(base[key].dtype) for key in touched}


def merge_layers(
    model: nn.Module, adapter_names: list[str] | None, safe_merge: bool, backup: Backup
) -> None:
    """Merge in all layers, or in none: what can be known before is, and an error is undone."""
    from .more.adapters.mergeable import check_mergeable

    check_mergeable(model, adapter_names)
    with all_or_nothing(model):
        for layer in mergeable_layers(model):
            merge_layer(layer, adapter_names, safe_merge, backup)


def unmerge_layers(model: nn.Module) -> None:
    """Unmerge every layer that has something merged into it."""
    merged = [layer for layer in mergeable_layers(model) if layer.merged]
    if not merged:
        warnings.warn("Already unmerged. Nothing to do.", PeftWarning, stacklevel=3)
    with all_or_nothing(model):
        for layer in merged:
            unmerge_layer(layer)


def _names_to_merge(layer: LoraLayer, adapter_names: list[str] | None) -> list[str]:
    """The adapters that are on this layer and not merged yet."""
    if isinstance(adapter_names, str):
        raise ValueError(f"adapter_names should be a list of strings, got {adapter_names!r}.")
    wanted = layer.active_adapters if adapter_names is None else adapter_names
    names = [name for name in dict.fromkeys(wanted) if name not in layer.merged_adapters]
    if layer.merged:
        message = (
            f"Already following adapters were merged {','.join(layer.merged_adapters)}. "
            f"You are now additionally merging {','.join(names)}."
            if names
            else "All adapters are already merged, nothing to do."
        )
        warnings.warn(message, PeftWarning, stacklevel=4)
    return [name for name in names if layer.has_adapter(name)]


def _version(layer: LoraLayer, key: str) -> tuple[int, int]:
    tensor = _tensor(layer, key)
    return id(tensor), tensor._version


def _tensor(layer: LoraLayer, key: str) -> Tensor:
    """The base layer's live weight or bias: the optimizer and tied modules hold the same one."""
    return getattr(layer.get_base_layer(), key)


def base_values(layer: LoraLayer) -> dict[str, Tensor]:
    """The base layer's live weight and bias; raises where a sum would mean nothing."""
    base = layer.get_base_layer()
    weight = base.weight
    if not weight.is_floating_point() or weight.element_size() == 1 or weight.is_meta:
        raise MergeError(f"cannot merge into a weight of {weight.dtype} on {weight.device}")
    tensors = {"weight": weight, "bias": getattr(base, "bias", None)}
    return {key: value.detach() for key, value in tensors.items() if value is not None}


def _copies(layer: LoraLayer, backup: Backup) -> dict[str, Tensor]:
    """Copies of the base's values on the same device or on the CPU; none where none is asked."""
    values = base_values(layer)
    if backup is None:
        return {}
    return {k: v.to("cpu" if backup == "cpu" else v.device, copy=True) for k, v in values.items()}


def _subtracted(layer: LoraLayer) -> dict[str, Tensor]:
    """The approximate way back, for want of a kept copy: merged W minus the updates."""
    base = layer.get_base_layer()
    merged = {key: at_least_float32(getattr(base, key)) for key in layer.kept_base.versions}
    again = dict(merged)
    for name in layer.merged_adapters:
        layer.add_to(again, name)
    return {key: merged[key] - (again[key] - merged[key]) for key in merged}
