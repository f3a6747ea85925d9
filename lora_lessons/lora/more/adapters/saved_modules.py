"""modules_to_save: modules that train as a whole, each adapter in a copy of its own."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import ConfigError, PeftWarning
from ...config import LoraConfig
from ...inject import InjectionPlan, replace_module
from ...layer import LoraLayer
from ...matching import matches_suffix
from ...plugs import PARTS
from ...tuner_layer import AdapterHolder, StandIn
from .mixed_batch import check_rows, rows_by_adapter

MIXABLE = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class ModulesToSaveWrapper(AdapterHolder, StandIn, nn.Module):
    """The module as it was, and a trained copy of it for each adapter."""

    adapter_layer_names = ("modules_to_save",)

    def __init__(self, module_to_save: nn.Module, adapter_name: str) -> None:
        nn.Module.__init__(self)
        self.original_module = module_to_save
        self.modules_to_save = nn.ModuleDict()
        self._active_adapter = adapter_name
        self.update(adapter_name)

    @property
    def active_adapters(self) -> list[str]:
        """The active adapters that have a copy."""
        return [name for name in super().active_adapters if name in self.modules_to_save]

    @property
    def _adapters(self) -> set[str]:
        """The adapters that have a copy, as PEFT's helpers ask."""
        return set(self.modules_to_save)

    def update(self, adapter_name: str) -> None:
        """Add a copy for an adapter. It trains if its adapter is active."""
        duplicate = copy.deepcopy(self.original_module)
        duplicate.requires_grad_(adapter_name in self.active_adapters)
        self.modules_to_save[adapter_name] = duplicate
        self.original_module.requires_grad_(False)

    def check_set_adapter(self, adapter_names: Iterable[str]) -> None:
        """Raise if two of the adapters have a copy: only one can stand in for the module."""
        copies = [name for name in adapter_names if name in self.modules_to_save]
        if len(copies) > 1:
            raise ValueError(
                f"Only one adapter can be set at a time for ModulesToSaveWrapper, got {copies}."
            )

    def module_in_use(self) -> nn.Module:
        """The active adapter's copy, or the original."""
        if not self.disable_adapters:
            for name in self.active_adapters:
                return self.modules_to_save[name]
        return self.original_module

    def get_base_layer(self) -> nn.Module:
        """The layer underneath, without adapters."""
        return self.original_module

    def unloaded(self, adapter_names: list[str]) -> nn.Module:
        """The copy of the first of these adapters that has one, or the original."""
        copies = [name for name in adapter_names if name in self.modules_to_save]
        return self.modules_to_save[copies[0]] if copies else self.original_module

    def file_tensors(self, adapter_name: str) -> dict[str, Tensor]:
        """The copy's parameters and buffers, under the module's own names."""
        if adapter_name not in self.modules_to_save:
            return {}
        return self.modules_to_save[adapter_name].state_dict(keep_vars=True)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The active adapter's copy of the module, or the module itself."""
        adapter_names = kwargs.pop("adapter_names", None)
        if adapter_names is None:
            return self.module_in_use()(*args, **kwargs)
        return self._mixed_forward(args[0], adapter_names, *args[1:], **kwargs)

    def _mixed_forward(self, x: Tensor, adapter_names: list[str], *args: Any, **kwargs: Any) -> Any:
        """Each row through the copy of its adapter."""
        check_rows(x, adapter_names)
        if not isinstance(self.original_module, MIXABLE):
            names = ", ".join(kind.__name__ for kind in MIXABLE)
            raise TypeError(f"Mixed batching is only supported for the following modules: {names}.")
        result = self.original_module(x, *args, **kwargs)
        if self.disable_adapters:
            return result
        for name, rows in rows_by_adapter(adapter_names).items():
            if name in self.modules_to_save:
                index = torch.tensor(rows, device=x.device)
                result = result.clone()
                result[index] = self.modules_to_save[name](x[index], *args, **kwargs)
        return result

    def __getattr__(self, name: str) -> Any:
        try:
            return nn.Module.__getattr__(self, name)
        except AttributeError:
            if name in ("original_module", "modules_to_save"):
                raise
            return getattr(self.module_in_use(), name)


def modules_to_copy(config: LoraConfig, modules: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """The modules that modules_to_save names, of all of a model's.

    Raises ConfigError for one that cannot be copied whole: it has adapters, or is inside another.
    """
    saved = {
        name: module
        for name, module in modules.items()
        if any(matches_suffix(entry, name) for entry in config.modules_to_save or ())
    }
    _check_saved(saved, modules)
    _warn_of_tied(saved, modules)
    return saved


def _check_saved(saved: dict[str, nn.Module], modules: dict[str, nn.Module]) -> None:
    for name, module in saved.items():
        if outer := [each for each in saved if name.startswith(f"{each}.")]:
            raise ConfigError(
                f"modules_to_save names {name} and {outer[0]}, in which it is: leave {name} out"
            )
        inside = [n for n in modules if n == name or n.startswith(f"{name}.")]
        holders = [n for n in inside if isinstance(modules[n], StandIn)]
        if holders and not isinstance(module, ModulesToSaveWrapper):
            raise ConfigError(
                f"modules_to_save names {name}, and {holders[0]} has adapters already: a copy of "
                "it would hold them, too. Save it in the first adapter, or target it in this one."
            )


def _warn_of_tied(saved: dict[str, nn.Module], modules: dict[str, nn.Module]) -> None:
    """Warn of a copy of a tied module: it has a weight of its own, and the other keeps the old."""
    for name, module in saved.items():
        own = {id(parameter) for parameter in module.parameters()}
        for other, each in modules.items():
            inside = other == name or other.startswith(f"{name}.")
            if not inside and own & {id(p) for p in each._parameters.values() if p is not None}:
                warnings.warn(
                    f"modules_to_save copies {name}, whose weight {other} shares: only the copy "
                    "trains, and the two are tied no longer. To save the merged model, set its "
                    "config's tie_word_embeddings to False, or loading it may tie them again.",
                    PeftWarning,
                    stacklevel=4,
                )


def save_module(model: nn.Module, name: str, adapter_name: str) -> None:
    """Give a module a trained copy for this adapter."""
    module = model.get_submodule(name)
    if isinstance(module, ModulesToSaveWrapper):
        module.update(adapter_name)
        return
    wrapper = ModulesToSaveWrapper(module, adapter_name)
    wrapper.training = module.training
    replace_module(model, name, wrapper)


def refuse_parts_of_adapters(
    plan: InjectionPlan, modules: dict[str, nn.Module], entries: Iterable[str], wrapper: type
) -> None:
    """Refuse an entry that stands for an adapter's own part, such as "lora_A.default"."""
    layers = [module for module in modules.values() if isinstance(module, LoraLayer)]
    adapters = {plan.adapter_name}.union(*(layer.r for layer in layers))
    for entry in entries:
        if str(entry).rsplit(".", 1)[-1] in adapters:
            raise ConfigError(
                f"You are trying to target a module with {wrapper} that is a child of {LoraLayer}. "
                "This is almost certainly not the intended behavior. Please ensure that the "
                f"adapter name, {plan.adapter_name!r}, does not conflict with any of the targeted "
                f"modules: {entry!r} would be a part of an adapter."
            )


class SavedModules:
    """The part of a plan that `modules_to_save` asks for."""

    trains_alone = True

    def find(
        self, model: nn.Module, plan: InjectionPlan, modules: dict[str, nn.Module]
    ) -> dict[str, nn.Module]:
        """What the config asks of this part, by name; raises before anything is changed."""
        entries = plan.config.modules_to_save or ()
        refuse_parts_of_adapters(plan, modules, entries, ModulesToSaveWrapper)
        return modules_to_copy(plan.config, modules)

    def put(self, model: nn.Module, adapter_name: str, name: str, found: nn.Module) -> None:
        """Put the part into the model, under the adapter's name."""
        save_module(model, name, adapter_name)

    def count(self, found: nn.Module) -> tuple[int, str]:
        """(numbers that it trains, what a report says of them)."""
        return sum(parameter.numel() for parameter in found.parameters()), "full copy, trained"


PARTS["modules_to_save"] = SavedModules()
