"""The figures of lesson 06: gradients of biases, losses of the modes, what each kind did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from ..drawing import FROZEN, PLAIN, TRAINS, Drawing
from ..plots import PALETTE, new_figure
from ..series import arm_rows, legend_below
from ..statistics import by_seed, half_width95
from ..tables import Table

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
    "cls.predictions": "output, one a word",
    "cls.predictions.transform.dense": "head's dense layer",
    "cls.predictions.transform.LayerNorm": "head's norm",
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
    figure, axes = new_figure(1, len(by_model), about="How large each kind of bias's gradient is")
    figure.set_size_inches(10.4, 4.6)
    for axis, (title, sizes) in zip(axes, by_model.items(), strict=True):
        for label, marker, colour, keys in (("key", "D", 1, True), ("others", "o", 0, False)):
            rows = [row for row, name in enumerate(sizes) if (name in KEYS) is keys]
            values = [list(sizes.values())[row] for row in rows]
            axis.plot(values, rows, marker, color=PALETTE[colour], label=label)
        axis.set_xscale("log")
        axis.set_xlim(1e-24, 10)
        _names(axis, sizes)
        axis.set_xlabel("root mean square of the gradient (float64)")
        axis.set_title(title)
    legend_below(figure, columns=2)
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


def arms_table(result: Run, title: str = "") -> Table:
    """The arms: what trains, the rate that was chosen, the loss, and its fall from the base."""
    rows = [
        (
            arm,
            f"{trained:,d}",
            f"{biases:,d}",
            f"{lr:g}",
            f"{loss:.3f} ± {half:.3f}",
            f"{result['before'] - loss:.3f}",
        )
        for arm, trained, biases, lr, loss, half in table(result)
    ]
    head = ["arm", "trained", "of them biases", "rate", "loss, mean ± 95 %", "below the base"]
    return Table(head, rows, f"{title}, base {result['before']:.3f}".lstrip(", "))


def seeds_of(result: Run) -> dict[str, dict[Any, float]]:
    """{arm: {seed: best validation loss}}."""
    return {arm: by_seed(result["runs"], "best", arm=arm) for arm in result["arms"]}


def pairs(result: Run, arm: str, other: str) -> list[float]:
    """The loss of one arm less that of another, seed by seed."""
    both = zip(losses(result, arm), losses(result, other), strict=True)
    return [mine - theirs for mine, theirs in both]


def against(result: Run, arm: str, other: str) -> tuple[float, float]:
    """Mean of (arm - other) over the seeds, paired, and half of its 95 % interval."""
    gaps = pairs(result, arm, other)
    return mean(gaps), half_width95(gaps)


def gaps(results: Mapping[str, Run], other: str = "none", apart: str = "biases alone") -> Figure:
    """Each arm's loss less that of `other`, seed by seed; `apart` is left to the table."""
    figure, axes = new_figure(1, len(results), about=f'Each arm against "{other}", seed by seed')
    for axis, (title, result) in zip(axes, results.items(), strict=True):
        arms = [arm for arm in result["arms"] if arm not in (other, apart)]
        arm_rows(axis, {arm: pairs(result, arm, other) for arm in arms}, below=0.16)
        axis.locator_params(axis="x", nbins=5)
        axis.axvline(0, color=PALETTE[-1], linestyle="--")
        axis.set_xlabel(
            f'loss less that of "{other}", left is better\n'
            "dots: seeds; bar: 95 % interval of the mean"
        )
        axis.set_title(title)
    return figure


def kinds(result: Run) -> Figure:
    """What each kind of bias did in a run with "all": how far it moved, and what it was worth."""
    about = 'What each kind of bias did in a run with "all"'
    figure, axes = new_figure(1, 2, about=about)
    figure.set_size_inches(10.4, 4.6)
    by_kind = result["kinds"]
    for axis, key, title in (
        (axes[0], "moved", "how far an entry moved, in the mean"),
        (axes[1], "worth", "rise of the loss when it is put back"),
    ):
        values = [about[key] for about in by_kind.values()]
        colours = [PALETTE[1 if name in KEYS else 0] for name in by_kind]
        hatches = ["//" if name in KEYS else "" for name in by_kind]
        axis.barh(range(len(values)), values, color=colours, hatch=hatches)
        _names(axis, by_kind)
        axis.locator_params(axis="x", nbins=5)
        axis.set_title(title)
    axes[0].set_xlabel("mean change of an entry (hatched: the key's)")
    axes[1].set_xlabel("nats per token; right of 0: it helps")
    return figure


def kinds_table(result: Run, title: str = "") -> Table:
    """The same as a table."""
    rows = [
        (short(name), f"{about['moved']:.5f}", f"{about['worth']:+.4f}")
        for name, about in result["kinds"].items()
    ]
    return Table(["bias of the", "moved", "worth"], rows, title)


def owners() -> Drawing:
    """Where the numbers of a layer with LoRA and a trained bias lie, and who owns them."""
    drawing = Drawing(
        "A layer with LoRA whose bias trains",
        "The layer computes W x plus b plus s B A x. W is the base's and frozen. b stands in the "
        "base's layer, but its values are the adapter's while the adapter is on. A and B are the "
        "adapter's. A copy of the base's own b is kept aside; switching the adapter off copies it "
        "back into b, which PEFT does not do. The adapter's file holds A, B and the trained b.",
        720,
        350,
    )
    W = drawing.box(20, 60, 120, 70, ["W"], FROZEN)
    b = drawing.box(190, 60, 150, 70, ["b", "in the base's layer"], TRAINS)
    A = drawing.box(390, 60, 120, 70, ["A"], TRAINS)
    B = drawing.box(560, 60, 120, 70, ["B"], TRAINS)
    kept = drawing.box(190, 220, 150, 70, ["the base's own b", "kept aside"], PLAIN)
    file = drawing.box(440, 220, 190, 70, ["the adapter's file", "A, B, the trained b"], PLAIN)
    drawing.label(W.middle[0], 40, "the base's", bold=True)
    drawing.label(b.middle[0], 40, "whose?", bold=True)
    drawing.label((A.middle[0] + B.middle[0]) / 2, 40, "the adapter's", bold=True)
    drawing.arrow(kept.top, b.bottom)
    drawing.label(170, 180, "switched off: copied back")
    for part, to, turn in ((b, 470, 203), (A, 520, 180), (B, 600, 180)):
        below = part.bottom if part is not b else (b.right[0] - 20, b.bottom[1])
        drawing.arrow(below, (below[0], turn), (to, turn), (to, file.top[1]))
    drawing.legend(20, 320)
    return drawing
