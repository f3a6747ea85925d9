"""DoRA: the update changes the direction of W's rows, and a trained magnitude their length.

W' = m · (W + ΔW) / ‖W + ΔW‖, row by row (Liu et al. 2024, equation 5). As in its section 4.3, the
norm is a constant for the gradient. Several adapters add up, W + the sum of (W' - W), in any order;
PEFT applies them in turn, each to the result of the one before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ....errors import MergeError
from ...arithmetic import at_least_float32
from ...layer import LoraLayer
from ...plugs import VARIANTS


class DoraMagnitude(nn.Module):
    """The trained lengths m, one for each output."""

    def __init__(self, magnitude: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(magnitude)


class Dora:
    """How a LoRA layer computes with DoRA. It has no state: the magnitudes belong to the layer."""

    mixes = False

    def output(self, layer: LoraLayer, name: str, x: Tensor, base_result: Tensor) -> Tensor:
        """What the adapter adds: (m / ‖W + ΔW‖ - 1) · W x + m / ‖W + ΔW‖ · scaling · B A x."""
        adapter = layer.adapter(name)
        drops = isinstance(adapter.dropout, nn.Dropout) and layer.training
        magnitude = magnitude_of(layer, name)
        norms = row_norms(layer, name, base_weight(layer)).to(magnitude.dtype)
        scale = row_scale(magnitude, norms.view_as(magnitude))
        if drops and x.is_floating_point():
            x = adapter.dropout(x)
            base_result = layer.base_layer(x)
        plain = without_bias(layer, base_result)
        return (scale - 1) * plain + scale * factors_output(layer, name, x)

    def delta_weight(self, layer: LoraLayer, name: str) -> Tensor:
        """What merging adds to W: m (W + ΔW) / ‖W + ΔW‖ - W."""
        weight = at_least_float32(base_weight(layer))
        magnitude = at_least_float32(magnitude_of(layer, name)).flatten()
        scale = row_scale(magnitude, row_norms(layer, name, weight))
        shape = [1] * weight.ndim
        shape[layer.output_dim] = -1
        return scale.view(shape) * (weight + layer.plain_delta(name)) - weight

    @torch.no_grad()
    def reset(self, layer: LoraLayer, name: str) -> None:
        """Set the magnitudes to the lengths that the rows have now."""
        magnitude = magnitude_of(layer, name)
        magnitude.copy_(row_norms(layer, name, base_weight(layer)).view_as(magnitude))


def magnitude_of(layer: LoraLayer, name: str) -> Tensor:
    """The trained lengths, in the shape in which they scale the outputs."""
    part: Any = layer.lora_magnitude_vector[name]
    weight: Tensor = part.weight
    return weight


def add_dora(layer: LoraLayer, name: str) -> None:
    """Give an adapter its magnitudes: the lengths that the rows have now."""
    weight = layer.float_weight("DoRA")
    norms = row_norms(layer, name, weight).to(weight.dtype)
    layer.lora_magnitude_vector[name] = DoraMagnitude(norms.view(layer.magnitude_shape()))
    layer.lora_variant[name] = Dora()


@torch.no_grad()
def row_norms(layer: LoraLayer, name: str, weight: Tensor) -> Tensor:
    """(out,): the length of each output's row of W + ΔW."""
    delta = layer.norm_delta(name)
    moved = at_least_float32(weight).to(delta.device) + delta
    return layer.output_rows(moved).norm(dim=1)


def row_scale(magnitude: Tensor, norms: Tensor) -> Tensor:
    """m / ‖W + ΔW‖, and 1 where that is 0 / 0: the rows of a layer that starts at zero."""
    return torch.where(norms > 0, magnitude / norms.clamp(min=torch.finfo(norms.dtype).tiny), 1)


def base_weight(layer: LoraLayer) -> Tensor:
    """W as it is without adapters, merged or not."""
    if not layer.merged:
        return layer.float_weight("DoRA")
    if not layer.kept_base.exact:
        raise MergeError("DoRA cannot be unmerged without the kept weight: merge with a backup")
    return layer.kept_base.values["weight"].to(layer.get_base_layer().weight.device)


def without_bias(layer: LoraLayer, result: Tensor) -> Tensor:
    """A base layer's result less its bias, which DoRA does not scale."""
    bias = getattr(layer.get_base_layer(), "bias", None)
    if bias is None:
        return result
    shape = layer.magnitude_shape()
    return result - (bias.view(shape) if len(shape) > 1 else bias)


def factors_output(layer: LoraLayer, name: str, x: Tensor) -> Tensor:
    """scaling · B A x, without dropout: it was applied before."""
    _, A, B, scaling, _ = layer.adapter(name)
    if x.is_floating_point():
        x = x.to(A.weight.dtype)
    return B(A(x)) * scaling


VARIANTS["use_dora"] = add_dora
