"""EVA: A starts with the main directions of the layer's own inputs, and B at zero.

Paischer et al. 2024. `get_peft_model` with `init_lora_weights="eva"` makes B zero and A random;
`initialize_lora_eva_weights` then looks at data, gives A the directions of most variance, and
shares the ranks out among the layers anew. The base and the outputs stay as they are.
"""

from __future__ import annotations

import copy
import dataclasses
import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import ConfigError, PeftWarning, did_you_mean, is_number
from ....undo import all_or_nothing
from ...config import LoraConfig
from ...files import PREFIX
from ...inject import replace_module
from ...layer import LoraLayer
from ...matching import get_pattern_key
from ...plugs import CONFIG_CHECKS, INITIALISATIONS, Initialisation
from ..adapters.from_state_dict import exactly
from .eva_svd import (
    ModelInputs,
    forward_fn_dict,
    get_eva_state_dict,
    prepare_layer_inputs_fn_language_modeling,
    prepare_model_inputs_fn_language_modeling,
    rank_of,
)
from .loftq import warn_of_no_use


@dataclasses.dataclass
class EvaConfig:
    """How EVA chooses directions and ranks.

    rho: a layer's rank is at most rho · r; 1 leaves the ranks as they are. tau: directions stand
    still once the cosine between two batches is at least this. use_label_mask, label_mask_value:
    tokens with this label are passed over. whiten: divide a direction by the root of its singular
    value. adjust_scaling_factors: alpha grows and shrinks with the rank, so that scaling stays.
    """

    rho: float = 2.0
    tau: float = 0.99
    use_label_mask: bool = True
    label_mask_value: int = -100
    whiten: bool = False
    adjust_scaling_factors: bool = True

    def __post_init__(self) -> None:
        if not is_number(self.rho) or self.rho < 1:
            raise ConfigError(f"`rho` must be >= 1.0, and it is {self.rho!r}")
        if not is_number(self.tau) or not 0 <= self.tau <= 1:
            raise ConfigError(f"`tau` must be between 0.0 and 1.0, and it is {self.tau!r}")


def check_config(config: LoraConfig) -> None:
    """Make eva_config an EvaConfig, checked; warn where nothing reads it."""
    given: Any = config.eva_config
    if type(given).__name__ == "EvaConfig" and dataclasses.is_dataclass(given):
        given = vars(given)  # PEFT's too
    if given is not None and not isinstance(given, dict):
        raise ConfigError(f"eva_config must be an EvaConfig, a dict or None, and it is {given!r}")
    known = [each.name for each in dataclasses.fields(EvaConfig)]
    for name in given or ():
        if name not in known:
            raise ConfigError(f"eva_config has no {name!r}.{did_you_mean(name, known)}")
    settings = EvaConfig(**(given or {}))
    if config.init_lora_weights == "eva":
        config.eva_config = settings  # type: ignore[assignment]
    elif given is not None:
        config.eva_config = None
        warn_of_no_use("eva_config", "eva")


def initialize(layer: LoraLayer, name: str, config: LoraConfig) -> None:
    """B at zero; A is random until data have been seen."""
    nn.init.zeros_(layer.adapter(name).B.weight)


@torch.no_grad()
def initialize_lora_eva_weights(
    model: nn.Module,
    dataloader: Iterable[Any] | None = None,
    eva_state_dict: dict[str, Tensor] | None = None,
    forward_fn: Callable[[nn.Module, Any], Any] = forward_fn_dict,
    prepare_model_inputs_fn: ModelInputs = prepare_model_inputs_fn_language_modeling,
    prepare_layer_inputs_fn: Any = prepare_layer_inputs_fn_language_modeling,
    adapter_name: str = "default",
    gather_distributed_inputs: bool = True,
    show_progress_bar: bool = True,
) -> None:
    """Start an adapter's A from data, and give each layer the rank that it is worth.

    The arguments after the first three are those of `get_eva_state_dict`, which is called on the
    `dataloader`; an `eva_state_dict` from there may be given instead. A layer of rank 0 loses the
    adapter. The config says what came out: target_modules, rank_pattern and alpha_pattern. Linear
    layers that the components lack start as with True, which is warned of.

    Raises ValueError, with the model as it was, for a model without adapters, one that is not
    "eva", several active adapters, and components that fit no layer.
    """
    _check(model, dataloader, eva_state_dict, adapter_name)
    found = eva_state_dict
    if found is None:
        wanted: Any = dataloader
        found = get_eva_state_dict(
            model,
            wanted,
            None,
            forward_fn,
            prepare_model_inputs_fn,
            prepare_layer_inputs_fn,
            adapter_name,
            gather_distributed_inputs,
            show_progress_bar,
        )
    peft_model: Any = model
    layers = {
        name.removeprefix(PREFIX): module
        for name, module in peft_model.named_modules()
        if isinstance(module, LoraLayer) and module.has_adapter(adapter_name)
    }
    components = {name.removeprefix(PREFIX): value for name, value in found.items()}
    _check_components(components, layers)
    config = peft_model.peft_config[adapter_name]
    with all_or_nothing(peft_model):
        ranks = {}
        for name, layer in layers.items():
            value = components.get(name)
            ranks[name] = _start(peft_model, name, layer, adapter_name, value, config)
        _note(peft_model, adapter_name, config, ranks)
    _warn_of_others(components, layers)


def _check(model: Any, dataloader: Any, state_dict: Any, adapter_name: str) -> None:
    configs = getattr(model, "peft_config", None)
    if not configs:
        raise ValueError("model must be a PeftModel")
    if adapter_name not in configs:
        raise ValueError(f"Adapter {adapter_name} not found.{did_you_mean(adapter_name, configs)}")
    if len(model.active_adapters) > 1:
        raise ValueError(
            "`initialize_lora_eva_weights` currently only works with a single active adapter"
        )
    if configs[adapter_name].init_lora_weights != "eva":
        raise ValueError(
            "`initialize_lora_eva_weights` can only be used with `init_lora_weights='eva'`"
        )
    if state_dict is None and dataloader is None:
        raise ValueError("dataloader is required if eva_state_dict is not provided")


def _check_components(components: dict[str, Tensor], layers: dict[str, LoraLayer]) -> None:
    """Raise for components of no layer, or of another width than the layer's inputs."""
    for name, value in components.items():
        if name not in layers:
            raise ValueError(f"eva_state_dict: no layer {name!r}.{did_you_mean(name, layers)}")
        layer = layers[name]
        if value.ndim != 2 or value.shape[1] != layer.in_features:
            raise ValueError(
                f"eva_state_dict: {name} has inputs of {layer.in_features} numbers, and its "
                f"components have the shape {tuple(value.shape)}"
            )
        if layer.merged:
            raise ValueError(f"{name} has a merged adapter: call `unmerge_adapter` first")


def _start(
    model: Any,
    name: str,
    layer: LoraLayer,
    adapter_name: str,
    value: Tensor | None,
    config: LoraConfig,
) -> tuple[int, float]:
    """Give one layer its rank and its A; returns (rank, alpha), of which the first may be 0."""
    r, alpha = rank_of(config, name), _alpha_of(config, name)
    if value is not None and len(value) == 0:
        _take_off(model, name, layer, adapter_name)
        return 0, alpha
    rank = r if value is None else len(value)
    settings: Any = config.eva_config
    if rank != r and settings.adjust_scaling_factors:
        alpha *= rank / r
    plain = dataclasses.replace(config, eva_config=None, init_lora_weights=True)
    _renew(layer, adapter_name, rank, alpha, plain if value is None else config)
    if value is not None:
        weight = layer.adapter(adapter_name).A.weight
        weight.copy_(value)
    return rank, alpha


def _renew(layer: LoraLayer, adapter_name: str, r: int, alpha: float, config: LoraConfig) -> None:
    """Make an adapter's tensors anew, in the dtype and with the flags of the old ones."""
    old = layer.adapter(adapter_name).A.weight
    layer.update_layer(adapter_name, r, alpha, config)
    for name, part in layer._adapter_parts():
        if name == adapter_name:
            part.requires_grad_(old.requires_grad)
            if isinstance(part, nn.Module):
                part.to(old.dtype)


def _take_off(model: Any, name: str, layer: LoraLayer, adapter_name: str) -> None:
    """Take the adapter from one layer, and the layer away where no other adapter is on it."""
    if layer._get_available_adapters() == [adapter_name]:
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        replace_module(inner, name, layer.unloaded([]))
        return
    active = layer._active_adapter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PeftWarning)
        layer.delete_adapter(adapter_name)
    layer._active_adapter = active


def _alpha_of(config: LoraConfig, name: str) -> float:
    alphas = config.alpha_pattern
    return alphas.get(get_pattern_key(alphas, name), config.lora_alpha)


def _note(
    model: Any, adapter_name: str, config: LoraConfig, found: dict[str, tuple[int, float]]
) -> None:
    """Put into a new config, and the plan, which layers have which rank and alpha."""
    new = copy.copy(config)
    kept = {name: both for name, both in found.items() if both[0]}
    new.target_modules, new.exclude_modules = exactly(kept), None
    new.layers_to_transform = new.layers_pattern = None
    named = {name: f"^{re.escape(name)}" for name in kept}
    new.rank_pattern = {named[n]: r for n, (r, _) in kept.items() if r != config.r}
    new.alpha_pattern = {named[n]: a for n, (_, a) in kept.items() if a != config.lora_alpha}
    model.peft_config[adapter_name] = new
    plan = model.plans.get(adapter_name)
    if plan is not None:
        model.plans[adapter_name] = dataclasses.replace(
            plan,
            config=new,
            targets=[
                target._replace(r=kept[target.name][0], lora_alpha=kept[target.name][1])
                for target in plan.targets
                if target.name in kept
            ],
        )


def _warn_of_others(components: dict[str, Tensor], layers: dict[str, LoraLayer]) -> None:
    others = sorted(layers.keys() - components.keys())
    if others:
        warnings.warn(
            "the following layers were initialized with init_lora_weights=True because they were "
            f"not found in the eva state_dict: {others}",
            PeftWarning,
            stacklevel=3,
        )


INITIALISATIONS["eva"] = Initialisation(initialize)
CONFIG_CHECKS["eva_config"] = check_config
