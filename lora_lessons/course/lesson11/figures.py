"""The figures of lesson 11: what is kept, a step's memory over time, sizes, and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from ..drawing import FROZEN, TRAINS, Drawing
from ..plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...experiments.step_trace import Trace

Row = Mapping[str, Any]
GIB, MIB = 2**30, 2**20
FULL, SAME_LOGITS, LORA = "full, bf16", "LoRA, whole logits", "LoRA"
RECOMPUTED = ("full, bf16, recomputed", "LoRA, recomputed")
STATES = ("frozen", "trained", "gradients", "optimizer")


def kept_drawing() -> Drawing:
    """One layer with LoRA in the forward pass, and what each tensor is kept for."""
    drawing = Drawing(
        "What a layer with LoRA keeps for the backward pass",
        "The input x goes through the frozen W and, beside it, through A and then B, which train. "
        "x is kept, because A's gradient needs it. A x is kept, because B's gradient needs it. W "
        "is needed for the gradient of x, and lies in memory anyway. The gradient of W, a matrix "
        "as large as W, is not computed, and W has no moments.",
        820,
        330,
    )
    x = drawing.box(10, 120, 104, 62, ["x", "(N, in)", "kept"])
    W = drawing.matrix(250, 14, 160, 96, "W", ("out", "in"), FROZEN)
    A = drawing.matrix(250, 200, 110, 66, "A", ("r", "in"), TRAINS)
    ax = drawing.box(420, 202, 90, 62, ["A x", "(N, r)", "kept"])
    B = drawing.matrix(570, 186, 100, 92, "B", ("out", "r"), TRAINS)
    total = drawing.circle(716, 150, 15, "+")
    y = drawing.box(748, 120, 70, 60, ["y", "(N, out)"])
    fork = (150, x.right[1])
    drawing.arrow(x.right, fork, head=False)
    drawing.arrow(fork, (150, W.left[1]), W.left)
    drawing.arrow(fork, (150, A.left[1]), A.left)
    drawing.arrow(A.right, ax.left)
    drawing.arrow(ax.right, B.left)
    drawing.arrow(B.right, (716, B.right[1]), total.bottom)
    drawing.arrow(W.right, (716, W.right[1]), total.top)
    drawing.arrow(total.right, y.left)
    drawing.label(62, 206, "for A's gradient")
    drawing.label(465, 288, "for B's gradient")
    drawing.label(428, 40, "needed for x's gradient: it is there anyway", anchor="start")
    drawing.label(428, 92, "no gradient of W, no moments", anchor="start")
    drawing.legend(10, 300)
    return drawing


# --- a step over time ------------------------------------------------------------------------


def trace(traces: Mapping[str, Trace]) -> Figure:
    """MiB alive after each operation of one step, one line an arm."""
    figure, (axis,) = new_figure(
        about="The memory of one training step as it goes on: it rises through the forward pass, "
        "is highest around the logits, and falls as the backward pass uses up what was kept."
    )
    figure.set_size_inches(8.4, 4.2)
    for (name, one), style in zip(traces.items(), ("-", "--", "-.", ":"), strict=False):
        axis.plot([b / MIB for b in one.alive], style, label=name)
        for at, marker in ((one.forward_ends, "o"), (one.backward_ends, "s")):
            axis.plot(at, one.alive[at - 1] / MIB, marker, color=PALETTE[-1], markersize=5)
    axis.set_xlabel("operation of the step (circle: forward ends; square: backward ends)")
    axis.set_ylabel("MiB alive")
    axis.set_ylim(0)
    axis.legend()
    return figure


# --- sizes -----------------------------------------------------------------------------------


def place(row: Row) -> str:
    """A row's size and batch in words: "1 B, 8 x 2048"."""
    return f"{row['size']}, {row['rows']} x {row['length']}"


def by_place(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """{place: {arm: row}}, in the rows' order, rows that failed left out."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if "failed" not in row:
            found.setdefault(place(row), {})[row["arm"]] = row
    return found


def saving(arms: Mapping[str, Row], arm: str = LORA, other: str = FULL) -> float:
    """By what share of `other`'s peak the peak of `arm` is lower."""
    return 1 - arms[arm]["peak"] / arms[other]["peak"]


def parts(row: Row) -> dict[str, int]:
    """Bytes of the three groups of parts: states, activations, logits."""
    states = sum(row[part] for part in STATES)
    return {"states": states, "activations": row["activations"], "logits": row["logits"]}


def sizes(predicted: Sequence[Row], measured: Sequence[Row], arm: str = FULL) -> Figure:
    """What an arm's step consists of, and LoRA's peak beside full fine-tuning's, by size."""
    figure, axes = new_figure(
        1, 2, about="A training step from the nano model to 8 billion parameters."
    )
    figure.set_size_inches(11.4, 4.6)
    stack(axes[0], by_place(predicted), arm)
    _peaks(axes[1], by_place(predicted), by_place(measured))
    return figure


def stack(axis: Axes, places: Mapping[str, Mapping[str, Row]], arm: str) -> None:
    """One bar a size: the shares of states, activations and logits in the parts of a step."""
    names = [name for name, arms in places.items() if arm in arms]
    left = [0.0] * len(names)
    groups = [parts(places[name][arm]) for name in names]
    for colour, part in enumerate(groups[0]):
        shares = [100 * one[part] / sum(one.values()) for one in groups]
        axis.barh(names, shares, left=left, label=part, color=PALETTE[colour], edgecolor="white")
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axis.invert_yaxis()
    axis.set_xlim(0, 100)
    axis.set_xlabel("% of its parts, predicted; states are weights,\ngradients and moments")
    axis.set_title(f"{arm}: what it consists of")
    axis.legend(loc="upper center", bbox_to_anchor=(0.4, -0.22), ncols=3)


def _peaks(
    axis: Axes, places: Mapping[str, Mapping[str, Row]], measured: Mapping[str, Mapping[str, Row]]
) -> None:
    pairs = {
        "same logits": (SAME_LOGITS, FULL),
        "logits in pieces": (LORA, FULL),
        "in pieces, both recomputed": RECOMPUTED[::-1],
    }
    names = list(places)
    for colour, (label, (arm, other)) in enumerate(pairs.items()):
        values = [100 * (1 - saving(arms, arm, other)) for arms in places.values()]
        axis.plot(values, names, "D", label=f"{label}, predicted", color=PALETTE[colour])
        seen = {n: a for n, a in measured.items() if arm in a and other in a and n in names}
        if seen:
            axis.plot(
                [100 * (1 - saving(arms, arm, other)) for arms in seen.values()],
                list(seen),
                "o",
                markersize=12,
                fillstyle="none",
                color=PALETTE[colour],
                label=f"{label}, measured",
            )
    axis.invert_yaxis()
    axis.set_xlim(0, 105)
    axis.set_xlabel("LoRA's peak, % of full fine-tuning's in bf16")
    axis.set_title("what LoRA's step takes")
    axis.legend(loc="upper center", bbox_to_anchor=(0.4, -0.16), ncols=2, fontsize=10)


# --- times -----------------------------------------------------------------------------------


def milliseconds(row: Row, which: str = "done") -> float:
    """The median of a row's repeats in milliseconds: "done", or until "launched" alone."""
    return 1e3 * median(row["seconds"][which])


def times(rows: Sequence[Row]) -> Figure:
    """Milliseconds a step, launched one by one and captured, for each size and arm."""
    found = {}
    for row in rows:
        if "failed" not in row:
            found[f"{place(row)}: {row['arm']}"] = found.get(f"{place(row)}: {row['arm']}", {}) | {
                row["how"]: row
            }
    figure, (axis,) = new_figure(
        about="Milliseconds of a training step on the recorded GPU, on a log scale."
    )
    figure.set_size_inches(8.6, 1.2 + 0.5 * len(found))
    names = list(found)
    for how, which, marker, colour in (
        ("eager", "done", "D", 0),
        ("captured", "done", "s", 2),
        ("captured", "launched", "x", 1),
    ):
        points = [
            (milliseconds(ways[how], which), name) for name, ways in found.items() if how in ways
        ]
        if points:
            axis.plot(
                [ms for ms, _ in points],
                [name for _, name in points],
                marker,
                color=PALETTE[colour],
                label=f"{how}, {'timed without waiting' if which == 'launched' else 'done'}",
            )
    axis.set_yticks(range(len(names)), names)
    axis.set_xscale("log")
    axis.set_xlabel("milliseconds a step (median of five repeats)")
    axis.invert_yaxis()
    axis.margins(y=0.12)
    axis.legend(loc="upper center", bbox_to_anchor=(0.4, -0.16 - 0.5 / len(found)), ncols=3)
    return figure


CONTESTANTS = (
    "PEFT as it comes",
    "PEFT bf16",
    "ours, eager",
    "PEFT bf16, captured",
    "ours, captured",
    "full fine-tuning, captured",
    "ours, compiled and captured",
)


def contestants(benchmark: Mapping[str, Any]) -> Figure:
    """`benchmarks/results/gpu.json`: a step's milliseconds for each contestant, by shape."""
    shapes = benchmark["shapes"]
    figure, (axis,) = new_figure(
        about="The package's benchmark on one H200: milliseconds of a training step, log scale."
    )
    figure.set_size_inches(8.6, 4.6)
    markers = ("o", "s", "^", "D")
    for (shape, about), marker, colour in zip(shapes.items(), markers, PALETTE, strict=False):
        rows = {n: about["rows"][n] for n in CONTESTANTS if "seconds" in about["rows"].get(n, {})}
        axis.plot(
            [1e3 * row["seconds"] for row in rows.values()],
            list(rows),
            marker,
            color=colour,
            label=shape,
        )
    axis.set_yticks(range(len(CONTESTANTS)), CONTESTANTS)
    axis.set_xscale("log")
    axis.set_xlabel("milliseconds a step")
    axis.invert_yaxis()
    axis.margins(y=0.08)
    axis.legend(ncols=2)
    return figure
