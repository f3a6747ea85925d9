"""The figures and tables of lesson 04: the penalty, early stopping, and loss against dropout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any, NamedTuple

from ..plots import PALETTE, new_figure
from ..series import MARKERS, at_each, band, distinct, legend_below, one_height
from ..statistics import half_width95

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]


class Arm(NamedTuple):
    """One (p, weight decay) at one learning rate: means over the seeds, halves of intervals."""

    p: float
    decay: float
    lr: float
    best: float
    best_half: float
    last: float
    last_half: float
    train: float

    @property
    def name(self) -> str:
        """What the figures call it: "p = 0.1", "decay 1"."""
        return f"decay {self.decay:g}" if self.decay else f"p = {self.p:g}"


def arms(result: dict[str, Any], measure: str = "best") -> list[Arm]:
    """Each arm at the learning rate with the lowest mean `measure` ("best" or "last")."""
    rows = result["rows"]
    keys = {(row["p"], row["decay"]) for row in rows}
    chosen = []
    for key in sorted(keys, key=lambda key: (key[1], key[0])):  # weight decays last
        mine = [row for row in rows if (row["p"], row["decay"]) == key]
        every = [_arm([row for row in mine if row["lr"] == lr]) for lr in distinct(mine, "lr")]
        chosen.append(min(every, key=lambda arm: getattr(arm, measure)))
    return chosen


def _arm(rows: list[Row]) -> Arm:
    best, last = ([row[key] for row in rows] for key in ("best", "last"))
    return Arm(
        rows[0]["p"], rows[0]["decay"], rows[0]["lr"],
        mean(best), half_width95(best), mean(last), half_width95(last),
        mean(row["train"][-1] for row in rows),
    )  # fmt: skip


def penalty(rows: list[dict[str, float]]) -> Figure:
    """The rise of the squared loss by masks: sampled, with its standard error, and by formula."""
    figure, axes = new_figure(about="How much the masks raise the squared loss")
    ps = [row["p"] for row in rows]
    grid = [k / 100 for k in range(round(100 * max(ps)) + 1)]
    at_half = rows[-1]["formula"] * (1 - ps[-1]) / ps[-1]  # where p / (1 - p) is 1
    curve = [at_half * p / (1 - p) for p in grid]
    axes[0].plot(grid, curve, "-", color=PALETTE[0], label="closed form")
    axes[0].errorbar(
        ps,
        [row["sampled"] for row in rows],
        [2 * row["error"] for row in rows],
        fmt="s",
        color=PALETTE[1],
        label="sampled masks, two standard errors",
    )
    axes[0].set_xlabel("p")
    axes[0].set_ylabel("rise of the squared loss")
    legend_below(figure, columns=2, frameon=False)
    return figure


def stopping(run: dict[str, Any], at: int) -> Figure:
    """The three curves of one run, and the place where the validation loss is lowest."""
    figure, axes = new_figure(about="Three losses of one run, and where to stop")
    for i, name in enumerate(("train", "valid", "test")):
        axes[0].plot(run["steps"], run[name], MARKERS[i] + "-", color=PALETTE[i], label=name)
    axes[0].axvline(run["steps"][at], color=PALETTE[-1], linestyle="--", label="stop here")
    axes[0].set_xlabel("step")
    axes[0].set_ylabel("loss without dropout (nats per token)")
    legend_below(figure, columns=4, frameon=False)
    return figure


def best_and_last(result: dict[str, Any], title: str) -> Figure:
    """Best and last validation loss of each arm; the base's, far above, is written below.

    With several learning rates there are two panels: each arm at the rate that gives it the lowest
    best loss, and at the rate that gives it the lowest last loss.
    """
    tuned = len(distinct(result["rows"], "lr")) > 1
    measures = ("best", "last") if tuned else ("best",)
    figure, axes = new_figure(1, len(measures), about="Best and last loss of each arm")
    for axis, measure in zip(axes, measures, strict=True):
        table = arms(result, measure)
        for i, kind in enumerate(("best", "last")):
            axis.errorbar(
                [place + (-0.12, 0.12)[i] for place in range(len(table))],  # beside each other
                [getattr(arm, kind) for arm in table],
                [getattr(arm, f"{kind}_half") for arm in table],
                fmt=MARKERS[i],
                color=PALETTE[i],
                capsize=3,
                label=f"{kind} of the run",
            )
        axis.set_xticks(range(len(table)), [arm.name for arm in table], rotation=60)
        axis.set_xlabel(f"arm (loss before training: {start(result):.3f})")
        axis.set_ylabel("validation loss (nats per token)")
        axis.set_title(f"{title}: rate tuned for the {measure}" if tuned else title)
    one_height(axes)
    legend_below(figure, columns=2, frameon=False)
    return figure


def start(result: dict[str, Any]) -> float:
    """The validation loss before the first step, the same for every run."""
    return result["rows"][0]["valid"][0]


def curves(result: dict[str, Any], lr: float) -> Figure:
    """Training loss (masks on) and validation loss (masks off) against steps, one line for a p."""
    rows = [row for row in result["rows"] if row["lr"] == lr and not row["decay"]]
    every = result["eval_every"]
    figure, axes = new_figure(1, 2, about="Training and validation loss against steps, a line a p")
    for axis, key in zip(axes, ("train", "valid"), strict=True):
        for i, p in enumerate(distinct(rows, "p")):
            runs = at_each(row[key] for row in rows if row["p"] == p)
            first = 1 if key == "train" else 0  # a window of training ends at its last step
            steps = [every * (n + first) for n in range(len(runs))]
            every_few = max(1, len(steps) // 6)  # so that the lines' markers do not hide each other
            look = {"markersize": 5, "markevery": (i % every_few, every_few)}
            band(axis, steps, runs, i, f"p = {p:g}", **look)
        axis.set_xlabel("step")
        axis.set_ylabel(f"{key} loss (nats per token)")
        masks = "with the masks" if key == "train" else "without masks"
        axis.set_title(f"{key}, {masks}, learning rate {lr:g}")
    legend_below(figure, columns=6, frameon=False)
    return figure


def steps_to(result: dict[str, Any], key: str, target: float) -> list[tuple[float, float, list]]:
    """(p, learning rate, the steps that each seed needs to bring `key` to `target` or below).

    None for a seed that never does. `key` is "train" or "valid".
    """
    first = 1 if key == "train" else 0
    table: dict[tuple[float, float], list] = {}
    for row in result["rows"]:
        if row["decay"]:
            continue
        reached = [i + first for i, loss in enumerate(row[key]) if loss <= target]
        needed = reached[0] * result["eval_every"] if reached else None
        table.setdefault((row["p"], row["lr"]), []).append(needed)
    return [(p, lr, needed) for (p, lr), needed in table.items()]


def costs_of_going_on(result: dict[str, Any], lr: float) -> list[tuple[float, float, float]]:
    """(p, mean of last minus best validation loss over the seeds, half of its 95 % interval)."""
    rows = [row for row in result["rows"] if row["lr"] == lr and not row["decay"]]
    table = []
    for p in distinct(rows, "p"):
        costs = [row["last"] - row["best"] for row in rows if row["p"] == p]
        table.append((p, mean(costs), half_width95(costs)))
    return table


def target_loss(result: dict[str, Any], key: str, share: float = 0.8) -> float:
    """The loss after `share` of what p = 0 gains from its first reading to its last.

    Means over the seeds, at the lowest learning rate. `key` is "train" or "valid".
    """
    rows = [row for row in result["rows"] if row["p"] == 0 and not row["decay"]]
    lowest = min(row["lr"] for row in rows)
    runs = [row[key] for row in rows if row["lr"] == lowest]
    return mean(run[0] + share * (run[-1] - run[0]) for run in runs)


def in_steps(needed: Sequence[int | None]) -> str:
    """The mean over the seeds, or how many of them never got there."""
    there = [steps for steps in needed if steps is not None]
    if len(there) < len(needed):
        return f"not reached by {len(needed) - len(there)} of {len(needed)}"
    return f"{mean(there):.0f} steps"


def winner(result: dict[str, Any], measure: str = "best") -> float:
    """The p with the lowest mean loss, each p at its best learning rate, without weight decay."""
    plain = [arm for arm in arms(result, measure) if not arm.decay]
    return min(plain, key=lambda arm: getattr(arm, measure)).p


def print_table(result: dict[str, Any], show: Callable[[str], None] = print) -> None:
    """One line an arm, each at the learning rate with its lowest best loss."""
    for arm in arms(result):
        show(
            f"{arm.name:>11s}, rate {arm.lr:g}: best {arm.best:.3f} +- {arm.best_half:.3f}, "
            f"last {arm.last:.3f} +- {arm.last_half:.3f}, train {arm.train:.3f}"
        )
