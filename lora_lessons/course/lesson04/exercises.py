"""Lesson 04, dropout: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import check_dropped_branch, check_implied_penalty
from .checks_layer import check_DropoutLora
from .checks_measuring import check_measure_quietly, check_stopping_report
from .own import MY_DROPOUT

EXERCISES = [
    Exercise(
        name="dropped_branch",
        title="4.1 The branch with a mask",
        points=2,
        minutes=5,
        hints=(
            "Mask x first, then multiply by A and B as always.",
            "noise >= p has the shape of x: True where an element is kept. Divide what is kept by "
            "1 - p.",
            "scaling * (x * (noise >= p) / (1 - p)) @ A.T @ B.T",
        ),
        check=check_dropped_branch,
        takes=("x", "noise", "A", "B", "scaling", "p"),
        because={"x": "The base still needs all of x."},
    ),
    Exercise(
        name="DropoutLora",
        title="4.2 The layer, in training and in evaluation",
        points=3,
        minutes=8,
        hints=(
            "torch.nn.Dropout(p) draws a new mask at each call, divides by 1 - p, and does nothing "
            "in evaluation mode. Make one in __init__.",
            "forward has two paths. The base gets x as it is; the branch gets self.dropout(x).",
            "return self.linear(x) + self.scaling * (self.dropout(x) @ self.A.T @ self.B.T)",
        ),
        check=check_DropoutLora,
        takes=("linear", "A", "B", "scaling", "p"),
        mutates=("A.requires_grad", "B.requires_grad"),  # they train as they are, or in a Parameter
        because={"x": "Leave out inplace=True: others still read x."},
    ),
    Exercise(
        name="implied_penalty",
        title="4.3 The penalty that dropout implies",
        points=2,
        minutes=6,
        hints=(
            "Three pieces: the factor p / (1 - p), the mean square of each feature, the squared "
            "length of each column of the update.",
            "X.square().mean(0) has one number for each feature. So has (W_tuned - W_base)"
            ".square().sum(0).",
            "p / (1 - p) * (X.square().mean(0) * delta.square().sum(0)).sum()",
        ),
        check=check_implied_penalty,
        takes=("X", "W_base", "W_tuned", "p"),
    ),
    Exercise(
        name="measure_quietly",
        title="4.4 Measure without the noise",
        points=2,
        minutes=7,
        hints=(
            "Before: remember the mode of every module, then model.eval(). After: put them back.",
            "`modes = [(module, module.training) for module in model.modules()]` remembers them. "
            "torch.no_grad() turns gradients off.",
            "try: with torch.no_grad(): return measure(model). finally: for module, mode in modes: "
            "module.training = mode.",
        ),
        check=check_measure_quietly,
        takes=("model", "measure"),
    ),
    Exercise(
        name="stopping_report",
        title="4.5 Where to stop, and what it saves",
        points=1,
        minutes=5,
        hints=(
            "The place is an index: that of the lowest validation loss.",
            "Read the test loss at that index. Going on costs the last test loss minus that one.",
            "at = valid.index(min(valid)); return at, test[at], test[-1] - test[at]",
        ),
        check=check_stopping_report,
        takes=("train", "valid", "test"),
    ),
    MY_DROPOUT,
]

CARDS = [
    Card(
        "What does lora_dropout drop?",
        "Elements of the input of the LoRA branch, in training. The base path sees the whole "
        "input, always.",
    ),
    Card(
        "Why is what is kept divided by 1 - p?",
        "So that the branch's mean over the masks is the branch without a mask. Evaluation then "
        "needs no correction, and neither does merging.",
    ),
    Card(
        "Which penalty does it imply for a squared loss?",
        "p / (1 - p) times the sum over features j of E[x_j^2] times the squared length of column "
        "j of the update. It pulls the update to zero, and so the model to the base.",
    ),
    Card(
        "What is left of lora_dropout in a merged weight?",
        "Nothing. W + s B A has no p in it, and model.train() brings no noise back.",
    ),
    Card(
        "The last validation loss falls steeply with p. Is a high p better?",
        "Look at the best loss too, each p at its own learning rate. A last loss above the best "
        "says first of all: stop earlier.",
    ),
    Card(
        "Why is the training loss of a run with dropout no measure of how well it fits?",
        "It is taken with the masks on, so it is above the loss of the same weights without them.",
    ),
]

WHY = {
    "penalty_ratio": "p / (1 - p) is the odds of being dropped: 9 at p = 0.9 and 1/9 at 0.1, so 81 "
    "times. The penalty does not grow as p does.",
    "best_p": "Each seed's rate is chosen on the other seeds. What then lies in the noise is not "
    "told apart: stopping early does by itself what a light dropout does.",
    "delay": "A step at p = 0.9 sees a tenth of the features, each ten times as large: a noisy "
    "gradient whose mean is right. Steps are spoilt, not lost.",
    "smollm2": "At its best rate SmolLM2 hardly over-fits within 240 steps, so there is little to "
    "prevent, and the noise still slows it.",
}
