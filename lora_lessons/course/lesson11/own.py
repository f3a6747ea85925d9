"""Lesson 11's question with the student's own numbers: will this model's step fit?"""

from __future__ import annotations

from typing import Any

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw

CARD = 24 * 2**30  # bytes


def draw(numbers: Draw) -> dict[str, Any]:
    """A decoder of Llama's kind with a tied head, LoRA on all linear layers of its blocks."""
    kv_heads, size = numbers.whole(4, 8), 128
    heads = kv_heads * numbers.whole(3, 4)
    hidden = heads * size
    return {
        "hidden": hidden,
        "layers": numbers.whole(16, 28),
        "heads": heads,
        "kv_heads": kv_heads,
        "feed_forward": 128 * numbers.whole(hidden // 64, 3 * hidden // 128),
        "vocab": 1_000 * numbers.whole(30, 150),
        "r": numbers.whole(3, 20),
        "mib_per_row": 10 * numbers.whole(20, 60) + 1,
    }


def counts(
    hidden: int,
    layers: int,
    kv_width: int,
    feed_forward: int,
    vocab: int,
    r: int,
    tables: int = 1,
) -> tuple[int, int]:
    """(frozen, trained) numbers, norms left out. `tables`: how often the embedding is counted."""
    linears = [(hidden, hidden), (hidden, kv_width), (hidden, kv_width), (hidden, hidden)]
    linears += [(hidden, feed_forward), (hidden, feed_forward), (feed_forward, hidden)]
    weights = sum(inside * outside for inside, outside in linears)
    factors = sum(r * (inside + outside) for inside, outside in linears)
    return tables * vocab * hidden + layers * weights, layers * factors


def state_gib(frozen: int, trained: int, trained_bytes: int = 16) -> float:
    """GiB of frozen weights in bf16 and of float32 adapters with gradients and two moments."""
    return (2 * frozen + trained_bytes * trained) / 2**30


def rows_that_fit(gib: float, mib_per_row: int) -> int:
    """Whole rows of a batch beside the states, on a card of 24 GiB."""
    return int((CARD - gib * 2**30) // (mib_per_row * 2**20))


def right(
    hidden: int,
    layers: int,
    heads: int,
    kv_heads: int,
    feed_forward: int,
    vocab: int,
    r: int,
    mib_per_row: int,
) -> tuple[int, float, int]:
    """Trained numbers, GiB of the states, and the rows that fit."""
    kv_width = kv_heads * (hidden // heads)
    frozen, trained = counts(hidden, layers, kv_width, feed_forward, vocab, r)
    gib = state_gib(frozen, trained)
    return trained, gib, rows_that_fit(gib, mib_per_row)


def mistakes(
    hidden: int,
    layers: int,
    heads: int,
    kv_heads: int,
    feed_forward: int,
    vocab: int,
    r: int,
    mib_per_row: int,
) -> dict[str, Numbers]:
    """What each mistake gives."""
    kv_width = kv_heads * (hidden // heads)
    sizes = {"feed_forward": feed_forward, "vocab": vocab, "r": r}

    def outcome(frozen: int, trained: int, trained_bytes: int = 16) -> Numbers:
        gib = state_gib(frozen, trained, trained_bytes)
        return None, gib, rows_that_fit(gib, mib_per_row)

    frozen, trained = counts(hidden, layers, kv_width, **sizes)
    gib = state_gib(frozen, trained)
    wide = counts(hidden, layers, hidden, **sizes)
    narrow = counts(hidden, layers, hidden // heads, **sizes)
    one = counts(hidden, 1, kv_width, **sizes)
    attention = layers * r * (2 * 2 * hidden + 2 * (hidden + kv_width))
    square = layers * r * hidden * (2 * hidden + 2 * kv_width + 3 * feed_forward)
    free = CARD / 2**30 - gib
    return {
        "k and v are as wide as kv_heads heads, not as q.": (wide[1], *outcome(*wide)[1:]),
        "k and v have kv_heads heads. This counts one.": (narrow[1], *outcome(*narrow)[1:]),
        "This is one block. There are `layers` of them.": (one[1], *outcome(*one)[1:]),
        "A and B together hold r (in + out) numbers, not r in out.": (square, None, None),
        "The MLP's three layers have LoRA too: gate, up and down.": (attention, None, None),
        "LoRA has two factors: A and B. This counts one.": (
            layers * r * (hidden * 6 + feed_forward),
            None,
            None,
        ),
        "The head is tied to the embedding: one table, counted once.": outcome(
            *counts(hidden, layers, kv_width, tables=2, **sizes)
        ),
        "The embedding is missing. It is frozen, and it lies in memory.": outcome(
            *counts(hidden, layers, kv_width, tables=0, **sizes)
        ),
        "Frozen weights have no gradients and no moments.": (
            None,
            (2 + 12) * frozen / 2**30 + 16 * trained / 2**30,
            None,
        ),
        "The adapters are float32: 4 bytes, and so are their gradients and both moments.": outcome(
            frozen, trained, 12
        ),
        "The gradients, or one of the moments, are missing.": outcome(frozen, trained, 8),
        "The trained numbers have gradients and two moments beside them.": outcome(
            frozen, trained, 4
        ),
        "This is GB. A GiB has 2**30 bytes.": (None, gib * 2**30 / 1e9, None),
        "A row that does not fit whole does not fit: round down.": (
            None,
            None,
            rows_that_fit(gib, mib_per_row) + 1,
        ),
        "The states are in the way: only what they leave is free for rows.": (
            None,
            None,
            int(CARD // (mib_per_row * 2**20)),
        ),
        "A GiB has 1,024 MiB.": (None, None, int(free * 1000 // mib_per_row)),
    }


MY_STEP = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_step",
    title="11.6 Does your step fit?",
    points=2,
    minutes=7,
    hints=(
        "Count one block first: q and o are hidden x hidden, k and v hidden x (kv_heads heads of "
        "hidden // heads), gate and up hidden x feed_forward, down the other way round.",
        "Trained: layers * r * (sum of in + out over the seven). Frozen: layers * (their "
        "weights), and the embedding, once.",
        "States: 2 bytes for each frozen number, 16 for each trained one (weight, gradient, two "
        "moments), over 2**30. Rows: (24 - states) * 1024 // mib_per_row.",
    ),
)
