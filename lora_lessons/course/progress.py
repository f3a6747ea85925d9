"""What was solved: in this kernel for the notebook, and kept in a file for `lora-lessons progress`.

The file lies beside the learner's notebooks. It is written whole or not at all, and a folder that
cannot be written never fails a check. LORA_LESSONS_PROGRESS=0 turns the file off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ..storage import write_whole
from .checks.core import NOT_ATTEMPTED, RIGHT

FILE = ".lora-lessons-progress.json"


@dataclass(frozen=True)
class Summary:
    """Exercise title -> outcome in this kernel (None: the check did not run)."""

    outcomes: Mapping[str, str | None]

    @property
    def solved(self) -> int:
        """How many exercises are right."""
        return sum(outcome == RIGHT for outcome in self.outcomes.values())

    def __repr__(self) -> str:
        lines = [f"{title}: {outcome or NOT_ATTEMPTED}" for title, outcome in self.outcomes.items()]
        return "\n".join([*lines, f"{self.solved} of {len(self.outcomes)} exercises solved"])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(title)}</td><td>{escape(outcome or NOT_ATTEMPTED)}</td></tr>"
            for title, outcome in self.outcomes.items()
        )
        caption = f"{self.solved} of {len(self.outcomes)} exercises solved"
        return f"<table><caption>{caption}</caption>{rows}</table>"


def read(folder: Path) -> dict[str, dict[str, str]]:
    """Lesson number -> exercise -> outcome; empty where nothing was kept or the file is broken."""
    try:
        return json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def record(lesson: str, exercise: str, outcome: str, folder: Path | None = None) -> None:
    """Keep one outcome; an exercise once solved stays solved."""
    if os.environ.get("LORA_LESSONS_PROGRESS") == "0":
        return
    folder = folder or Path.cwd()
    kept = read(folder)
    answers = kept.setdefault(lesson, {})
    if outcome == NOT_ATTEMPTED or answers.get(exercise) in (RIGHT, outcome):
        return
    answers[exercise] = outcome
    if not folder.is_dir():
        return
    with suppress(OSError):
        write_whole({folder / FILE: json.dumps(kept, indent=1, sort_keys=True).encode()})
