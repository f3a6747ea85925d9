"""What is wrong with an adapter's file, tensor by tensor."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from ....errors import AdapterFileError, PeftWarning, did_you_mean
from ...config import LoraConfig, PeftConfig

SCALING_FIELDS = ("lora_alpha", "use_rslora", "alpha_pattern")


def warn_of_other_scaling(
    config: LoraConfig, model_id: str | Path, subfolder: str | None, **hub: Any
) -> None:
    """Warn where a file's own config scales its update otherwise than the adapter it goes into."""
    try:
        saved = PeftConfig.from_pretrained(model_id, subfolder, **hub)
    except (ValueError, OSError):  # no config beside the weights
        return
    pairs = [(name, getattr(saved, name), getattr(config, name)) for name in SCALING_FIELDS]
    differing = [
        f"{name}={theirs!r}, and not {ours!r}" for name, theirs, ours in pairs if theirs != ours
    ]
    if differing:
        warnings.warn(
            "the file was trained with another scaling than the adapter it is loaded into has: "
            f"{'; '.join(differing)}. The update's strength is not what it was.",
            PeftWarning,
            stacklevel=3,
        )


def problems_of(
    given: dict[str, Tensor],
    expected: dict[str, Tensor],
    missing: list[str],
    unexpected: list[str],
) -> list[str]:
    """A sentence for each tensor at fault."""
    shared = [key for key in expected if key in given]
    return [
        *(f"missing key {key}" for key in missing),
        *(f"unexpected key {key}.{did_you_mean(key, missing)}" for key in unexpected),
        *(_size_problem(k, given, expected) for k in shared if given[k].shape != expected[k].shape),
        *(
            f"{key} has values that are not finite (NaN or infinite)"
            for key in shared
            if not given[key].isfinite().all()
        ),
    ]


def require_adapter(expected: dict[str, Tensor], adapter_name: str, known: Iterable[str]) -> None:
    """Raise where the model has nothing that could be loaded under this adapter's name."""
    if not expected:
        raise ValueError(f"Adapter {adapter_name} not found.{did_you_mean(adapter_name, known)}")


def require_values(
    tensors: dict[str, Tensor], names: dict[int, str], state_dict: dict[str, Tensor]
) -> None:
    """Raise where a state_dict has a value for none of an adapter's tensors.

    `names` are the names in the state_dict by the id of the live tensor.
    """
    if tensors and not any(id(tensor) in names for tensor in tensors.values()):
        raise ValueError(
            "the state_dict has values for none of the adapter's tensors: its names must be those "
            f"of the model's own state_dict(), and it has {next(iter(state_dict), 'none')!r}"
        )


def _size_problem(key: str, given: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    return (
        f"size mismatch for {key}: the file has shape {tuple(given[key].shape)}, the model "
        f"{tuple(expected[key].shape)}"
    )


def report_problems(problems: list[str], strict: bool, forgiven: Iterable[str] = ()) -> None:
    """Raise AdapterFileError with all problems, or warn of those that are to be overlooked."""
    soft = [p for p in problems if not strict or any(key in p for key in forgiven)]
    hard = [p for p in problems if p not in soft]
    shown = hard[:8] or soft[:8]
    rest = len(hard or soft) - len(shown)
    text = "\n- ".join(["the adapter's file does not fit the model:", *shown])
    text += f"\n- and {rest} more" if rest else ""
    if hard:
        raise AdapterFileError(text)
    if soft:
        warnings.warn(f"Found missing adapter keys or others: {text}", PeftWarning, stacklevel=3)
