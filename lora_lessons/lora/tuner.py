"""LoraModel: the tuner inside a PeftModel, which holds the adapters of one model together."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from ..errors import PeftWarning
from ..undo import all_or_nothing
from .config import LoraConfig
from .inject import InjectionPlan, apply_plan, plan_injection
from .layer import LoraLayer
from .merge import Backup, lora_layers, merge_layers, mergeable_layers, unmerge_layers
from .more.adapters import switch
from .more.adapters.biases import bias_bank, biased_adapters
from .more.adapters.dtype import cast_adapter_dtype
from .more.adapters.from_state_dict import config_for_keys
from .more.adapters.merge_report import MergeReport, merge_report
from .more.adapters.status import (
    TunerLayerStatus,
    TunerModelStatus,
    get_layer_status,
    get_model_status,
)
from .more.adapters.unload import unload_model
from .trainable import adapter_holders, freeze_base
from .validation import require_model_and_config


class LoraModel(nn.Module):
    """The tuner: it puts adapters into a model, switches them, merges them and takes them out."""

    prefix = "lora_"

    def __init__(
        self,
        model: nn.Module,
        peft_config: LoraConfig | dict[str, LoraConfig],
        adapter_name: str = "default",
        **options: Any,
    ) -> None:
        super().__init__()
        self.model = model
        self.training = model.training
        self.peft_config: dict[str, LoraConfig] = model.__dict__.get("peft_config", {})
        self.plans: dict[str, InjectionPlan] = {}
        self.flags_before: tuple[list[str], list[tuple[nn.Parameter, bool]]] = ([], [])
        self.active_adapter: str | list[str] = adapter_name
        config = peft_config[adapter_name] if isinstance(peft_config, dict) else peft_config
        with all_or_nothing(model):
            self.add_adapter(adapter_name, config, **options)
            model.__dict__["peft_config"] = self.peft_config

    @property
    def active_adapters(self) -> list[str]:
        active = self.active_adapter
        return [active] if isinstance(active, str) else list(active)

    def lora_layers(self) -> dict[str, LoraLayer]:
        """The LoRA layers by name."""
        return lora_layers(self.model)

    @property
    def targeted_module_names(self) -> list[str]:
        """The names of the modules that the adapters' configs found."""
        return [target.name for plan in self.plans.values() for target in plan.targets]

    def add_adapter(
        self,
        adapter_name: str,
        config: LoraConfig,
        optional: tuple[str, ...] = (),
        autocast_adapter_dtype: bool = False,
        low_cpu_mem_usage: bool = False,
        state_dict: dict | None = None,
    ) -> None:
        """Inject one more adapter. It is not activated, and a failure leaves nothing behind.

        `low_cpu_mem_usage` leaves its tensors without memory until a file's are loaded into them.
        The keys of a `state_dict` choose the modules in the config's stead.
        """
        require_model_and_config(self.model, config)
        if adapter_name in self.peft_config:
            raise ValueError(f"Adapter with name '{adapter_name}' already exists.")
        if config.bias != "none" and biased_adapters(self.peft_config):
            raise ValueError(
                "LoraModel supports only 1 adapter with bias. When using multiple adapters, set "
                "bias to 'none' for all adapters."
            )
        if state_dict is not None:
            config = config_for_keys(self.model, config, state_dict)
        plan = plan_injection(self.model, config, adapter_name, optional)
        with all_or_nothing(self):
            with torch.device("meta") if low_cpu_mem_usage else nullcontext():
                apply_plan(self.model, plan)
            if not self.peft_config:
                freeze_base(self.model)
            self.peft_config[adapter_name], self.plans[adapter_name] = plan.config, plan
            cast_adapter_dtype(self.model, adapter_name, autocast_adapter_dtype)
            self._start_training(adapter_name, plan.config)

    def _start_training(self, adapter_name: str, config: LoraConfig) -> None:
        """The new adapter trains if it is the active one; all else stays as it is."""
        holders = list(adapter_holders(self.model))
        off = any(holder.disable_adapters for holder in holders)
        for holder in holders:
            holder._active_adapter, holder._disable_adapters = self.active_adapters, off
            holder.show_base()
        active = adapter_name in self.active_adapters
        trains = active and not config.inference_mode and not off
        self.set_requires_grad(adapter_name, trains)
        if config.bias != "none":
            bank = bias_bank(self.model)
            bank.register(self.model, adapter_name, config.bias)
            bank.use(self.model, [] if off else self.active_adapters, trains)

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Make these the active adapters: they alone are used, and trained."""
        with all_or_nothing(self):
            switch.set_adapter(self, adapter_name, inference_mode)

    def enable_adapter_layers(self) -> None:
        """Use the active adapters again."""
        with all_or_nothing(self):
            switch.enable_adapters(self, True)

    def disable_adapter_layers(self) -> None:
        """Use no adapter: the outputs are the base's, its biases included."""
        with all_or_nothing(self):
            switch.enable_adapters(self, False)

    def delete_adapter(self, adapter_name: str) -> None:
        """Take an adapter out."""
        with all_or_nothing(self):
            switch.delete_adapter(self, adapter_name)

    def set_requires_grad(self, adapter_names: str | list[str], requires_grad: bool = True) -> None:
        """Train or freeze adapters, without a change of which are active."""
        switch.check_known(self, switch.as_list(adapter_names))
        for holder in adapter_holders(self.model):
            holder.set_requires_grad(adapter_names, requires_grad)

    def add_weighted_adapter(self, *args: Any, **kwargs: Any) -> Any:
        """A new adapter from a weighted sum of others; see `adapters.combine`."""
        from .more.adapters.combine import add_weighted_adapter

        return add_weighted_adapter(self, *args, **kwargs)

    @property
    def has_active_enabled_adapter(self) -> bool:
        """True unless the adapters are disabled."""
        return not self.are_disabled()

    def are_disabled(self) -> bool:
        """True where the adapters are switched off; a model that is half so becomes enabled."""
        flags = {holder.disable_adapters for holder in adapter_holders(self.model)}
        if len(flags) > 1:
            warnings.warn(
                "The model contains some adapter layers that are enabled and others that are "
                "disabled. This is most likely unintentional. After exiting the disable_adapter "
                "context, all adapters will be enabled",
                PeftWarning,
                stacklevel=4,
            )
        return flags == {True}

    def get_layer_status(self) -> list[TunerLayerStatus]:
        """The state of each layer with adapters."""
        return get_layer_status(self)

    def get_model_status(self) -> TunerModelStatus:
        """The state of the model's adapters as a whole."""
        return get_model_status(self)

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

    def merge_report(self, adapter_names: list[str] | None = None) -> MergeReport:
        """What merging would round away, layer by layer; see `adapters.merge_report`."""
        return merge_report(self.model, adapter_names)

    def merge_and_unload(
        self,
        progressbar: bool = False,
        safe_merge: bool = False,
        adapter_names: list[str] | None = None,
    ) -> nn.Module:
        """The model itself, with plain layers and the adapters merged into their weights."""
        return unload_model(self, merge=True, safe_merge=safe_merge, adapter_names=adapter_names)

    def unload(self) -> nn.Module:
        """The model itself as it was before, without adapters."""
        return unload_model(self, merge=False)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "model":
                raise
            return getattr(self.model, name)
