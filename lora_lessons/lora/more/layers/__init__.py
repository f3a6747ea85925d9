"""LoRA on other layers than linear ones: which class wraps which module."""

from __future__ import annotations

from torch import nn

from .conv import Conv1d, Conv2d, Conv3d
from .embedding import Embedding
from .hf_conv1d import Conv1DLinear, is_hf_conv1d

LAYER_CLASSES: dict[type[nn.Module], type[nn.Module]] = {
    nn.Embedding: Embedding,
    nn.Conv1d: Conv1d,
    nn.Conv2d: Conv2d,
    nn.Conv3d: Conv3d,
}


def other_layer_class(module: nn.Module) -> type[nn.Module] | None:
    """The LoRA class for a module that is not linear, if there is one."""
    if is_hf_conv1d(module):
        return Conv1DLinear
    return next((cls for kind, cls in LAYER_CLASSES.items() if isinstance(module, kind)), None)
