"""The base's own tensors under the names that they had before any adapter: got, and set."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ....errors import AdapterFileError, MergeError, did_you_mean
from ....undo import all_or_nothing, write
from ...files import LoadResult
from ...tuner import injected_model
from ...tuner_layer import StandIn
from .biases import BiasBank


def get_base_model_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The base's tensors by the base's own names, as `base.state_dict()` gave them.

    They are the base's values also while adapters are merged, while they train its biases, and
    while PiSSA, OLoRA or LoftQ stand in place of a part of it; PEFT gives those that are in the
    model. Raises MergeError where adapters are merged without a backup.
    """
    live, standing = _tensors(model), _standing(model)
    return {name: standing.get(name, tensor).detach() for name, tensor in live.items()}


def set_base_model_state_dict(
    model: nn.Module, state_dict: dict[str, Tensor], strict: bool = True
) -> LoadResult:
    """Give the base these values, by the base's own names; the adapters stay.

    Raises AdapterFileError, with nothing changed, for other shapes and, if `strict`, for missing
    and unexpected names; MergeError where the model holds other values in place of the base's.
    """
    live = _tensors(model)
    if standing := _standing(model):
        raise MergeError(
            f"{min(standing)} is not the base's now: unmerge the adapters, and disable those that "
            "train biases or begin with PiSSA, OLoRA or LoftQ"
        )
    missing = [name for name in live if name not in state_dict]
    unexpected = [name for name in state_dict if name not in live]
    problems = [f"missing key {name}" for name in missing] if strict else []
    for name in unexpected if strict else ():
        problems.append(f"unexpected key {name}.{did_you_mean(name, missing or live)}")
    for name in live.keys() & state_dict.keys():
        shapes = tuple(state_dict[name].shape), tuple(live[name].shape)
        if shapes[0] != shapes[1]:
            problems.append(f"{name} has the shape {shapes[0]}, and in the model {shapes[1]}")
    if problems:
        raise AdapterFileError("\n- ".join(["the state_dict does not fit:", *sorted(problems)[:8]]))
    with all_or_nothing(model):
        for name in live.keys() & state_dict.keys():
            write(live[name], state_dict[name])
    return LoadResult(missing, unexpected)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """What stands in the base's places, by the base's own names."""
    result: dict[str, Any] = {}

    def walk(module: nn.Module, prefix: str) -> None:
        plain = _plain(module)
        plain._save_to_state_dict(result, prefix, True)
        for name, child in plain._modules.items():
            if child is not None:
                walk(child, f"{prefix}{name}.")

    walk(injected_model(model), "")
    return {name: value for name, value in result.items() if isinstance(value, Tensor)}


def _plain(module: nn.Module) -> Any:
    return module.get_base_layer() if isinstance(module, StandIn) else module


def _standing(model: nn.Module) -> dict[str, Tensor]:
    """The base's values where the model holds others in their place."""
    root = injected_model(model)
    result: dict[str, Tensor] = {}

    def walk(module: Any, prefix: str) -> None:
        layer = module
        while isinstance(layer, StandIn):  # one may stand around another
            kept, taken = getattr(layer, "kept_base", None), getattr(layer, "taken_out", None)
            if kept is not None and not kept.exact:
                raise MergeError(f"{prefix[:-1]} is merged without a backup: its base is lost")
            for key, value in (kept.values if kept is not None else {}).items():
                result[f"{prefix}{key}"] = value
            if taken is not None and taken.in_use(layer):
                result[f"{prefix}weight"] = taken.first
            layer = getattr(layer, "base_layer", None)
        for name, child in _plain(module)._modules.items():
            if child is not None:
                walk(child, f"{prefix}{name}.")

    walk(root, "")
    for bank in vars(root).get("adapter_holders", ()):
        if isinstance(bank, BiasBank) and bank.in_use:
            result |= bank.base
    return result
