"""Which cells need not run for the marks: experiments and plots that no answer hangs on.

A cell of the release that is not graded, was not changed and binds no name that a kept cell reads
is left out. Answers, checks, the first code cell and every cell of the student's own are kept, and
so is what they read, and what that reads.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator

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
        read = {name for i in kept for name in (names[i] or words_of(code[i]))[1]}
        needed = {i for i in out - kept if names[i][0] & read}
        if not needed:
            return out - kept
        kept |= needed


def names_of(source: str) -> tuple[set[str], set[str]] | None:
    """(global names bound, global names read) by a cell; None if it is no plain Python.

    A function's own names are neither: `U` in an answer is not the `U` of a plot.
    """
    try:
        nodes = list(ast.walk(ast.parse(source)))
        table = symtable.symtable(source, "<cell>", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return None
    bound = {base for node in nodes if (base := _changed(node))}
    read = set(bound)
    for scope in _scopes(table):
        for symbol in scope.get_symbols():
            if scope is table or symbol.is_global():
                binds = symbol.is_assigned() or symbol.is_imported()
                bound |= {symbol.get_name()} if binds else set()
                read |= {symbol.get_name()} if symbol.is_referenced() else set()
    return bound, read


def words_of(source: str) -> tuple[set[str], set[str]]:
    """Of a cell that is no plain Python, such as one under `%%time`: each word may be read."""
    return set(), set(re.findall(r"[^\W\d]\w*", source))


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)


def _changed(node: ast.AST) -> str | None:
    """`x` of a statement that sets `x.y` or `x[i]`."""
    if not isinstance(node, ast.Attribute | ast.Subscript) or isinstance(node.ctx, ast.Load):
        return None
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
