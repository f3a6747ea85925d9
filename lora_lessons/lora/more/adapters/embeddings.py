"""Whole embeddings in an adapter's file: where LoRA targets them, or the vocabulary changed."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor, nn

from ....errors import PeftWarning
from ...config import LoraConfig
from ...files import EMBEDDINGS
from ...layer import LoraLayer
from ...plugs import METHODS
from ...tuner import injected_model
from ...tuner_layer import named_holders

# parts of the key of a tensor that is an adapter's, or that a saved module has under its own name
NOT_THE_BASE = ("lora_", "trainable_tokens_delta", "modules_to_save", "original_module")


def embedding_tensors(model: nn.Module, config: LoraConfig, save: bool | str) -> dict[str, Tensor]:
    """The embeddings' weights by their keys in the file, where they are to be saved."""
    modules = _embeddings_targeted(model)
    if save == "auto":
        reason = "embedding layers found in `target_modules`" if modules else None
        if config.trainable_token_indices is not None:
            reason = None
        if _vocabulary_changed(model, config.base_model_name_or_path):
            reason = "the embedding layer has been resized during finetuning"
            modules = _embeddings(model)
        if reason:
            _warn(f"Setting `save_embedding_layers` to `True` as {reason}.")
        save = reason is not None
    if not save:
        return {}
    if not is_transformers(model):
        _warn("Could not identify embedding layer(s): the model is not a transformers model.")
        return {}
    return _base_tensors(modules or _embeddings(model))


def is_transformers(model: nn.Module) -> bool:
    """Whether the model inside knows its embeddings, as those of transformers do."""
    return hasattr(type(injected_model(model)), "get_input_embeddings")


def _vocabulary_changed(model: nn.Module, model_id: str | None) -> bool:
    """True where the base's own config, on this machine, has another vocabulary size."""
    config: Any = vars(injected_model(model)).get("config")
    size = getattr(config, "vocab_size", None)
    if not size or not model_id or not is_transformers(model):
        return False
    try:
        base = type(config).from_pretrained(model_id, local_files_only=True)
    except (OSError, ValueError):
        _warn(
            f"Could not find a config file in {model_id} on this machine - will assume that the "
            "vocabulary was not modified. If it was, save with `save_embedding_layers=True`."
        )
        return False
    return base.vocab_size != size


def _warn(message: str) -> None:
    warnings.warn(message, PeftWarning, stacklevel=5)


def embedding_targets(
    model: nn.Module, adapter_name: str, given: dict[str, Tensor], expected: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The model's own tensors for the whole embeddings that a file brings with it."""
    modules = {**_embeddings(model), **_embeddings_targeted(model)}
    tensors = _base_tensors(modules)
    for name, holder in named_holders(model):  # PEFT writes the rows of a tied head a second time
        if "trainable_tokens_delta" in holder.adapter_layer_names:
            rows = holder.trainable_tokens_delta  # type: ignore[attr-defined]
            if adapter_name in rows:
                tensors[f"{name}.trainable_tokens_delta"] = rows[adapter_name]
    return {key: tensor for key, tensor in tensors.items() if key in given and key not in expected}


def _base_tensors(modules: dict[str, nn.Module]) -> dict[str, Tensor]:
    """The base's tensors of these modules by their keys, without those of adapters."""
    return {
        f"{name}.{key}": tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict(keep_vars=True).items()
        if not any(part in key for part in NOT_THE_BASE)
    }


def _embeddings(model: nn.Module) -> dict[str, nn.Module]:
    """A transformers model's input and output embeddings, by name."""
    if not is_transformers(model):
        return {}
    inner: Any = injected_model(model)
    wanted = {id(inner.get_input_embeddings()), id(inner.get_output_embeddings())}
    return {name: module for name, module in model.named_modules() if id(module) in wanted}


def _embeddings_targeted(model: nn.Module) -> dict[str, nn.Module]:
    """Layers with LoRA that are called as embeddings are."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer) and name.rsplit(".", 1)[-1] in EMBEDDINGS
    }


METHODS["embedding_tensors"] = embedding_tensors
