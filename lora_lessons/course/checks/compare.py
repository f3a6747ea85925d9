"""Compares an answer's numbers with what is expected, and names a mistake that explains them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from .differences import Close, constant_ratio, finding, of_factors, pattern
from .exercise import Wrong
from .plain import plain

Mistakes = Mapping[str, Tensor]
FINEST = torch.finfo(torch.float32).eps
# a ratio is told where it is one that a reader knows again; another one explains nothing
NEARLY = "Nearly right: was it rounded, computed in a lower precision, or shifted a little?"
KNOWN = (2, 3, 4, 8, 10, 16, 100, 1000, 1024)


def expect(
    actual: Any,
    expected: Tensor,
    *,
    k: int = 1,
    mistakes: Mistakes | Callable[[], Mistakes] | None = None,
    case: str = "",
    factors: Mapping[str, float] | None = None,
    otherwise: Callable[[], str] | None = None,
) -> None:
    """Raise `Wrong` unless `actual` equals `expected` (float64) up to rounding.

    The tolerance is eps(dtype of actual) * sqrt(k) * 32 relative to the largest expected value,
    where k is the number of terms in a sum. `mistakes` maps a message to the value that this
    mistake gives, or is a function that returns such a table, called only where the answer is
    wrong; a mistake is named only if it explains the answer alone. `case` ends a message that
    can name none: what was given ("with one batch"). `factors` are numbers of the task by their
    names; a ratio to what is expected is told as a product of them. `otherwise()` is asked where
    nothing explains the difference: a sentence that stands before the two numbers, or "".
    """
    value = _as_tensor(plain(actual), expected)
    tolerance = 32 * max(FINEST, _eps(value.dtype)) * k**0.5

    def close(a: Tensor, b: Tensor) -> bool:
        scale = b.double().abs().max().clamp_min(1e-30)
        return bool((a.double() - b.double()).abs().max() <= tolerance * scale)

    if close(value, expected):
        return
    if value.any() and (said := _rounded(value.double(), expected.double(), range(1, 6))):
        raise Wrong(said)
    for message, mistaken in ((mistakes() if callable(mistakes) else mistakes) or {}).items():
        alike = mistaken.shape == value.shape and bool(mistaken.isfinite().all())
        if alike and close(value, mistaken):
            raise Wrong(message)
    raise Wrong(_told(value.double(), expected.double(), close, case, factors or {}, otherwise))


def _told(
    value: Tensor,
    expected: Tensor,
    close: Close,
    case: str,
    factors: Mapping[str, float],
    otherwise: Callable[[], str] | None,
) -> str:
    """The two numbers, with what explains their difference behind or before them."""
    why = of_factors(value, expected, factors)
    said = _difference(value, expected, bool(why))
    known = "expected" not in said.lower()  # rounded, the wrong sign: said in full
    said = f"{said.removesuffix('.')}, {case}." if case else said
    if not why and not known:
        why = finding(value, expected, close)
        more = otherwise() if otherwise and not why else ""
        if more:
            return f"{more} {said.removeprefix(NEARLY).lstrip()}"
        why = why or pattern(value, expected, close)
    return f"{said} {why}".rstrip()


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


def _eps(dtype: torch.dtype) -> float:
    # a Python float may have been computed from float32 inputs, so float32 is the finest assumed
    return torch.finfo(dtype).eps if dtype.is_floating_point else 0.0


def _difference(value: Tensor, expected: Tensor, plain_numbers: bool) -> str:
    """A constant ratio that a reader knows, or the number that differs most."""
    if not value.any():
        most = expected.flatten()[expected.abs().argmax()]
        if value.numel() > 1:
            return f"It is 0 everywhere; expected {most:.7g} (the entry that is largest)."
        small = " Is a fraction cut off, by // or int()?" if most.abs() < 1 else ""
        return f"It is 0; expected {most:.7g}.{small}"
    ratio = constant_ratio(value, expected)
    if not plain_numbers and ratio is not None and (said := _known_ratio(ratio)):
        return said
    if not plain_numbers and (said := _rounded(value, expected, range(1))):
        return said
    near = (value - expected).abs().max() < 1e-2 * expected.abs().max()
    at = int((value - expected).abs().argmax())
    which = " (the entry that differs most)" if value.numel() > 1 else ""
    got = f"Expected {expected.flatten()[at]:.7g}, got {value.flatten()[at]:.7g}{which}."
    return f"{NEARLY} {got}" if near and not plain_numbers else got


def _rounded(value: Tensor, expected: Tensor, decimals: range) -> str:
    """A sentence where the value is the expected one with decimals cut; else empty."""
    whole = torch.equal(value, value.round())
    for places in decimals:
        if whole == (places == 0) and (value - expected.round(decimals=places)).abs().max() < 1e-9:
            what = f"{places} decimals" if places else "whole numbers"
            return f"It is rounded to {what}: return the number as it is."
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
