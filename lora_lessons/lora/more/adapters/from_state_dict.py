"""Injection by the keys of a file, for a checkpoint whose config does not say what it targets."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Iterable
from typing import Any

from torch import nn

from ....errors import ConfigError, NoMatchingPeftModuleError, did_you_mean
from ...config import LoraConfig
from ...files import PREFIX
from ...inject import resolved, targetable_modules
from ...matching import check_target_module_exists
from ...plugs import METHODS


def config_for_keys(model: nn.Module, config: LoraConfig, keys: Iterable[str]) -> LoraConfig:
    """The config with the modules as its targets that have LoRA tensors among these keys.

    The targets' ranks and alphas stay the config's. Raises NoMatchingPeftModuleError for a key of
    a module that the model has not, and warns where the config itself names other modules.
    """
    if config.target_parameters:
        raise ConfigError(
            "a state_dict's keys do not name the parameters that target_parameters means: inject "
            "without the state_dict, and load it afterwards"
        )
    known = [name for name, _ in targetable_modules(model)]
    found = {_module_name(key) for key in keys if ".lora_" in key}
    found = {name for name in found if ".base_layer." not in name}  # inside another that is found
    if not found:
        raise NoMatchingPeftModuleError(
            "Target modules not found in the base model: no key of the state_dict is LoRA's"
        )
    if strange := sorted(found - set(known)):
        raise NoMatchingPeftModuleError(
            f"the state_dict has keys of {strange}, not found in the base model."
            f"{did_you_mean(strange[0], known)}"
        )
    named = _named_by(config, model, known)
    if named is not None:
        _warn_of_difference(named, found)
    exact = exactly(found)
    free: dict[str, Any] = {
        "exclude_modules": None,
        "layers_to_transform": None,
        "layers_pattern": None,
    }
    result = dataclasses.replace(config, target_modules=exact, **free)
    result._custom_modules = config._custom_modules
    return result


def exactly(names: Iterable[str]) -> str:
    """A regular expression for target_modules that matches these names and no other.

    In a list a full name is a suffix as well: "up" would match "block.up" too.
    """
    return "|".join(re.escape(name) for name in sorted(names))


def _module_name(key: str) -> str:
    """The module that a tensor belongs to, without the wrappers' prefixes."""
    return key.rsplit(".lora_", 1)[0].removeprefix("_orig_mod.").removeprefix(PREFIX)


def _named_by(config: LoraConfig, model: nn.Module, known: list[str]) -> set[str] | None:
    """The modules that the config itself names; None if it leaves that open."""
    try:
        config = resolved(config, model)
    except ConfigError:  # no target_modules, and no default for this model
        return None
    return {name for name in known if check_target_module_exists(config, name)}


def _warn_of_difference(by_config: set[str], by_keys: set[str]) -> None:
    """Warn, in PEFT's words, where the config would have chosen otherwise."""
    sides = {"PEFT config": by_config - by_keys, "state_dict": by_keys - by_config}
    extra = [
        f"The {side} contained these additional target modules: {sorted(names)}."
        for side, names in sides.items()
        if names
    ]
    if extra:
        warnings.warn(
            "While injecting the PEFT adapters, an inconsistency was discovered between the PEFT "
            "config and the provided state_dict. This is not necessarily an issue and can be "
            f"ignored if this was the intent. {' '.join(extra)}",
            RuntimeWarning,
            stacklevel=5,
        )


METHODS["config_for_keys"] = config_for_keys
