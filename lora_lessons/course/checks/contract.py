"""What an exercise's contract asks of the result: that a gradient flows, that the dtype holds.

Checks hand in numbers that ask for no gradient, in one dtype. So the first call is repeated here
with copies that ask for one, in the other width of float, once the numbers are right.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .exercise import Exercise, Wrong

OTHER = {torch.float32: torch.float64, torch.float64: torch.float32}


class Contract:
    """The first call of an answer whose exercise declares `differentiable` or `dtype`."""

    def __init__(self, exercise: Exercise) -> None:
        self._exercise = exercise
        self._first: tuple[Callable[..., Any], dict[str, Any], int] | None = None

    def note(
        self, function: Callable[..., Any], given: Mapping[str, Any], args: tuple, kwargs: Mapping
    ) -> None:
        """Keep copies of the first call's arguments, which it might change."""
        asked = self._exercise.differentiable or self._exercise.dtype
        if asked and self._first is None and not isinstance(function, type):
            self._first = function, {n: _rebuilt(v) for n, v in given.items()}, len(args)

    def require(self) -> None:
        """Raise `Wrong` unless the gradient flows and the dtype holds."""
        if self._first is None:
            return
        if self._exercise.dtype:
            self._require_dtype()
        if self._exercise.differentiable:
            self._require_gradient()

    def _call(self, change: Callable[[str, Tensor], Tensor]) -> tuple[Any, dict[str, Any]]:
        function, given, positional = self._first
        given = {
            name: _rebuilt(value, lambda tensor, name=name: change(name, tensor))
            for name, value in given.items()
        }
        values = list(given.values())
        with torch.enable_grad():
            named = dict(list(given.items())[positional:])
            return function(*values[:positional], **named), given

    def _require_dtype(self) -> None:
        _, given, _ = self._first
        first = next(iter(_tensors(list(given.values()))), None)
        if first is None:
            return
        dtypes = [first.dtype, OTHER[first.dtype]] if first.dtype in OTHER else [first.dtype]
        name = next(n for n, v in given.items() if any(t is first for t in _tensors(v)))
        for dtype in dtypes:
            result = self._in(dtype, name)
            for tensor in _tensors(result):
                if tensor.dtype != dtype:
                    raise Wrong(
                        f"`{name}` is {dtype} and the result is {tensor.dtype}: it must have the "
                        f"dtype of what it was given. New tensors take it, dtype={name}.dtype, or "
                        "x.new_zeros(...)."
                    )

    def _in(self, dtype: torch.dtype, name: str) -> Any:
        """The result for floats of this dtype."""

        def change(_: str, tensor: Tensor) -> Tensor:
            both = tensor.is_floating_point() and dtype.is_floating_point
            return tensor.to(dtype) if both else tensor.clone()

        try:
            return self._call(change)[0]
        except RuntimeError as error:
            if "dtype" not in str(error) and "scalar type" not in str(error):
                raise
            raise Wrong(
                f"It fails for numbers in {dtype}: a tensor that your code makes has another "
                f"dtype. Make it with dtype={name}.dtype."
            ) from error

    def _require_gradient(self) -> None:
        asked: dict[str, list[Tensor]] = {name: [] for name in self._exercise.differentiable}

        def change(name: str, tensor: Tensor) -> Tensor:
            value = tensor.detach().clone()
            if name in asked and value.is_floating_point():
                asked[name].append(value.requires_grad_())
            return value

        result, _ = self._call(change)
        floats = [t for t in _tensors(result) if t.is_floating_point()]
        require_gradient(floats, asked)


def require_gradient(results: list[Tensor], asked: Mapping[str, list[Tensor]]) -> None:
    """Raise `Wrong` unless the sum of `results` has a gradient for one tensor of each name.

    `asked` holds leaf tensors that require a gradient, under the names that a message uses.
    """
    names = " and ".join(f"`{name}`" for name in asked)
    graph = [result for result in results if result.requires_grad]
    if not graph:
        raise Wrong(
            f"The numbers are right, but no gradient flows back to {names}: nothing could be "
            "trained through this. Frozen is not no_grad; leave out torch.no_grad(), detach(), "
            ".item(), .data and NumPy."
        )
    total = sum(result.sum() for result in graph)
    leaves = [tensor for tensors in asked.values() for tensor in tensors]
    grads = torch.autograd.grad(total, leaves, allow_unused=True)
    reached = {id(t) for t, grad in zip(leaves, grads, strict=True) if grad is not None}
    for name, tensors in asked.items():
        if tensors and not any(id(tensor) in reached for tensor in tensors):
            raise Wrong(
                f"The numbers are right, but no gradient flows back to `{name}`: is it under "
                "no_grad, or detached?"
            )


def _rebuilt(value: Any, change: Callable[[Tensor], Tensor] | None = None) -> Any:
    """The value with every tensor in it copied, or changed; a module is copied whole."""
    if isinstance(value, Tensor):
        return change(value) if change else value.detach().clone()
    if isinstance(value, nn.Module):
        twin = copy.deepcopy(value)
        if change:
            for part in twin.modules():
                for held in (part._parameters, part._buffers):
                    for tensor in held.values():
                        if tensor is not None:
                            tensor.data = change(tensor.detach()).detach()
        return twin
    if isinstance(value, dict):
        return {key: _rebuilt(item, change) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_rebuilt(item, change) for item in value)
    return value


def _tensors(value: Any) -> list[Tensor]:
    """The tensors of nested lists, tuples, dicts and modules, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, nn.Module):
        return list(value.parameters())
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in _tensors(item)]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []
