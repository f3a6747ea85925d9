"""trainable_token_indices: a few rows of an embedding that train, and nothing else of it."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ..config import LoraConfig


def rows_to_train(
    model: nn.Module, config: LoraConfig, modules: dict[str, nn.Module]
) -> dict[str, list[int]]:
    """The token ids to train, by the embedding's name."""
    return {}


def train_rows(
    model: nn.Module, name: str, ids: list[int], adapter_name: str
) -> Callable[[], None]:
    """Make rows of an embedding trainable; returns how to undo it."""
    raise NotImplementedError
