"""The figures and tables of lesson 12: error and loss, rates, damage and repair, merges, steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from ...experiments.lesson12 import FLOAT, name_of
from ...experiments.task import best_rate
from ..plots import PALETTE, new_figure
from ..series import MARKERS, distinct
from ..statistics import plus_minus
from ..tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GIB = 2**30
Rows = Sequence[dict[str, Any]]
MERGES = {
    "decoded": "kept in floats",
    "original": "into the original floats",
    "again": "coded again",
}


def shown(form: str) -> str:
    """The format as the pages write it: "floats", "NF4", "int4"."""
    return "floats" if form == FLOAT else form if form == "int4" else form.upper()


# --- error and loss ----------------------------------------------------------------------------


def errors_table(data: dict[str, Any], caption: str) -> Table:
    """One row for each way to quantize, the smallest error first."""
    rows = [
        [
            name_of(row["form"], row["block"]),
            f"{row['bits']:.2f}",
            f"{row['error']:.1%}",
            f"{row['used']:.2f}",
            f"{row['loss']:.3f}",
            f"{row['loss'] - data['float']:+.3f}",
        ]
        for row in sorted(data["rows"], key=lambda row: row["error"])
    ]
    head = ["format", "bits a weight", "error of W", "bits used", "loss", "above floats"]
    return Table(head, rows, f"{caption}, {data['float']:.3f} in floats")


def out_of_order(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs of ways (a, b) where a has the smaller error and the larger loss."""
    rows = sorted(data["rows"], key=lambda row: row["error"])
    return [
        (name_of(a["form"], a["block"]), name_of(b["form"], b["block"]))
        for a, b in combinations(rows, 2)
        if a["error"] < b["error"] and a["loss"] > b["loss"]
    ]


def errors_figure(recorded: dict[str, Any], live: dict[str, Any]) -> Figure:
    """How far the loss is above that of the floats, against the error of the weights."""
    figure, (axis,) = new_figure(about="What quantizing does to the loss, nothing trained")
    for data, name, i in ((recorded, "decoder, recorded", 0), (live, "nano, live", 1)):
        rows = sorted(data["rows"], key=lambda row: row["error"])
        errors = [100 * row["error"] for row in rows]
        above = np.array([row["loss"] - data["float"] for row in rows])
        axis.plot(errors, above, MARKERS[i] + "-", color=PALETTE[i], label=name)
    axis.set_xscale("log")
    axis.set_yscale("symlog", linthresh=1e-3)
    axis.set_ylim(min(0, *(line.get_ydata().min() for line in axis.lines)), 10)
    axis.set_xticks([10, 20, 30, 50], ["10", "20", "30", "50"])
    axis.minorticks_off()
    axis.set_xlabel("error of the weights, % of their norm")
    axis.set_ylabel("loss above that of the floats (nats)")
    axis.legend()
    return figure


# --- adapters beside it ------------------------------------------------------------------------


def forms_of(rows: Rows) -> list[str]:
    """The formats that occur, in their order."""
    return distinct(rows, "form")


def of_form(rows: Rows, form: str, r: int) -> list[dict[str, Any]]:
    """The rows of one format and rank."""
    return [row for row in rows if row["form"] == form and row["r"] == r]


def losses(rows: Rows, form: str, r: int, key: str = "after") -> dict[int, float]:
    """{seed: loss} of one format and rank."""
    return {row["seed"]: row[key] for row in of_form(rows, form, r)}


def average(rows: Rows, form: str, r: int) -> dict[str, float]:
    """The mean losses over the seeds, "before" and "after"."""
    return {key: mean(losses(rows, form, r, key).values()) for key in ("before", "after")}


def damages(rows: Rows, r: int, key: str) -> dict[str, dict[int, float]]:
    """{format: {seed: how far its loss is above that of the floats}}, `before` or `after`."""
    plain = losses(rows, FLOAT, r, key)
    return {
        form: {seed: loss - plain[seed] for seed, loss in losses(rows, form, r, key).items()}
        for form in forms_of(rows)
        if form != FLOAT
    }


def repaired(rows: Rows, form: str, r: int) -> float:
    """The share of the damage that training with adapters took away, from the means."""
    before, after = (mean(damages(rows, r, key)[form].values()) for key in ("before", "after"))
    return 1 - after / before


def repair_table(data: dict[str, Any], ranks: Sequence[int]) -> Table:
    """Loss before and after training for each format and rank, at its own best rate."""
    rows = []
    for form in forms_of(data["fresh"]):
        for r in ranks:
            own = of_form(data["fresh"], form, r)
            rows.append(
                [
                    f"{shown(form)}, r = {r}",
                    f"{own[0]['lr']:g}",
                    f"{mean(row['before'] for row in own):.3f}",
                    plus_minus([row["after"] for row in own]),
                ]
            )
    head = ["base", "best rate", "before", "after, mean ± 95 %"]
    return Table(head, rows, "Validation loss with adapters, each base at its own best rate")


def at_the_edge(tuning: Rows) -> list[tuple[str, int]]:
    """(format, rank) whose best rate is the lowest or the highest that was tried."""
    arms = dict.fromkeys((row["form"], row["r"]) for row in tuning)
    rates = sorted({row["lr"] for row in tuning})
    best = {(form, r): best_rate(tuning, form=form, r=r) for form, r in arms}
    return [arm for arm, lr in best.items() if lr in (rates[0], rates[-1])]


def rates_figure(tuning: Rows, r: int, title: str) -> Figure:
    """Loss against the learning rate for each format, on the tuning seeds."""
    figure, (axis,) = new_figure(about=f"{title}: loss after training against the learning rate")
    rates = sorted({row["lr"] for row in tuning})
    for i, form in enumerate(forms_of(tuning)):
        own = of_form(tuning, form, r)
        middle = [mean(row["loss"] for row in own if row["lr"] == lr) for lr in rates]
        axis.plot(rates, middle, MARKERS[i] + "-", color=PALETTE[i], label=shown(form))
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.minorticks_off()
    ticks = [3, 4, 5, 6, 8, 10]
    axis.set_yticks(ticks, [str(tick) for tick in ticks])
    axis.set_xlabel("learning rate")
    axis.set_ylabel("validation loss after training (nats)")
    axis.set_title(title)
    axis.legend(title="base in")
    return figure


def repair_figure(panels: dict[str, Rows], r: int) -> Figure:
    """Loss before and after training for each format, a panel for each model."""
    figure, axes = new_figure(1, len(panels), about="Validation loss before and after training")
    for axis, (title, rows) in zip(axes, panels.items(), strict=True):
        forms = forms_of(rows)
        for k, key in enumerate(("before", "after")):
            middle = [mean(losses(rows, form, r, key).values()) for form in forms]
            places = [i + 0.4 * (k - 0.5) for i in range(len(forms))]
            bars = axis.bar(places, middle, 0.36, color=PALETTE[k], label=key)
            axis.bar_label(bars, fmt="%.2f")
        axis.set_xticks(range(len(forms)), [shown(form) for form in forms])
        axis.set_xlabel("base in")
        axis.set_ylabel("validation loss (nats)")
        axis.set_title(title)
        axis.margins(y=0.15)
    axes[-1].legend()
    return figure


# --- merging ---------------------------------------------------------------------------------


def merge_losses(rows: Rows, form: str, r: int) -> dict[str, dict[int, float]]:
    """{way to merge: {seed: loss}} for one format."""
    return {name: losses(rows, form, r, key) for key, name in MERGES.items()}


def merge_table(rows: Rows, r: int) -> Table:
    """Mean loss of each way to merge, for each format."""
    lines = []
    for form in forms_of(rows):
        if form != FLOAT:
            ways = merge_losses(rows, form, r).values()
            lines.append([shown(form), *(f"{mean(way.values()):.3f}" for way in ways)])
    return Table(["base in", *MERGES.values()], lines, f"Validation loss after merging, r = {r}")


# --- steps -----------------------------------------------------------------------------------


def base_name(base: str) -> str:
    """The base of a row of steps, in words."""
    return {"4bit": "4 bits, ours", "4bit, bitsandbytes": "4 bits, bitsandbytes"}.get(base, base)


def steps_table(rows: Rows) -> Table:
    """Time and memory of a step, measured and predicted."""
    lines = [
        [
            f"{base_name(row['base'])}, batch {row['batch_size']}",
            f"{1e3 * row['seconds']:.0f}",
            f"{row['peak'] / GIB:.2f}",
            f"{row['predicted'] / GIB:.2f}",
            f"{100 * (row['predicted'] / row['peak'] - 1):+.1f} %",
            f"{row['predicted_frozen'] / GIB:.2f}",
        ]
        for row in rows
    ]
    head = ["base", "ms a step", "peak GiB", "predicted GiB", "off by", "of it frozen"]
    return Table(
        head, lines, "LoRA, r = 16, on all linear layers of a 1 B model, 2,048 tokens a row"
    )


def ratio(rows: Rows, batch_size: int, key: str, base: str = "4bit") -> float:
    """What a base in 4 bits takes at this batch, over what the base of 16 bits takes."""
    of = {row["base"]: row[key] for row in rows if row["batch_size"] == batch_size}
    return of[base] / of["bfloat16"]


def steps_figure(rows: Rows) -> Figure:
    """Milliseconds and peak memory of a step: two panels, a group of bars for each batch."""
    figure, axes = new_figure(1, 2, about="A step of LoRA on a 1 B model")
    batches = sorted({row["batch_size"] for row in rows})
    bases = distinct(rows, "base")
    for axis, key, unit, label in (
        (axes[0], "seconds", 1e-3, "milliseconds a step"),
        (axes[1], "peak", GIB, "peak memory, GiB"),
    ):
        for k, base in enumerate(bases):
            own = {row["batch_size"]: row[key] / unit for row in rows if row["base"] == base}
            places = [i + 0.26 * (k - (len(bases) - 1) / 2) for i in range(len(batches))]
            heights = [own[batch] for batch in batches]
            bars = axis.bar(places, heights, 0.24, color=PALETTE[k], label=base_name(base))
            axis.bar_label(bars, fmt="%.3g")
        axis.set_xticks(range(len(batches)), [f"{batch} x 2048" for batch in batches])
        axis.set_xlabel("batch")
        axis.set_ylabel(label)
        axis.margins(y=0.12)
    axes[0].legend(fontsize="small")
    return figure


# --- beside bitsandbytes -----------------------------------------------------------------------


def agreement_table(data: dict[str, Any]) -> Table:
    """What of two implementations differs, summed over all shapes and dtypes."""

    def total(part: str, key: str) -> int:
        return sum(row[key] for row in data[part])

    count, scales = total("codes", "bytes"), total("scales", "scales")
    rows = [
        ["levels of the table", "16", f"{data['table_differs']}"],
        ["bytes of codes", f"{count:,d}", f"{total('codes', 'codes_differ')}"],
        ["scales", f"{2 * count // 64:,d}", f"{total('codes', 'scales_differ')}"],
        ["decoded weights", f"{2 * count:,d}", f"{total('codes', 'decoded_differ')}"],
        ["8-bit scales, one code apart", f"{scales:,d}", f"{total('scales', 'off_by_one')}"],
        ["8-bit scales, further apart", f"{scales:,d}", f"{total('scales', 'off_by_more')}"],
    ]
    return Table(["what", "compared", "differ"], rows, f"Ours and bitsandbytes {data['version']}")
