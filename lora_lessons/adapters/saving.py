"""Which adapters `save_pretrained` writes, where, and with which config."""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..config import LoraConfig
from ..errors import AdapterFileError
from ..files import get_peft_model_state_dict, load_peft_weights

if TYPE_CHECKING:
    from ..model import PeftModel


def adapters_to_save(
    model: PeftModel, save_directory: str | Path, selected: list[str] | None
) -> dict[str, Path]:
    """The folder of each adapter: "default" in the directory itself, others in one inside it."""
    directory, known = Path(save_directory), list(model.peft_config)
    if directory.is_file():
        raise ValueError(f"Provided path ({directory}) should be a directory, not a file")
    names = known if selected is None else list(selected)
    if wrong := [name for name in names if name not in known]:
        raise ValueError(
            "You passed an invalid `selected_adapters` arguments, current supported adapter names "
            f"are {known} - got {wrong}."
        )
    return {name: directory if name == "default" else directory / name for name in names}


def config_to_save(model: PeftModel, adapter_name: str) -> LoraConfig:
    """The config as files have it: for inference, and with the base model's name or class."""
    config = copy.deepcopy(model.peft_config[adapter_name])
    config.inference_mode = True
    base = model.get_base_model()
    if config.base_model_name_or_path is None:
        config.base_model_name_or_path = base.__dict__.get("name_or_path") or None
    if config.task_type is None:
        config.auto_mapping = {
            "base_model_class": type(base).__name__,
            "parent_library": type(base).__module__,
        }
    return config


def contents(
    model: PeftModel, adapter_name: str, state_dict: dict | None, save_embedding_layers: bool | str
) -> tuple[LoraConfig, dict[str, Tensor]]:
    """What an adapter's two files will hold."""
    tensors = get_peft_model_state_dict(
        model, state_dict, adapter_name, save_embedding_layers=save_embedding_layers
    )
    return config_to_save(model, adapter_name), tensors


def convert(
    config: LoraConfig, tensors: dict[str, Tensor], initial_path: str | Path | None
) -> tuple[LoraConfig, dict[str, Tensor]]:
    """Plain LoRA of rank 2 r for what a PiSSA or OLoRA adapter has learned.

    W = W_rest + s B0 A0 before training and W_rest + s B A after it, so the update of the
    untouched W is s (B A - B0 A0) = s [B, -B0] [A; A0]. `initial_path` is the folder of A0 and B0;
    without one nothing is converted.
    """
    if initial_path is None:
        return config, tensors
    if (config.use_rslora and (config.rank_pattern or config.alpha_pattern)) or config.use_dora:
        raise ValueError(
            "`path_initial_model_for_weight_conversion` is not supported with DoRA, nor with "
            "rank_pattern or alpha_pattern at the same time as `use_rslora=True`."
        )
    initial = load_peft_weights(initial_path)
    if missing := [key for key in tensors if "lora_" in key and key not in initial]:
        raise AdapterFileError(f"the initial adapter has no {missing[0]}")
    doubled = dict(tensors)
    for key, tensor in tensors.items():
        if key.endswith("lora_A.weight"):
            doubled[key] = torch.cat([tensor, initial[key].to(tensor)])
        elif key.endswith("lora_B.weight"):
            doubled[key] = torch.cat([tensor, -initial[key].to(tensor)], dim=1)
    config = dataclasses.replace(
        config,
        r=2 * config.r,
        lora_alpha=config.lora_alpha * (2**0.5 if config.use_rslora else 2),
        rank_pattern={key: 2 * r for key, r in config.rank_pattern.items()},
        alpha_pattern={key: 2 * alpha for key, alpha in config.alpha_pattern.items()},
        init_lora_weights=True,
    )
    return config, doubled


def push_to_hub(model: PeftModel, repo_id: str, **options: Any) -> Any:
    """Write the adapters to a temporary folder and upload it."""
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        api = HfApi(token=options.pop("token", None))
        api.create_repo(repo_id, private=options.pop("private", None), exist_ok=True)
        return api.upload_folder(repo_id=repo_id, folder_path=folder, **options)
