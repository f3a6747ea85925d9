"""The report of an injection: what matched, layer by layer, and how much of it trains."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any

from ....errors import NoMatchingPeftModuleError, PeftWarning, did_you_mean
from ...config import LoraConfig
from ...inject import InjectionPlan, Target
from ...matching import (
    check_target_module_exists,
    is_saved_module,
    layer_index,
    matches_any,
)
from ...plugs import METHODS, PARTS, PLAN_CHECKS
from ...tuner_layer import base_of
from ..low_rank import parameter_count


def injection_table(plan: InjectionPlan) -> str:
    """One line for each module, with the parameters that train in it."""
    rows = _rows(plan)
    lines = [f"{name:<56} {count:>12,}  {note}" for name, (count, note) in rows.items()]
    total = f"{'total':<56} {sum(count for count, _ in rows.values()):>12,}"
    return "\n".join([f"{'module':<56} {'parameters':>12}", *lines, total])


def trained_sizes(plan: InjectionPlan) -> dict[str, int]:
    """Parameters that train, by module."""
    return {name: count for name, (count, _) in _rows(plan).items()}


def _rows(plan: InjectionPlan) -> dict[str, tuple[int, str]]:
    """(parameters that train, a note) by module."""
    rows = {t.name: (_of_target(t, plan), f"r={t.r} alpha={t.lora_alpha:g}") for t in plan.targets}
    for part, found in plan.parts.items():
        counted = {name: PARTS[part].count(each) for name, each in found.items()}
        rows |= {name: row for name, row in counted.items() if row[1]}
    return rows


def _of_target(target: Target, plan: InjectionPlan) -> int:
    """r (in + out), and `out` more each for a bias of B and for DoRA's magnitudes.

    B of a convolution with groups is smaller by their number.
    """
    in_, out = target.shape
    groups = getattr(base_of(target.module), "groups", 1)
    more = (plan.config.lora_bias + plan.config.use_dora) * out
    also = getattr(target.layer_class, "also_trains", None)  # layers inside it
    more += also(target.module, target.r) if also else 0
    return parameter_count(in_, out // groups, target.r) + more


def warn_of_unmergeable_bias(plan: InjectionPlan) -> None:
    """Warn of a bias on B over a layer that has none: there is nothing to merge it into."""
    for target in plan.targets:
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


def last_parts(names: Iterable[str]) -> set[str]:
    """The names that an entry of a list may give: the full ones and their ends."""
    return {name.rsplit(".", 1)[-1] for name in names} | set(names)


def nearest_module(entry: str, names: Iterable[str]) -> str:
    """A sentence with the module's name that is most like an entry, if it is very like it.

    Short names are alike by chance, "down_proj" and "o_proj" too, and a number names no module. The
    end of a name, as "proj", is likely meant for it.
    """
    ends = [name for name in last_parts(names) if not name.isdigit()]
    near = did_you_mean(entry, ends, cutoff=0.82)
    return near or did_you_mean(entry, [name for name in ends if name.endswith(entry)])


def unmatched(config: LoraConfig, field: str, entry: str, names: list[str]) -> None:
    """Raise for an entry that matches nothing, with the nearest name; warn where a file has it.

    What was trained is judged by its tensors, and those are checked one by one.
    """
    as_pattern = ""
    if field == "target_modules" and re.search(r"[*+?|()\[\]\\^$]", entry):
        as_pattern = " It is plain text in a list: a pattern works only as one string."
    message = (
        f"{field} entry {entry!r} matches no module: not found in the base model.{as_pattern}"
        f"{nearest_module(entry, names)}"
    )
    if not config._is_trained:
        raise NoMatchingPeftModuleError(message)
    warnings.warn(f"{message} The file's tensors decide.", PeftWarning, stacklevel=6)


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
    if layers is None:
        return
    wanted = {layers} if isinstance(layers, int) else set(layers)
    found = (layer_index(name, config.layers_pattern) for name in names)
    there = {index for index in found if index is not None}
    if wanted - there:
        none = "none under that layers_pattern" if config.layers_pattern else "none"
        raise NoMatchingPeftModuleError(
            f"layers_to_transform names layers {sorted(wanted - there)} that are not in the model: "
            f"it has {sorted(there) or none}.{_top_list(config, names)}"
        )


def _top_list(config: LoraConfig, names: list[str]) -> str:
    """A hint where the layers lie in a list at the top of the model, which has to be named."""
    tops = {name.split(".")[0] for name in names if re.match(r"[^.]+\.\d+\.", name)}
    if config.layers_pattern or not tops:
        return ""
    return f" Its layers lie at its top: name their list, layers_pattern={min(tops)!r}."


def warn_and_correct(plan: InjectionPlan) -> None:
    """What is legal and yet surprising, said before anything is changed."""
    large = [t for t in plan.targets if t.r > min(t.shape) > 0]
    if large:
        first = large[0]
        _warn(
            f"r={first.r} is above the size of {first.name} {first.shape}"
            f" and of {len(large) - 1} other layers: an update of W has no more rank than W."
        )
    config, linear = plan.config, [t for t in plan.targets if t.layer_class.is_linear]
    wrong = [t for t in linear if t.layer_class.fan_in_fan_out != config.fan_in_fan_out]
    if wrong and len(wrong) == len(linear):
        was, config.fan_in_fan_out = config.fan_in_fan_out, not config.fan_in_fan_out
        kind = "`torch.nn.Linear`" if was else "`Conv1D`"
        _warn(
            f"fan_in_fan_out is set to {was} but the target module is {kind}. Setting "
            f"fan_in_fan_out to {not was}."
        )
    for name, others in plan.sharing.items():
        for other, _ in others:
            _warn(
                f"{name} shares its weight with {other}: the adapter acts on the first "
                "alone, until it is merged. This can lead to complications."
            )
    own = set(config._custom_modules.values())
    for target in plan.targets:
        if target.layer_class in own and not target.layer_class.is_known:
            its_type = type(target.module)
            _warn(f"Unsupported layer type '{its_type}' encountered, proceed at your own risk.")


def _warn(message: str) -> None:
    warnings.warn(message, PeftWarning, stacklevel=5)


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
    hints = [] if isinstance(targets, str) else [nearest_module(t, names) for t in targets]
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


METHODS["warn_and_correct"] = warn_and_correct
METHODS["injection_table"] = injection_table
METHODS["check_filters"] = check_filters
METHODS["nothing_matched"] = nothing_matched
METHODS["unmatched"] = unmatched
PLAN_CHECKS["lora_bias"] = warn_of_unmergeable_bias
