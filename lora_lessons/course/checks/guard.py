"""The guard: an answer must be the learner's own, not a call of the package or of PEFT.

While the learner's object runs, `sys.setprofile` sees every Python frame that starts. A frame of
`lora_lessons` (the checks aside) or of `peft` refuses the answer. Lambdas, wrappers and subclasses
are caught, and so are the pieces of `course` with which a lesson goes on. A thread, another
profiler and a look at the frames of the check are refused too. Source that was pasted in is out of
scope: it is the learner's text then.
"""

from __future__ import annotations

import _thread
import functools
import re
import sys
from types import CodeType, FrameType
from typing import Any

FORBIDDEN = ("lora_lessons", "peft")
# where checks live: what they hand to an answer, such as lesson 02's `make`, may run inside it
CHECKS = re.compile(r"lora_lessons\.course\.(checks\b|lesson\d\d\.checks)")
# names by which a function reaches the frames of its callers, and with them what is expected
PEEKING = {
    *("_getframe", "currentframe", "f_back", "f_locals", "f_builtins", "tb_frame", "gi_frame"),
    *("cr_frame", "ag_frame", "get_referrers", "get_objects"),
}
# Python's own functions that walk the frames for whoever calls them
WALK = ("traceback", "inspect")
WALKERS = {"walk_stack", "walk_tb", "currentframe", "stack", "trace", "getouterframes"}
PEEKS = "It looks at the frames of the check. Work the answer out instead."
SETPROFILE, THREAD = sys.setprofile, _thread.start_new_thread
REPLACED = "It replaces the profiler, by which this check sees what runs. Leave it."
STARTED = "It starts a thread. Do the work in the function itself."


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


class Profiler:
    """Watches the frames of one call; raises `Forbidden` at its end too, if that was swallowed."""

    def __init__(self, function: Any, allowed: tuple[str, ...]) -> None:
        self._allowed = allowed
        self._own = getattr(getattr(function, "__init__", None), "__globals__", None)
        self._own = getattr(function, "__globals__", self._own)
        self._read: set[CodeType] = set()
        self._hook = self._see  # one object, so that its place can be asked for
        self._refusal: str | None = None

    def __enter__(self) -> None:
        self._before = sys.getprofile()
        sys.setprofile(self._hook)

    def __exit__(self, *raised: object) -> None:
        replaced = sys.getprofile() is not self._hook
        sys.setprofile(self._before)
        if self._refusal is None and replaced and raised[0] is None:
            self._refusal = REPLACED
        if self._refusal is not None:
            raise Forbidden(self._refusal)

    def _see(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            if (arg is SETPROFILE or arg is THREAD) and frame.f_globals is not globals():
                self._refuse(REPLACED if arg is SETPROFILE else STARTED)
        elif event == "call":
            module = frame.f_globals.get("__name__", "")
            if frame.f_globals is self._own:
                self._look_for_peeking(frame.f_code)
            name = frame.f_code.co_qualname
            if (
                module in ("traceback", "inspect")
                and name in WALKERS
                and self._is_own(frame.f_back)
            ):
                self._refuse(PEEKS)
            if _is_forbidden(module, name, self._allowed) and not self._inside(frame.f_back):
                asked = frame.f_locals.get("name") if name == "__getattr__" else None
                self._refuse(_message(module, asked if isinstance(asked, str) else name))

    def _is_own(self, frame: FrameType | None) -> bool:
        return frame is not None and frame.f_globals is self._own

    def _look_for_peeking(self, code: CodeType) -> None:
        if code in self._read:
            return
        self._read.add(code)
        if PEEKING.intersection(code.co_names):
            self._refuse(PEEKS)

    def _refuse(self, message: str) -> None:
        self._refusal = self._refusal or message
        raise Forbidden(message)

    def _inside(self, frame: FrameType | None) -> bool:
        """True within a call of an allowed function."""
        while frame is not None:
            module = frame.f_globals.get("__name__", "")
            if f"{module}.{frame.f_code.co_qualname}" in self._allowed:
                return True
            frame = frame.f_back
        return False
