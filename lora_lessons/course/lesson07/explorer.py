"""Lesson 07: what counts in a causal model's loss: the shift, the prompt, the padding."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ...base.load import load_base
from ...experiments.lesson07 import ENTRIES, Prompted, logits_of, prompted
from ..explorers.base import Explorer
from ..explorers.controls import Choice
from ..plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = [prompt + answer for prompt, answer in ENTRIES]
SHIFTS = {"by one": 1, "not at all": 0, "by two": 2}
LEFT_OUT, COUNTED = "left out", "counted"


class Row(NamedTuple):
    """One row of the batch: for each place what is read, what is asked, its loss, if it counts."""

    read: list[str]
    asked: list[str]
    losses: list[float]
    counts: list[bool]

    @property
    def mean(self) -> float:
        """The mean loss over the places that count."""
        return sum(x for x, c in zip(self.losses, self.counts, strict=True) if c) / self.number

    @property
    def number(self) -> int:
        """How many places count."""
        return sum(self.counts)


@cache
def _batch() -> tuple[Prompted, Tensor]:
    """The four rows, their words, and log p of every token at every place, (B, T, V)."""
    model, tokenizer = load_base("decoder")
    batch = prompted(tokenizer)
    return batch, logits_of(model, batch.ids).log_softmax(-1)


def places(row: str, shift: str, prompt: str, padding: str) -> Row:
    """The places of one row that have a target under this shift."""
    batch, logp = _batch()
    i, ahead = ROWS.index(row), SHIFTS[shift]
    start, end = int(batch.prompt_lengths[i]), int(batch.lengths[i])
    T = batch.ids.shape[1]
    targets = range(ahead, T)
    losses = [-logp[i, j - ahead, batch.ids[i, j]].item() for j in targets]
    counts = [
        (j >= start or prompt == COUNTED) and (j < end or padding == COUNTED) for j in targets
    ]
    words = [_shown(word) for word in batch.words[i]]
    return Row(words[: T - ahead], words[ahead:], losses, counts)


def _shown(word: str) -> str:
    return {"\n": "END", "<|pad|>": "PAD"}.get(word, word.replace(" ", "_"))


def draw(row: str, shift: str, prompt: str, padding: str) -> Figure:
    """The loss at each place; what does not count is hollow."""
    found = places(row, shift, prompt, padding)
    figure, (axis,) = new_figure()
    figure.set_size_inches(8.6, 4.4)
    at = torch.arange(len(found.losses)).tolist()
    for counts, style in ((True, {"color": PALETTE[0]}), (False, {"color": "none"})):
        chosen = [n for n in at if found.counts[n] == counts]
        axis.bar(
            chosen,
            [found.losses[n] for n in chosen],
            edgecolor=PALETTE[0 if counts else -1],
            linestyle="-" if counts else ":",
            label="counts" if counts else "left out",
            **style,
        )
    axis.axhline(found.mean, color=PALETTE[1], linestyle="--", label=f"mean {found.mean:.2f}")
    labels = [f"{a}\n{b}" for a, b in zip(found.read, found.asked, strict=True)]
    axis.set_xticks(at, labels, rotation=60)
    axis.set_xlabel("read (above) and asked for (below)")
    axis.set_ylabel("loss (nats)")
    axis.set_title(f"shifted {shift}: {found.number} places count, mean loss {found.mean:.2f}")
    axis.legend()
    return figure


def alt(row: str, shift: str, prompt: str, padding: str) -> str:
    """What `draw` shows, in words."""
    found = places(row, shift, prompt, padding)
    return (
        f"The decoder's loss at each place of the row {row!r}, labels shifted {shift}, prompt "
        f"{prompt}, padding {padding}: {found.number} of {len(found.losses)} places count, and "
        f"their mean loss is {found.mean:.2f} nats."
    )


EXPLORERS = {
    "loss": Explorer(
        "What counts in the loss?",
        {
            "row": Choice("Row", ROWS, ROWS[2]),
            "shift": Choice("Labels shifted", list(SHIFTS), "by one"),
            "prompt": Choice("Prompt", [LEFT_OUT, COUNTED], LEFT_OUT),
            "padding": Choice("Padding", [LEFT_OUT, COUNTED], LEFT_OUT),
        },
        draw,
        alt,
    )
}
