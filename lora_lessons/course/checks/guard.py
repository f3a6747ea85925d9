"""The guard: an answer must be the learner's own, not a call of the package or of PEFT.

While the learner's object runs, `sys.setprofile` sees every Python frame that starts. A frame of
`lora_lessons` (the checks aside) or of `peft` refuses the answer. Lambdas, wrappers and subclasses
are caught, and so are the pieces of `course` with which a lesson goes on. Source that was pasted in
is out of scope: it is the learner's text then.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from torch import nn

FORBIDDEN = ("lora_lessons", "peft")
# where checks live: what they hand to an answer, such as lesson 02's `make`, may run inside it
CHECKS = re.compile(r"lora_lessons\.course\.(checks\b|lesson\d\d\.checks)")


class Forbidden(BaseException):
    """The answer uses what it was asked to build. Not an Exception: learner's code lets it by."""


def _is_forbidden(module: str, name: str, allowed: tuple[str, ...]) -> bool:
    if module.split(".")[0] not in FORBIDDEN or CHECKS.match(module):
        return False
    return f"{module}.{name}" not in allowed


def _message(module: str, name: str) -> str:
    return f"This uses {module}.{name}. Write it yourself: that is the exercise."


def refuse_package_object(answer: Any, allowed: tuple[str, ...] = ()) -> None:
    """Raise `Forbidden` if the answer is the package's or PEFT's own, or inherits from it."""
    inner = answer
    while isinstance(inner, functools.partial):
        inner = inner.func
    kinds = inner.__mro__ if isinstance(inner, type) else (inner, *type(inner).__mro__)
    for kind in kinds:
        module = getattr(kind, "__module__", None) or ""
        name = getattr(kind, "__qualname__", type(kind).__name__)
        if _is_forbidden(module, name, allowed):
            raise Forbidden(_message(module, name))


def guarded(answer: Any, allowed: tuple[str, ...] = ()) -> Any:
    """The answer, wrapped so that each call of it runs under the guard.

    A class gives guarded instances: its constructor and its `forward` are watched.
    """
    if isinstance(answer, type):
        return _guarded_class(answer, allowed)
    return _watched(answer, allowed) if callable(answer) else answer


def _guarded_class(answer: type, allowed: tuple[str, ...]) -> Callable[..., Any]:
    @functools.wraps(answer, updated=())
    def build(*args: Any, **kwargs: Any) -> Any:
        instance = _watched(answer, allowed)(*args, **kwargs)
        if isinstance(instance, nn.Module):
            instance.forward = _watched(instance.forward, allowed)
        return instance

    return build


def _watched(function: Callable[..., Any], allowed: tuple[str, ...]) -> Callable[..., Any]:
    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        before = sys.getprofile()
        sys.setprofile(_profiler(allowed, sys._getframe()))
        try:
            return function(*args, **kwargs)
        finally:
            sys.setprofile(before)

    return call


def _profiler(
    allowed: tuple[str, ...], outside: FrameType
) -> Callable[[FrameType, str, Any], None]:
    def see(frame: FrameType, event: str, arg: Any) -> None:
        if event != "call" or frame is outside:
            return
        module = frame.f_globals.get("__name__", "")
        name = frame.f_code.co_qualname
        if _is_forbidden(module, name, allowed) and not _inside(frame.f_back, allowed):
            raise Forbidden(_message(module, name))

    return see


def _inside(frame: FrameType | None, allowed: tuple[str, ...]) -> bool:
    """True within a call of an allowed function or of a check's own helper handed to the answer."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if f"{module}.{frame.f_code.co_qualname}" in allowed:
            return True
        frame = frame.f_back
    return False
