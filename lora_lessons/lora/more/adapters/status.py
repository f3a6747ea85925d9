"""What is active, merged and trained, layer by layer and for the whole model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from ...files import configs_of
from ...model import PeftModel
from ...plugs import method_of
from ...tuner import LoraModel, injected_model
from ...tuner_layer import (
    AdapterHolder,
    BaseTunerLayer,
    adapter_parameters,
)

Irregular = bool | Literal["irregular"]


@dataclass
class TunerLayerStatus:
    """One layer: the adapters it has, and their state."""

    name: str
    module_type: str
    enabled: bool
    active_adapters: list[str]
    merged_adapters: list[str]
    requires_grad: dict[str, Irregular]
    available_adapters: list[str]
    devices: dict[str, list[str]]
    quantization_backend: None = None


@dataclass
class TunerModelStatus:
    """The whole model; "irregular" where its layers differ."""

    base_model_type: str
    adapter_model_type: str
    peft_types: dict[str, str]
    trainable_params: int
    total_params: int
    num_adapter_layers: int
    enabled: Irregular
    active_adapters: list[str] | Literal["irregular"]
    merged_adapters: list[str] | Literal["irregular"]
    requires_grad: dict[str, Irregular]
    available_adapters: list[str]
    devices: dict[str, list[str]]
    quantization_backend: None = None


def agreed(values: list[Any]) -> Any:
    """The one value that all have, or "irregular"."""
    return values[0] if all(value == values[0] for value in values) else "irregular"


@method_of(LoraModel)
def get_layer_status(model: nn.Module) -> list[TunerLayerStatus]:
    """The status of each layer that has adapters."""
    inner = injected_model(model)
    rows = [_row(n, m) for n, m in inner.named_modules() if isinstance(m, AdapterHolder)]
    if not rows:
        raise ValueError(
            "No adapter layers found in the model, please ensure that it's a PEFT model or that "
            "you have PEFT adapters injected in the model."
        )
    prefix = "model." if inner is not model else ""
    for row in rows:
        row.name = prefix + row.name
    return rows


def _row(name: str, holder: Any) -> TunerLayerStatus:
    flags: dict[str, list[bool]] = {}
    devices: dict[str, set[str]] = {}
    for adapter, parameter in adapter_parameters(holder):
        flags.setdefault(adapter, []).append(parameter.requires_grad)
        devices.setdefault(adapter, set()).add(parameter.device.type)
    return TunerLayerStatus(
        name=name,
        module_type=_type_name(holder),
        enabled=not holder.disable_adapters,
        active_adapters=holder.active_adapters,
        merged_adapters=list(holder.merged_adapters),
        requires_grad={adapter: agreed(values) for adapter, values in flags.items()},
        available_adapters=sorted(holder._get_available_adapters()),
        devices={adapter: sorted(names) for adapter, names in devices.items()},
    )


def _type_name(holder: nn.Module) -> str:
    """PEFT's name for the kind of holder: "lora.Linear"."""
    name = type(holder).__name__
    return f"lora.{name}" if isinstance(holder, BaseTunerLayer) else name


def count_of(parameter: nn.Parameter) -> int:
    """How many numbers a parameter is; bitsandbytes packs several of them into one."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else math.prod(state.shape)


@method_of(LoraModel)
def get_model_status(model: nn.Module) -> TunerModelStatus:
    """The status of the whole model."""
    rows = get_layer_status(model)
    inner = injected_model(model)
    wrapped = inner is not model
    parameters = list(inner.parameters())
    adapters = sorted({name for row in rows for name in row.available_adapters})
    flags = {
        name: agreed([row.requires_grad[name] for row in rows if name in row.requires_grad])
        for name in adapters
    }
    devices = {
        name: sorted({device for row in rows for device in row.devices.get(name, [])})
        for name in adapters
    }
    return TunerModelStatus(
        base_model_type=type(inner).__name__ if wrapped or "config" in vars(inner) else "other",
        adapter_model_type="LoraModel" if wrapped else "None",
        peft_types=dict.fromkeys(configs_of(model), "LORA") if wrapped else {},
        trainable_params=sum(count_of(p) for p in parameters if p.requires_grad),
        total_params=sum(count_of(p) for p in parameters),
        num_adapter_layers=len(rows),
        enabled=agreed([row.enabled for row in rows]),
        active_adapters=agreed([row.active_adapters for row in rows]),
        merged_adapters=_merged(rows),
        requires_grad=flags,
        available_adapters=adapters,
        devices=devices,
    )


def _merged(rows: list[TunerLayerStatus]) -> list[str] | Literal["irregular"]:
    """The adapters that are merged wherever they are; "irregular" where only in some layers."""
    merged = {name for row in rows for name in row.merged_adapters}
    everywhere = all(
        name in row.merged_adapters or name not in row.available_adapters
        for name in merged
        for row in rows
    )
    return sorted(merged) if everywhere else "irregular"


@method_of(PeftModel)
def get_nb_trainable_parameters(model: PeftModel) -> tuple[int, int]:
    """(trainable parameters, all parameters); a parameter used twice counts once."""
    sizes = [(count_of(parameter), parameter.requires_grad) for parameter in model.parameters()]
    return sum(n for n, trains in sizes if trains), sum(n for n, _ in sizes)


@method_of(PeftModel)
def print_trainable_parameters(model: PeftModel) -> None:
    """Print both counts and their ratio."""
    trainable, total = model.get_nb_trainable_parameters()
    print(
        f"trainable params: {trainable:,d} || all params: {total:,d} || "
        f"trainable%: {100 * trainable / total:.4f}"
    )
