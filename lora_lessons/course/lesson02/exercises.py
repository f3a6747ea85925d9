"""Lesson 02, the LoRA layer: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import check_start_factors
from .checks_forward import check_forward_with_branch
from .checks_gradients import check_gradients_by_hand
from .checks_layer import check_AdaptedLinear
from .checks_model import check_inject, check_overlap
from .own import MY_GRADIENTS

EXERCISES = [
    Exercise(
        name="start_factors",
        title="2.1 The first values",
        points=1,
        minutes=3,
        hints=(
            "One factor must be zero for the layer to start unchanged, and the other must not be.",
            "B is torch.zeros(out_features, r). A is uniform between -1/sqrt(in) and 1/sqrt(in).",
            "A = torch.empty(r, in_features).uniform_(-bound, bound, generator=gen) with "
            "bound = 1 / math.sqrt(in_features).",
        ),
        check=check_start_factors,
        takes=("in_features", "out_features", "r", "gen"),
    ),
    Exercise(
        name="forward_with_branch",
        title="2.2 Base plus branch",
        points=1,
        minutes=3,
        hints=(
            "linear(x) is the base, bias included. Add one scaled term to it.",
            "A row x of shape (in,) becomes x @ A.T of shape (r,), and then @ B.T of shape (out,).",
            "r is A.shape[0]; return linear(x) + alpha / r * (x @ A.T @ B.T).",
        ),
        check=check_forward_with_branch,
        takes=("x", "linear", "A", "B", "alpha"),
        differentiable=("x", "A", "B"),
        dtype="input",
    ),
    Exercise(
        name="AdaptedLinear",
        title="2.3 Frozen is not no_grad",
        points=3,
        minutes=7,
        hints=(
            "__init__ keeps the linear, freezes it, and makes two nn.Parameter. forward is "
            "exercise 2.2, without any no_grad.",
            "linear.requires_grad_(False) freezes weight and bias. self.A = nn.Parameter(...) of "
            "shape (r, in), self.B = nn.Parameter(zeros) of shape (out, r).",
            "torch.empty(r, linear.in_features, dtype=linear.weight.dtype).uniform_(-bound, bound, "
            "generator=gen); forward: self.linear(x) + self.scaling * (x @ self.A.T @ self.B.T).",
        ),
        check=check_AdaptedLinear,
        takes=("linear", "r", "alpha", "gen"),
        mutates=("linear.requires_grad",),
    ),
    Exercise(
        name="gradients_by_hand",
        title="2.4 The gradients by hand",
        points=3,
        minutes=15,
        hints=(
            "Begin with h = x @ A.T, so that y = x @ W.T + scaling * h @ B.T. For y = h @ B.T "
            "the gradient of B is G.T @ h, and that of h is G @ B.",
            "Flatten batch and time first, so that each product sums over all rows: "
            "x.reshape(-1, in) and G.reshape(-1, out). grad_x keeps the shape of x.",
            "grad_B = s * G.T @ (x @ A.T); grad_A = s * (G @ B).T @ x; "
            "grad_x = G @ W + s * G @ B @ A.",
        ),
        check=check_gradients_by_hand,
        takes=("x", "G", "W", "A", "B", "scaling"),
        dtype="input",
    ),
    Exercise(
        name="inject",
        title="2.5 Into the model",
        points=3,
        minutes=15,
        hints=(
            "List the targets from model.named_modules() before you change anything. If there are "
            "any, freeze all of the model; then replace each target.",
            "name.rpartition('.') gives (parent's name, '.', last part). "
            "model.get_submodule(parent) returns the parent; the empty name is the model itself.",
            "A target has last in names and isinstance(module, nn.Linear). For each: "
            "setattr(model.get_submodule(parent), last, make(module)), and note the full name.",
        ),
        check=check_inject,
        takes=("model", "names", "make"),
        mutates=("model.modules", "model.requires_grad"),
    ),
    Exercise(
        name="overlap",
        title="2.6 The overlap of two subspaces",
        points=2,
        minutes=6,
        hints=(
            "The subspaces are spanned by right-singular vectors: rows of Vh, of both matrices.",
            "Vh_M[:i] @ Vh_N[:j].T holds the cosine of every vector of one with every vector of "
            "the other: (i, j).",
            "Square the cosines, add them all, divide by min(i, j).",
        ),
        check=check_overlap,
        takes=("M", "N", "i", "j"),
    ),
    MY_GRADIENTS,
]

WHY = {
    "first_step": "B moves by its gradient. A's gradient is zero while B is zero, but AdamW's "
    "decay is apart from the gradient: it shrinks every weight that is not zero.",
    "first_direction": "Both runs read the same kind of text through the same frozen W, which may "
    "be why they share directions. Their starts differ. How much is due to which was not "
    "measured.",
    "amplification": "The update's norm is several times what W does in the same few directions. "
    "Random directions would give more, so this says little of which directions they are.",
}

CARDS = [
    Card(
        "Why does LoRA start with B = 0 and A random, not with both zero?",
        "B = 0 makes the layer start as it was. B's gradient is s G^T x A^T, G the gradient by "
        "the output, and not zero because A is not. With both zero no gradient ever moves either.",
    ),
    Card(
        "W is frozen. Why must its product not run under no_grad?",
        "The layers below learn through it: the gradient of x is G W + s G B A. Under no_grad the "
        "first term is lost, silently, and only the topmost adapters learn the right thing.",
    ),
    Card(
        "A's gradient is zero at the first step. Does AdamW leave A where it is?",
        "Only without weight decay. With it, A is multiplied by 1 - lr * decay at every step, "
        "gradient or not.",
    ),
    Card(
        "What does the first SGD step of LoRA do to W?",
        "It adds -lr s^2 (G^T x) A^T A. G^T x is the gradient of W that full fine-tuning follows, "
        "seen through the r rows of A: a share of about r / in of its energy at a random start.",
    ),
    Card(
        "Two adapters have different A and B. Can they be the same adapter?",
        "Yes: B R and R^-1 A give the same product for every invertible R. Only B A has a meaning "
        "for the model's output. The next steps of training may still differ.",
    ),
    Card(
        "Two adapters overlap with phi = 0.3. Is that much?",
        "Compare with chance: two random subspaces have max(i, j) / width on average. At width "
        "4,096 and j = 8 that is 0.002; at width 64 and j = 64 it is 1.",
    ),
    Card(
        "An update has the amplification factor 8. Are its directions special?",
        "Not for that: random directions may give more. Compare ||U^T W V|| with chance, "
        "r ||W|| / sqrt(out in). On the decoder at r = 4 it is 2.7 times chance in q, 1.3 in v.",
    ),
]
