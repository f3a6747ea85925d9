"""`lora-lessons review`: the review cards that are due, one after the other, in a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ..course.review import Review

MOST = 20
YES, NO, QUIT = ("y", "yes"), ("n", "no"), ("q", "quit")


def ask(
    review: Review,
    most: int = MOST,
    read: Callable[[str], str] | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Ask at most `most` cards, and return how many were answered; each is kept at once.

    Enter shows the answer; y, n or q comes after it. The end of the input is a q.
    """
    read = read or input
    cards, answered = review.due()[:most], 0
    for place, one in enumerate(cards, 1):
        say(f"\n[{place}/{len(cards)}] lesson {one.lesson}: {one.card.question}")
        if _line(read, "Enter shows the answer, q ends. ") in QUIT:
            break
        say(one.card.answer)
        known = ""
        while known not in (*YES, *NO, *QUIT):
            known = _line(read, "Did you know it? y, n, or q to end. ")
        if known in QUIT:
            break
        again = review.answer(one, known in YES)
        say(f"It comes again on {again.isoformat()}." if again else "It is learnt.")
        answered += 1
    say(review.summary())
    return answered


def _line(read: Callable[[str], str], prompt: str) -> str:
    try:
        return read(prompt).strip().casefold()
    except EOFError:
        return QUIT[0]


def run_review(options: argparse.Namespace) -> int:
    """Ask the cards that are due in the learner's folder; 1 where there is none."""
    import sys

    from ..course.lesson import lesson_numbers
    from ..course.review import all_cards

    folder: Path = options.dir.expanduser()
    if not folder.is_dir():
        print(f"lora-lessons: no folder {folder}: `lora-lessons lab` makes it", file=sys.stderr)
        return 1
    known = lesson_numbers()
    if unknown := [number for number in options.lessons if number not in known]:
        print(
            f"lora-lessons: no lesson {unknown[0]!r}; there are {', '.join(known)}", file=sys.stderr
        )
        return 2
    ask(Review(all_cards(options.lessons or known), folder), options.most)
    return 0
