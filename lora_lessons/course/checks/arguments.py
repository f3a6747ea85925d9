"""What an answer was given, compared deeply before and after each call, and put back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .guard import CHECKS
from .parts import SIMPLE, ArrayPart, ItemsPart, ModulePart, ObjectPart, TensorPart


class Changed(BaseException):
    """An answer changed what it had to leave. Not an Exception: learner's code lets it by."""


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
                add(TensorPart(value, path, False))
        elif isinstance(value, nn.Module):
            self._keep_module(value, path)
        elif isinstance(value, list | dict | set):
            add(ItemsPart(value, path))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in items:
                self._keep(item, f"{path}[{key!r}]", depth + 1)
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                self._keep(item, f"{path}[{i}]", depth + 1)
        elif isinstance(value, np.ndarray):
            add(ArrayPart(value, path))
        elif isinstance(value, SimpleNamespace) or _of_a_check(value):
            add(ObjectPart(value, path, False))

    def _keep_module(self, module: nn.Module, path: str) -> None:
        for name, part in module.named_modules(prefix=path):
            self._seen.add(id(part))
            self._parts.append(ModulePart(part, name))
            for value in vars(part).values():
                if isinstance(value, SimpleNamespace):
                    self._keep(value, f"{name}.config", 1)
        for name, tensor in (*module.named_parameters(path), *module.named_buffers(path)):
            if id(tensor) not in self._seen:
                self._seen.add(id(tensor))
                self._parts.append(TensorPart(tensor, name, True))

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
