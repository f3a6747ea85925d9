"""One batch, many adapters: each sample names its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import did_you_mean
from ...layer import LoraLayer
from ...model import PeftModel
from ...plugs import FORWARDS, METHODS, method_of
from ...tuner_layer import AdapterHolder, named_holders

BASE = "__base__"  # stands for no adapter at all


def rows_by_adapter(adapter_names: Iterable[str]) -> dict[str, list[int]]:
    """The row numbers of each adapter, without those of the base."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(adapter_names):
        if name != BASE:
            rows.setdefault(name, []).append(row)
    return rows


def check_rows(x: Tensor, adapter_names: list[str]) -> None:
    """Raise unless there is one name for each sample."""
    if len(x) != len(adapter_names):
        raise ValueError(
            "Length of `adapter_names` should be the same as the number of inputs, but got "
            f"{len(adapter_names)} and {len(x)} respectively."
        )


def mixed_forward(
    layer: LoraLayer, x: Tensor, adapter_names: list[str], *args: Any, **kwargs: Any
) -> Tensor:
    """The layer's result, in which each row has the update of its own adapter.

    x is (batch, ..., in). The base runs once; each adapter runs on its rows.
    """
    check_rows(x, adapter_names)
    if layer.merged:
        raise ValueError(
            "Cannot pass `adapter_names` when there are merged adapters, please call "
            "`unmerge_adapter` first."
        )
    layer.check_rows(adapter_names)
    base = layer.base_layer(x, *args, **kwargs)
    if layer.disable_adapters:
        return base
    result = base.clone()
    for name, rows in rows_by_adapter(adapter_names).items():
        if layer.has_adapter(name):
            index = torch.tensor(rows, device=x.device)
            update = update_of(layer, name, x[index], base[index])
            result[index] = (base[index] + update).to(result.dtype)
    return result


def update_of(layer: LoraLayer, name: str, x: Tensor, base: Tensor) -> Tensor:
    """What an adapter adds to the base's result for its rows."""
    if variant := layer.lora_variant.get(name):
        if not variant.mixes:
            raise ValueError("Cannot pass `adapter_names` when DoRA is enabled.")
        return variant.output(layer, name, x, base)
    _, A, B, scaling, dropout = layer.adapter(name)
    if x.is_floating_point():
        x = x.to(A.weight.dtype)
    update: Tensor = B(A(dropout(x))) * scaling
    return update


@contextmanager
def adapters_per_sample(
    model: nn.Module, adapter_names: list[str], generation: dict[str, Any] | None = None
) -> Iterator[None]:
    """While it is open, every adapter holder in the model gets the samples' adapter names.

    `generation`: the arguments of `generate`, which may compute several rows for one sample.
    """
    holders = [m for m in model.modules() if isinstance(m, AdapterHolder)]
    _check(model, holders, adapter_names)
    copies = 1 if generation is None else copies_of_a_sample(model, generation)
    repeated = [name for name in adapter_names for _ in range(copies)]  # a sample's rows adjoin

    def add_names(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x = next(iter((*args, *kwargs.values())))
        names = repeated if len(x) == len(repeated) else adapter_names  # an encoder has them once
        return args, {**kwargs, "adapter_names": names}

    with ExitStack() as hooks:
        for holder in holders:
            hooks.enter_context(holder.register_forward_pre_hook(add_names, with_kwargs=True))
        yield


@method_of(PeftModel)
def generate(
    model: PeftModel, *args: Any, adapter_names: list[str] | None = None, **kwargs: Any
) -> Any:
    """The base model's own `generate`. `adapter_names` gives each sample its adapter."""
    inner: Any = model.get_base_model()
    if adapter_names is None:
        return inner.generate(*args, **kwargs)
    with adapters_per_sample(model, adapter_names, kwargs):
        return inner.generate(*args, **kwargs)


def copies_of_a_sample(model: nn.Module, generation: dict[str, Any]) -> int:
    """The rows that `generate` computes for each sample: its beams, or the sequences it returns."""
    settings = generation.get("generation_config") or getattr(model, "generation_config", None)
    names = ("num_beams", "num_return_sequences")
    return max(generation.get(name) or getattr(settings, name, None) or 1 for name in names)


def _check(model: nn.Module, holders: Iterable[AdapterHolder], adapter_names: list[str]) -> None:
    """Names can be given in evaluation only, and each must be an adapter of the model."""
    if model.training:
        raise ValueError("Cannot pass `adapter_names` when the model is in training mode.")
    known = {name for holder in holders for name in holder._get_available_adapters()}
    unknown = sorted(set(adapter_names) - known - {BASE})
    if unknown:
        raise ValueError(
            f"Trying to infer with non-existing adapter(s): {', '.join(unknown)}."
            f"{did_you_mean(unknown[0], known)}"
        )
    for _, holder in named_holders(model):
        holder.check_rows(adapter_names)


FORWARDS["adapter_names"] = mixed_forward
METHODS["adapters_per_sample"] = adapters_per_sample
