"""Files whose keys or values are spelt in another way than ours, and what is said of them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ....errors import AdapterFileError, ConfigError, PeftWarning
from ...files import PREFIX
from ...plugs import METHODS
from ...tuner_layer import canonical_name
from .embeddings import embedding_targets
from .renamed import renamed_as_the_base

# Values of init_lora_weights, by whether they change the base that the file is for.
LEAVES_THE_BASE = ("mica",)
CHANGES_THE_BASE = ("corda", "lora_ga", "lora-ga")


def brought_together(
    model: nn.Module, adapter_name: str, given: dict[str, Tensor], expected: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The file's tensors and the model's, of a file that has keys which the adapter has not.

    Keys in another spelling get the model's; whole embeddings have a place in the model; the base's
    other tensors are left out.
    """
    given = respelled(model, adapter_name, given, expected)
    expected = expected | embedding_targets(model, adapter_name, given, expected)
    return without_base(model, given, expected), expected


def respelled(
    model: nn.Module,
    adapter_name: str,
    given: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The file's tensors under the model's keys, where a safe spelling differs from them.

    Safe is what cannot mean two things: no prefix or one too many, the adapter's name inside the
    key, a wrapper's name, an old name of the base's own modules.
    """
    result = _respelled(adapter_name, given, expected)
    return (
        result if result.keys() <= expected.keys() else renamed_as_the_base(model, result, expected)
    )


def _respelled(
    adapter_name: str, given: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    plain = {_plain(key): key for key in expected}
    if len(plain) < len(expected):  # keys that only a prefix tells apart
        return dict(given)
    result: dict[str, Tensor] = {}
    for key, tensor in given.items():
        spelt = key if key in expected else plain.get(_plain(key, adapter_name), key)
        taken = (spelt in given and spelt != key) or spelt in result
        result[key if taken else spelt] = tensor
    return result


def without_base(
    model: nn.Module, given: dict[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The file's tensors without those of the base, where it is a whole `model.state_dict()`."""
    surplus = given.keys() - expected.keys()
    if not any(key.endswith(".base_layer.weight") for key in surplus):
        return given
    own = {canonical_name(name) for name in model.state_dict()}
    left_out = surplus & own
    _warn(f"the file has {len(left_out)} tensors that are not the adapter's: they are left out")
    return {key: tensor for key, tensor in given.items() if key not in left_out}


def _plain(key: str, adapter_name: str = "") -> str:
    """A key without prefixes, wrappers' names and the adapter's name."""
    key = canonical_name(key).removeprefix("module.")
    while key.startswith(PREFIX):
        key = key.removeprefix(PREFIX)
    if adapter_name:
        parts = r"lora_[A-Za-z_]+|modules_to_save|trainable_tokens_delta"
        key = re.sub(rf"({parts})\.{re.escape(adapter_name)}(?=\.|$)", r"\1", key)
        key = key.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")
        key = key.replace(".modules_to_save.", ".")
    return key


def key_difference(missing: list[str], unexpected: list[str]) -> str:
    """How the file's keys differ from the model's, by the two that are most alike at their ends."""
    theirs, ours = max(
        ((theirs, ours) for theirs in unexpected[:64] for ours in missing[:64]),
        key=lambda pair: _common_end(*pair),
    )
    shared = _common_end(theirs, ours)
    start, other = theirs[: len(theirs) - shared], ours[: len(ours) - shared]
    return (
        f" the file has {theirs!r}, the model has {ours!r}; they differ by {start!r} and {other!r}"
        ". `key_mapping={pattern: replacement}` renames a file's keys"
    )


def _common_end(one: str, other: str) -> int:
    """How many letters two keys share at their ends."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def renamed_keys(tensors: Mapping[str, Tensor], key_mapping: dict[str, str]) -> dict[str, Tensor]:
    """Keys with the first pattern that is found in them replaced, after "base_model.model."."""
    result: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        prefix = PREFIX if key.startswith(PREFIX) else ""
        name = key.removeprefix(prefix)
        for pattern, replacement in key_mapping.items():
            renamed, count = re.subn(pattern, replacement, name)
            if count:
                name = renamed
                break
        if prefix + name in result:
            raise AdapterFileError(f"key_mapping gives two tensors the key {prefix + name}")
        result[prefix + name] = tensor
    return result


def values_without_start(values: dict[str, Any]) -> dict[str, Any]:
    """A file's values with the default for an initialisation that this library does not know.

    The trained tensors take its place. Raises ConfigError for one that changes the base: the file's
    tensors then belong to weights that loading could not make.
    """
    start = str(values["init_lora_weights"]).lower()
    if start in CHANGES_THE_BASE:
        raise ConfigError(
            f"init_lora_weights={start!r} changes the base's weights, and this library cannot "
            "change them so: load it with PEFT, and save it there with "
            "`path_initial_model_for_weight_conversion`"
        )
    if start not in LEAVES_THE_BASE:
        return values  # the config names what it knows
    _warn(
        f"init_lora_weights={start!r} is how the adapter began, and is not known here: the file's "
        "tensors take its place, and a new adapter would begin with the default."
    )
    return {**values, "init_lora_weights": True}


def _warn(message: str) -> None:
    warnings.warn(message, PeftWarning, stacklevel=5)


for _method in (brought_together, renamed_keys, values_without_start):
    METHODS[_method.__name__] = _method
