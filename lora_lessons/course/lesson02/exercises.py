"""Lesson 02, the LoRA layer: exercises with their checks and hints, and the review cards.

The checks of the layer itself (2.1 to 2.4) are in `checks.lesson02`; injection and overlap follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..cards import Card
from ..checks.core import Exercise, Wrong, expect
from .checks import (
    IN,
    OUT,
    check_AdaptedLinear,
    check_forward_with_branch,
    check_gradients_by_hand,
    check_start_factors,
    draw,
)
from .own import MY_GRADIENTS

# --- 2.5 -------------------------------------------------------------------------------------


class _Adapted(nn.Module):
    """What the check's own `make` returns: the layer, frozen, and a factor that trains."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.inner = linear.requires_grad_(False)
        self.A = nn.Parameter(torch.zeros(1, linear.in_features))


def _model() -> nn.Module:
    """Two blocks with targets, near misses of their names, and a target that is not linear."""

    def block() -> nn.Module:
        return nn.ModuleDict(
            {
                "attn": nn.ModuleDict(
                    {
                        "q_proj": nn.Linear(4, 4),
                        "k_proj": nn.Linear(4, 4),
                        "v_proj": nn.Linear(4, 4),
                        "old_q_proj": nn.Linear(4, 4),
                    }
                ),
                "q_proj_mlp": nn.ModuleDict({"up": nn.Linear(4, 4)}),
                "norm": nn.LayerNorm(4),
            }
        )

    model = nn.ModuleDict(
        {"embed": nn.Embedding(5, 4), "layers": nn.ModuleList([block(), block()])}
    )
    model["layers"][1]["attn"]["v_proj"] = nn.Identity()
    model["v_proj"] = nn.Linear(4, 4)
    return model


WANTED = ["q_proj", "v_proj"]
RIGHT_NAMES = [
    "layers.0.attn.q_proj",
    "layers.0.attn.v_proj",
    "layers.1.attn.q_proj",
    "v_proj",
]


def check_inject(answer: Callable[..., Any], rng: torch.Generator) -> None:
    model = _model()
    before = dict(model.named_modules())
    made: list[nn.Module] = []

    def make(linear: nn.Linear) -> nn.Module:
        if not isinstance(linear, nn.Linear):
            raise Wrong(f"make was given a {type(linear).__name__}: only nn.Linear layers adapt.")
        made.append(_Adapted(linear))
        return made[-1]

    names = answer(model, list(WANTED), make)
    dotted = [name for module in model.modules() for name in module._modules if "." in name]
    if dotted:
        raise Wrong(
            f"setattr with the full name made a new part, {dotted[0]!r}, and replaced nothing: set "
            "the last part of the name on the parent, model.get_submodule(parent)."
        )
    adapted = [name for name, module in model.named_modules() if isinstance(module, _Adapted)]
    _check_replaced(adapted, made, model, before)
    _check_only_factors_train(model)
    if not isinstance(names, list | tuple) or sorted(names) != RIGHT_NAMES:
        raise Wrong(f"Return the full names of the replaced layers, {RIGHT_NAMES}; got {names!r}.")
    answer(model, list(WANTED), make)
    if len(made) > len(RIGHT_NAMES):
        raise Wrong(
            "Run a second time, as a notebook cell is, it puts LoRA inside LoRA: the inner layer's "
            "full name still contains a target. Compare the last part of the name only."
        )
    if not all(adapter.A.requires_grad for adapter in made):
        raise Wrong(
            "Run a second time, as a notebook cell is, it freezes the adapters too, and nothing "
            "trains any more: freeze only when there is a layer to replace."
        )


def _check_replaced(
    adapted: list[str], made: list[nn.Module], model: nn.Module, before: dict[str, nn.Module]
) -> None:
    if not adapted and made:
        raise Wrong(
            "make was called, but the model has none of its layers: assigning to a local name "
            "changes nothing. Use setattr on the parent module."
        )
    if not adapted:
        raise Wrong("Nothing was replaced: look at all of model.named_modules(), at any depth.")
    extra = [name for name in adapted if name not in RIGHT_NAMES]
    missing = [name for name in RIGHT_NAMES if name not in adapted]
    elsewhere = [name for name in extra if name not in before]
    if elsewhere:
        raise Wrong(
            f"{elsewhere[0]} was put where no layer was: set it on the layer's own parent, "
            "model.get_submodule(parent)."
        )
    if extra:
        raise Wrong(f"{extra[0]} was replaced. The last part of its name must equal a target.")
    if missing:
        raise Wrong(f"{missing[0]} was not replaced: it ends in a target, and it is an nn.Linear.")
    for name in adapted:
        if model.get_submodule(name).inner is not before[name]:
            raise Wrong(
                f"{name} wraps another layer than its own: give make the layer of that name."
            )


def _check_only_factors_train(model: nn.Module) -> None:
    parameters = dict(model.named_parameters())
    frozen = [name for name, p in parameters.items() if name.endswith(".A") and not p.requires_grad]
    if frozen:
        raise Wrong(
            f"The adapters are frozen too ({frozen[0]}): freeze the model first, then let make add "
            "what trains."
        )
    trained = [n for n, p in parameters.items() if p.requires_grad and not n.endswith(".A")]
    if trained:
        raise Wrong(f"{trained[0]} still trains: freeze everything but what make adds.")


# --- 2.6 -------------------------------------------------------------------------------------


def check_overlap(answer: Callable[..., Any], rng: torch.Generator) -> None:
    M = draw(rng, OUT, IN, dtype=torch.float64)
    N = M + 1.5 * draw(rng, OUT, IN, dtype=torch.float64)  # akin, so φ is well above chance
    for i, j in ((2, 5), (7, 3)):
        expect(
            answer(M.clone(), N.clone(), i, j),
            _phi(M, N, i, j),
            k=IN,
            mistakes=_overlap_mistakes(M, N, i, j),
        )


def _phi(M: Tensor, N: Tensor, i: int, j: int) -> Tensor:
    """The trace of the product of the two projectors, divided by min(i, j)."""
    projectors = []
    for matrix, k in ((M, i), (N, j)):
        _, vectors = torch.linalg.eigh(matrix.T @ matrix)  # ascending
        leading = vectors[:, -k:]
        projectors.append(leading @ leading.T)
    return (projectors[0] * projectors[1]).sum() / min(i, j)


def _overlap_mistakes(M: Tensor, N: Tensor, i: int, j: int) -> dict[str, Tensor]:
    right, smaller = _phi(M, N, i, j), min(i, j)
    U, _, Vh = torch.linalg.svd(M, full_matrices=False)
    P, _, Qh = torch.linalg.svd(N, full_matrices=False)
    energy = lambda left, right: (left @ right.T).square().sum() / smaller  # noqa: E731
    return {
        "The norm is not squared: φ is the *squared* Frobenius norm over min(i, j).": (
            (right * smaller).sqrt() / smaller
        ),
        "Divided by max(i, j): divide by min(i, j), so that a contained subspace gives 1.": (
            right * smaller / max(i, j)
        ),
        "Divided by i * j: divide by min(i, j).": right * smaller / (i * j),
        "The division by min(i, j) is missing.": right * smaller,
        "i and j are exchanged: the first i vectors of M, the first j of N.": _phi(M, N, j, i),
        "The cosines were not squared one by one before they were added.": (
            (Vh[:i] @ Qh[:j].T).abs().sum() / smaller
        ),
        "These are the left-singular vectors, in the space of outputs. Use the rows of Vh.": (
            energy(U[:, :i].T, P[:, :j].T)
        ),
        "These are columns of Vh. Its rows are the singular vectors: Vh[:i].": (
            energy(Vh[:, :i].T, Qh[:, :j].T)
        ),
        "These are the last singular vectors. They come sorted, largest first.": (
            energy(Vh[-i:], Qh[-j:])
        ),
        "Only vectors of equal number were compared. Compare each of i with each of j.": (
            (Vh[:smaller] * Qh[:smaller]).sum(1).square().sum() / smaller
        ),
        "These are rows of the matrices themselves. Take their singular vectors first.": (
            energy(M[:i], N[:j])
        ),
        **_overlap_mistakes_of_choice(M, N, i, j, energy),
    }


def _overlap_mistakes_of_choice(
    M: Tensor, N: Tensor, i: int, j: int, energy: Callable[[Tensor, Tensor], Tensor]
) -> dict[str, Tensor]:
    """The formula is right, and other vectors are taken than the first i and the first j."""
    _, S, Vh = torch.linalg.svd(M)  # Vh is whole here: (in, in)
    _, T, Qh = torch.linalg.svd(N)
    fewest = min(i, j)
    return {
        "These are columns of Vh. Its rows are the singular vectors: Vh[:i]. Take full_matrices="
        "False.": energy(Vh[:, :i].T, Qh[:, :j].T),
        "All vectors were compared: take the first i of M, Vh[:i], and the first j of N.": (
            energy(Vh[:OUT], Qh[:OUT])
        ),
        "The same number was taken of both: the first i of M, and the first j of N.": (
            energy(Vh[:fewest], Qh[:fewest])
        ),
        "Vh[i] is one vector, and counting starts at 0. Vh[:i] holds the first i.": (
            energy(Vh[i : i + 1], Qh[j : j + 1])
        ),
        "The vectors were multiplied by their singular values. Only their directions count.": (
            energy(S[:i, None] * Vh[:i], T[:j, None] * Qh[:j])
        ),
        "This is the spectral norm. The Frobenius norm adds the squares of all entries.": (
            torch.linalg.matrix_norm(Vh[:i] @ Qh[:j].T, 2).square() / fewest
        ),
    }


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
    ),
    Exercise(
        name="gradients_by_hand",
        title="2.4 The gradients by hand",
        points=3,
        minutes=8,
        hints=(
            "Begin with h = x @ A.T, so that y = x @ W.T + scaling * h @ B.T. For y = h @ B.T "
            "the gradient of B is G.T @ h, and that of h is G @ B.",
            "Flatten batch and time first, so that each product sums over all rows: "
            "x.reshape(-1, in) and G.reshape(-1, out). grad_x keeps the shape of x.",
            "grad_B = s * G.T @ (x @ A.T); grad_A = s * (G @ B).T @ x; "
            "grad_x = G @ W + s * G @ B @ A.",
        ),
        check=check_gradients_by_hand,
    ),
    Exercise(
        name="inject",
        title="2.5 Into the model",
        points=3,
        minutes=8,
        hints=(
            "List the targets from model.named_modules() before you change anything. If there are "
            "any, freeze all of the model; then replace each target.",
            "name.rpartition('.') gives (parent's name, '.', last part). "
            "model.get_submodule(parent) returns the parent; the empty name is the model itself.",
            "A target has last in names and isinstance(module, nn.Linear). For each: "
            "setattr(model.get_submodule(parent), last, make(module)), and note the full name.",
        ),
        check=check_inject,
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
    ),
    MY_GRADIENTS,
]

CARDS = [
    Card(
        "Why does LoRA start with B = 0 and A random, not with both zero?",
        "B = 0 makes the layer start as it was. B's gradient is s G A^T (up to the sum over rows), "
        "which is not zero because A is not. With both zero no gradient ever moves either.",
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
        "It adds -lr s^2 G A^T A, where G is the full gradient: G seen through the r rows of A, a "
        "share of about r / in of its energy at a random start.",
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
