"""The experiments of lesson 11: what a step takes of memory and of time.

The pieces of the first part stand in for a learner's unsolved exercises.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .capture_by_hand import captured_by_hand
from .step_memory import measured_memory, predicted_memory
from .step_times import step_times

# --- 1. Stand-ins for the exercises ----------------------------------------------------------


def state_bytes(frozen: int, trained: int, weight: float, grad: float) -> float:
    """Bytes of all weights, and of the gradients and AdamW's float32 moments of what is trained."""
    return (frozen + trained) * weight + trained * (grad + 4 + 4)


def kept_for_backward(layer: nn.Module, x: Tensor) -> int:
    """Bytes that autograd keeps of layer(x), each storage once, the layer's own left out."""
    own = {t.untyped_storage().data_ptr() for t in [*layer.parameters(), *layer.buffers()]}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    return sum(kept.values())


def logits_bytes(
    batch: int, length: int, hidden: int, vocab: int, copies: Sequence[int], at_once: int | None
) -> int:
    """Bytes of the logits in all their copies; in pieces, of one piece and what the loss keeps."""
    rows = batch * length
    if at_once is None:
        return rows * vocab * sum(copies)
    return min(at_once, rows) * vocab * sum(copies) + rows * hidden * 2


def median_ms(
    step: Callable[[], Any],
    sync: Callable[[], Any],
    n: int,
    warm: int,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """The median of n steps in milliseconds, after `warm` untimed ones."""
    for _ in range(warm):
        step()
    times = []
    for _ in range(n):
        sync()
        start = clock()
        step()
        sync()
        times.append(clock() - start)
    return 1e3 * statistics.median(times)


# --- 2. The recorded runs --------------------------------------------------------------------

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
