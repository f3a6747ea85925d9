"""What a lesson still owes to the rules of its pages: tests/open/NN.yml lists the rules' names.

A rule that is listed must fail for that lesson (a strict xfail), so whoever mends it takes its name
off the list. A lesson without a file owes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
LESSONS = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py"))
RULES = (
    "answers-from-data",
    "why",
    "alt-from-data",
    "core-minutes",
    "numbers",
    "still-once",
    "axe",
)


def open_points(number: str, folder: Path = ROOT / "tests" / "open") -> list[str]:
    """The rules that lesson `number` ("03") does not keep yet; ValueError for an unknown name."""
    path = folder / f"{number}.yml"
    if not path.exists():
        return []
    listed = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    if strange := sorted(set(listed) - set(RULES)):
        raise ValueError(f"{path.name} lists {strange}; the rules are {', '.join(RULES)}")
    return listed


def each_lesson(rule: str) -> pytest.MarkDecorator:
    """Parametrize `path` over the lessons' sources; those that owe `rule` must fail."""
    params = owing(rule, {path.name[:2]: path for path in LESSONS})
    return pytest.mark.parametrize("path", params)


def owing(rule: str, cases: Mapping[str, Any]) -> list[Any]:
    """The cases as pytest's parameters; an xfail where tests/open/NAME.yml lists `rule`."""
    params = []
    for name, case in cases.items():
        why = f"tests/open/{name}.yml lists {rule}: take it off when it is mended"
        owes = pytest.mark.xfail(strict=True, raises=AssertionError, reason=why)
        marks = [owes] if rule in open_points(name) else []
        params.append(pytest.param(case, id=name, marks=marks))
    return params
