"""The cells of docs/training.md's measured tables: numbers, ratios and names as it has them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import SHAPES

EAGER, PEFT, LIGER = "PEFT as it comes", "PEFT bf16, captured", "PEFT bf16, Liger"
OURS, WRITTEN, DROPOUT = "ours, compiled and captured", "ours, captured", "the same, dropout 0.05"
FLOOR = "frozen floor, compiled and captured"
DASH = "-"
Row = dict[str, Any]
Stored = Mapping[str, Row]  # the results by the name of their file


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def shown(value: float | None, digits: int, times: float = 1.0) -> str:
    """A number, or a dash where there is none."""
    return DASH if value is None else f"{value * times:.{digits}f}"


def milliseconds(row: Row) -> str:
    """A row's step, to three digits or so."""
    seconds = row.get("seconds")
    return shown(seconds, 0 if (seconds or 0) >= 1 else 1 if (seconds or 0) >= 0.0095 else 2, 1e3)


def ratio(row: Row, other: Row, key: str = "seconds", digits: int = 2) -> str:
    """A row's number by another's."""
    both = key in row and key in other
    return shown(row[key] / other[key] if both else None, digits)


def gib(row: Row, key: str = "peak_gib") -> str:
    """A row's memory."""
    return shown(row.get(key), 1)


def size(name: str) -> str:
    """A shape's name as the page has it: "1 B, 8 x 2048"."""
    found = re.match(r"(\d+)([MB]) (\d+)x(\d+)(.*)", name)
    assert found, name
    return f"{found[1]} {found[2]}, {found[3]} x {int(found[4]):,}{found[5]}"


def shapes_of(gpu: Row, large: bool) -> dict[str, Row]:
    """The stored rows by shape, in the benchmark's order; the 8 B shapes or the others."""
    stored = gpu["shapes"]
    return {n: stored[n]["rows"] for n in SHAPES if n in stored and n.startswith("8B") == large}


def where(*parts: Row) -> str:
    """A sentence on machine, libraries, days and commits."""
    about = [part["provenance"] for part in parts if "provenance" in part]
    each = {
        key: ", ".join(dict.fromkeys(str(one[key]) for one in about)) for key in ("device", "torch")
    }
    days = ", ".join(sorted({one["date"][:10] for one in about}))
    commits = ", ".join(dict.fromkeys(one["commit"][:7] for one in about))
    count = len(commits.split(", "))
    return f"{each['device']}, PyTorch {each['torch']}, {days}, commit{'s' * (count > 1)} {commits}"
