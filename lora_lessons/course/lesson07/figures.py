"""The figures and tables of lesson 07: two tasks before and after, and a head after a save."""

from __future__ import annotations

from math import exp
from statistics import mean
from typing import TYPE_CHECKING, Any

from ..plots import PALETTE, new_figure
from ..statistics import half_width95

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOSSES = (0.1, 0.2, 0.5, 1, 2, 5)  # ticks
MARKERS = "osD^v"  # each group has its own, so colour is never the only sign


def perplexities(result: dict[str, Any]) -> tuple[float, float, float]:
    """(before, mean after, half of the 95 % interval of it) over the seeds."""
    after = [exp(row["loss"]) for row in result["rows"]]
    return exp(result["before"]), mean(after), half_width95(after)


def style(results: dict[str, dict[str, Any]]) -> Figure:
    """Perplexity on unseen chapters before and after, one panel for each of the named runs."""
    figure, axes = new_figure(1, len(results))
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
    return list(dict.fromkeys(run["arm"] for run in result["runs"]))


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
    figure, axes = new_figure(1, 2)
    for i, arm in enumerate(arms(result)):
        runs = [run for run in result["runs"] if run["arm"] == arm]
        _band(axes[0], runs[0]["steps"], [run["losses"] for run in runs], i, arm)
    axes[0].set_xlabel("step")
    axes[0].set_ylabel("loss on unseen words (nats per byte)")
    axes[0].set_yscale("log")  # from 8 to 0.1: on a linear scale the arms are one line
    axes[0].set_yticks(LOSSES, map(str, LOSSES))
    axes[0].minorticks_off()
    axes[0].legend()
    _scores(axes[1], result)
    return figure


def _band(axis: Axes, steps: list[int], curves: list[list[float]], i: int, label: str) -> None:
    at_each = list(zip(*curves, strict=True))
    middle, half = [mean(v) for v in at_each], [half_width95(v) for v in at_each]
    axis.plot(steps, middle, marker=MARKERS[i], color=PALETTE[i], label=label)
    low = [m - h for m, h in zip(middle, half, strict=True)]
    high = [m + h for m, h in zip(middle, half, strict=True)]
    axis.fill_between(steps, low, high, color=PALETTE[i], alpha=0.2, linewidth=0)


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


def print_spelling(result: dict[str, Any]) -> None:
    """A table, narrow enough for a page: the base and each arm, with 95 % intervals."""
    width = max(map(len, ["base", *arms(result)]))
    row = f"{{:{width}s}}  {{:14s}} {{:13s}} {{:16s}} {{:>9s}}  {{}}"
    keys = ("loss", "exact match", "sound error rate")
    print(row.format("", *keys, "trained", "rate").rstrip())
    loss, match, rate = (result["before"][key] for key in keys)
    print(row.format("base", f"{loss:.3f}", f"{match:.1%}", f"{rate:.1%}", "", "").rstrip())
    for arm in arms(result):
        run = next(run for run in result["runs"] if run["arm"] == arm)
        (loss, l_half), (match, m_half), (rate, r_half) = (measured(result, arm, k) for k in keys)
        found = f"{loss:.3f} +- {l_half:.3f}", f"{match:.1%} +- {m_half:.1%}"
        found += (f"{rate:.1%} +- {r_half:.1%}", f"{run['trained']:,d}", f"{run['lr']:g}")
        print(row.format(arm, *found))


def print_words(words: dict[str, list[str]], count: int = 16) -> None:
    """Some words, how the dictionary says them, and what was said."""
    columns = [name for name in words if name != "word"]
    width = {name: 2 + max(map(len, [name, *_clean(words[name])])) for name in words}
    print("".join(f"{name:{width[name]}s}" for name in words))
    for i in range(min(count, len(words["word"]))):
        row = [words["word"][i], *(_clean(words[name])[i] for name in columns)]
        print("".join(f"{cell:{width[name]}s}" for cell, name in zip(row, words, strict=True)))


def _clean(texts: list[str]) -> list[str]:
    """On one line, and cut where a model babbles."""
    texts = [" ".join(text.split()) for text in texts]
    return [text if len(text) <= 34 else text[:31] + "..." for text in texts]


def heads(rows: list[dict[str, Any]]) -> Figure:
    """Accuracy after training and after loading, a pair of points for each seed of each arm."""
    figure, (axis,) = new_figure()
    names = list(dict.fromkeys(row["arm"] for row in rows))
    for i, key in enumerate(("trained", "loaded")):
        at = [names.index(row["arm"]) + 0.25 * (i - 0.5) for row in rows]
        label = "after training" if key == "trained" else "saved and loaded again"
        axis.plot(
            at, [row[key] for row in rows], MARKERS[i], color=PALETTE[i], label=label, alpha=0.8
        )
    axis.axhline(0.5, linestyle="--", color=PALETTE[-1], label="chance")
    axis.set_xticks(range(len(names)), names)
    axis.set_xlim(-0.5, len(names) - 0.5)
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("share of unseen rows with the right writer")
    axis.legend(loc="lower right")
    return figure


def lost(rows: list[dict[str, Any]], arm: str) -> tuple[float, float]:
    """Accuracy lost by saving and loading: (mean over the seeds, half of the 95 % interval)."""
    losses = [row["trained"] - row["loaded"] for row in rows if row["arm"] == arm]
    return mean(losses), half_width95(losses)


def print_heads(rows: list[dict[str, Any]]) -> None:
    """One line an arm: the wrapper, what is saved of the head, the accuracies."""
    for arm in dict.fromkeys(row["arm"] for row in rows):
        mine = [row for row in rows if row["arm"] == arm]
        trained, loaded = (mean(row[key] for row in mine) for key in ("trained", "loaded"))
        saved = "head saved" if mine[0]["saved"] else "no head saved"
        print(
            f"{arm:18s} {mine[0]['wrapper']:33s} {saved:14s} "
            f"trained {trained:.1%}, loaded {loaded:.1%}"
        )
