"""The checks of lesson 02's model: which layers are replaced, and how far two updates overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong, expect
from .checks import IN, OUT, draw

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
