"""Lesson 15: the drawing of a split, tables of arms and of the leak, and a study's curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from ...experiments.gaps import Gap, by_seed, gaps_against, paired_gap
from ...experiments.stress import LORA
from ..drawing import Drawing
from ..plots import new_figure
from ..series import at_each, band, distinct
from ..statistics import plus_minus
from ..tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANDOM, BY_STEM = "at random", "by stem"
SMALL, SMALLER = "LoRA, r = 4", "LoRA, r = 1"
Data = Mapping[str, Any]


def percent(values: Sequence[float]) -> str:
    """The mean and half of its 95 % interval in percent, as "79.4 ± 0.4"."""
    shares = [100 * value for value in values]
    return plus_minus(shares, 1) if len(shares) > 1 else f"{shares[0]:.1f}"


# --- The leak ----------------------------------------------------------------------------------


def leak_gap(data: Data) -> Gap:
    """Accuracy at random less by stem, seed by seed."""
    arms = [by_seed(data["runs"], "accuracy", split=split) for split in (RANDOM, BY_STEM)]
    return paired_gap(*arms, (RANDOM, BY_STEM))


def leak_table(data: Data, caption: str) -> Table:
    """A row for each split: words with kin in training, the rule of endings, the model."""
    rows = []
    for split in (RANDOM, BY_STEM):
        some = [row for row in data["runs"] if row["split"] == split]
        columns = [[row[name] for row in some] for name in ("kin", "ending", "accuracy")]
        rows.append([split, *map(percent, columns)])
    head = ["split", "words with kin in training, %", "rule of endings, %", "model, %"]
    return Table(head, rows, caption)


# --- The choices -------------------------------------------------------------------------------


def accuracies(data: Data, value: str = "accuracy") -> dict[str, dict[int, float]]:
    """{arm: {seed: accuracy on the test words}}."""
    return {arm: by_seed(data["runs"], value, arm=arm) for arm in data["chosen"]}


def choice_gaps(data: Data) -> list[Gap]:
    """Every arm less LoRA of rank 8, as one family."""
    return gaps_against(accuracies(data), LORA, family="each arm against LoRA, r = 8")


def choice_table(data: Data) -> Table:
    """A row for each arm, best first, and the two rules without a model."""
    rows = []
    found, f1 = accuracies(data), accuracies(data, "macro F1")
    for arm in sorted(found, key=lambda arm: -mean(found[arm].values())):
        trained = next(row["trained"] for row in data["runs"] if row["arm"] == arm)
        scores = percent(list(found[arm].values())), percent(list(f1[arm].values()))
        rows.append([arm, f"{data['chosen'][arm]:g}", f"{trained:,}", *scores])
    for rule, scores in data["baselines"].items():
        own = [f"{100 * scores[name]:.1f}" for name in ("accuracy", "macro F1")]
        rows.append([rule, "", "", *own])
    seeds = len(next(iter(found.values())))
    return Table(
        ["arm", "rate", "trained", "accuracy, %", "macro F1, %"],
        rows,
        f"Test words, {seeds} seeds; each arm at its best rate",
    )


def tuning_table(data: Data) -> Table:
    """Mean accuracy on the validation words, for each arm and rate; * marks the chosen."""
    rows = []
    for arm, chosen in data["chosen"].items():
        tried: dict[float, list[float]] = {}
        for row in data["tuning"]:
            if row["arm"] == arm:
                tried.setdefault(row["lr"], []).append(row["accuracy"])
        cells = [f"{lr:g}: {100 * mean(v):.1f}{'*' * (lr == chosen)}" for lr, v in tried.items()]
        rows.append([arm, ", ".join(cells)])
    return Table(["arm", "rate: accuracy, %"], rows, "Tuning seeds, validation words")


def verdict_on_rank(data: Data) -> dict[str, bool]:
    """Which ranks cannot be told from 8: {option: seen}."""
    settled = {gap.first: gap.settled for gap in choice_gaps(data)}
    tie4, tie1 = not settled[SMALL], not settled[SMALLER]
    return {
        "1 and 4 tie with 8": tie4 and tie1,
        "4 ties, 1 is worse": tie4 and not tie1,
        "both are worse": not tie4 and not tie1,
    }


# --- Curves ------------------------------------------------------------------------------------


def study_figure(runs: Sequence[Mapping[str, Any]], baselines: Mapping[str, Any]) -> Figure:
    """Accuracy along training: each arm's mean over its seeds, with the interval as a band.

    runs: rows with arm, seed, steps and curve. The rules without a model are level lines.
    """
    figure, (ax,) = new_figure(about="Accuracy along training, beside rules without a model.")
    for place, arm in enumerate(distinct(runs, "arm")):
        some = [row for row in runs if row["arm"] == arm]
        runs_at = at_each([100 * accuracy for accuracy in row["curve"]] for row in some)
        band(ax, some[0]["steps"], runs_at, place, arm)
    for place, (rule, scores) in enumerate(baselines.items()):
        look = {"color": "#767676", "linestyle": ("--", ":")[place % 2]}
        ax.axhline(100 * scores["accuracy"], label=rule, **look)
    ax.set_xlabel("steps")
    ax.set_ylabel("accuracy on words that were not trained, %")
    ax.set_ylim(bottom=60)  # the untrained head is far below: 12 to 70 %
    ax.legend()
    return figure


# --- A drawing ---------------------------------------------------------------------------------


def two_splits() -> Drawing:
    """Where the kin of a word go, in the two splits."""
    drawing = Drawing(
        "Two splits of two families",
        "At random, abandon and elevated train, and abandoned and elevate are asked: the stem of "
        "each word asked was trained. By stem, abandon and abandoned train, and elevate and "
        "elevated "
        "are asked: no stem is in both parts.",
        820,
        230,
    )
    rows = (
        ("at random", ["abandon", "elevated"], ["abandoned", "elevate"], "a look at the kin"),
        ("by stem", ["abandon", "abandoned"], ["elevate", "elevated"], "nothing to look up"),
    )
    for place, (name, train, asked, says) in enumerate(rows):
        y = 25 + 105 * place
        drawing.label(60, y + 40, name)
        known = drawing.box(150, y, 230, 76, ["training", *train], round_by=0)
        new = drawing.box(560, y, 230, 76, ["asked", *asked], round_by=0)
        drawing.arrow(known.right, new.left, label=says)
    return drawing
