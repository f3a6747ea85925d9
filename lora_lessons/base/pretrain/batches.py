"""The stream of batches that a run trains on."""

from __future__ import annotations

import torch

from ...seeding import generator
from ..tokens import TokenBatches
from .objectives import Batch, Objective


class Batches:
    """An objective's endless batches: random windows of the text, with holes of their own.

    The stream depends on the seed alone; `state_dict` and `load_state_dict` stop and resume it.
    """

    def __init__(
        self, objective: Objective, ids: torch.Tensor, batch_size: int, seed: int, device: str
    ) -> None:
        self.objective = objective
        self.windows = TokenBatches(ids, batch_size, objective.window, seed, device)
        self._noise = generator(seed)

    def __next__(self) -> Batch:
        return self.objective.batch(next(self.windows)["input_ids"], self._noise)

    def peek(self) -> Batch:
        """The next batch, which the stream gives again."""
        state = self.state_dict()
        batch = next(self)
        self.load_state_dict(state)
        return batch

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Where the stream stands."""
        return {**self.windows.state_dict(), "noise": self._noise.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from where `state_dict` was taken."""
        self.windows.load_state_dict(state)
        self._noise.set_state(state["noise"].cpu())
