"""The figures of lesson 06: gradients of biases, losses of the modes, what each kind did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from ..plots import PALETTE, new_figure
from ..statistics import half_width95

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Run = Mapping[str, Any]
MODES = ("none", "lora_only", "all")
SHORT = {
    "embeddings.LayerNorm": "embedding norm",
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attention output",
    "attention.output.LayerNorm": "attention norm",
    "intermediate.dense": "MLP in",
    "output.dense": "MLP out",
    "output.LayerNorm": "MLP norm",
    "cls.predictions": "head, words",
    "cls.predictions.transform.dense": "head, dense",
    "cls.predictions.transform.LayerNorm": "head, norm",
    "self_attn.q_proj": "q",
    "self_attn.k_proj": "k",
    "self_attn.v_proj": "v",
}
KEYS = ("attention.self.key", "self_attn.k_proj")


def bias_numbers(
    hidden: int, heads: int, kv_heads: int, blocks: int, wrapped: Sequence[str], mode: str
) -> int:
    """The biases that train in a decoder with biases on q, k and v alone: a stand-in for 6.2."""
    narrow = kv_heads * (hidden // heads)
    sizes = {"q_proj": hidden, "k_proj": narrow, "v_proj": narrow}
    counted = {"none": [], "lora_only": wrapped, "all": list(sizes)}[mode]
    return blocks * sum(sizes[name] for name in counted)


def gradients(by_model: Mapping[str, Mapping[str, float]]) -> Figure:
    """Root mean square of the gradient of each kind of bias, one panel a model, on a log scale."""
    figure, axes = new_figure(1, len(by_model))
    figure.set_size_inches(10.4, 4.6)
    for axis, (title, sizes) in zip(axes, by_model.items(), strict=True):
        colours = [PALETTE[1 if name in KEYS else 0] for name in sizes]
        axis.barh(range(len(sizes)), list(sizes.values()), left=1e-24, color=colours)
        axis.set_xscale("log")
        axis.set_xlim(1e-24, 10)
        _names(axis, sizes)
        axis.set_xlabel("root mean square of the gradient (float64)")
        axis.set_title(title)
    return figure


def _names(axis: Axes, kinds: Sequence[str] | Mapping[str, Any]) -> None:
    axis.set_yticks(range(len(kinds)), [short(kind) for kind in kinds])
    axis.margins(y=0.04)
    axis.invert_yaxis()


def short(kind: str) -> str:
    """A kind of bias in few letters."""
    return SHORT.get(kind, kind)


def losses(result: Run, arm: str, key: str = "best") -> list[float]:
    """A validation loss of each seed of one arm, in the order of the seeds."""
    rows = [row for row in result["runs"] if row["arm"] == arm]
    return [row[key] for row in sorted(rows, key=lambda row: row["seed"])]


def table(result: Run) -> list[tuple[str, int, int, float, float, float]]:
    """(arm, trained numbers, biases among them, lr, mean best loss, half of its 95 % interval)."""
    return [
        (
            arm,
            about["parameters"],
            about["biases"],
            about["lr"],
            mean(losses(result, arm)),
            half_width95(losses(result, arm)),
        )
        for arm, about in result["arms"].items()
    ]


def print_table(result: Run) -> None:
    """The table, one line for each arm."""
    print(f"{'':14s} {'trained':>8s} {'biases':>8s} {'rate':>7s} {'loss':>8s}")
    for arm, trained, biases, lr, loss, half in table(result):
        print(f"{arm:14s} {trained:8,d} {biases:8,d} {lr:7g} {loss:8.3f} +- {half:.3f}")


def pairs(result: Run, arm: str, other: str) -> list[float]:
    """The loss of one arm less that of another, seed by seed."""
    both = zip(losses(result, arm), losses(result, other), strict=True)
    return [mine - theirs for mine, theirs in both]


def against(result: Run, arm: str, other: str) -> tuple[float, float]:
    """Mean of (arm - other) over the seeds, paired, and half of its 95 % interval."""
    gaps = pairs(result, arm, other)
    return mean(gaps), half_width95(gaps)


def print_gaps(result: Run, other: str = "none") -> None:
    """Each arm's loss less that of `other`, seed by seed."""
    for arm in result["arms"]:
        if arm != other:
            gap, half = against(result, arm, other)
            print(f"{arm} against {other}: {gap:+.4f} +- {half:.4f}")


def winner(result: Run, arms: Sequence[str] = MODES) -> str:
    """The arm with the lowest mean best loss, and the arms that its seeds cannot tell from it."""
    first = min(arms, key=lambda arm: mean(losses(result, arm)))
    gaps = {arm: against(result, arm, first) for arm in arms if arm != first}
    tied = [f'"{arm}"' for arm, (gap, half) in gaps.items() if gap < half]
    seeds = len(losses(result, first))
    return f"{first} ({seeds} seeds cannot tell it from {' or '.join(tied)})" if tied else first


def modes(results: Mapping[str, Run]) -> Figure:
    """Best validation loss of each arm, one panel a model: the seeds, their mean and interval."""
    figure, axes = new_figure(1, len(results))
    for axis, (title, result) in zip(axes, results.items(), strict=True):
        _rows(axis, {arm: losses(result, arm) for arm in result["arms"]})
        axis.set_xlabel("best validation loss (nats per token)\ndots: seeds; bar: 95 % interval")
        axis.set_title(f"{title}\nbase {result['before']:.3f}")
    return figure


def gaps(results: Mapping[str, Run], other: str = "none") -> Figure:
    """Each arm's loss less that of `other`, seed by seed: left of the line is better."""
    figure, axes = new_figure(1, len(results))
    for axis, (title, result) in zip(axes, results.items(), strict=True):
        _rows(axis, {arm: pairs(result, arm, other) for arm in result["arms"] if arm != other})
        axis.axvline(0, color=PALETTE[-1], linestyle="--")
        axis.set_xlabel(f'loss less that of "{other}", same seed\nbar: 95 % interval of the mean')
        axis.set_title(title)
    return figure


def _rows(axis: Axes, values: Mapping[str, Sequence[float]]) -> None:
    """One line of the picture for each arm: the seeds, their mean and its 95 % interval."""
    for row, seeds in enumerate(values.values()):
        axis.plot(seeds, [row] * len(seeds), "o", color=PALETTE[1], markersize=4)
        axis.errorbar(
            mean(seeds), row, xerr=half_width95(seeds), fmt="D", color=PALETTE[0], capsize=5
        )
    axis.set_yticks(range(len(values)), list(values))
    axis.margins(y=0.12)
    axis.invert_yaxis()
    axis.locator_params(axis="x", nbins=5)


def kinds(result: Run) -> Figure:
    """What each kind of bias did in a run with "all": how far it moved, and what it was worth."""
    figure, axes = new_figure(1, 2)
    figure.set_size_inches(10.4, 4.6)
    by_kind = result["kinds"]
    for axis, key, title in (
        (axes[0], "moved", "how far an entry moved, in the mean"),
        (axes[1], "worth", "rise of the loss when it is put back"),
    ):
        values = [about[key] for about in by_kind.values()]
        colours = [PALETTE[1 if name in KEYS else 0] for name in by_kind]
        axis.barh(range(len(values)), values, color=colours)
        _names(axis, by_kind)
        axis.locator_params(axis="x", nbins=5)
        axis.set_title(title)
    axes[1].set_xlabel("nats per token")
    return figure


def print_kinds(result: Run) -> None:
    """The same as numbers."""
    print(f"{'':18s} {'moved':>9s} {'worth':>9s}")
    for name, about in result["kinds"].items():
        print(f"{short(name):18s} {about['moved']:9.5f} {about['worth']:+9.4f}")
