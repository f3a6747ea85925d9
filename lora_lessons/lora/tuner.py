"""LoraModel: the tuner inside a PeftModel, which holds the adapters of one model together.

Which adapters are active and whether they are in use stands on what holds them, and only there.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from ..undo import all_or_nothing
from .config import LoraConfig
from .inject import InjectionPlan, apply_plan, plan_injection, replace_module, targetable_modules
from .layer import LoraLayer
from .merge import Backup, merge_layers, mergeable_layers, unmerge_layers
from .plugs import METHODS
from .tuner_layer import (
    AdapterHolder,
    StandIn,
    adapter_parameters,
    as_list,
    named_holders,
)

ALREADY_THERE = (
    "Adapter with name '{}' already exists. If this cell was run twice, make the base model anew, "
    "or take its adapters out with `model = model.unload()`; for a second adapter, give another "
    "`adapter_name`."
)


class Wrapper(nn.Module):
    """What stands around an injected model: `LoraModel`, and `PeftModel` around that.

    A name that it does not have itself it asks of what it wraps.
    """

    wraps: str  # the attribute that holds what it wraps
    peft_config: dict[str, LoraConfig]  # by adapter name

    def __getattr__(self, name: str) -> Any:
        try:
            return nn.Module.__getattr__(self, name)
        except AttributeError:
            inside = vars(self).get("_modules", {}).get(self.wraps)
            if inside is None:  # not there yet
                raise
            return getattr(inside, name)


def injected_model(model: nn.Module) -> nn.Module:
    """The model that the adapters were put into, without its wrappers."""
    while isinstance(model, Wrapper):
        model = getattr(model, model.wraps)
    return model


class LoraModel(Wrapper):
    """The tuner: it puts adapters into a model, switches them, merges them and takes them out."""

    prefix = "lora_"
    wraps = "model"

    def __init__(
        self,
        model: nn.Module,
        peft_config: LoraConfig | dict[str, LoraConfig],
        adapter_name: str = "default",
        **options: Any,
    ) -> None:
        super().__init__()
        config = peft_config[adapter_name] if isinstance(peft_config, dict) else peft_config
        require_model_and_config(model, config)
        self.model = model
        self.training = model.training
        self.peft_config = vars(model).get("peft_config", {})
        self.plans: dict[str, InjectionPlan] = {}
        self.flags_before: tuple[list[str], list[tuple[nn.Parameter, bool]]] = ([], [])
        self.add_adapter(adapter_name, config, **options)
        vars(model)["peft_config"] = self.peft_config

    def holders(self) -> list[AdapterHolder]:
        """All that holds adapters in the model."""
        return [holder for _, holder in named_holders(self.model)]

    @property
    def active_adapter(self) -> str | list[str]:
        """The active adapter's name, or a list where there are more, or none."""
        names = self.active_adapters
        return names[0] if len(names) == 1 else names

    @property
    def active_adapters(self) -> list[str]:
        """The names of the active adapters."""
        holders = self.holders()
        return as_list(holders[0]._active_adapter) if holders else []

    def lora_layers(self) -> dict[str, LoraLayer]:
        """The LoRA layers by name."""
        return {n: m for n, m in self.model.named_modules() if isinstance(m, LoraLayer)}

    @property
    def targeted_module_names(self) -> list[str]:
        """The names of the modules that the adapters' configs found, each once."""
        names = (target.name for plan in self.plans.values() for target in plan.targets)
        return list(dict.fromkeys(names))

    def add_adapter(
        self,
        adapter_name: str,
        config: LoraConfig,
        optional: tuple[str, ...] = (),
        autocast_adapter_dtype: bool = False,
        low_cpu_mem_usage: bool = False,
        state_dict: dict[str, Any] | None = None,
    ) -> None:
        """Inject one more adapter. It is not activated, and a failure leaves nothing behind.

        `autocast_adapter_dtype`: in float32 on a base of fewer bits, where small updates would
        vanish in rounding. `low_cpu_mem_usage` leaves its tensors without memory until a file's are
        loaded into them. The keys of a `state_dict` choose the modules in the config's stead.
        """
        model = self.model
        require_model_and_config(model, config)
        if adapter_name in self.peft_config:
            raise ValueError(ALREADY_THERE.format(adapter_name))
        if state_dict is not None:
            config = METHODS["config_for_keys"](model, config, state_dict)
        plan = plan_injection(model, config, adapter_name, optional)
        before = self.holders()
        active = as_list(before[0]._active_adapter) if before else [adapter_name]
        off = any(holder.disable_adapters for holder in before)
        with all_or_nothing(self):
            if not self.peft_config:
                model.requires_grad_(False)
            with torch.device("meta") if low_cpu_mem_usage else nullcontext():
                apply_plan(model, plan)
            self.peft_config[adapter_name], self.plans[adapter_name] = plan.config, plan
            trains = adapter_name in active and not plan.config.inference_mode and not off
            holders = self.holders()
            for holder in holders:
                holder._active_adapter, holder._disable_adapters = active, off
                holder.show_base()
                holder.set_requires_grad(adapter_name, trains)
            if autocast_adapter_dtype:
                _in_float32(holders, adapter_name)

    @property
    def has_active_enabled_adapter(self) -> bool:
        """True unless the adapters are disabled."""
        return not self.are_disabled()  # this and other methods: `more.adapters`

    def is_merged(self) -> bool:
        """True where any layer has an adapter merged into it."""
        return any(layer.merged for layer in mergeable_layers(self.model))

    def merge_adapter(
        self,
        adapter_names: list[str] | None = None,
        safe_merge: bool = False,
        backup: Backup = "device",
    ) -> None:
        """Merge adapters (None: the active ones) into the weights, all layers or none."""
        merge_layers(self.model, adapter_names, safe_merge, backup)

    def unmerge_adapter(self) -> None:
        """Give all weights back as they were, bit for bit."""
        unmerge_layers(self.model)

    def merge_and_unload(
        self,
        progressbar: bool = False,
        safe_merge: bool = False,
        adapter_names: list[str] | None = None,
    ) -> nn.Module:
        """The model itself, with plain layers and the adapters merged into their weights.

        Saved modules: the active adapter's copy stays.
        """
        if not self.holders():
            raise ValueError(
                "the model has no adapters: `merge_and_unload` and `unload` take them out and "
                "return the plain model"
            )
        names = self.active_adapters if adapter_names is None else adapter_names
        with all_or_nothing(self):
            backup: Backup = "device" if safe_merge else None
            merge_layers(self.model, adapter_names, safe_merge, backup)
            return self._bare(names)

    def unload(self) -> nn.Module:
        """The model itself as it was before, without adapters."""
        with all_or_nothing(self):
            if self.is_merged():
                self.unmerge_adapter()
            return self._bare([])

    def _bare(self, merged: list[str]) -> nn.Module:
        """Put the plain modules back, into which these adapters are merged."""
        for holder in self.holders():
            holder.take_out(merged)
        for name, module in list(targetable_modules(self.model)):
            if isinstance(module, StandIn):
                replace_module(self.model, name, module.unloaded(merged))
        for attribute in ("peft_config", "adapter_holders"):
            vars(self.model).pop(attribute, None)
        return self.model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own forward."""
        return self.model(*args, **kwargs)


def require_model_and_config(model: Any, config: Any) -> None:
    """Raise TypeError for arguments in the wrong order, or of another kind."""
    if not isinstance(model, nn.Module) or not isinstance(config, LoraConfig):
        theirs = " of peft: take lora_lessons'" * type(config).__module__.startswith("peft.")
        given = f"{type(model).__name__} and {type(config).__name__}{theirs}"
        raise TypeError(f"a model and then a LoraConfig are needed, and given were {given}")


def _in_float32(holders: Iterable[AdapterHolder], adapter_name: str) -> None:
    """Turn an adapter's float16 and bfloat16 factors into float32."""
    for layer in holders:
        for name, parameter in adapter_parameters(layer) if isinstance(layer, LoraLayer) else ():
            if name == adapter_name and parameter.dtype in (torch.float16, torch.bfloat16):
                parameter.data = parameter.data.float()
