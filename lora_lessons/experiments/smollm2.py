"""The lessons' experiments on SmolLM2-135M-Instruct, a public model 25 times the decoder's size.

The same functions, fewer arms and seeds. They are recorded where the model is. A fingerprint is
that of a small model; where there is none, that of the decoder's recording watches the code.
"""

from __future__ import annotations

from typing import Any

from .lesson00 import noise_floor
from .lesson01 import rank_sweep
from .lesson03 import alpha_sweep
from .lesson04 import dropout_sweep
from .lesson05 import SMOLLM2_ARMS, argument_effects, target_sweep
from .lesson07 import head_after_a_save
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
_DROPOUT: dict[str, Any] = {
    **_COMMON,
    "ps": [0.0, 0.05, 0.1, 0.3, 0.6, 0.9],
    "r": 8,
    "valid_blocks": 48,
}

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
    "03_alpha_sweep_smollm2": (
        alpha_sweep,
        {
            **_SWEEP,
            "alphas": [1, 4, 16, 32, 64, 256],
            "lrs": [3e-4, 1e-3, 3e-3, 1e-2],
            "eval_every": 30,
            "jobs_at_once": 38,
        },
        None,
    ),
    "04_dropout_little_data_smollm2": (
        dropout_sweep,
        {
            **_DROPOUT,
            "decays": [1.0],
            "lrs": [1e-4, 3e-4, 1e-3],
            "steps": 240,
            "batch_size": 4,
            "eval_every": 20,
            "jobs_at_once": 63,
            "train_tokens": 12_000,
        },
        None,
    ),
    "04_dropout_full_data_smollm2": (
        dropout_sweep,
        {
            **_DROPOUT,
            "lrs": [3e-4, 1e-3, 3e-3],
            "eval_every": 20,
            "jobs_at_once": 27,
            "train_tokens": None,
        },
        None,
    ),
    "05_targets_smollm2": (
        target_sweep,
        {**_SWEEP, "arms": list(SMOLLM2_ARMS), "lrs": [3e-4, 1e-3, 3e-3], "eval_every": 60},
        None,
    ),
    "05_arguments_smollm2": (
        argument_effects,
        {"base": "smollm2", "steps": 3, "lr": 1e-2, "seed": 0, "dtype": "float32"},
        {"base": "nano", "steps": 2},
    ),
    # Three seeds of a classifier, on a CPU: what is lost is the head, whatever its body's size.
    "07_head_smollm2": (
        head_after_a_save,
        {
            "base": "smollm2",
            "arms": ["no task_type", "SEQ_CLS"],
            "seeds": [0, 1, 2],
            "r": 8,
            "lr": 1e-3,
            "steps": 20,
            "batch_size": 8,
            "train": 400,
            "valid": 200,
        },
        None,
    ),
    "09_merge_rounding_smollm2": (
        merge_rounding,
        {**_COMMON, "lr": 1e-3, "valid_blocks": 48},
        None,
    ),
}
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
