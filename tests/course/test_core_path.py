"""A learner may leave out what is *extra*: no core cell needs a name that an extra cell made."""

from __future__ import annotations

import ast
import builtins
import re

import pytest
from lesson_minutes import Section, _read
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_source import grade_id, lesson_sources, read_source

SOURCES = lesson_sources([])
HEADING_IN_CODE = re.compile(r"^# (?:#{1,6} |%%)", re.MULTILINE)
OWN_SCOPE = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def code_cells(notebook):
    """(index, source, extra) of each code cell, by the headings above it."""
    above, levels = [Section("(the opening)", extra=False)], []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            yield index, cell.source, above[-1].extra
        elif not grade_id(cell):
            _read(cell.source, above, levels)


def names(tree: ast.AST) -> tuple[set[str], set[str]]:
    """(names that the code binds for the cells below, names that it takes from outside itself)."""
    bound, read = set(), set()
    for node in ast.iter_child_nodes(tree):
        inner, wanted = names(node)
        if isinstance(node, OWN_SCOPE):
            wanted, inner = wanted - inner, set()
        bound, read = bound | inner, read | wanted
    if isinstance(tree, ast.Name):
        (read if isinstance(tree.ctx, ast.Load) else bound).add(tree.id)
    elif isinstance(tree, ast.alias):
        bound.add((tree.asname or tree.name).split(".")[0])
    elif isinstance(tree, ast.arg):
        bound.add(tree.arg)
    elif isinstance(tree, ast.ExceptHandler) and tree.name:
        bound.add(tree.name)
    if isinstance(tree, ast.Module):
        bound |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        read -= {*dir(builtins)}
    return bound, read


def leaning_on_extra(notebook) -> list[str]:
    """Each core cell's names that only an extra cell above has made."""
    in_core, in_extra, found = set(), set(), []
    for index, source, extra in code_cells(notebook):
        bound, read = names(ast.parse(source))
        if extra:
            in_extra |= bound
            continue
        missing = (read & in_extra) - in_core - bound
        found += [f"cell {index}: {name}" for name in sorted(missing)]
        in_core |= bound
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem[:2])
def test_the_core_path_runs_without_the_extra_cells(source):
    assert leaning_on_extra(read_source(source)) == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem[:2])
def test_no_heading_and_no_cell_marker_is_lost_in_a_code_cell(source):
    cells = enumerate(read_source(source).cells)
    code = {index: cell.source for index, cell in cells if cell.cell_type == "code"}
    assert [index for index, text in code.items() if HEADING_IN_CODE.search(text)] == []


def test_a_core_cell_that_leans_on_an_extra_one_is_found():
    made = new_notebook(
        cells=[
            new_code_cell("import math\nkept = 1"),
            new_markdown_cell("## 1. More (*extra*)"),
            new_code_cell("run, kept = math.pi, 2"),
            new_markdown_cell("## 2. On (*core*)"),
            new_code_cell("def twice(run):\n    return [2 * run for run in (run, kept)]"),
            new_code_cell("print([run for run in (1, 2)], kept)"),
            new_code_cell("def later():\n    return run"),
            new_code_cell("run = 3\nprint(run)"),
            new_code_cell("print(run)"),
        ]
    )
    assert leaning_on_extra(made) == ["cell 6: run"]
