"""What an answer was given, compared deeply before and after each call, and put back.

Each part of the arguments (a tensor, a list, a module, ...) is kept with all that an answer must
leave as it was. A finding names the argument, what changed in it, and what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .guard import CHECKS

Finding = tuple[str, str]  # the aspect, and a sentence
SIMPLE = (bool, int, float, str, bytes, type(None), torch.dtype, torch.device)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
IN_PLACE = "Make a new tensor: `+=`, and methods whose name ends in _, write into the old one."


class Changed(BaseException):
    """An answer changed what it had to leave. Not an Exception: learner's code lets it by."""


class _Tensor:
    """A tensor's values, whether it requires a gradient, its gradient and its hooks."""

    def __init__(self, tensor: Tensor, path: str, in_module: bool) -> None:
        self.tensor, self.path, self.in_module = tensor, path, in_module
        self.values = _copy(tensor)
        self.requires_grad, self.leaf = tensor.requires_grad, tensor.is_leaf
        self.grad = None if not self.leaf or tensor.grad is None else _copy(tensor.grad)
        self.hooks = set(tensor._backward_hooks or ())

    def changes(self) -> Iterator[Finding]:
        if not same(self.tensor, self.values):
            how = "" if self.in_module else f" {IN_PLACE}"
            yield "values", f"Your code changes `{self.path}` itself, which it was given.{how}"
        if self.leaf and self.tensor.requires_grad != self.requires_grad:
            yield (
                "requires_grad",
                (
                    f"`{self.path}.requires_grad` is {self.tensor.requires_grad} after the call; "
                    f"before it was {self.requires_grad}. Leave it, or put it back."
                ),
            )
        if self.leaf and not _same_grad(self.tensor.grad, self.grad):
            yield "grad", f"Your code changes `{self.path}.grad`. Leave gradients as they were."
        if set(self.tensor._backward_hooks or ()) != self.hooks:
            yield "hooks", f"A hook is left on `{self.path}`. Keep the handle, handle.remove()."

    @torch.no_grad()
    def put_back(self) -> None:
        if self.tensor.shape != self.values.shape or self.tensor.dtype != self.values.dtype:
            self.tensor.data = self.values.clone()
        elif not same(self.tensor, self.values):
            self.tensor.detach().copy_(self.values)
        if self.leaf and self.tensor.requires_grad != self.requires_grad:
            self.tensor.requires_grad_(self.requires_grad)
        if self.leaf:
            self.tensor.grad = self.grad
        for key in set(self.tensor._backward_hooks or ()) - self.hooks:
            del self.tensor._backward_hooks[key]


class _Items:
    """The items of a list, a dict or a set: which objects, and in which order."""

    def __init__(self, value: list | dict | set, path: str) -> None:
        self.value, self.path, self.copy = value, path, value.copy()
        self.in_module = False

    def changes(self) -> Iterator[Finding]:
        if self._items(self.value) == self._items(self.copy):
            return
        kind = type(self.value).__name__
        yield (
            "items",
            (
                f"Your code changes the {kind} `{self.path}` itself, which it was given. Work on a "
                f"copy, {kind}({self.path})."
            ),
        )

    @staticmethod
    def _items(value: list | dict | set) -> list[Any]:
        def one(item: Any) -> Any:
            return item if isinstance(item, SIMPLE) else id(item)

        if isinstance(value, dict):
            return [(key, one(item)) for key, item in value.items()]
        return sorted(map(repr, value)) if isinstance(value, set) else [one(i) for i in value]

    def put_back(self) -> None:
        self.value.clear()
        (self.value.extend if isinstance(self.value, list) else self.value.update)(self.copy)


class _Array:
    def __init__(self, value: np.ndarray, path: str) -> None:
        self.value, self.path, self.copy, self.in_module = value, path, value.copy(), False

    def changes(self) -> Iterator[Finding]:
        if self.value.tobytes() != self.copy.tobytes():
            yield "values", f"Your code changes `{self.path}` itself, which it was given."

    def put_back(self) -> None:
        self.value[...] = self.copy


class _Object:
    """The plain attributes of an object, such as a config."""

    def __init__(self, value: Any, path: str, in_module: bool) -> None:
        self.value, self.path, self.in_module = value, path, in_module
        self.kept = self._plain()

    def _plain(self) -> dict[str, Any]:
        own = vars(self.value).items()
        return {n: v for n, v in own if isinstance(v, SIMPLE) and n != "training"}

    def changes(self) -> Iterator[Finding]:
        now = self._plain()
        for name in [*self.kept, *(n for n in now if n not in self.kept)]:
            was, is_ = self.kept.get(name, "not there"), now.get(name, "not there")
            if type(was) is not type(is_) or was != is_:
                yield (
                    "attributes",
                    (
                        f"`{self.path}.{name}` is {is_!r} after the call; before it was {was!r}. "
                        "Put it back, also where an error comes between: try and finally."
                    ),
                )

    def put_back(self) -> None:
        for name in set(self._plain()) - set(self.kept):
            delattr(self.value, name)
        for name, value in self.kept.items():
            setattr(self.value, name, value)


class _Module(_Object):
    """A module's mode, its hooks, and which parameters, buffers and parts it holds."""

    def __init__(self, module: nn.Module, path: str) -> None:
        super().__init__(module, path, True)
        self.training = module.training
        self.held = {kind: dict(getattr(module, kind)) for kind in HELD}
        self.hooks = {kind: dict(getattr(module, kind)) for kind in HOOKS}

    def changes(self) -> Iterator[Finding]:
        yield from super().changes()
        if self.value.training != self.training:
            now, before = (("eval", "train")[mode] for mode in (self.value.training, self.training))
            yield (
                "training",
                (
                    f"`{self.path}` is left in {now} mode, and it was in {before} mode. Remember "
                    "the mode of each part, and put it back: try and finally."
                ),
            )
        for kind, (aspect, instead) in HELD.items():
            if name := _differs(getattr(self.value, kind), self.held[kind]):
                yield aspect, f"`{self.path}.{name}` is another object after the call. {instead}"
        if any(getattr(self.value, kind).keys() != self.hooks[kind].keys() for kind in HOOKS):
            yield "hooks", f"A hook is left on `{self.path}`. Keep the handle, handle.remove()."

    def put_back(self) -> None:
        super().put_back()
        self.value.training = self.training
        for kept in (self.held, self.hooks):
            for kind, items in kept.items():
                now = getattr(self.value, kind)
                now.clear()
                now.update(items)


HELD = {
    "_parameters": (
        "parameters",
        "An optimizer and tied layers still hold the old one: write into it, with copy_() under "
        "torch.no_grad().",
    ),
    "_buffers": ("values", "Leave the model's buffers as they are."),
    "_modules": ("modules", "Leave the model's parts as they are."),
}


def _differs(now: Mapping[str, Any], before: Mapping[str, Any]) -> str | None:
    """The first name under which another object stands."""
    names = [*before, *(name for name in now if name not in before)]
    return next((name for name in names if now.get(name) is not before.get(name)), None)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def same(a: Tensor, b: Tensor) -> bool:
    """Equal in shape, dtype and every value; nan equals nan."""
    a, b = a.detach(), b.detach()
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())


def _same_grad(now: Tensor | None, before: Tensor | None) -> bool:
    return now is before is None or (now is not None and before is not None and same(now, before))


class Kept:
    """The parts of named arguments as they are before a call."""

    def __init__(self, given: Mapping[str, Any], mutates: tuple[str, ...]) -> None:
        self._mutates = mutates
        self._parts: list[Any] = []
        self._seen: set[int] = set()
        for name, value in given.items():
            if name not in mutates:
                self._keep(value, name, depth=0)

    def _keep(self, value: Any, path: str, depth: int) -> None:
        if isinstance(value, SIMPLE):
            return
        if id(value) in self._seen or depth > 6:
            return
        self._seen.add(id(value))
        add = self._parts.append
        if isinstance(value, Tensor):
            if value.layout is torch.strided and value.device.type != "meta":
                add(_Tensor(value, path, False))
        elif isinstance(value, nn.Module):
            self._keep_module(value, path)
        elif isinstance(value, list | dict | set):
            add(_Items(value, path))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in items:
                self._keep(item, f"{path}[{key!r}]", depth + 1)
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                self._keep(item, f"{path}[{i}]", depth + 1)
        elif isinstance(value, np.ndarray):
            add(_Array(value, path))
        elif isinstance(value, SimpleNamespace) or _of_a_check(value):
            add(_Object(value, path, False))

    def _keep_module(self, module: nn.Module, path: str) -> None:
        for name, part in module.named_modules(prefix=path):
            self._seen.add(id(part))
            self._parts.append(_Module(part, name))
            for value in vars(part).values():
                if isinstance(value, SimpleNamespace):
                    self._keep(value, f"{name}.config", 1)
        for name, tensor in (*module.named_parameters(path), *module.named_buffers(path)):
            if id(tensor) not in self._seen:
                self._seen.add(id(tensor))
                self._parts.append(_Tensor(tensor, name, True))

    def findings(self) -> tuple[list[str], list[str]]:
        """Sentences on plain arguments that changed, and on modules that did."""
        plain: list[str] = []
        modules: list[str] = []
        for part in self._parts:
            for aspect, sentence in part.changes():
                if not self._may_change(part.path, aspect):
                    (modules if part.in_module else plain).append(sentence)
        return plain, modules

    def _may_change(self, path: str, aspect: str) -> bool:
        """Whether `mutates` names this aspect of the whole argument, or of this part of it."""
        names = (f"{argument_of(path)}.{aspect}", f"{path}.{aspect}")
        return any(name in self._mutates for name in names)

    def put_back(self) -> None:
        """Put back every part, also in what may change."""
        for part in self._parts:
            part.put_back()


def argument_of(path: str) -> str:
    """The argument to which a path such as "model.blocks.0" or "start['x']" belongs."""
    return path.split(".")[0].split("[")[0]


def _of_a_check(value: Any) -> bool:
    kind: Callable[..., Any] = type(value)
    return CHECKS.match(kind.__module__ or "") is not None and hasattr(value, "__dict__")
