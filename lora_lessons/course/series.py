"""What the figures of several seeds are made of: bands, rows of arms, and the axes around them.

`runs` is always one list for each place on the axis, which holds a value for each seed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from .plots import PALETTE
from .statistics import half_width95

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vPX*"
"""Each line has a marker of its own too, so that colour is never the only sign."""


def distinct(
    rows: Iterable[Mapping[str, Any]], key: str, leave_out: Collection[Any] = (None,)
) -> list[Any]:
    """The values of a column in the order they come."""
    return [value for value in dict.fromkeys(row[key] for row in rows) if value not in leave_out]


def at_each(curves: Iterable[Sequence[float]]) -> list[tuple[float, ...]]:
    """One curve a seed -> for each point the values of all seeds."""
    return list(zip(*curves, strict=True))


def band(
    axis: Axes, x: Sequence[float], runs: Iterable[Sequence[float]], i: int, label: str, **look: Any
) -> None:
    """The i-th line: the mean over the seeds, and around it its 95 % interval.

    `look` is for the line: its marker, how often it is drawn, and the like.
    """
    runs = list(runs)
    middle, half = [mean(values) for values in runs], [half_width95(values) for values in runs]
    colour = PALETTE[i % len(PALETTE)]
    axis.plot(x, middle, **{"marker": MARKERS[i], "color": colour, "label": label} | look)
    low = [m - h for m, h in zip(middle, half, strict=True)]
    high = [m + h for m, h in zip(middle, half, strict=True)]
    axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def arm_rows(
    axis: Axes,
    arms: Mapping[str, Sequence[float]],
    below: float = 0.0,
    room: float = 0.12,
    labels: tuple[str | None, str | None] = (None, None),
) -> None:
    """One row for each arm: a dot for each seed, so far `below` their mean and its 95 % interval.

    `room` is left free above and below; `labels` name the dots and the mean in a legend.
    """
    for row, seeds in enumerate(arms.values()):
        dot, bar = ("_nolegend_" if row and label else label for label in labels)
        places = [row - below] * len(seeds)
        axis.plot(seeds, places, "o", color=PALETTE[1], markersize=4, label=dot)
        look: dict[str, Any] = {"fmt": "D", "color": PALETTE[0], "capsize": 5, "label": bar}
        axis.errorbar(mean(seeds), row, xerr=half_width95(seeds), **look)
    axis.set_yticks(range(len(arms)), list(arms))
    axis.margins(y=room)
    axis.invert_yaxis()


def doubling_axis(axis: Axes, places: Sequence[float], label: str = "rank r") -> None:
    """The x axis of ranks or alphas: each doubling is as wide, and each place has its number."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(places, [f"{place:g}" for place in places])
    axis.set_xlabel(label)


def one_height(axes: Sequence[Axes]) -> None:
    """Give all panels the y axis that holds them all: they are compared by height."""
    ends = [axis.get_ylim() for axis in axes]
    for axis in axes:
        axis.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))


def legend_below(
    figure: Figure, columns: int, of: Sequence[Axes] | None = None, **look: Any
) -> None:
    """One legend for all panels, or those of `of`, below them; each name stands once.

    Inside, it would hide what is drawn.
    """
    entries = {
        label: handle
        for axis in of or figure.axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns}
    figure.legend(entries.values(), entries, **place, **look)
