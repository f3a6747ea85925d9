"""Compares an answer's numbers with what is expected, and names a mistake that explains them."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from .exercise import Wrong
from .plain import plain

FINEST = torch.finfo(torch.float32).eps
# a ratio is told where it is one that a reader knows again; another one explains nothing
KNOWN = (2, 3, 4, 8, 10, 16, 100, 1000, 1024)


def expect(
    actual: Any,
    expected: Tensor,
    *,
    k: int = 1,
    mistakes: Mapping[str, Tensor] | None = None,
    case: str = "",
) -> None:
    """Raise `Wrong` unless `actual` equals `expected` (float64) up to rounding.

    The tolerance is eps(dtype of actual) * sqrt(k) * 32 relative to the largest expected value,
    where k is the number of terms in a sum. `mistakes` maps a message to the value that this
    mistake gives; it is named only if it explains the answer alone. `case` ends a message that
    can name none: what was given ("with one batch").
    """
    value = _as_tensor(plain(actual), expected)
    if _close(value, expected, k):
        return
    if value.any() and (said := _rounded(value.double(), expected.double(), range(1, 6))):
        raise Wrong(said)
    for message, mistaken in (mistakes or {}).items():
        alike = mistaken.shape == value.shape and bool(mistaken.isfinite().all())
        if alike and _close(value, mistaken, k):
            raise Wrong(message)
    said = _difference(value, expected)
    raise Wrong(f"{said.removesuffix('.')}, {case}." if case else said)


def _as_tensor(actual: Any, expected: Tensor) -> Tensor:
    if actual is None:
        raise Wrong("It returns None. Is the `return` missing?")
    if isinstance(actual, bool) or not isinstance(actual, int | float | Fraction | Tensor):
        kind = "a tensor" if expected.dim() else "a number"
        raise Wrong(f"Return {kind}; got {type(actual).__name__}.")
    value = actual.detach().cpu() if isinstance(actual, Tensor) else _scalar(actual)
    if value.shape != expected.shape and value.numel() == expected.numel() == 1:
        value = value.reshape(expected.shape)
    if value.dim() == expected.dim() == 2 and value.mT.shape == expected.shape != value.shape:
        raise Wrong(
            f"The shape must be {tuple(expected.shape)}; got {tuple(value.shape)}: is a transpose "
            "missing or too much?"
        )
    if value.shape != expected.shape and not expected.dim():
        raise Wrong(f"Return one number; got a tensor of shape {tuple(value.shape)}.")
    if value.shape != expected.shape:
        raise Wrong(f"The shape must be {tuple(expected.shape)}; got {tuple(value.shape)}.")
    if not torch.isfinite(value.double()).all():
        raise Wrong("The result holds nan or inf.")
    return value


def _scalar(number: float | Fraction) -> Tensor:
    return torch.tensor(float(number), dtype=torch.float64)


def _close(value: Tensor, expected: Tensor, k: int) -> bool:
    # a Python float may have been computed from float32 inputs, so float32 is the finest assumed
    eps = max(FINEST, _eps(value.dtype))
    scale = expected.double().abs().max().clamp_min(1e-30)
    error = (value.double() - expected.double()).abs().max()
    return bool(error <= 32 * eps * k**0.5 * scale)


def _eps(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps if dtype.is_floating_point else 0.0


def _difference(value: Tensor, expected: Tensor) -> str:
    """A constant ratio if it is one that says something, else the number that differs most."""
    value, expected = value.double().flatten(), expected.double().flatten()
    if not value.any():
        most = expected[expected.abs().argmax()]
        if value.numel() > 1:
            return f"It is 0 everywhere; expected {most:.7g} (the entry that is largest)."
        small = " Is a fraction cut off, by // or int()?" if most.abs() < 1 else ""
        return f"It is 0; expected {most:.7g}.{small}"
    big = expected.abs() > 1e-2 * expected.abs().max()  # the others are mostly rounding
    ratio = value[big] / expected[big]
    constant = ratio.numel() and (ratio - ratio[0]).abs().max() < 1e-4 * ratio[0].abs()
    if constant and (said := _known_ratio(ratio[0].item())):
        return said
    if said := _rounded(value, expected, range(1)):
        return said
    at = int((value - expected).abs().argmax())
    if (value - expected).abs().max() < 1e-2 * expected.abs().max():
        near = "Nearly right: was it rounded, computed in a lower precision, or shifted a little? "
    else:
        near = ""
    which = " (the entry that differs most)" if value.numel() > 1 else ""
    return f"{near}Expected {expected[at]:.7g}, got {value[at]:.7g}{which}."


def _rounded(value: Tensor, expected: Tensor, decimals: range) -> str:
    """A sentence where the value is the expected one with decimals cut; else empty."""
    for places in decimals:
        if (value - expected.round(decimals=places)).abs().max() < 1e-9:
            return f"It is rounded to {places} decimals: return the number as it is."
    if 0 in decimals and torch.equal(value, expected.trunc()):
        return "The fraction is cut off: return the number as it is."
    return ""


def _known_ratio(ratio: float) -> str:
    """A sentence on a ratio such as -1, 2, 1/4 or 100; empty for any other."""
    if abs(ratio + 1) < 1e-4:
        return "The result has the wrong sign."
    for times in KNOWN:
        if abs(ratio / times - 1) < 1e-4:
            return f"The result is {times} times what is expected."
        if abs(ratio * times - 1) < 1e-4:
            return f"The result is 1/{times} of what is expected."
    return ""
