"""What a figure shows, in words made from what is drawn in it: axes, series, bars, maps.

Words typed beside a figure stand in the page before its result, and are untrue when a live run
comes out otherwise. These are read off the finished figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

LONGEST = 1000  # characters; with more, each series is told in fewer words
FEW = 6  # points that are named one by one


def describe(figure: Figure, about: str = "") -> str:
    """Return `about`, then each panel's title, axes and series, with their numbers.

    Series of up to six points are told point by point, longer ones by their ends and extremes;
    where that takes more than 1,000 characters, by their lowest point or their range alone.
    """
    text = ""
    for detail in (2, 1, 0):
        panels = [_panel(axis, detail) for axis in figure.axes if _drawn(axis)]
        numbered = [f"Panel {i}: {text}" for i, text in enumerate(panels, 1)]
        text = " ".join([*_about(about), *(numbered if len(panels) > 1 else panels)])
        if len(text) <= LONGEST:
            break
    return text


def _about(about: str) -> list[str]:
    about = _flat(about).rstrip(".")
    return [f"{about}."] if about else []


def _drawn(axis: Axes) -> bool:
    return axis.get_visible() and axis.has_data() and axis.get_label() != "<colorbar>"


def _panel(axis: Axes, detail: int) -> str:
    """One panel, as "title; y against x. series: ... ; series: ..."."""
    title = _flat(axis.get_title())
    x, y = _flat(axis.get_xlabel()), _flat(axis.get_ylabel())
    axes = f"{y} against {x}" if x and y else x or y
    log = [
        name
        for name, scale in (("x", axis.get_xscale()), ("y", axis.get_yscale()))
        if scale == "log"
    ]
    axes += f" ({' and '.join(log)} on a log scale)" if log else ""
    head = "; ".join(filter(None, [title, axes]))
    told = [*_bars(axis), *_series(axis, detail), *_maps(axis), *_lines_across(axis)]
    parts = list(dict.fromkeys(told))  # a line under its own points says the same twice
    return " ".join(f"{part}." for part in (head, "; ".join(parts)) if part)


def _bars(axis: Axes) -> Iterator[str]:
    from matplotlib.container import BarContainer

    for group in axis.containers:
        if not isinstance(group, BarContainer):
            continue
        flat = getattr(group, "orientation", "vertical") == "horizontal"
        names = _names(axis.yaxis if flat else axis.xaxis)
        told = []
        for bar in group.patches:
            middle = (
                bar.get_y() + bar.get_height() / 2 if flat else bar.get_x() + bar.get_width() / 2
            )
            size = bar.get_width() if flat else bar.get_height()
            told.append(f"{_at(middle, names)} {number(size)}")
        yield _named(group.get_label(), ", ".join(told))


def _series(axis: Axes, detail: int) -> Iterator[str]:
    """The lines and clouds of points; where the y axis has names, by name."""
    x_names, y_names = _names(axis.xaxis), _names(axis.yaxis)
    for label, xs, ys, half in _points(axis):
        if y_names and not x_names:
            told = [
                f"{_at(y, y_names)} {number(x)}{h}" for x, y, h in zip(xs, ys, half, strict=True)
            ]
            yield _named(label, _by_name(xs, ys, y_names) if _repeated(ys) else ", ".join(told))
        else:
            yield _named(label, _run(xs, ys, half, x_names, detail))


def _points(axis: Axes) -> Iterator[tuple[str, np.ndarray, np.ndarray, list[str]]]:
    from matplotlib.collections import PathCollection
    from matplotlib.container import ErrorbarContainer

    spans, drawn = {}, []
    for group in axis.containers:
        if isinstance(group, ErrorbarContainer):
            data, caps, bars = group.lines
            drawn += [*caps]
            if data is not None:
                spans[data] = (group.get_label(), [_half(path) for path in bars[0].get_paths()])
    for line in axis.lines:
        if line in drawn or _across(axis, line) is not None:
            continue
        xs, ys = (np.asarray(v, dtype=float) for v in line.get_data(orig=False))
        label, half = spans.get(line, (line.get_label(), []))
        told = [f" ± {h:.2g}" for h in half] if len(half) == len(xs) else [""] * len(xs)
        if len(xs):
            yield label, xs, ys, told
    for cloud in axis.collections:
        if isinstance(cloud, PathCollection) and len(offsets := np.asarray(cloud.get_offsets())):
            yield cloud.get_label(), offsets[:, 0], offsets[:, 1], [""] * len(offsets)


def _half(path: Any) -> float:
    """Half of an error bar's length: it is drawn along one axis alone."""
    ends = path.vertices
    return float(np.abs(ends[-1] - ends[0]).max() / 2)


def _run(xs: np.ndarray, ys: np.ndarray, half: Sequence[str], names: dict, detail: int) -> str:
    seen = np.isfinite(ys)
    if not seen.any():
        return "no finite value"
    xs, ys = xs[seen], ys[seen]
    half = [h for h, there in zip(half, seen, strict=True) if there]
    if _repeated(xs):
        return f"{len(xs)} points, {number(ys.min())} to {number(ys.max())}"
    if len(xs) <= FEW and detail == 2:
        told = [f"{number(y)}{h} at {_at(x, names)}" for x, y, h in zip(xs, ys, half, strict=True)]
        return ", ".join(told)
    low, high = int(ys.argmin()), int(ys.argmax())
    lowest = f"lowest {number(ys[low])} at {_at(xs[low], names)}"
    if detail == 0:
        return lowest
    ends = (
        f"from {number(ys[0])} at {_at(xs[0], names)} to {number(ys[-1])} at {_at(xs[-1], names)}"
    )
    inside = [lowest] if low not in (0, len(xs) - 1) else []
    if high not in (0, len(xs) - 1):
        inside.append(f"highest {number(ys[high])} at {_at(xs[high], names)}")
    return ", ".join([ends, *inside])


def _by_name(xs: np.ndarray, ys: np.ndarray, names: dict) -> str:
    told = []
    for place in dict.fromkeys(ys.tolist()):
        group = xs[ys == place]
        span = (
            number(group[0])
            if len(group) == 1
            else f"{number(group.min())} to {number(group.max())}"
        )
        told.append(f"{_at(place, names)} {span}")
    return ", ".join(told)


def _maps(axis: Axes) -> Iterator[str]:
    for image in axis.images:
        values = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
        if values.ndim != 2 or not np.isfinite(values).any():
            continue
        row, column = np.unravel_index(np.nanargmin(values), values.shape)
        x, y = _names(axis.xaxis), _names(axis.yaxis)
        where = (
            f"{_at(row, y)}, {_at(column, x)}" if x or y else f"row {row + 1}, column {column + 1}"
        )
        yield (
            f"a map of {values.shape[0]} by {values.shape[1]} values from "
            f"{number(np.nanmin(values))} ({where}) to {number(np.nanmax(values))}"
        )


def _lines_across(axis: Axes) -> Iterator[str]:
    for line in axis.lines:
        if (found := _across(axis, line)) is not None:
            yield _named(line.get_label(), f"a line across at {found}")


def _across(axis: Axes, line: Any) -> str | None:
    """The place of a line made by axhline or axvline: one end to the other of the panel."""
    if line.get_transform() == axis.get_yaxis_transform(which="grid"):
        return number(line.get_ydata()[0])
    if line.get_transform() == axis.get_xaxis_transform(which="grid"):
        return number(line.get_xdata()[0])
    return None


def _names(axis: Axis) -> dict[float, str]:
    """Place -> the word that stands there, where ticks were given words."""
    from matplotlib.category import StrCategoryLocator
    from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

    locator, formatter = axis.get_major_locator(), axis.get_major_formatter()
    if isinstance(locator, StrCategoryLocator):
        return {float(place): _flat(word) for word, place in axis.get_units()._mapping.items()}
    if isinstance(locator, FixedLocator) and isinstance(formatter, FixedFormatter | FuncFormatter):
        return {float(place): _flat(formatter(place, i)) for i, place in enumerate(locator.locs)}
    return {}


def _at(place: float, names: dict[float, str]) -> str:
    nearest = min(names, key=lambda known: abs(known - place), default=None)
    return number(place) if nearest is None or abs(nearest - place) > 0.5 else names[nearest]


def _repeated(places: np.ndarray) -> bool:
    return len(set(places.tolist())) < len(places)


def _named(label: Any, told: str) -> str:
    label = _flat(str(label))
    return told if label.startswith("_") or not label else f"{label}: {told}"


def number(value: float) -> str:
    """Four digits, with thousands set apart, as in "4.327" and "12,400"."""
    value = float(value)
    if abs(value) >= 10_000 or (value == int(value) if np.isfinite(value) else False):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _flat(text: str) -> str:
    """On one line, without the dollars of mathematics."""
    return " ".join(text.replace("$", "").split())
