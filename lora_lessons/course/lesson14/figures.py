"""Figures and tables of lesson 14: ways to serve, a server's transcript, requests; a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from ...experiments.lesson14 import WAYS, medians
from ...experiments.llama_server import AFTER
from ..drawing import FROZEN, Drawing
from ..plots import PALETTE, new_figure
from ..series import MARKERS, doubling_axis
from ..tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARED = "all want one adapter"
OWN = "each wants its own"
NEEDS = {
    "merged": SHARED,
    "separate": SHARED,
    "mixed": OWN,
    "one at a time": OWN,
    "swapped": OWN,
}


# --- ways to serve -----------------------------------------------------------------------------


def counts(data: dict[str, Any]) -> list[int]:
    """The numbers of requests that were answered together."""
    return sorted({row["adapters"] for row in data["rows"]})


def latency_table(data: dict[str, Any], caption: str) -> Table:
    """Milliseconds for n requests, by each way: the median of the rounds."""
    found = medians(data)
    rows = [
        [way, NEEDS[way], *(f"{1e3 * found[way, n]:,.0f}" for n in counts(data))] for way in WAYS
    ]
    head = ["way", "requests", *(f"{n}, ms" for n in counts(data))]
    return Table(head, rows, f"{caption}: {data['tokens']} tokens for each request")


def latency_figure(data: dict[str, Any], title: str) -> Figure:
    """Seconds against the number of requests, a line for each way."""
    figure, (axis,) = new_figure(about=f"{title}: time to answer, by each way to hold adapters")
    found = medians(data)
    for i, way in enumerate(WAYS):
        times = [found[way, n] for n in counts(data)]
        axis.plot(counts(data), times, MARKERS[i] + "-", color=PALETTE[i], label=way)
    what = "requests, each with its own adapter (merged and separate: one adapter)"
    doubling_axis(axis, counts(data), what)
    axis.set_yscale("log")
    axis.set_ylabel("seconds for all of them, median")
    axis.set_title(title)
    axis.legend()
    return figure


def by_round(data: dict[str, Any], n: int) -> dict[str, dict[int, float]]:
    """{way: {round: milliseconds}} for n requests: the ways took turns in each round."""
    rows = [row for row in data["rows"] if row["adapters"] == n]
    return {
        way: {row["seed"]: 1e3 * row["seconds"] for row in rows if row["way"] == way}
        for way in WAYS
    }


def faster(data: dict[str, Any], n: int, way: str = "mixed", than: str = "one at a time") -> float:
    """How many times as fast one way is as another: the median of the rounds' ratios."""
    found = by_round(data, n)
    return median(found[than][turn] / seconds for turn, seconds in found[way].items())


# --- the server's transcript -------------------------------------------------------------------


def owner(text: str, texts: dict[str, str]) -> str:
    """Whose text it is, by torch's own; or that it is nobody's."""
    return next((name for name, own in texts.items() if own == text), "nobody's")


def is_right(row: dict[str, Any], texts: dict[str, str]) -> bool:
    """Whether a request got what it meant. Where an error was meant, no text is right."""
    return texts.get(row["wanted"]) == row["text"]


def transcript(data: dict[str, Any]) -> Table:
    """Each request in its order: what was meant, what was sent, whose text came back."""
    texts = data["torch"]
    rows = [
        [
            str(row["server"]),
            row["wanted"],
            row["sent"],
            str(row["from_cache"]),
            owner(row["text"], texts),
            "right" if is_right(row, texts) else "WRONG",
        ]
        for row in data["asked"]
    ]
    head = ["server", "meant", "sent", "tokens from the cache", "whose text", ""]
    return Table(head, rows, f"llama.cpp's server by xllamacpp {data['version']}, one slot")


def leaked(data: dict[str, Any]) -> bool:
    """Whether the base's request after an adapter's got another text than torch's base."""
    (row,) = (row for row in data["asked"] if row["sent"] == AFTER)
    return not is_right(row, data["torch"])


# --- requests ----------------------------------------------------------------------------------


def requests_table(data: dict[str, Any]) -> Table:
    """What Stubber and the patterns say to each request."""
    rows = [
        [
            row["operation"],
            row["wrong"],
            "refused" if row["stubber"] else "passes",
            ", ".join(f"{rule}: {path}" for path, rule in row["ours"]) or "passes",
        ]
        for row in data["rows"]
    ]
    head = ["operation", "what is wrong in it", "Stubber", "the model's own rules"]
    return Table(head, rows, f"Requests by the service models of botocore {data['version']}")


def let_pass(data: dict[str, Any]) -> list[str]:
    """What is wrong in the requests that Stubber lets pass and the model's rules refuse."""
    return [row["wrong"] for row in data["rows"] if not row["stubber"] and row["ours"]]


# --- the drawing -------------------------------------------------------------------------------


def mixed_batch(names: Sequence[str] = ("ada", "base", "bob", "ada")) -> Drawing:
    """Rows of one batch: through the base together, through adapters by groups, back in order."""
    drawing = Drawing(
        "One batch, many adapters",
        f"A batch of {len(names)} rows, for {', '.join(names)}. All rows go "
        "through the frozen base in one product. Beside it the rows are grouped: those of ada go "
        "through ada's A and B, "
        "that of bob through bob's. Each update is added at its own row's place; the base's row "
        "gets none. The results leave in the order in which the rows came.",
        820,
        330,
    )
    batch = drawing.box(10, 100, 120, 130, [f"{i + 1}: {n}" for i, n in enumerate(names)])
    base = drawing.box(250, 20, 300, 70, ["W: all rows, once"], FROZEN)
    first = drawing.box(250, 130, 300, 70, ["A, B of ada", "rows 1 and 4"])
    second = drawing.box(250, 240, 300, 70, ["A, B of bob", "row 3"])
    total = drawing.circle(630, 165, 16, "+")
    out = drawing.box(690, 100, 120, 130, [f"{i + 1}: {n}" for i, n in enumerate(names)])
    for middle, side in ((base, total.top), (first, total.left), (second, total.bottom)):
        drawing.arrow(batch.right, middle.left)
        drawing.arrow(middle.right, (side[0], middle.right[1]), side)
    drawing.arrow(total.right, out.left)
    return drawing
