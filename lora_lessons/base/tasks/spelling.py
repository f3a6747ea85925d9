"""SEQ_2_SEQ_LM: from the spelling of a word to its sounds, by the CMU pronouncing dictionary.

A sound is one of the dictionary's 39 phones, "AE" as in cat; the marks of stress are left out.
"""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..text import DATA
from .rows import Rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LETTERS = 15  # of the longest word that is used; with the end token 16 bytes
SOUND_BYTES = 31  # "K AE T" has 6; with the end token 32 bytes
SHORTEST = 3  # letters
BEGINNING = 3  # letters that no training and validation word share
LEFT_OUT = 20  # every 20th beginning validates
VOWELS = frozenset(
    ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
)  # of the 39 phones; the other 24 are consonants
IGNORED = -100  # a label that no loss counts

_DIGITS = str.maketrans("", "", "0123456789")


class Entry(NamedTuple):
    """A word in lower-case letters, and each way to say it: "K AE T"."""

    word: str
    sounds: tuple[str, ...]


@cache
def dictionary() -> tuple[Entry, ...]:
    """Every word of 3 to 15 plain letters whose sounds fit 31 bytes, in the order of the alphabet.

    Left out are words with an apostrophe, a full stop, a hyphen or a digit.
    """
    found: dict[str, list[str]] = {}
    for line in (
        lzma.decompress((DATA / "cmudict.txt.xz").read_bytes()).decode("utf-8").splitlines()
    ):
        spelling, sounds = line.split("  ")
        word = spelling.split("(")[0]  # "READ(1)" is the second way to say "READ"
        sounds = sounds.translate(_DIGITS)  # 1, 2 and 0: main stress, a lesser one, none
        plain = word.isascii() and word.isalpha() and SHORTEST <= len(word) <= LETTERS
        if plain and len(sounds) <= SOUND_BYTES:
            ways = found.setdefault(word.lower(), [])
            if sounds not in ways:  # two ways may differ in stress alone
                ways.append(sounds)
    return tuple(Entry(word, tuple(ways)) for word, ways in sorted(found.items()))


@cache
def split() -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """(training, validation): every 20th beginning of three letters is left out of training.

    So no form of a word that validates was trained, but for "die" and "dying" and their like, and
    no other word of its beginning. What may be known are parts: "house" where "greenhouse" is
    asked.
    """
    beginnings = sorted({entry.word[:BEGINNING] for entry in dictionary()})
    left_out = set(beginnings[LEFT_OUT - 1 :: LEFT_OUT])
    parts: tuple[list[Entry], list[Entry]] = ([], [])
    for entry in dictionary():
        parts[entry.word[:BEGINNING] in left_out].append(entry)
    return tuple(parts[0]), tuple(parts[1])


def spread_out(items: Sequence[Any], count: int) -> list[Any]:
    """`count` items at equal distances, from first to last; all of fewer."""
    if count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def encode(tokenizer: PreTrainedTokenizerBase, entries: Sequence[Entry]) -> Rows:
    """The spelling as input and the first way to say it as labels, each padded to one length.

    input_ids and attention_mask (n, 16), labels (n, 32) with -100 at the padding. The lengths are
    in bytes, the tokens of a ByT5 tokenizer, and include the end token.
    """
    padded = {"padding": "max_length", "return_tensors": "pt"}
    words = tokenizer([e.word for e in entries], max_length=LETTERS + 1, **padded)
    sounds = tokenizer([e.sounds[0] for e in entries], max_length=SOUND_BYTES + 1, **padded)
    labels = sounds["input_ids"].masked_fill(sounds["attention_mask"] == 0, IGNORED)
    return {
        "input_ids": words["input_ids"],
        "attention_mask": words["attention_mask"],
        "labels": labels.to(torch.long),
    }


def vowels(text: str) -> list[str]:
    """The vowels among the sounds "K AE T"."""
    return [sound for sound in text.split() if sound in VOWELS]


def consonants(text: str) -> list[str]:
    """The consonants among the sounds "K AE T"."""
    return [sound for sound in text.split() if sound not in VOWELS]


def edit_distance(guess: Sequence[str], target: Sequence[str]) -> int:
    """The fewest insertions, deletions and exchanges that make one list into the other.

    Levenshtein's distance, row by row: row[j] is that from the guess so far to target[:j].
    """
    row = list(range(len(target) + 1))
    for i, mine in enumerate(guess, start=1):
        before, row = row, [i]
        for j, theirs in enumerate(target, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (mine != theirs)))
    return row[-1]


def scores(guesses: Sequence[str], entries: Sequence[Entry]) -> dict[str, float]:
    """{"exact match", "sound error rate"} of guessed sounds; any way to say a word is right.

    Exact match is the share of words with every sound right. The sound error rate is the sum of
    the edit distances to the nearest way, divided by the number of its sounds: above 1 where more
    was inserted than there is.
    """
    right, distance, length = 0, 0, 0
    for guess, entry in zip(guesses, entries, strict=True):
        ways = [way.split() for way in entry.sounds]
        nearest = min(ways, key=lambda way: edit_distance(guess.split(), way))
        distance += edit_distance(guess.split(), nearest)
        length += len(nearest)
        right += guess.split() in ways
    return {"exact match": right / len(entries), "sound error rate": distance / length}
