"""The tables, figures and drawings of lesson 13: rates, tuned losses, a hasty ranking, costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import TYPE_CHECKING, Any

from ...experiments.gaps import Gap, gaps_against, holm, paired_gap
from ...experiments.lesson13 import SCALED
from ...experiments.task import as_loss
from ...experiments.variants import PLAIN
from ..drawing import FROZEN, TRAINS, Drawing
from ..plots import PALETTE, new_figure
from ..series import MARKERS, distinct
from ..statistics import plus_minus
from ..tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
Data = Mapping[str, Any]
GIB = 2**30
SCALINGS = "two scalings at equal rates"
FAMILY = "each variant against LoRA, both tuned"


def joined(parts: Iterable[Data]) -> dict[str, Any]:
    """Several recordings of `tune_and_measure`, of other arms each, as one."""
    whole: dict[str, Any] = {"chosen": {}, "trained": {}, "tuning": [], "rows": []}
    for part in parts:
        whole["chosen"] |= part["chosen"]
        whole["trained"] |= part["trained"]
        whole["tuning"] = [*whole["tuning"], *part["tuning"]]
        whole["rows"] = [*whole["rows"], *part["rows"]]
    return whole


def arms_of(rows: Rows) -> list[str]:
    """The arms, in the order of the rows."""
    return distinct(rows, "arm")


def rates_of(rows: Rows, arm: str) -> list[float]:
    """The rates that an arm ran at, lowest first."""
    return sorted({row["lr"] for row in rows if row["arm"] == arm})


def losses(rows: Rows, arm: str, lr: float) -> dict[int, float]:
    """{seed: loss} of one arm at one rate."""
    return {row["seed"]: row["loss"] for row in rows if (row["arm"], row["lr"]) == (arm, lr)}


def average(rows: Rows, arm: str, lr: float) -> float:
    """The mean loss over the seeds; infinite where a run diverged."""
    return mean(as_loss(loss) for loss in losses(rows, arm, lr).values())


def curve(rows: Rows, arm: str) -> dict[float, float]:
    """{rate: mean loss} of one arm."""
    return {lr: average(rows, arm, lr) for lr in rates_of(rows, arm)}


# --- tuned ------------------------------------------------------------------------------------


def tuned(data: Data) -> dict[str, dict[int, float]]:
    """{arm: {fresh seed: loss}}, each arm at the rate that the tuning seeds chose."""
    return {arm: losses(data["rows"], arm, lr) for arm, lr in data["chosen"].items()}


def at_rate(data: Data, lr: float) -> dict[str, dict[int, float]]:
    """{arm: {fresh seed: loss}}, every arm at one rate."""
    found = {arm: losses(data["rows"], arm, lr) for arm in data["chosen"]}
    return {arm: by_seed for arm, by_seed in found.items() if by_seed}


def at_the_edge(data: Data) -> list[str]:
    """The arms whose chosen rate is the lowest or the highest that they tried."""
    ends = {arm: rates_of(data["tuning"], arm) for arm in data["chosen"]}
    return [arm for arm, lr in data["chosen"].items() if lr in (ends[arm][0], ends[arm][-1])]


def tuned_gaps(data: Data) -> list[Gap]:
    """Every variant less plain LoRA, seed by seed, each at its own rate: one family."""
    return gaps_against(tuned(data), PLAIN, family=FAMILY)


def settled(gaps: Iterable[Gap]) -> dict[str, list[str]]:
    """The arms that are below, above and not told apart from plain LoRA."""
    gaps = list(gaps)
    return {
        "below": [gap.first for gap in gaps if gap.settled and gap.mean < 0],
        "above": [gap.first for gap in gaps if gap.settled and gap.mean > 0],
        "not settled": [gap.first for gap in gaps if not gap.settled],
    }


def tuned_table(data: Data, caption: str) -> Table:
    """For each arm its rate, how many numbers it trains, and its loss on fresh seeds."""
    rows = []
    for arm, by_seed in tuned(data).items():
        rows.append(
            [
                arm,
                f"{data['chosen'][arm]:g}",
                f"{len(rates_of(data['tuning'], arm))}",
                f"{data['trained'][arm]:,d}",
                plus_minus(by_seed.values()),
            ]
        )
    head = ["arm", "best rate", "rates tried", "trains", "loss, mean ± 95 %"]
    return Table(head, rows, caption)


def ranking(values: Mapping[str, float]) -> list[str]:
    """The arms, lowest loss first; a run that diverged is last."""
    return sorted(values, key=lambda arm: as_loss(values[arm]))


def hasty_table(rows: Rows, seed: int, lrs: Sequence[float], caption: str) -> Table:
    """What a hasty reader sees: one seed, and at each rate each arm's loss less that of LoRA."""
    lines = []
    for arm in arms_of(rows):
        cells = []
        for lr in lrs:
            mine, plain = losses(rows, arm, lr).get(seed), losses(rows, PLAIN, lr)[seed]
            if mine is None:
                cells.append("not tried")
            elif math.isnan(mine):
                cells.append("diverged")
            else:
                cells.append(f"{mine:.3f}" if arm == PLAIN else f"{mine - plain:+.3f}")
        lines.append([arm, *cells])
    return Table(["arm", *(f"rate {lr:g}" for lr in lrs)], lines, caption)


def rates_figure(rows: Rows, title: str, arms: Sequence[str] = ()) -> Figure:
    """Loss against the rate of A for each arm: two panels, so that lines can be told apart."""
    shown = [arm for arm in arms_of(rows) if not arms or arm in arms]
    others = [arm for arm in shown if arm != PLAIN]
    halves = (others[: len(others) // 2], others[len(others) // 2 :])
    figure, axes = new_figure(1, 2, about=f"{title}: loss against the learning rate of A")
    values = [loss for arm in shown for loss in curve(rows, arm).values() if math.isfinite(loss)]
    lowest = min(values)
    for axis, half in zip(axes, halves, strict=True):
        for i, arm in enumerate([PLAIN, *half]):
            _curve(axis, rows, arm, i)
        axis.set_xscale("log")
        axis.set_ylim(lowest - 0.02, lowest + 0.35)
        axis.set_xlabel("learning rate of A")
        axis.set_ylabel("validation loss (nats per token)")
        axis.legend(fontsize="small")
    axes[0].set_title(title)
    axes[1].set_title("the others")
    return figure


def _curve(axis: Axes, rows: Rows, arm: str, i: int) -> None:
    found = curve(rows, arm)
    wide = 2.4 if arm == PLAIN else 1.2
    look = {"color": PALETTE[i % len(PALETTE)], "linewidth": wide, "markersize": 5}
    axis.plot(list(found), list(found.values()), MARKERS[i] + "-", label=arm, **look)


# --- the scaling -------------------------------------------------------------------------------


def scaling_gaps(rows: Rows, lrs: Sequence[float], seeds: Sequence[int]) -> list[Gap]:
    """The second config less the first on these seeds: at each rate, and each at its own best."""
    plain, stabilized = SCALED
    best = scaling_best(rows, seeds)
    pairs = {(lr, lr): None for lr in lrs} | {(best[plain], best[stabilized]): None}
    gaps = []
    for one, other in pairs:
        of_plain, of_other = (
            {seed: loss for seed, loss in losses(rows, arm, lr).items() if seed in seeds}
            for arm, lr in ((plain, one), (stabilized, other))
        )
        if all(math.isfinite(loss) for loss in [*of_plain.values(), *of_other.values()]):
            names = f"{stabilized}, {other:g}", f"{plain}, {one:g}"
            gaps.append(paired_gap(of_other, of_plain, names))
    corrected = holm([gap.p for gap in gaps])
    return [replace(g, holm=p, family=SCALINGS) for g, p in zip(gaps, corrected, strict=True)]


def scaling_best(rows: Rows, fresh: Sequence[int]) -> dict[str, float]:
    """{arm: its best rate on the seeds that are not fresh}."""
    tuning = [row for row in rows if row["seed"] not in fresh]
    best = {}
    for arm in SCALED:
        found = curve(tuning, arm)
        best[arm] = min(found, key=found.__getitem__)
    return best


def left_of_lead(rows: Rows, fresh: Sequence[int], lr: float) -> float:
    """Percent of the second config's lead at one rate that is left with each at its own best."""
    plain, stabilized = SCALED
    mine = [row for row in rows if row["seed"] in fresh]
    best = scaling_best(rows, fresh)
    lead = average(mine, plain, lr) - average(mine, stabilized, lr)
    own = average(mine, plain, best[plain]) - average(mine, stabilized, best[stabilized])
    return 100 * own / lead


def scaling_figure(rows: Rows) -> Figure:
    """Loss against the rate for both configs, over all seeds."""
    figure, (axis,) = new_figure(about="r = 64 with two scalings: loss against the learning rate")
    for i, arm in enumerate(SCALED):
        _curve(axis, rows, arm, i)
    lowest = min(min(curve(rows, arm).values()) for arm in SCALED)
    axis.set_xscale("log")
    axis.set_ylim(lowest - 0.02, lowest + 0.4)
    axis.set_xlabel("learning rate")
    axis.set_ylabel("validation loss (nats per token)")
    axis.legend()
    return figure


# --- LoftQ -------------------------------------------------------------------------------------


def loftq_table(rows: Rows) -> Table:
    """Error of the weights and loss of the model, by format and turns."""
    lines = [
        [
            f"{row['form'].upper()}, "
            + ("Q alone" if not row["turns"] else f"{row['turns']} turns"),
            f"{row['error']:.0%}",
            f"{row['loss']:.2f}",
        ]
        for row in rows
    ]
    return Table(
        ["weights", "error of W", "loss"], lines, "Nano, Q + B A with r = 8, nothing trained"
    )


# --- costs -------------------------------------------------------------------------------------


def costs_table(rows: Rows) -> Table:
    """Milliseconds to start and for a step, and the peak of memory, beside plain LoRA's."""
    lines = []
    for row in rows:
        plain = cost(rows, row["base"], PLAIN)
        seconds = row["seconds"]
        captured = seconds["captured"]
        ratio = step_seconds(row) / step_seconds(plain)
        lines.append(
            [
                f"{row['base']}: {row['arm']}",
                f"{1e3 * seconds['start']:.0f}",
                f"{1e3 * seconds['eager']:.2f}",
                "not captured" if captured is None else f"{1e3 * captured:.2f}",
                f"{ratio:.2f}",
                f"{row['peak'] / GIB:.2f}" if row["peak"] > GIB else "below 1",
            ]
        )
    head = ["base and arm", "start, ms", "eager, ms", "captured, ms", "against LoRA", "peak, GiB"]
    return Table(head, lines, "Time to make the adapters, time of a step, and its peak of memory")


def cost(rows: Rows, base: str, arm: str) -> Mapping[str, Any]:
    """The row of one arm on one base."""
    return next(row for row in rows if (row["base"], row["arm"]) == (base, arm))


def step_seconds(row: Mapping[str, Any]) -> float:
    """The fastest that a step was: captured, where that works."""
    seconds = row["seconds"]
    return seconds["eager"] if seconds["captured"] is None else seconds["captured"]


def times_as_long(rows: Rows, base: str, arm: str) -> float:
    """A step of this arm over a step of plain LoRA."""
    return step_seconds(cost(rows, base, arm)) / step_seconds(cost(rows, base, PLAIN))


# --- drawings ----------------------------------------------------------------------------------


def where_they_act() -> Drawing:
    """One LoRA layer, and at each place the variants that change it."""
    drawing = Drawing(
        "Where the variants act",
        "A layer of LoRA. The input x goes through the frozen W, and through A and then B, which "
        "train; the second result is multiplied by the scaling s and added to the first. Each "
        "variant changes one place. PiSSA and OLoRA take a part out of W and start A and B with "
        "it; LoftQ starts A and B with what quantizing took from W. LoRA-FA freezes A. LoRA+ gives "
        "B a higher learning rate. rsLoRA changes the scaling s. DoRA divides each output's row of "
        "the sum by its length, and multiplies it by a trained number m.",
        860,
        330,
    )
    x = drawing.box(10, 130, 56, 56, ["x", "(in)"])
    W = drawing.box(190, 20, 240, 96, ["W (out, in)", "PiSSA, OLoRA: less a part"], FROZEN)
    A = drawing.box(
        150, 210, 170, 96, ["A (r, in)", "LoRA-FA: frozen"], TRAINS, round_by=0, word="else: trains"
    )
    B = drawing.box(360, 210, 170, 96, ["B (out, r)", "LoRA+: faster"], TRAINS, round_by=0)
    s = drawing.box(565, 220, 120, 76, ["s", "rsLoRA", "alpha / √r"])
    total = drawing.circle(640, 158, 15, "+")
    m = drawing.box(690, 110, 150, 96, ["m (out)", "DoRA: a length", "for each row"])
    fork = (100, 158)
    drawing.arrow(x.right, fork, head=False)
    drawing.arrow(fork, (100, W.left[1]), W.left)
    drawing.arrow(fork, (100, A.left[1]), A.left)
    drawing.arrow(A.right, B.left)
    drawing.arrow(B.right, s.left)
    drawing.arrow(W.right, (640, W.right[1]), total.top)
    drawing.arrow((640, s.top[1]), total.bottom)
    drawing.arrow(total.right, m.left)
    drawing.label(340, 196, "start: PiSSA, OLoRA, orthogonal, LoftQ")
    return drawing
