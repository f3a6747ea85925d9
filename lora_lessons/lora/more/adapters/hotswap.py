"""Hot swapping: another file's values in the place of an adapter's, in the memory that it has.

No module is replaced and no tensor moves, so a model that is compiled, or captured in a CUDA graph,
goes on as it is. Loading a second adapter and switching would compile anew, and needs its memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import AdapterFileError, ConfigError, did_you_mean
from ....storage import refuse_misspelt, split_hub_arguments
from ....undo import all_or_nothing, write
from ...arithmetic import lora_scaling
from ...config import LoraConfig, PeftConfig
from ...files import PREFIX, adapter_tensors, configs_of, load_peft_weights
from ...layer import LoraLayer
from ...matching import check_target_module_exists, get_pattern_key
from ...tuner_layer import canonical_name
from ..variants.dora import base_weight, row_norms
from .faults import problems_of, report_problems
from .rank_room import (
    COLUMNS,
    ROWS,
    alpha_for,
    check_room,
    groups_of,
    is_plain,
    with_ranks,
    with_room,
)
from .spelling import respelled

MUST_AGREE = ("use_rslora", "lora_dropout", "use_dora")  # in PEFT alpha_pattern too
CHANGES_THE_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")


def hotswap_adapter(
    model: nn.Module,
    model_name_or_path: str | Path,
    adapter_name: str,
    torch_device: str | None = None,
    **kwargs: Any,
) -> None:
    """Give an adapter the values of a file, at once and in its own memory.

    Afterwards the model computes what it would with the file loaded alone. The file may have a
    smaller rank, or lack layers that its config does not target: the rest is zero. A larger rank
    needs room: `prepare_model_for_compiled_hotswap(model, target_rank=...)` before compiling.

    Raises ValueError, and for a file that does not fit AdapterFileError, with the model as it was:
    for an unknown or merged adapter, another dropout, DoRA on one side alone, PiSSA and its like,
    layers or ranks for which there is no room, each named.
    """
    refuse_misspelt(kwargs, load_peft_weights)
    hub, _ = split_hub_arguments(kwargs)
    subfolder, key_mapping = kwargs.get("subfolder"), kwargs.get("key_mapping")
    config = PeftConfig.from_pretrained(model_name_or_path, subfolder, **hub)
    tensors = load_peft_weights(model_name_or_path, torch_device, subfolder, key_mapping, **hub)
    hotswap_adapter_from_state_dict(model, tensors, adapter_name, config)


@torch.no_grad()
def hotswap_adapter_from_state_dict(
    model: nn.Module,
    state_dict: dict[str, Tensor],
    adapter_name: str,
    config: LoraConfig,
    parameter_prefix: str = "lora_",
) -> None:
    """As `hotswap_adapter`, for tensors and a config that are in memory.

    The keys are those of a file, or with the adapter's name in them, as PEFT's function takes them.
    """
    if parameter_prefix != "lora_":
        raise ValueError(f"LoRA's tensors begin with 'lora_', and not {parameter_prefix!r}")
    model = model._modules.get("_orig_mod") or model
    layers = {
        canonical_name(name).removeprefix(PREFIX): module
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer) and module.has_adapter(adapter_name)
    }
    check_configs(model, adapter_name, config)
    _check_layers(layers, adapter_name)
    expected = adapter_tensors(model, adapter_name)
    given = respelled(model, adapter_name, dict(state_dict), expected)
    plain = {name: layer for name, layer in layers.items() if is_plain(layer, adapter_name)}
    absent = _layers_left_out(plain, given, config)
    values = _fitted(plain, adapter_name, given, expected, config)
    missing = [k for k in expected if k not in values and _layer_of(k) not in absent]
    unexpected = [key for key in values if key not in expected]
    report_problems(problems_of(values, _without(expected, absent), missing, unexpected), True)
    with all_or_nothing(model):
        for key, value in values.items():
            write(expected[key], value)
        for name, layer in layers.items():
            if name in absent:
                _set_to_nothing(layer, adapter_name, name, expected)
            else:
                _rescale(layer, adapter_name, scaling_of(config, name))
        own = configs_of(model)
        own[adapter_name] = with_ranks(own[adapter_name], layers, adapter_name)


def check_configs(model: nn.Module, adapter_name: str, config: LoraConfig) -> None:
    """Raise where the file's config says that its values mean something else in this adapter."""
    own = configs_of(model)
    if adapter_name not in own:
        raise ValueError(f"Adapter {adapter_name} not found.{did_you_mean(adapter_name, own)}")
    mine = own[adapter_name]
    for name in MUST_AGREE:
        theirs, ours = getattr(config, name), getattr(mine, name)
        if theirs != ours:
            raise ConfigError(f"Configs are incompatible: for {name}, {ours!r} != {theirs!r}")
    for side, each in (("the file's", config), (f"{adapter_name!r}'s", mine)):
        if str(each.init_lora_weights).startswith(CHANGES_THE_BASE):
            raise ConfigError(
                f"{side} init_lora_weights={each.init_lora_weights!r} changed the base's weights, "
                "and a swap leaves them as they are: save such an adapter with "
                "`path_initial_model_for_weight_conversion`"
            )


def _check_layers(layers: dict[str, LoraLayer], adapter_name: str) -> None:
    """Raise for an adapter without LoRA layers, and for one that is merged."""
    if not layers:
        raise ValueError(f"the adapter {adapter_name!r} has no LoRA layers to swap")
    if any(adapter_name in layer.merged_adapters for layer in layers.values()):
        raise ValueError(
            f"Cannot hot-swap adapter {adapter_name!r} because it is currently merged into the "
            "base weights: call `unmerge_adapter` first"
        )


def _layer_of(key: str) -> str:
    """The name in the base model of the layer that a file's key belongs to."""
    return key.rsplit(".lora_", 1)[0].removeprefix(PREFIX) if ".lora_" in key else ""


def _layers_left_out(
    layers: dict[str, LoraLayer], given: dict[str, Tensor], config: LoraConfig
) -> set[str]:
    """The model's layers that the file has nothing for, and that its config does not target."""
    there = {_layer_of(key) for key in given}
    known = config.target_modules is not None and str(config.target_modules) != "all-linear"
    return {n for n in layers.keys() - there if known and not check_target_module_exists(config, n)}


def rank_and_alpha(config: LoraConfig, name: str) -> tuple[int, float]:
    """What a config says for the layer of this name in the base model."""
    ranks, alphas = config.rank_pattern, config.alpha_pattern
    r = ranks.get(get_pattern_key(ranks, name), config.r)
    return r, alphas.get(get_pattern_key(alphas, name), config.lora_alpha)


def _fitted(
    layers: dict[str, LoraLayer],
    adapter_name: str,
    given: dict[str, Tensor],
    expected: dict[str, Tensor],
    config: LoraConfig,
) -> dict[str, Tensor]:
    """The file's tensors with zeros up to the ranks that the model has; too large ones raise."""
    too_large: dict[str, tuple[int, int]] = {}
    values: dict[str, Tensor] = {}
    for key, value in given.items():
        layer, suffix = layers.get(_layer_of(key)), f"lora_{key.rsplit('.lora_', 1)[-1]}"
        if layer is not None and key in expected and suffix in (*ROWS, *COLUMNS):
            name, room = _layer_of(key), layer.r[adapter_name]
            rank = rank_and_alpha(config, name)[0]
            dim, share = (0, 1) if suffix in ROWS else (1, groups_of(layer))
            if value.shape[dim] * share != rank:
                raise AdapterFileError(
                    f"{key} has rank {value.shape[dim] * share}, and the file's config says {rank}"
                )
            if rank > room:
                too_large[name] = (rank, room)
                continue
            check_room(name, layer, room, rank)
            value = with_room(value, suffix, room, groups_of(layer))
        values[key] = value
    if too_large:
        _refuse_ranks(too_large)
    return values


def _refuse_ranks(too_large: dict[str, tuple[int, int]]) -> None:
    """Raise with the layers whose rank has no room, and with what would give them some."""
    name, (rank, room) = next(iter(too_large.items()))
    more = f" ({len(too_large) - 1} other layers too)" if len(too_large) > 1 else ""
    wanted = max(rank for rank, _ in too_large.values())
    raise AdapterFileError(
        f"the file has rank {rank} for {name}, and the model's adapter has room for {room}{more}. "
        f"Give it room once, before it is compiled: "
        f"prepare_model_for_compiled_hotswap(model, target_rank={wanted})"
    )


def _without(expected: dict[str, Tensor], absent: set[str]) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in expected.items() if _layer_of(key) not in absent}


def _set_to_nothing(
    layer: LoraLayer, adapter_name: str, name: str, expected: dict[str, Tensor]
) -> None:
    """Give a layer an update of zero: its factors, and DoRA's magnitudes as they are without it."""
    for key, tensor in expected.items():
        if _layer_of(key) == name and "lora_magnitude" not in key:
            write(tensor, torch.zeros_like(tensor))
    if adapter_name in layer.lora_variant:
        part: Any = layer.lora_magnitude_vector[adapter_name]
        norms = row_norms(layer, adapter_name, base_weight(layer))
        write(part.weight, norms.view_as(part.weight))


def scaling_of(config: LoraConfig, layer_name: str) -> float:
    """A file's scaling of the layer of this name."""
    r, alpha = rank_and_alpha(config, layer_name)
    return lora_scaling(alpha, r, config.use_rslora)


def _rescale(layer: LoraLayer, adapter_name: str, scaling: float) -> None:
    """Set a layer's scaling, in the tensor that a compiled model reads if it is one."""
    old: Any = layer.scaling[adapter_name]
    if isinstance(old, Tensor):
        write(old, torch.tensor(scaling))
    elif old != scaling:
        layer.scaling[adapter_name] = scaling
    r, use_rslora = layer.r[adapter_name], layer.use_rslora[adapter_name]
    layer.lora_alpha[adapter_name] = alpha_for(scaling, r, use_rslora)
