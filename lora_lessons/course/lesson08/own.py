"""Lesson 08's question with the student's own numbers: what a classifier trains, its macro F1."""

from __future__ import annotations

from typing import Any

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw

HIDDEN = 256  # of the encoder


def draw(numbers: Draw) -> dict[str, Any]:
    """A classifier on the encoder, with LoRA on query and value, and a table of counts."""
    table = [numbers.wholes(3, 1, 9) for _ in range(3)]
    for kind in range(3):
        table[kind][kind] += numbers.whole(11, 60) * (3 if kind == 0 else 1)
    return {
        "r": numbers.whole(2, 40),
        "adapted_blocks": numbers.whole(2, 5),
        "classes": numbers.whole(3, 60),
        "table": table,
    }


def _trained(r: int, blocks: int) -> int:
    return blocks * 2 * r * 2 * HIDDEN


def _f1(table: list[list[int]]) -> list[float]:
    said = [sum(row[kind] for row in table) for kind in range(3)]
    return [2 * table[kind][kind] / (sum(table[kind]) + said[kind]) for kind in range(3)]


POOLER = HIDDEN * HIDDEN + HIDDEN


def right(r: int, adapted_blocks: int, classes: int, table: list[list[int]]) -> tuple[int, float]:
    """LoRA on two square layers of each block, pooler and head whole; the mean of F1."""
    head = classes * HIDDEN + classes
    return _trained(r, adapted_blocks) + POOLER + head, sum(_f1(table)) / 3


def mistakes(
    r: int, adapted_blocks: int, classes: int, table: list[list[int]]
) -> dict[str, Numbers]:
    """What each mistake gives."""
    lora, head = _trained(r, adapted_blocks), classes * HIDDEN + classes
    hits, every = sum(table[kind][kind] for kind in range(3)), sum(map(sum, table))
    sizes = [sum(row) for row in table]
    weighted = sum(f1 * size for f1, size in zip(_f1(table), sizes, strict=True)) / every
    hit_rates = [table[kind][kind] / sum(table[kind]) for kind in range(3)]
    precisions = [table[kind][kind] / sum(row[kind] for row in table) for kind in range(3)]
    return {
        "These are in the wrong order: first the numbers that train, then macro F1.": (
            sum(_f1(table)) / 3,
            lora + POOLER + head,
        ),
        "This is the mean recall. Take F1 of each class, then the mean.": (
            None,
            sum(hit_rates) / 3,
        ),
        "This is the mean precision. Take F1 of each class, then the mean.": (
            None,
            sum(precisions) / 3,
        ),
        "This is the sum over the classes. Divide by their number.": (None, sum(_f1(table))),
        "The pooler is missing: it is trained whole, its weight and its bias.": (lora + head, None),
        "The head is missing: it is trained whole, its weight and its bias.": (lora + POOLER, None),
        "The biases of pooler and head are missing: they train too.": (
            lora + HIDDEN * HIDDEN + classes * HIDDEN,
            None,
        ),
        "This is LoRA alone. Pooler and head are trained whole.": (lora, None),
        "This is half of LoRA. Query and value are two layers, and each has A and B.": (
            lora // 2 + POOLER + head,
            None,
        ),
        "This is the accuracy. Macro F1 is the mean of F1 over the classes.": (None, hits / every),
        "This weighs each class by its size. Macro F1 weighs all alike.": (None, weighted),
    }


MY_CLASSIFIER = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_classifier",
    title="8.7 What your own classifier trains, and its macro F1",
    points=1,
    minutes=5,
    hints=(
        "Query and value are 256 x 256: each trains r (256 + 256) numbers. Pooler and head are "
        "trained whole.",
        "The pooler holds 256 x 256 + 256 numbers, the head classes x 256 + classes.",
        "Add up the three. For the second number, give the table to your table_macro_f1, as a "
        "tensor.",
    ),
)
