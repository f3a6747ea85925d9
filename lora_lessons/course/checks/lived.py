"""A model as a notebook has it in the middle of its work, so that what an answer leaves shows.

A fresh model is in training mode, trains everywhere and has no gradients: what switches, freezes
or clears leaves no trace in it.
"""

from __future__ import annotations

import torch
from torch import nn


def lived_in(model: nn.Module, rng: torch.Generator) -> nn.Module:
    """Give each parameter the gradient of a step before, and some parts the other mode.

    At least one part is left in training mode and one in evaluation, where there are two.
    """
    for parameter in model.parameters():
        if parameter.is_floating_point():
            grad = torch.randn(parameter.shape, generator=rng, dtype=torch.float32)
            parameter.grad = grad.to(parameter)
    parts = list(model.modules())
    modes = torch.rand(len(parts), generator=rng) < 0.5
    modes[0], modes[-1] = modes[-1], ~modes[-1]
    for part, mode in zip(parts, modes.tolist(), strict=True):
        part.training = mode
    return model
