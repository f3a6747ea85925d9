"""No check asks for `distance > tolerance`: nan would pass. `not distance <= tolerance` it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

COURSE = Path(__file__).resolve().parents[2] / "lora_lessons" / "course"
FILES = sorted([*COURSE.glob("lesson*/checks*.py"), *COURSE.glob("checks/*.py")])
REDUCED = {"max", "norm", "sum", "mean", "item"}


def comparisons(source: str) -> list[str]:
    """`abs(a - b) > 1e-3`, `x.abs().max() >= 1e-3 * scale`: one number above a small one."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(op, ast.Gt | ast.GtE) for op in node.ops)
        and _is_a_distance(node.left)
        and any(map(_is_small, node.comparators))
    ]


def _is_a_distance(node: ast.expr) -> bool:
    called = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    names = {f.id if isinstance(f, ast.Name) else getattr(f, "attr", "") for f in called}
    single = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)  # abs(x), of a float
    return ("abs" in names and (single or bool(names & REDUCED))) or "norm" in names


def _is_small(node: ast.expr) -> bool:
    numbers = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
    names = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    small = any(isinstance(number, float) and 0 < number < 0.1 for number in numbers)
    return small or any("toler" in name for name in names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_nan_is_no_small_distance(path):
    found = comparisons(path.read_text(encoding="utf-8"))
    assert not found, f"{path.name}: nan passes {found}; write `not ... <= ...`"


def test_a_comparison_that_lets_nan_by_is_found():
    assert comparisons("if (a - b).abs().max() > 1e-3 * scale: raise Wrong")
    assert comparisons("if abs(a - b) > tolerance: raise Wrong")
    assert comparisons("bad = (a - b).norm() >= 0.01")
    assert not comparisons("if not (a - b).abs().max() <= 1e-3: raise Wrong")
    assert not comparisons("big = expected.abs() > 1e-2")  # a mask, element by element
