"""Token ids that the model has no row for are named before a step meets them.

On a CPU PyTorch says "index out of range in self"; on a GPU the process cannot go on after it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..lora.tuner_layer import base_of
from .loss import IGNORED, Batch, is_causal_lm, unwrap


def vocabulary_size(model: nn.Module) -> int | None:
    """How many tokens a model of transformers has an embedding for; None where it cannot be told.

    A resized embedding counts, and not what the config says.
    """
    inner: Any = unwrap(model)
    if not hasattr(type(inner), "get_input_embeddings"):
        return None
    try:
        embedding = base_of(inner.get_input_embeddings())
    except NotImplementedError:  # it reads pictures or sound
        return None
    size = getattr(embedding, "num_embeddings", None)
    return size if isinstance(size, int) else None


class Vocabulary:
    """What a model's batches may hold: ids from 0 to size - 1, and IGNORED among the labels.

    Ids on the CPU are looked at in each step, which takes microseconds. Looking at those on a GPU
    waits for it: that is done for the first step alone.
    """

    def __init__(self, model: nn.Module) -> None:
        self.size = vocabulary_size(model)
        self.names = ("input_ids", "labels") if is_causal_lm(model) else ("input_ids",)

    def check(self, batch: Batch, first: bool) -> None:
        """Raise ValueError for an id that is none of the model's, with the id and the size."""
        for name in self.names if self.size is not None else ():
            ids = batch.get(name)
            if isinstance(ids, torch.Tensor) and (first or ids.device.type == "cpu"):
                self.require_known(ids, name, IGNORED if name == "labels" else 0)

    def require_known(self, ids: torch.Tensor, name: str, least: int = 0) -> None:
        """Raise ValueError unless all ids lie between `least` and size - 1."""
        if self.size is None or not ids.numel() or ids.is_floating_point():
            return
        low, high = (bound.item() for bound in torch.aminmax(ids))
        if low < least or high >= self.size:
            raise ValueError(
                f"{name} hold the id {high if high >= self.size else low}, and the model's "
                f"vocabulary has {self.size} tokens, 0 to {self.size - 1}: were the ids made by "
                "another model's tokenizer?"
            )
