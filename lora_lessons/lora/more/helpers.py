"""Adapters changed for a while: every scaling times one number, or no casting (as peft.helpers)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ...errors import PeftWarning
from ..arithmetic import lora_scaling
from ..layer import LoraLayer
from ..plugs import method_of
from ..tuner_layer import BaseTunerLayer


@contextmanager
def rescale_adapter_scale(model: nn.Module, multiplier: float) -> Iterator[None]:
    """Inside it every LoRA scaling is `multiplier` times itself; after it, as it was.

    h = W x + multiplier · scaling · B A x. From 0 to 1 this is WiSE-FT (Wortsman et al. 2021,
    section 3), the line from the base's weights to the merged ones. DoRA's magnitudes stay.

    Raises TypeError or ValueError for a multiplier that is not a finite number, and ValueError for
    a model without LoRA layers. A merged adapter keeps its strength, which is warned of.
    """
    if not isinstance(multiplier, int | float) or isinstance(multiplier, bool):
        raise TypeError(f"Argument multiplier should be of type float, got {type(multiplier)}")
    if not math.isfinite(multiplier):
        raise ValueError(f"Argument multiplier should be finite, got {multiplier}")
    before = {m: m.scaling for m in model.modules() if isinstance(m, LoraLayer)}
    if not before:
        raise ValueError("scaling is only supported for models with `LoraLayer`s")
    if any(layer.merged for layer in before):
        message = "Merged adapters are not rescaled: call `unmerge_adapter` first."
        warnings.warn(message, PeftWarning, stacklevel=3)
    try:
        for layer, scaling in before.items():
            layer.scaling = {name: value * multiplier for name, value in scaling.items()}
        yield
    finally:
        for layer, old in before.items():  # an adapter that was added meanwhile keeps its own
            layer.scaling = {name: old.get(name, new) for name, new in layer.scaling.items()}


@contextmanager
def disable_input_dtype_casting(model: nn.Module, active: bool = True) -> Iterator[None]:
    """Inside it no LoRA layer casts its input to the dtype of A; after it, as before.

    For models whose hooks cast weights and inputs themselves, as diffusers' layerwise casting does.
    `active=False` changes nothing. Raises ValueError for a model without adapter layers.
    """
    layers = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
    if active and not layers:
        raise ValueError("the model has no adapter layers whose inputs are cast")
    before = [(layer, layer.cast_input_dtype_enabled) for layer in layers if active]
    try:
        for layer, _ in before:
            layer.cast_input_dtype_enabled = False
        yield
    finally:
        for layer, flag in before:
            layer.cast_input_dtype_enabled = flag


@method_of(BaseTunerLayer)
def set_scale(layer: BaseTunerLayer, adapter: str, scale: float) -> None:
    """Scale an adapter to `scale` times its configured alpha / r."""
    if adapter in layer.scaling:
        alpha, r = layer.lora_alpha[adapter], layer.r[adapter]
        layer.scaling[adapter] = scale * lora_scaling(alpha, r, layer.use_rslora[adapter])


@method_of(BaseTunerLayer)
def scale_layer(layer: BaseTunerLayer, scale: float) -> None:
    """Multiply the scale of the active adapters."""
    for name in _scaled_adapters(layer):
        layer.scaling[name] *= scale


@method_of(BaseTunerLayer)
def unscale_layer(layer: BaseTunerLayer, scale: float | None = None) -> None:
    """Divide the scale of the active adapters; None goes back to alpha / r."""
    for name in _scaled_adapters(layer):
        if scale is None:
            set_scale(layer, name, 1)
        else:
            layer.scaling[name] /= scale


def _scaled_adapters(layer: BaseTunerLayer) -> list[str]:
    """The active adapters that this layer has."""
    return [name for name in layer.active_adapters if name in layer.scaling]
