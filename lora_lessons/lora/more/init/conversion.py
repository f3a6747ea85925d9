"""A PiSSA or OLoRA adapter as a plain one, for a base that nobody changed.

W stands without the adapter's start, scaling · B₀ A₀; so against the first W the update is
scaling · (B A - B₀ A₀) = scaling · [B, -B₀] [A; A₀]: a plain adapter of twice the rank.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ....errors import AdapterFileError, ConfigError, PeftWarning
from ...config import LoraConfig
from ...files import load_peft_weights
from ...layer import LoraLayer
from ...plugs import METHODS

ROWS = ("lora_A.weight", "lora_embedding_A")  # the first dimension counts r
COLUMNS = ("lora_B.weight", "lora_embedding_B")  # the second does


def to_plain_lora(
    model: nn.Module,
    name: str,
    config: LoraConfig,
    tensors: dict[str, Tensor],
    path_initial: str | Path,
) -> tuple[LoraConfig, dict[str, Tensor]]:
    """The config and the file's tensors of the plain adapter.

    `path_initial` is a folder with the adapter as it was before training, as in PEFT; it is
    compared with the start that the layers remember, and a trained adapter there is refused.
    """
    if config.init_lora_weights == "loftq":
        raise ConfigError("LoftQ rounded all of W, and no update of low rank gives that back")
    starts = starting_factors(model, name)
    if not starts:
        warnings.warn(
            "`path_initial_model_for_weight_conversion` only works for converting a PiSSA/OLoRA "
            f"adapter to a LoRA adapter: {name!r} is one already, and is saved as it is.",
            PeftWarning,
            stacklevel=3,
        )
        return config, tensors
    if config.use_rslora and (config.rank_pattern or config.alpha_pattern):
        raise ConfigError(
            "Passing `path_initial_model_for_weight_conversion` to `save_pretrained` is not "
            "supported when using `rank_pattern` or `alpha_pattern` at the same time as "
            "`use_rslora=True`."
        )
    if config.use_dora:
        raise ConfigError("with DoRA the update is no difference of products: not converted")
    _check_initial(path_initial, starts)
    return _doubled(config), {key: _stacked(key, tensors[key], starts) for key in tensors}


def starting_factors(model: nn.Module, name: str) -> dict[str, Tensor]:
    """The A₀ and B₀ that an adapter took out of the layers, by their keys in a file."""
    starts = {}
    layers = {n: m for n, m in model.named_modules() if isinstance(m, LoraLayer)}
    for layer_name, layer in layers.items():
        parts = layer.taken_out.parts if layer.taken_out is not None else {}
        if name in parts:
            starts[f"{layer_name}.lora_A.weight"] = parts[name][0]
            starts[f"{layer_name}.lora_B.weight"] = parts[name][1]
    return starts


def _check_initial(path: str | Path, starts: dict[str, Tensor]) -> None:
    """Raise unless the folder holds the adapter with which W was changed."""
    given = load_peft_weights(path)
    for key, start in starts.items():
        if key not in given or not torch.allclose(given[key].to(start), start, rtol=1e-3):
            raise AdapterFileError(
                f"{path} does not hold the adapter as it was initialised ({key} differs): save it "
                "right after get_peft_model, before training"
            )


def _stacked(key: str, tensor: Tensor, starts: dict[str, Tensor]) -> Tensor:
    """A with A₀ below it, B with -B₀ beside it; zeros where nothing was taken out."""
    start = starts[key].to(tensor) if key in starts else torch.zeros_like(tensor)
    if key.endswith(ROWS):
        return torch.cat([tensor, start], dim=0)  # (r, in) -> (2 r, in)
    if key.endswith(COLUMNS):
        return torch.cat([tensor, -start], dim=1)  # (out, r) -> (out, 2 r)
    return tensor


def _doubled(config: LoraConfig) -> LoraConfig:
    """The config for twice the rank and the same scaling."""
    config = copy.deepcopy(config)
    growth = 2**0.5 if config.use_rslora else 2
    config.init_lora_weights = True
    config.r, config.lora_alpha = 2 * config.r, growth * config.lora_alpha
    config.rank_pattern = {key: 2 * r for key, r in config.rank_pattern.items()}
    config.alpha_pattern = {key: 2 * alpha for key, alpha in config.alpha_pattern.items()}
    return config


METHODS["to_plain_lora"] = to_plain_lora
