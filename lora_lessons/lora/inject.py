"""Injection: find the modules, check everything, and only then replace them.

`plan_injection` changes nothing and raises whatever is wrong, `apply_plan` does what was planned.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import nn

from ..errors import ConfigError, PeftWarning
from .config import LoraConfig
from .layer import LoraLayer
from .matching import check_every_entry, get_pattern_key
from .plugs import CHILDREN, LAYERS, LAYERS_AROUND, METHODS, PARTS, PLAN_CHECKS, SHORTHANDS
from .tuner_layer import StandIn, base_of

RESERVED = ("forward", "train", "eval", "type", "training", "weight", "bias", "base_layer")


class Target(NamedTuple):
    """One module that gets an adapter."""

    name: str
    module: nn.Module  # the plain layer, or a LoraLayer that already has other adapters
    layer_class: type[Any]
    r: int
    lora_alpha: float
    shape: tuple[int, int]  # (in, out); 0 where it is not known

    def is_odd(self, config: LoraConfig) -> bool:
        """Whether something about it is legal and yet surprising."""
        kind = self.layer_class
        other_way = kind.is_linear and kind.fan_in_fan_out != config.fan_in_fan_out
        return other_way or not kind.is_known or self.r > min(self.shape) > 0


@dataclass
class InjectionPlan:
    """Everything that an injection will do. Printed, it is the report of what matched."""

    adapter_name: str
    config: LoraConfig
    targets: list[Target] = field(default_factory=list)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)  # by field, then by module
    sharing: dict[str, list[tuple[str, nn.Module]]] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(METHODS["injection_table"](self))


def targetable_modules(
    model: nn.Module, prefix: str = "", seen: set[int] | None = None
) -> Iterator[tuple[str, nn.Module]]:
    """All modules by name, those in two places twice, without the adapters' own parts."""
    seen = set() if seen is None else seen
    if isinstance(model, StandIn) and not model.hides_inside:
        model = model.get_base_layer()
    if id(model) in seen or isinstance(model, StandIn):
        return
    seen.add(id(model))
    for child_name, child in model._modules.items():
        if child is not None:
            yield f"{prefix}{child_name}", child
            yield from targetable_modules(child, f"{prefix}{child_name}.", seen)


def layer_class_for(module: nn.Module, config: LoraConfig) -> type[Any] | None:
    """The LoRA class for a module: the user's own, or that of the nearest class in `LAYERS`."""
    if isinstance(module, LoraLayer):
        return type(module)
    for kind, layer_class in config._custom_modules.items():
        if isinstance(module, kind):
            return layer_class
    return nearest_layer_class(module)


def nearest_layer_class(module: nn.Module) -> type[Any] | None:
    """The entry of `LAYERS` for the nearest of its weight's classes, or of the module's."""
    for kind in (*type(getattr(module, "weight", None)).__mro__, *type(module).__mro__):
        for key in (kind, f"{kind.__module__}.{kind.__qualname__}"):
            if key in LAYERS:
                return LAYERS[key]
    return None


def plan_injection(
    model: nn.Module,
    config: LoraConfig,
    adapter_name: str = "default",
    optional: Iterable[str] = (),
) -> InjectionPlan:
    """Find what the config names in the model and check it all; the model is not touched.

    `optional` are entries of modules_to_save that may match nothing. Raises
    NoMatchingPeftModuleError (with the nearest name) for an entry that matches nothing and
    ValueError for a module that LoRA cannot wrap.
    """
    modules = dict(targetable_modules(model))
    _check_adapter_name(adapter_name, modules, config)
    config = resolved(config, model)
    plan = InjectionPlan(adapter_name, config)
    for part in filter(config.sets, PARTS):
        plan.parts[part] = PARTS[part].find(model, plan, modules)
    others = any(PARTS[part].trains_alone for part in plan.parts)
    ranked = plan.parts.get("target_parameters", ())
    for name in check_every_entry(config, list(modules), optional, others, ranked):
        parent = modules.get(name.rpartition(".")[0], model)
        plan.targets.append(_target(name, modules[name], parent, config, adapter_name))
    plan.sharing = _sharing(plan.targets, modules)
    if any(target.is_odd(config) for target in plan.targets) or any(plan.sharing.values()):
        METHODS["warn_and_correct"](plan)
    for part in filter(config.sets, PLAN_CHECKS):
        PLAN_CHECKS[part](plan)
    return plan


def resolved(config: LoraConfig, model: nn.Module) -> LoraConfig:
    """A copy in which target_modules says which modules: no None, no shorthand.

    It is checked anew: a field may have been set after the config was made.
    """
    config = copy.deepcopy(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PeftWarning)  # given when the config was made
        config.__post_init__()
    shorthand = "" if config.target_modules is None else str(config.target_modules).lower()
    if shorthand in SHORTHANDS:
        config.target_modules = SHORTHANDS[shorthand](model, config)
    return config


def _check_adapter_name(name: str, modules: dict[str, nn.Module], config: LoraConfig) -> None:
    """Refuse a name that would be mistaken for a module's, in the model or in its files."""
    if not isinstance(name, str) or not name or "." in name or name[0] in "/\\~":
        raise ConfigError(
            "an adapter's name is a word without a dot, which names a folder inside that of the "
            f"files, and it is {name!r}"
        )
    parts = {part for module in modules for part in module.split(".")}
    if name in parts or hasattr(dict, name) or name in RESERVED:
        raise ConfigError(
            f"the adapter name {name!r} collides with a module of that name: its weights "
            "could not be told apart in a file"
        )


def _target(
    name: str, module: nn.Module, parent: nn.Module, config: LoraConfig, adapter_name: str
) -> Target:
    """The target for one module, with its rank and alpha from the patterns."""
    if isinstance(module, LoraLayer) and module.has_adapter(adapter_name):
        raise ValueError(
            f"{name} already has an adapter named {adapter_name!r}: use another name, or `unload()`"
        )
    layer_class = layer_class_for(module, config)
    if layer_class is None:
        kinds = [k if isinstance(k, str) else f"{k.__module__}.{k.__name__}" for k in LAYERS]
        raise ValueError(
            f"Target module {name}, a {type(module).__name__}, is not supported. Supported are "
            f"{', '.join(f'`{kind}`' for kind in kinds)}."
        )
    places = ((kind, name.rpartition(".")[2]) for kind in type(parent).__mro__)
    special: type[Any] = next((CHILDREN[place] for place in places if place in CHILDREN), object)
    layer_class = special if issubclass(special, layer_class) else layer_class
    r, alpha = config.r, config.lora_alpha
    if ranks := config.rank_pattern:
        r = ranks.get(get_pattern_key(ranks, name), r)
    if alphas := config.alpha_pattern:
        alpha = alphas.get(get_pattern_key(alphas, name), alpha)
    layer_class.check(name, module, config, r)
    return Target(name, module, layer_class, r, alpha, layer_class.shape(module))


def _sharing(
    targets: list[Target], modules: dict[str, nn.Module]
) -> dict[str, list[tuple[str, nn.Module]]]:
    """By target: the other modules that hold its weight. Two targets may not share one."""
    sharing: dict[str, list[tuple[str, nn.Module]]] = {}
    weights = {t.name: getattr(base_of(t.module), "weight", None) for t in targets}
    holders: dict[int, list[str]] = {}
    for name, module in modules.items():
        for parameter in base_of(module)._parameters.values():
            holders.setdefault(id(parameter), []).append(name)
    for target in targets:
        names = [] if weights[target.name] is None else holders.get(id(weights[target.name]), [])
        others = [name for name in names if name != target.name]
        if both := [name for name in others if name in weights]:
            raise ConfigError(
                f"{both[0]!r} and {target.name!r} share one weight, and both are "
                "targeted: an update of one would be an update of the other. Target one of them."
            )
        pairs = [(name, base_of(modules[name])) for name in others]
        sharing[target.name] = [pair for pair in pairs if pair[1] is not base_of(target.module)]
    return sharing


def apply_plan(model: nn.Module, plan: InjectionPlan) -> None:
    """Put the planned adapters into the model, inside the caller's `all_or_nothing`."""
    adapter, config = plan.adapter_name, plan.config
    for name, module, layer_class, r, lora_alpha, _ in plan.targets:
        if isinstance(module, LoraLayer):  # it has other adapters
            module.update_layer(adapter, r, lora_alpha, config)
            continue
        layer = layer_class(module, adapter, config=config, r=r, lora_alpha=lora_alpha)
        layer.sharing = plan.sharing[name]
        layer.train(module.training)
        replace_module(model, name, layer)
    for field_name, found in plan.parts.items():
        for name, each in found.items():
            PARTS[field_name].put(model, adapter, name, each)
    around = {nearest_layer_class(m) for m in model.modules() if not isinstance(m, StandIn)}
    for kind in LAYERS_AROUND.keys() & around:
        LAYERS_AROUND[kind](model)


def replace_module(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put a module in the place of the one of this name."""
    parent, _, child = name.rpartition(".")
    holder: Any = model.get_submodule(parent)
    holder = holder.get_base_layer() if isinstance(holder, StandIn) else holder
    setattr(holder, child, new)
