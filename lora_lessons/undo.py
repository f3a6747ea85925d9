"""All or nothing: a change of a model that fails, or is interrupted, leaves the model as it was.

A change takes many steps: modules are replaced, flags set, tensors written. `all_or_nothing`
notes what a model is like before the first of them and gives it back if any of them raises, Ctrl-C
included. Tensors are too large to be noted beforehand; whoever writes into one uses `write`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

Step = Callable[[], None]
_steps: ContextVar[list[Step] | None] = ContextVar("steps", default=None)


class Remembered:
    """An object that a module keeps as an attribute, and that is part of the module's state."""


@contextmanager
def all_or_nothing(model: nn.Module) -> Iterator[None]:
    """If the block raises, the model is as it was: modules, attributes, flags, written tensors.

    One block may stand in another: what the inner one did is undone with the outer one.
    """
    outer = _steps.get()
    steps: list[Step] = []
    give_back = _note(model)
    token = _steps.set(steps)
    try:
        yield
        if outer is not None:
            outer += steps
    except BaseException:
        _steps.set(None)  # giving back is not noted
        give_back()
        for step in reversed(steps):
            step()
        raise
    finally:
        _steps.reset(token)


@torch.no_grad()
def write(
    tensor: Tensor, value: Tensor, old: Tensor | None = None, after: Step | None = None
) -> None:
    """Copy a value into a tensor in place; an open block of `all_or_nothing` keeps what was there.

    It keeps a copy on the CPU, or `old`, if the caller has one. `after` is called once the tensor
    is written, and once more if the old value is given back.
    """
    steps = _steps.get()
    if steps is not None and not tensor.is_meta:
        before = tensor.detach().to("cpu", copy=True) if old is None else old
        steps.append(lambda: write(tensor, before, after=after))
    tensor.copy_(value)
    if after is not None:
        after()


def _note(model: nn.Module) -> Step:
    """Note all of a model but its tensors' values; returns how to give it back."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    owners: list[Any] = list(model.modules())
    for owner in owners:  # the list grows: what is remembered may remember more
        for value in vars(owner).values():
            inside = value if isinstance(value, list) else [value]
            owners += [each for each in inside if isinstance(each, Remembered)]
    boxes: list[tuple[Any, Any]] = [(vars(owner), dict(vars(owner))) for owner in owners]
    for _, attributes in list(boxes):
        for box in attributes.values():
            if type(box) in (dict, list, set):
                boxes.append((box, box.copy()))

    def give_back() -> None:
        for box, before in boxes:
            box.clear()
            box.extend(before) if isinstance(box, list) else box.update(before)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)

    return give_back
