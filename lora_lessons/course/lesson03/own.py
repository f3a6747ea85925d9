"""Lesson 03's question with the student's own numbers: the alpha that keeps the scaling."""

from __future__ import annotations

import math

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw


def draw(numbers: Draw) -> dict[str, int]:
    """A rank, its alpha, and a larger rank."""
    r = numbers.whole(3, 24)
    return {"r": r, "lora_alpha": numbers.whole(7, 96), "new_r": r + numbers.whole(5, 230)}


def right(r: int, lora_alpha: int, new_r: int) -> tuple[float, float]:
    """The new alpha under alpha / r and under alpha / sqrt(r)."""
    ratio = new_r / r
    return lora_alpha * ratio, lora_alpha * math.sqrt(ratio)


def mistakes(r: int, lora_alpha: int, new_r: int) -> dict[str, Numbers]:
    """What each mistake gives."""
    lora, stabilized = right(r, lora_alpha, new_r)
    return {
        "The two are the wrong way round: alpha / r first, rsLoRA second.": (stabilized, lora),
        "rsLoRA divides by the root of r, so its alpha grows with the root only.": (lora, lora),
        "The larger rank makes the scaling smaller, so alpha must grow.": (
            lora_alpha * r / new_r,
            None,
        ),
        "This is the scaling that you have now. The question is which alpha keeps it.": (
            lora_alpha / r,
            None,
        ),
        "With the same alpha the scaling falls: that is the trap of section 1.": (lora_alpha, None),
        "Under rsLoRA the old scaling is alpha / sqrt(r), not alpha / r.": (
            None,
            lora_alpha / r * math.sqrt(new_r),
        ),
        "The first number was rounded too far: give five digits.": (float(round(lora)), None),
        "The second number was rounded too far: give five digits.": (
            None,
            float(round(stabilized)),
        ),
    }


MY_ALPHAS = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_alphas",
    title="3.8 The alphas of your own",
    points=1,
    minutes=3,
    hints=(
        "Your function of exercise 3.2 gives both numbers: call it twice.",
        "The scaling stays if alpha grows as the rank does; under rsLoRA, as its root does.",
        "lora_alpha * new_r / r, and lora_alpha * (new_r / r) ** 0.5.",
    ),
)
