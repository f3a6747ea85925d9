"""The experiments of lesson 11: what a step takes of memory and of time."""

from __future__ import annotations

from typing import Any

from .capture_by_hand import captured_by_hand
from .step_memory import measured_memory, predicted_memory
from .step_times import step_times

_SIZES = [["5 M", 16, 128], ["135 M", 8, 512], ["1 B", 1, 2048], ["1 B", 8, 2048]]
_AT_8B = ["full, bf16", "full, bf16, recomputed", "LoRA", "LoRA, recomputed", "QLoRA"]
_BYTES = ("activations", "kept", "logits", "peak")  # PyTorch's versions differ in temporaries
_TINY: dict[str, Any] = {
    "sizes": [["nano", 2, 16]],
    "arms": ["full, float32", "full, bf16", "LoRA, whole logits", "LoRA", "LoRA, recomputed"],
}

RECORDINGS = {
    "11_capture": (
        captured_by_hand,
        {"size": "nano", "device": "cuda"},
        {"rows": 2, "length": 16, "further": 2, "repeats": 1, "steps": 1},
    ),
    "11_predicted": (
        predicted_memory,
        {"sizes": [["nano", 16, 128], *_SIZES, ["8 B", 1, 2048], ["8 B", 8, 2048]]},
        {**_TINY, "arms": [*_TINY["arms"], "QLoRA"]},
        _BYTES,
    ),
    "11_measured": (measured_memory, {"sizes": _SIZES, "device": "cuda"}, _TINY, _BYTES),
    "11_measured_8b": (
        measured_memory,
        {"sizes": [["8 B", 1, 2048]], "arms": _AT_8B, "device": "cuda"},
        {**_TINY, "arms": ["LoRA"]},
        _BYTES,
    ),
    "11_step_times": (
        step_times,
        {
            "sizes": [["nano", 16, 128], ["5 M", 16, 128], ["135 M", 8, 128]],
            "arms": ["LoRA", "full, bf16"],
            "device": "cuda",
        },
        {"sizes": [["nano", 2, 16]], "how": ["eager"], "repeats": 1, "steps": 1},
        ("loss",),
    ),
    "11_step_times_1b": (
        step_times,
        {
            "sizes": [["1 B", 8, 2048]],
            "arms": ["LoRA", "LoRA, whole logits", "LoRA, recomputed", "full, bf16", "QLoRA"],
            "how": ["eager"],
            "device": "cuda",
        },
        {
            "sizes": [["nano", 2, 16]],
            "arms": ["LoRA, whole logits", "LoRA, recomputed"],
            "how": ["eager"],
            "repeats": 1,
            "steps": 1,
        },
        ("loss",),
    ),
}
