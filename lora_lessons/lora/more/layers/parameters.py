"""target_parameters: LoRA on Parameters that no layer of their own computes with, such as experts.

transformers keeps all experts of a layer in one tensor, (experts, out, in), or (experts, in, out)
where its module says `is_transposed`. Each expert has an update of rank r; A is (r · experts, in)
and B (out, r · experts), so that they are two matrices in a file, as PEFT has them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.func import functional_call

from ....errors import ConfigError, NoMatchingPeftModuleError, PeftWarning, did_you_mean
from ...arithmetic import lora_delta
from ...config import LoraConfig
from ...inject import InjectionPlan, replace_module
from ...layer import Adapter, LoraLayer
from ...matching import (
    check_target_module_exists,
    get_pattern_key,
    is_saved_module,
    matches_suffix,
)
from ...plugs import CONFIG_CHECKS, PARTS, PLAN_CHECKS
from ...tuner_layer import StandIn, base_of, canonical_name
from ..low_rank import parameter_count
from .by_weight import ByWeight, refuse_products, wide


class Sizes(NamedTuple):
    """What a Parameter's shape says: its experts, and the sizes of each."""

    experts: int  # 1 for a matrix
    in_features: int
    out_features: int
    transposed: bool  # each expert is stored as (in, out)


def sizes_of(parameter: Tensor, module: nn.Module) -> Sizes:
    """(out, in), or (experts, out, in), or (experts, in, out) where the module is transposed."""
    if parameter.ndim == 2:
        return Sizes(1, parameter.shape[1], parameter.shape[0], False)
    experts, first, second = parameter.shape
    transposed = bool(getattr(module, "is_transposed", False))
    in_, out = (first, second) if transposed else (second, first)
    return Sizes(experts, in_, out, transposed)


class ParameterTarget(NamedTuple):
    """One Parameter that gets an adapter."""

    module_name: str
    parameter_name: str
    sizes: Sizes
    r: int
    lora_alpha: float
    config: LoraConfig


class ParamWrapper(ByWeight):
    """LoRA on one Parameter of a module. For several it stands around another of its kind.

    While the module computes, the Parameter is W + scaling · B A for each expert; whatever happens
    there, the module has its own Parameter again afterwards.
    """

    hides_inside = False

    def __init__(self, base_layer: nn.Module, adapter_name: str, target: ParameterTarget) -> None:
        nn.Module.__init__(self)
        self.parameter_name = self.weight_name = target.parameter_name
        LoraLayer.__init__(self, base_layer)
        self.sizes = target.sizes  # not under the module's own names, which others read
        self.in_features, self.out_features = target.sizes[1:3]
        self.get_base_layer().requires_grad_(False)
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, target.r, target.lora_alpha, target.config)

    @classmethod
    def check(cls, name: str, module: nn.Module, config: LoraConfig, r: int) -> None:
        """Refuse the module itself as a target: an adapter is on a Parameter of it."""
        raise ConfigError(
            f"{name} has an adapter on its {module.parameter_name}, by target_parameters, and "
            "cannot be one of target_modules too"
        )

    def _make_factors(self, adapter_name: str, r: int, config: LoraConfig) -> None:
        rank = r * self.sizes.experts
        self.lora_A[adapter_name] = nn.Linear(self.in_features, rank, bias=False)
        self.lora_B[adapter_name] = nn.Linear(rank, self.out_features, bias=False)

    def delta(self, adapter: Adapter) -> Tensor:
        """scaling · B A, expert by expert, in W's shape; with its gradient.

        A's rows are those of the first expert, then of the second; B's columns are the first ones
        of all experts, then the second ones. That is PEFT's order.
        """
        A, B = wide(adapter.A.weight), wide(adapter.B.weight)
        experts, r = self.sizes.experts, self.r[adapter.name]
        A = A.view(experts, r, self.in_features)
        B = B.view(self.out_features, r, experts).permute(2, 0, 1)  # (experts, out, r)
        delta = lora_delta(A, B, adapter.scaling)  # (experts, out, in)
        return (delta.mT if self.sizes.transposed else delta).reshape(self.base_weight.shape)

    def chain(self) -> Iterator[ParamWrapper]:
        """This one, and those inside it, each for another Parameter of the same module."""
        layer: Any = self
        while isinstance(layer, ParamWrapper):
            yield layer
            layer = layer.base_layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own forward, with the weights in use in the place of its Parameters."""
        kwargs.pop("adapter_names", None)  # none of them is here: see `check_rows`
        in_use = [layer for layer in self.chain() if layer.adapters_in_use()]
        weights = {layer.parameter_name: layer.weight_in_use() for layer in in_use}
        base = self.get_base_layer()
        if not weights:
            return base(*args, **kwargs)
        return functional_call(base, weights, args, kwargs, tie_weights=False)

    def unloaded(self, adapter_names: list[str]) -> nn.Module:
        """The module itself, through all that stands around it."""
        module: nn.Module = self.get_base_layer()
        return module

    @property
    def weight(self) -> Tensor:
        """The module's `weight`: with its updates, if it is the one that is adapted."""
        return self._read("weight")

    @property
    def bias(self) -> Any:
        """The module's `bias`."""
        return self._read("bias")

    def _read(self, name: str) -> Any:
        """An attribute of the module, as one of its own methods would read it now."""
        for layer in self.chain():
            if layer.parameter_name == name:
                return layer.weight_in_use()
        return getattr(self.get_base_layer(), name)

    def __getattr__(self, name: str) -> Any:
        try:
            return nn.Module.__getattr__(self, name)
        except AttributeError:
            if name in ("base_layer", "parameter_name"):
                raise
            return self._read(name)

    def extra_repr(self) -> str:
        """Which Parameter it is."""
        return f"parameter_name={self.parameter_name!r}"


class Parameters:
    """The part of a plan that `target_parameters` asks for."""

    trains_alone = True

    def find(
        self, model: nn.Module, plan: InjectionPlan, modules: dict[str, nn.Module]
    ) -> dict[str, ParameterTarget]:
        """The Parameters by their full names, all checked; raises before anything is changed."""
        config = plan.config
        names = dict(_parameter_names(modules))
        _check_entries(config, names, model)
        _warn_of_filters(config)
        targets = {
            name: _target(name, where, modules, config)
            for name, where in names.items()
            if _is_targeted(config, name) and not is_saved_module(config.modules_to_save, where[0])
        }
        _check_same_set(targets, modules)
        _check_sharing(targets, modules)
        return targets

    def put(self, model: nn.Module, adapter_name: str, name: str, found: ParameterTarget) -> None:
        """Put the adapter on the Parameter: in what stands there for it, or in something new."""
        module = model.get_submodule(found.module_name)
        for layer in module.chain() if isinstance(module, ParamWrapper) else ():
            if layer.parameter_name == found.parameter_name:
                layer.update_layer(adapter_name, found.r, found.lora_alpha, found.config)
                return
        wrapper = ParamWrapper(module, adapter_name, found)
        wrapper.train(module.training)
        replace_module(model, found.module_name, wrapper)

    def count(self, found: ParameterTarget) -> tuple[int, str]:
        """(numbers that it trains, what a report says of them)."""
        experts, in_, out, _ = found.sizes
        several = f" experts={experts}" if experts > 1 else ""
        count = experts * parameter_count(in_, out, found.r)
        return count, f"r={found.r} alpha={found.lora_alpha:g}{several}"


def _parameter_names(modules: dict[str, nn.Module]) -> Iterator[tuple[str, tuple[str, str]]]:
    """By full name: the module's name and the Parameter's, in the order of registration."""
    for name, module in modules.items():
        for key, parameter in base_of(module)._parameters.items():
            if parameter is not None:
                yield f"{name}.{key}", (name, key)


def _is_targeted(config: LoraConfig, name: str) -> bool:
    """Whether an entry is the Parameter's full name, or its end from a dot on."""
    entries = config.target_parameters or ()
    return any(matches_suffix(entry, canonical_name(name)) for entry in entries)


def _check_entries(config: LoraConfig, names: dict[str, Any], model: nn.Module) -> None:
    """Raise for an entry that is no Parameter's name, with the nearest."""
    own = [canonical_name(name) for name in names]
    ends = [end for name in own for end in (".".join(name.split(".")[-2:]), name.split(".")[-1])]
    for entry in config.target_parameters or ():
        if any(matches_suffix(entry, name) for name in own):
            continue
        hint = did_you_mean(entry, [*ends, *own])
        if entry in model._parameters:
            hint = " It belongs to the model itself, and only those of its modules can be adapted."
        message = f"target_parameters entry {entry!r} matches no parameter of the base model.{hint}"
        if not config._is_trained:
            raise NoMatchingPeftModuleError(message)
        warnings.warn(f"{message} The file's tensors decide.", PeftWarning, stacklevel=6)


def _warn_of_filters(config: LoraConfig) -> None:
    """Warn that what narrows target_modules does not narrow target_parameters, as in PEFT."""
    for field in ("exclude_modules", "layers_to_transform"):
        if getattr(config, field) and not config._is_trained:
            warnings.warn(
                f"{field} is for target_modules alone: target_parameters are adapted wherever "
                "they match. Name them in full to choose among them.",
                PeftWarning,
                stacklevel=6,
            )


def _target(
    name: str, where: tuple[str, str], modules: dict[str, nn.Module], config: LoraConfig
) -> ParameterTarget:
    """The target for one Parameter, with its rank and alpha from the patterns."""
    module_name, key = where
    module = modules[module_name]
    if check_target_module_exists(config, module_name) or (
        isinstance(module, StandIn) and not isinstance(module, ParamWrapper)
    ):
        raise ConfigError(
            f"{name} is in target_parameters, and its module {module_name} is adapted as a whole, "
            "which is not a valid target. Leave it out of target_modules; target_modules=[] "
            "targets none."
        )
    parameter = base_of(module)._parameters[key]
    if parameter.ndim not in (2, 3):
        raise ConfigError(
            f"target_parameters names {name} of shape {tuple(parameter.shape)}: only matrices and "
            "stacks of them (2 or 3 dimensions) have a low-rank update"
        )
    if not parameter.is_floating_point() or parameter.element_size() == 1:
        raise ConfigError(f"target_parameters cannot adapt {name}, stored as {parameter.dtype}")
    r = config.rank_pattern.get(get_pattern_key(config.rank_pattern, name), config.r)
    alpha = config.alpha_pattern.get(get_pattern_key(config.alpha_pattern, name), config.lora_alpha)
    sizes = sizes_of(parameter, base_of(module))
    if r > min(sizes.in_features, sizes.out_features):
        warnings.warn(
            f"r={r} is above the size of {name} {sizes[1:3]}: an update has no more rank than W.",
            PeftWarning,
            stacklevel=6,
        )
    return ParameterTarget(module_name, key, sizes, r, alpha, config)


def _check_same_set(targets: dict[str, ParameterTarget], modules: dict[str, nn.Module]) -> None:
    """Several adapters on one module target the same Parameters: files say which by the order."""
    wanted: dict[str, set[str]] = {}
    for target in targets.values():
        wanted.setdefault(target.module_name, set()).add(target.parameter_name)
    for name, keys in wanted.items():
        module = modules[name]
        if not isinstance(module, ParamWrapper):
            continue
        there = {layer.parameter_name for layer in module.chain()}
        if there != keys:
            raise ConfigError(
                "all adapters with target_parameters must target the same set of parameters of a "
                f"module: of {name} these are {sorted(there)}, and the new one has {sorted(keys)}"
            )


def _check_sharing(targets: dict[str, ParameterTarget], modules: dict[str, nn.Module]) -> None:
    """Refuse one Parameter under two targeted names; warn of one that others hold as well."""
    holders: dict[int, list[str]] = {}
    for name, (module_name, key) in _parameter_names(modules):
        holders.setdefault(id(base_of(modules[module_name])._parameters[key]), []).append(name)
    for names in holders.values():
        ours = [name for name in names if name in targets]
        if len(ours) > 1:
            raise ConfigError(
                f"{ours[0]!r} and {ours[1]!r} share one weight, and both are targeted: an update "
                "of one would be an update of the other. Target one of them."
            )
        if ours and len(names) > 1:
            other = next(name for name in names if name not in ours)
            warnings.warn(
                f"{ours[0]} shares its weight with {other}: the adapter acts on the first alone, "
                "until it is merged. This can lead to complications.",
                PeftWarning,
                stacklevel=6,
            )


def check_parameters(config: LoraConfig) -> None:
    """A list of names, and nothing that needs a layer's product."""
    entries = config.target_parameters
    is_list = isinstance(entries, list | tuple | set | frozenset)
    if not is_list or not all(isinstance(entry, str) for entry in entries or ()):
        raise TypeError(
            "`target_parameters` must be a list of strings or None, and it is "
            f"{entries!r}: a name such as 'mlp.experts.gate_up_proj', or its end"
        )
    config.target_parameters = sorted(entries) if isinstance(entries, set | frozenset) else entries
    if entries:
        refuse_products(config, "a config with target_parameters")
        refuse_fan_in_fan_out(config.fan_in_fan_out)


def refuse_fan_in_fan_out(wanted: bool) -> None:
    """A Parameter's layout is known from its module."""
    if wanted:
        raise ConfigError(
            "target_parameters does not work with fan_in_fan_out=True, nor beside Conv1D layers, "
            "which need it: give those an adapter of their own"
        )


def _check_plan(plan: InjectionPlan) -> None:
    refuse_fan_in_fan_out(plan.config.fan_in_fan_out)


CONFIG_CHECKS["target_parameters"] = check_parameters
PLAN_CHECKS["target_parameters"] = _check_plan
PARTS["target_parameters"] = Parameters()
