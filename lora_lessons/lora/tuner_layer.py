"""What a module with adapters keeps in mind: which are active, which merged, whether any is used.

Mixins for an `nn.Module`. The names, and that adapters live in dicts by adapter name, are PEFT's:
other libraries read them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from ..errors import ConfigError, PeftWarning
from .scaling import lora_scaling


class AdapterHolder:
    """Which adapters of a module are active, and whether any is used at all."""

    adapter_layer_names: tuple[str, ...] = ()  # dicts of trainable modules or Parameters
    other_param_names: tuple[str, ...] = ()  # dicts of plain values
    _disable_adapters: bool = False
    _active_adapter: str | list[str] = "default"

    @property
    def disable_adapters(self) -> bool:
        return self._disable_adapters

    @property
    def active_adapter(self) -> str | list[str]:
        return self._active_adapter

    @property
    def active_adapters(self) -> list[str]:
        active = self._active_adapter
        return [active] if isinstance(active, str) else list(active)

    def _adapter_parts(self) -> Iterable[tuple[str, nn.Module | nn.Parameter]]:
        """Pairs of adapter name and trainable part."""
        for attribute in self.adapter_layer_names:
            yield from getattr(self, attribute).items()

    def _get_available_adapters(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self._adapter_parts()))

    def _all_available_adapter_names(self) -> list[str]:
        return sorted(self._get_available_adapters())

    def enable_adapters(self, enabled: bool) -> None:
        """Use the active adapters, or none; what is not used is not trained either."""
        if enabled:
            self.set_adapter(self.active_adapters)
        else:
            for _, part in self._adapter_parts():
                part.requires_grad_(False)
        self._disable_adapters = not enabled

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        """Make these adapters the active ones: they alone are used, and trained."""
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        for name, part in self._adapter_parts():
            part.requires_grad_(name in names and not inference_mode)
        self._active_adapter = names

    def set_requires_grad(self, adapter_names: str | list[str], requires_grad: bool = True) -> None:
        """Train these adapters, or freeze them, without a change of which are active."""
        names = {adapter_names} if isinstance(adapter_names, str) else set(adapter_names)
        for name, part in self._adapter_parts():
            if name in names:
                part.requires_grad_(requires_grad)

    def show_base(self) -> None:
        """Bring the base up to date with the adapters in use, where they changed it."""

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


class BaseTunerLayer(AdapterHolder):
    """An adapter holder around a base layer, into which adapters can be merged."""

    fan_in_fan_out = False  # W is stored as (in, out)
    output_dim = 0  # the dimension of W that counts outputs
    taken_out: Any = None  # what PiSSA and OLoRA took out of W: an `init.principal.TakenOut`
    base_layer: nn.Module
    merged_adapters: list[str]
    r: dict[str, int]
    lora_alpha: dict[str, float]
    scaling: dict[str, float]
    use_rslora: dict[str, bool]

    def __repr__(self) -> str:
        return f"lora.{super().__repr__()}"

    def enable_adapters(self, enabled: bool) -> None:
        super().enable_adapters(enabled)
        self.show_base()

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        super().set_adapter(adapter_names, inference_mode)
        self.show_base()

    def delete_adapter(self, adapter_name: str) -> None:
        super().delete_adapter(adapter_name)
        if self.taken_out is not None:
            self.taken_out.parts.pop(adapter_name, None)
            self.show_base()

    def show_base(self) -> None:
        """PiSSA and OLoRA took the adapters' start out of W: while they are in use, it is out."""
        if self.taken_out is not None:
            self.taken_out.show(self)

    def check_merge(self, adapter_names: list[str]) -> None:
        """Raise where these adapters cannot be merged; it is asked before anything is written."""
        from .more.adapters.mergeable import check_adapters

        check_adapters(self, adapter_names)

    def get_base_layer(self) -> nn.Module:
        """The layer that was there before, through any wrapper of a wrapper."""
        base = self.base_layer
        while hasattr(base, "base_layer"):
            base = base.base_layer
        return base

    @property
    def weight(self) -> Tensor:
        return self.get_base_layer().weight

    def float_weight(self, purpose: str) -> Tensor:
        """W, for `purpose` that needs its values; raises where they are packed into few bits."""
        if not self.weight.is_floating_point() or self.weight.element_size() == 1:
            raise ConfigError(
                f"{purpose} looks at W, and that of {type(self.base_layer).__name__} is stored as "
                f"{self.weight.dtype}"
            )
        return self.weight

    @property
    def bias(self) -> Tensor | None:
        return self.get_base_layer().bias

    @property
    def merged(self) -> bool:
        return bool(self.merged_adapters)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the adapters' updates to W itself; see `merge.merge_layer`."""
        from .merge import merge_layer

        merge_layer(self, adapter_names, safe_merge=safe_merge)

    def unmerge(self) -> None:
        """Give W back as it was, bit for bit; see `merge.unmerge_layer`."""
        from .merge import unmerge_layer

        unmerge_layer(self)

    def output_rows(self, weight: Tensor) -> Tensor:
        """A tensor of W's shape as (out, all the rest): one row for each output."""
        return weight

    def norm_delta(self, name: str) -> Tensor:
        """The update whose norm DoRA takes."""
        return self.plain_delta(name)

    def magnitude_shape(self) -> tuple[int, ...]:
        """The shape of a vector that scales the outputs."""
        return (-1,)

    def unloaded(self, adapter_names: list[str]) -> nn.Module:
        """The base layer, which takes this layer's place when the adapters are taken out."""
        return self.base_layer

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

    def set_scale(self, adapter: str, scale: float) -> None:
        """Scale an adapter to `scale` times its configured alpha / r."""
        if adapter in self.scaling:
            alpha, r = self.lora_alpha[adapter], self.r[adapter]
            self.scaling[adapter] = scale * lora_scaling(alpha, r, self.use_rslora[adapter])

    def scale_layer(self, scale: float) -> None:
        """Multiply the scale of the active adapters."""
        for name in self._scaled_adapters():
            self.scaling[name] *= scale

    def unscale_layer(self, scale: float | None = None) -> None:
        """Divide the scale of the active adapters; None goes back to alpha / r."""
        for name in self._scaled_adapters():
            if scale is None:
                self.set_scale(name, 1)
            else:
                self.scaling[name] /= scale

    def _scaled_adapters(self) -> list[str]:
        """The active adapters that this layer has."""
        return [name for name in self.active_adapters if name in self.scaling]
