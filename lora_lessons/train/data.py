"""Where a run's batches come from, and how a stopped run finds its place in them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from .loss import Batch


class BatchStream:
    """The batches of a run, one by one; a list or a tuple starts over at its end."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        if isinstance(batches, dict) or not isinstance(batches, Iterable):
            raise TypeError(
                f"batches must be an iterable of dicts, got {type(batches).__name__}; "
                "for one batch again and again pass [batch]"
            )
        self.batches: Any = batches  # a list, or what has a state of its own
        self.drawn = 0
        self.repeats = isinstance(batches, (list, tuple))
        if self.repeats and not batches:
            raise ValueError("batches is empty: nothing to train on")
        self._iterator: Iterator[Batch] | None = None

    def draw(self) -> Batch:
        """The next batch; an iterable that ends too early is an error that says what to do."""
        self.drawn += 1
        if self.repeats:
            return self.batches[(self.drawn - 1) % len(self.batches)]
        if self._iterator is None:  # only now: a loader takes up its place when it is iterated
            self._iterator = iter(self.batches)
        try:
            return next(self._iterator)
        except StopIteration:
            raise ValueError(
                "the batches ended before the last step; pass a list (it is repeated), an endless "
                "iterable such as TokenBatches, or fewer steps"
            ) from None

    def require_place(self) -> None:
        """Raise if a later run could not go on from where this one stops."""
        known = all(hasattr(self.batches, name) for name in ("state_dict", "load_state_dict"))
        if not self.repeats and not known:
            raise TypeError(
                f"a run with a checkpoint must find its place in the batches again, and "
                f"{type(self.batches).__name__} has no state_dict and load_state_dict. Pass a "
                "list, TokenBatches, or a loader that has both; or leave out checkpoint="
            )

    def state_dict(self) -> dict[str, Any]:
        """The place in the batches."""
        return {"drawn": self.drawn, "batches": None if self.repeats else self.batches.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.drawn = state["drawn"]
        if not self.repeats:
            self.batches.load_state_dict(state["batches"])


def to_device(batch: Batch, device: torch.device) -> dict[str, torch.Tensor]:
    """A copy of the batch whose tensors are on `device`."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }
