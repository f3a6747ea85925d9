"""A fingerprint of an experiment's behaviour: the numbers of a tiny run, in float64 on a CPU.

A recorded result is stale when the code that made it now computes something else. A hash of the
source would change with each comment; the numbers change only with the behaviour.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

from . import Recording

DIGITS = 6
RELATIVE = 1e-5
OF_ROUNDING = 0.05
ABSOLUTE = 1e-9


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """The same lists and dicts with every float at `digits` significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, dict):
        return {str(key): rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    return value


def fingerprint(recording: Recording) -> dict[str, float] | None:
    """Run the experiment with its tiny settings; return {where in the result: number}.

    Left out are texts, which turn on one near tie between two tokens, and seconds.
    """
    if recording.tiny_settings is None:
        return None
    result = recording.experiment(**recording.tiny_settings)
    return rounded(dict(_numbers(result)))


def _numbers(value: Any, where: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key != "seconds":
                yield from _numbers(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _numbers(item, f"{where}[{i}]")
    elif isinstance(value, int | float):
        yield where, value


def differences(
    recorded: dict[str, float], now: dict[str, float], rounding: Collection[str] = ()
) -> list[str]:
    """One line for each number that is missing, new or no longer the same.

    Numbers whose last name is in `rounding` may differ by 5 % from one processor to another.
    """
    lines = []
    for where in sorted(recorded.keys() | now.keys()):
        old, new = recorded.get(where), now.get(where)
        tolerance = OF_ROUNDING if where.rpartition(".")[2] in rounding else RELATIVE
        if old is None or new is None or not _same(old, new, tolerance):
            lines.append(f"{where}: {old} recorded, {new} now")
    return lines


def _same(old: float, new: float, tolerance: float) -> bool:
    close = math.isclose(old, new, rel_tol=tolerance, abs_tol=ABSOLUTE)
    return close or (math.isnan(old) and math.isnan(new))
