"""The adapter's files, in PEFT's format: adapter_config.json and adapter_model.safetensors.

Keys are the module's path, then the factor, without the adapter's name:
"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight". They are built from the model's
structure, so that saving and loading cannot disagree, whatever an adapter is called.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from ..errors import AdapterFileError, did_you_mean
from ..undo import all_or_nothing, write
from .storage import WEIGHTS_NAME, adapter_path, write_whole
from .trainable import adapter_holders, plain_name

PREFIX = "base_model.model."  # what PeftModel puts before every name


class LoadResult(NamedTuple):
    """Keys that a file lacked, and keys that the model did not know."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def adapter_tensors(model: nn.Module, adapter_name: str) -> dict[str, Tensor]:
    """An adapter's live tensors by their keys in a file."""
    names = {id(module): name for name, module in model.named_modules()}
    tensors = {}
    for holder in adapter_holders(model):
        name = names[id(holder)]
        for suffix, tensor in holder.file_tensors(adapter_name).items():
            tensors[f"{name}.{suffix}" if name else suffix] = tensor
    return tensors | _bias_tensors(model, adapter_name)


def _bias_tensors(model: nn.Module, adapter_name: str) -> dict[str, Tensor]:
    """The base's biases that the adapter trains, by their names; one that is shared by each."""
    from .more.adapters.biases import bias_bank

    injected = injected_model(model)
    values = bias_bank(injected).values_of(injected, adapter_name)
    prefix = PREFIX if injected is not model else ""
    now = {plain_name(name): name for name, _ in injected.named_parameters(remove_duplicate=False)}
    return {prefix + now[name]: value for name, value in values.items()}


def injected_model(model: nn.Module) -> nn.Module:
    """The model that the adapters were put into, without the wrappers of PeftModel."""
    tuner = model if hasattr(type(model), "lora_layers") else getattr(model, "base_model", None)
    return tuner.model if hasattr(type(tuner), "lora_layers") else model


def get_peft_model_state_dict(
    model: nn.Module,
    state_dict: dict[str, Tensor] | None = None,
    adapter_name: str = "default",
    unwrap_compiled: bool = False,
    save_embedding_layers: bool | str = "auto",
) -> dict[str, Tensor]:
    """An adapter's tensors by the keys of its file.

    `state_dict` gives other values for the model's names, as a sharded model's gathered one does.
    `save_embedding_layers` adds whole embeddings; "auto" does if targeted or resized.
    """
    from .more.adapters.embeddings import embedding_tensors
    from .more.adapters.load_report import require_values

    model = getattr(model, "_orig_mod", model) if unwrap_compiled else model
    if adapter_name not in (known := model.peft_config):
        raise ValueError(f"Adapter {adapter_name} not found.{did_you_mean(adapter_name, known)}")
    tensors = adapter_tensors(model, adapter_name)
    tensors |= embedding_tensors(model, model.peft_config[adapter_name], save_embedding_layers)
    if state_dict is not None:
        live = model.state_dict(keep_vars=True).items()
        names = {id(tensor): name for name, tensor in live if name in state_dict}
        require_values(tensors, names, state_dict)
        return {k: state_dict[names[id(t)]] if id(t) in names else t for k, t in tensors.items()}
    return {key: tensor.detach() for key, tensor in tensors.items()}


def set_peft_model_state_dict(
    model: nn.Module,
    peft_model_state_dict: dict[str, Tensor],
    adapter_name: str = "default",
    ignore_mismatched_sizes: bool = False,
    low_cpu_mem_usage: bool = False,
    strict: bool = True,
) -> LoadResult:
    """Copy a file's tensors into an adapter that the model already has.

    Missing, unexpected, misshapen and not finite tensors raise AdapterFileError, each named, before
    anything is written; with `strict=False` they are left out with a warning.
    """
    from .more.adapters.embeddings import embedding_targets
    from .more.adapters.load_report import problems_of, report_problems, require_adapter
    from .more.adapters.meta import materialize

    if low_cpu_mem_usage:
        materialize(model, adapter_name)
    expected = adapter_tensors(model, adapter_name)
    require_adapter(expected, adapter_name, getattr(model, "peft_config", ()))
    given = _with_matching_prefix(peft_model_state_dict, expected)
    expected |= embedding_targets(model, adapter_name, given, expected)
    missing = [key for key in expected if key not in given]
    unexpected = [key for key in given if key not in expected and not _is_surplus(key)]
    shared = [key for key in expected if key in given]
    misshapen = [key for key in shared if given[key].shape != expected[key].shape]
    problems = problems_of(given, expected, missing, unexpected)
    report_problems(problems, strict, forgiven=misshapen if ignore_mismatched_sizes else ())
    fits = [k for k in shared if k not in misshapen and given[k].isfinite().all()]
    with all_or_nothing(model):
        for key in fits:
            write(expected[key], given[key])
    return LoadResult(missing, unexpected)


def _with_matching_prefix(given: dict[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    """The file's tensors; without PeftModel's prefix for a model injected without PeftModel."""
    if any(key.startswith(PREFIX) for key in expected):
        return dict(given)
    return {key.removeprefix(PREFIX): tensor for key, tensor in given.items()}


def _is_surplus(key: str) -> bool:
    """Keys without use, which PEFT writes under bias="all" and for a resized vocabulary."""
    return key.rpartition(".")[0].endswith((".original_module", ".modules_to_save"))


def save_adapter(folder: Path, config_json: str, tensors: dict[str, Tensor]) -> None:
    """Write both files into a folder, whole or not at all."""
    from safetensors.torch import save

    own = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    weights = save(own, metadata={"format": "pt"})
    write_whole(
        {folder / WEIGHTS_NAME: weights, folder / "adapter_config.json": config_json.encode()}
    )


def load_peft_weights(
    model_id: str | Path, device: str | None = None, subfolder: str | None = None, **hub: Any
) -> dict[str, Tensor]:
    """Read adapter_model.safetensors from a folder or the hub. A pickle is refused."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = adapter_path(model_id, WEIGHTS_NAME, subfolder, **hub)
    try:
        return load_file(path, device=device or "cpu")
    except (SafetensorError, ValueError) as error:
        raise AdapterFileError(f"{path} is not a whole safetensors file: {error}") from error
