"""What is wrong with an adapter's file, tensor by tensor."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from torch import Tensor

from ..errors import AdapterFileError, PeftWarning, did_you_mean


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
