"""Does an encoder read its input in order, and does the decoder listen?

Without positions, attention is blind to order: shuffled tokens get the same states, shuffled. An
encoder-decoder can stay near that for its whole training, because its decoder predicts well from
the bytes before alone; the loss does not show it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .loss import measure
from .objectives import Batch, Objective


def shuffle(ids: Tensor, fixed: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(the ids in another order, the place that each came from), both (B, T), row by row.

    Where `fixed`, (B, T) of bool, is true, the id stays in its place.
    """
    draw = torch.rand(ids.shape, generator=generator).to(ids.device).masked_fill(fixed, 2.0)
    free_first = fixed.int().argsort(dim=1, stable=True)  # the free places in order, the fixed ones
    places = torch.empty_like(ids).scatter_(1, free_first, draw.argsort(dim=1, stable=True))
    return ids.gather(1, places), places


def order_gain(
    objective: Objective, model: nn.Module, data: Batch, fixed: Tensor, generator: torch.Generator
) -> float:
    """What the order of the input is worth: the mean loss in nats, shuffled less as it is."""
    shuffled, _ = shuffle(data["input_ids"], fixed, generator)
    return (
        measure(objective, model, {**data, "input_ids": shuffled})[0]
        - measure(objective, model, data)[0]
    )
