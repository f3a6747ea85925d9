"""Errors and warnings of the LoRA engine, and the nearest right name to put into a message."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any


class PeftError(Exception):
    """Base of the engine's own errors (the name is PEFT's)."""


class PeftWarning(UserWarning):
    """Base of the engine's own warnings (the name is PEFT's)."""


class NoMatchingPeftModuleError(PeftError, ValueError):
    """A name in the config matches no module of the model."""


class ConfigError(PeftError, ValueError):
    """A value in a LoraConfig cannot be right."""


class UnknownBiasError(ConfigError, NotImplementedError):
    """`bias` is not one of its modes. PEFT raises NotImplementedError here."""


class AdapterFileError(PeftError, ValueError, RuntimeError):
    """An adapter's file does not fit the model: the message names each tensor at fault."""


class MergeError(PeftError, ValueError, RuntimeError):
    """A weight cannot be merged or unmerged without losing what it was."""


def nearest(name: str, choices: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The choice whose letters are most like those of `name`, or None where none is near.

    `cutoff` is the smallest share of letters in common, as `difflib` counts it.
    """
    near = difflib.get_close_matches(str(name), [str(choice) for choice in choices], 1, cutoff)
    return near[0] if near else None


def nearest_and_known(name: str, choices: Iterable[str]) -> str:
    """The end of an error message: the nearest choice, if one is near, and all of them."""
    choices = list(choices)
    near = nearest(name, choices)
    hint = f"; did you mean {near!r}?" if near else ""
    quoted = [repr(choice) if "," in str(choice) else str(choice) for choice in choices]
    return f"{hint} (known: {', '.join(quoted)})"


def did_you_mean(name: str, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """A sentence with the choice nearest to `name`, or nothing where none is near."""
    near = nearest(name, choices, cutoff)
    return f" Did you mean {near!r}?" if near else ""


def is_number(value: Any, whole: bool = False) -> bool:
    """True for a finite number (`whole`: an integer); True and False are none."""
    kinds = int if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
