"""Lesson 03's comparisons: which arms are set against which, and the tables on the page."""

from __future__ import annotations

from statistics import mean
from typing import Any

from ...experiments.alpha_algebra import exponent
from ..statistics import Gap, by_seed, gaps_against, paired_gaps, plus_minus
from ..tables import Table
from .figures import best_by_alpha, broken_share, distinct, exponent_table

Rows = list[dict[str, Any]]
Arm = dict[Any, float]
SCALINGS = {"alpha / r": False, "alpha / sqrt(r)": True}
TUNING = (10, 11)  # seeds on which the rates of the long runs are chosen


def law_table(rows: Rows) -> Table:
    """The exponents of section 4 beside theory, with the 95 % interval over the seeds."""
    cells = [
        [what, rule, f"{theory:.1f}", f"{fitted:.3f} ± {half:.3f}"]
        for what, rule, theory, fitted, half in exponent_table(rows)
    ]
    return Table(["measured", "rule", "theory", "exponent of r ± 95 %"], cells)


# --- rank raised, alpha left or raised along ----------------------------------------------------


def at_two_ranks(rows: Rows, rates: tuple[float, ...]) -> dict[float, dict[str, Arm]]:
    """{rate: {"alpha = 16, r = 8": {seed: best loss}, ...}} of lesson 01's recording."""
    return {
        lr: {
            f"{rule}, r = {r}": by_seed(rows, "best", rule=rule, lr=lr, r=r)
            for rule in ("alpha = 16", "alpha = 2r")
            for r in (8, 128)
        }
        for lr in rates
    }


def gaps_at_two_ranks(arms: dict[float, dict[str, Arm]], lr: float) -> list[Gap]:
    """r = 128 against 8 for each rule, and the two rules at r = 128."""
    pairs = [(f"{rule}, r = 128", f"{rule}, r = 8") for rule in ("alpha = 16", "alpha = 2r")]
    pairs.append(("alpha = 2r, r = 128", "alpha = 16, r = 128"))
    return paired_gaps(arms[lr], pairs, "r raised, with alpha left or kept at 2r")


# --- alpha / r against alpha / sqrt(r), 1,000 steps ---------------------------------------------


def chosen_rate(rows: Rows, r: int, rule: str) -> float:
    """The rate with the lowest mean best loss on the tuning seeds."""
    mine = [row for row in rows if row["seed"] in TUNING and _is_arm(row, r, rule)]
    rates = sorted({row["lr"] for row in mine})
    return min(rates, key=lambda lr: mean(row["best"] for row in mine if row["lr"] == lr))


def reported(rows: Rows, r: int, rule: str, lr: float) -> Arm:
    """{seed: best loss} of one arm at one rate, on the seeds that are reported."""
    kept = [row for row in rows if row["seed"] not in TUNING]
    return by_seed(kept, "best", r=r, use_rslora=SCALINGS[rule], lr=lr)


def tuned(rows: Rows, r: int, rule: str) -> Arm:
    """{seed: best loss} of one arm at the rate that the tuning seeds chose."""
    return reported(rows, r, rule, chosen_rate(rows, r, rule))


def _is_arm(row: dict[str, Any], r: int, rule: str) -> bool:
    return row["r"] == r and row["use_rslora"] is SCALINGS[rule]


def rank_scaling_table(rows: Rows) -> Table:
    """Each rank and rule at the rate chosen on the tuning seeds; loss on the others."""
    cells = []
    for r in (8, 128):
        for rule in SCALINGS:
            loss = plus_minus(tuned(rows, r, rule).values())
            cells.append([f"r = {r}", rule, f"{chosen_rate(rows, r, rule):g}", loss])
    return Table(["rank", "scaling", "rate, tuned", "best loss ± 95 %"], cells)


def rank_scaling_gaps(rows: Rows) -> list[Gap]:
    """rsLoRA against LoRA at each rank, and each rule's own gain from the larger rank."""
    plain, root = SCALINGS
    arms = {f"{rule}, r = {r}": tuned(rows, r, rule) for r in (8, 128) for rule in SCALINGS}
    pairs = [(f"{root}, r = {r}", f"{plain}, r = {r}") for r in (8, 128)]
    pairs += [(f"{rule}, r = 128", f"{rule}, r = 8") for rule in SCALINGS]
    return paired_gaps(arms, pairs, "both rules at both ranks")


def rates_gaps(rows: Rows, r: int) -> list[Gap]:
    """rsLoRA less LoRA at each rate."""
    plain, root = SCALINGS
    rates = sorted({row["lr"] for row in rows})
    arms = {f"{rule} at {lr:g}": reported(rows, r, rule, lr) for rule in SCALINGS for lr in rates}
    pairs = [(f"{root} at {lr:g}", f"{plain} at {lr:g}") for lr in rates]
    return paired_gaps(arms, pairs, "the two rules at the same rate")


# --- alpha --------------------------------------------------------------------------------------


def at_best_rates(rows: Rows) -> dict[float, Arm]:
    """{alpha: {seed: best loss}}, each alpha at the rate with its lowest mean."""
    return {
        alpha: by_seed(rows, "best", alpha=alpha, lr=lr) for alpha, lr, _, _ in best_by_alpha(rows)
    }


def alpha_gaps(rows: Rows, reference: float) -> list[Gap]:
    """Each alpha against one of them, each at its best rate."""
    arms = {f"{alpha:g}": arm for alpha, arm in at_best_rates(rows).items()}
    return gaps_against(arms, f"{reference:g}", f"each alpha against {reference:g}")


def low_alpha_gaps(rows: Rows) -> list[Gap]:
    """Best loss of alpha = 1 less that of 16 at each learning rate."""
    rates = sorted({row["lr"] for row in rows})
    arms = {
        f"{alpha:g} at {lr:g}": by_seed(rows, "best", alpha=alpha, lr=lr)
        for alpha in (1, 16)
        for lr in rates
    }
    pairs = [(f"1 at {lr:g}", f"16 at {lr:g}") for lr in rates]
    return paired_gaps(arms, pairs, "alpha = 1 against 16 at each rate")


def alpha_table(rows: Rows) -> Table:
    """Each alpha at its best rate: the loss with its interval, and the update's length."""
    cells = []
    for alpha, lr, loss, half in best_by_alpha(rows):
        cell = [row["update"] for row in rows if (row["alpha"], row["lr"]) == (alpha, lr)]
        cells.append([f"{alpha:g}", f"{lr:g}", f"{loss:.3f} ± {half:.3f}", f"{mean(cell):.1%}"])
    return Table(["alpha", "best rate", "best loss ± 95 %", "update / weights"], cells)


def breaking_table(rows: Rows) -> Table:
    """At each rate: from which alpha on seeds broke, and the update's length at both ends."""
    alphas, cells = distinct(rows, "alpha"), []
    for lr in distinct(rows, "lr"):
        at = {a: [r for r in rows if (r["alpha"], r["lr"]) == (a, lr)] for a in alphas}
        broke = [f"{a:g}" for a in alphas if broken_share(at[a]) > 0]
        low, high = (mean(row["update"] for row in at[a]) for a in (alphas[0], alphas[-1]))
        losses = [mean(row["best"] for row in at[a]) for a in (1, 16)]
        cells.append(
            [f"{lr:g}", broke[0] if broke else "none", f"{low:.3g} to {high:.3g}"]
            + [f"{loss:.3f}" for loss in losses]
        )
    head = ["rate", "breaks from alpha", "update / weights, lowest to highest alpha"]
    return Table([*head, "loss, alpha = 1", "alpha = 16"], cells)


def valley_slope(rows: Rows) -> float:
    """The exponent of the best learning rate as a power of alpha."""
    best = best_by_alpha(rows)
    return exponent([alpha for alpha, *_ in best], [lr for _, lr, *_ in best])
