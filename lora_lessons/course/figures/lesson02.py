"""The figures of lesson 02: the overlap of subspaces against chance, and as a map."""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING, Any

from ...experiments.lesson02 import PAIRS, UNTRAINED, chance
from ..plots import PALETTE, new_figure
from .statistics import half_width95

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MATRICES = (("q_proj", "A"), ("v_proj", "A"), ("q_proj", "BA"), ("v_proj", "BA"))
TOP = 0.75  # of the curves' axis: the paper's 0.5 is inside, and the legend has room above
MARKERS = dict(zip(PAIRS, "osx", strict=True))


def overlap_curves(result: dict[str, Any]) -> Figure:
    """φ(i, i) of each pair of runs, with the 95 % interval over seeds, against chance.

    `result` is what `subspace_overlap` returns. A panel for each layer and matrix.
    """
    figure, axes = new_figure(2, 2)
    for axis, (module, of) in zip(axes, MATRICES, strict=True):
        _curves(axis, result, module, of)
        axis.set_title(f"{module}, directions of {'A' if of == 'A' else 'the update BA'}")
    axes[0].legend(fontsize="small")
    return figure


def _curves(axis: Axes, result: dict[str, Any], module: str, of: str) -> None:
    i = list(range(1, result["small"] + 1))
    for k, pair in enumerate(PAIRS):
        row = find(result, pair, module, of)
        if row is None:  # the untrained update is zero and has no directions
            continue
        by_i = list(zip(*row["equal"], strict=True))
        middle, half = [mean(values) for values in by_i], [half_width95(values) for values in by_i]
        label = named(pair, result)
        axis.plot(i, middle, marker=MARKERS[pair], color=PALETTE[k], label=label)
        low = [m - h for m, h in zip(middle, half, strict=True)]
        high = [m + h for m, h in zip(middle, half, strict=True)]
        axis.fill_between(i, low, high, color=PALETTE[k], alpha=0.2, linewidth=0)
    by_chance = [chance(n, n, result["width"]) for n in i]
    axis.plot(i, by_chance, "--", color=PALETTE[-1], label="chance, i / width")
    axis.set_ylim(0, TOP)
    axis.set_xticks(i)
    axis.set_xlabel("i, leading directions of each")
    axis.set_ylabel("overlap φ(i, i)")


def overlap_maps(result: dict[str, Any], of: str = "A") -> Figure:
    """φ(i, j) of the two ranks as maps, as in the paper's figure 3: q, v, and q untrained."""
    chosen = [("small and large", m) for m in ("q_proj", "v_proj")] + [(UNTRAINED, "q_proj")]
    figure, axes = new_figure(1, 3)
    found = [
        find(result, pair, module, "A" if pair == UNTRAINED else of) for pair, module in chosen
    ]
    brightest = max(max(line) for row in found for line in row["phi"])
    for axis, (pair, module), row in zip(axes, chosen, found, strict=True):
        image = axis.imshow(
            row["phi"],
            cmap="cividis",
            vmin=0,
            vmax=brightest,  # one scale for the three maps, as wide as what they hold
            origin="lower",
            aspect="auto",
            extent=(0.5, result["large"] + 0.5, 0.5, result["small"] + 0.5),
        )
        axis.grid(False)
        axis.set_title(module + (", untrained" if pair == UNTRAINED else f", {of}"))
        axis.set_xlabel(f"j, directions of r = {result['large']}")
    axes[0].set_ylabel(f"i, directions of r = {result['small']}")
    figure.colorbar(image, ax=axes, label="φ(i, j)")
    return figure


def overlap_table(result: dict[str, Any]) -> list[tuple[str, str, str, float, float, float]]:
    """(pair, layer, matrix, φ(1, 1), half of its 95 % interval, chance), one line a row."""
    return [
        (
            named(row["pair"], result),
            row["module"],
            row["of"],
            mean(first := [curve[0] for curve in row["equal"]]),
            half_width95(first),
            chance(1, 1, result["width"]),
        )
        for row in result["rows"]
    ]


def find(result: dict[str, Any], pair: str, module: str, of: str) -> dict[str, Any] | None:
    """The row of a result for this pair of runs, kind of layer and matrix, if it has one."""
    wanted = {"pair": pair, "module": module, "of": of}
    return next((row for row in result["rows"] if row.items() >= wanted.items()), None)


def named(pair: str, result: dict[str, Any]) -> str:
    """The pair with its ranks: "r = 8 and r = 64"."""
    small, large = f"r = {result['small']}", f"r = {result['large']}"
    return pair.replace("small", small).replace("large", large)
