"""What `target_modules` stands for where it names no modules: None, and "all-linear"."""

from __future__ import annotations

from typing import Any

from torch import nn

from ....errors import ConfigError, did_you_mean
from ...config import LoraConfig
from ...inject import nearest_layer_class, targetable_modules
from ...layer import LoraLayer
from ...matching import is_saved_module
from ...plugs import SHORTHANDS
from ...tuner_layer import base_of

ALL_LINEAR = "all-linear"
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
    """What target_modules=None stands for: the default of the model's architecture."""
    model_config = getattr(model, "config", None)
    return default_targets(getattr(model_config, "model_type", None))


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
    return {
        name
        for name, module in targetable_modules(model)
        if _is_linear(module)
        and id(module) not in skipped
        and not is_saved_module(config.modules_to_save, name)
    }


def _is_linear(module: nn.Module) -> bool:
    base = base_of(module) if isinstance(module, LoraLayer) else module
    layer_class = nearest_layer_class(base)
    return layer_class is not None and layer_class.is_linear


SHORTHANDS[""] = targets_of_its_type
SHORTHANDS[ALL_LINEAR] = all_linear
