"""Lesson 02's question with the student's own numbers: two gradients by hand."""

from __future__ import annotations

from typing import Any

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw

Row = list[int]
R = 2


def draw(numbers: Draw) -> dict[str, Any]:
    """One token x (3), the gradient G (2) of the layer's output, A (2, 3), B (2, 2), alpha."""
    return {
        "x": numbers.wholes(3, 1, 9),
        "G": numbers.wholes(2, 1, 9),
        "A": [numbers.wholes(3, 1, 9) for _ in range(R)],
        "B": [numbers.wholes(R, 1, 9) for _ in range(2)],
        "lora_alpha": 1 + 2 * numbers.whole(1, 6),
    }


def _dot(left: Row, right: Row) -> int:
    return sum(a * b for a, b in zip(left, right, strict=True))


def right(x: Row, G: Row, A: list[Row], B: list[Row], lora_alpha: int) -> tuple[float, float]:
    """The gradients of A's entry [0][1] and of B's entry [1][0]."""
    s = lora_alpha / R
    return s * _dot([row[0] for row in B], G) * x[1], s * G[1] * _dot(A[0], x)


def mistakes(x: Row, G: Row, A: list[Row], B: list[Row], lora_alpha: int) -> dict[str, Numbers]:
    """What each mistake gives."""
    column = _dot([row[0] for row in B], G) * x[1]
    hidden = G[1] * _dot(A[0], x)
    s = lora_alpha / R
    return {
        "The scaling alpha / r is missing: it multiplies the branch, and so both gradients.": (
            column,
            hidden,
        ),
        "The scaling is missing in the first number.": (column, s * hidden),
        "The scaling is missing in the second number.": (s * column, hidden),
        "The scaling is alpha / r, not alpha. r is the number of A's rows.": (
            lora_alpha * column,
            lora_alpha * hidden,
        ),
        "A's gradient is zero only while B is. Here B has values.": (0, None),
        "For A the gradient G goes back through B's columns: G @ B, not B @ G.": (
            s * _dot(B[0], G) * x[1],
            None,
        ),
        "A's gradient is s (G B)^T x. A itself is not in it.": (
            s * _dot([row[0] for row in B], G) * A[0][1],
            None,
        ),
        "For B use h = A x: row 0 of A times x, not a column.": (
            None,
            s * G[1] * (A[0][0] * x[0] + A[1][0] * x[1]),
        ),
        "This is the entry [0][0] of B's gradient. Row 1 belongs to the output 1.": (
            None,
            s * G[0] * _dot(A[0], x),
        ),
        "This is the entry [1][1] of B's gradient. Column 0 belongs to row 0 of A.": (
            None,
            s * G[1] * _dot(A[1], x),
        ),
        "This is the entry [1][0] of A's gradient. The first index is the row.": (
            s * _dot([row[1] for row in B], G) * x[0],
            None,
        ),
        "This is the entry [0][1] of B's gradient. The first index is the row.": (
            None,
            s * G[0] * _dot(A[1], x),
        ),
    }


MY_GRADIENTS = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_gradients",
    title="2.8 Two gradients of your own",
    points=1,
    minutes=5,
    hints=(
        "The branch is s B (A x) with s = alpha / r, and r is the number of A's rows.",
        "The gradient of A is s (G B)^T x: its entry [0][1] needs column 0 of B, and x[1]. The "
        "gradient of B is s G^T h with h = A x: its entry [1][0] needs G[1] and h[0].",
        "s * (B[0][0] * G[0] + B[1][0] * G[1]) * x[1], and s * G[1] times row 0 of A times x.",
    ),
)
