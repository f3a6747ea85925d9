"""The report of an injection: what matched, layer by layer, and how much of it trains."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from torch import nn

from ....errors import NoMatchingPeftModuleError, PeftWarning, did_you_mean
from ...arithmetic import parameter_count
from ...config import LoraConfig
from ...matching import check_target_module_exists, is_saved_module, layer_index, matches_any

if TYPE_CHECKING:
    from ...inject import InjectionPlan, Target, TokenRows


def injection_table(plan: InjectionPlan) -> str:
    """One line for each module, with the parameters that train in it."""
    sizes = trained_sizes(plan)
    notes = {t.name: f"r={t.r} alpha={t.lora_alpha:g}" for t in plan.targets}
    notes |= dict.fromkeys(plan.saved, "full copy, trained")
    notes |= {name: f"{len(rows.ids)} token rows" for name, rows in plan.tokens.items()}
    rows = [f"{name:<56} {sizes[name]:>12,}  {note}" for name, note in notes.items()]
    total = f"{'total':<56} {sum(sizes.values()):>12,}"
    return "\n".join([f"{'module':<56} {'parameters':>12}", *rows, total])


def trained_sizes(plan: InjectionPlan) -> dict[str, int]:
    """Parameters that train, by module."""
    sizes = {target.name: _of_target(target, plan) for target in plan.targets}
    sizes |= {name: _all(module) for name, module in plan.saved.items()}
    return sizes | {name: _of_rows(rows) for name, rows in plan.tokens.items()}


def _of_target(target: Target, plan: InjectionPlan) -> int:
    """r (in + out), and `out` more each for a bias of B and for DoRA's magnitudes.

    B of a convolution with groups is smaller by their number.
    """
    from ...inject import base_of

    in_, out = layer_shape(target.module)
    groups = getattr(base_of(target.module), "groups", 1)
    return (
        parameter_count(in_, out // groups, target.r)
        + (plan.config.lora_bias + plan.config.use_dora) * out
    )


def _of_rows(rows: TokenRows) -> int:
    return len(rows.ids) * layer_shape(rows.module)[1]


def _all(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def layer_shape(module: nn.Module) -> tuple[int, int]:
    """(in, out) of a layer, counted as PEFT's lora_A and lora_B have them."""
    from ...inject import base_of

    layer = base_of(module)
    for names in (("in_features", "out_features"), ("num_embeddings", "embedding_dim")):
        if hasattr(layer, names[0]):
            return getattr(layer, names[0]), getattr(layer, names[1])
    weight = getattr(layer, "weight", None)
    if weight is None or weight.ndim < 2:  # a layer for which the user has a class of their own
        return 0, 0
    if hasattr(layer, "kernel_size"):  # (out, in / groups, *kernel); A sees all of `in`
        return weight[0].numel() * layer.groups, weight.shape[0]
    return weight.shape[0], weight.shape[1]


def check_supported(
    name: str, module: nn.Module, layer_class: type[nn.Module] | None, adapter_name: str
) -> None:
    """Raise unless there is a LoRA class for the module, and the adapter's name is free on it."""
    if hasattr(module, "has_adapter") and module.has_adapter(adapter_name):
        raise ValueError(
            f"{name} already has an adapter named {adapter_name!r}: use another name, or `unload()`"
        )
    if layer_class is None:
        raise ValueError(
            f"Target module {module} ({name}) is not supported. Currently, only the following "
            "modules are supported: `torch.nn.Linear`, `torch.nn.Embedding`, `torch.nn.Conv1d`, "
            "`torch.nn.Conv2d`, `torch.nn.Conv3d`, `transformers.pytorch_utils.Conv1D`."
        )


def warn_of(model: nn.Module, targets: list[Target], config: LoraConfig) -> None:
    """All warnings that an injection gives, before it changes anything."""
    warn_of_large_rank(targets)
    warn_of_unmergeable_bias(targets, config)
    correct_fan_in_fan_out(targets, config)
    warn_of_tied_weights(model, targets)
    warn_of_custom_layers(targets, config)


def warn_of_large_rank(targets: list[Target]) -> None:
    """A rank above the layer's size is legal, and more than the update can use."""
    large = [t for t in targets if t.r > min(layer_shape(t.module)) > 0]
    if large:
        first = large[0]
        warnings.warn(
            f"r={first.r} is above the size of {first.name} {layer_shape(first.module)} and of "
            f"{len(large) - 1} other layers: an update of W has no more rank than W.",
            PeftWarning,
            stacklevel=4,
        )


def correct_fan_in_fan_out(targets: list[Target], config: LoraConfig) -> None:
    """Set the field by the kind of layer, which says how W is stored, and warn of a wrong one."""
    from ...layer import Linear

    linear = [target for target in targets if issubclass(target.layer_class, Linear)]
    wrong = [t for t in linear if t.layer_class.fan_in_fan_out != config.fan_in_fan_out]
    if wrong and len(wrong) == len(linear):
        was, config.fan_in_fan_out = config.fan_in_fan_out, not config.fan_in_fan_out
        kind = "`torch.nn.Linear`" if was else "`Conv1D`"
        warnings.warn(
            f"fan_in_fan_out is set to {was} but the target module is {kind}. Setting "
            f"fan_in_fan_out to {not was}.",
            PeftWarning,
            stacklevel=4,
        )


def warn_of_tied_weights(model: nn.Module, targets: list[Target]) -> None:
    """Warn of a target whose weight another module uses too: merging changes both."""
    from ...inject import base_of, targetable_modules

    ours = {id(getattr(base_of(t.module), "weight", None)): t for t in targets}
    for name, module in targetable_modules(model):
        target = ours.get(id(module._parameters.get("weight")))
        if target is not None and module is not base_of(target.module):
            warnings.warn(
                f"{target.name} shares its weight with {name}: the adapter acts on the first "
                "alone, until it is merged. This can lead to complications.",
                PeftWarning,
                stacklevel=4,
            )


def warn_of_unmergeable_bias(targets: list[Target], config: LoraConfig) -> None:
    """Warn of a bias on B over a layer that has none: there is nothing to merge it into."""
    from ...inject import base_of

    for target in targets if config.lora_bias else ():
        layer = base_of(target.module)
        if getattr(layer, "bias", None) is None:
            warnings.warn(
                "`lora_bias=True` was passed but the targeted layer of type "
                f"{type(layer).__name__} has no bias. This means that merging LoRA weights won't "
                "be possible.",
                PeftWarning,
                stacklevel=4,
            )
            return


def warn_of_custom_layers(targets: list[Target], config: LoraConfig) -> None:
    """Warn of layers that the user's own classes wrap: nothing is known about them here."""
    from ..layers.fused_qkv import FusedQKV

    own = set((config._custom_modules or {}).values())
    for target in targets:
        if target.layer_class in own and not issubclass(target.layer_class, FusedQKV):
            warnings.warn(
                f"Unsupported layer type '{type(target.module)}' encountered, proceed at your own "
                "risk.",
                PeftWarning,
                stacklevel=4,
            )


def check_filters(config: LoraConfig, names: list[str]) -> None:
    """Raise where exclude_modules or layers_to_transform name what the model has not."""
    excluded = config.exclude_modules or ()
    for entry in [excluded] if isinstance(excluded, str) else sorted(excluded):
        whole = entry if isinstance(excluded, str) else [entry]
        # What lies inside another adapter's copy of a module is not among the names.
        hidden = is_saved_module(config.modules_to_save, entry)
        if not hidden and not any(matches_any(whole, name) for name in names):
            raise NoMatchingPeftModuleError(
                f"exclude_modules entry {entry!r} matches no module, so nothing is excluded by it."
                f"{did_you_mean(entry, last_parts(names))}"
            )
    layers = config.layers_to_transform
    wanted = {layers} if isinstance(layers, int) else set(layers or ())
    there = {layer_index(name, config.layers_pattern) for name in names} - {None}
    if wanted - there:
        raise NoMatchingPeftModuleError(
            f"layers_to_transform names layers {sorted(wanted - there)} that are not in the model: "
            f"it has {sorted(there) or 'none under that layers_pattern'}."
        )


def last_parts(names: list[str]) -> set[str]:
    """The names that an entry of a list may give: the full ones and their ends."""
    return {name.rsplit(".", 1)[-1] for name in names} | set(names)


def nothing_matched(config: LoraConfig, names: list[str]) -> str:
    """The message for a config that targets no module at all: why, and the nearest name."""
    named = [n for n in names if matches_any(config.target_modules, n)]
    if named and all(matches_any(config.exclude_modules, name) for name in named):
        return (
            "All modules were excluded: every module that target_modules names, such as "
            f"{named[0]!r}, is in exclude_modules."
        )
    if named and all(is_saved_module(config.modules_to_save, name) for name in named):
        return (
            "No modules were targeted: every module that target_modules names, such as "
            f"{named[0]!r}, is in modules_to_save, where it trains as a whole."
        )
    if named and config.layers_to_transform is not None:
        check_filters(config, names)
        return f"No modules were targeted: none is in layers {config.layers_to_transform}."
    targets = config.target_modules
    if not targets:
        return "No `target_modules` passed: nothing would train. Please check this argument."
    ends = last_parts(names)
    hints = [] if isinstance(targets, str) else [did_you_mean(t, ends) for t in targets or ()]
    return (
        f"Target modules {targets} not found in the base model. Please check the target modules "
        f"and try again.{next((hint for hint in hints if hint), '')}"
    )


def inspect_matched_modules(tuner: Any, adapter_name: str = "default") -> dict[str, list[str]]:
    """The names that an injected model's adapter targets, and all the others."""
    config = tuner.peft_config[adapter_name]
    result: dict[str, list[str]] = {"matched": [], "unmatched": []}
    for name, _ in tuner.model.named_modules():
        kind = "matched" if check_target_module_exists(config, name) else "unmatched"
        result[kind].append(name)
    return result
