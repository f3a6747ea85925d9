"""What came out in lesson 11, as sentences whose numbers are read off the recorded runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .figures import LORA, SAME_LOGITS, by_place, milliseconds, saving
from .tables import pairs, ratio, size_words

Row = Mapping[str, Any]
SMALL, LARGE, BUSY = "5 M, 16 x 128", "8 B, 1 x 2048", "1 B, 8 x 2048"


def came_out(
    predicted: Sequence[Row],
    measured: Sequence[Row],
    timed: Sequence[Row],
    timed_1b: Sequence[Row],
) -> list[str]:
    """Four sentences: what LoRA saves, how good the predictions are, recomputing, and time."""
    return [
        _saved(by_place(predicted), by_place(measured)),
        _off(predicted, measured),
        _recomputed(by_place(measured), timed_1b),
        _times(timed, timed_1b),
    ]


def _saved(
    predicted: Mapping[str, Mapping[str, Row]], measured: Mapping[str, Mapping[str, Row]]
) -> str:
    small, large = measured[SMALL], 100 * saving(measured[LARGE])
    alike = 100 * saving(predicted[LARGE], SAME_LOGITS)
    return (
        f"LoRA's peak is {100 * saving(small):.0f} % below that of full fine-tuning in bf16 on the "
        f"5 M model, {100 * saving(small, SAME_LOGITS):.0f} % with the same logits; for 8 B and "
        f"one row of 2,048 tokens it is {large:.0f} % below, with the same logits {alike:.0f} % "
        "(predicted)."
    )


def _off(predicted: Sequence[Row], measured: Sequence[Row]) -> str:
    both = pairs(predicted, measured)
    off = [told["peak"] / seen["peak"] - 1 for told, seen in both]
    large = [o for o, (_, seen) in zip(off, both, strict=True) if seen["peak"] > 2**30]
    return (
        f"Of {len(both)} predicted peaks the furthest is off by {100 * max(off, key=abs):+.1f} %; "
        f"above 1 GiB, by {100 * max(large, key=abs):+.1f} %."
    )


def _recomputed(measured: Mapping[str, Mapping[str, Row]], timed: Sequence[Row]) -> str:
    arms = measured[BUSY]
    ms = {row["arm"]: milliseconds(row) for row in timed if "failed" not in row}
    again = "LoRA, recomputed"
    return (
        f"At 1 B with 8 x 2,048 recomputing takes LoRA from {size_words(arms[LORA]['peak'])} to "
        f"{size_words(arms[again]['peak'])}, and a step from {ms[LORA]:.0f} to {ms[again]:.0f} ms."
    )


def _times(timed: Sequence[Row], timed_1b: Sequence[Row]) -> str:
    nano, small = (ratio(timed, size, "eager") for size in ("nano", "135 M"))
    captured = [ratio(timed, size, "captured") for size in ("nano", "135 M")]
    large, alike = (ratio(timed_1b, "1 B", "eager", arm) for arm in (LORA, SAME_LOGITS))
    return (
        f"Launched one by one, LoRA's step takes {nano:.2f} of full fine-tuning's time on the nano "
        f"and {small:.2f} on the 135 M shape; captured, {captured[0]:.2f} and {captured[1]:.2f}. "
        f"At 1 B it takes {large:.2f}, with the same logits {alike:.2f}. By the operations alone "
        "it would be 0.67."
    )
