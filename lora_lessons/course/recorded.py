"""Recorded runs: results of full-size experiments on a GPU, with where they come from.

`python -m lora_lessons.experiments` makes the files in `lora_lessons/recorded/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ..errors import nearest_and_known

FOLDER = Path(__file__).resolve().parent.parent / "recorded"
REQUIRED = (
    "device",
    "torch",
    "transformers",
    "peft",
    "python",
    "date",
    "commit",
    "config",
    "seconds",
    "fingerprint",
)


@dataclass(frozen=True)
class Recorded:
    """The data of a recorded run, as its experiment returned it, and its provenance."""

    name: str
    data: Any
    provenance: Mapping[str, Any]

    def __repr__(self) -> str:
        of = self.provenance
        return (
            f"recorded {self.name}: {of['device']}, torch {of['torch']}, "
            f"transformers {of['transformers']}, PEFT {of['peft']}, {_seeds(of['config'])}"
            f"{of['date']}, commit {of['commit']}"
        )

    def _repr_html_(self) -> str:
        return f"<p><small>{escape(repr(self))}</small></p>"


def _seeds(config: Mapping[str, Any]) -> str:
    """The seeds in words, with a comma after them; nothing where the experiment has none."""
    seeds = sorted(config.get("seeds", [config["seed"]] if "seed" in config else []))
    if len(seeds) < 2:
        return f"seed {seeds[0]}, " if seeds else ""
    if seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]}-{seeds[-1]}, "
    return f"seeds {', '.join(map(str, seeds))}, "


def names(folder: Path = FOLDER) -> list[str]:
    """The recorded runs that there are."""
    return sorted(path.stem for path in folder.glob("*.json"))


def load(name: str, folder: Path = FOLDER) -> Recorded:
    """Return a recorded run.

    Raises ValueError for an unknown name (the nearest is named), for a file that is no JSON, and
    for one without its name, its data or a part of its provenance.
    """
    if name not in names(folder):
        raise ValueError(
            f"there is no recorded run {name!r}{nearest_and_known(name, names(folder))}"
        )
    try:
        content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        message = f"recorded run {name!r} is no valid JSON ({error}): restore the file"
        raise ValueError(message) from None
    provenance = content.get("provenance", {})
    missing = [key for key in ("name", "data") if key not in content]
    missing += [f"provenance.{key}" for key in REQUIRED if key not in provenance]
    if missing:
        raise ValueError(f"recorded run {name!r} lacks {', '.join(missing)}: record it again")
    return Recorded(content["name"], content["data"], provenance)


def benchmark(name: str) -> dict[str, Any]:
    """The stored results of `benchmarks/NAME.py`, "gpu" or "cpu": in the wheel, or in a clone.

    ValueError: there are none of that name.
    """
    folders = (FOLDER / "benchmarks", FOLDER.parent.parent / "benchmarks" / "results")
    for folder in folders:
        if (path := folder / f"{name}.json").exists():
            return json.loads(path.read_text(encoding="utf-8"))
    known = sorted({path.stem for folder in folders for path in folder.glob("*.json")})
    raise ValueError(f"there is no benchmark {name!r}{nearest_and_known(name, known)}")
