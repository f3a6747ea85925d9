"""QUESTION_ANS: find the answer's span in a page of definitions.

A page is a few entries of a dictionary. Half of the questions give a word and want its definition,
which is found by its letters. The others give a class and want the word, which takes meaning:
"which of these is an animal?"
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .definitions import CLASSES, Definition, definitions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BY_WORD, BY_MEANING = 0, 1
LONGEST_WORDS = 12  # of a definition on a page
NAMES = {"body": "a part of a body", "act": "an act", "artifact": "a made thing"}


class Question(NamedTuple):
    """A question, the page, the characters [start, end) of the answer, and the question's sort."""

    question: str
    page: str
    start: int
    end: int
    sort: int  # BY_WORD or BY_MEANING
    entries: int  # on the page

    @property
    def answer(self) -> str:
        """The text of the span."""
        return self.page[self.start : self.end]


def questions(count: int, entries: int = 4, valid: bool = False, seed: int = 0) -> list[Question]:
    """Questions on pages of `entries` definitions of different classes, made up with a seed.

    The entries are those of `definitions`: a validation page has no training definition on it.
    """
    if not 2 <= entries <= len(CLASSES):
        raise ValueError(f"entries must be from 2 to {len(CLASSES)}; it is {entries}")
    draw = random.Random(f"{seed} {valid}")
    by_kind: dict[int, list[Definition]] = {kind: [] for kind in range(len(CLASSES))}
    for entry in definitions()[valid]:
        if len(entry.text.split()) <= LONGEST_WORDS:
            by_kind[entry.kind].append(entry)
    return [_question(draw, by_kind, entries) for _ in range(count)]


def _question(draw: random.Random, by_kind: dict[int, list[Definition]], entries: int) -> Question:
    chosen = [draw.choice(by_kind[kind]) for kind in draw.sample(sorted(by_kind), entries)]
    asked, sort = draw.randrange(entries), draw.choice((BY_WORD, BY_MEANING))
    lines = [f"{entry.word}: {entry.text}." for entry in chosen]
    start = sum(len(line) + 1 for line in lines[:asked])
    word, text, kind = chosen[asked]
    if sort == BY_MEANING:
        return Question(_by_meaning(kind), " ".join(lines), start, start + len(word), sort, entries)
    start += len(word) + 2
    end = start + len(text)
    return Question(f"what is {word}?", " ".join(lines), start, end, sort, entries)


def _by_meaning(kind: int) -> str:
    name = CLASSES[kind]
    article = "an" if name[0] in "aeiou" else "a"
    return f"which of these is {NAMES.get(name, f'{article} {name}')}?"


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Question], length: int
) -> dict[str, Tensor]:
    """Rows of [CLS] question [SEP] page [SEP], and where each answer lies.

    input_ids, attention_mask and token_type_ids, which is 1 on the page, are (n, length);
    start_positions, end_positions, sort and entries are (n,). An answer that does not fit into
    `length` has both positions 0, on [CLS].
    """
    encoded = tokenizer(
        [example.question for example in examples],
        [example.page for example in examples],
        padding="max_length",
        truncation="only_second",
        max_length=length,
        return_tensors="pt",
    )
    spans = torch.tensor([_span(encoded, row, example) for row, example in enumerate(examples)])
    names = ("input_ids", "attention_mask", "token_type_ids")
    return {
        **{name: encoded[name] for name in names},
        "start_positions": spans[:, 0],
        "end_positions": spans[:, 1],
        "sort": torch.tensor([example.sort for example in examples]),
        "entries": torch.tensor([example.entries for example in examples]),
    }


def _span(encoded: dict[str, Tensor], row: int, example: Question) -> tuple[int, int]:
    start = encoded.char_to_token(row, example.start, sequence_index=1)
    end = encoded.char_to_token(row, example.end - 1, sequence_index=1)
    return (0, 0) if start is None or end is None else (start, end)


def best_spans(start: Tensor, end: Tensor, page: Tensor, longest: int = 40) -> Tensor:
    """The span with the largest start + end logit: (n, 2), its first and its last token.

    start, end and page are (n, T), page is 1 on the tokens that may be in an answer. A span does
    not end before it starts, and has `longest` tokens at most.
    """
    length = start.shape[1]
    allowed = torch.ones(length, length, dtype=torch.bool, device=start.device)
    allowed = allowed.triu() & ~allowed.triu(longest)  # (T, T): first token by last token
    sums = start.float()[:, :, None] + end.float()[:, None, :]  # (n, T, T)
    inside = page.bool()[:, :, None] & page.bool()[:, None, :]
    best = sums.masked_fill(~(allowed & inside), -torch.inf).flatten(1).argmax(1)  # (n,)
    return torch.stack([best // length, best % length], dim=1)


def page_mask(rows: dict[str, Tensor]) -> Tensor:
    """1 on the page's own tokens, (n, T): the last of its segment is [SEP], which no answer has."""
    page = rows["token_type_ids"] * rows["attention_mask"]
    last = page.cumsum(1) == page.sum(1, keepdim=True)
    return page * ~last


def scores(predicted: Tensor, true: Tensor, sort: Tensor) -> dict[str, float]:
    """Exact match and token F1 over all questions, and exact match by sort; spans are (n, 2).

    F1 is that of the two sets of positions: 1 for the same span, 0 for spans apart.
    """
    exact = (predicted == true).all(1).double()  # (n,)
    first = torch.maximum(predicted[:, 0], true[:, 0])
    last = torch.minimum(predicted[:, 1], true[:, 1])
    shared = (last - first + 1).clamp(min=0)
    sizes = (predicted[:, 1] - predicted[:, 0] + 1) + (true[:, 1] - true[:, 0] + 1)
    return {
        "exact match": exact.mean().item(),
        "token F1": (2 * shared / sizes).double().mean().item(),
        "exact match, by word": exact[sort == BY_WORD].mean().item(),
        "exact match, by meaning": exact[sort == BY_MEANING].mean().item(),
    }
