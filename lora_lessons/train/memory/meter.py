"""A meter of memory: the bytes of all tensors alive, followed through every operation.

It reads sizes alone, so it counts fake tensors (shapes without numbers) as it counts real ones.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class MemoryMeter(TorchDispatchMode):
    """Inside `with`, `now` and `peak` are the bytes of the tensors that operations made.

    Tensors are told apart by their storage: a view takes no memory of its own. `saved` are the
    bytes that autograd keeps for the backward pass, `logits_peak` those of tensors whose last
    dimension is `classes`. What a kernel takes for itself while it runs is not seen.
    """

    def __init__(self, classes: int | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.now = self.peak = self.logits_now = self.logits_peak = 0
        self._alive: dict[int, tuple[int, bool]] = {}  # storage -> its bytes, whether logits
        self._saved: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.add(one for one in tree_leaves(result) if isinstance(one, torch.Tensor))
        return result

    def add(self, tensors: Iterable[torch.Tensor]) -> None:
        """Count tensors, each storage once; what was made before the meter ran can be added."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key in self._alive:
                continue
            logits = tensor.ndim > 1 and tensor.shape[-1] == self.classes
            self._alive[key] = (storage.nbytes(), logits)
            self._change(*self._alive[key], sign=1)
            weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self._change(*self._alive.pop(key), sign=-1)

    def _change(self, size: int, logits: bool, sign: int) -> None:
        self.now += sign * size
        self.peak = max(self.peak, self.now)
        if logits:
            self.logits_now += sign * size
            self.logits_peak = max(self.logits_peak, self.logits_now)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, operations are not followed: PyTorch's compiler does not work while they are."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()

    def restart(self) -> None:
        """Forget the peaks so far."""
        self.peak, self.logits_peak = self.now, self.logits_now

    @contextlib.contextmanager
    def saving(self, known: Iterable[torch.Tensor]) -> Iterator[None]:
        """Inside, count what autograd saves, besides `known` (weights, inputs) and logits."""
        self._saved = {}
        left_out = {tensor.untyped_storage()._cdata for tensor in known}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            logits = self._alive.get(storage._cdata, (0, False))[1]
            if storage._cdata not in left_out and not logits:
                self._saved[storage._cdata] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield

    @property
    def saved(self) -> int:
        """Bytes saved for the backward pass inside the last `saving`."""
        return sum(self._saved.values())


def storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of tensors, each storage once."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())
