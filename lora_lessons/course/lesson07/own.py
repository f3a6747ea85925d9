"""Lesson 07's question with the student's own numbers: what counts in a batch, and its loss."""

from __future__ import annotations

import math
from typing import Any

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw

Row = list[int]


def draw(numbers: Draw) -> dict[str, Any]:
    """Three rows of a padded batch: tokens of the prompt and of all, and the answer's mean loss."""
    prompts = [numbers.whole(4, 30) for _ in range(3)]
    answers = [numbers.whole(5, 60) for _ in range(3)]
    tokens = [p + a for p, a in zip(prompts, answers, strict=True)]
    return {
        "padded_to": max(tokens) + numbers.whole(3, 20),
        "prompt_tokens": prompts,
        "all_tokens": tokens,
        "losses": [numbers.whole(100, 600) / 100 for _ in range(3)],
    }


def right(
    padded_to: int, prompt_tokens: Row, all_tokens: Row, losses: list[float]
) -> tuple[int, float]:
    """The answer tokens of the batch, and the mean loss over them."""
    counts = [n - p for n, p in zip(all_tokens, prompt_tokens, strict=True)]
    return sum(counts), sum(c * x for c, x in zip(counts, losses, strict=True)) / sum(counts)


def mistakes(
    padded_to: int, prompt_tokens: Row, all_tokens: Row, losses: list[float]
) -> dict[str, Numbers]:
    """What each mistake gives."""
    counts = [n - p for n, p in zip(all_tokens, prompt_tokens, strict=True)]
    total = sum(c * x for c, x in zip(counts, losses, strict=True))
    rows = len(counts)

    def weighed(by: Row) -> float:
        return sum(n * x for n, x in zip(by, losses, strict=True)) / sum(by)

    return {
        "These are in the wrong order: first the tokens that count, then the loss.": (
            total / sum(counts),
            sum(counts),
        ),
        "These are all real tokens, the prompts' too. A prompt is given, not predicted.": (
            sum(all_tokens),
            None,
        ),
        "This is the size of the batch: leave out the prompts and the padding.": (
            rows * padded_to,
            None,
        ),
        "These are the prompts' tokens. Those of the answers count.": (sum(prompt_tokens), None),
        "This weighs each row by all its tokens. Only those of its answer count.": (
            None,
            weighed(all_tokens),
        ),
        "This weighs each row by one token too few: the first of an answer counts too.": (
            None,
            weighed([count - 1 for count in counts]),
        ),
        "This is the perplexity. The loss is its logarithm.": (
            None,
            math.exp(total / sum(counts)),
        ),
        "The prompts are counted too. They are given, not predicted.": (
            sum(all_tokens) - rows,
            None,
        ),
        "The padding is counted too.": (rows * padded_to - sum(prompt_tokens), None),
        "Every place is counted: leave out the prompts and the padding.": (
            rows * (padded_to - 1),
            None,
        ),
        "The first token of each answer counts too: the prompt's last token predicts it.": (
            sum(counts) - rows,
            None,
        ),
        "The mean of the rows' means counts a short answer as much as a long one. Each token "
        "counts the same.": (None, sum(losses) / rows),
        "This is the sum. The loss is the mean over the tokens that count.": (None, total),
        "The sum is right, but it is divided by all tokens, prompts too.": (
            None,
            total / sum(all_tokens),
        ),
        "The sum is right, but it is divided by every place, padding too.": (
            None,
            total / (rows * padded_to),
        ),
    }


MY_LOSS = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_loss",
    title="7.7 Your own batch and its loss",
    points=1,
    minutes=4,
    hints=(
        "A token counts if it is part of an answer. The first one counts: the prompt predicts it.",
        "A row has all_tokens[i] - prompt_tokens[i] tokens that count, whatever it is padded to.",
        "Add up the tokens that count; then add up tokens times loss over the rows and divide by "
        "that number.",
    ),
)
