"""Lesson 15's question with the student's own numbers: a report with one planted flaw."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw

FLAWS = (
    "a leak: kin of the words asked were trained",
    "a rate at the edge of its grid",
    "one seed, or other seeds in one arm",
    "unequal budgets: one arm trains longer or more",
    "chosen on the test words",
    "the best along the way in one arm, the last in the other",
)
"""What may be wrong with a report, numbered from 1."""


class _Line(NamedTuple):
    """A line of a report in its sound form and with its flaw."""

    sound: str
    flawed: str


def draw(numbers: Draw) -> dict[str, Any]:
    """The flaws to choose from, and a report of eight numbered lines, one of which is flawed."""
    flaw = numbers.whole(1, len(FLAWS))
    lines = _lines(numbers)
    texts = [line.flawed if i + 1 == flaw else line.sound for i, line in enumerate(lines)]
    texts += _fillers(numbers)
    order: list[int] = []
    left = list(range(len(texts)))
    while left:
        order.append(left.pop(numbers.whole(0, len(left) - 1)))
    codes = [100 * (place + 1) + numbers.whole(0, 99) for place in range(len(texts))]
    return {
        "flaws": dict(enumerate(FLAWS, 1)),
        "report": {code: texts[i] for code, i in zip(codes, order, strict=True)},
    }


def _lines(numbers: Draw) -> list[_Line]:
    """One line for each flaw, in the order of FLAWS."""
    words, stems = 1000 * numbers.whole(8, 20), numbers.whole(120, 480)
    best = (1e-3, 2e-3, 3e-3)[numbers.whole(0, 2)]
    grid = f"{best / 3:.1e}, {best:.1e}, {3 * best:.1e}"
    edge = f"{best / 9:.1e}, {best / 3:.1e}, {best:.1e}"
    seeds, steps, r = numbers.whole(3, 6), 100 * numbers.whole(4, 9), 2 ** numbers.whole(1, 4)
    fresh = ", ".join(str(seed) for seed in range(20, 20 + seeds))
    end = 78 + numbers.whole(0, 30) / 10
    both = f"Both arms: {steps} steps of 32 words"
    return [
        _Line(
            f"{words:,} words train. 0 stems are in the training and in the test part.",
            f"{words:,} words train. {stems} stems are in the training and in the test part.",
        ),
        _Line(
            f"Rates tried in both arms: {grid}. Chosen in both: {best:.1e}.",
            f"Rates tried in both arms: {edge}. Chosen in both: {best:.1e}.",
        ),
        _Line(
            f"Seeds of arm A: {fresh}. Seeds of arm B: {fresh}.",
            f"Seeds of arm A: {fresh}. Seeds of arm B: 20.",
        ),
        _Line(
            f"{both}; A has rank {r} and B rank {2 * r}, which is the question.",
            f"A: {steps} steps of 32 words, rank {r}. B: {2 * steps} steps, rank {2 * r}.",
        ),
        _Line(
            "The rates were chosen on the validation words, and reported on the test words.",
            "The rates were chosen on the test words, and reported on the test words.",
        ),
        _Line(
            f"Accuracy: A {end:.1f} %, B {end + 0.4:.1f} %, both after the last step.",
            f"Accuracy: A {end:.1f} % after the last step, B {end + 0.9:.1f} % at its best step.",
        ),
    ]


def _fillers(numbers: Draw) -> list[str]:
    """Two lines that are sound in any report, and look as if they might not be."""
    majority = 66 + numbers.whole(0, 30) / 10
    return [
        f"The majority gives {majority:.1f} %, the rule of endings {majority + 4.2:.1f} %.",
        "Two runs of A diverged. They count as wrong on every word, and stay in the table.",
    ]


def _find(report: dict[int, str]) -> tuple[int, int]:
    """(the flaw's number, the line's number): each flaw has a mark that no sound line has."""
    for code, text in report.items():
        marks = (
            "stems are in the training" in text and " 0 stems" not in text,
            text.startswith("Rates tried") and _at_edge(text),
            text.startswith("Seeds") and text.endswith("B: 20."),
            text.startswith("A: "),
            "chosen on the test words" in text,
            "at its best step" in text,
        )
        if any(marks):
            return marks.index(True) + 1, code
    raise ValueError("no line of this report is flawed")


def _at_edge(text: str) -> bool:
    tried, chosen = text.removeprefix("Rates tried in both arms: ").split(". Chosen in both: ")
    rates = [float(rate) for rate in tried.split(", ")]
    return float(chosen.rstrip(".")) in (min(rates), max(rates))


def right(flaws: dict[int, str], report: dict[int, str]) -> tuple[int, int]:
    """The number of the flaw, and of the line that shows it."""
    return _find(report)


def mistakes(flaws: dict[int, str], report: dict[int, str]) -> dict[str, Numbers]:
    """What each mistake gives: a sound line that was taken for flawed."""
    flaw, line = _find(report)
    found: dict[str, Numbers] = {}
    looks = {
        "stems are in the training": "No stem is in both parts here: this split is sound.",
        "Rates tried": "The chosen rate lies inside its grid: this line is sound.",
        "Seeds of arm": "Both arms have the same seeds, and several: this line is sound.",
        "Both arms:": "Rank is what is asked, and all else is equal: this line is sound.",
        "validation words": "Chosen on one part, reported on another: this line is sound.",
        "both after": "Both arms are read at the same step: this line is sound.",
        "majority": "A simple rule beside the model is what a report should have.",
        "diverged": "Runs that failed are told and not left out: this line is sound.",
    }
    for start, message in looks.items():
        codes = [code for code, text in report.items() if start in text and code != line]
        if codes:
            found[message] = (None, codes[0])
    place = list(report).index(line) + 1
    found["Give the number that stands before the line, not its place in the report."] = (
        None,
        place,
    )
    found[
        "This is the number of the line. The flaw's own number, from the list of six, comes first."
    ] = (line, None)
    for other in flaws:
        if other != flaw:
            found[f"No line of your report shows flaw {other}: {flaws[other]}."] = (other, None)
    return found


MY_FLAW = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_flaw",
    title="15.4 The flaw in a report",
    points=2,
    minutes=6,
    hints=(
        "Ask each line what could have gone wrong there. Are both arms treated alike? Was "
        "something "
        "chosen on what it is judged by?",
        "Compare the chosen rate with both ends of the grid, the seeds of the two arms, "
        "their steps, "
        "and when each accuracy was read.",
        "Only one line shows a flaw. Return the number of the flaw, 1 to 6, and the number that "
        "stands before the line: `return 3, 417`.",
    ),
)
