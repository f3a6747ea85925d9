"""Lesson 13, variants: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import check_dora_weight, check_pissa, check_rs_scaling
from .checks_training import check_loftq, check_loraplus_groups
from .own import MY_VERDICT

EXERCISES = [
    Exercise(
        name="rs_scaling",
        title="13.1 rsLoRA is another alpha",
        points=1,
        minutes=3,
        hints=(
            "Two divisions: by the root of r in rsLoRA, by r itself in plain LoRA.",
            "The second number, alpha', solves alpha' / r = alpha / sqrt(r).",
            "return lora_alpha / r**0.5, lora_alpha * r**0.5",
        ),
        check=check_rs_scaling,
        takes=("lora_alpha", "r"),
    ),
    Exercise(
        name="dora_weight",
        title="13.2 DoRA's weight",
        points=2,
        minutes=6,
        hints=(
            "Make V = W + s B A first. Each output is one row of V, and one number of m.",
            "lengths = V.norm(dim=1).detach(): one for each row. The gradient must not go through "
            "them, and must go through V.",
            "return (m / lengths)[:, None] * V",
        ),
        check=check_dora_weight,
        takes=("W", "A", "B", "m", "s"),
        differentiable=("A", "B", "m"),
    ),
    Exercise(
        name="pissa",
        title="13.3 PiSSA's start",
        points=3,
        minutes=8,
        hints=(
            "U, S, Vh = torch.linalg.svd(W, full_matrices=False): W = U diag(S) Vh, with the "
            "largest values first. The main part of rank r has the first r of each.",
            "The layer adds s B A, so s B A must be that part. Share S / s out: its root to the "
            "columns of U, its root to the rows of Vh.",
            "root = (S[:r] / s).sqrt(); B = U[:, :r] * root; A = root[:, None] * Vh[:r]; and what "
            "stays is W - s * B @ A.",
        ),
        check=check_pissa,
        takes=("W", "r", "s"),
    ),
    Exercise(
        name="loraplus_groups",
        title="13.4 LoRA+'s two rates",
        points=2,
        minutes=6,
        hints=(
            "model.named_parameters() gives names and parameters. Which of them train? Which are a "
            "B?",
            'A B has "lora_B" in its name. Put it in one list, all else that requires a gradient '
            "in another.",
            'return [{"params": slow, "lr": lr}, {"params": fast, "lr": ratio * lr}]',
        ),
        check=check_loraplus_groups,
        takes=("model", "lr", "ratio"),
    ),
    Exercise(
        name="loftq",
        title="13.5 LoftQ's start",
        points=3,
        minutes=8,
        hints=(
            "Begin with B A = 0. A turn has two halves: quantize what B A does not hold; then let "
            "B A hold what Q does not.",
            "Q = quantize(W - B @ A). Then the SVD of W - Q, cut to the first r: that is the new "
            "B A.",
            "U, S, Vh = torch.linalg.svd(W - Q, full_matrices=False); B = U[:, :r] * S[:r]; "
            "A = Vh[:r]. After the last turn return Q, A, B.",
        ),
        check=check_loftq,
        takes=("W", "quantize", "r", "steps"),
    ),
    MY_VERDICT,
]

CARDS = [
    Card(
        "What does DoRA add to LoRA, and what does it cost?",
        "A trained length for each output row, beside the direction W + s B A. Each step needs the "
        "lengths of W + s B A, so the product B A is made in full; a step takes longer.",
    ),
    Card(
        "rsLoRA at one rank: what is it?",
        "Plain LoRA with another alpha, sqrt(r) times as large. It says how alpha should grow with "
        "r; at one r it is nothing new.",
    ),
    Card(
        "What do PiSSA and OLoRA change that a plain adapter file does not hold?",
        "W itself: the part that A and B start with is taken out of it. For the original W the "
        "update is that of a plain adapter of twice the rank.",
    ),
    Card(
        "What does LoRA-FA save?",
        "A is frozen, so its gradient is not needed, nor the input x that it would be made of. "
        "Only A x is kept for the backward pass: r numbers a token.",
    ),
    Card(
        "LoRA+ changes the learning rate of what, and why is its own rate lower?",
        "Of B: ratio times that of A. B carries most of the update, so with a ratio of 16 the rate "
        "of A that works best is far below that of plain LoRA.",
    ),
    Card(
        "A paper shows that its variant beats LoRA at one learning rate. What do you ask?",
        "Is that rate LoRA's best, or the variant's? Was each tuned over as many rates with the "
        "best inside? How many seeds, and is the difference taken seed by seed?",
    ),
    Card(
        "What does LoftQ do before training starts?",
        "It makes A and B hold the main part of what quantizing took from W, and quantizes again "
        "what they do not hold. So training starts nearer to the model in floats.",
    ),
]

WHY = {
    "one_rate": "Each variant makes a step of another size at the same rate: by its scaling, by "
    "the rate of B, or by how large A and B start. A low rate favours the large steps.",
    "tuned": "A grid of its own takes from each variant what was only a step of another size. What "
    "is left are differences of the size of the seeds.",
    "trap": "With four times the scaling a step moves W further. At a rate below the best that "
    "looks like a better method; plain LoRA with four times the alpha does the same.",
    "cost": "DoRA needs the lengths of the rows of W + s B A in each step, so it makes the whole "
    "product B A, and the fast layers that plain LoRA trains with do not do that.",
}
"""Why each prediction came out as it did; shown after the comparison."""
