"""The figures of lesson 01: the loss kept after a cut, and the loss against rank."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from ..plots import PALETTE, new_figure
from ..series import at_each, band, distinct, doubling_axis, legend_below
from ..statistics import half_width95

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FULL = "full fine-tuning"
Rows = list[dict[str, Any]]


def kept_loss(cuts: Sequence[int], live: Sequence[float], recorded: dict[str, Any]) -> Figure:
    """Share of the gained loss that survives a cut to rank k, live and recorded."""
    figure, axes = new_figure(1, 1, about="The fall in loss that survives a cut of every update.")
    axis = axes[0]
    axis.plot(cuts, _kept(live), "o-", color=PALETTE[0], label="nano, width 64, live")
    ranks = recorded["ranks"]
    shares = [_kept(run["loss_at_rank"]) for run in recorded["runs"]]
    band(axis, ranks, at_each(shares), 1, "decoder, width 256, recorded, 5 seeds")
    axis.set_xscale("symlog", base=2, linthresh=1)
    axis.set_xticks([0, 1, 4, 16, 64, 256], ["0", "1", "4", "16", "64", "256"])
    axis.set_xlabel("rank that every update was cut to")
    axis.set_ylabel("share of the fall in loss kept (%)")
    axis.legend()
    return figure


def _kept(losses: Sequence[float]) -> list[float]:
    """Losses at rising ranks, the first at rank 0, the last at full rank -> percent kept."""
    return [100 * (losses[0] - loss) / (losses[0] - losses[-1]) for loss in losses]


def rank_sweep(rows: Rows, title: str, measure: str = "best", top: float | None = None) -> Figure:
    """Validation loss against rank: a panel for each alpha rule, a line for each learning rate.

    Losses above `top` leave the picture, so that runs which broke do not flatten the others.
    """
    rules = distinct(rows, "rule", (FULL,))
    figure, axes = new_figure(1, len(rules), about=f"{title}: loss against rank.")
    for axis, rule in zip(axes, rules, strict=True):
        if axis is not axes[0]:
            axis.sharey(axes[0])  # the rules are compared by height
        _sweep_panel(axis, [row for row in rows if row["rule"] == rule], measure)
        _full_line(axis, rows, measure)
        axis.set_ylim(top=top)
        axis.set_title(f"{title}: {rule}")
        axis.set_ylabel(f"{measure} validation loss (nats per token)")
    legend_below(figure, columns=3)
    return figure


def _sweep_panel(axis: Axes, rows: Rows, measure: str) -> None:
    ranks = distinct(rows, "r")
    for i, lr in enumerate(distinct(rows, "lr")):
        losses = [
            [row[measure] for row in rows if row["r"] == r and row["lr"] == lr] for r in ranks
        ]
        band(axis, ranks, losses, i, f"learning rate {lr:g}")
    doubling_axis(axis, ranks)


def _full_line(axis: Axes, rows: Rows, measure: str) -> None:
    """Full fine-tuning at its best learning rate: one dashed line, as it has no rank."""
    by_lr = defaultdict(list)
    for row in rows:
        if row["rule"] == FULL:
            by_lr[row["lr"]].append(row[measure])
    if by_lr:
        best = min(mean(losses) for losses in by_lr.values())
        axis.axhline(best, linestyle="--", color=PALETTE[-1], label=f"{FULL}, best rate")


def best_and_last(rows: Rows) -> Figure:
    """Best and last validation loss against rank, a panel for each learning rate, alpha = 2r."""
    rows = [row for row in rows if row["rule"] == "alpha = 2r"]
    rates, ranks = sorted(distinct(rows, "lr")), distinct(rows, "r")
    figure, axes = new_figure(
        1, len(rates), about="Little data: the best and the last loss of a run."
    )
    for axis, lr in zip(axes, rates, strict=True):
        if axis is not axes[0]:
            axis.sharey(axes[0])  # the rates are compared by height
        for i, measure in enumerate(("best", "last")):
            losses = [
                [row[measure] for row in rows if row["r"] == r and row["lr"] == lr] for r in ranks
            ]
            band(axis, ranks, losses, i, f"{measure} of the run")
        doubling_axis(axis, ranks)
        axis.set_title(f"learning rate {lr:g}")
        axis.set_ylabel("validation loss (nats per token)")
    axes[0].legend()
    return figure


def best_by_rank(
    rows: Rows, rule: str = "alpha = 2r"
) -> list[tuple[int | None, float, float, float]]:
    """(r, best learning rate, mean best loss, half of its 95 % interval), rate tuned per rank."""
    table = []
    for r in [*distinct([row for row in rows if row["rule"] == rule], "r"), None]:
        wanted = FULL if r is None else rule
        mine = [row for row in rows if row["r"] == r and row["rule"] == wanted]
        by_lr = {
            lr: [row["best"] for row in mine if row["lr"] == lr] for lr in distinct(mine, "lr")
        }
        if by_lr:
            lr = min(by_lr, key=lambda rate: mean(by_lr[rate]))
            table.append((r, lr, mean(by_lr[lr]), half_width95(by_lr[lr])))
    return table


def winner(rows: Rows, rule: str = "alpha = 2r") -> int:
    """The rank with the lowest mean best loss, each rank at its best learning rate."""
    ranked = [line for line in best_by_rank(rows, rule) if line[0] is not None]
    return min(ranked, key=lambda line: line[2])[0]
