"""Random numbers that come out the same on every run.

A result is only worth comparing if it can be had again. Global seeds are for code that draws
from the global generators (weight initialisation, dropout); whatever draws for itself (batches,
sampling) takes a generator of its own, so that one draw more in one place moves nothing elsewhere.
"""

from __future__ import annotations

import random

import torch


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's global generators (PyTorch's on every device).

    The same seed gives the same numbers on the same machine and version; another processor may
    round differently, and training amplifies that (after 300 steps: in the third digit).
    """
    import numpy as np

    require_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # NumPy takes 32 bits
    torch.manual_seed(seed)


def generator(seed: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator of its own: `torch.randn(3, generator=generator(0))`."""
    require_seed(seed)
    return torch.Generator(device).manual_seed(seed)


def require_seed(seed: int) -> None:
    """Raise ValueError unless `seed` is one that every generator takes."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number from 0 to 2**63 - 1, not {seed!r}")


def leave_capture(device: torch.device) -> None:
    """Let random numbers be drawn again after a failed capture.

    PyTorch (2.11) leaves the generator's state as one that is being captured, and every draw would
    raise. Its copy, with the same seed and offset, is not.
    """
    index = torch.cuda.current_device() if device.index is None else device.index
    generator = torch.cuda.default_generators[index]
    generator.graphsafe_set_state(generator.clone_state())
