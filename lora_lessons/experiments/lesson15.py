"""The experiments of lesson 15, the capstone: the runs are in `stress`; here are their sizes.

Both recordings ran on a CPU: the nano encoder takes ten seconds a run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from ..base.tasks.stress import Word, by_ending
from .stress import ARMS, FULL, HEAD_ALONE, LORA, choices, leak

SIZES: dict[str, dict[str, Any]] = {
    "quick": {"steps": 4, "batch_size": 4, "seeds": (0, 1), "families": 60, "valid": 60},
    "small": {"steps": 200, "batch_size": 32, "seeds": (0, 1), "families": 700, "valid": 600},
    "full": {"steps": 600, "batch_size": 32, "seeds": (0, 1, 2), "families": 700, "valid": 600},
}
"""The size of the notebook's live runs for each preset (`ll.preset()`)."""

STUDY_SIZES: dict[str, dict[str, Any]] = {
    "quick": {"steps": 4, "batch_size": 4, "words": (80, 40, 40), "eval_every": 2},
    "small": {"steps": 200, "batch_size": 32, "words": (16_000, 1_000, 1_000), "eval_every": 50},
    "full": {"steps": 600, "batch_size": 32, "words": (16_000, 2_000, 2_000), "eval_every": 100},
}
"""The size of the page's first run of the learner's own study."""

# --- The pieces ------------------------------------------------------------------------------


def package_split(
    words: Sequence[Any], stem: Callable[[Any], str], valid: int, seed: int
) -> tuple[list[Any], list[Any]]:
    """(training, validation) by stem, for exercise 15.2: whole stems until `valid` is reached."""
    kin: dict[str, list[Any]] = {}
    for word in words:
        kin.setdefault(stem(word), []).append(word)
    names = list(kin)
    random.Random(seed).shuffle(names)
    parts: tuple[list[Any], list[Any]] = ([], [])
    for name in names:
        parts[len(parts[1]) < valid].extend(kin[name])
    return parts


def package_rule(train: Sequence[tuple[str, int]], asked: Sequence[str], longest: int) -> list[int]:
    """A class for each word by its longest known ending, for exercise 15.3."""
    known = [Word(text, kind, "") for text, kind in train]
    return by_ending(known, [Word(text, 0, "") for text in asked], longest)


# --- Recordings ------------------------------------------------------------------------------

RATES: dict[str, list[float]] = {
    arm: [1e-3, 2e-3, 3e-3, 5e-3, 1e-2] for arm, what in ARMS.items() if what.r is not None
}
RATES |= {FULL: [2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3], HEAD_ALONE: [3e-3, 1e-2, 3e-2, 1e-1]}
_TINY: dict[str, Any] = {"steps": 4, "batch_size": 4, "seeds": [0], "dtype": "float64"}

RECORDINGS = {
    "15_choices": (
        choices,
        {"rates": RATES, "device": "cpu"},
        {
            "rates": {LORA: [1e-3, 3e-3], FULL: [1e-3], HEAD_ALONE: [1e-2]},
            "tuning_seeds": [10],
            "eval_every": 2,
            "words": [80, 40, 40],
            **_TINY,
        },
    ),
    "15_leak": (
        leak,
        {"device": "cpu"},
        {"families": 40, "valid": 40, "eval_every": 2, **_TINY},
    ),
}
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
