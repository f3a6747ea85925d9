"""A second device on a machine that has none: numbers stay on the CPU, tensors say otherwise.

Inside `Elsewhere`, whatever is made on or moved to DEVICE is remembered by its memory. It says so
when asked for its device, and an operation on tensors of both devices raises, as it does on a GPU.
What PyTorch allows across devices is allowed: copies, moves, and CPU tensors of one number.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, resolve_name
from torch.utils._device import DeviceContext, _device_constructors
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "xpu"  # a kind that PyTorch knows, so that a device object can be made of it
CPU = torch.device("cpu")
# moves, and attributes whose value may come from anywhere
ACROSS = {"to", "cpu", "copy_", "__set__", "type", "_has_compatible_shallow_copy_type", "set_data"}
ABOUT_DEVICES = {torch.device, torch._C._nn._parse_to}  # they name a device, and move nothing
TO_PYTHON = {"numpy", "__array__"}


class Elsewhere(TorchFunctionMode):
    """The second device, inside `with`."""

    def __init__(self) -> None:
        super().__init__()
        self.moved: dict[int, Any] = {}  # storage -> its finalizer

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if func in ABOUT_DEVICES:
            return func(*args, **kwargs)
        if func == Tensor.device.__get__:
            return torch.device(DEVICE, 0) if self.holds(args[0]) else func(*args)
        if func in _device_constructors() and kwargs.get("device") is None:
            kwargs = kwargs | {"device": default_device()}
        self.require_one_device(func, name, args, kwargs)
        if name == "cpu":
            return func(*args, **kwargs).clone() if self.holds(args[0]) else func(*args, **kwargs)
        target = self.target(name, args, kwargs)
        result = func(*tree_map(on_cpu, args), **tree_map(on_cpu, kwargs))
        if name in ("to", "type"):
            return self.move(args[0], result, target)
        if target == DEVICE:
            self.mark(result, args)
        return result

    def holds(self, tensor: Any) -> bool:
        """Whether a tensor is on the second device."""
        return isinstance(tensor, Tensor) and storage_of(tensor) in self.moved

    def require_one_device(self, func: Any, name: str, args: Any, kwargs: Any) -> None:
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        if name in TO_PYTHON and self.holds(args[0]):
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy: use .cpu() first")
        if name in ACROSS:
            return
        there = {self.holds(one) for one in tensors if one.ndim > 0 or self.holds(one)}
        if name in ("__getitem__", "__setitem__", "index_select") and self.holds(args[0]):
            return  # CPU indices do on a GPU
        if len(there) > 1:
            where = resolve_name(func) or name
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, "
                f"{DEVICE} and cpu! ({where})"
            )
        generator = kwargs.get("generator")
        if isinstance(generator, torch.Generator) and device_in(kwargs.get("device")) == DEVICE:
            raise RuntimeError(f"Expected a '{DEVICE}' device type for generator but found 'cpu'")

    def target(self, name: str, args: Any, kwargs: Any) -> str | None:
        """Where the result will be, if that is the second device."""
        asked = kwargs.get("device")
        if name == "to":
            asked = next(
                (one for one in args[1:] if device_in(one) or isinstance(one, Tensor)), asked
            )
        if isinstance(asked, Tensor):
            return DEVICE if self.holds(asked) else "cpu"
        if asked is not None:
            return device_in(asked)
        some = any(self.holds(one) for one in tree_leaves((args, kwargs)))
        return DEVICE if some else None

    def move(self, source: Tensor, result: Tensor, target: str | None) -> Tensor:
        was_there, goes_there = self.holds(source), target == DEVICE
        if storage_of(result) == storage_of(source) and was_there != goes_there:
            result = result.clone()  # another device is other memory
        if goes_there:
            self.mark(result, ())
        return result

    def mark(self, results: Any, args: Any) -> None:
        for result in tree_leaves(results):
            if isinstance(result, Tensor) and (key := storage_of(result)) not in self.moved:
                storage = result.untyped_storage()
                self.moved[key] = weakref.finalize(storage, self.moved.pop, key, None)


def storage_of(tensor: Tensor) -> int:
    """A tensor's memory, by its address in PyTorch; views share it."""
    with torch._C.DisableTorchFunction():
        return tensor.untyped_storage()._cdata


def default_device() -> torch.device | None:
    """That of `with torch.device(...)` around, if any."""
    modes = _get_current_function_mode_stack()
    return next((mode.device for mode in modes if isinstance(mode, DeviceContext)), None)


def device_in(value: Any) -> str | None:
    """The kind of device that a value names, if it names one."""
    if isinstance(value, (str, torch.device)) and str(value).split(":")[0] in (DEVICE, "cpu"):
        return str(value).split(":")[0]
    return None


def on_cpu(value: Any) -> Any:
    """The CPU in the second device's place."""
    return CPU if device_in(value) == DEVICE and isinstance(value, (str, torch.device)) else value
