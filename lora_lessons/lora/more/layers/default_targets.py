"""What `target_modules` stands for where it names no modules: None, and "all-linear"."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from torch import nn

from ....errors import ConfigError, PeftWarning, did_you_mean
from ...config import LoraConfig
from ...inject import nearest_layer_class, targetable_modules
from ...layer import LoraLayer
from ...matching import is_saved_module, matches_suffix
from ...plugs import SHORTHANDS
from ...tuner_layer import StandIn, base_of
from ..adapters.status import count_of
from .by_weight import ByWeight

ALL_LINEAR = "all-linear"
LARGE_SHARE = 0.02  # of the weights; less is norms, positions and the like
HEADS = ("score", "classifier")  # what transformers calls the head of a sequence classifier

# by `model.config.model_type`
_TARGETS_BY_MODEL_TYPES = {
    ("q_proj", "v_proj"): "bart opt gptj gpt_neo llama llama4 mistral mixtral stablelm gemma "
    "gemma2 gemma3_text qwen2 qwen3",
    ("query", "value"): "bert roberta xlm-roberta electra layoutlm",
    ("query_key_value",): "bloom gpt_neox chatglm RefinedWebModel RefinedWeb falcon",
    ("q", "v"): "t5 mt5",
    ("q", "v", "q_proj", "v_proj"): "blip-2",
    ("c_attn",): "gpt2 gpt_bigcode",
    ("c_proj", "c_attn"): "btlm",
    ("query_proj", "value_proj"): "deberta-v2",
    ("in_proj",): "deberta",
    ("Wqkv",): "mpt",
    ("qkv_proj",): "codegen",
    ("q_proj", "v_proj", "fc1", "fc2"): "phi",
    ("q_proj", "k_proj", "v_proj", "o_proj"): "nemotron_h",
    ("key", "value", "receptance", "output"): "rwkv",
    ("r_proj", "k_proj", "v_proj", "o_proj", "key", "value"): "rwkv7",
}
DEFAULT_TARGETS: dict[str, set[str] | str] = {
    model_type: set(targets)
    for targets, model_types in _TARGETS_BY_MODEL_TYPES.items()
    for model_type in model_types.split()
} | {"gemma4": r".*language_model\..*\.(q_proj|v_proj)"}


def default_targets(model_type: str | None) -> set[str] | str:
    """target_modules for a known architecture."""
    if model_type not in DEFAULT_TARGETS:
        raise ConfigError(
            "Please specify `target_modules` in `peft_config`: there is no default for the model "
            f"type {model_type!r}.{did_you_mean(str(model_type), DEFAULT_TARGETS)}"
        )
    found = DEFAULT_TARGETS[model_type]
    return found if isinstance(found, str) else set(found)


def targets_of_its_type(model: nn.Module, config: LoraConfig) -> set[str] | str:
    """What target_modules=None stands for: the default of the model's architecture.

    Beside target_parameters there may be none.
    """
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    if config.target_parameters and model_type not in DEFAULT_TARGETS:
        return set()
    return default_targets(model_type)


def all_linear(model: Any, config: LoraConfig) -> set[str]:
    """The full names of all linear layers but the output head.

    The head is the output embedding of a language model, or the classifier of a SEQ_CLS model.
    """
    skipped = set()
    if hasattr(type(model), "get_output_embeddings"):
        head = model.get_output_embeddings()
        if head is None and config.task_type == "SEQ_CLS":
            head = next((h for name in HEADS if (h := getattr(model, name, None))), None)
        skipped = {id(head)}
    modules = dict(targetable_modules(model))
    warn_of_unreached(model, modules, config.target_parameters or ())
    return {
        name
        for name, module in modules.items()
        if _is_linear(module)
        and id(module) not in skipped
        and not is_saved_module(config.modules_to_save, name)
    }


def warn_of_unreached(
    model: nn.Module, modules: dict[str, nn.Module], targeted: Iterable[str]
) -> None:
    """Name the share of weights that are no linear layer's: experts in one tensor, attention's own.

    Those are Parameters of a module's own with two dimensions or more, which no class of `LAYERS`
    can adapt, and weights that a parent reads without calling the layer; but for those `targeted`
    by target_parameters.
    """
    sizes = {
        f"{name}.{key}": parameter.numel()
        for name, module in modules.items()
        if not isinstance(module, StandIn) and not _is_known(module)
        for key, parameter in module._parameters.items()
        if parameter is not None and parameter.ndim >= 2
        if not any(matches_suffix(entry, f"{name}.{key}") for entry in targeted)
    }
    share = sum(sizes.values()) / max(1, sum(map(count_of, model.parameters())))
    if share >= LARGE_SHARE:
        largest = max(sizes, key=lambda name: sizes[name])
        warnings.warn(
            f'"{ALL_LINEAR}" cannot reach {share:.0%} of the model\'s weights: {len(sizes)} '
            f"tensors that are no linear layer's, such as {largest}. They stay as they are; "
            "target_parameters takes such names.",
            PeftWarning,
            stacklevel=6,
        )


def _is_known(module: nn.Module) -> bool:
    """Whether there is a LoRA layer for a module, beside its product."""
    layer_class = nearest_layer_class(module)
    return layer_class is not None and not issubclass(layer_class, ByWeight)


def _is_linear(module: nn.Module) -> bool:
    base = base_of(module) if isinstance(module, LoraLayer) else module
    layer_class = nearest_layer_class(base)
    return layer_class is not None and layer_class.is_linear


SHORTHANDS[""] = targets_of_its_type
SHORTHANDS[ALL_LINEAR] = all_linear
