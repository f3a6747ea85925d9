"""What a run may be asked to do: one class for `fit`, `train_many`, checkpoints and benchmarks."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import torch
from torch import nn

from ..errors import is_number
from .optim import PRECISIONS, SCHEDULES, one_of, schedule_factor, uses_bf16

LIMITS = {"steps": 1, "accumulate": 1, "eval_every": 0, "warmup": 0, "checkpoint_every": 1}
SWITCHES = ("recompute", "fast_layers", "deterministic")
# how fast a run goes, or what it says, and not to which losses
NOT_OF_THE_RESULT = ("capture", "compile", "recompute", "checkpoint_every")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitSettings:
    """The numbers and switches of a run, checked when they are made. `fit` says what each means.

    Raises ValueError for one that cannot be meant, and names the nearest that can.
    """

    steps: int
    lr: float
    lr_ratio: float = 1.0
    weight_decay: float = 0.0
    warmup: int = 0
    schedule: str = "constant"
    clip: float | None = 1.0
    accumulate: int = 1
    eval_every: int = 0
    precision: str = "auto"
    capture: str | bool = "auto"
    compile: str | bool = "auto"
    recompute: bool = False
    fast_layers: bool = True
    seed: int = 0
    checkpoint_every: int = 100
    deterministic: bool = False

    def __post_init__(self) -> None:
        one_of("schedule", self.schedule, SCHEDULES)
        one_of("precision", self.precision, PRECISIONS)
        for name, least in LIMITS.items():
            require_whole(name, getattr(self, name), least)
        require_above_0("lr", self.lr)
        require_above_0("lr_ratio", self.lr_ratio)
        if self.clip is not None:
            require_above_0("clip", self.clip, " (or None for no clipping)")
        require_at_least_0("weight_decay", self.weight_decay)
        for name in ("capture", "compile"):
            if getattr(self, name) not in ("auto", True, False):
                value = getattr(self, name)
                raise ValueError(f'{name} must be "auto", True or False, got {value!r}')
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied by at `step`, counted from 0."""
        return schedule_factor(step, self.steps, self.warmup, self.schedule)

    def of_result(self, device: torch.device, processes: int) -> dict[str, Any]:
        """What a run's losses depend on, besides model and data: a checkpoint compares these."""
        settings = dataclasses.asdict(self)
        for name in NOT_OF_THE_RESULT:
            del settings[name]
        # "auto" may mean another precision on another device
        precision = "bf16" if uses_bf16(device, self.precision) else "fp32"
        return settings | {"precision": precision, "processes": processes}


def require_above_0(name: str, value: float, note: str = "") -> None:
    """Raise unless `value` is a finite number above 0."""
    if not is_finite(value) or not value > 0:
        raise ValueError(f"{name} must be a finite number above 0{note}, got {value!r}")


def require_at_least_0(name: str, value: float) -> None:
    """Raise unless `value` is a finite number of at least 0."""
    if not is_finite(value) or value < 0:
        raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")


def is_finite(value: object) -> bool:
    """Whether `value` is a number, numpy's included and a truth value not, and finite."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and is_number(float(value))  # type: ignore[arg-type]


def require_unmerged(model: nn.Module) -> None:
    """Raise for a model whose adapters are merged: their factors would get no gradient."""
    # a layer's own attribute, ours or PEFT's: a wrapper's getattr would ask the model inside
    merged = [n for n, m in model.named_modules() if vars(m).get("merged_adapters")]
    if merged:
        raise ValueError(
            f"adapters are merged into {len(merged)} layers, such as {merged[0]}, and cannot be "
            "trained there: call unmerge_adapter() first"
        )


def require_whole(name: str, value: int, least: int) -> None:
    """Raise unless `value` is a whole number of at least `least`."""
    if not is_number(value, whole=True) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
