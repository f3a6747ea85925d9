"""Adapters of models whose modules transformers has renamed since: vision-language models mostly.

transformers renames the keys of old checkpoints of the base as it loads them. An adapter's keys are
the same modules' names, so the same rules fit them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ...files import PREFIX
from ...tuner import injected_model


def renamed_as_the_base(
    model: nn.Module, given: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The file's tensors by the model's keys, where transformers' rules for its base lead there.

    A key that the model has keeps its name, and so does one that the rules lead nowhere, or to a
    name that is taken: loading then says what is wrong.
    """
    rules = renamings(injected_model(model))
    result: dict[str, Tensor] = {}
    for key, tensor in given.items():
        prefix = PREFIX if key.startswith(PREFIX) else ""
        name = key.removeprefix(prefix)
        for rule in rules if key not in expected else ():
            name = rule.rename_source_key(name)[0]
        free = prefix + name in expected and prefix + name not in given
        result[prefix + name if free and prefix + name not in result else key] = tensor
    return result


def renamings(model: nn.Module) -> list[Any]:
    """transformers' rules that rename a key and leave its tensor; none for other models."""
    if not hasattr(getattr(model, "config", None), "model_type"):
        return []
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightRenaming
    except ImportError:  # before version 5 there are none
        return []
    known: Any = model
    return [
        rule for rule in get_model_conversion_mapping(known) if isinstance(rule, WeightRenaming)
    ]
