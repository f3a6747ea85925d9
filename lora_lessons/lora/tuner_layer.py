"""What holds adapters keeps in mind: which are active, which merged, whether any is used.

Mixins for an `nn.Module`. The names, and that adapters live in dicts by adapter name, are PEFT's:
other libraries read them.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..errors import PeftWarning

Part = nn.Module | nn.Parameter
# A module's name without the wrappers that torch puts around a module later: `torch.compile`,
# activation checkpointing and FSDP. It is the name in files and for a config.
canonical_name = functools.partial(
    re.compile(r"(?<![^.])(?:_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.").sub, ""
)
if TYPE_CHECKING:
    _Module = nn.Module
else:
    _Module = object  # a class that users write names nn.Module itself, before or after


def as_list(names: str | Iterable[str]) -> list[str]:
    """One name or several, as a list."""
    return [names] if isinstance(names, str) else list(names)


class StandIn:
    """What takes a module's place in the model, and hides what is inside it."""

    hides_inside = True  # False: the modules inside have their names still, and may have adapters

    def get_base_layer(self) -> Any:
        """The module that was there before, through any stand-in of a stand-in."""
        raise NotImplementedError

    def unloaded(self, adapter_names: list[str]) -> nn.Module:
        """What takes its place when adapters are taken out, of which these are merged."""
        raise NotImplementedError


class AdapterHolder:
    """Which adapters of a module are active, and whether any is used at all.

    All that has adapters is one of these, and nothing else is asked for them: LoRA layers, saved
    modules, token rows; and, kept beside the modules, the base's trained biases.
    """

    adapter_layer_names: tuple[str, ...] = ()  # dicts of trainable modules or Parameters
    other_param_names: tuple[str, ...] = ()  # dicts of plain values
    merged_adapters: Iterable[str] = ()
    _disable_adapters: bool = False
    _active_adapter: str | list[str] = "default"

    @property
    def disable_adapters(self) -> bool:
        """Whether no adapter is in use."""
        return self._disable_adapters

    @property
    def active_adapter(self) -> str | list[str]:
        """The active adapter, or a list of several."""
        return self._active_adapter

    @property
    def active_adapters(self) -> list[str]:
        """The names of the active adapters."""
        return as_list(self._active_adapter)

    def _adapter_parts(self) -> Iterator[tuple[str, Part]]:
        """Pairs of adapter name and trainable part."""
        for attribute in self.adapter_layer_names:
            yield from getattr(self, attribute).items()

    def _get_available_adapters(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self._adapter_parts()))

    def _all_available_adapter_names(self) -> list[str]:
        return sorted(self._get_available_adapters())

    def enable_adapters(self, enabled: bool) -> None:
        """Use the active adapters, or none; what is not used is not trained either."""
        self._disable_adapters = not enabled
        if enabled:
            self.set_adapter(self._active_adapter)
            return
        for _, part in self._adapter_parts():
            part.requires_grad_(False)
        self.show_base()

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        """Make these adapters the active ones: they alone are used, and trained."""
        names = as_list(adapter_names)
        self.check_set_adapter(names)
        for name, part in self._adapter_parts():
            part.requires_grad_(name in names and not inference_mode)
        self._active_adapter = names
        self.show_base()

    def set_requires_grad(self, adapter_names: str | list[str], requires_grad: bool = True) -> None:
        """Train these adapters, or freeze them, without a change of which are active."""
        names = as_list(adapter_names)
        for name, part in self._adapter_parts():
            if name in names:
                part.requires_grad_(requires_grad)

    def delete_adapter(self, adapter_name: str) -> None:
        """Drop an adapter; where none is active then, the first of the rest becomes it."""
        for attribute in self.adapter_layer_names + self.other_param_names:
            values = getattr(self, attribute)
            if adapter_name in values:
                del values[adapter_name]
        if adapter_name not in self.active_adapters:
            return
        active = [name for name in self.active_adapters if name != adapter_name]
        rest = self._get_available_adapters()
        if not active and rest:
            active = rest[:1]
            warnings.warn(
                f"Adapter {adapter_name} was active which is now deleted. Setting active adapter "
                f"to {active[0]}.",
                PeftWarning,
                stacklevel=2,
            )
        self.set_adapter(active)

    def check_set_adapter(self, adapter_names: Iterable[str]) -> None:
        """Raise where these adapters cannot be active together."""

    def check_rows(self, adapter_names: Iterable[str]) -> None:
        """Raise where the samples of one batch cannot have these adapters."""

    def show_base(self) -> None:
        """Bring the base up to date with the adapters in use, where they changed it."""

    def take_out(self, merged: list[str]) -> None:
        """Leave the base as it is to be without adapters, or with these merged into it."""
        if not merged:
            self.enable_adapters(False)

    def file_tensors(self, adapter_name: str) -> dict[str, Tensor]:
        """The adapter's tensors by the end of their keys in a file."""
        tensors: dict[str, Tensor] = {}
        for attribute in self.adapter_layer_names:
            parts = getattr(self, attribute)
            if adapter_name not in parts:
                continue
            part = parts[adapter_name]
            if isinstance(part, nn.Parameter):
                tensors[attribute] = part
            else:
                tensors |= {f"{attribute}.{n}": p for n, p in part.named_parameters()}
        return {k.replace("vector.weight", "vector"): v for k, v in tensors.items()}


class BaseTunerLayer(AdapterHolder, StandIn, _Module):
    """An adapter holder around a base layer, into which adapters can be merged."""

    fan_in_fan_out = False  # W is stored as (in, out)
    output_dim = 0  # the dimension of W that counts outputs
    weight_name = "weight"  # what the base layer calls W
    mergeable = True  # whether merging the model merges it
    alone = True  # whether merging is refused where another module has the same weight
    cast_input_dtype_enabled = True  # whether x gets the dtype of A; `helpers` has a switch
    kept_base: Any = None  # a `merge.KeptBase` while adapters are merged
    base_layer: nn.Module
    merged_adapters: list[str]
    r: dict[str, int]
    lora_alpha: dict[str, float]
    scaling: dict[str, float]
    use_rslora: dict[str, bool]

    def __repr__(self) -> str:
        return f"lora.{super().__repr__()}"

    def get_base_layer(self) -> Any:
        """The layer underneath, without adapters."""
        base = self.base_layer
        return base.get_base_layer() if isinstance(base, StandIn) else base

    def unloaded(self, adapter_names: list[str]) -> nn.Module:
        """The plain layer that stands here without adapters."""
        return self.base_layer

    @property
    def base_weight(self) -> Any:
        """W itself: the Parameter of the layer underneath."""
        return getattr(self.get_base_layer(), self.weight_name)

    @property
    def weight(self) -> Tensor:
        """The weight of the layer underneath."""
        return self.base_weight

    @property
    def bias(self) -> Tensor | None:
        """The bias of the layer underneath, or None."""
        return self.get_base_layer().bias

    @property
    def merged(self) -> bool:
        """Whether any adapter is merged."""
        return bool(self.merged_adapters)

    def has_adapter(self, name: str) -> bool:
        """True where this layer has an adapter of that name."""
        raise NotImplementedError

    def check_merge(self, adapter_names: list[str]) -> None:
        """Raise where these adapters cannot be merged; it is asked before anything is written."""

    def add_to(self, values: dict[str, Tensor], adapter: str) -> set[str]:
        """Add an adapter's updates to the values to be merged; returns which were changed."""
        raise NotImplementedError


def base_of(module: nn.Module) -> Any:
    """The plain layer, through what stands in for it."""
    return module.get_base_layer() if isinstance(module, StandIn) else module


def named_holders(model: nn.Module) -> Iterator[tuple[str, AdapterHolder]]:
    """All that holds adapters in a model, by the module's name."""
    for name, module in model.named_modules():
        if isinstance(module, AdapterHolder):
            yield name, module
        yield from ((name, each) for each in vars(module).get("adapter_holders", ()))


def adapter_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Pairs of adapter name and parameter, found by structure and not by name."""
    for _, holder in named_holders(model):
        for name, part in holder._adapter_parts():
            parameters = [part] if isinstance(part, nn.Parameter) else part.parameters()
            yield from ((name, parameter) for parameter in parameters)
