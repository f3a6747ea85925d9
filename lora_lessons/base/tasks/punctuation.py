"""TOKEN_CLS: restore the punctuation and the capitals of a speech.

A speech recognizer gives words without marks and in lower case. The text itself holds the labels:
each word's label says which mark follows it and whether it begins with a capital. The input is
stripped of both, or the labels would be in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..text import glosses, load_text
from .metrics import f1

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARKS = ("", ",", ".", ";", ":", "?")
LABELS = tuple(f"{case}{mark}" for mark in MARKS for case in ("word", "Word"))
"""Label 2 m + c: mark number m follows the word; c is 1 where the word begins with a capital."""
IGNORED = -100
_EDGES = re.compile(r"^[^0-9A-Za-z]+|[^0-9A-Za-z]+$")


class Passage(NamedTuple):
    """Words in lower case without marks, and the label of each."""

    words: tuple[str, ...]
    labels: tuple[int, ...]


def strip_marks(text: str) -> Passage:
    """Take marks and capitals away from a text, and keep them as labels.

    Other signs, brackets and quotation marks say, go without a label. An exclamation mark ends a
    sentence, so it counts as a full stop.
    """
    words, labels = [], []
    for piece in text.split():
        core = _EDGES.sub("", piece)
        if core:
            after = piece[piece.rindex(core) + len(core) :].replace("!", ".")
            mark = next((sign for sign in reversed(after) if sign in MARKS), "")
            words.append(core.lower())
            labels.append(2 * MARKS.index(mark) + core[0].isupper())
    return Passage(tuple(words), tuple(labels))


def restore(words: Sequence[str], labels: Sequence[int]) -> str:
    """The text that words and labels stand for, capitals within a word aside."""
    if len(words) != len(labels):
        raise ValueError(f"{len(words)} words have {len(labels)} labels")
    return " ".join(
        (word[:1].upper() + word[1:] if label % 2 else word) + MARKS[label // 2]
        for word, label in zip(words, labels, strict=True)
    )


@cache
def passages(part: str, words_each: int = 32, count: int | None = None) -> list[Passage]:
    """Passages of the State of the Union addresses, up to `words_each` words each.

    part: "train", or "valid", every 25th address, which no base model of the course has read.
    count: as many, at equal distances over the whole part; None takes all.
    """
    chunks = [
        words[i : i + words_each]
        for words in map(str.split, addresses(part))
        for i in range(0, len(words) - words_each + 1, words_each)
    ]
    if count is not None and count < len(chunks):
        chunks = [chunks[i * len(chunks) // count] for i in range(count)]
    return [strip_marks(" ".join(chunk)) for chunk in chunks]


def addresses(part: str) -> list[str]:
    """The addresses of a part. Raises ValueError for one that is neither "train" nor "valid"."""
    corpus = load_text("pretraining")
    if part not in ("train", "valid"):
        raise ValueError(f'part must be "train" or "valid"; it is {part!r}')
    lines = getattr(corpus, part).splitlines()
    return lines[: len(lines) - len(glosses())] if part == "train" else lines


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Passage], length: int
) -> dict[str, Tensor]:
    """Rows of `length` tokens: input_ids, attention_mask, labels, all (n, length).

    A word of several pieces has its label on the first; the others, [CLS], [SEP] and padding have
    -100, which no loss and no score counts.
    """
    encoded = tokenizer(
        [list(example.words) for example in examples],
        is_split_into_words=True,
        padding="max_length",
        truncation=True,
        max_length=length,
        return_tensors="pt",
    )
    labels = torch.full_like(encoded.input_ids, IGNORED)
    for row, example in enumerate(examples):
        before = None
        for place, word in enumerate(encoded.word_ids(row)):
            if word is not None and word != before:
                labels[row, place] = example.labels[word]
            before = word
    return {**_inputs(encoded), "labels": labels}


def _inputs(encoded: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def scores(predicted: Tensor, true: Tensor) -> dict[str, float]:
    """F1 of each mark and of capitals, over the labelled tokens; both tensors of one shape.

    "mean" is the mean of the five marks and the capitals: what the runs are compared by.
    """
    counted = true != IGNORED
    predicted, true = predicted[counted], true[counted]
    result = {
        mark: f1(predicted // 2, true // 2, number) for number, mark in enumerate(MARKS) if mark
    }
    result["capitals"] = f1(predicted % 2, true % 2, 1)
    return {"mean": sum(result.values()) / len(result), **result}
