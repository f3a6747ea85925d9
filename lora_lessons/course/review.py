"""Spaced review: which review cards are due, and when a card comes again.

A card that was known comes again after 1, 3 and 7 days, and then rests. One that was not known
begins anew, tomorrow. What was answered is kept beside the learner's notebooks, as the progress is,
whole or not at all. LORA_LESSONS_PROGRESS=0 turns the file off.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..storage import write_whole
from .cards import Card

FILE = ".lora-lessons-review.json"
DAYS = (1, 3, 7)
"""How long a card rests after it was known once, twice, three times in a row."""

Day = datetime.date


@dataclass(frozen=True)
class Numbered:
    """A card with its lesson. `key` names it by its question, so that its answer may be mended."""

    lesson: str
    card: Card

    @property
    def key(self) -> str:
        """The lesson, and a short hash of the question."""
        digest = hashlib.sha256(self.card.question.encode()).hexdigest()[:12]
        return f"{self.lesson}/{digest}"


def all_cards(lessons: Iterable[str]) -> list[Numbered]:
    """The review cards of these lessons, in their order."""
    found = []
    for number in lessons:
        module = importlib.import_module(f".lesson{number}.exercises", __package__)
        found += [Numbered(number, card) for card in module.CARDS]
    return found


@dataclass
class Review:
    """The cards, and what is known of each: {key: {"known": times in a row, "due": day}}.

    `today` is the clock, so that tests can set it.
    """

    cards: Sequence[Numbered]
    folder: Path = field(default_factory=Path.cwd)
    today: Any = Day.today
    kept: dict[str, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.kept = read(self.folder)

    def due(self) -> list[Numbered]:
        """The cards to ask today: those whose day has come, then those never asked, by lesson."""
        waiting = [one for one in self.cards if self._day(one) is not None]
        late = [one for one in waiting if self._day(one) <= self.today()]
        late.sort(key=self._day)
        return late + [one for one in self.cards if one.key not in self.kept]

    def _day(self, one: Numbered) -> Day | None:
        """The day on which a card comes again; None for one never asked, and one that rests."""
        due = self.kept.get(one.key, {}).get("due")
        return Day.fromisoformat(due) if due else None

    def answer(self, one: Numbered, known: bool) -> Day | None:
        """Keep an answer, and return the day on which the card comes again (None: it rests)."""
        times = self.kept.get(one.key, {}).get("known", 0) + 1 if known else 0
        wait = DAYS[times - 1] if 1 <= times <= len(DAYS) else None if times else DAYS[0]
        again = None if wait is None else self.today() + datetime.timedelta(days=wait)
        self.kept[one.key] = {"known": times, "due": again.isoformat() if again else ""}
        self._write()
        return again

    def _write(self) -> None:
        if os.environ.get("LORA_LESSONS_PROGRESS") == "0" or not self.folder.is_dir():
            return
        text = json.dumps(self.kept, indent=1, sort_keys=True)
        with suppress(OSError):  # a folder that cannot be written fails no review
            write_whole({self.folder / FILE: text.encode()})

    def summary(self) -> str:
        """How many cards are due, and when the next one comes."""
        due, resting = len(self.due()), sum(not k["due"] for k in self.kept.values())
        later = [day for one in self.cards if (day := self._day(one)) and day > self.today()]
        text = f"{due} of {len(self.cards)} review cards are due; {resting} are learnt."
        return f"{text} The next comes on {min(later).isoformat()}." if later and not due else text


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """What was kept in a folder; nothing of a file that is not there, or of a broken entry."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if _sound(value)}


def _sound(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("known"), int):
        return False
    try:
        return value.get("due") == "" or bool(Day.fromisoformat(value["due"]))
    except (KeyError, TypeError, ValueError):
        return False
