"""Injection: find the modules, check everything, and only then replace them.

`plan_injection` changes nothing and raises whatever is wrong. `apply_plan` undoes what it did
if anything fails on the way: no model is left half wrapped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import nn

from ..errors import ConfigError
from ..undo import all_or_nothing
from .config import LoraConfig
from .layer import Linear, LoraLayer
from .matching import check_every_entry, check_target_module_exists, get_pattern_key
from .validation import check_adapter_name


class Target(NamedTuple):
    """One module that gets an adapter."""

    name: str
    module: nn.Module  # the plain layer, or a LoraLayer that already has other adapters
    layer_class: type[nn.Module]
    r: int
    lora_alpha: float


class TokenRows(NamedTuple):
    """Rows of an embedding that train."""

    module: nn.Module
    ids: list[int]


@dataclass
class InjectionPlan:
    """Everything that an injection will do. Printed, it is the report of what matched."""

    adapter_name: str
    config: LoraConfig
    targets: list[Target]
    saved: dict[str, nn.Module] = field(default_factory=dict)
    tokens: dict[str, TokenRows] = field(default_factory=dict)

    def __str__(self) -> str:
        from .more.adapters.injection_report import injection_table

        return injection_table(self)


def targetable_modules(
    model: nn.Module, prefix: str = "", seen: set[int] | None = None
) -> Iterator[tuple[str, nn.Module]]:
    """All modules by name, those in two places twice, without the adapters' own parts."""
    seen = set() if seen is None else seen
    if id(model) in seen or hasattr(model, "unloaded"):
        return  # what stands in for a module hides its insides
    seen.add(id(model))
    for child_name, child in model._modules.items():
        if child is not None:
            yield f"{prefix}{child_name}", child
            yield from targetable_modules(child, f"{prefix}{child_name}.", seen)


def layer_class_for(module: nn.Module, config: LoraConfig) -> type[nn.Module] | None:
    """The LoRA class for a module: the user's own, then Linear, then those in `layers`."""
    from .more.layers import other_layer_class

    if isinstance(module, LoraLayer):
        return type(module)
    for kind, layer_class in [*(config._custom_modules or {}).items(), (nn.Linear, Linear)]:
        if isinstance(module, kind):
            return layer_class
    return other_layer_class(module)


def plan_injection(
    model: nn.Module, config: LoraConfig, adapter_name: str = "default", optional: Iterable = ()
) -> InjectionPlan:
    """Find what the config names in the model and check it all; the model is not touched.

    `optional` are entries of modules_to_save that may match nothing. Raises
    NoMatchingPeftModuleError (with the nearest name) for an entry that matches nothing and
    ValueError for a module that LoRA cannot wrap.
    """
    from .more.adapters.injection_report import warn_of
    from .more.adapters.saved_modules import modules_to_copy
    from .more.adapters.token_rows import rows_to_train
    from .more.layers.default_targets import resolve

    modules = dict(targetable_modules(model))
    check_adapter_name(adapter_name, modules, config)
    config = resolve(config, model)
    tokens = rows_to_train(model, config, modules)
    check_every_entry(config, list(modules), optional, others=bool(tokens))
    names = [name for name in modules if check_target_module_exists(config, name)]
    targets = [_target(name, modules[name], config, adapter_name) for name in names]
    saved = modules_to_copy(config, modules)
    _check_shared(targets)
    warn_of(model, targets, config)
    return InjectionPlan(adapter_name, config, targets, saved, tokens)


def _target(name: str, module: nn.Module, config: LoraConfig, adapter_name: str) -> Target:
    """The target for one module, with its rank and alpha from the patterns."""
    from .more.adapters.injection_report import check_supported

    layer_class = layer_class_for(module, config)
    check_supported(name, module, layer_class, adapter_name)
    r = config.rank_pattern.get(get_pattern_key(config.rank_pattern, name), config.r)
    alpha_key = get_pattern_key(config.alpha_pattern, name)
    alpha = config.alpha_pattern.get(alpha_key, config.lora_alpha)
    if hasattr(layer_class, "check"):
        layer_class.check(name, module, config, r)
    return Target(name, module, layer_class, r, alpha)


def base_of(module: nn.Module) -> nn.Module:
    """The plain layer, through a LoRA layer around it."""
    return module.get_base_layer() if hasattr(module, "get_base_layer") else module


def _check_shared(targets: list[Target]) -> None:
    """Two targets with one Parameter would be merged into each other."""
    seen: dict[int, str] = {}
    for target in targets:
        weight = getattr(base_of(target.module), "weight", None)
        if weight is not None and id(weight) in seen:
            raise ConfigError(
                f"{target.name!r} and {seen[id(weight)]!r} share one weight, and both are "
                "targeted: an update of one would be an update of the other. Target one of them."
            )
        seen[id(weight)] = target.name


def apply_plan(model: nn.Module, plan: InjectionPlan) -> None:
    """Put the planned adapters into the model; on an error, undo them all and raise it."""
    from .more.adapters.saved_modules import save_module
    from .more.adapters.token_rows import train_rows

    with all_or_nothing(model):
        for target in plan.targets:
            _inject(model, target, plan)
        for name in plan.saved:
            save_module(model, name, plan.adapter_name)
        for name, rows in plan.tokens.items():
            train_rows(model, name, rows.ids, plan.adapter_name)


def replace_module(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put a module in the place of the one of this name."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, new)


def _inject(model: nn.Module, target: Target, plan: InjectionPlan) -> None:
    """Give one module its adapter."""
    module, adapter = target.module, plan.adapter_name
    if isinstance(module, LoraLayer):
        module.update_layer(adapter, target.r, target.lora_alpha, plan.config)
        return
    layer = target.layer_class(
        module, adapter, config=plan.config, r=target.r, lora_alpha=target.lora_alpha
    )
    layer.train(module.training)
    replace_module(model, target.name, layer)
