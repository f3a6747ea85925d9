"""Which modules a LoraConfig names. Pure functions on module names; nothing is changed here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import NoMatchingPeftModuleError
from .plugs import METHODS
from .tuner_layer import canonical_name

if TYPE_CHECKING:
    from .config import LoraConfig


def matches_suffix(entry: str, key: str) -> bool:
    """True where `entry` is the whole name or what follows a dot: "proj" is not "q_proj"."""
    return key == entry or key.endswith(f".{entry}")


def matches_any(entries: Iterable[str] | str | None, key: str) -> bool:
    """A string must match the full name as a regular expression; a list matches by suffix."""
    if not entries:
        return False
    if isinstance(entries, str):
        return re.fullmatch(entries, key) is not None
    return any(matches_suffix(entry, key) for entry in entries)


def is_saved_module(modules_to_save: Iterable[str] | None, key: str) -> bool:
    """True for a module in modules_to_save and for everything inside it."""
    parts = key.split(".")
    starts = (".".join(parts[: i + 1]) for i in range(len(parts)))
    return any(matches_any(set(modules_to_save or ()), start) for start in starts)


def layer_index(key: str, layers_pattern: list[str] | str | None) -> int | None:
    """The number of the layer a module sits in, as PEFT finds it: the first one after a list.

    "model.layers.3.mlp.experts.7.up" is in layer 3. Without `layers_pattern`, which names the
    list, a word must stand before the list's own: "h.11.attn" alone is in no layer.
    """
    patterns = [layers_pattern] if isinstance(layers_pattern, str) else layers_pattern
    for pattern in [rf"(?:^|.*?\.){named}" for named in patterns or ()] or [r".*?\.[^.]*"]:
        if found := re.match(rf"{pattern}\.(\d+)\.", key):
            return int(found.group(1))
    return None


def check_target_module_exists(config: LoraConfig, key: str) -> bool:
    """True where the config puts LoRA on the module of this name.

    In this order: exclude_modules, modules_to_save, target_modules, layers_to_transform. Unlike
    PEFT, a target given by its full name obeys layers_to_transform too.
    """
    key = canonical_name(key)
    if config.exclude_modules and matches_any(config.exclude_modules, key):
        return False
    if config.modules_to_save and is_saved_module(config.modules_to_save, key):
        return False
    if not matches_any(config.target_modules, key):
        return False
    layers = config.layers_to_transform
    if layers is None or layers == []:
        return True
    wanted = [layers] if isinstance(layers, int) else layers
    return layer_index(key, config.layers_pattern) in wanted


def get_pattern_key(pattern_keys: Iterable[str], key_to_match: str) -> str:
    """The first pattern of rank_pattern or alpha_pattern that fits the name, else the name.

    A pattern is a regular expression for the end of the name, from a dot on; "^name" starts at
    the model.
    """
    for key in pattern_keys:
        if re.match(rf"(.*\.)?({key})$", canonical_name(key_to_match)):
            return key
    return key_to_match


def check_every_entry(
    config: LoraConfig,
    names: list[str],
    optional: Iterable[str] = (),
    others: bool = False,
    ranked: Iterable[str] = (),
) -> list[str]:
    """The names that the config targets; raises for an entry that matches no module.

    `names` are all the model's module names, `optional` the entries that may match nothing (heads
    of a task type), `ranked` what else has a rank; `others`: something else trains, as token rows.
    """
    targeted = [name for name in names if check_target_module_exists(config, name)]
    own_names = [canonical_name(name) for name in names]
    if not targeted and (config.target_modules or not others):
        raise NoMatchingPeftModuleError(METHODS["nothing_matched"](config, names))
    wanted = {"target_modules": config.target_modules, "modules_to_save": config.modules_to_save}
    for field, entries in wanted.items():
        for entry in sorted(entries or ()) if not isinstance(entries, str) else ():
            if entry not in optional and not any(matches_suffix(entry, n) for n in own_names):
                METHODS["unmatched"](config, field, entry, own_names)
        if field == "target_modules" and (config.exclude_modules or config.layers_to_transform):
            METHODS["check_filters"](config, names)
    for field, patterns in (
        ("rank_pattern", config.rank_pattern),
        ("alpha_pattern", config.alpha_pattern),
    ):
        for pattern in patterns:
            with_rank = [*targeted, *ranked]
            if not any(get_pattern_key([pattern], n) == pattern for n in with_rank):
                METHODS["unmatched"](config, field, pattern, with_rank)
    return targeted
