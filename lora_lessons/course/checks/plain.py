"""One rule for what an answer returns: numbers are Python's own, and a generator is no list.

Python's ints and floats, Decimals, NumPy's scalars and tensors of no dimension count as numbers;
a bool (NumPy's too) counts as a bool and not as a number. A subclass of int or str is taken for
what it holds, so that its `__eq__` decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .exercise import Wrong

EXACT = {bool, int, float, str, bytes, complex, type(None), Fraction}
# the value that a subclass holds, whatever its own methods say
HELD = {int: int.__int__, float: float.__float__, str: str.__str__}


def plain(value: Any) -> Any:
    """The value with NumPy's scalars, whole 0-d tensors and subclasses as Python's own types.

    Lists, tuples, sets and dicts are gone through. Raises `Wrong` for an iterator, which can be
    read once only.
    """
    kind = type(value)
    if kind in EXACT:
        return value
    if isinstance(value, Tensor):
        if kind is not Tensor and kind is not nn.Parameter:
            with torch._C.DisableTorchFunctionSubclass():
                value = value.as_subclass(Tensor)  # its own __torch_function__ decides nothing
        return value.item() if value.dim() == 0 and not _fractional(value) else value
    if isinstance(value, np.generic) or (kind is np.ndarray and value.ndim == 0):
        held = value.item()  # of a longdouble that is one again: no type of Python's holds it
        return float(held) if isinstance(held, np.generic) else plain(held)
    if kind is Decimal:
        return float(value)
    if isinstance(value, Iterator):
        raise Wrong(
            f"It returns a {kind.__name__}, which can be read only once: a later cell would find "
            "it empty. Return a list: [... for ...], or list(...)."
        )
    for base, held in HELD.items():
        if isinstance(value, base):  # an IntEnum, or a class of the learner's
            return held(value)
    return _container(value)


def _fractional(value: Tensor) -> bool:
    return value.dtype.is_floating_point or value.dtype.is_complex


def _container(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in list.__iter__(value)]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in tuple.__iter__(value))
    if isinstance(value, dict):
        return {plain(key): plain(dict.__getitem__(value, key)) for key in dict.__iter__(value)}
    if isinstance(value, set):
        return {plain(item) for item in set.__iter__(value)}
    if isinstance(value, frozenset):
        return frozenset(plain(item) for item in frozenset.__iter__(value))
    return value


def number(value: Any, what: str = "a number") -> int | float:
    """One finite or infinite number as Python's int or float; raises `Wrong` for anything else."""
    value = plain(value)
    if isinstance(value, Tensor) and value.numel() == 1 and not value.dtype.is_complex:
        value = value.item()
    if isinstance(value, np.ndarray) and value.size == 1:
        value = plain(value.reshape(()))
    if value is None:
        raise Wrong("It returns None. Is the `return` missing?")
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Wrong(f"Return {what}; got {kind_of(value)}.")
    return value


def whole_number(value: Any, what: str = "an int, a whole number") -> int:
    """A whole number as Python's int: 3, np.int64(3) and torch.tensor(3), but not 3.0."""
    value = number(value, what)
    if not isinstance(value, int):
        raise Wrong(f"Return {what}; got {type(value).__name__}.")
    return value


def kind_of(value: Any) -> str:
    """What to call a value in a message: "a tensor of shape (2, 3)", "list"."""
    if isinstance(value, Tensor | np.ndarray) and value.ndim:
        kind = "a tensor" if isinstance(value, Tensor) else "an array"
        return f"{kind} of shape {tuple(value.shape)}"
    return type(value).__name__


def as_declared(value: Any, returns: str) -> Any:
    """The value as the exercise's `returns` asks for it."""
    value = plain(value)
    if returns == "int":
        return whole_number(value)
    if returns == "number":
        low = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
        return value if low and value.numel() == 1 else number(value)
    return value
