"""Calls an answer that must differentiate by hand: one that asks autograd is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from .core import Wrong

MESSAGE = "The gradients come from autograd here: write the products down yourself."


def without_autograd(answer: Callable[..., Any], *inputs: Any) -> Any:
    """Return answer(*inputs); raise `Wrong` if autograd records or transforms anything in it.

    Recording keeps tensors for the backward pass, which the hook refuses. `torch.func`'s reverse
    mode does not start under such a hook, and forward mode shows in its dual numbers.
    """
    try:
        with torch.autograd.graph.saved_tensors_hooks(_refuse, _refuse), _NoDualNumbers():
            return answer(*inputs)
    except RuntimeError as error:
        if "grad" in str(error):
            raise Wrong(MESSAGE) from error
        raise


def _refuse(tensor: Tensor) -> Tensor:
    raise Wrong(MESSAGE)


class _NoDualNumbers(TorchFunctionMode):
    """Raises `Wrong` when a result carries a forward-mode derivative."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and forward_ad.unpack_dual(result).tangent is not None:
            raise Wrong(MESSAGE)
        return result
