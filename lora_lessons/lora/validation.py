"""Checks of a LoraConfig's values: each says what is wrong and the nearest right thing."""

from __future__ import annotations

import copy
import functools
import math
import re
import warnings
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, TypeVar

from ..errors import ConfigError, PeftWarning, UnknownBiasError, did_you_mean

T = TypeVar("T")
BIAS_MODES = ("none", "all", "lora_only")
RESERVED = ("forward", "train", "eval", "type", "training", "weight", "bias", "base_layer")
SWITCHES = ("inference_mode", "fan_in_fan_out", "use_rslora", "use_dora", "lora_bias")
INIT_NAMES = ("gaussian", "orthogonal", "pissa", "olora")


@dataclass
class OtherFields:
    """PEFT's fields that are not supported: they load and save at these defaults only."""

    megatron_config: dict | None = None
    megatron_core: str | None = "megatron.core"
    loftq_config: dict = field(default_factory=dict)
    eva_config: dict | None = None
    corda_config: dict | None = None
    lora_ga_config: dict | None = None
    velora_config: dict | None = None
    alora_invocation_tokens: list[int] | None = None
    use_qalora: bool = False
    qalora_group_size: int = 16
    monteclora_config: dict | None = None
    layer_replication: list | None = None
    target_parameters: list[str] | None = None
    use_bdlora: dict | None = None
    arrow_config: dict | None = None
    kasa_config: dict | None = None
    ensure_weight_tying: bool = False


def names_misspelt_fields(config_class: type[T]) -> type[T]:
    """Make a dataclass name the nearest field where it is given one that it has not."""
    init = config_class.__init__
    known = [each.name for each in fields(config_class)]

    @functools.wraps(init)
    def checked_init(self: Any, *values: Any, **named: Any) -> None:
        for name in named:
            if name not in known:
                raise TypeError(
                    f"{config_class.__name__} has no field {name!r}.{did_you_mean(name, known)}"
                )
        init(self, *values, **named)

    config_class.__init__ = checked_init
    return config_class


def member(kind: type[Enum], value: Any, problem: str) -> Any:
    """The enum's member for a value, or an error that lists them all."""
    try:
        return kind(value)
    except ValueError:
        names = [member.value for member in kind]
        raise ConfigError(
            f"{problem}: '{value}'. Must be one of the following: {', '.join(names)}."
            f"{did_you_mean(value, names)}"
        ) from None


def as_names(value: Any, name: str) -> list[str] | None:
    """A list of names; a lone string would otherwise be read letter by letter."""
    if value is None:
        return None
    is_list = isinstance(value, list | tuple | set | frozenset)
    if not is_list or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{name} must be a list of module names, and it is {value!r}")
    return list(value)


def as_set(value: Any, name: str) -> Any:
    """A list of names becomes a set; a string stays, for it is a regular expression."""
    if isinstance(value, str):
        _check_regex(value, name)
        return value
    return None if value is None else set(as_names(value, name))


def _check_regex(pattern: str, name: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ConfigError(
            f"{name}={pattern!r} is not a valid regular expression: {error}"
        ) from None


def _is_number(value: Any, whole: bool = False) -> bool:
    kinds = int if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)


def check_config(config: Any) -> None:
    """All checks of a LoraConfig."""
    check_kinds(config)
    check_numbers(config)
    check_choices(config)
    check_names(config)
    check_unsupported(config)
    warn_of_no_way_back(config)


def checked_again(config: Any) -> Any:
    """A copy with all checks made anew: a field may have been set after the config was made."""
    result = copy.deepcopy(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PeftWarning)  # given when the config was made
        result.__post_init__()
    result._custom_modules = config._custom_modules
    return result


def check_kinds(config: Any) -> None:
    """Texts, switches and lists are what they are called; None stands for the default."""
    kinds = {name: str for name in ("peft_version", "base_model_name_or_path", "revision")}
    kinds |= {name: bool for name in SWITCHES}
    kinds |= {"auto_mapping": dict, "rank_pattern": dict, "alpha_pattern": dict}
    kinds |= {"layers_pattern": list | tuple | str, "layers_to_transform": list | tuple | int}
    kinds |= {"trainable_token_indices": list | tuple | dict}
    for name, kind in kinds.items():
        value = getattr(config, name)
        if value is not None and not isinstance(value, kind):
            word = getattr(kind, "__name__", str(kind))
            raise ConfigError(f"{name} must be of type {word} or None, and it is {value!r}")
    check_whole_numbers("layers_to_transform", config.layers_to_transform)
    rows = config.trainable_token_indices
    for name, ids in rows.items() if isinstance(rows, dict) else ():
        if not isinstance(ids, list | tuple):
            raise ConfigError(
                f"trainable_token_indices[{name!r}] must be a list of token ids, and it is {ids!r}"
            )


def check_whole_numbers(name: str, values: Any) -> None:
    """A number or a list of numbers from 0 on; none of them a text or a truth value."""
    if values is not None:
        each = values if isinstance(values, list | tuple) else [values]
        if wrong := [value for value in each if not _is_number(value, whole=True) or value < 0]:
            raise ConfigError(f"{name} holds whole numbers from 0 on, and not {wrong[0]!r}")


def check_numbers(config: Any) -> None:
    """Ranks are whole and positive, alphas positive, and dropout is a share below 1."""
    for name, rank in {"r": config.r, **config.rank_pattern}.items():
        if not _is_number(rank, whole=True) or rank <= 0:
            where = "" if name == "r" else f" (rank_pattern[{name!r}])"
            raise ConfigError(
                f"`r` should be a positive integer value but the value passed is {rank!r}{where}"
            )
    for name, alpha in {"lora_alpha": config.lora_alpha, **config.alpha_pattern}.items():
        if not _is_number(alpha) or alpha <= 0:
            raise ConfigError(
                f"`lora_alpha` should be a positive number but the value passed is {alpha!r} "
                f"({name}): the update is scaled by it, and 0 or less trains nothing useful"
            )
    if not _is_number(config.lora_dropout) or not 0 <= config.lora_dropout < 1:
        raise ConfigError(
            f"`lora_dropout` should be at least 0 and less than 1, and it is {config.lora_dropout}"
        )


def check_choices(config: Any) -> None:
    """bias and init_lora_weights are one of their named values."""
    if config.bias not in BIAS_MODES:
        hint = ' Use "none", a string.' if config.bias is None else ""
        raise UnknownBiasError(
            f"Requested bias: {config.bias}, is not implemented. It must be one of "
            f"{', '.join(BIAS_MODES)}.{hint}{did_you_mean(config.bias, BIAS_MODES)}"
        )
    init = config.init_lora_weights
    if isinstance(init, str):
        config.init_lora_weights = init = init.lower()
    known = init in INIT_NAMES or re.fullmatch(r"pissa_niter_\d+", str(init))
    if not isinstance(init, bool) and not known:
        raise ConfigError(
            f"Unknown initialization init_lora_weights={init!r}. Supported are True, False, "
            f"{', '.join(INIT_NAMES)} and pissa_niter_N.{did_you_mean(init, INIT_NAMES)}"
        )
    if init == "orthogonal" and any(r % 2 for r in (config.r, *config.rank_pattern.values())):
        raise ConfigError("Orthogonal initialization requires the LoRA rank to be even")


def check_names(config: Any) -> None:
    """Rules between the fields that choose modules and layers."""
    if isinstance(config.target_modules, str):
        for name in ("layers_to_transform", "layers_pattern"):
            if getattr(config, name) is not None:
                raise ConfigError(f"`{name}` cannot be used when `target_modules` is a str.")
    if config.layers_pattern and config.layers_to_transform is None:
        raise ConfigError(
            "When `layers_pattern` is specified, `layers_to_transform` must also be specified."
        )
    for name in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(config, name):
            _check_regex(pattern, name)
    if config.lora_bias and not isinstance(config.init_lora_weights, bool):
        raise ConfigError(
            "The argument lora_bias=True is only supported with init_lora_weights=True or False, "
            f"got init_lora_weights={config.init_lora_weights} instead."
        )
    if config.lora_bias and config.use_dora:
        raise ConfigError(
            "The argument lora_bias=True is not supported for DoRA, please pass use_dora=False"
        )


def warn_of_no_way_back(config: Any) -> None:
    """Warn where a PiSSA or OLoRA adapter could not be turned into plain LoRA later."""
    changes_base = str(config.init_lora_weights).startswith(("pissa", "olora"))
    if changes_base and config.use_rslora and (config.rank_pattern or config.alpha_pattern):
        warnings.warn(
            "Using Rank-Stabilized LoRA with rank_pattern/alpha_pattern and post-training "
            "conversion of modified base weights PiSSA/OLoRA means that you won't be able to pass "
            "`path_initial_model_for_weight_conversion` to `save_pretrained`.",
            PeftWarning,
            stacklevel=5,
        )


def check_unsupported(config: Any) -> None:
    """Refuse, by name, a field of PEFT's that would otherwise be dropped in silence."""
    for name, default in vars(OtherFields()).items():
        value = getattr(config, name)
        if value != default and (value or default):
            raise ConfigError(
                f"{name}={value!r} is not supported by this library: only its default, "
                f"{default!r}, is"
            )


def require_model_and_config(model: Any, config: Any) -> None:
    """Raise TypeError for arguments in the wrong order, or of another kind."""
    if not hasattr(model, "named_modules") or not hasattr(config, "target_modules"):
        raise TypeError(
            "a model and then a LoraConfig are needed, and given were "
            f"{type(model).__name__} and {type(config).__name__}"
        )


def require_sizes(layer: Any) -> None:
    """Raise TypeError for LoRA's linear layer around something that is no linear layer."""
    if layer.in_features is None or layer.out_features is None:
        raise TypeError(
            f"LoraLinear wraps a linear layer, and not {type(layer.base_layer).__name__}: name it "
            "in a config's target_modules, and get_peft_model takes the class that fits"
        )


def check_adapter_name(adapter_name: str, modules: dict[str, Any], config: Any) -> None:
    """Refuse a name that would be mistaken for a module's, in the model or in its files."""
    parts = {part for name in modules for part in name.split(".")}
    is_text = isinstance(adapter_name, str) and adapter_name
    if not is_text or "." in adapter_name or adapter_name.startswith(("/", "\\", "~")):
        raise ConfigError(
            "an adapter's name is a word without a dot, which names a folder inside that of the "
            f"files, and it is {adapter_name!r}"
        )
    if adapter_name in parts or hasattr(dict, adapter_name) or adapter_name in RESERVED:
        raise ConfigError(
            f"the adapter name {adapter_name!r} collides with a module of that name: its weights "
            "could not be told apart in a file"
        )
    _check_no_part_is_meant(adapter_name, modules, config)


def _check_no_part_is_meant(adapter_name: str, modules: dict[str, Any], config: Any) -> None:
    """Refuse an entry that stands for an adapter's own part, such as "lora_A.default"."""
    from .layer import LoraLayer
    from .more.adapters.saved_modules import ModulesToSaveWrapper
    from .more.adapters.token_rows import TrainableTokensWrapper

    layers = [module for module in modules.values() if isinstance(module, LoraLayer)]
    adapters = {adapter_name}.union(*(layer.r for layer in layers))
    rows = config.trainable_token_indices
    entries = dict.fromkeys(config.modules_to_save or (), ModulesToSaveWrapper)
    entries |= dict.fromkeys(rows if isinstance(rows, dict) else (), TrainableTokensWrapper)
    for entry, wrapper in entries.items():
        if str(entry).rsplit(".", 1)[-1] in adapters:
            raise ConfigError(
                f"You are trying to target a module with {wrapper} that is a child of {LoraLayer}. "
                "This is almost certainly not the intended behavior. Please ensure that the "
                f"adapter name, {adapter_name!r}, does not conflict with any of the targeted "
                f"modules: {entry!r} would be a part of an adapter."
            )
