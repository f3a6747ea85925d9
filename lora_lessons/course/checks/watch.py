"""The watch over one check: each call of the answer goes through here, so that no check has to ask.

A call runs under the guard, with what it prints kept for later. After it the arguments and
PyTorch's settings are compared with before, and put back. What it returns is made plain.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from .arguments import Changed, Kept, argument_of
from .contract import Contract
from .exercise import Exercise
from .guard import CHECKS, Forbidden, Profiler
from .limits import TooSlow
from .plain import as_declared
from .world import Settings

LIBRARIES = ("torch", "numpy", "collections")
LINES = 20  # of what an answer prints in one check


class Watch:
    """Wraps an answer and notes what its calls leave behind."""

    def __init__(self, exercise: Exercise) -> None:
        self.exercise = exercise
        self.contract = Contract(exercise)
        self.returned: Any = None
        self.given: Mapping[str, Any] = {}  # of the last call
        self._printed = io.StringIO()
        self._of_modules: str | None = None
        self._to_put_back: list[Kept] = []

    def wrap(self, answer: Any) -> Any:
        """The answer, each call of it watched; a class gives watched instances."""
        if isinstance(answer, type):
            call = self._of_a_class(answer)
        elif callable(answer):
            call = self._watched(answer, self.exercise.takes, self.exercise.returns)
        else:
            return answer
        call.watch = self
        return call

    def finish(self) -> None:
        """Raise for what a check that found nothing did not see.

        That is `Changed` for what was left in a module, `Wrong` for a breach of the contract.
        """
        if self._of_modules:
            raise Changed(self._of_modules)
        settings = Settings()
        try:
            with _captured(self._printed):
                self.contract.require()
        finally:
            settings.put_back()

    def put_back(self) -> None:
        """Put the modules that were handed in back as they were."""
        for kept in reversed(self._to_put_back):
            kept.put_back()

    def printed(self) -> str:
        """What the answer printed, its first lines."""
        lines = self._printed.getvalue().splitlines()
        more = [f"... and {len(lines) - LINES} lines more"] if len(lines) > LINES else []
        return "".join(f"{line}\n" for line in lines[:LINES] + more)

    def _of_a_class(self, answer: type) -> Callable[..., Any]:
        @functools.wraps(answer, updated=())
        def build(*args: Any, **kwargs: Any) -> Any:
            return self._watched(answer, self.exercise.takes)(*args, **kwargs)

        return build

    def _watched(
        self,
        function: Callable[..., Any],
        names: tuple[str, ...] = (),
        returns: str = "",
        held: Mapping[str, Any] = MappingProxyType({}),
    ) -> Callable[..., Any]:
        """`held` is what the object was made from: its methods must leave that too."""

        @functools.wraps(function, updated=())
        def call(*args: Any, **kwargs: Any) -> Any:
            given = _named(function, names, args, kwargs)
            self.contract.note(function, given, args, kwargs)
            self.given = given
            kept, settings = Kept({**held, **given}, self.exercise.mutates), Settings()
            try:
                with _captured(self._printed), Profiler(function, self.exercise.allowed):
                    result = function(*args, **kwargs)
            except BaseException as error:
                self._after(kept, settings, error)
                raise
            self._after(kept, settings, None)
            self.returned = result
            self._watch_methods(result, given)
            return as_declared(result, returns)

        return call

    def _after(self, kept: Kept, settings: Settings, error: BaseException | None) -> None:
        """Put back what a call changed; raise `Changed` unless `error` tells more."""
        said = settings.put_back()
        plain, modules = kept.findings()
        if plain:
            kept.put_back()
        elif modules:
            self._to_put_back.append(kept)
        # a check may ask itself what became of a module, and say it better: it comes first
        self._of_modules = self._of_modules or (self._because(modules[0]) if modules else None)
        if isinstance(error, Forbidden | TooSlow):
            return
        said = said or (self._because(plain[0]) if plain else None)
        if said and (error is None or isinstance(error, ValueError)):
            raise Changed(said)
        self._of_modules = self._of_modules or said

    def _because(self, sentence: str) -> str:
        argument = argument_of(sentence.split("`")[1])
        return f"{sentence} {self.exercise.because.get(argument, '')}".rstrip()

    def _watch_methods(self, instance: Any, given: Mapping[str, Any]) -> None:
        """Watch the methods of an object of the learner's own class."""
        module = type(instance).__module__ or ""
        heap_type = type(instance).__flags__ & 1 << 9  # made by a class statement
        if not heap_type or module.split(".")[0] in LIBRARIES or CHECKS.match(module):
            return
        is_module = isinstance(instance, nn.Module)
        if not is_module and not hasattr(instance, "__dict__"):
            return
        for name in ("forward",) if is_module else _methods(type(instance)):
            if name not in vars(instance) and callable(getattr(instance, name, None)):
                method = self._watched(getattr(instance, name), held=given)
                object.__setattr__(instance, name, method)


def _methods(kind: type) -> list[str]:
    return [n for n, f in vars(kind).items() if inspect.isfunction(f) and not n.startswith("_")]


def _named(
    function: Callable[..., Any], names: tuple[str, ...], args: tuple, kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments by the exercise's names, or by the function's own."""
    if len(names) < len(args):
        names = _own_names(getattr(function, "__func__", function))
    known = [*names, *(f"argument {i + 1}" for i in range(len(names), len(args)))]
    return {**dict(zip(known, args, strict=False)), **kwargs}


def _own_names(function: Any) -> tuple[str, ...]:
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return ()
    names = code.co_varnames[: code.co_argcount]
    return names[1:] if names[:1] == ("self",) else names


@contextlib.contextmanager
def _captured(out: io.StringIO) -> Iterator[None]:
    """Prints and warnings go to `out`; no filter turns a warning into an error."""
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
        warnings.catch_warnings(),
    ):
        if not (warnings.filters and warnings.filters[0][:3] == ("ignore", None, Warning)):
            warnings.simplefilter("default")
        yield
