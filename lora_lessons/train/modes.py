"""What training changes for its own time only, put back after."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from ..base.undisturbed import (
    evaluation_mode,
    random_state,
    random_state_of,
    set_random_state,
    training_mode,
    unchanged_random_state,
)

__all__ = [
    "deterministic_algorithms",
    "evaluation_mode",
    "random_state",
    "random_state_of",
    "set_random_state",
    "training_mode",
    "unchanged_random_state",
]


@contextlib.contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """Inside, if wanted, operations give the same bits each time or raise; as before after.

    On CUDA the fast attention's backward pass, for one, adds in whatever order threads finish.
    PyTorch asks for cuBLAS's workspace setting, which is read when cuBLAS is first used.
    """
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        torch.use_deterministic_algorithms(True)
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
