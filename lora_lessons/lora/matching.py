"""Which modules a LoraConfig names. Pure functions on module names; nothing is changed here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import NoMatchingPeftModuleError, did_you_mean

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
    return bool(modules_to_save) and any(matches_any(set(modules_to_save), s) for s in starts)


def layer_index(key: str, layers_pattern: list[str] | str | None) -> int | None:
    """The number of the layer a module sits in: the first number after a named list.

    "model.layers.3.mlp.experts.7.up" is in layer 3. `layers_pattern` names the list.
    """
    patterns = [layers_pattern] if isinstance(layers_pattern, str) else layers_pattern
    for pattern in patterns or [r"[^.]+"]:
        if found := re.match(rf"(?:^|.*?\.){pattern}\.(\d+)\.", key):
            return int(found.group(1))
    return None


def check_target_module_exists(config: LoraConfig, key: str) -> bool:
    """True where the config puts LoRA on the module of this name.

    In this order: exclude_modules, modules_to_save, target_modules, layers_to_transform. Unlike
    PEFT, a target given by its full name obeys layers_to_transform too.
    """
    if matches_any(config.exclude_modules, key) or is_saved_module(config.modules_to_save, key):
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
        if re.match(rf"(.*\.)?({key})$", key_to_match):
            return key
    return key_to_match


def check_every_entry(
    config: LoraConfig, names: list[str], optional: Iterable[str] = (), others: bool = False
) -> None:
    """Raise for an entry of the config that matches no module, with the nearest name.

    `names` are all the model's module names, `optional` the entries that may match nothing (the
    heads a task type adds by itself); `others`: something else trains, such as token rows.
    """
    from .more.adapters.injection_report import check_filters, nothing_matched

    targeted = [name for name in names if check_target_module_exists(config, name)]
    if not targeted and (config.target_modules or not (others or config.modules_to_save)):
        raise NoMatchingPeftModuleError(nothing_matched(config, names))
    if isinstance(config.target_modules, set):
        for entry in sorted(config.target_modules):
            _require("target_modules", entry, any(matches_suffix(entry, n) for n in names), names)
    check_filters(config, names)
    for entry in config.modules_to_save or ():
        found = entry in optional or any(matches_suffix(entry, n) for n in names)
        _require("modules_to_save", entry, found, names)
    for field in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(config, field):
            found = any(get_pattern_key([pattern], n) == pattern for n in targeted)
            _require(field, pattern, found, targeted)


def _require(field: str, entry: str, found: bool, names: list[str]) -> None:
    """Raise where an entry was not found, naming the nearest module."""
    if not found:
        ends = {name.rsplit(".", 1)[-1] for name in names} | set(names)
        raise NoMatchingPeftModuleError(
            f"{field} entry {entry!r} matches no module: not found in the base model."
            f"{did_you_mean(entry, ends)}"
        )
