"""The prediction against what was measured: the answer comes from data, and knows ties.

`measured` is a number, or says for each option what came out:

    {"q, v": {0: 4.33, 1: 4.32}, "MLP": {0: 4.17, 1: 4.18}}   values by seed, best="lowest"
    {"q, v": 4.33, "MLP": 4.17}                               numbers, best="lowest", tie=0.01
    {"an error": False, "a warning": False, "nothing": True}  what was seen

With values by seed the options that the seeds do not tell from the best one (Holm's p of the paired
gaps, 0.05 or more) are all right.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import mean
from typing import TYPE_CHECKING, Any

from .plots import PALETTE, Picture, new_figure, show
from .predict import in_words
from .statistics import gap_words, gaps_against
from .tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEST = {"lowest": min, "highest": max}
NO_PREDICTION = (
    "You made no prediction here: next time commit to one first, even a wild one. A surprise is "
    "what you will remember."
)


@dataclass(frozen=True)
class Answer:
    """The options that came out, more than one where they tie, and a row for each option."""

    right: tuple[Any, ...]
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Comparison:
    """A prediction against the result: in words, as a table or a picture, and why."""

    text: str
    picture: Picture | None = None
    table: Table | None = None
    why: str = ""

    def __repr__(self) -> str:
        table = repr(self.table) if self.table else ""
        return "\n".join(filter(None, [self.text, table, self.why and f"Why: {self.why}"]))

    def _repr_html_(self) -> str:
        parts = [f'<p role="status">{escape(self.text)}</p>']
        parts += [self.table._repr_html_()] if self.table else []
        parts += [self.picture.html] if self.picture else []
        parts += [f"<p><b>Why:</b> {escape(self.why)}</p>"] if self.why else []
        return "".join(parts)


def compare(
    store: Mapping[str, Any],
    key: str,
    measured: Any,
    unit: str = "",
    *,
    options: Sequence[Any] | None = None,
    best: str | None = None,
    tie: float = 0.0,
    tied: Any = None,
    why: str = "",
    example: bool = False,
) -> Comparison:
    """Put what was measured beside the prediction `key`, or say kindly that there was none.

    `options` are those of the question, `tied` the one among them that says "cannot be told".
    Raises ValueError where `measured` is none of the options or leaves one of them out, where a
    mapping of numbers comes without `best`, and where nothing came out.
    """
    answer = decide(measured, options, best=best, tie=tie, tied=tied)
    predicted = store.get(key)
    result = _result(answer, measured, unit, tied)
    if predicted is None:
        text = f"Measured: {result}. {NO_PREDICTION}"
    else:
        whose = "The example prediction is" if example else "You predicted"
        text = f"{whose} {in_words(predicted, unit)}; measured: {result}."
        if options is not None:
            text += " That came out." if predicted in answer.right else " Another one came out."
    table = Table(answer.head, answer.rows) if answer.rows else None
    picture = None
    if predicted is not None and options is None and _number(predicted) and _number(measured):
        picture = show(_bars(predicted, measured, unit), alt=f"Two bars. {text}")
    return Comparison(text, picture, table, why)


def decide(
    measured: Any,
    options: Sequence[Any] | None = None,
    *,
    best: str | None = None,
    tie: float = 0.0,
    tied: Any = None,
) -> Answer:
    """Return which options came out. See `compare` for what `measured` may be."""
    if isinstance(measured, Mapping):
        _all_options(measured, options, tied)
        answer = _of_mapping(measured, best, tie, tied)
        unsettled = len(answer.right) > 1 and tied is not None
        return Answer((tied,), answer.head, answer.rows) if unsettled else answer
    if options is None or measured in options:
        return Answer((measured,))
    if _number(measured) and all(map(_number, options)):
        return Answer((_nearest(measured, options),))
    raise ValueError(f"what was measured, {measured!r}, is none of the options {list(options)}")


def _of_mapping(measured: Mapping[Any, Any], best: str | None, tie: float, tied: Any) -> Answer:
    values = list(measured.values())
    if all(_truth(value) for value in values):
        right = tuple(option for option, seen in measured.items() if seen)
        if not right and tied is None:
            raise ValueError(f"nothing came out of {list(measured)}")
        return Answer(right or (tied,))
    if best not in BEST:
        raise ValueError(f'best must be "lowest" or "highest" for values of options; got {best!r}')
    if all(isinstance(value, Mapping) for value in values):
        return _by_seed(measured, BEST[best], best)
    if not all(map(_number, values)):
        raise ValueError("each option needs a bool, a number, or {seed: number}")
    top = BEST[best](values)
    right = tuple(option for option, value in measured.items() if abs(value - top) <= tie)
    rows = [
        (in_words(option), f"{value:#.4g}", _mark(option, right, best))
        for option, value in measured.items()
    ]
    return Answer(right, ("option", "measured", ""), tuple(rows))


def _by_seed(arms: Mapping[Any, Mapping[Any, float]], pick: Any, best: str) -> Answer:
    """The best mean, and whatever the paired gaps do not tell from it."""
    named = {in_words(option): values for option, values in arms.items()}
    winner = pick(arms, key=lambda option: mean(arms[option].values()))
    gaps = gaps_against(named, in_words(winner), f"each option against the {best}")
    gap = {one.first: one for one in gaps}
    right = tuple(o for o in arms if o == winner or not gap[in_words(o)].settled)
    rows = [
        (
            in_words(option),
            f"{mean(values.values()):#.4g}",
            gap_words(gap[in_words(option)]) if option != winner else "",
            _mark(option, right, best),
        )
        for option, values in arms.items()
    ]
    return Answer(right, ("option", "mean", f"above or below the {best}", ""), tuple(rows))


def _mark(option: Any, right: Sequence[Any], best: str) -> str:
    if option not in right:
        return ""
    return best if len(right) == 1 else f"tied for {best}"


def _all_options(measured: Mapping[Any, Any], options: Sequence[Any] | None, tied: Any) -> None:
    if options is None:
        return
    if strange := [option for option in measured if option not in options]:
        raise ValueError(f"{strange[0]!r} is none of the options {list(options)}")
    if left_out := [o for o in options if o not in measured and o != tied]:
        raise ValueError(f"nothing was measured for the options {left_out}")
    if tied is not None and tied not in options:
        raise ValueError(f"tied={tied!r} is none of the options {list(options)}")


def _nearest(measured: float, options: Sequence[float]) -> float:
    """The option nearest by ratio, or by difference where ratios make no sense."""
    if measured > 0 and all(option > 0 for option in options):
        return min(options, key=lambda option: abs(math.log(option / measured)))
    return min(options, key=lambda option: abs(option - measured))


def _result(answer: Answer, measured: Any, unit: str, tied: Any) -> str:
    if isinstance(measured, Mapping):
        words = [in_words(option, unit) for option in answer.right]
        if len(words) == 1:
            return words[0]
        return f"{', '.join(words[:-1])} and {words[-1]}, which are not told apart"
    nearest = answer.right[0]
    of = "" if nearest == measured else f", nearest to {in_words(nearest, unit)}"
    return in_words(measured, unit) + of


def _number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not _truth(value)


def _truth(value: Any) -> bool:
    """Python's bool, or NumPy's."""
    return type(value).__name__ in ("bool", "bool_")


def _bars(predicted: float, measured: float, unit: str) -> Figure:
    figure, axes = new_figure()
    figure.set_size_inches(5.6, 1.7)
    bars = axes[0].barh(
        ["measured", "predicted"], [measured, predicted], color=[PALETTE[1], PALETTE[0]]
    )
    axes[0].bar_label(bars, [in_words(value, unit) for value in (measured, predicted)], padding=3)
    axes[0].margins(x=0.2)
    axes[0].grid(False)
    axes[0].set_xlabel(unit)
    return figure
