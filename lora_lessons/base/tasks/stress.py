"""SEQ_CLS: which syllable of a word carries the primary stress, from its spelling alone.

The CMU pronouncing dictionary marks it: "AH0 B AE1 N D AH0 N" is stressed on the second syllable.
Words of one stem are stressed alike, *abandon* and *abandoned*. So a split at random shows the
model the answers of most of the words that it is asked; a split by stem does not.
"""

from __future__ import annotations

import lzma
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..text import DATA
from .metrics import accuracy, macro_f1
from .spelling import LETTERS, SHORTEST

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CLASSES = ("first", "second", "third or later")
"""The syllable with the primary stress, counted from the front."""
ENDINGS = (
    *("ization", "isation", "fulness", "ousness", "iveness", "ability", "ibility", "ations"),
    *("ators", "ating", "ative"),
    *("ation", "ments", "ness", "ment", "ship", "hood", "less", "able", "ible", "ance", "ence"),
    *("ated", "ates", "ator", "ions", "ings", "ism", "ist", "ion", "ing", "ity", "ive", "ize"),
    *("ise", "ate", "ous", "ful", "ant", "ent", "ers", "ors", "est", "ish", "al", "ed", "er"),
    *("es", "ic", "ly", "or", "s"),
)
"""What `stem` takes off, the longest first."""
STEM_LETTERS = 4  # that stay
FAMILY = (3, 12)  # forms of a stem; more are chance, such as the many names in "Mc"


class Word(NamedTuple):
    """A word in lower-case letters, the number of its class in `CLASSES`, and its stem."""

    text: str
    kind: int
    stem: str


def stem(word: str) -> str:
    """A word without its endings: "abandoned" -> "abandon".

    Endings go one after the other while four letters stay; then a doubled last consonant is made
    single, and a last e, i or y goes. It is a rule of thumb: it joins some names that are not kin,
    and does not see prefixes and compounds.
    """
    shorter = True
    while shorter:
        shorter = False
        for ending in ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= STEM_LETTERS:
                word, shorter = word.removesuffix(ending), True
                break
    if len(word) > STEM_LETTERS and word[-1] == word[-2] and word[-1] not in "aeiouy":
        word = word[:-1]
    return word[:-1] if len(word) > STEM_LETTERS and word[-1] in "eiy" else word


def stressed_syllable(sounds: str) -> int | None:
    """The class of "AH0 B AE1 N D AH0 N": 1, the second syllable.

    None for a word of one syllable, and for one without exactly one primary stress.
    """
    marks = [sound[-1] for sound in sounds.split() if sound[-1].isdigit()]
    if len(marks) < 2 or marks.count("1") != 1:
        return None
    return min(marks.index("1"), len(CLASSES) - 1)


@cache
def words() -> tuple[Word, ...]:
    """Every word of 3 to 15 plain letters and two or more syllables, in the order of the alphabet.

    Left out are words whose ways to be said disagree on the stress, or have not exactly one.
    """
    found: dict[str, set[int | None]] = defaultdict(set)
    for line in lzma.decompress((DATA / "cmudict.txt.xz").read_bytes()).decode().splitlines():
        spelling, sounds = line.split("  ")
        word = spelling.split("(")[0]  # "READ(1)" is the second way to say "READ"
        if word.isascii() and word.isalpha() and SHORTEST <= len(word) <= LETTERS:
            found[word.lower()].add(stressed_syllable(sounds))
    return tuple(
        Word(word, kind, stem(word))
        for word, (kind, *others) in sorted(found.items(), key=lambda item: item[0])
        if kind is not None and not others
    )


def families() -> dict[str, list[Word]]:
    """Stem -> its words, for the stems of 3 to 12 forms."""
    by_stem: dict[str, list[Word]] = defaultdict(list)
    for word in words():
        by_stem[word.stem].append(word)
    return {name: kin for name, kin in by_stem.items() if FAMILY[0] <= len(kin) <= FAMILY[1]}


# --- Splits ------------------------------------------------------------------------------------


def split_at_random(
    examples: Sequence[Word], valid: int, seed: int = 0
) -> tuple[list[Word], list[Word]]:
    """(training, validation): `valid` words drawn at random, whatever their kin."""
    mixed = list(examples)
    random.Random(seed).shuffle(mixed)
    return mixed[valid:], mixed[:valid]


def split_by_stem(
    examples: Sequence[Word], valid: int, seed: int = 0
) -> tuple[list[Word], list[Word]]:
    """(training, validation): whole stems, drawn at random until `valid` words are reached."""
    by_stem: dict[str, list[Word]] = defaultdict(list)
    for word in examples:
        by_stem[word.stem].append(word)
    order = random.Random(seed)
    stems = list(by_stem)
    order.shuffle(stems)
    parts: tuple[list[Word], list[Word]] = ([], [])
    for name in stems:
        parts[len(parts[1]) < valid].extend(by_stem[name])
    for part in parts:
        order.shuffle(part)
    return parts


@cache
def study_words(
    train: int = 16_000, valid: int = 2_000, test: int = 2_000
) -> tuple[list[Word], ...]:
    """(training, validation, test) for the choices: no stem is in two of them.

    Rates are chosen on the validation words; the test words are for what is reported.
    """
    rest, asked = split_by_stem(words(), test, seed=0)
    rest, tried = split_by_stem(rest, valid, seed=1)
    return rest[:train], tried[:valid], asked[:test]


@cache
def some_families(count: int = 700) -> list[Word]:
    """The words of `count` families, drawn by stem: for the leak, which needs kin."""
    known = families()
    drawn = random.Random(0).sample(sorted(known), count)
    return [word for name in drawn for word in known[name]]


# --- Without a model ---------------------------------------------------------------------------


def commonest(kinds: Sequence[int]) -> int:
    """The commonest class; of two that are equally common the first."""
    counts = Counter(kinds)
    return min(counts, key=lambda kind: (-counts[kind], kind))


def by_majority(train: Sequence[Word], asked: Sequence[Word]) -> list[int]:
    """The commonest class of the training words, for every word."""
    return [commonest([word.kind for word in train])] * len(asked)


def endings(text: str, longest: int) -> list[str]:
    """The endings of a word from `longest` letters, or from all of fewer, down to none."""
    return [text[len(text) - length :] for length in range(min(longest, len(text)), -1, -1)]


def by_ending(train: Sequence[Word], asked: Sequence[Word], longest: int = 4) -> list[int]:
    """The commonest class of the training words with the longest ending known, up to 4 letters."""
    seen: dict[str, list[int]] = defaultdict(list)
    for word in train:
        for ending in endings(word.text, longest):
            seen[ending].append(word.kind)
    rule: Mapping[str, int] = {ending: commonest(kinds) for ending, kinds in seen.items()}
    guesses = []
    for word in asked:
        known = (ending for ending in endings(word.text, longest) if ending in rule)
        guesses.append(rule[next(known)])
    return guesses


def scores(predicted: Tensor | Sequence[int], true: Tensor | Sequence[int]) -> dict[str, float]:
    """Accuracy, and macro F1 over the three classes; both (n,)."""
    predicted, true = torch.as_tensor(predicted), torch.as_tensor(true)
    return {
        "accuracy": accuracy(predicted, true),
        "macro F1": macro_f1(predicted, true, len(CLASSES)),
    }


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Word], length: int = 12
) -> dict[str, Tensor]:
    """Rows: input_ids and attention_mask, (n, length), and labels, (n,)."""
    encoded = tokenizer(
        [word.text for word in examples],
        padding="max_length",
        truncation=True,
        max_length=length,
        return_tensors="pt",
    )
    return {
        "input_ids": encoded["input_ids"],
        "attention_mask": encoded["attention_mask"],
        "labels": torch.tensor([word.kind for word in examples]),
    }
