"""Lesson 15: the curves of the recorded arms, and of the learner's own study beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from ...experiments.gaps import half_width95, paired_gap
from ...experiments.stress import ARMS, LORA
from ..explorers.base import Explorer
from ..explorers.controls import Choice
from ..plots import new_figure
from ..recorded import load
from ..series import at_each, band

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MINE = "your study"
OTHERS = ["LoRA, r = 4", *(arm for arm in ARMS if arm not in (LORA, "LoRA, r = 4")), MINE]
_mine: dict[str, list[Mapping[str, Any]]] = {}


def add_mine(runs: Sequence[Mapping[str, Any]]) -> None:
    """Show these runs as "your study" from now on: rows with seed, steps and curve."""
    _mine[MINE] = list(runs)


def rows_of(arm: str) -> list[Mapping[str, Any]]:
    """The runs of an arm: recorded, or the learner's; none before there is a study."""
    if arm == MINE:
        return _mine.get(MINE, [])
    return [row for row in load("15_choices").data["runs"] if row["arm"] == arm]


def _gap_text(first: str, second: str) -> str:
    """How far two arms lie apart in the end, seed by seed where they share their seeds."""
    ends = [{row["seed"]: row["curve"][-1] for row in rows_of(arm)} for arm in (first, second)]
    if not all(ends):
        return "no study of yours yet: run the cell of section 4"
    if ends[0].keys() != ends[1].keys() or len(ends[0]) < 2 or first == second:
        return f"{100 * (mean(ends[1].values()) - mean(ends[0].values())):+.1f} points, not paired"
    gap = paired_gap(ends[1], ends[0], (second, first))
    return f"{100 * gap.mean:+.1f} ± {100 * gap.half:.1f} points"


def draw(first: str, second: str) -> Figure:
    """Accuracy along training of two arms, their intervals as bands, and the two simple rules."""
    figure, (ax,) = new_figure()
    for place, arm in enumerate(dict.fromkeys((first, second))):
        rows = rows_of(arm)
        if not rows:
            continue
        runs_at = at_each([100 * accuracy for accuracy in row["curve"]] for row in rows)
        band(ax, rows[0]["steps"], runs_at, place, arm)
    for style, (rule, scores) in zip(("--", ":"), _baselines().items(), strict=True):
        ax.axhline(100 * scores["accuracy"], color="#767676", linestyle=style, label=rule)
    ax.set_ylim(65, 84)
    ax.set_xlabel("steps")
    ax.set_ylabel("accuracy on the test words, %")
    ax.set_title(f"{second} less {first}: {_gap_text(first, second)}", fontsize=10)
    ax.legend(loc="lower right")
    return figure


def _baselines() -> Mapping[str, Any]:
    return load("15_choices").data["baselines"]


def alt(first: str, second: str) -> str:
    """What `draw` shows, in words."""
    told = []
    for arm in dict.fromkeys((first, second)):
        rows = rows_of(arm)
        ends = [100 * row["curve"][-1] for row in rows]
        told.append(
            f"{arm}: {mean(ends):.1f} ± {half_width95(ends):.1f} % in the end" if rows
            else f"{arm}: no runs yet"
        )  # fmt: skip
    rules = ", ".join(f"{name} {100 * s['accuracy']:.1f} %" for name, s in _baselines().items())
    return (
        f"Accuracy along training. {'; '.join(told)}. Level lines: {rules}. {second} less {first}: "
        f"{_gap_text(first, second)}."
    )


EXPLORERS = {
    "curves": Explorer(
        "Two arms along training: which differences are above the noise?",
        {
            "first": Choice("This arm", [LORA, *OTHERS], LORA),
            "second": Choice("against", [LORA, *OTHERS], OTHERS[0]),
        },
        draw,
        alt,
    )
}
