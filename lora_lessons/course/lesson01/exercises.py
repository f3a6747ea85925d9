"""Lesson 01, rank decomposition: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import check_best_rank_k, check_split_update
from .checks_loss import check_loss_at_rank
from .checks_ranks import (
    check_largest_saving_rank,
    check_rank_for_energy,
    check_truncation_error,
)
from .own import MY_BUDGET

EXERCISES = [
    Exercise(
        name="best_rank_k",
        title="1.1 The best copy of rank k",
        points=2,
        minutes=5,
        hints=(
            "The SVD writes W as a sum of terms, the most important first. Keep k of them.",
            "Take the first k columns of U, the first k of S, and the first k rows of Vh.",
            "(U[:, :k] * S[:k]) scales the columns of U; multiply it by Vh[:k].",
        ),
        check=check_best_rank_k,
        takes=("W", "k"),
    ),
    Exercise(
        name="truncation_error",
        title="1.2 The error, without cutting",
        points=1,
        minutes=5,
        hints=(
            "What was left out is itself a matrix, with the singular values from k + 1 on.",
            "The Frobenius norm of a matrix is the root of the sum of its squared singular values.",
            "singular_values[k:] are the ones left out: square, sum, root.",
        ),
        check=check_truncation_error,
        takes=("singular_values", "k"),
        returns="number",
    ),
    Exercise(
        name="rank_for_energy",
        title="1.3 The rank that holds most of the energy",
        points=1,
        minutes=5,
        hints=(
            "Energy is squared: work with S * S.",
            "cumsum gives the energy of the first 1, 2, 3, ... values. Divide by its last entry, "
            "which is all of it.",
            "kept = (S * S).cumsum(0) / (S * S).cumsum(0)[-1]. Count the entries of kept that are "
            "still below the share, and add one.",
        ),
        check=check_rank_for_energy,
        takes=("singular_values", "share"),
        returns="int",
    ),
    Exercise(
        name="loss_at_rank",
        title="1.4 The loss that survives",
        points=3,
        minutes=12,
        hints=(
            "The update is layer.weight - W_base. Cut the update, not the weight.",
            "Keep a clone of the tuned weight first. `with torch.no_grad(): layer.weight.copy_(X)` "
            "writes into a layer.",
            "try: copy W_base + cut update, return measure(). finally: copy the clone back.",
        ),
        check=check_loss_at_rank,
        takes=("layer", "W_base", "k", "measure"),
        because={"W_base": "The next rank would start from it."},
    ),
    Exercise(
        name="split_update",
        title="1.5 Split an update",
        points=2,
        minutes=6,
        hints=(
            "Begin with the SVD of delta. B gets the columns of U, A the rows of Vh.",
            "Each factor takes the square root of S, so that their product has S once.",
            "root = (S[:r] / scaling).sqrt(); B = U[:, :r] * root; A = root[:, None] * Vh[:r].",
        ),
        check=check_split_update,
        takes=("delta", "r", "scaling"),
    ),
    Exercise(
        name="largest_saving_rank",
        title="1.6 The break-even rank",
        points=1,
        minutes=4,
        hints=(
            "Write down the inequality r * (in + out) < in * out and solve it for r.",
            "Whole-number division rounds down; equality must not count.",
            "Subtract 1 from in * out before you divide with //.",
        ),
        check=check_largest_saving_rank,
        takes=("in_features", "out_features"),
        returns="int",
    ),
    MY_BUDGET,
]

WHY = {
    "kept_at_rank_4": "The update has no sharp end: its singular values fall slowly. But the "
    "strongest directions carry more of the loss than of the energy, and rank 4 is a sixteenth of "
    "width 64.",
    "best_rank": "On all of Moby Dick there is more to learn than these ranks can hold in "
    "400 steps: each doubling helps a little, once its rate is its own.",
}

CARDS = [
    Card(
        "Which terms of the SVD does the best rank-k copy of a matrix keep?",
        "The k with the largest singular values. No other rank-k matrix has a smaller squared "
        "error (Eckart and Young).",
    ),
    Card(
        "What is the error of the best rank-k copy in the Frobenius norm?",
        "The square root of the sum of the squares of the singular values that were left out.",
    ),
    Card(
        "How many numbers do B and A hold for a layer of shape (out, in), and up to which rank is "
        "that a saving?",
        "r (in + out). It saves while r (in + out) < in * out: for a square layer, below half its "
        "width.",
    ),
    Card(
        "Is the update of a full fine-tune low-rank?",
        "No: many ranks are needed for 90 % of its energy. The loss needs fewer: on the decoder "
        "rank 8 of 256 keeps 56 % of the fall, rank 32 keeps 90 %.",
    ),
    Card(
        "Loss rises with r in someone's plot. What do you ask first?",
        "How alpha was chosen, whether the learning rate was tuned for each rank, how many seeds, "
        "and whether best or last loss is shown.",
    ),
]
