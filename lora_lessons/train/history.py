"""What a training run leaves behind: losses, evaluations, and how it ended."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


@dataclasses.dataclass
class History:
    """The course of one run.

    Losses are mean nats per token. `losses[i]` belongs to step `steps[i]` (counted from 1) and was
    measured before that step's update. Step 0 in `eval_steps` is the model before training.
    `fast_layers`: whether `fit` let other classes stand in for the LoRA layers.
    `without_gradient`: modules whose adapters no gradient reached in the first step.
    """

    steps: list[int] = dataclasses.field(default_factory=list)
    losses: list[float] = dataclasses.field(default_factory=list)
    eval_steps: list[int] = dataclasses.field(default_factory=list)
    eval_losses: list[float] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    captured: bool = False
    why_not_captured: str = ""
    compiled: bool = False
    why_not_compiled: str = ""
    interrupted: bool = False
    fast_layers: bool = True
    without_gradient: list[str] = dataclasses.field(default_factory=list)

    def record(self, step: int, loss: float) -> None:
        """Append one training loss; after a loss that is not finite nothing more is kept."""
        if not self.diverged:
            self.steps.append(step)
            self.losses.append(loss)

    def record_evaluation(self, step: int, loss: float) -> None:
        """Append one evaluation."""
        self.eval_steps.append(step)
        self.eval_losses.append(loss)

    @property
    def diverged(self) -> bool:
        """Whether a training loss was infinite or not a number; it is then the last one kept."""
        return bool(self.losses) and not math.isfinite(self.losses[-1])

    @property
    def best(self) -> float:
        """The lowest finite evaluation loss after training began (nan: none)."""
        return min(self._finite_evaluations(), default=(math.nan, 0))[0]

    @property
    def best_step(self) -> int | None:
        """The step of the lowest evaluation loss: where early stopping would have stopped."""
        return min(self._finite_evaluations(), default=(math.nan, None))[1]

    @property
    def last(self) -> float:
        """The evaluation loss at the end (nan: never evaluated)."""
        return self.eval_losses[-1] if self.eval_losses else math.nan

    def _finite_evaluations(self) -> list[tuple[float, int]]:
        pairs = zip(self.eval_losses, self.eval_steps, strict=True)
        return [(loss, step) for loss, step in pairs if step > 0 and math.isfinite(loss)]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> History:
        """The inverse of `to_dict`."""
        return cls(**values)
