"""Checks of a LoraConfig's values: each says what is wrong and the nearest right thing."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from ..errors import ConfigError, UnknownBiasError, did_you_mean, is_number
from .plugs import CONFIG_CHECKS, INITIALISATIONS

T = TypeVar("T")
BIAS_MODES = ("none", "all", "lora_only")
# field -> its kind; None stands for the default
KINDS: dict[str, Any] = {
    **dict.fromkeys(("peft_version", "base_model_name_or_path", "revision"), str),
    **dict.fromkeys(("inference_mode", "fan_in_fan_out", "use_rslora"), bool),
    **dict.fromkeys(("use_dora", "lora_bias"), bool),
    **dict.fromkeys(("auto_mapping", "rank_pattern", "alpha_pattern"), dict),
    "layers_pattern": list | tuple | str,
    "layers_to_transform": list | tuple | int,
    "trainable_token_indices": list | tuple | dict,
}
# number -> (the table of it by module, whether it is right, what is said where it is not)
NUMBERS: dict[str, tuple[str, Any, str]] = {
    "r": (
        "rank_pattern",
        lambda value: is_number(value, whole=True) and value > 0,
        "`r` should be a positive integer value but the value passed is {value!r}{where}",
    ),
    "lora_alpha": (
        "alpha_pattern",
        lambda value: is_number(value) and value > 0,
        "`lora_alpha` should be a positive number but the value passed is {value!r}{where}: the "
        "update is scaled by it, and 0 or less trains nothing useful",
    ),
    "lora_dropout": (
        "",
        lambda value: is_number(value) and 0 <= value < 1,
        "`lora_dropout` should be at least 0 and less than 1, and it is {value}{where}",
    ),
}
# fields that exclude each other: (when, what is said); both read the config as `c`
RULES: list[tuple[Any, str]] = [
    (
        lambda c: isinstance(c.target_modules, str) and c.layers_to_transform is not None,
        "`layers_to_transform` cannot be used when `target_modules` is a str.",
    ),
    (
        lambda c: isinstance(c.target_modules, str) and c.layers_pattern is not None,
        "`layers_pattern` cannot be used when `target_modules` is a str.",
    ),
    (
        lambda c: c.layers_pattern and c.layers_to_transform is None,
        "When `layers_pattern` is specified, `layers_to_transform` must also be specified.",
    ),
    (
        lambda c: c.lora_bias and not isinstance(c.init_lora_weights, bool),
        "The argument lora_bias=True is only supported with init_lora_weights=True or False, got "
        "init_lora_weights={c.init_lora_weights} instead.",
    ),
    (
        lambda c: c.lora_bias and c.use_dora,
        "The argument lora_bias=True is not supported for DoRA, please pass use_dora=False",
    ),
]


@dataclass
class OtherFields:
    """PEFT's fields that are not supported: they load and save at these defaults only."""

    megatron_config: dict[str, Any] | None = None
    megatron_core: str | None = "megatron.core"
    loftq_config: dict[str, Any] = field(default_factory=dict)
    eva_config: dict[str, Any] | None = None
    corda_config: dict[str, Any] | None = None
    lora_ga_config: dict[str, Any] | None = None
    velora_config: dict[str, Any] | None = None
    alora_invocation_tokens: list[int] | None = None
    use_qalora: bool = False
    qalora_group_size: int = 16
    monteclora_config: dict[str, Any] | None = None
    layer_replication: list[Any] | None = None
    target_parameters: list[str] | None = None
    use_bdlora: dict[str, Any] | None = None
    arrow_config: dict[str, Any] | None = None
    kasa_config: dict[str, Any] | None = None
    ensure_weight_tying: bool = False


def names_misspelt_fields(config_class: type[T]) -> type[T]:
    """Make a dataclass name the nearest field where it is given one that it has not."""
    init = config_class.__init__
    known = [each.name for each in fields(config_class)]  # type: ignore[arg-type]

    @functools.wraps(init)
    def checked_init(self: Any, *values: Any, **named: Any) -> None:
        for name in named:
            if name not in known:
                raise TypeError(
                    f"{config_class.__name__} has no field {name!r}.{did_you_mean(name, known)}"
                )
        init(self, *values, **named)

    config_class.__init__ = checked_init  # type: ignore[method-assign]
    return config_class


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
        check_pattern(name, value)
    return value if value is None or isinstance(value, str) else set(as_names(value, name) or ())


def check_pattern(name: str, pattern: Any) -> None:
    """It is a regular expression."""
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        message = f"{name}={pattern!r} is not a valid regular expression: {error}"
        raise ConfigError(message) from None


def check_config(config: Any) -> None:
    """All checks of a LoraConfig."""
    for name, kind in KINDS.items():
        value = getattr(config, name)
        if value is not None and not isinstance(value, kind):
            word = getattr(kind, "__name__", str(kind))
            raise ConfigError(f"{name} must be of type {word} or None, and it is {value!r}")
    check_numbers(config)
    check_choices(config)
    for name in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(config, name):
            check_pattern(name, pattern)
    for broken, message in RULES:
        if broken(config):
            raise ConfigError(message.format(c=config))
    for name, default in vars(OtherFields()).items():
        value = getattr(config, name)
        if name not in CONFIG_CHECKS and value != default and (value or default):
            raise ConfigError(
                f"{name}={value!r} is not supported by this library: only its default, "
                f"{default!r}, is"
            )
    for name, check in CONFIG_CHECKS.items():
        if getattr(config, name) not in (None, False, True, {}):
            check(config)


def check_numbers(config: Any) -> None:
    """Ranks are whole and positive, alphas positive, and dropout is a share below 1."""
    for name, (table, right, message) in NUMBERS.items():
        values = {"": getattr(config, name)} | (getattr(config, table) if table else {})
        for module, value in values.items():
            if not right(value):
                where = f" ({table}[{module!r}])" if module else ""
                raise ConfigError(message.format(value=value, where=where))
    layers = config.layers_to_transform
    for each in layers if isinstance(layers, list | tuple) else [layers or 0]:
        if not is_number(each, whole=True) or each < 0:
            raise ConfigError(
                f"layers_to_transform holds whole numbers from 0 on, and not {each!r}"
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
    known = ["gaussian", *INITIALISATIONS]
    if not isinstance(init, bool) and not any(re.fullmatch(each, str(init)) for each in known):
        names = [each.replace(r"\d+", "N") for each in known]
        raise ConfigError(
            f"Unknown initialization init_lora_weights={init!r}. Supported are True, False, "
            f"{', '.join(names[:-1])} and {names[-1]}.{did_you_mean(init, names, 0.7)}"
        )
