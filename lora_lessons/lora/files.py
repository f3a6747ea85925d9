"""The adapter's files, in PEFT's format: adapter_config.json and adapter_model.safetensors.

Keys are the module's path, then the factor, without the adapter's name:
"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight". They are built from the model's
structure, so that saving and loading cannot disagree, whatever an adapter is called.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from ..errors import AdapterFileError, did_you_mean
from ..storage import CONFIG_NAME, WEIGHTS_NAME, adapter_path, write_whole
from ..undo import all_or_nothing, write
from .config import LoraConfig
from .plugs import METHODS, TEXTS
from .tuner import Wrapper
from .tuner_layer import canonical_name, named_holders

PREFIX = "base_model.model."  # what PeftModel puts before every name
NO_MEMORY = (
    "the adapter {!r} has tensors on the meta device, which hold nothing and take nothing in: "
    "give the base model its weights first, or load with low_cpu_mem_usage=True"
)
EMBEDDINGS = ("embed_tokens", "lm_head")  # may be in a file as a whole


class LoadResult(NamedTuple):
    """Keys that a file lacked, and keys that the model did not know."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def adapter_tensors(model: nn.Module, adapter_name: str) -> dict[str, Tensor]:
    """An adapter's live tensors by their keys in a file."""
    return {
        canonical_name(f"{name}.{suffix}" if name else suffix): tensor
        for name, holder in named_holders(model)
        for suffix, tensor in holder.file_tensors(adapter_name).items()
    }


def get_peft_model_state_dict(
    model: nn.Module,
    state_dict: dict[str, Tensor] | None = None,
    adapter_name: str = "default",
    unwrap_compiled: bool = False,
    save_embedding_layers: bool | str = "auto",
) -> dict[str, Tensor]:
    """An adapter's tensors by the keys of its file.

    `state_dict` gives other values for the model's names, as a sharded model's gathered one does.
    `save_embedding_layers` adds whole embeddings; "auto" does if targeted or resized.
    """
    if unwrap_compiled:
        model = model._modules.get("_orig_mod") or model
    configs = configs_of(model)
    if adapter_name not in configs:
        raise ValueError(f"Adapter {adapter_name} not found.{did_you_mean(adapter_name, configs)}")
    tensors = adapter_tensors(model, adapter_name)
    if save_embedding_layers is True or (save_embedding_layers and has_embeddings(model)):
        config = configs[adapter_name]
        tensors |= METHODS["embedding_tensors"](model, config, save_embedding_layers)
    if state_dict is not None:
        return METHODS["values_from"](state_dict, model, tensors)
    return {key: tensor.detach() for key, tensor in tensors.items()}


def configs_of(model: nn.Module) -> dict[str, Any]:
    """The configs by adapter name: a wrapper's, or those that stand on an injected model."""
    if isinstance(model, Wrapper):
        return model.peft_config
    configs: dict[str, Any] = vars(model).get("peft_config", {})
    return configs


def has_embeddings(model: nn.Module) -> bool:
    """Whether the model may have embeddings, by transformers' names."""
    return any(
        hasattr(type(module), "get_input_embeddings") or name.endswith(EMBEDDINGS)
        for name, module in model.named_modules()
    )


def set_peft_model_state_dict(
    model: nn.Module,
    peft_model_state_dict: dict[str, Tensor],
    adapter_name: str = "default",
    ignore_mismatched_sizes: bool = False,
    low_cpu_mem_usage: bool = False,
    strict: bool = True,
) -> LoadResult:
    """Copy a file's tensors into an adapter that the model already has.

    Missing, unexpected, misshapen and not finite tensors raise AdapterFileError, each named, before
    anything is written; with `strict=False` they are left out with a warning.
    """
    with all_or_nothing(model):
        if low_cpu_mem_usage:
            METHODS["materialize"](model, adapter_name)
        expected, given = adapter_tensors(model, adapter_name), dict(peft_model_state_dict)
        if not expected:
            hint = did_you_mean(adapter_name, configs_of(model))
            raise ValueError(f"Adapter {adapter_name} not found.{hint}")
        if any(tensor.is_meta for tensor in expected.values()):
            raise ValueError(NO_MEMORY.format(adapter_name))
        if not given.keys() <= expected.keys():
            given, expected = METHODS["brought_together"](model, adapter_name, given, expected)
        result, faulty = LoadResult([], []), set[str]()
        if given.keys() != expected.keys() or not all(
            given[k].shape == place.shape and given[k].isfinite().all()
            for k, place in expected.items()
        ):
            result, faulty = METHODS["faults"](given, expected, strict, ignore_mismatched_sizes)
        for key in expected.keys() & given.keys() - faulty:
            write(expected[key], given[key])
    return result


def config_for_file(config: LoraConfig, base: nn.Module) -> LoraConfig:
    """The config as files have it: for inference, and with the base model's name or class."""
    config = copy.deepcopy(config)
    config.inference_mode = True
    if config.base_model_name_or_path is None:
        config.base_model_name_or_path = vars(base).get("name_or_path") or None
    if config.modules_to_save:
        config.modules_to_save = METHODS["names_for_peft"](config.modules_to_save, base)
    if config.task_type is None:
        config.auto_mapping = {
            "base_model_class": type(base).__name__,
            "parent_library": type(base).__module__,
        }
    return config


def facts_of(config: LoraConfig, model: nn.Module) -> dict[str, Any]:
    """What a text beside the files can say of an adapter."""
    base, targets, task = config.base_model_name_or_path, config.target_modules, config.task_type
    tags = {"lora", *(vars(model).get("model_tags") or ())}
    tags |= {f"base_model:adapter:{base}"} if base else set()
    tags |= {"transformers"} if hasattr(type(model), "base_model_prefix") else set()
    return {
        "tags": "".join(f"- {tag}\n" for tag in sorted(tags)),
        "pipeline": "pipeline_tag: text-generation\n" if task == "CAUSAL_LM" else "",
        "base_model": f"base_model: {base}\n" if base else "",
        "base": base or type(model).__name__,
        "r": config.r,
        "alpha": config.lora_alpha,
        "targets": targets if isinstance(targets, str) else ", ".join(sorted(targets or ())),
        "bias": config.bias,
        "saved": ", ".join(config.modules_to_save or ()) or "none",
        "task": getattr(task, "value", task) or "none",
    }


def save_adapter(
    folder: Path, config: LoraConfig, tensors: dict[str, Tensor], base: nn.Module
) -> None:
    """Write an adapter's files and the texts beside them, each whole or not at all.

    A text that is there already is kept, and gets what it must say of the adapter in its head.
    """
    from safetensors.torch import save

    own = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    contents = {
        folder / WEIGHTS_NAME: save(own, metadata={"format": "pt"}),
        folder / CONFIG_NAME: config.to_json().encode(),
    }
    for name, template in TEXTS.items():
        path = folder / name
        text = template.format(**facts_of(config, base))
        old = path.read_text(encoding="utf-8") if path.is_file() else text
        contents[path] = (text if old == text else METHODS["kept_text"](old, text)).encode()
    write_whole(contents)


def load_peft_weights(
    model_id: str | Path,
    device: str | None = None,
    subfolder: str | None = None,
    key_mapping: dict[str, str] | None = None,
    **hub: Any,
) -> dict[str, Tensor]:
    """Read adapter_model.safetensors from a folder or the hub. A pickle is refused.

    `key_mapping` renames keys: in each the first of its regular expressions that is found, after
    "base_model.model.", is replaced by its value.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = adapter_path(model_id, WEIGHTS_NAME, subfolder, **hub)
    try:
        tensors = load_file(path, device=device or "cpu")
    except (SafetensorError, ValueError) as error:
        raise AdapterFileError(f"{path} is not a whole safetensors file: {error}") from error
    return METHODS["renamed_keys"](tensors, key_mapping) if key_mapping else tensors
