"""Which adapters `save_pretrained` writes, where, and with which config."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...config import LoraConfig
from ...files import get_peft_model_state_dict
from ...inject import targetable_modules
from ...matching import matches_suffix

if TYPE_CHECKING:
    from ...model import PeftModel


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
    modules = [name for name, _ in targetable_modules(base)]
    config.modules_to_save = names_for_peft(config.modules_to_save, modules)
    if config.task_type is None:
        config.auto_mapping = {
            "base_model_class": type(base).__name__,
            "parent_library": type(base).__module__,
        }
    return config


def names_for_peft(entries: list[str] | None, modules: list[str]) -> list[str] | None:
    """modules_to_save such that PEFT finds no more modules by it than are saved.

    PEFT takes every name that ends with an entry, "layernorm" for "norm" too, and then misses its
    tensors in the file. Such an entry is written as the modules' full names.
    """
    found: list[str] = []
    for entry in entries or ():
        more = any(n.endswith(entry) and not matches_suffix(entry, n) for n in modules)
        found += [n for n in modules if matches_suffix(entry, n)] if more else [entry]
    return found or None


def contents(
    model: PeftModel,
    adapter_name: str,
    state_dict: dict | None,
    save_embedding_layers: bool | str,
    path_initial: str | Path | None,
) -> tuple[LoraConfig, dict[str, Tensor]]:
    """What an adapter's two files will hold; with `path_initial` as plain LoRA."""
    from ..init.conversion import to_plain_lora, warn_of_random_start

    tensors = get_peft_model_state_dict(
        model, state_dict, adapter_name, save_embedding_layers=save_embedding_layers
    )
    if not tensors:
        raise ValueError(
            f"the model has no tensors of the adapter {adapter_name!r}: `merge_and_unload` and "
            "`unload` take adapters out and return the plain model, which has a `save_pretrained` "
            "of its own"
        )
    config = config_to_save(model, adapter_name)
    if path_initial is not None:
        return to_plain_lora(model, adapter_name, config, tensors, path_initial)
    warn_of_random_start(config)
    return config, tensors


def push_to_hub(model: PeftModel, repo_id: str, **options: Any) -> Any:
    """Write the adapters to a temporary folder and upload it."""
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        api = HfApi(token=options.pop("token", None))
        api.create_repo(repo_id, private=options.pop("private", None), exist_ok=True)
        return api.upload_folder(repo_id=repo_id, folder_path=folder, **options)
