"""What an answer must leave as it was: PyTorch's settings and functions. Both are put back.

Settings are compared around each call, functions around the whole check. The global random states
are seeded before a check and put back after it: an answer may draw from them, and a check changes
nothing that a later cell draws.
"""

from __future__ import annotations

import builtins
import math
import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as hooks_of_all

from .usual import modes, pop_modes

TORCH = str(Path(torch.__file__).parent)
ON_OFF = {True: "on", False: "off"}
OWNERS = (
    *(torch, F, nn, torch.linalg, torch.autograd, torch.utils.checkpoint, math, builtins),
    *(Tensor, nn.Module, nn.Linear, nn.Dropout, nn.Embedding, nn.LayerNorm, nn.Parameter),
)
GLOBAL_HOOKS = tuple(
    getattr(hooks_of_all, name)
    for name in ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")
)

_hooks_of_saved = torch._C._autograd._top_saved_tensors_default_hooks
_pop_hooks_of_saved = torch._C._autograd._pop_saved_tensors_default_hooks


def _set_autocast(on: bool) -> None:
    torch.set_autocast_enabled("cpu", on)


# what it is called, how to read it, how to set it, and what to do instead
SETTINGS: tuple[tuple[str, Callable[[], Any], Callable[[Any], Any], str], ...] = (
    ("recording of gradients", torch.is_grad_enabled, torch.set_grad_enabled,
     "`with torch.no_grad():` around the lines that need it puts back what was."),
    ("default dtype", torch.get_default_dtype, torch.set_default_dtype,
     "Give new tensors their dtype instead: torch.zeros(n, dtype=x.dtype)."),
    ("autocast", lambda: torch.is_autocast_enabled("cpu"), _set_autocast,
     "`with torch.autocast(...):` puts back what was."),
    ("choice of deterministic algorithms", torch.are_deterministic_algorithms_enabled,
     torch.use_deterministic_algorithms, "Leave it as you found it."),
    ("number of threads", torch.get_num_threads, torch.set_num_threads,
     "Leave it as you found it."),
    ("limit of recursion", sys.getrecursionlimit, sys.setrecursionlimit,
     "Leave it as you found it."),
)  # fmt: skip


class Settings:
    """PyTorch's settings as they are now."""

    def __init__(self) -> None:
        self._before = [read() for _, read, _, _ in SETTINGS]
        self._hooks = [set(hooks) for hooks in GLOBAL_HOOKS]
        self._of_saved = _hooks_of_saved(True)
        self._modes = len(modes())

    def put_back(self) -> str | None:
        """Put back what changed since; return a sentence on the first, None if nothing did."""
        said = None
        for before, (name, read, write, instead) in zip(self._before, SETTINGS, strict=True):
            if (now := read()) != before:
                write(before)
                was, is_ = (ON_OFF[v] if isinstance(v, bool) else v for v in (before, now))
                said = said or f"The {name} is {is_} after the call; before it was {was}. {instead}"
        for kept, hooks in zip(self._hooks, GLOBAL_HOOKS, strict=True):
            for key in [key for key in hooks if key not in kept]:
                del hooks[key]
                said = said or "It leaves a hook on all modules. Keep the handle; handle.remove()."
        if pop_modes(self._modes):
            said = said or "It leaves a mode of PyTorch's functions on. Use it in a `with` block."
        for _ in range(100):
            if _hooks_of_saved(True) == self._of_saved:
                break
            _pop_hooks_of_saved()
            said = said or (
                "It leaves hooks on all tensors that autograd saves. Use the context: "
                "`with saved_tensors_hooks(pack, unpack):`."
            )
        return said


class Functions:
    """What the names in modules and classes stood for, so that a patch is found and undone."""

    def __init__(self, owners: Iterable[Any]) -> None:
        self._kept = [(owner, dict(vars(owner))) for owner in owners]

    def put_back_notebooks(self) -> None:
        """Undo what a notebook's own functions replaced; a library's patches are left alone."""
        for owner, before in self._kept:
            for name, now in list(vars(owner).items()):
                old = before.get(name)
                if now is old or not _from_a_notebook(now):
                    continue
                if callable(old):
                    setattr(owner, name, old)
                elif name not in before and not isinstance(owner, ModuleType):
                    delattr(owner, name)  # it hid what a class inherits

    def put_back(self) -> str | None:
        """Undo each patch since; return a sentence on the first, None if there is none."""
        said = None
        for owner, before in self._kept:
            now = dict(vars(owner))
            patched = [n for n, old in before.items() if now.get(n, old) is not old]
            patched = [n for n in patched if callable(before[n]) and not _by_torch(owner, now[n])]
            for name in patched:
                setattr(owner, name, before[name])
            removed = [n for n in before if n not in now and callable(before[n])]
            for name in removed:
                setattr(owner, name, before[name])
            added = [] if isinstance(owner, ModuleType) else _added(now, before)
            for name in added:
                delattr(owner, name)
            for name in (*patched, *removed, *added):
                said = said or (
                    f"It replaces {_dotted(owner)}.{name} for everybody. Call functions; leave "
                    "PyTorch's and Python's own as they are."
                )
        return said


def _by_torch(owner: Any, now: Any) -> bool:
    """PyTorch wraps a few functions of its own, such as manual_seed, when a part is imported."""
    code = getattr(now, "__code__", None)
    return owner is torch and code is not None and code.co_filename.startswith(TORCH)


def _from_a_notebook(value: Any) -> bool:
    inner = getattr(value, "__func__", getattr(value, "fget", value))
    return getattr(inner, "__module__", None) == "__main__"


def _added(now: dict[str, Any], before: dict[str, Any]) -> list[str]:
    return [name for name in now if name not in before and callable(now[name])]


def _dotted(owner: Any) -> str:
    return owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__qualname__}"


class RandomStates:
    """The global random states: seeded on entry, put back on exit."""

    def __init__(self, seed: int) -> None:
        self._seed = seed + 2**40  # none that an answer would set itself

    def __enter__(self) -> None:
        self._before = torch.get_rng_state(), random.getstate(), np.random.get_state()
        torch.default_generator.manual_seed(self._seed)
        random.seed(self._seed)
        np.random.seed(self._seed % 2**32)

    def __exit__(self, *raised: object) -> None:
        state, python, numpy = self._before
        torch.set_rng_state(state)
        random.setstate(python)
        np.random.set_state(numpy)
