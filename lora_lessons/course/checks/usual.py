"""What a check runs under, whatever the notebook has set: PyTorch's usual settings, and no mode.

A learner may like float64, or have a default device. A check draws and compares as it was written;
after it the notebook's own settings are back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.overrides import _pop_mode as _pop
from torch.overrides import _push_mode as _push


def modes() -> list[TorchFunctionMode]:
    """The modes of PyTorch's functions that are on: a default device is one."""
    return list(_get_current_function_mode_stack())


def pop_modes(left: int) -> list[TorchFunctionMode]:
    """Take off all modes but the first `left`; return them, the last first."""
    return [_pop() for _ in range(len(modes()) - left)]


class Usual:
    """A context: the usual settings on entry, the notebook's own again on exit."""

    def __enter__(self) -> None:
        self._modes = pop_modes(0)
        self._dtype = torch.get_default_dtype()
        self._gradients = torch.is_grad_enabled()
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)

    def __exit__(self, *raised: Any) -> None:
        pop_modes(0)
        torch.set_default_dtype(self._dtype)
        torch.set_grad_enabled(self._gradients)
        for mode in reversed(self._modes):
            _push(mode)
