"""The figures of lesson 02: the overlap of subspaces, and W in the directions of an update."""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING, Any

from ...experiments.lesson02 import PAIRS, UNTRAINED, chance
from ..plots import PALETTE, new_figure
from ..series import at_each, band, doubling_axis
from ..statistics import half_width95

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
    figure, axes = new_figure(2, 2, about="Overlap of the leading directions of two runs.")
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
        band(axis, i, at_each(row["equal"]), k, named(pair, result), marker=MARKERS[pair])
    by_chance = [chance(n, n, result["width"]) for n in i]
    axis.plot(i, by_chance, "--", color=PALETTE[-1], label="chance, i / width")
    axis.set_ylim(0, TOP)
    axis.set_xticks(i)
    axis.set_xlabel("i, leading directions of each")
    axis.set_ylabel("overlap φ(i, i)")


def overlap_maps(result: dict[str, Any], of: str = "A") -> Figure:
    """φ(i, j) of the two ranks as maps, as in the paper's figure 3: q, v, and q untrained."""
    chosen = [("small and large", m) for m in ("q_proj", "v_proj")] + [(UNTRAINED, "q_proj")]
    figure, axes = new_figure(
        1, 3, about="Overlap of the first i and the first j directions, as maps."
    )
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


def what_moved(A: bool, B: bool) -> str:
    """The option of the first step's prediction: "both", "A alone", "B alone" or "neither"."""
    return {(1, 1): "both", (1, 0): "A alone", (0, 1): "B alone", (0, 0): "neither"}[A, B]


def find(result: dict[str, Any], pair: str, module: str, of: str) -> dict[str, Any] | None:
    """The row of a result for this pair of runs, kind of layer and matrix, if it has one."""
    wanted = {"pair": pair, "module": module, "of": of}
    return next((row for row in result["rows"] if row.items() >= wanted.items()), None)


def named(pair: str, result: dict[str, Any]) -> str:
    """The pair with its ranks: "r = 8 and r = 64"."""
    small, large = f"r = {result['small']}", f"r = {result['large']}"
    return pair.replace("small", small).replace("large", large)


# --- the paper's section 7.3: what W holds in the directions of the update ----------------------

PAPER = [
    {"r": 4, "in_update": 0.32, "in_own": 21.67, "in_random": 0.02, "W": 61.95, "update": 6.91},
    {"r": 64, "in_update": 1.90, "in_own": 37.71, "in_random": 0.33, "W": 61.95, "update": 3.57},
]
"""Hu et al. 2021, table 7: W_q of the 48th layer of GPT-3, 12,288 x 12,288."""
PAPER_WIDTH = 12_288
DIRECTIONS = {
    "in_own": "W in its own directions",
    "in_update": "W in the update's",
    "in_random": "W in random ones",
}


def amplification_table(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The means over seeds, one row for each rank and kind of layer.

    `factor` is the paper's amplification, `update` / `in_update`, and `half` half of its 95 %
    interval. `over_chance` is `in_update` against what random directions would hold.
    """
    rows = []
    for row in result["rows"]:
        means = {key: mean(row[key]) for key in (*DIRECTIONS, "chance", "W", "update", "factor")}
        over = [a / b for a, b in zip(row["in_update"], row["chance"], strict=True)]
        named = {"layer": row["module"], "r": row["r"], "half": half_width95(row["factor"])}
        rows.append({**named, **means, "over_chance": mean(over)})
    return rows


def paper_table() -> list[dict[str, Any]]:
    """The paper's rows, with what follows from them: chance, the factor and `over_chance`."""
    rows = []
    for row in PAPER:
        by_chance = row["r"] * row["W"] / PAPER_WIDTH
        derived = {"chance": by_chance, "factor": row["update"] / row["in_update"]}
        over = {"over_chance": row["in_update"] / by_chance}
        rows.append({"layer": "GPT-3, q", "half": None, **row, **derived, **over})
    return rows


def held_norms(result: dict[str, Any]) -> Figure:
    """The norm of W in three kinds of directions against r, and the norm of the update."""
    figure, axes = new_figure(1, 2, about="What W holds in three kinds of directions, against r.")
    modules = dict.fromkeys(row["module"] for row in result["rows"])
    for axis, module in zip(axes, modules, strict=True):
        if axis is not axes[0]:
            axis.sharey(axes[0])
        rows = [row for row in amplification_table(result) if row["layer"] == module]
        r = [row["r"] for row in rows]
        for k, ((key, label), marker) in enumerate(zip(DIRECTIONS.items(), "sox", strict=True)):
            norms = [row[key] for row in rows]
            axis.plot(r, norms, marker=marker, color=PALETTE[k], label=label)
        norms = [row["update"] for row in rows]
        axis.plot(r, norms, marker="^", color=PALETTE[3], label="the update")
        by_chance = [row["chance"] for row in rows]
        axis.plot(r, by_chance, "--", color=PALETTE[-1], label="chance")
        doubling_axis(axis, r, "r")
        axis.set_yscale("log")
        axis.set_title(module)
    axes[0].set_ylabel("Frobenius norm")
    axes[0].legend(fontsize="small")
    return figure
