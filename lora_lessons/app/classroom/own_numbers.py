"""A student's own numbers, judged once more from the answer's text alone.

The notebook's check runs in the notebook's process, where a trick can work the right numbers out
or say that they are another student's. Here the text of the answer is all that is looked at: a
number that stands there is read, arithmetic is done by a Python that has neither the package nor
anything of the notebook, and the numbers are those of whose folder it is.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable

from IPython.core.inputtransformer2 import TransformerManager

from . import isolation

SECONDS = 10
HARMLESS = re.compile(r"\A\s*%%(?:time|capture)\b.*\n")  # a cell under them binds its names as ever
NO_NUMBER = (
    "The last answer must stand in its cell as a function that returns numbers, or works them out "
    "from numbers that stand there: nothing else is run when it is graded."
)
NOT_THEIRS = "The number in the answer's text is not the answer to this student's numbers."
EVALUATE = """
import builtins, json, math, sys
source, name, allowed = json.load(sys.stdin)
space = {"math": math, "__builtins__": {n: getattr(builtins, n) for n in allowed}}
exec(source, space)
print(json.dumps(space[name]()))
"""


def fault_of_own(
    name: str, sources: Iterable[str], student: str, number: str, mode: str, room: isolation.Room
) -> str | None:
    """What speaks against an answer to the student's own numbers; None for any other exercise.

    `sources` are the texts of the code cells above its check, in their order.
    """
    from ...course.checks.own import agree  # torch comes with it: only where a check was right
    from ...course.lesson import lesson

    own = lesson(number).exercises[name].own
    if own is None:
        return None
    given = _numbers_of(name, sources, mode, room)
    if given is None:
        return NO_NUMBER
    right = own.right(**own.of(student, number))
    fits = len(given) == len(right) and agree(list(given), right)
    return None if fits else NOT_THEIRS


def _numbers_of(
    name: str, sources: Iterable[str], mode: str, room: isolation.Room
) -> tuple[float, ...] | None:
    from .copies import literal_answer

    source = last_definition(name, sources)
    if source is None:
        return None
    return literal_answer(source) or _worked_out(source, name, mode, room)


def last_definition(name: str, sources: Iterable[str]) -> str | None:
    """The text of the function that `name` stands for at the end; None if it is anything else."""
    found: str | None = None
    for source in sources:
        try:
            tree = ast.parse(TransformerManager().transform_cell(HARMLESS.sub("", source)))
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                node.decorator_list, node.returns = [], None
                found = ast.unparse(node)
            elif isinstance(node, ast.Assign) and name in map(ast.unparse, node.targets):
                found = ast.unparse(node) if isinstance(node.value, ast.Lambda) else None
            elif name in _bound(node):
                found = None
    return found


def _bound(node: ast.stmt) -> set[str]:
    """The names that a statement binds anywhere in it, but for those of functions' insides."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _stores(n)}
    named = {n.name for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    imported = {n.asname or n.name for n in ast.walk(node) if isinstance(n, ast.alias)}
    return stored | named | imported


def _stores(name: ast.Name) -> bool:
    return not isinstance(name.ctx, ast.Load)


def _worked_out(
    source: str, name: str, mode: str, room: isolation.Room
) -> tuple[float, ...] | None:
    """What the function returns in a Python of its own, with arithmetic in reach alone."""
    from ...course.checks.own import ARITHMETIC

    nodes = list(ast.walk(ast.parse(source)))
    names = [node.id for node in nodes if isinstance(node, ast.Name)]
    names += [node.attr for node in nodes if isinstance(node, ast.Attribute)]
    if any("__" in one for one in names):
        return None
    line = isolation.command(mode, room, [sys.executable, "-I", "-S", "-c", EVALUATE])
    try:
        done = subprocess.run(
            line,
            input=json.dumps([source, name, [*ARITHMETIC]]),
            env=isolation.environment(room),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            cwd="/" if room.account is not None else room.work,
        )
        numbers = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    numbers = tuple(numbers) if isinstance(numbers, list) else (numbers,)
    return numbers if all(type(number) in (int, float) for number in numbers) else None
