"""Hashes of what must not change while submissions run, and what did."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from .isolation import PACKAGE


def digests(folder: Path, pattern: str = "**/*") -> dict[str, str]:
    """{path: sha256} of every file below a folder; caches of bytecode aside."""
    files = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def guarded(course: Path) -> dict[str, str]:
    """The package, the sources, the release and nbgrader's settings."""
    found = digests(PACKAGE)
    for part in ("source", "release"):
        found |= digests(course / part)
    return found | digests(course, "*.py")


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The files that were changed, deleted or added."""
    return sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))


def one_hash(found: dict[str, str]) -> str:
    """One hash of all."""
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


def as_json(records: dict[str, str]) -> str:
    """Records as they are stored, one a line."""
    return json.dumps(records, indent=1, sort_keys=True)
