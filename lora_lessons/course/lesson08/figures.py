"""The figures and tables of lesson 08: four heads, what trains, and what a reload gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from ...base.tasks import punctuation
from ...experiments.heads import TASKS
from ..drawing import TRAINS, Drawing
from ..plots import PALETTE, new_figure
from ..series import arm_rows, distinct
from ..statistics import half_width95, plus_minus
from ..tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]


# --- Stand-ins for the learner's pieces --------------------------------------------------------


def new_modules(in_model: Sequence[str], in_file: Sequence[str]) -> list[str]:
    """The modules whose weights a file lacks: a stand-in for 8.1."""
    return sorted({name.rpartition(".")[0] for name in set(in_model) - set(in_file)})


def label_pieces(word_ids: Sequence[int | None], labels: Sequence[int]) -> list[int]:
    """The label on each word's first piece: a stand-in for 8.2."""
    before = [None, *word_ids[:-1]]
    return [
        labels[word] if word is not None and word != last else punctuation.IGNORED
        for word, last in zip(word_ids, before, strict=True)
    ]


# --- Results in numbers ------------------------------------------------------------------------


def table(result: Result, metric: str) -> list[tuple[str, int, float, float, float]]:
    """(arm, trained numbers, lr, mean, half of its 95 % interval) of one score."""
    rows = []
    for arm, about in result["arms"].items():
        values = scores(result, arm, metric)
        rows.append((arm, about["parameters"], about["lr"], mean(values), half_width95(values)))
    return rows


def scores(result: Result, arm: str, metric: str) -> list[float]:
    """One score of each seed of an arm."""
    return [row[metric] for row in result["runs"] if row["arm"] == arm]


def results_table(results: Mapping[str, Result], metric: str | None = None) -> Table:
    """A row for each task and arm: what trains, its rate, its score (the task's own by default).

    The last row of a task is what a program without a model scores.
    """
    body = []
    for task, result in results.items():
        name = metric or TASKS[task].metric
        body += [
            (f"{task}, {name}: {arm}", f"{size:,d}", f"{lr:g}", f"{value:.3f} ± {half:.3f}")
            for arm, size, lr, value, half in table(result, name)
        ]
        without = f"{result['baseline'][name]:.3f}"
        body.append((f"{task}, {name}: without a model", "0", "", without))
    return Table(("task, score: arm", "numbers that train", "rate", "mean ± 95 %"), body)


def rates_table(results: Mapping[str, Result], metric: str | None = None) -> Table:
    """A row for each arm: one score at every rate tried, with one seed; * marks the rate taken.

    The rate is taken by the task's own metric, which another score need not agree with. The last
    column says where the taken rate lies among those tried.
    """
    rates = sorted({row["lr"] for result in results.values() for row in result["tuning"]})
    body = []
    for task, result in results.items():
        name = metric or TASKS[task].metric
        for arm, about in result["arms"].items():
            tried = {row["lr"]: row[name] for row in result["tuning"] if row["arm"] == arm}
            body.append((f"{task}, {name}: {arm}", *_marked(tried, rates, about["lr"])))
    head = ("task, score: arm", *(f"{rate:g}" for rate in rates), "the rate taken")
    return Table(head, body, note="* the rate taken. Blank: not tried. One seed each.")


def _marked(tried: Mapping[float, float], rates: Sequence[float], taken: float) -> list[str]:
    """One row's scores, a star at the taken rate, and where it lies in the grid."""
    cells = [
        f"{tried[rate]:.3f}" + "*" * (rate == taken) if rate in tried else "" for rate in rates
    ]
    ends = {min(tried): "lowest tried", max(tried): "highest tried"}
    return [*cells, ends.get(taken, "inside")]


def scores_table(result: Result, metrics: Sequence[str]) -> Table:
    """A row for each arm: the mean of each score, with half of its 95 % interval."""
    body = [
        (arm, *(plus_minus(scores(result, arm, metric)) for metric in metrics))
        for arm in result["arms"]
    ]
    if all(metric in result["baseline"] for metric in metrics):
        body.append(("without a model", *(f"{result['baseline'][m]:.3f}" for m in metrics)))
    return Table(("arm", *metrics), body)


def marks_table(result: Result) -> Table:
    """F1 of each mark and of capitals for each arm."""
    return scores_table(result, [*(mark for mark in punctuation.MARKS if mark), "capitals"])


def live_marks_table(scores: Mapping[str, float], without: Mapping[str, float]) -> Table:
    """F1 of each mark, by the model and by a list of each word's commonest label."""
    body = [(name, f"{score:.2f}", f"{without[name]:.2f}") for name, score in scores.items()]
    return Table(("F1 of", "the model", "commonest label of each word"), body)


def live_reloads_table(rows: Sequence[Result]) -> Table:
    """What trains, what is saved whole, and macro F1 before and after a reload, live."""
    body = [
        (
            row["choice"],
            f"{row['parameters']:,d}",
            ", ".join(row["saved"]) or "nothing",
            f"{row['before']:.3f}",
            f"{row['after']:.3f}",
        )
        for row in rows
    ]
    head = ("config", "numbers that train", "saved whole", "macro F1 as trained", "reloaded")
    return Table(head, body)


def reloads_table(rows: Sequence[Result]) -> Table:
    """The means of `reloads`."""
    body = [
        (choice, f"{before:.3f}", f"{after:.3f}")
        for choice, (before, after) in reloads(rows).items()
    ]
    return Table(("config", "macro F1 as trained", "reloaded"), body)


def reloads(rows: Sequence[Result]) -> dict[str, tuple[float, float]]:
    """Each choice's mean score before saving and after a reload."""
    choices = distinct(rows, "choice")
    return {
        choice: tuple(
            mean(row[when] for row in rows if row["choice"] == choice)
            for when in ("before", "after")
        )
        for choice in choices
    }


# --- Pictures ----------------------------------------------------------------------------------


def heads(results: Mapping[str, Result]) -> Figure:
    """Each task's score by arm: every seed a dot, the mean with its 95 % interval.

    A line is the score without a model, and where there is no new head, that before training.
    """
    figure, axes = new_figure(2, 2, "The score of each arm on four tasks, three seeds each.")
    for axis, (task, result) in zip(axes, results.items(), strict=True):
        if TASKS[task].head is None:  # nothing is new: the body alone has a score
            before = result["untrained"][TASKS[task].metric]
            axis.axvline(before, color=PALETTE[-1], linestyle=":", label="before training")
        _arms(axis, result, TASKS[task].metric)
        axis.set_title(f"{task}: {TASKS[task].task_type.value}")
    return figure


def _arms(axis: Axes, result: Result, metric: str) -> None:
    arms = list(result["arms"])
    room = 0.3 if len(arms) > 2 else 0.7  # for the legend above the first arm
    by_arm = {arm: scores(result, arm, metric) for arm in arms}
    arm_rows(axis, by_arm, room=room, labels=("a seed", "mean, 95 %"))
    axis.axvline(
        result["baseline"][metric], color=PALETTE[-1], linestyle="--", label="without a model"
    )
    axis.set_xlabel({"mean": "mean F1 of marks and capitals"}.get(metric, metric))
    axis.legend()


def reload(rows: Sequence[Result]) -> Figure:
    """Each choice's score before saving and after a reload; a line joins the two of one seed."""
    figure, (axis,) = new_figure(about="Macro F1 of each config as trained and after a reload.")
    figure.set_size_inches(7.4, 4.0)
    choices = distinct(rows, "choice")
    for row in rows:
        y = choices.index(row["choice"])
        axis.plot([row["before"], row["after"]], [y, y], "-", color=PALETTE[4], zorder=1)
    for when, marker, colour in (("before", "o", PALETTE[0]), ("after", "X", PALETTE[1])):
        label = "trained" if when == "before" else "reloaded"
        heights = [choices.index(row["choice"]) for row in rows]
        axis.plot(
            [row[when] for row in rows], heights, marker, color=colour, label=label, markersize=8
        )
    axis.set_yticks(range(len(choices)), choices)
    axis.margins(y=0.15)
    axis.invert_yaxis()
    axis.set_xlabel("macro F1 on the validation part")
    axis.legend()
    return figure


def four_heads() -> Drawing:
    """One body with LoRA, and the four heads: what each reads and gives."""
    drawing = Drawing(
        "One body, four heads",
        "Tokens go into one pretrained body, which is frozen and has LoRA on its layers. Its "
        "hidden states, one of h numbers for each token, go to one of four heads. TOKEN_CLS: a "
        "linear layer at each token, new, trained whole. SEQ_CLS: the state of CLS through a "
        "pooler and a classifier, both trained whole, where the file has no pooler. QUESTION_ANS: "
        "a linear layer of two logits at each token, new, trained whole. FEATURE_EXTRACTION: no "
        "head; the mean over the tokens that are not padding.",
        840, 400,
    )  # fmt: skip
    tokens = drawing.box(10, 160, 90, 50, ["tokens", "(n, T)"])
    body = drawing.box(150, 135, 150, 100, ["body", "W frozen", "A and B train"])
    states = drawing.box(350, 155, 110, 60, ["states", "(n, T, h)"])
    drawing.arrow(tokens.right, body.left)
    drawing.arrow(body.right, states.left)
    heads = (
        ("TOKEN_CLS", "a linear layer, each token", TRAINS),
        ("SEQ_CLS", "[CLS], pooler, classifier", TRAINS),
        ("QUESTION_ANS", "start and end, each token", TRAINS),
        ("FEATURE_EXTRACTION", "mean without padding", ""),
    )
    for k, (task, what, state) in enumerate(heads):
        word = "new: trained whole" if state else None
        head = drawing.box(560, 10 + 90 * k, 260, 76, [task, what], state, word=word)
        drawing.arrow(states.right, (510, states.right[1]), (510, head.left[1]), head.left)
    drawing.legend(10, 365, trains="trains")
    return drawing
