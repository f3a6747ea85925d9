"""What a blank file may be: at most 120 lines, and imports of torch, safetensors and Python's own.

The text is read, not run. Refused besides is what reaches past the file: other packages, processes,
frames of the tests, text that is run as code.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from ..checks.guard import PEEKING

LINES, WIDTH = 120, 100
PACKAGES = ("torch", "safetensors")
CLOSED = (
    *("builtins", "code", "codeop", "ctypes", "gc", "importlib", "inspect", "marshal", "pkgutil"),
    *("multiprocessing", "runpy", "signal", "site", "socket", "subprocess", "sys", "threading"),
    *("_thread", "traceback", "unittest", "asyncio", "concurrent", "urllib", "http"),
)
"""Python's own modules that reach into the interpreter or out of the process."""
RUNS_TEXT = ("exec", "eval", "compile", "__import__", "globals", "breakpoint")
REACHES = PEEKING | {"__globals__", "__builtins__", "__subclasses__", "__loader__", "sys"}


class Refused(ValueError):
    """The file is not one that the test takes; the message says why."""


def read_source(handed_in: str | Path) -> str:
    """The text of a file, or the text itself where it has more than one line.

    Raises Refused for a path at which there is no file of text.
    """
    if isinstance(handed_in, str) and "\n" in handed_in:
        return handed_in
    path = Path(handed_in).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise Refused(f"{path} cannot be read: {reason}.") from None


def look(text: str) -> None:
    """Raise Refused, with all that is wrong, unless the text keeps the rules."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise Refused(f"Line {error.lineno} is no Python: {error.msg}.") from None
    problems = [*_too_long(text), *_imports(tree), *_reaches(tree)]
    if problems:
        raise Refused(" ".join(problems))


def _too_long(text: str) -> Iterator[str]:
    lines = text.strip("\n").splitlines()
    if len(lines) > LINES:
        yield f"The file has {len(lines)} lines, blank ones too; {LINES} are allowed."
    wide = [number for number, line in enumerate(lines, 1) if len(line) > WIDTH]
    if wide:
        yield f"Lines of more than {WIDTH} characters: {', '.join(map(str, wide[:5]))}."


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "" if not node.level else "." * node.level]
        else:
            continue
        for name in names:
            if problem := _import_problem(name):
                yield f"Line {node.lineno}: {problem}"


def _import_problem(name: str) -> str | None:
    top = name.split(".")[0]
    if top in PACKAGES or (top in sys.stdlib_module_names and top not in CLOSED):
        return None
    if top in CLOSED:
        return f"{top} reaches past the file, and is not needed."
    return f"only torch, safetensors and Python's own modules may be imported, not {name!r}."


def _reaches(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in RUNS_TEXT:
            yield f"Line {node.lineno}: {node.id} is not needed, and not allowed."
        elif isinstance(node, ast.Attribute) and node.attr in REACHES:
            yield f"Line {node.lineno}: .{node.attr} reaches past the file."
