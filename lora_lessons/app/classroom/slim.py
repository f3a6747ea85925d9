"""Which cells need not run for the marks: experiments and plots that no answer hangs on.

A cell of the release that is not graded, was not changed and binds no name that a kept cell reads
is left out. Answers, checks, the first code cell and every cell of the student's own are kept, and
so is what they read, and what that reads.
"""

from __future__ import annotations

import ast

from nbformat import NotebookNode

from .notebooks import grade_id


def left_out(cells: list[NotebookNode], released: list[NotebookNode]) -> set[int]:
    """The positions of the code cells that need not run."""
    plain = [c.source for c in released if c.cell_type == "code" and grade_id(c) is None]
    droppable = set(plain[1:])  # the first one is the setup
    code = {i: cell.source for i, cell in enumerate(cells) if cell.cell_type == "code"}
    names = {i: names_of(source) for i, source in code.items()}
    graded = {i for i in code if grade_id(cells[i]) is not None}
    out = {i for i in code if i not in graded and code[i] in droppable and names[i] is not None}
    kept = set(code) - out
    while True:
        read = {name for i in kept if names[i] for name in names[i][1]}
        needed = {i for i in out - kept if names[i][0] & read}
        if not needed:
            return out - kept
        kept |= needed


def names_of(source: str) -> tuple[set[str], set[str]] | None:
    """(names bound, names read) anywhere in a cell; None if it is no plain Python."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError):
        return None
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and _stores(node)}
    bound |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    bound |= {a.asname or a.name.split(".")[0] for n in nodes if _imports(n) for a in n.names}
    bound |= {base for node in nodes if (base := _changed(node))}
    return bound, {n.id for n in nodes if isinstance(n, ast.Name) and not _stores(n)}


def _stores(node: ast.Name) -> bool:
    return not isinstance(node.ctx, ast.Load)


def _imports(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _changed(node: ast.AST) -> str | None:
    """`x` of a statement that sets `x.y` or `x[i]`."""
    if not isinstance(node, ast.Attribute | ast.Subscript) or isinstance(node.ctx, ast.Load):
        return None
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
