"""Whose answer is it: last exercises that are right for another student's numbers."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nbformat import NotebookNode

from ...course.checks.own import agree
from ...course.lesson import lesson
from ...course.student import ALONE, clean_id
from .notebooks import grade_id

ARITHMETIC = (ast.Tuple, ast.Constant, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop, ast.Load)


def literal_answer(source: str) -> tuple[float, ...] | None:
    """The numbers that an answer's one `return` holds; None if there is more than arithmetic."""
    try:
        returned = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Return)]
        (value,) = filter(None, returned)
        nodes = list(ast.walk(value))
        if any(isinstance(n, ast.Pow) or not isinstance(n, ARITHMETIC) for n in nodes):
            return None
        numbers = eval(compile(ast.Expression(value), "<answer>", "eval"), {})
    except (SyntaxError, ValueError, TypeError, ArithmeticError, MemoryError, RecursionError):
        return None
    numbers = numbers if isinstance(numbers, tuple) else (numbers,)
    return numbers if all(type(number) in (int, float) for number in numbers) else None


def copied(
    submissions: dict[str, NotebookNode], said: dict[str, str], number: str
) -> Iterator[str]:
    """Name each answer that is wrong for its student and right for somebody else's numbers.

    Others are whoever handed in, the ids that the notebooks say, and "self-study", whose answers
    are public.
    """
    names = list(dict.fromkeys([*submissions, *map(clean_id, said.values()), ALONE]))
    for exercise in lesson(number).exercises.values():
        if exercise.own is None:
            continue
        right = {name: exercise.own.right(**exercise.own.of(name, number)) for name in names}
        for student, notebook in submissions.items():
            texts = [c.source for c in notebook.cells if grade_id(c) == exercise.name]
            fits = _fitting(literal_answer(texts[-1]) if texts else None, right)
            if fits and student not in fits:
                owners = [name for name in fits if name in submissions] or fits
                yield f"{student}: {exercise.name} answers the numbers of {', '.join(owners)}"


def _fitting(answer: tuple[float, ...] | None, right: dict[str, tuple[float, ...]]) -> list[str]:
    """Those whose right answer this is."""
    if answer is None:
        return []
    return [who for who, it in right.items() if len(it) == len(answer) and agree(answer, it)]
