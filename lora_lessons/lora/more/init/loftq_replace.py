"""LoftQ's first turn for a base that is in few bits already: its float weights are in a file.

W' is what the layer computes with, and stays. A and B start as the best approximation of W - W' of
rank r (Li et al. 2023, algorithm 1 with one turn).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import AdapterFileError, ConfigError, did_you_mean
from ....undo import all_or_nothing, write
from ...arithmetic import at_least_float32
from ...files import PREFIX
from ...layer import LoraLayer
from ...tuner import injected_model
from ..layers.quantized import Quantized
from .principal import pissa_factors


@torch.no_grad()
def replace_lora_weights_loftq(
    peft_model: nn.Module,
    model_path: str | Path | None = None,
    adapter_name: str = "default",
    callback: Callable[[nn.Module, str], bool] | None = None,
) -> None:
    """Start an adapter on quantized layers with what rounding took from their weights.

    `model_path`: the base's folder with its float weights as safetensors, in one file or several,
    or such a file; None is the folder that the base was loaded from. `callback(model, layer's
    name)` is asked after each layer; where it says False the layer has its old values back.

    Raises ValueError, with the model as it was, for a model without quantized layers under the
    adapter, for DoRA, and for weights that are not in the files or have another shape.
    """
    layers = {
        name.removeprefix(PREFIX): module
        for name, module in peft_model.named_modules()
        if isinstance(module, Quantized) and isinstance(module, LoraLayer)
        if module.has_adapter(adapter_name)
    }
    if not layers:
        raise ValueError(f"the adapter {adapter_name!r} is on no quantized layer of the model")
    if dora := [name for name, layer in layers.items() if layer.use_dora.get(adapter_name)]:
        raise ConfigError(f"{dora[0]} has DoRA, whose magnitudes are those of the rounded W")
    places = _places(peft_model, model_path, layers)
    with all_or_nothing(peft_model):
        for name, layer in layers.items():
            _, A, B, scaling, _ = layer.adapter(adapter_name)
            before = A.weight.clone(), B.weight.clone()
            W = _read(places[name], layer, name)
            rounded = at_least_float32(layer.float_weight("LoftQ"))
            rest = W.to(rounded) - rounded  # (out, in)
            up, down = pissa_factors(rest, len(A.weight), scaling, "pissa")
            write(A.weight, down)
            write(B.weight, up)
            if callback is not None and not callback(peft_model, name):
                write(A.weight, before[0])
                write(B.weight, before[1])


def _places(
    model: nn.Module, model_path: str | Path | None, layers: dict[str, Any]
) -> dict[str, tuple[Path, str]]:
    """By layer: the file and the key of its float weight; raises for one that has none."""
    from safetensors import safe_open

    base = injected_model(model)
    path = Path(model_path or vars(base).get("name_or_path") or "").expanduser()
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    if not (model_path or vars(base).get("name_or_path")) or not files:
        raise ValueError(
            f"no safetensors at {str(path)!r}: give model_path, the float base's folder"
        )
    found: dict[str, Path] = {}
    for file in files:
        with safe_open(file, framework="pt") as opened:
            found |= dict.fromkeys(opened.keys(), file)
    start = f"{getattr(base, 'base_model_prefix', '')}."  # a file of the body alone lacks it
    places = {}
    for name in layers:
        key = f"{name}.weight"
        keys = [each for each in (key, key.removeprefix(start), start + key) if each in found]
        if not keys:
            raise AdapterFileError(f"{path} has no {key}.{did_you_mean(key, found)}")
        places[name] = (found[keys[0]], keys[0])
    return places


def _read(place: tuple[Path, str], layer: Any, name: str) -> Tensor:
    """A float weight (out, in) from its file."""
    from safetensors import safe_open

    with safe_open(place[0], framework="pt") as opened:
        W: Tensor = opened.get_tensor(place[1])
    shape = (layer.out_features, layer.in_features)
    if tuple(W.shape) != shape or not W.is_floating_point():
        raise AdapterFileError(
            f"{place[0]}: {place[1]} is {W.dtype} of the shape {tuple(W.shape)}, and {name} needs "
            f"floats of the shape {shape}"
        )
    return W
