"""What is wrong with a file that does not fit an adapter: each tensor at fault, by name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

from torch import Tensor

from ....errors import AdapterFileError, PeftWarning, did_you_mean
from ...files import LoadResult
from ...plugs import METHODS
from .spelling import key_difference


def faults(
    given: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    strict: bool,
    ignore_mismatched_sizes: bool,
) -> tuple[LoadResult, set[str]]:
    """(missing and unexpected keys, the keys of all tensors at fault), where all is overlooked.

    What is not overlooked raises AdapterFileError; what is gets a warning.
    """
    missing = [key for key in expected if key not in given]
    unexpected = [key for key in given if key not in expected and not _is_surplus(key)]
    problems = problems_of(given, expected, missing, unexpected)
    misshapen = {k for k in expected if k in given and given[k].shape != expected[k].shape}
    forgiven = misshapen if ignore_mismatched_sizes else ()
    report_problems(problems, strict, forgiven, missing, unexpected)
    return LoadResult(missing, unexpected), set(dict(problems))


def _is_surplus(key: str) -> bool:
    """Keys without use, which PEFT writes under bias="all" and for a resized vocabulary."""
    return key.rpartition(".")[0].endswith((".original_module", ".modules_to_save"))


def problems_of(
    given: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    missing: list[str],
    unexpected: list[str],
) -> list[tuple[str, str]]:
    """(key, a sentence about it) for each tensor at fault."""
    problems = [(key, f"missing key {key}") for key in missing]
    for key in unexpected:
        problems.append((key, f"unexpected key {key}.{did_you_mean(key, missing)}"))
    for key, tensor in expected.items():
        if key in given and given[key].shape != tensor.shape:
            shapes = (
                f"the file has shape {tuple(given[key].shape)}, the model {tuple(tensor.shape)}"
            )
            problems.append((key, f"size mismatch for {key}: {shapes}"))
    for key in expected:
        if key in given and not given[key].isfinite().all():
            problems.append((key, f"{key} has values that are not finite (NaN or infinite)"))
    return problems


def report_problems(
    problems: list[tuple[str, str]],
    strict: bool,
    forgiven: Iterable[str] = (),
    missing: list[str] | None = None,
    unexpected: list[str] | None = None,
) -> None:
    """Raise AdapterFileError with all problems, or warn of those that are to be overlooked.

    `forgiven` are keys whose shape may differ. Where keys are `missing` and others `unexpected`,
    the first line says how the two spellings differ.
    """
    soft: list[str] = []
    hard: list[str] = []
    for key, text in problems:
        overlooked = key in forgiven and text.startswith("size mismatch")
        (soft if overlooked or not strict else hard).append(text)
    if not soft and not hard:
        return
    shown = (hard or soft)[:8]
    rest = len(hard or soft) - len(shown)
    both = key_difference(missing, unexpected) if missing and unexpected else ""
    text = "\n- ".join([f"the adapter's file does not fit the model:{both}", *shown])
    text += f"\n- and {rest} more" if rest else ""
    if hard:
        raise AdapterFileError(text)
    warnings.warn(f"Found missing adapter keys or others: {text}", PeftWarning, stacklevel=3)


METHODS["faults"] = faults
