"""The figures of lesson 05: choices of targets at one budget, and against the other arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import mean
from typing import TYPE_CHECKING, Any

from torch import nn

from ...experiments.lesson05 import DECODER_ARMS, RANKS
from ...experiments.target_gradients import Squared, reach, share
from ..plots import PALETTE, new_figure
from ..series import arm_rows, legend_below
from ..statistics import Gap, by_seed, half_width95, paired_gaps
from ..tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Run = Mapping[str, Any]
COMMON = ("q, v", "q, k, v, o", "MLP", "all-linear")

PAPER_TABLE_5 = {
    "q": (70.4, 91.0),
    "k": (70.0, 90.8),
    "v": (73.0, 91.0),
    "o": (73.2, 91.3),
    "q, k": (71.4, 91.3),
    "q, v": (73.7, 91.3),
    "q, k, v, o": (73.7, 91.7),
}
"""Accuracy in percent on WikiSQL (+-0.5) and MultiNLI (+-0.1), standard deviations over seeds:
GPT-3 175B, 18 M trained numbers (Hu et al. 2021, table 5)."""

PAPER_TABLE_6 = {
    "q": (68.8, 69.6, 70.5, 70.4, 70.0),
    "q, v": (73.4, 73.3, 73.7, 73.8, 73.5),
    "q, k, v, o": (74.1, 73.7, 74.0, 74.0, 73.9),
}
"""Accuracy in percent on WikiSQL (+-0.5) at RANKS: GPT-3 175B (Hu et al. 2021, table 6)."""


RANGES = {
    "targets, the four": COMMON,
    "targets, all nine": (*PAPER_TABLE_5, "MLP", "all-linear"),
    "r, 4 to 16": ("r = 4", "all-linear", "r = 16"),
    "alpha, 16 to 32": ("all-linear", "alpha = 32"),
    "dropout, 0.05 to 0.1": ("dropout = 0.05", "dropout = 0.1"),
    "dropout, 0 to 0.1": ("all-linear", "dropout = 0.05", "dropout = 0.1"),
}
"""What each argument was varied over. The all-linear arm has r = 8, alpha = 16 and no dropout."""


def rank_for_budget(shapes: Sequence[tuple[int, int]], budget: int) -> int:
    """The rank whose trained numbers are nearest to a budget: a stand-in for 5.5."""
    return max(1, round(budget / sum(out + in_ for out, in_ in shapes)))


def all_linear(model: nn.Module) -> list[str]:
    """The linear layers but the output layer: a stand-in for 5.3."""
    from ...lora.config import LoraConfig
    from ...lora.more.layers.default_targets import all_linear as engines

    return sorted(engines(model, LoraConfig(target_modules="all-linear")))


def losses(result: Run, arm: str) -> list[float]:
    """The best validation loss of each seed of one arm."""
    return [row["best"] for row in result["runs"] if row["arm"] == arm]


def table(result: Run, arms: Sequence[str] | None = None) -> list[tuple[str, int, float, float]]:
    """(arm, trained numbers, mean best loss, half of its 95 % interval), lowest loss first."""
    rows = [
        (arm, about["parameters"], mean(losses(result, arm)), half_width95(losses(result, arm)))
        for arm, about in result["arms"].items()
        if arms is None or arm in arms
    ]
    return sorted(rows, key=lambda row: row[2])


def winner(result: Run, arms: Sequence[str] = COMMON) -> str:
    """The arm with the lowest mean best loss."""
    return table(result, arms)[0][0]


def arms_table(result: Run, arms: Sequence[str] | None = None, caption: str = "") -> Table:
    """The choices as a table, lowest loss first."""
    rows = [
        (arm, str(result["arms"][arm].get("r", "")), f"{size:,d}", f"{loss:.3f} ± {half:.3f}")
        for arm, size, loss, half in table(result, arms)
    ]
    return Table(["layers", "r", "trained numbers", "loss, mean ± 95 %"], rows, caption)


def seeds_of(result: Run, arms: Sequence[str]) -> dict[str, dict[Any, float]]:
    """{arm: {seed: best validation loss}}."""
    return {arm: by_seed(result["runs"], "best", arm=arm) for arm in arms}


def common_gaps(result: Run) -> list[Gap]:
    """The differences between the four common choices, all six pairs as one family."""
    pairs = list(combinations(COMMON, 2))
    return paired_gaps(seeds_of(result, COMMON), pairs, family="the six pairs of choices")


def against_paper(recorded: Run) -> Table:
    """The paper's accuracies beside our losses, lowest loss first."""
    rows = [
        (arm, *(f"{accuracy:.1f}" for accuracy in PAPER_TABLE_5[arm]), f"{loss:.3f} ± {half:.3f}")
        for arm, _, loss, half in table(recorded, list(PAPER_TABLE_5))
    ]
    head = ["layers", "paper, WikiSQL %", "paper, MultiNLI %", "here, loss ± 95 %"]
    return Table(head, rows, "the paper's ± are standard deviations: 0.5 and 0.1")


def gradient_table(recorded: Run, squares: Mapping[str, Squared]) -> Table:
    """What each choice's layers hold of the squared gradient, and what a first step meets."""
    rows = []
    for arm, _, loss, _ in table(recorded, COMMON):
        kinds = DECODER_ARMS[arm].targets
        kinds = list(squares) if kinds == "all-linear" else list(kinds)
        met = reach(squares, kinds, recorded["arms"][arm]["r"])
        rows.append((arm, f"{share(squares, kinds):.0%}", f"{met:.1%}", f"{loss:.3f}"))
    head = ["layers", "share of the squared gradient", "met by a first step", "loss in the end"]
    return Table(head, rows, "decoder, before any training")


def effects_table(effects: Sequence[Run]) -> Table:
    """What a change of one argument does: wrapper, trained numbers, loss after a few steps."""
    rows = [
        (row["argument"], row["wrapper"], f"{row['trained']:,d}", f"{row['loss']:.4f}")
        for row in effects
    ]
    return Table(["changed", "wrapper", "numbers that train", "loss"], rows)


def rank_table(recorded: Run) -> Table:
    """Loss by choice and rank."""
    rows = [
        (choice, *(f"{loss:.3f} ± {half:.3f}" for loss, half in rank_losses(recorded, choice)))
        for choice in PAPER_TABLE_6
    ]
    return Table(["layers", *(f"r = {r}" for r in RANKS)], rows, "loss, mean ± 95 %")


def spread(result: Run, argument: str) -> float:
    """How far one argument of RANGES moves the mean best loss, in nats per token."""
    means = [mean(losses(result, arm)) for arm in RANGES[argument]]
    return max(means) - min(means)


def spreads_table(result: Run, more: Mapping[str, float]) -> Table:
    """`spread` of each argument of RANGES, and of what else is given by name."""
    moved = {argument: spread(result, argument) for argument in RANGES} | dict(more)
    rows = [(argument, f"{by:.3f}") for argument, by in moved.items()]
    return Table(["argument", "moves the mean loss by (nats per token)"], rows)


def one_budget(live: Run, recorded: Run | None = None) -> Figure:
    """Best validation loss of the four common choices at one budget; each seed is a dot."""
    results = {"nano, live": live} | ({"decoder, recorded": recorded} if recorded else {})
    figure, axes = new_figure(1, len(results), about="Four choices of layers at one budget")
    for axis, (title, result) in zip(axes, results.items(), strict=True):
        _arms(axis, result, COMMON)
        axis.set_title(f"{title}\n{_budget(result)} trained numbers each")
    return figure


def _budget(result: Run) -> str:
    sizes = [result["arms"][arm]["parameters"] for arm in COMMON]
    return f"about {round(mean(sizes), -2):,.0f}"


def _arms(axis: Axes, result: Run, arms: Sequence[str]) -> None:
    """One line of the picture for each arm: the seeds, their mean and its 95 % interval."""
    arm_rows(axis, {arm: losses(result, arm) for arm in arms}, below=0.18)
    axis.set_xlabel(
        "best validation loss (nats per token), left is better\n"
        "dots: seeds; bar: 95 % interval of the mean"
    )


def table_5(recorded: Run) -> Figure:
    """The paper's accuracies beside our losses for the same seven choices."""
    figure, axes = new_figure(1, 2, about="Seven choices of attention matrices")
    arms = list(PAPER_TABLE_5)
    accuracy = [wikisql for wikisql, _ in PAPER_TABLE_5.values()]
    axes[0].errorbar(accuracy, range(len(arms)), xerr=0.5, fmt="s", color=PALETTE[2], capsize=5)
    axes[0].set_yticks(range(len(arms)), arms)
    axes[0].margins(y=0.12)
    axes[0].invert_yaxis()
    axes[0].set_xlabel("accuracy on WikiSQL (%), right is better\nbar: a standard deviation, 0.5 %")
    axes[0].set_title("the paper: GPT-3 175B")
    _arms(axes[1], recorded, arms)
    axes[1].set_title("here: decoder 5.5 M")
    return figure


def rank_losses(recorded: Run, choice: str) -> list[tuple[float, float]]:
    """(mean best loss, half of its 95 % interval) of a choice at each of RANKS."""
    rows = [losses(recorded, f"{choice}: r = {r}") for r in RANKS]
    return [(mean(row), half_width95(row)) for row in rows]


def table_6(recorded: Run) -> Figure:
    """Rank by rank: the paper's accuracies beside our losses for the same choices."""
    figure, axes = new_figure(1, 2, about="Three choices of attention matrices, rank by rank")
    places = range(len(RANKS))
    for number, (choice, accuracy) in enumerate(PAPER_TABLE_6.items()):
        look = {"color": PALETTE[number], "marker": "osD"[number], "capsize": 4, "label": choice}
        axes[0].errorbar(places, accuracy, yerr=0.5, **look)
        means, halves = zip(*rank_losses(recorded, choice), strict=True)
        axes[1].errorbar(places, means, yerr=halves, **look)
    for axis in axes:
        axis.set_xticks(places, [str(r) for r in RANKS])
        axis.set_xlabel("rank r")
    legend_below(figure, columns=3)
    axes[0].set_ylabel("accuracy on WikiSQL (%), up is better\nbar: a standard deviation, 0.5 %")
    axes[0].set_title("the paper: GPT-3 175B")
    axes[1].set_ylabel("loss (nats per token), down is better\nbar: 95 % interval of the mean")
    axes[1].set_title("here: decoder 5.5 M")
    return figure


def ranges(recorded: Run) -> Figure:
    """How far the loss moves with each argument, each point at its own learning rate."""
    figure, (axis,) = new_figure(about="How far each argument moves the loss, end to end")
    figure.set_size_inches(8.8, 4.6)
    for row, (argument, arms) in enumerate(RANGES.items()):
        means = {arm: mean(losses(recorded, arm)) for arm in arms}
        places = sorted(means.values())
        axis.plot(places, [row] * len(places), "o-", color=PALETTE[0], linewidth=2, label=argument)
        low, high = min(means, key=means.get), max(means, key=means.get)
        axis.annotate(f"{low} ", (places[0], row), ha="right", va="center", fontsize=9)
        told = f"  {high}: {spread(recorded, argument):.3f} more"
        axis.annotate(told, (places[-1], row), va="center", fontsize=9)
    axis.set_yticks(range(len(RANGES)), list(RANGES))
    axis.margins(x=0.3, y=0.12)
    axis.invert_yaxis()
    axis.set_xlabel("mean best validation loss (nats per token), left is better")
    return figure
