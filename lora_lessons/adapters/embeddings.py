"""Whole embeddings in an adapter's file: where LoRA targets them, or the vocabulary grew."""

from __future__ import annotations

import warnings

from torch import Tensor, nn

from ..config import LoraConfig
from ..errors import PeftWarning
from ..layer import LoraLayer

EMBEDDING_NAMES = ("embed_tokens", "lm_head")


def embedding_tensors(model: nn.Module, config: LoraConfig, save: bool | str) -> dict[str, Tensor]:
    """The embeddings' weights by their keys in the file, where they are to be saved."""
    targeted = _embeddings_targeted(model)
    if save == "auto":
        save = bool(targeted) and config.trainable_token_indices is None
        if save:
            warnings.warn(
                "Setting `save_embedding_layers` to `True` as embedding layers found in "
                "`target_modules`.",
                PeftWarning,
                stacklevel=3,
            )
    if not save:
        return {}
    if not hasattr(model, "get_input_embeddings"):
        warnings.warn(
            "Could not identify embedding layer(s) because the model is not a transformers model.",
            PeftWarning,
            stacklevel=3,
        )
        return {}
    modules = targeted or _embeddings(model)
    return {
        f"{name}.{key}": tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict(keep_vars=True).items()
        if ".lora_" not in f".{key}"
    }


def embedding_targets(
    model: nn.Module, given: dict[str, Tensor], expected: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The model's own tensors for the whole embeddings that a file brings with it."""
    names = {
        f"{name}.{key}": tensor
        for name, module in {**_embeddings(model), **_embeddings_targeted(model)}.items()
        for key, tensor in module.state_dict(keep_vars=True).items()
        if ".lora_" not in f".{key}"
    }
    return {key: tensor for key, tensor in names.items() if key in given and key not in expected}


def _embeddings(model: nn.Module) -> dict[str, nn.Module]:
    """A transformers model's input and output embeddings, by name."""
    if not hasattr(model, "get_input_embeddings"):
        return {}
    wanted = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    return {name: module for name, module in model.named_modules() if id(module) in wanted}


def _embeddings_targeted(model: nn.Module) -> dict[str, nn.Module]:
    """Layers with LoRA that are called as embeddings are."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer) and name.rsplit(".", 1)[-1] in EMBEDDING_NAMES
    }
