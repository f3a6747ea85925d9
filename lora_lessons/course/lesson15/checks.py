"""The checks of lesson 15: the blank file, the split by stem, and the rule of endings."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from ..blank_file.run import blank_file_test
from ..checks.core import Wrong
from ..checks.draws import shuffled, whole
from ..checks.limits import without_limit

# --- 15.1 ------------------------------------------------------------------------------------


def check_mini_lora(answer: Callable[[], Any], rng: torch.Generator) -> None:
    """15.1: a file that makes, trains, saves and loads LoRA, run in a process of its own."""
    text = answer()
    if text is None:
        raise Wrong("It returns None. Is the `return` missing?")
    if not isinstance(text, str | os.PathLike):
        raise Wrong(f"Return the file's text, or its path; got {type(text).__name__}.")
    with without_limit():
        report = blank_file_test(text, whole(rng, 0, 10**6))
    if not report.right:
        raise Wrong(
            f"{report.passed} of {len(report.results)} tests passed. {report.first_failure}"
        )


# --- 15.2 ------------------------------------------------------------------------------------


def _family(rng: torch.Generator, number: int, size: int) -> list[str]:
    # what begins alike is no family: only stem() tells; some have capitals
    name = "".join("abC"[whole(rng, 0, 2)] for _ in range(4)) + str(number)
    return [f"{i}-{name}" for i in range(size)]


def _stem(word: str) -> str:
    return word.partition("-")[2]


def check_split_by_stem(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """15.2: whole stems on either side, enough words to validate, and the same by seed."""
    for count, least, most in ((30, 1, 5), (12, 1, 9), (25, 1, 1), (15, 2, 2)):
        sizes = [whole(rng, least, most) for _ in range(count)]
        kin = [_family(rng, i, size) for i, size in enumerate(sizes)]
        words = shuffled(rng, [word for family in kin for word in family])
        wanted = whole(rng, len(words) // 4, len(words) // 2)
        wanted |= least > 1  # odd: stems of two words cannot fill it exactly
        seed = whole(rng, 0, 1000)
        asked = _check_split(answer, words, wanted, max(sizes), seed)
        if set(asked) != set(_split(answer, words, wanted, seed)[1]):
            raise Wrong(
                "The same seed gives two different splits. Shuffle with random.Random(seed)."
            )
        others = [set(_split(answer, words, wanted, seed + i)[1]) for i in range(1, 6)]
        if all(other == set(asked) for other in others):
            raise Wrong("Six seeds give the same split: shuffle the stems with the seed.")
    wide = [word for i in range(5) for word in _family(rng, i, 9)]
    _check_split(answer, wide, 2, 9, seed)  # the first stem is far more than is wanted
    for valid in (0, len(words)):  # of the last words: none, and all
        _check_split(answer, words, valid, 1, seed)
    _check_no_order(answer, rng)


def _split(
    answer: Callable[..., Any], words: list[str], valid: int, seed: int
) -> tuple[list, list]:
    before = random.getstate()
    given = answer(list(words), _stem, valid, seed)
    if random.getstate() != before:
        raise Wrong(
            "It seeds or draws from the generator that all of Python shares. random.Random(seed) "
            "is one of your own."
        )
    if given is None:
        raise Wrong("It returns None. Is the `return` missing?")
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise Wrong("Return two lists of words: (training, validation).")
    for part in given:
        if not isinstance(part, tuple | list):
            kind = type(part).__name__
            raise Wrong(f"Return two lists of words: (training, validation); got a {kind}.")
    return list(given[0]), list(given[1])


def _check_split(
    answer: Callable[..., Any], words: list[str], valid: int, largest: int, seed: int
) -> list[str]:
    train, asked = _split(answer, words, valid, seed)
    both = Counter(train) + Counter(asked)
    if strange := set(both) - set(words):
        raise Wrong(
            f"{sorted(strange, key=str)[0]!r} is none of the words. Return words, not stems."
        )
    if lost := set(words) - set(both):
        raise Wrong(f"{len(lost)} of {len(words)} words are in neither part.")
    if max(both.values()) > 1:
        raise Wrong("A word is there twice, or in both parts.")
    if shared := {_stem(word) for word in train} & {_stem(word) for word in asked}:
        raise Wrong(
            f"{len(shared)} stems have words in both parts. Choose stems, and let all words of a "
            "stem go one way."
        )
    swapped = valid <= len(train) < valid + largest
    if swapped and not valid <= len(asked) < valid + largest:
        raise Wrong("The parts are the wrong way round: (training, validation).")
    if valid == 0 and asked:
        raise Wrong(f"valid is 0, and the validation part has {len(asked)} words.")
    if len(asked) < valid:
        raise Wrong(f"The validation part has {len(asked)} words; {valid} are wanted at least.")
    if len(asked) >= valid + largest:
        raise Wrong(
            f"The validation part has {len(asked)} words where {valid} are wanted. Stop at the "
            "first stem that reaches it, and count words, not stems."
        )
    return asked


def _check_no_order(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """Over many seeds a stem from any place must come into the validation part."""
    words = [f"{j}-{chr(97 + i)}" for i in range(8) for j in range(2)]
    seen: set[str] = set()
    for seed in range(60):  # a stem is left out by chance once in 30 million
        seen |= {_stem(word) for word in _split(answer, words, 4, 11 * seed + whole(rng, 0, 10))[1]}
    if len(seen) < 8:
        raise Wrong("Some stems never come into the validation part: shuffle all of them.")


# --- 15.3 ------------------------------------------------------------------------------------


def _rule(
    train: Sequence[tuple[str, int]], asked: Sequence[str], lengths: Sequence[int], **how: Any
) -> list[int]:
    """The rule, and its likely mistakes by `how`."""
    front, ties, most = how.get("front", False), how.get("ties", min), how.get("most", True)

    def cut(word: str, n: int) -> str:
        return word[:n] if front else word[len(word) - n :] if n else ""

    guesses = []
    for word in asked:
        for n in lengths:
            kinds = [
                kind for text, kind in train if n <= len(text) and cut(text, n) == cut(word, n)
            ]
            if kinds and n <= len(word):
                counts = Counter(kinds)
                best = max(counts.values()) if most else min(counts.values())
                guesses.append(ties(kind for kind, times in counts.items() if times == best))
                break
        else:
            guesses.append(-1)
    return guesses


def _words(rng: torch.Generator, count: int) -> list[str]:
    return ["".join("abc"[whole(rng, 0, 2)] for _ in range(whole(rng, 2, 7))) for _ in range(count)]


class _Round(NamedTuple):
    """One call: what was handed in, and the classes that came back."""

    train: list[tuple[str, int]]
    asked: list[str]
    longest: int
    given: list[int | None]

    def rule(self, lengths: Sequence[int], **how: Any) -> list[int]:
        """What the rule gives with endings of these lengths, and the majority after them."""
        train = how.pop("among", list)(self.train)
        return _rule(train, self.asked, [*lengths, *([0] * (0 not in lengths))], **how)


def check_by_ending(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """15.3: the class of the longest ending that training knows, down to none."""
    rounds: list[_Round] = []
    for longest in (4, 2, 1, 0, 3):
        classes = (2, 1, 4)
        train = [(w, classes[whole(rng, 0, 2)]) for w in dict.fromkeys(_words(rng, 40))]
        twice, first = train[0]  # a word may be there more than once, in another class too
        other = 1 if first != 1 else 4
        train += [(twice, other), (twice, other)]
        train += _tied(train)
        asked = [*_words(rng, 25), "zzzz", "za", twice, twice.upper(), "xQ", "xq"]
        given = answer(list(train), list(asked), longest)
        if given is None:
            raise Wrong("It returns None. Is the `return` missing?")
        if isinstance(given, str | dict) or not hasattr(given, "__len__"):
            raise Wrong("Return a list with a class for each word asked.")
        if len(given) != len(asked):
            raise Wrong(f"Return a class for each word: {len(asked)} were asked, got {len(given)}.")
        for kind in given:
            if isinstance(kind, str):
                raise Wrong(f"A class is a number, as in `train`; got the text {kind!r}.")
        given = [int(kind) if kind is not None else None for kind in given]
        rounds.append(_Round(train, asked, longest, given))
    wrong = [one for one in rounds if one.given != one.rule(range(one.longest, -1, -1))]
    if wrong:
        raise Wrong(_why(rounds, wrong[0]))


def _tied(train: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Words in capitals that make the two commonest classes of all equally common."""
    counts = Counter(kind for _, kind in train)
    (_, most), (second, times) = counts.most_common(2)
    return [("vQ", second) for _ in range(most - times)]


def _distinct(train: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return list(dict.fromkeys(train))


def _one_each(train: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return list(dict(train).items())


# what each mistake makes of (the longest ending), and how it departs from the rule
LIKELY: dict[str, tuple[Callable[[int], Sequence[int]], dict[str, Any]]] = {
    "This is the commonest class for every word. Look at its ending first.": (
        lambda longest: [0], {},
    ),
    "This takes the shortest ending that is known. Begin with the longest.": (
        lambda longest: range(1, longest + 1), {},
    ),
    "These are beginnings. Endings are at the other side: word[-n:].": (
        lambda longest: range(longest, -1, -1), {"front": True},
    ),
    "Of two equally common classes take the smaller number.": (
        lambda longest: range(longest, -1, -1), {"ties": max},
    ),
    "This is the rarest class of an ending. Take the commonest.": (
        lambda longest: range(longest, -1, -1), {"most": False},
    ),
    "It stops one letter short: endings of `longest` letters count too.": (
        lambda longest: range(longest - 1, -1, -1), {},
    ),
    "It looks at endings of `longest` letters alone. Where none is known, try a shorter one.": (
        lambda longest: [longest], {},
    ),
    "It looks at endings of more than `longest` letters.": (lambda longest: range(9, -1, -1), {}),
    "A pair that comes twice is counted once. `train` is a list: each pair counts.": (
        lambda longest: range(longest, -1, -1), {"among": _distinct},
    ),
    "A word that comes with two classes keeps one: a dict has a place for one. Each pair counts.": (
        lambda longest: range(longest, -1, -1), {"among": _one_each},
    ),
}  # fmt: skip


def _why(rounds: list[_Round], wrong: _Round) -> str:
    """The mistake that explains every round, or else where the first wrong one differs."""
    for message, (lengths, how) in LIKELY.items():
        if all(one.given == one.rule(lengths(one.longest), **how) for one in rounds):
            return message
    right = wrong.rule(range(wrong.longest, -1, -1))
    differs = [
        i for i, pair in enumerate(zip(wrong.given, right, strict=True)) if len(set(pair)) > 1
    ]
    place, unknown = differs[0], wrong.asked.index("zzzz")
    if unknown in differs:
        return (
            "For a word with no known ending, give the commonest class of all training words, the "
            "smallest number of equally common ones. (The ending of 0 letters is word[len(word):]; "
            "word[-0:] is the whole word.)"
        )
    return (
        f"With longest = {wrong.longest}, {wrong.asked[place]!r} got class {wrong.given[place]}. "
        "Which training words have the longest of its endings that any of them has, and what is "
        "their commonest class? Of equally common ones take the smallest number."
    )
