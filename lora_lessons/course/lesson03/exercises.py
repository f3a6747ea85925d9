"""Lesson 03, alpha and scaling: the exercises with their hints, and the review cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..cards import Card
from ..checks.core import Exercise
from . import checks, checks_laws, checks_runs
from .own import MY_ALPHAS

MODULES = (checks, checks_laws, checks_runs)


def _exercise(
    name: str, title: str, points: int, minutes: int, hints: Sequence[str], **contract: Any
) -> Exercise:
    first, second, third = hints
    wanted = f"check_{name}"
    check = next(getattr(m, wanted) for m in MODULES if hasattr(m, wanted))
    return Exercise(name, title, points, minutes, (first, second, third), check, **contract)


EXERCISES = [
    _exercise("adapted_weight", "3.1 The weight that the layer has", 1, 4, (
        "The card's \"effective weight = alpha / r\" is short for W + (alpha / r) B A.",
        "r is not given: it is the number of A's rows, A.shape[0].",
        "s = alpha / r, or alpha / math.sqrt(r) if stabilized. Return W + s * (B @ A).",
    ), takes=("W", "B", "A", "alpha", "stabilized"),
       because={"W": "It is frozen: return W + s * (B @ A)."}),
    _exercise("alpha_for", "3.2 Keep the scaling when r changes", 1, 5, (
        "Write the old scaling and the new one, set them equal, and solve for the new alpha.",
        "alpha / r stays if alpha grows as r; alpha / sqrt(r) stays if alpha grows as sqrt(r).",
        "ratio = new_r / old_r; return old_alpha * (math.sqrt(ratio) if stabilized else ratio).",
    ), takes=("new_r", "old_r", "old_alpha", "stabilized"), returns="number"),
    _exercise("first_update", "3.3 What the first step does to W", 2, 8, (
        "B starts at zero, so A has no gradient yet and only B moves. The update of W is s B A.",
        "The gradient of B is s * G @ A.T. SGD moves B by -lr times it; Adam by -lr times its "
        "sign (its first step divides each gradient by its own size).",
        "grad = s * G @ A.T; step = grad if sgd else torch.sign(grad); return -lr * s * step @ A.",
    ), takes=("G", "A", "s", "lr", "optimizer")),
    _exercise("same_run", "3.4 The same run without alpha", 2, 15, (
        "alpha x k equals B A being k times as large. Share it: A and B both sqrt(k) times.",
        "Then the gradients of A and B are smaller by sqrt(k). Adam does not notice, and its steps "
        "must be sqrt(k) times as long. SGD notices: its rate makes up for that too.",
        "lr times sqrt(k) for adamw and k for sgd; start_A is sqrt(k) for both; weight_decay is "
        "divided by what lr was multiplied by.",
    ), takes=("k", "lr", "weight_decay", "optimizer")),
    _exercise("power_law", "3.5 The exponent of a measured law", 2, 6, (
        "If y = c x^p, then log y = log c + p log x: a straight line, and p is its slope.",
        "Slope by least squares: sum of (a - mean a)(b - mean b) over sum of (a - mean a)², with "
        "a = log x and b = log y. First raise ValueError if any value is not above zero.",
        "a = torch.tensor(x).double().log(), b likewise; a = a - a.mean(), b = b - b.mean(); "
        "return (a @ b / (a @ a)).item().",
    ), takes=("x", "y"), returns="number"),
    _exercise("run_outcome", "3.6 Which runs broke", 2, 6, (
        "Ask in this order: is every loss finite? Is the end far above the base? Did it spike?",
        "excess = loss - base loss, step by step. The end is the mean of its last tenth: "
        "n = max(1, len(losses) // 10).",
        "Not all math.isfinite: diverged. sum(excess[-n:]) / n > margin: diverged. "
        "max(excess) > margin: spiked. Else stable.",
    ), takes=("losses", "untrained", "margin")),
    MY_ALPHAS,
]  # fmt: skip

CARDS = [
    Card(
        "What is the weight of a layer with LoRA, and where does lora_alpha stand in it?",
        "W + s B A with s = alpha / r, or alpha / sqrt(r) with use_rslora. alpha / r is the factor "
        "of the update, not the weight.",
    ),
    Card(
        "Is alpha a learning rate?",
        "Not the learning rate. With AdamW, alpha x k is the learning rate of B alone x k, or "
        "sqrt(k) on A and B with A started sqrt(k) times larger. It is never lr x k.",
    ),
    Card(
        "By how much does alpha x k change the first update, for SGD and for AdamW?",
        "SGD: k², since s is in B's gradient and again in s B A. AdamW: k, since its step does not "
        "grow with the gradient.",
    ),
    Card(
        "You raise r from 8 to 128 and leave lora_alpha = 8. What happens?",
        "The scaling falls from 1 to 0.0625. To keep it, raise alpha to 128 (to 32 with rsLoRA).",
    ),
    Card(
        "alpha fixed, A random: how does AdamW's first fall in loss change with r?",
        "With alpha / r not at all; with alpha / sqrt(r) as sqrt(r). With SGD: as 1 / r, and not "
        "at all.",
    ),
    Card(
        "Somebody says that a high alpha is unstable. What do you ask?",
        "What counts as unstable, at which learning rate, how many seeds; and whether a lower rate "
        "cures it.",
    ),
]

WHY = {
    "trap": "Adam's first step moves each entry of B by lr, whatever its gradient. s is 16 times "
    "smaller, A has 16 times as many rows: the sum stays. SGD's step would take off 16 times less.",
    "rslora": "Adam's fall grows as s r: s falls as 1 / sqrt(r), the rows grow as r, so sqrt(r) is "
    "left: 4 from 1 to 16.",
    "trap_later": "With alpha / r Adam's first step does not depend on r, and the larger rank can "
    "reach more. The warning about a smaller scaling is about SGD.",
    "use_rslora": "At alpha = 16 its scaling is 11 times LoRA's at r = 128, and its best rate is "
    "lower. Why a hundredth of a nat is left, these runs do not say.",
    "best_alpha": "A larger alpha wants a lower rate and then ends nearly where the others do: the "
    "bottom is flat, and rates a factor of three apart move the loss as much.",
}
