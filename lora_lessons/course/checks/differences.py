"""What a wrong result has in common with the right one, in one sentence.

Each sentence is tried on the numbers first: it is told where it alone turns the right result into
the one that was returned. So it needs no list of mistakes, and holds for those nobody foresaw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import permutations

import torch
from torch import Tensor

Close = Callable[[Tensor, Tensor], bool]
POWERS = {1.0: "{}", 0.5: "the root of {}", 2.0: "{} squared"}


def finding(value: Tensor, expected: Tensor, close: Close) -> str:
    """The first sentence that explains the whole difference; empty where none does.

    `value` and `expected` are float64 and of one shape.
    """
    if value.numel() == 1:
        return next(_of_a_number(value.flatten(), expected.flatten(), close), "")
    return next(_of_a_tensor(value, expected, close), "")


def pattern(value: Tensor, expected: Tensor, close: Close) -> str:
    """Where a wrong tensor is wrong, or in which measure: less than an explanation."""
    if value.numel() == 1:
        return ""
    ratio = constant_ratio(value, expected)
    if ratio is not None and not abs(ratio - 1) <= 1e-3:
        return f"All its numbers are {ratio:.6g} times what they should be: one factor is wrong."
    lines = (_of_places(value, expected, close), _of_lines(value, expected, close))
    return next((said for found in lines for said in found), "")


# --- a constant ratio --------------------------------------------------------------------------


def constant_ratio(value: Tensor, expected: Tensor) -> float | None:
    """value / expected where that is one number for all entries."""
    value, expected = value.flatten(), expected.flatten()
    big = expected.abs() > 1e-2 * expected.abs().max()  # the others are mostly rounding
    ratio = value[big] / expected[big]
    if not ratio.numel() or not (ratio - ratio[0]).abs().max() < 1e-4 * ratio[0].abs():
        return None
    rest = (value - ratio[0] * expected).abs().max() < 1e-3 * value.abs().max()
    return ratio[0].item() if rest else None


def of_factors(value: Tensor, expected: Tensor, factors: Mapping[str, float]) -> str:
    """Which numbers of the task are one time too many in the result, or too few.

    That is told where value / expected is one number for all entries, and the power of one factor
    alone, or the ratio of two. `factors` has them by the names that a learner knows.
    """
    ratio = constant_ratio(value, expected) if expected.any() else None
    if ratio is None or ratio <= 0:
        return ""
    usable = {name: f for name, f in factors.items() if f > 0 and not abs(f - 1) <= 1e-3}
    found = [
        _times(name, power, sign)
        for name, factor in usable.items()
        for power in POWERS
        for sign in (1, -1)
        if abs(ratio / factor ** (sign * power) - 1) < 1e-4
    ] or [
        f"It is {above} / {below} times what is expected: the rest of it is right."
        for (above, a), (below, b) in permutations(usable.items(), 2)
        if abs(ratio * b / a - 1) < 1e-4
    ]
    return found[0] if len(found) == 1 else ""


def _times(name: str, power: float, sign: int) -> str:
    what = POWERS[power].format(name)
    if sign > 0:
        return f"It has {what} as a factor once too often, or was not divided by it."
    return f"It lacks {what} as a factor, or was divided by it once too often."


# --- one number --------------------------------------------------------------------------------


def _of_a_number(value: Tensor, expected: Tensor, close: Close) -> Iterator[str]:
    whole = bool((value == value.round()).all())
    if whole and bool((expected == expected.round()).all()):
        yield from _of_whole_numbers(int(value), int(expected))
    elif whole and abs(value - expected) < 1 and expected.abs() > 0.05:
        yield "It is a whole number: return the number as it is, with its fraction."
    if close(value, 1 - expected):
        yield "This is 1 minus what is expected."
    if not (expected > 0 and (expected - 1).abs() > 0.05 and value.abs() > 1e-6):
        return
    for made, text in (
        (expected.square(), "the square of"), (expected.sqrt(), "the square root of"),
        (1 / expected, "1 divided by"), (expected.log(), "the logarithm of"),
        (expected.clamp(max=600).exp(), "e to the power of"),
    ):  # fmt: skip
        if made.isfinite().all() and close(value, made):
            yield f"This is {text} what is expected."
    yield from _lost_digits(value, expected)


def _of_whole_numbers(value: int, expected: int) -> Iterator[str]:
    if abs(value - expected) == 1:
        yield f"It is one too {'large' if value > expected else 'small'}."
    for step in (64, 32, 16, 8, 4):
        if value % step == 0 and 0 < abs(value - expected) < step:
            yield f"It is rounded {'up' if value > expected else 'down'} to a multiple of {step}."


def _lost_digits(value: Tensor, expected: Tensor) -> Iterator[str]:
    """Numbers that a short float holds exactly, near to the right ones, which it cannot hold."""
    if not (value - expected).abs().max() < 2e-2 * expected.abs().max():
        return
    for dtype in (torch.bfloat16, torch.float16):
        held = torch.equal(value.to(dtype).double(), value)
        if held and not torch.equal(value.round(decimals=2), value):  # 3.5 says nothing
            name = str(dtype).removeprefix("torch.")
            yield f"The numbers have no more digits than {name} holds: compute in float32 or more."


# --- many numbers ------------------------------------------------------------------------------


def _of_a_tensor(value: Tensor, expected: Tensor, close: Close) -> Iterator[str]:
    yield from _of_signs(value, expected, close)
    yield from _of_order(value, expected, close)
    shift = (value - expected).mean()
    if close(value - shift, expected):
        yield f"Every number is {abs(shift.item()):.4g} too {'large' if shift > 0 else 'small'}."
    yield from _lost_digits(value, expected)


def _of_signs(value: Tensor, expected: Tensor, close: Close) -> Iterator[str]:
    if close(value, expected.clamp_min(0)):
        yield "What is below zero was set to 0: is it clamped, or does a relu stand there?"
    if close(value, expected.clamp_max(0)):
        yield "What is above zero was set to 0."
    if close(value.abs(), expected.abs()):
        if not (value < 0).any():
            yield "The sizes are right and every sign is positive: is there an abs()?"
        wrong = (value * expected < 0).sum().item()
        yield f"The sizes are right, and {wrong} of {value.numel()} signs are wrong."


def _of_order(value: Tensor, expected: Tensor, close: Close) -> Iterator[str]:
    if expected.dim() == 2 and expected.shape[0] == expected.shape[1] and close(value, expected.T):
        yield "This is the transpose of what is expected."
    for dim, side in enumerate(expected.shape):
        if side > 1 and close(value, expected.flip(dim)):
            yield f"The numbers are right, and in reverse order along {_along(dim, expected)}."
    if close(value.flatten().sort().values, expected.flatten().sort().values):
        yield "The numbers are right, and stand in another order."


def _of_places(value: Tensor, expected: Tensor, close: Close) -> Iterator[str]:
    """Only some rows, columns or items are wrong."""
    for dim, side in enumerate(expected.shape):
        right = [
            close(value.select(dim, i), expected.select(dim, i))
            or bool((value.select(dim, i) - expected.select(dim, i)).abs().max() < 1e-12)
            for i in range(side)
        ]
        wrong = [i for i, fine in enumerate(right) if not fine]
        fine = [i for i, fine in enumerate(right) if fine]
        if fine and len(wrong) <= side / 2:
            at = ", ".join(map(str, wrong[:6])) + (", ..." if len(wrong) > 6 else "")
            yield f"Along {_along(dim, expected)} it is wrong only at {at}, of 0 to {side - 1}."
        elif fine in ([0], [side - 1]):
            which = "last" if fine[0] else "first"
            yield f"Along {_along(dim, expected)} only the {which} is right."


def _of_lines(value: Tensor, expected: Tensor, close: Close) -> Iterator[str]:
    """All rows alike, or each row off by a factor of its own."""
    for dim, side in enumerate(expected.shape):
        if side < 2:
            continue
        if close(value, value.mean(dim, keepdim=True).expand_as(value)):
            mean = close(value, expected.mean(dim, keepdim=True).expand_as(value))
            how = "the mean over it" if mean else "one and the same"
            yield f"Along {_along(dim, expected)} the numbers should differ, and they are {how}."
        others = [d for d in range(expected.dim()) if d != dim]
        if not others:
            continue
        energy = expected.square().sum(others, keepdim=True).clamp_min(1e-30)
        scale = (value * expected).sum(others, keepdim=True) / energy
        if close(value, scale * expected):
            yield f"Along {_along(dim, expected)} each one is off by a factor of its own."


def _along(dim: int, expected: Tensor) -> str:
    """What a learner calls this dimension."""
    if expected.dim() == 2:
        return ("the rows", "the columns")[dim]
    return "the entries" if expected.dim() == 1 else f"dimension {dim}"
