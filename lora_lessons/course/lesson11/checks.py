"""The checks of lesson 11's first two exercises: bytes of the states, bytes of the logits.

Every mistake that is known by name is worked out beside the right answer, on the same draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..checks.core import Wrong, number
from ..checks.draws import whole


def judge_bytes(actual: Any, right: float, mistakes: Mapping[str, float], case: str) -> None:
    """Raise `Wrong` unless `actual` is `right`: by a mistake's message if one explains it."""
    value = number(actual, "the bytes, one number")
    if value == right:
        return
    for message, mistaken in mistakes.items():
        if value == mistaken != right:
            raise Wrong(f"{message} ({case})")
    for unit, size in {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "GB": 1e9, "MB": 1e6}.items():
        if right and math.isclose(value, right / size, rel_tol=1e-9):
            raise Wrong(f"These are {unit}. Return bytes, and divide where you print.")
    if value == 8 * right:
        raise Wrong(f"These are bits. A byte has eight of them. ({case})")
    raise Wrong(f"{case}: expected {right:,.10g} bytes, got {value:,.10g}.")


# --- 11.1 ------------------------------------------------------------------------------------


def check_state_bytes(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """11.1: weights of all, gradients and two moments of what trains alone."""
    frozen, trained = 2 * whole(rng, 10_000, 19_999), 2 * whole(rng, 101, 199) + 1
    for case in (
        (frozen, trained, 3, 10),  # made up, so that no two mistakes agree
        (frozen, trained, 2, 4),
        (frozen, trained, 4, 2),
        (0, trained, 2, 2),
        (frozen, trained, 0.5, 4),  # a 4-bit base
        (frozen, 0, 2, 4),
        (frozen, trained, 2, 2),
    ):
        _one_state(answer(*case), *case)


def _one_state(actual: Any, frozen: int, trained: int, weight: float, grad: int) -> None:
    every = frozen + trained
    right = every * weight + trained * (grad + 8)
    case = f"frozen={frozen:,d}, trained={trained:,d}, weight={weight}, grad={grad}"
    mistakes = {
        "Frozen weights have no gradient and no moments.": every * (weight + grad + 8),
        "Frozen weights have no gradient: requires_grad is False.": every * (weight + grad)
        + 8 * trained,
        "Frozen weights have no moments: the optimizer never sees them.": every * (weight + 8)
        + trained * grad,
        "AdamW keeps two moments for each number, and this counts one.": right - 4 * trained,
        "AdamW has two moments, which this leaves out.": right - 8 * trained,
        "The gradients are missing.": right - grad * trained,
        "The frozen weights lie in memory too: the forward pass needs them.": trained
        * (weight + grad + 8),
        "The trained weights are missing: they lie beside the frozen ones.": frozen * weight
        + trained * (grad + 8),
        "The weights are missing.": trained * (grad + 8),
        "The moments are float32 here, 4 bytes, whatever the weights are.": every * weight
        + trained * (grad + 2 * weight),
        "The moments are float32 here, 4 bytes, whatever the gradients are.": every * weight
        + trained * 3 * grad,
        "The moments are 4 bytes each, not 8: this has two of float64.": right + 8 * trained,
        "A gradient takes `grad` bytes, not `weight` bytes.": every * weight
        + trained * (weight + 8),
        "A weight takes `weight` bytes, frozen ones too.": 4 * every + trained * (grad + 8),
        "These are counts. Multiply each by the bytes of one number.": float(every + 3 * trained),
    }
    if weight == 0.5 and actual == right - every * weight:
        raise Wrong(
            "A weight of half a byte came out as none: don't round `weight`, round the product."
        )
    if weight == 0.5 and isinstance(actual, int) and actual == math.floor(right):
        return  # half a byte, rounded
    judge_bytes(actual, right, mistakes, case)


# --- 11.2 ------------------------------------------------------------------------------------


def check_logits_bytes(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """11.3: all copies of the logits at one time, or of one piece and what the loss keeps."""
    batch, length = (11, 13, 17)[whole(rng, 0, 2)], 2 * whole(rng, 20, 29) + 1
    hidden, vocab = 8 * whole(rng, 3, 8), whole(rng, 1_000, 1_999)
    rows = batch * length
    for copies, at_once in (
        ([2, 8, 4], None),
        ([4], None),
        ([2, 4], whole(rng, 11, 16)),
        ([2, 8, 4], rows),
        ([2, 8, 4], rows + whole(rng, 5, 49)),
        ([4, 4], 1),
        ([2, 4], rows - whole(rng, 5, 19)),  # one piece of so many, and a small one
    ):
        actual = answer(batch, length, hidden, vocab, list(copies), at_once)
        _one_logits(actual, batch, length, hidden, vocab, copies, at_once)


def _one_logits(
    actual: Any,
    batch: int,
    length: int,
    hidden: int,
    vocab: int,
    copies: list[int],
    at_once: int | None,
) -> None:
    rows, each = batch * length, sum(copies)
    case = (
        f"batch={batch}, length={length}, hidden={hidden}, vocab={vocab:,d}, copies={copies}, "
        f"at_once={at_once}"
    )
    if at_once is None:
        right, mistakes = rows * vocab * each, _whole_mistakes(batch, length, hidden, vocab, copies)
    else:
        right = min(at_once, rows) * vocab * each + rows * hidden * 2
        mistakes = _piece_mistakes(rows, hidden, vocab, copies, at_once)
    judge_bytes(actual, right, mistakes, case)


def _whole_mistakes(
    batch: int, length: int, hidden: int, vocab: int, copies: list[int]
) -> dict[str, float]:
    rows, each = batch * length, sum(copies)
    return {
        "All positions have logits. The labels are shifted, not the logits: T and not T - 1.": (
            batch * (length - 1) * vocab * each
        ),
        "A row of logits has a number for each word of the vocabulary, not for each hidden one.": (
            rows * hidden * each
        ),
        "This is the head's weight, which is no logits.": vocab * hidden * each,
        "Each token of a row has its logits: `length` is missing.": batch * vocab * each,
        "Each row of the batch has its logits: `batch` is missing.": length * vocab * each,
        "This counts one copy. All of `copies` are there at one time.": rows * vocab * copies[0],
        "This counts the last copy. All of `copies` are there at one time.": rows
        * vocab
        * copies[-1],
        "This counts the largest copy. All of `copies` are there at one time.": rows
        * vocab
        * max(copies),
        "`copies` holds the bytes of a number in each copy: add them up, don't count them.": rows
        * vocab
        * len(copies),
        "The copies are not all of 4 bytes: `copies` says how many each has.": rows
        * vocab
        * 4
        * len(copies),
        "These are the numbers of one copy. Multiply by the bytes.": float(rows * vocab),
        "With at_once=None the logits are whole, and no gradient of hidden states is kept.": rows
        * vocab
        * each
        + rows * hidden * 2,
        "The copies are added, not multiplied.": rows * vocab * math.prod(copies),
    }


def _piece_mistakes(
    rows: int, hidden: int, vocab: int, copies: list[int], at_once: int
) -> dict[str, float]:
    each, kept = sum(copies), rows * hidden * 2
    piece, pieces = min(at_once, rows), math.ceil(rows / at_once)
    return {
        "In pieces only one piece's logits are there at a time: this counts them all.": (
            rows * vocab * each
        ),
        "Only one piece's logits are there at a time: this counts all of them, with the "
        "gradient.": rows * vocab * each + kept,
        "No piece has more rows than there are: `at_once` may be larger than the batch.": (
            at_once * vocab * each + kept
        ),
        "What the loss keeps is missing: the gradient of each row's hidden state.": piece
        * vocab
        * each,
        "The gradient of the hidden states is kept for all rows, not for one piece.": piece
        * (vocab * each + hidden * 2),
        "The kept gradient is of the hidden states, `hidden` numbers a row, not `vocab`.": piece
        * vocab
        * each
        + rows * vocab * 2,
        "The kept gradient is bf16: 2 bytes a number.": piece * vocab * each + rows * hidden * 4,
        "The kept gradient is bf16: 2 bytes a number. This counts numbers.": piece * vocab * each
        + rows * hidden,
        "This makes the pieces of one size. A piece has `at_once` rows, the last one what is "
        "left.": math.ceil(rows / pieces) * vocab * each + kept,
        "The kept gradient is there once, not in each of `copies`.": piece * vocab * each
        + rows * hidden * each,
        "This divides the rows by `at_once`: it is the number of rows of a piece, not of "
        "pieces.": pieces * vocab * each + kept,
        "This counts one copy of the logits. All of `copies` are there at one time.": piece
        * vocab
        * copies[0]
        + kept,
        "This counts the largest copy. All of `copies` are there at one time.": piece
        * vocab
        * max(copies)
        + kept,
        "`copies` holds the bytes of a number in each copy: add them up.": piece
        * vocab
        * len(copies)
        + kept,
    }
