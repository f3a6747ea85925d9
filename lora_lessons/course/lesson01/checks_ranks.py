"""The checks of lesson 01's numbers: the error of a cut, the rank for a share, the last saving one.

Every expected value is computed here in float64, by other means than the package's own functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks.cases import first_wrong
from ..checks.core import Wrong, expect, number, whole_number
from .checks import OUT, random_matrix

# --- 1.2 -------------------------------------------------------------------------------------


def check_truncation_error(answer: Callable[..., Any], rng: torch.Generator) -> None:
    S = torch.linalg.svdvals(random_matrix(rng).double())
    k = int(torch.randint(3, 9, (1,), generator=rng))
    _expect_error(answer, S.float(), S, k)
    for values, cut in (
        (S, OUT - 1),  # the last one alone is left out
        (S[:1], 0),
        (S, 0),  # nothing is kept: the norm of W
        (torch.tensor([9.0, 4.0, 4.0, 0.0], dtype=torch.float64), 1),  # ties, and a zero
        (torch.rand(300, generator=rng, dtype=torch.float64).sort(descending=True).values, 40),
        (1e-4 * S, 3),  # a small update: nothing is too small to count
    ):
        _expect_error(answer, values.float(), values, cut)
    _expect_error(answer, S.clone(), S, 5)  # in float64 too
    whole = number(answer(S.float(), OUT))
    if not abs(whole) < 1e-3 * S[0]:
        raise Wrong(f"With all values kept nothing is left out: the error is 0, not {whole:.4g}.")


def _values(*numbers: float) -> Tensor:
    return torch.tensor(numbers)


# exact in any float, and each with one thing more than those before
SIMPLE_VALUES = (
    ("one value, and none kept", (_values(5), 0), 5.0),
    ("two values, and one kept", (_values(5, 4), 1), 4.0),
    ("two values left out", (_values(13, 4, 3), 1), 5.0),
    ("two values kept", (_values(13, 12, 4, 3), 2), 5.0),
    ("three values left out", (_values(20, 12, 4, 3), 1), 13.0),
    ("equal values at the cut", (_values(9, 4, 4, 2), 1), 6.0),
    ("a value of 0", (_values(9, 4, 3, 0), 1), 5.0),
    ("small values", (_values(5e-3, 4e-3, 3e-3), 1), 5e-3),
    ("small values left out beside large ones, which a difference of sums loses",
     (_values(900, 700, 4e-2, 3e-2), 2), 5e-2),
    ("all values kept", (_values(4, 3), 2), 0.0),
    ("60 values", (torch.ones(60), 11), 7.0),
    ("300 values", (torch.ones(300), 44), 16.0),
)  # fmt: skip


def _expect_error(answer: Callable[..., Any], given: Tensor, S: Tensor, k: int) -> None:
    result, energy = answer(given.clone(), k), S.square()
    mistakes = {
        "This is the sum of the singular values. Add their squares, then take the root.": (
            S[k:].sum()
        ),
        "This is the next singular value alone, the error in the spectral norm.": S[k],
        "This is the relative error: it was divided by the norm of W.": (
            (energy[k:].sum() / energy.sum()).sqrt()
        ),
        "The square root is missing at the end.": energy[k:].sum(),
        "This is a share of the energy. The error is the root of what was left out.": (
            energy[k:].sum() / energy.sum()
        ),
        "These are two terms alone: the sum goes on to the last singular value.": (
            energy[k : k + 2].sum().sqrt()
        ),
        "This is a mean. Add the squares up, and divide by nothing.": energy[k:].mean().sqrt(),
        "This is the norm of the part that was kept. The error is what was left out.": (
            energy[:k].sum().sqrt()
        ),
        "One value too many was kept: the first k are kept, so the error starts at S[k].": (
            energy[k + 1 :].sum().sqrt()
        ),
        "One value too few was kept: the first k are S[:k], so the error starts at S[k].": (
            energy[max(k - 1, 0) :].sum().sqrt()
        ),
        "Nothing was cut: this is the norm of W.": energy.sum().sqrt(),
        "This is the last singular value alone. Add the squares of all that were left out.": S[-1],
        "These are the last k values. The first k are kept, and S[k:] left out.": (
            energy[-k:].sum().sqrt()
        ),
        "Norms cannot be subtracted: take the root of the squares that were left out.": (
            energy.sum().sqrt() - energy[:k].sum().sqrt()
        ),
        "The squares are missing under the root.": S[k:].sum().sqrt(),
        "The squares are missing: the root of each, and not of the sum.": S[k:].sqrt().sum(),
        "This is a spread around a mean. Add the squares themselves.": (
            S[k:].std() if len(S) > k + 1 else torch.tensor(-1.0, dtype=torch.float64)
        ),
        "This is the square of the next value alone. Add the squares of all that were left out.": (
            energy[k]
        ),
        "These are the first of them. What is left out starts at S[k].": (
            energy[: len(S) - k].sum().sqrt()
        ),
        "The last value is missing: S[k:] goes to the end.": energy[k:-1].sum().sqrt(),
        "This is in percent of the norm of W. Return the error itself.": (
            100 * (energy[k:].sum() / energy.sum()).sqrt()
        ),
        "It was divided by the root of the number of values: divide by nothing.": (
            (energy[k:].sum() / len(S)).sqrt()
        ),
        "The third powers were added: square.": (S[k:] ** 3).sum() ** (1 / 3),
        "The fourth powers were added: square once.": energy[k:].square().sum().sqrt(),
    }
    kept = (energy[:k].sum() / energy.sum()).sqrt()
    mistakes["This is 1 minus the kept share of the norm. Add the squares left out."] = 1 - kept
    mistakes["The roots were added, and the sum squared. Add the squares, then take the root."] = (
        S[k:].sqrt().sum().square()
    )
    expect(
        result,
        energy[k:].sum().sqrt(),
        k=len(S),
        mistakes=mistakes,
        case=_case(S, k),
        otherwise=lambda: first_wrong(answer, SIMPLE_VALUES),
    )


def _case(S: Tensor, k: int) -> str:
    return f"for {_shown(S)} and k = {k}"


def _shown(S: Tensor) -> str:
    return (
        f"{[float(f'{s:.4g}') for s in S.tolist()]}" if len(S) < 6 else f"{len(S)} singular values"
    )


# --- 1.3 -------------------------------------------------------------------------------------


def check_rank_for_energy(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for share in (0.9, 0.5):
        _expect_rank(answer, torch.linalg.svdvals(random_matrix(rng).double()), share)

    # squares and sums that are exact in any order
    for share, right in ((0.5, 2), (0.25, 1)):
        _expect_exact(answer, [3.0] * 4, share, {
            right + 1: "Where a rank holds exactly the share, it is enough: at least is >=, not >.",
        } if right > 1 else {})  # fmt: skip
    for whole in ([3.0, 2.0, 1.0], [3.0, 2.0, 1.0, 0.0, 0.0]):  # exact sums here too
        _expect_exact(answer, whole, 1.0, {
            4: "For a share of 1 this is one rank more than there are values that are not zero.",
            5: "The last values are zero here: three hold all of the energy.",
        })  # fmt: skip
    # the first holds 0.89 or 0.91, so a rounded or lowered share shows; then long and short ones
    for energy, share in (([0.89, 0.08, 0.03], 0.9), ([0.91, 0.06, 0.03], 0.9), ([1.0], 0.5)):
        for size in (7, 1e-4, 500):  # a share does not depend on the size
            _expect_rank(answer, size * torch.tensor(energy, dtype=torch.float64).sqrt(), share)
    S = torch.rand(300, generator=rng, dtype=torch.float64).sort(descending=True).values
    for share in (0.01, 0.7, 0.99):
        _expect_rank(answer, S, share)


def _expect_exact(
    answer: Callable[..., Any], values: list[float], share: float, mistakes: dict[int, str]
) -> None:
    S = torch.tensor(values, dtype=torch.float64)
    energy = S.square().cumsum(0) / S.square().sum()
    got, right = whole_number(answer(S.float(), share)), _reaches(energy, share)
    if got != right:
        raise Wrong(mistakes.get(got) or _why_not(got, right, energy, share, _shown(S)))


# the rank that each mistake gives, from the singular values and the share
MISTAKEN_RANKS: dict[str, Callable[[Tensor, float], int]] = {
    "This is the rank for a share of the norm. Energy is its square: no root.": lambda S, share: (
        _reaches(_shares(S**2).sqrt(), share)
    ),
    "This is the rank for the sum of S. Energy adds the squares, S * S.": lambda S, share: _reaches(
        _shares(S), share
    ),
    "The share was squared. Compare the energy with it as it is.": lambda S, share: _reaches(
        _shares(S**2), share**2
    ),
    "The third powers were added. Energy adds the squares, S * S.": lambda S, share: _reaches(
        _shares(S**3), share
    ),
    "The fourth powers were added. Energy adds the squares, S * S.": lambda S, share: _reaches(
        _shares(S**4), share
    ),
    "This rank leaves out the share: it must keep it.": lambda S, share: _reaches(
        _shares(S**2), 1 - share
    ),
    "This is every singular value. Count from the largest on, until the share is reached.": (
        lambda S, share: len(S)
    ),
    "It was counted from the smallest on. Count from the largest.": lambda S, share: _reaches(
        _shares(S.flip(0) ** 2), share
    ),
    "This is a share of the number of singular values. The values are not equal: count their "
    "energy.": lambda S, share: -int(-share * len(S) // 1),
    "This asks each value by itself. Add the energy up, from the first on.": lambda S, share: int(
        ((1 - share) * S[0] ** 2 <= S**2).sum()
    ),
    "This counts the values whose own energy is above what may be lost. Add the energy up, from "
    "the first on.": lambda S, share: int(((1 - share) * (S**2).sum() <= S**2).sum()),
    "This is the rank for a share of 0.9. Use `share`.": lambda S, share: _reaches(
        _shares(S**2), 0.9
    ),
    "This rank is one too small: it keeps less than the share.": lambda S, share: (
        _reaches(_shares(S**2), share) - 1
    ),
    "This rank is one too large: one rank less still keeps the share.": lambda S, share: (
        _reaches(_shares(S**2), share) + 1
    ),
}


def _expect_rank(answer: Callable[..., Any], S: Tensor, share: float) -> None:
    energy = _shares(S**2)
    # of many values two ranks may lie nearer to the share than float32 can tell
    given = S.float() if len(S) < 100 else S.clone()
    got, right = whole_number(answer(given, share)), _reaches(energy, share)
    if got == right:
        return
    named = [said for said, rank in MISTAKEN_RANKS.items() if rank(S, share) == got]
    gen = torch.Generator().manual_seed(0)
    for n, other in ((40, 0.8), (60, 0.6), (50, 0.95)):  # a mistake explains these too
        T = torch.rand(n, generator=gen, dtype=torch.float64).sort(descending=True).values ** 2
        again = whole_number(answer(T.float(), other)) if named else 0
        named = [said for said in named if MISTAKEN_RANKS[said](T, other) == again]
    raise Wrong(named[0] if named else _why_not(got, right, energy, share, _shown(S)))


def _why_not(got: int, right: int, energy: Tensor, share: float, values: str) -> str:
    """The share that the rank keeps, or that a smaller one keeps."""
    if not 0 < got <= len(energy):
        return f"Of {len(energy)} singular values the rank is 1 to {len(energy)}; got {got}."
    if got < right:
        return (
            f"Of {values} the first {got} hold {energy[got - 1]:.4f} of the energy, less than "
            f"the share of {share}: it takes {right}."
        )
    return (
        f"Of {values} the first {right} hold {energy[right - 1]:.4f} of the energy, enough for a "
        f"share of {share}. The smallest such rank is asked for; got {got}."
    )


def _shares(energy: Tensor) -> Tensor:
    """What the first 1, 2, ... hold of the whole."""
    return energy.cumsum(0) / energy.sum()


def _reaches(kept: Tensor, share: float) -> int:
    """The first rank at which `kept` is the share or more."""
    return min(len(kept), int((kept < share).sum()) + 1)


# --- 1.6 -------------------------------------------------------------------------------------


def check_largest_saving_rank(answer: Callable[..., Any], rng: torch.Generator) -> None:
    drawn = torch.randint(40, 900, (2,), generator=rng).tolist()
    # The square comes last: it breaks even exactly at 128, so counting equality shows there, while
    # an answer that is right for squares alone is told so before. For (256, 704) in * out /
    # (in + out) is just below a whole number, for (120, 400) just above: rounding shows.
    wide = (drawn[0], drawn[0] + drawn[1])
    for sides in ((256, 704), (120, 400), wide, wide[::-1], (256, 256)):
        _expect_saving(answer(*sides), *sides)
    for sides in (
        (4, 12),
        (2, 2),
        (3, 1),
        (1, 1),
        (1, 900),
        (5, 5),
        (49_152, 12_288),
        (2**14, 2**14),
        (480, 480),  # as large a sum as that of (256, 704)
        NEARLY_WHOLE,
    ):
        _expect_saving(answer(*sides), *sides)


# in * out / (in + out) is 1 / (in + out) above a whole number, and in * out takes over 32 bits
NEARLY_WHOLE = (8066, 271_163)


def _expect_saving(result: Any, in_: int, out: int) -> None:
    right = next(r for r in range(min(in_, out), -1, -1) if r * (in_ + out) < in_ * out)
    require_whole(result, right, {
        min(in_, out) // 2: "Half the smaller side is right for a square only.",
        max(in_, out) // 2: "Half the larger side is too much: B and A would be larger than W.",
        0: "B holds out * r numbers and A r * in: together r * (in + out), not r * in * out.",
        min(in_, out): "This is the full rank of W. Ask where r * (in + out) stays below "
        "in * out.",
        int(2 * in_ * out / (in_ + out)): "Twice as much: solve r * (in + out) < in * out.",
        (in_ * out - 1) // (2 * (in_ + out)): "Half of it: solve r * (in + out) < in * out.",
        int((in_ * out) ** 0.5 / 2): "Half the geometric mean of the sides is right for a square "
        "only.",
        in_ // 2 - 1: "Half of in_features is right for a square only.",
        (in_ * out - 1) // (2 * in_): "Both sides count: r * (in + out), not 2 * r * in.",
        min(in_, out) - 1: "This is one below the full rank. Ask where r * (in + out) stays below "
        "in * out.",
        right - 1: "One rank more still saves. Subtract before the division, not after it.",
        right + 1: "At this rank B and A are as large as W or larger: equal is not smaller.",
    }, in_, out)  # fmt: skip


def require_whole(actual: Any, right: int, mistakes: dict[int, str], in_: int, out: int) -> None:
    """Raise `Wrong` unless `actual` is the rank `right`; `mistakes` name others."""
    got = whole_number(actual)
    if got == right:
        return
    if got in mistakes:
        raise Wrong(mistakes[got])
    numbers = f"r * (in + out) = {got * (in_ + out):,}, and W has in * out = {in_ * out:,} numbers"
    if got < 0:
        raise Wrong(
            f"Expected {right}, got {got} for in = {in_} and out = {out}: a product ran past 32 "
            "bits. Python's own ints, or torch.int64, hold it."
        )
    which = "it saves, and a larger r still does" if got < right else "it does not save"
    raise Wrong(
        f"For in = {in_} and out = {out} at r = {got} {numbers}: {which}. Expected {right}."
    )
