"""Adapters with room for a larger rank: rows of A and columns of B that are zero.

B A is the same with them. A compiled model keeps its shapes while adapters of different ranks take
turns in it, which is what `hotswap` is for.
"""

from __future__ import annotations

import copy
import math
import re
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import ConfigError, PeftWarning, is_number
from ....undo import all_or_nothing
from ...config import LoraConfig
from ...files import PREFIX, configs_of
from ...layer import LoraLayer
from ..layers.fused_qkv import FusedQKV

ROWS = ("lora_A.weight", "lora_embedding_A")  # the first dimension counts r
COLUMNS = ("lora_B.weight", "lora_embedding_B")  # the second does
SIZES = ("out_features", "out_channels"), ("in_features", "in_channels")


def with_room(value: Tensor, suffix: str, r: int, groups: int = 1) -> Tensor:
    """A factor by its key's end, filled up with zeros to rank `r`; as it is where it has that.

    Under `groups` a convolution's B reads A's rows group by group: each group gets its own room.
    """
    if suffix not in (*ROWS, *COLUMNS):
        return value
    dim = 0 if suffix in ROWS else 1
    parts = groups if suffix in ROWS else 1
    wanted = r if suffix in ROWS else r // groups
    if value.shape[dim] == wanted:
        return value
    blocks = value.unflatten(dim, (parts, -1)) if dim == 0 else value
    shape = list(blocks.shape)
    shape[1] = wanted // parts
    result = value.new_zeros(shape)
    result.narrow(1, 0, blocks.shape[1]).copy_(blocks)
    return result.flatten(0, 1) if dim == 0 else result


def groups_of(layer: LoraLayer) -> int:
    """The groups of a convolution, 1 for any other layer."""
    return int(getattr(layer.get_base_layer(), "groups", 1))


def is_plain(layer: LoraLayer, name: str) -> bool:
    """Whether A has one row for each rank; the experts of a Parameter have r each."""
    return len(layer.adapter(name).A.weight) == layer.r[name]


def check_room(name: str, layer: LoraLayer, r: int, needed: int) -> None:
    """Raise where a layer's adapter of rank `needed` cannot stand in room for rank `r`."""
    if needed == r:
        return
    if needed > r:
        raise ConfigError(f"{name} has rank {needed}, which is above {r}")
    if isinstance(layer, FusedQKV):
        raise ConfigError(
            f"{name} is a fused projection: its rows belong to parts, and have no room"
        )
    if r % groups_of(layer):
        raise ConfigError(
            f"{name} has groups={groups_of(layer)}, and {r} is not divisible by that: choose a "
            "target rank that is"
        )


def prepare_model_for_compiled_hotswap(
    model: nn.Module,
    *,
    target_rank: int | None = None,
    config: LoraConfig | dict[str, LoraConfig] | None = None,
    check_compiled: str = "error",
) -> None:
    """Let adapters of other ranks and scalings take turns in a model that is compiled once.

    Scalings become tensors, which `torch.compile` does not bake in, and every A and B gets room for
    `target_rank`, the largest that will come. Call it once the first adapter is loaded, before
    `torch.compile`. The outputs stay as they are; the model's own configs follow, so that a file
    saved later fits its config. Another `config` that is given gets the rank, as in PEFT.

    Raises ValueError, with the model as it was, for a rank below one that is there, a merged or a
    compiled model (`check_compiled`: "error", "warn" or "ignore") and one without LoRA.
    """
    _check_compiled(model, check_compiled)
    model = model._modules.get("_orig_mod") or model
    layers = {n: m for n, m in model.named_modules() if isinstance(m, LoraLayer)}
    _check_layers(layers, target_rank)
    with all_or_nothing(model):
        for layer in layers.values():
            for name in layer.scaling:
                if target_rank is not None:
                    _give_room(layer, name, target_rank)
                layer.scaling[name] = _as_tensor(layer, name)
        if target_rank is not None:
            own = configs_of(model)
            for name in own:
                own[name] = with_ranks(own[name], layers, name)
    given = config.values() if isinstance(config, dict) else [config]
    foreign = [each for each in given if each is not None and not _is_among(each, model)]
    if target_rank is None:
        return
    for each in foreign:
        each.r, each.rank_pattern = target_rank, dict.fromkeys(each.rank_pattern, target_rank)


def _is_among(config: LoraConfig, model: nn.Module) -> bool:
    return any(config is own for own in configs_of(model).values())


def _check_compiled(model: nn.Module, check: str) -> None:
    if check not in ("error", "warn", "ignore"):
        raise ValueError(f"check_compiled should be 'error', 'warn' or 'ignore', got {check!r}")
    if "_orig_mod" not in model._modules and not getattr(model, "_compiled_call_impl", None):
        return
    message = "Call prepare_model_for_compiled_hotswap *before* compiling the model"
    if check == "error":
        raise ValueError(message)
    if check == "warn":
        warnings.warn(f"{message}: it will be compiled again.", PeftWarning, stacklevel=3)


def _check_layers(layers: dict[str, LoraLayer], target_rank: int | None) -> None:
    """Raise for a model without LoRA, a merged one, and a rank that one layer cannot have."""
    if not layers:
        raise ValueError(
            "No adapter layers found on the model, make sure call "
            "`prepare_model_for_compiled_hotswap` after loading the first adapter."
        )
    if target_rank is None:
        return
    if not is_number(target_rank, whole=True) or target_rank < 1:
        raise ValueError(f"target_rank should be a positive integer, got {target_rank!r}")
    if any(layer.merged for layer in layers.values()):
        raise ValueError("an adapter is merged: call `unmerge_adapter` first")
    for name, layer in layers.items():
        for adapter, r in layer.r.items():
            try:
                if not is_plain(layer, adapter):
                    raise ConfigError(f"{name} has r rows for each of its experts")
                check_room(name, layer, target_rank, r)
            except ConfigError as error:
                raise ValueError(
                    f"the adapter {adapter!r} cannot get room for rank {target_rank}: {error}"
                ) from error


def _give_room(layer: LoraLayer, name: str, r: int) -> None:
    """Replace an adapter's factors by wider ones, and keep its scaling."""
    scaling = float(layer.scaling[name])
    for attribute in ("lora_A", "lora_B"):
        if name in (factors := getattr(layer, attribute)):
            module: Any = factors[name]
            new = with_room(module.weight.detach(), f"{attribute}.weight", r, groups_of(layer))
            module.weight = nn.Parameter(new, module.weight.requires_grad)
            for size in SIZES[attribute == "lora_B"]:
                if hasattr(module, size):
                    setattr(module, size, r)
    for attribute in ("lora_embedding_A", "lora_embedding_B"):
        if name in (factors := getattr(layer, attribute)):
            old = factors[name]
            factors[name] = nn.Parameter(with_room(old.detach(), attribute, r), old.requires_grad)
    layer.r[name] = r
    layer.lora_alpha[name] = alpha_for(scaling, r, layer.use_rslora[name])


def _as_tensor(layer: LoraLayer, name: str) -> Any:
    value = layer.scaling[name]
    device = layer.adapter(name).A.weight.device
    return value if isinstance(value, Tensor) else torch.tensor(float(value), device=device)


def alpha_for(scaling: float, r: int, use_rslora: bool) -> float:
    """The lora_alpha with which rank r has this scaling; a whole number where it is one."""
    alpha = scaling * (math.sqrt(r) if use_rslora else r)
    whole = round(alpha)
    return whole if whole and math.isclose(alpha, whole, rel_tol=1e-6) else alpha


def with_ranks(config: LoraConfig, layers: dict[str, LoraLayer], name: str) -> LoraConfig:
    """A copy of an adapter's config with the ranks and alphas that its layers have now.

    What most layers have stands in `r` and `lora_alpha`, the others in the patterns by full name.
    """
    config = copy.copy(config)
    found = {key: layer for key, layer in layers.items() if name in layer.r}
    ranks = {key: layer.r[name] for key, layer in found.items()}
    alphas = {key: layer.lora_alpha[name] for key, layer in found.items()}
    if found:
        config.r, config.rank_pattern = _usual(ranks)
        config.lora_alpha, config.alpha_pattern = _usual(alphas)
    return config


def _usual(values: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """(the most frequent value, the others by a pattern that matches one name)."""
    counted = list(values.values())
    usual = max(dict.fromkeys(counted), key=counted.count)
    names = {key: re.escape(key.removeprefix(PREFIX)) for key in values}
    return usual, {f"^{names[key]}": value for key, value in values.items() if value != usual}
