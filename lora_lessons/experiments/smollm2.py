"""The lessons' experiments on SmolLM2-135M-Instruct, a public model 25 times the decoder's size.

The same functions, fewer arms and seeds. They are recorded where the model is; the fingerprints of
the decoder's recordings watch the code.
"""

from __future__ import annotations

from typing import Any

from .lesson00 import noise_floor
from .lesson01 import rank_sweep
from .lesson05 import SMOLLM2_ARMS, target_sweep
from .lesson09 import merge_rounding

_COMMON: dict[str, Any] = {
    "base": "smollm2",
    "seeds": [0, 1, 2],
    "steps": 120,
    "batch_size": 8,
    "length": 64,
    "device": "cuda",
}
_SWEEP: dict[str, Any] = {**_COMMON, "valid_blocks": 48, "jobs_at_once": 36}

RECORDINGS = {
    "00_noise_floor_smollm2": (
        noise_floor,
        {**_COMMON, "lr": 1e-3, "seeds": [0, 1, 2, 3, 4], "valid_blocks": 48},
        None,
    ),
    "01_rank_sweep_smollm2": (
        rank_sweep,
        {
            **_SWEEP,
            "ranks": [1, 4, 8, 16, 64, 128],
            "lrs": [3e-4, 1e-3, 3e-3],
            "alpha_rules": ["alpha = 2r"],
            "eval_every": 40,
        },
        None,
    ),
    "05_targets_smollm2": (
        target_sweep,
        {**_SWEEP, "arms": list(SMOLLM2_ARMS), "lrs": [3e-4, 1e-3, 3e-3], "eval_every": 60},
        None,
    ),
    "09_merge_rounding_smollm2": (
        merge_rounding,
        {**_COMMON, "lr": 1e-3, "valid_blocks": 48},
        None,
    ),
}
"""Name -> (experiment, settings of the recorded GPU run, no fingerprint)."""
