"""Whether an answer can remember an earlier call: then it is checked once more, with other numbers.

What a first call left in a dict, a default argument or a cache is right for that call alone. The
calls of one check differ in their shapes, so this shows only where shapes come again with other
values.
"""

from __future__ import annotations

import copy
import dis
import functools
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

REMEMBERED = (
    "Right at first, and wrong when it is called again with other numbers. What does it remember "
    "of an earlier call: in a global, a default argument, a cache?"
)
# a default or a global of these kinds holds the same from call to call
FIXED = (bool, int, float, complex, str, bytes, type(None), tuple, frozenset, ModuleType)


def may_remember(answer: Any) -> bool:
    """True if something of the learner's that `answer` runs could keep a value between calls."""
    return any(_keeps(function) for function in _functions(answer, set()))


def _functions(value: Any, seen: set[int]) -> Iterator[Any]:
    """The learner's own functions and classes that run: `value`, its methods, what they call."""
    value = getattr(value, "__func__", value)
    if isinstance(value, property):
        value = value.fget
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, functools._lru_cache_wrapper):
        yield value
    elif isinstance(value, type) and _is_the_learners(value):
        yield value
        for part in vars(value).values():
            yield from _functions(part, seen)
    elif isinstance(value, FunctionType):
        if (inner := inspect.unwrap(value)) is not value:
            yield from _functions(inner, seen)
        if _is_the_learners(value):
            yield value
            for name in _names(value.__code__):
                yield from _functions(value.__globals__.get(name), seen)


def _is_the_learners(value: Any) -> bool:
    """True for what a notebook defines.

    Code that was run without a module's name makes functions without one, and classes of builtins.
    """
    module = getattr(value, "__module__", None)
    written = isinstance(value, FunctionType) or value.__flags__ & 1 << 9  # by a class statement
    return module == "__main__" or (module in (None, "builtins") and bool(written))


def _keeps(owner: Any) -> bool:
    """Whether a function or a class has a place for what should last."""
    if isinstance(owner, type):
        return any(_can_change(v) for n, v in vars(owner).items() if not n.startswith("__"))
    if not isinstance(owner, FunctionType):
        return True  # a cache
    held = [*(owner.__defaults__ or ()), *(owner.__kwdefaults__ or {}).values()]
    held += [cell.cell_contents for cell in owner.__closure__ or () if _is_full(cell)]
    held += [owner.__globals__.get(name) for name in _names(owner.__code__)]
    stored = vars(owner).keys() - {"__wrapped__"}
    return bool(stored) or any(map(_can_change, held)) or _writes_a_global(owner.__code__)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _names(code: CodeType) -> Iterator[str]:
    for part in _codes(code):
        yield from part.co_names


def _writes_a_global(code: CodeType) -> bool:
    return any(op.opname == "STORE_GLOBAL" for part in _codes(code) for op in dis.Bytecode(part))


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _can_change(value: Any) -> bool:
    """True for a list, a tensor, an object; not for a number, a function, a module, a class."""
    passive = isinstance(value, FIXED) or callable(value)
    return not passive and not isinstance(value, property | staticmethod | classmethod)


class Forgetful:
    """An answer that is as it was at first at each call: what it kept is put back before."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self._answer, self._caches, self._held, self._globals = answer, [], [], []
        for owner in [*_functions(answer, set())]:
            if not isinstance(owner, FunctionType):
                self._caches += [owner] if hasattr(owner, "cache_clear") else []
                continue
            names = set(_names(owner.__code__))
            held = [*(owner.__defaults__ or ()), *(owner.__kwdefaults__ or {}).values()]
            held += [owner.__globals__.get(name) for name in names]
            held += [cell.cell_contents for cell in owner.__closure__ or () if _is_full(cell)]
            held.append(vars(owner))
            kinds = (dict, list, set)
            self._held += [(value, copy.copy(value)) for value in held if isinstance(value, kinds)]
            kept = {n: v for n, v in owner.__globals__.items() if n in names}
            self._globals.append((owner.__globals__, kept))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The answer's result, of a call that finds nothing of an earlier one."""
        for cache in self._caches:
            cache.cache_clear()
        for value, first in self._held:
            value.clear()
            (value.extend if isinstance(value, list) else value.update)(first)
        for scope, kept in self._globals:
            scope.update(kept)
        return self._answer(*args, **kwargs)
