"""The experiments of lesson 10: how to choose, and LoRA against full fine-tuning.

The runs are in `learning_and_forgetting`; here are the pieces that stand in for a learner's
unsolved exercises, the sizes of the live runs, and the recordings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from .learning_and_forgetting import batch_sizes, measure_at, tune_and_measure

SIZES: dict[str, dict[str, Any]] = {
    "quick": {"seeds": (0, 1), "bench": {"steps": 8, "eval_every": 2, "blocks_each": 4}},
    "small": {"seeds": (0, 1, 2), "bench": {"steps": 50, "eval_every": 10, "blocks_each": 16}},
    "full": {"seeds": (0, 1, 2, 3, 4), "bench": {"steps": 200, "eval_every": 10}},
}
"""The size of the notebook's live runs for each preset (`ll.preset()`)."""

LIVE_RATES = {
    "LoRA, r = 8": [1e-3, 2e-3, 4e-3, 8e-3],
    "full": [2.5e-4, 5e-4, 1e-3, 2e-3],
}
"""The nano model's rates, a factor of two apart; the best is inside."""

# --- The pieces ------------------------------------------------------------------------------


def pick(
    runs: Sequence[tuple[float, int, float]],
    tuning_seeds: Sequence[int],
    fresh_seeds: Sequence[int],
) -> tuple[float, float, bool]:
    """(rate, its mean loss on the fresh seeds, whether it is at an edge), for exercise 10.1.

    runs: (lr, seed, loss). The rate is the one with the lowest mean over the tuning seeds.
    """

    def average(lr: float, seeds: Sequence[int]) -> float:
        losses = [loss for rate, seed, loss in runs if rate == lr and seed in seeds]
        return mean(math.inf if math.isnan(loss) else loss for loss in losses)

    rates = sorted({lr for lr, seed, _ in runs if seed in tuning_seeds})
    best = min(rates, key=lambda lr: average(lr, tuning_seeds))
    return best, average(best, fresh_seeds), best in (rates[0], rates[-1])


def paired_interval(
    a: Mapping[int, float], b: Mapping[int, float], t: Mapping[int, float]
) -> tuple[float, float]:
    """(mean, half width) of the 95 % interval of a - b, seed by seed, for exercise 10.2.

    t: degrees of freedom -> half the width in standard errors.
    """
    gaps = [a[seed] - b[seed] for seed in a]
    return mean(gaps), t[len(gaps) - 1] * stdev(gaps) / len(gaps) ** 0.5


def forgetting_at(target: Sequence[float], base: Sequence[float], goal: float) -> float | None:
    """The base loss where the target loss first reaches the goal, for exercise 10.3.

    Both curves are straight between two measurements. None if the goal is never reached.
    """
    if target[0] <= goal:
        return base[0]
    for i in range(1, len(target)):
        if target[i] <= goal:
            share = (target[i - 1] - goal) / (target[i - 1] - target[i])
            return base[i - 1] + share * (base[i] - base[i - 1])
    return None


# --- Recordings ------------------------------------------------------------------------------

LORA_RATES = [2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3]
FULL_RATES = [3.125e-5, 6.25e-5, 1.25e-4, 2.5e-4, 5e-4]

_DECODER: dict[str, Any] = {
    "base": "decoder",
    "seeds": [0, 1, 2, 3, 4],
    "length": 128,
    "jobs_at_once": 20,
    "device": "cuda",
}
_TINY: dict[str, Any] = {
    "base": "nano",
    "seeds": [0],
    "length": 16,
    "blocks_each": 4,
    "dtype": "float64",
}
_TINY_RATES = {"LoRA, r = 8": [1e-3, 4e-3], "full": [1e-3]}
_TINY_RUN = {**_TINY, "steps": 4, "batch_size": 2, "eval_every": 2}

RECORDINGS = {
    "10_forgetting": (
        tune_and_measure,
        {
            **_DECODER,
            "rates": {"LoRA, r = 8": LORA_RATES, "LoRA, r = 64": LORA_RATES, "full": FULL_RATES},
            "tuning_seeds": [10, 11, 12],
            "all_rates": True,
            "rivals": [["full, decay 0.1", "full", 1.0], ["full, decay 1", "full", 1.0]],
            "steps": 400,
            "batch_size": 8,
            "eval_every": 20,
            "blocks_each": 96,
        },
        {
            **_TINY_RUN,
            "rates": _TINY_RATES,
            "tuning_seeds": [10],
            "rivals": [["full, decay 1", "full", 0.5]],
        },
    ),
    "10_forgetting_slow": (
        measure_at,
        {
            **_DECODER,
            "rates": {"LoRA, r = 8": [2.5e-4], "LoRA, r = 64": [2.5e-4], "full": [3.125e-5]},
            "steps": 1600,
            "batch_size": 8,
            "eval_every": 50,
            "blocks_each": 96,
        },
        {**_TINY_RUN, "rates": _TINY_RATES},
    ),
    "10_little_data": (
        tune_and_measure,
        {
            **_DECODER,
            "texts": ["train", "target"],
            "rates": {
                "LoRA, r = 8": LORA_RATES,
                "LoRA, r = 64": [1.25e-4, *LORA_RATES[:-1]],
                "full": FULL_RATES,
            },
            "tuning_seeds": [10, 11, 12],
            "by": "best",
            "rivals": [["full", "full", 0.25], ["full, decay 1", "full", 1.0]],
            "steps": 300,
            "batch_size": 8,
            "eval_every": 10,
            "blocks_each": 93,
            "train_tokens": 12_000,
        },
        {
            **_TINY_RUN,
            "texts": ["train", "target"],
            "rates": _TINY_RATES,
            "tuning_seeds": [10],
            "by": "best",
            "train_tokens": 2_000,
        },
    ),
    "10_batch_size": (
        batch_sizes,
        {
            **_DECODER,
            "sizes": {
                "8": {"LoRA, r = 8": [5e-4, 1e-3, 2e-3, 4e-3], "full": FULL_RATES[1:]},
                "32": {"LoRA, r = 8": [1e-3, 2e-3, 4e-3, 8e-3], "full": [*FULL_RATES[2:], 1e-3]},
                "128": {
                    "LoRA, r = 8": [2e-3, 4e-3, 8e-3, 1.6e-2],
                    "full": [2.5e-4, 5e-4, 1e-3, 2e-3],
                },
            },
            "tokens": 409_600,
            "tuning_seeds": [10, 11, 12],
            "blocks_each": 96,
        },
        {
            **_TINY,
            "sizes": {"1": _TINY_RATES, "2": _TINY_RATES},
            "tokens": 64,
            "tuning_seeds": [10],
        },
    ),
}
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
