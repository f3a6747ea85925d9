"""How large the lessons' experiments are on this machine."""

from __future__ import annotations

import os

PRESETS = ("quick", "small", "full")
VARIABLE = "LORA_LESSONS_PRESET"


def preset() -> str:
    """Return "quick" (seconds: unsolved copies, grading), "small" (a CPU) or "full" (a GPU).

    The environment variable LORA_LESSONS_PRESET decides; without it, a GPU does.
    Raises ValueError for any other value of the variable.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        import torch

        return "full" if torch.cuda.is_available() else "small"
    if wanted not in PRESETS:
        raise ValueError(f"{VARIABLE} is {wanted!r}; it must be one of {', '.join(PRESETS)}")
    return wanted
