"""Experiments: one function each, run small in a notebook on a CPU and in full by the recorder.

`python -m lora_lessons.experiments --list` names the recorded ones.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple


class Recording(NamedTuple):
    """An experiment, the settings of its recorded run, and those of its fingerprint.

    The fingerprint is a run of seconds on a CPU that shows when the code changed. It is None for
    an experiment on an optional model, which not every machine has. `rounding` names the
    numbers in it that measure roundings or small differences: they turn on the last bits of each
    product, which differ between processors.
    """

    experiment: Callable[..., Any]
    settings: dict[str, Any]
    tiny_settings: dict[str, Any] | None
    rounding: tuple[str, ...] = ()


def recordings() -> dict[str, Recording]:
    """Name -> recording, over all lessons: "00_card_run", "01_rank_sweep", ..."""
    found: dict[str, Recording] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        if module.startswith(("lesson", "smollm2")):
            table = importlib.import_module(f".{module}", __name__).RECORDINGS
            found |= {name: Recording(*entry) for name, entry in table.items()}
    return found
