"""The parts of which arguments are made: what of each an answer must leave as it was.

A part keeps a tensor, a list, a module or an object as it is. `changes` yields the aspect and a
sentence for each thing that changed: the argument, what became of it, and what to do instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Finding = tuple[str, str]  # the aspect, and a sentence
SIMPLE = (bool, int, float, str, bytes, type(None), torch.dtype, torch.device)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
IN_PLACE = "Make a new tensor: `+=`, and methods whose name ends in _, write into the old one."


class TensorPart:
    """A tensor's values, whether it requires a gradient, its gradient and its hooks."""

    def __init__(self, tensor: Tensor, path: str, in_module: bool) -> None:
        self.tensor, self.path, self.in_module = tensor, path, in_module
        self.values = _copy(tensor)
        self.requires_grad, self.leaf = tensor.requires_grad, tensor.is_leaf
        self.grad = None if not self.leaf or tensor.grad is None else _copy(tensor.grad)
        self.hooks = set(tensor._backward_hooks or ())

    def changes(self) -> Iterator[Finding]:
        """What is no longer as it was, as findings."""
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
        # a leaf into which a result with a gradient was written is none any more, and has no .grad
        if self.leaf and self.tensor.is_leaf and not _same_grad(self.tensor.grad, self.grad):
            yield "grad", f"Your code changes `{self.path}.grad`. Leave gradients as they were."
        if set(self.tensor._backward_hooks or ()) != self.hooks:
            yield "hooks", f"A hook is left on `{self.path}`. Keep the handle, handle.remove()."

    @torch.no_grad()
    def put_back(self) -> None:
        """Make it again what it was."""
        if self.tensor.shape != self.values.shape or self.tensor.dtype != self.values.dtype:
            self.tensor.data = self.values.clone()
        elif not same(self.tensor, self.values):
            self.tensor.detach().copy_(self.values)
        if self.leaf and not self.tensor.is_leaf:
            self.tensor.detach_()
        if self.leaf and self.tensor.requires_grad != self.requires_grad:
            self.tensor.requires_grad_(self.requires_grad)
        if self.leaf:
            self.tensor.grad = self.grad
        for key in set(self.tensor._backward_hooks or ()) - self.hooks:
            del self.tensor._backward_hooks[key]


class ItemsPart:
    """The items of a list, a dict or a set: which objects, and in which order."""

    def __init__(self, value: list | dict | set, path: str) -> None:
        self.value, self.path, self.copy = value, path, value.copy()
        self.in_module = False

    def changes(self) -> Iterator[Finding]:
        """What is no longer as it was, as findings."""
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
        """Make it again what it was."""
        self.value.clear()
        (self.value.extend if isinstance(self.value, list) else self.value.update)(self.copy)


class ArrayPart:
    """A NumPy array among the arguments, and a copy of its numbers."""

    def __init__(self, value: np.ndarray, path: str) -> None:
        self.value, self.path, self.copy, self.in_module = value, path, value.copy(), False

    def changes(self) -> Iterator[Finding]:
        """What is no longer as it was, as findings."""
        if self.value.tobytes() != self.copy.tobytes():
            yield "values", f"Your code changes `{self.path}` itself, which it was given."

    def put_back(self) -> None:
        """Make it again what it was."""
        self.value[...] = self.copy


class ObjectPart:
    """The plain attributes of an object, such as a config."""

    def __init__(self, value: Any, path: str, in_module: bool) -> None:
        self.value, self.path, self.in_module = value, path, in_module
        self.kept = self._plain()

    def _plain(self) -> dict[str, Any]:
        own = vars(self.value).items()
        return {n: v for n, v in own if isinstance(v, SIMPLE) and n != "training"}

    def changes(self) -> Iterator[Finding]:
        """What is no longer as it was, as findings."""
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
        """Make it again what it was."""
        for name in set(self._plain()) - set(self.kept):
            delattr(self.value, name)
        for name, value in self.kept.items():
            setattr(self.value, name, value)


class ModulePart(ObjectPart):
    """A module's mode, its hooks, and which parameters, buffers and parts it holds."""

    def __init__(self, module: nn.Module, path: str) -> None:
        super().__init__(module, path, True)
        self.training = module.training
        self.held = {kind: dict(getattr(module, kind)) for kind in HELD}
        self.hooks = {kind: dict(getattr(module, kind)) for kind in HOOKS}
        self.names = set(vars(module))

    def changes(self) -> Iterator[Finding]:
        """What is no longer as it was, as findings."""
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
        for name in vars(self.value).keys() - self.names - self._plain().keys():
            yield "attributes", f"`{self.path}.{name}` is new: keep what you need in a local name."
        for kind, (aspect, instead) in HELD.items():
            if name := _differs(getattr(self.value, kind), self.held[kind]):
                yield aspect, f"`{self.path}.{name}` is another object after the call. {instead}"
        if any(getattr(self.value, kind).keys() != self.hooks[kind].keys() for kind in HOOKS):
            yield "hooks", f"A hook is left on `{self.path}`. Keep the handle, handle.remove()."

    def put_back(self) -> None:
        """Make it again what it was."""
        super().put_back()
        for name in vars(self.value).keys() - self.names:
            del vars(self.value)[name]
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
