"""What rounding takes from an update when it is merged into weights of few bits."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import nn

from ....errors import did_you_mean
from ...arithmetic import at_least_float32
from ...layer import LoraLayer
from ...merge import base_values, merged_values
from ...plugs import METHODS, method_of
from ...tuner import LoraModel
from ...tuner_layer import named_holders


class MergeRow(NamedTuple):
    """What merging did to one layer."""

    name: str
    unchanged: float  # share of the weights with an update that kept their value
    error: float  # ‖(merged - W) - ΔW‖ / ‖ΔW‖, Frobenius
    update: float  # ‖ΔW‖ / ‖W‖


class MergeReport(list[MergeRow]):
    """One row a layer; printed as a table."""

    def __str__(self) -> str:
        head = f"{'layer':<48} {'|dW|/|W|':>9} {'unchanged':>10} {'error':>9}"
        rows = [f"{n:<48} {u:>9.2e} {s:>10.2%} {e:>9.2e}" for n, s, e, u in self]
        return "\n".join([head, *rows])


def row_of(layer: LoraLayer, name: str, names: Iterable[str]) -> MergeRow:
    """What merging these adapters does to this layer's weight; nothing is written."""
    layer.check_merge(list(names))
    kept = layer.kept_base.values if layer.kept_base else base_values(layer)
    base = at_least_float32(kept[layer.weight_name])
    deltas = [layer.get_delta_weight(each) for each in names]
    delta = functools.reduce(torch.add, deltas).to(base.device)
    change = at_least_float32(merged_values(layer, names, kept)[layer.weight_name]) - base
    moving = delta != 0
    unchanged = (moving & (change == 0)).sum() / moving.sum().clamp(min=1)
    tiny = torch.finfo(base.dtype).tiny
    error = (change - delta).norm() / delta.norm().clamp(min=tiny)
    update = delta.norm() / base.norm().clamp(min=tiny)
    return MergeRow(name, unchanged.item(), error.item(), update.item())


def check_names(model: nn.Module, adapter_names: list[str]) -> None:
    """Raise for a name that no adapter has: passed over, its update would silently be lost."""
    if isinstance(adapter_names, str):
        raise ValueError(f"adapter_names should be a list of strings, got {adapter_names!r}.")
    known = {n for _, holder in named_holders(model) for n in holder._get_available_adapters()}
    for name in adapter_names:
        if name not in known:
            raise ValueError(f"Adapter {name} not found.{did_you_mean(name, known)}")


@method_of(LoraModel)
def merge_report(tuner: LoraModel, adapter_names: list[str] | None = None) -> MergeReport:
    """What merging (None: the active adapters) would round away, layer by layer.

    In bfloat16 an update of a hundredth of the weight's size loses about a fifth of itself.
    """
    if adapter_names is not None:
        check_names(tuner, adapter_names)
    report = MergeReport()
    for name, layer in tuner.lora_layers().items():
        wanted = layer.active_adapters if adapter_names is None else adapter_names
        if names := [each for each in wanted if layer.has_adapter(each)]:
            report.append(row_of(layer, name, names))
    return report


METHODS["check_names"] = check_names
