"""SEQ_CLS: what kind of thing a WordNet definition defines, an animal, a plant, a food, ...

The classes are far from equally common, a feeling is 24 times rarer than a person: macro F1.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..text import Gloss, glosses
from .metrics import accuracy, macro_f1

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CLASSES = (
    "animal",
    "plant",
    "food",
    "person",
    "artifact",
    "body",
    "substance",
    "location",
    "act",
    "feeling",
)
"""WordNet's classes of nouns that are used; "body" is a part of a body, "artifact" a made thing."""
BLOCK = 50  # entries; neighbours in WordNet's list are close in meaning and in words
LEFT_OUT = 10  # every 10th block validates
_HURTFUL = re.compile(r"slur|offensive|disparag|derogat|vulgar|obscene", re.IGNORECASE)


class Definition(NamedTuple):
    """A word, what it means, and the number of its class in `CLASSES`."""

    word: str
    text: str
    kind: int


def definition(gloss: Gloss) -> str:
    """A gloss without its examples, which stand in quotation marks after it."""
    return re.split(r'[;:,]?\s*"', gloss.text, maxsplit=1)[0].strip()


def split_in_blocks(entries: Sequence[Gloss]) -> tuple[list[Gloss], list[Gloss]]:
    """(training, validation) without hurtful entries: every 10th block of 50 neighbours validates.

    Whole blocks, or half of a family of beetles would be in each part in nearly the same words.
    """
    parts: tuple[list[Gloss], list[Gloss]] = ([], [])
    for number, entry in enumerate(entries):
        if not _HURTFUL.search(entry.text):
            parts[number // BLOCK % LEFT_OUT == LEFT_OUT - 1].append(entry)
    return parts


@cache
def definitions() -> tuple[list[Definition], list[Definition]]:
    """(training, validation) definitions of things in a mixed order, split by blocks.

    No definition is in both parts. The course's base models have read them all as plain text,
    the validation part too, but without the class.
    """
    train, valid = map(_of_things, split_in_blocks(glosses()))
    known = {entry.text for entry in train}
    return train, [entry for entry in valid if entry.text not in known]


def _of_things(entries: Sequence[Gloss]) -> list[Definition]:
    numbers = {f"noun.{name}": number for number, name in enumerate(CLASSES)}
    found = [
        Definition(entry.words[0], definition(entry), numbers[entry.lexical_class])
        for entry in entries
        if entry.lexical_class in numbers and len(definition(entry).split()) >= 3
    ]
    random.Random(0).shuffle(found)
    return found


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Definition], length: int
) -> dict[str, Tensor]:
    """Rows: input_ids and attention_mask, (n, length), and labels, (n,)."""
    encoded = tokenizer(
        [example.text for example in examples],
        padding="max_length",
        truncation=True,
        max_length=length,
        return_tensors="pt",
    )
    return {
        "input_ids": encoded["input_ids"],
        "attention_mask": encoded["attention_mask"],
        "labels": torch.tensor([example.kind for example in examples]),
    }


def scores(predicted: Tensor, true: Tensor) -> dict[str, float]:
    """Macro F1, and accuracy beside it; both (n,)."""
    return {
        "macro F1": macro_f1(predicted, true, len(CLASSES)),
        "accuracy": accuracy(predicted, true),
    }
