"""The figures and tables of lesson 07: two tasks before and after, and a head after a save."""

from __future__ import annotations

from math import exp
from statistics import mean
from typing import TYPE_CHECKING, Any

from ...experiments.gaps import Gap, by_seed, gaps_against, paired_gaps
from ..drawing import FROZEN, TRAINS, Drawing
from ..plots import PALETTE, new_figure
from ..series import MARKERS, at_each, band, distinct
from ..statistics import half_width95
from ..tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOSSES = (0.1, 0.2, 0.5, 1, 2, 5)  # ticks


def perplexities(result: dict[str, Any]) -> tuple[float, float, float]:
    """(before, mean after, half of the 95 % interval of it) over the seeds."""
    after = [exp(row["loss"]) for row in result["rows"]]
    return exp(result["before"]), mean(after), half_width95(after)


def style(results: dict[str, dict[str, Any]]) -> Figure:
    """Perplexity on unseen chapters before and after, one panel for each of the named runs."""
    figure, axes = new_figure(
        1, len(results), "Perplexity on unseen chapters of Moby Dick before and after training."
    )
    for axis, (name, result) in zip(axes, results.items(), strict=True):
        before, after, half = perplexities(result)
        bars = axis.bar(
            ["before", "after"], [before, after], yerr=[0, half], capsize=4, color=PALETTE[:2]
        )
        axis.bar_label(bars, [f"{before:.1f}", f"{after:.1f}"], padding=3)
        axis.set_ylabel("perplexity on unseen chapters")
        axis.set_title(name)
        axis.margins(y=0.12)
    return figure


def arms(result: dict[str, Any]) -> list[str]:
    """The arms of the spelling runs in their order."""
    return distinct(result["runs"], "arm")


def measured(result: dict[str, Any], arm: str, key: str) -> tuple[float, float]:
    """(mean over the seeds, half of its 95 % interval) of "loss", "exact match", ..."""
    values = [run[key] for run in result["runs"] if run["arm"] == arm]
    return mean(values), half_width95(values)


def behind(result: dict[str, Any], arm: str, key: str, other: str = "full") -> tuple[float, float]:
    """Mean of (arm - other) over the seeds, paired, and half of its 95 % interval."""
    ours, theirs = ([r[key] for r in result["runs"] if r["arm"] == one] for one in (arm, other))
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    return mean(differences), half_width95(differences)


def spelling(result: dict[str, Any]) -> Figure:
    """Loss on unseen words against steps, and the two scores before and after."""
    figure, axes = new_figure(
        1, 2, "Spelling to sound: the loss on unseen words, and two scores of what is said."
    )
    for i, arm in enumerate(arms(result)):
        runs = [run for run in result["runs"] if run["arm"] == arm]
        band(axes[0], runs[0]["steps"], at_each(run["losses"] for run in runs), i, arm)
    axes[0].set_xlabel("step")
    axes[0].set_ylabel("loss on unseen words (nats per byte)")
    axes[0].set_yscale("log")  # from 8 to 0.1: on a linear scale the arms are one line
    axes[0].set_yticks(LOSSES)
    axes[0].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[0].minorticks_off()
    axes[0].legend()
    _scores(axes[1], result)
    figure.alt = _spelling_in_words(result)
    return figure


def _spelling_in_words(result: dict[str, Any]) -> str:
    """The alt text of `spelling`: each arm's first and last loss, and its two scores."""
    words = []
    for arm in arms(result):
        curves = [run["losses"] for run in result["runs"] if run["arm"] == arm]
        first, last = (mean(curve[end] for curve in curves) for end in (0, -1))
        match, rate = (measured(result, arm, key)[0] for key in ("exact match", "sound error rate"))
        words.append(
            f"{arm}: from {first:.2f} to {last:.3f}, exact match {match:.1%}, error rate {rate:.1%}"
        )
    before = result["before"]
    return (
        "Left, the loss on unseen words (nats per byte, log scale) against steps; right, exact "
        f"match and sound error rate. {'; '.join(words)}. The base: exact match "
        f"{before['exact match']:.1%}, error rate {before['sound error rate']:.1%}."
    )


def _scores(axis: Axes, result: dict[str, Any]) -> None:
    names = ["base", *arms(result)]
    for i, key in enumerate(("exact match", "sound error rate")):
        pairs = [(result["before"][key], 0.0)] + [measured(result, arm, key) for arm in names[1:]]
        places = [n + 0.4 * (i - 0.5) for n in range(len(names))]
        heights, halves = zip(*pairs, strict=True)
        bars = axis.bar(
            places, heights, 0.38, yerr=halves, capsize=3, color=PALETTE[2 + i], label=key
        )
        axis.bar_label(bars, [f"{height:.1%}" for height in heights], padding=2)
    axis.set_xticks(range(len(names)), names)
    axis.set_ylabel("share")
    axis.set_ylim(0, 1.4 * max(1, result["before"]["sound error rate"]))
    axis.legend()


def spelling_table(result: dict[str, Any]) -> Table:
    """The base and each arm, with 95 % intervals of the mean."""
    keys = ("loss", "exact match", "sound error rate")
    head = (
        "",
        "loss (nats per byte)",
        "exact match (%)",
        "sound error rate (%)",
        "trained",
        "rate",
    )
    loss, match, rate = (result["before"][key] for key in keys)
    body = [("base", f"{loss:.3f}", f"{100 * match:.1f}", f"{100 * rate:.1f}", "0", "")]
    for arm in arms(result):
        run = next(run for run in result["runs"] if run["arm"] == arm)
        (loss, l_half), *shares = (measured(result, arm, key) for key in keys)
        found = [f"{100 * share:.1f} ± {100 * half:.1f}" for share, half in shares]
        body.append(
            (arm, f"{loss:.3f} ± {l_half:.3f}", *found, f"{run['trained']:,d}", f"{run['lr']:g}")
        )
    return Table(head, body)


def spelling_gaps(result: dict[str, Any]) -> list[Gap]:
    """LoRA less full fine-tuning by each measure: nats per byte, and points."""
    sides, pairs = {}, []
    for key, factor in (("loss", 1), ("exact match", 100), ("sound error rate", 100)):
        for arm in ("LoRA", "full"):
            seeds = by_seed(result["runs"], key, arm=arm)
            sides[f"{arm}, {key}"] = {seed: factor * value for seed, value in seeds.items()}
        pairs.append((f"LoRA, {key}", f"full, {key}"))
    return paired_gaps(sides, pairs, family="LoRA against full fine-tuning, three measures")


def blind_gaps(whole: dict[str, Any], blind: dict[str, Any]) -> list[Gap]:
    """The sound error rate from the blind base, less that of LoRA from the whole base (points)."""
    sides = {
        f"{arm}, blind": by_seed(blind["runs"], "sound error rate", arm=arm)
        for arm in ("LoRA", "LoRA + table")
    }
    sides["LoRA, whole"] = by_seed(whole["runs"], "sound error rate", arm="LoRA")
    sides = {arm: {k: 100 * v for k, v in seeds.items()} for arm, seeds in sides.items()}
    return gaps_against(sides, "LoRA, whole", family="LoRA from the blind base and the whole one")


def words_table(words: dict[str, list[str]], count: int = 16) -> Table:
    """Some words, how the dictionary says them, and what was said."""
    columns = {name: _clean(texts)[:count] for name, texts in words.items()}
    return Table(tuple(columns), list(zip(*columns.values(), strict=True)))


def _clean(texts: list[str]) -> list[str]:
    """On one line, and cut where a model babbles."""
    texts = [" ".join(text.split()) for text in texts]
    return [text if len(text) <= 34 else text[:31] + "..." for text in texts]


def heads(rows: list[dict[str, Any]]) -> Figure:
    """Accuracy after training and after loading, a pair of points for each seed of each arm."""
    figure, (axis,) = new_figure(
        about="Accuracy of the recorded classifiers after training and after loading, by config."
    )
    names = distinct(rows, "arm")
    for i, key in enumerate(("trained", "loaded")):
        at = [names.index(row["arm"]) + 0.25 * (i - 0.5) for row in rows]
        label = "after training" if key == "trained" else "saved and loaded again"
        axis.plot(
            at, [row[key] for row in rows], MARKERS[i], color=PALETTE[i], label=label, alpha=0.8
        )
    for row in rows:  # a line joins the two of one seed
        x = names.index(row["arm"])
        pair = [row["trained"], row["loaded"]]
        axis.plot([x - 0.125, x + 0.125], pair, color=PALETTE[-1], alpha=0.5, zorder=0)
    axis.axhline(0.5, linestyle="--", color=PALETTE[-1], label="chance")
    axis.set_xticks(range(len(names)), names)
    axis.set_xlim(-0.5, len(names) - 0.5)
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("share of unseen rows with the right writer")
    axis.legend(loc="lower right")
    figure.alt = _heads_in_words(rows)
    return figure


def _heads_in_words(rows: list[dict[str, Any]]) -> str:
    """The alt text of `heads`: the range of each arm, after training and after loading."""
    words = []
    for arm in distinct(rows, "arm"):
        mine = [row for row in rows if row["arm"] == arm]
        ends = [
            f"{min(row[key] for row in mine):.2f} to {max(row[key] for row in mine):.2f}"
            for key in ("trained", "loaded")
        ]
        words.append(f"{arm}: {ends[0]} after training, {ends[1]} after loading")
    return (
        "The share of unseen rows with the right writer, a joined pair of points for each seed. "
        f"{'; '.join(words)}. A dashed line at chance, 0.5."
    )


def lost(rows: list[dict[str, Any]], arm: str) -> tuple[float, float]:
    """Accuracy lost by saving and loading: (mean over the seeds, half of the 95 % interval)."""
    losses = [row["trained"] - row["loaded"] for row in rows if row["arm"] == arm]
    return mean(losses), half_width95(losses)


def trained(rows: list[dict[str, Any]], arm: str) -> float:
    """Mean accuracy after training."""
    return mean(row["trained"] for row in rows if row["arm"] == arm)


def lost_table(rows: list[dict[str, Any]]) -> Table:
    """What saving and loading cost each arm: points, with the 95 % interval, and each seed's."""
    body = []
    for arm in distinct(rows, "arm"):
        losses = sorted(100 * (r["trained"] - r["loaded"]) for r in rows if r["arm"] == arm)
        middle, half = lost(rows, arm)
        each = ", ".join(f"{abs(loss) if abs(loss) < 0.05 else loss:.1f}" for loss in losses)
        body.append((arm, f"{100 * middle + 0:.1f} ± {100 * half:.1f}", each))
    return Table(("arm", "points lost", "each seed"), body)


def heads_table(rows: list[dict[str, Any]]) -> Table:
    """A row for each arm: the wrapper, what is saved of the head, the accuracies."""
    body = []
    for arm in distinct(rows, "arm"):
        mine = [row for row in rows if row["arm"] == arm]
        after = mean(row["loaded"] for row in mine)
        saved = "saved" if mine[0]["saved"] else "not saved"
        shares = (f"{100 * trained(rows, arm):.1f}", f"{100 * after:.1f}")
        body.append((arm, mine[0]["wrapper"], saved, *shares))
    return Table(("arm", "wrapper", "head", "trained (%)", "loaded (%)"), body)


def what_a_task_type_adds() -> Drawing:
    """The model's class has the head and the loss; the task type adds a wrapper and a list."""
    drawing = Drawing(
        "What a task type adds",
        "The model's class brings three parts: the pretrained body, the head, and the loss. The "
        "config's task_type adds two things around them: the wrapper's class, and the names of "
        "heads that are trained and saved whole. With SEQ_CLS the new head score trains whole and "
        "is in the file beside A and B. Without a task type the head stays random and frozen, and "
        "is not in the file.",
        840, 330,
    )  # fmt: skip
    drawing.label(200, 22, "the model's class", bold=True)
    drawing.box(10, 35, 400, 270)
    drawing.box(35, 60, 165, 100, ["body: W", "pretrained"], FROZEN)
    drawing.box(35, 190, 165, 90, ["A and B", "on its layers"], TRAINS)
    head = drawing.box(
        220, 60, 165, 100, ["head: score", "random, new"], TRAINS, word="trains whole"
    )
    loss = drawing.box(220, 200, 165, 60, ["loss"])
    drawing.arrow(head.bottom, loss.top)
    drawing.label(640, 22, "task_type=SEQ_CLS", bold=True)
    wrapper = drawing.box(470, 45, 340, 60, ["the wrapper's class", "PeftModelForSequence..."])
    names = drawing.box(470, 130, 340, 60, ["modules_to_save", "score: train it, save it"])
    file = drawing.box(470, 235, 340, 70, ["the adapter's file", "A, B and the whole head"])
    drawing.arrow(wrapper.left, (410, wrapper.left[1]))
    drawing.arrow(names.left, (430, names.left[1]), (430, head.right[1]), head.right)
    drawing.arrow(names.bottom, file.top)
    return drawing
