"""Lesson 00's question with the student's own numbers: the bytes of an adapter."""

from __future__ import annotations

from typing import Any

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw

Shape = tuple[int, int]


def draw(numbers: Draw) -> dict[str, Any]:
    """A model's blocks, the (out, in) of its q_proj and v_proj, a rank and a dtype."""
    width = 64 * numbers.whole(6, 64)
    return {
        "blocks": numbers.whole(10, 60),
        "q_proj": (width, width),
        "v_proj": (64 * numbers.whole(2, 5), width),
        "r": numbers.whole(3, 48),
        "bytes_per_number": 2 * numbers.whole(1, 2),
    }


def right(blocks: int, q_proj: Shape, v_proj: Shape, r: int, bytes_per_number: int) -> tuple[int]:
    """B (out, r) and A (r, in) for both layers of each block, in bytes."""
    return (blocks * r * (sum(q_proj) + sum(v_proj)) * bytes_per_number,)


def mistakes(
    blocks: int, q_proj: Shape, v_proj: Shape, r: int, bytes_per_number: int
) -> dict[str, Numbers]:
    """What each mistake gives."""
    size = blocks * bytes_per_number
    (q_out, q_in), (v_out, v_in) = q_proj, v_proj
    both = sum(q_proj) + sum(v_proj)
    return {
        "These are numbers, not bytes.": (blocks * r * both,),
        "This is one block of the model. Each block has a q_proj and a v_proj.": (
            r * both * bytes_per_number,
        ),
        "This is half of it: q_proj without v_proj, or A without B.": (size * r * sum(q_proj),),
        "v_proj has its own shape, and it is not that of q_proj.": (size * r * 2 * sum(q_proj),),
        "This is B alone. Each layer has an A of shape (r, in) as well.": (
            size * r * (q_out + v_out),
        ),
        "These are the layers themselves. Only A and B are in the file.": (
            size * (q_out * q_in + v_out * v_in),
        ),
    }


MY_ADAPTER_BYTES = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_adapter_bytes",
    title="0.5 The bytes of your own adapter",
    points=1,
    minutes=3,
    hints=(
        "Exercise 0.3 is this sum: your function does it, once you have listed the shapes.",
        "Each block holds one q_proj and one v_proj: the list is [q_proj, v_proj] * blocks.",
        "blocks * r * (out + in of q_proj, plus out + in of v_proj) * bytes_per_number.",
    ),
)
