"""What a run may be asked to do, checked before anything is changed."""

from __future__ import annotations

import math
import numbers

from torch import nn

from .optim import PRECISIONS, SCHEDULES, one_of


def check_settings(
    steps: int,
    lr: float,
    accumulate: int,
    eval_every: int,
    warmup: int,
    schedule: str,
    precision: str,
    clip: float | None,
) -> None:
    """Raise for a setting that cannot be meant, before anything is changed."""
    one_of("schedule", schedule, SCHEDULES)
    one_of("precision", precision, PRECISIONS)
    for name, value, least in (
        ("steps", steps, 1),
        ("accumulate", accumulate, 1),
        ("eval_every", eval_every, 0),
        ("warmup", warmup, 0),
    ):
        require_whole(name, value, least)
    require_number("lr", lr)
    if not lr > 0:
        raise ValueError(f"lr must be above 0, got {lr!r}")
    if clip is not None:
        require_number("clip", clip)
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be above 0, or None for no clipping, got {clip!r}")


def require_number(name: str, value: float) -> None:
    """Raise unless `value` is a finite number."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


def require_unmerged(model: nn.Module) -> None:
    """Raise for a model whose adapters are merged: their factors would get no gradient."""
    merged = [n for n, m in model.named_modules() if getattr(m, "merged_adapters", None)]
    if merged:
        raise ValueError(
            f"adapters are merged into {len(merged)} layers, such as {merged[0]}, and cannot be "
            "trained there: call unmerge_adapter() first"
        )


def require_whole(name: str, value: int, least: int) -> None:
    """Raise unless `value` is a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
