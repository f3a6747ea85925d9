"""Where the learner's notebooks are: remembered, so that `progress` finds them from anywhere."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from lora_lessons.app.lab import DEFAULT_FOLDER, HANDED_OUT
from lora_lessons.storage import write_whole


def note() -> Path:
    """The file that holds the folder which `lab` used last."""
    from platformdirs import user_data_dir

    return Path(os.environ.get("LORA_LESSONS_HOME") or user_data_dir("lora-lessons")) / "folder.txt"


def remember(folder: Path) -> None:
    """Keep the folder; where that cannot be written, nothing is lost but the convenience."""
    with suppress(OSError):
        write_whole({note(): str(folder.resolve()).encode()})


def learners_folder(given: Path | None) -> Path:
    """The folder that was given; else here, else my-lessons here, else what `lab` used last."""
    if given is not None:
        return given.expanduser()
    for here in (Path(), DEFAULT_FOLDER):
        if (here / HANDED_OUT).is_file():
            return here
    try:
        kept = Path(note().read_text("utf-8"))
    except (OSError, ValueError):
        return DEFAULT_FOLDER
    return kept if kept.is_dir() else DEFAULT_FOLDER
