"""The checks of lesson 02's model: which layers are replaced, and how far two updates overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.cases import first_wrong
from ..checks.core import Wrong, expect, number
from ..checks.lived import lived_in
from .checks import IN, OUT, draw

# --- 2.5 -------------------------------------------------------------------------------------


class _Adapted(nn.Module):
    """What the check's own `make` returns: the layer, frozen, and a factor that trains.

    Its names tell nothing, one of its parameters is frozen, and it is in eval mode.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.inner = linear.requires_grad_(False)
        self.delta = nn.Parameter(torch.zeros(1, linear.in_features))
        self.lora_fixed = nn.Parameter(torch.ones(1), requires_grad=False)
        self.training = False


class _PackedLinear(nn.Module):
    """Has all that a linear layer has, and is none: its weight is stored the other way round."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.ones(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))


def _model(rng: torch.Generator) -> nn.Module:
    """Two blocks with targets, near misses of their names, and targets that are not linear."""

    def block() -> nn.Module:
        return nn.ModuleDict(
            {
                "attn": nn.ModuleDict(
                    {
                        "q_proj": nn.Linear(4, 4),
                        "k_proj": nn.Linear(4, 4),
                        "v_proj": nn.Linear(4, 4, bias=False),
                        "old_q_proj": nn.Linear(4, 4),
                        "q_proj_2": nn.Linear(4, 4),
                        "q_gate": nn.Linear(4, 4),
                        "proj": nn.Linear(4, 4),
                    }
                ),
                "q_proj_mlp": nn.ModuleDict({"up": nn.Linear(4, 4)}),
                "others": nn.ModuleDict(
                    {
                        "q_proj": nn.Conv1d(4, 4, 1),
                        "v_proj": _PackedLinear(4, 4),
                        "k_proj": nn.Embedding(5, 4),
                    }
                ),
                "norm": nn.LayerNorm(4),
            }
        )

    model = nn.ModuleDict(
        {"embed": nn.Embedding(5, 4), "layers": nn.ModuleList([block(), block()])}
    )
    model["layers"][1]["attn"]["v_proj"] = nn.Identity()
    model["v_proj"] = nn.Linear(4, 4)
    return lived_in(model, rng)


WANTED = ["q_proj", "v_proj"]
RIGHT_NAMES = [
    "layers.0.attn.q_proj",
    "layers.0.attn.v_proj",
    "layers.1.attn.q_proj",
    "v_proj",
]


def check_inject(answer: Callable[..., Any], rng: torch.Generator) -> None:
    model = _model(rng)
    before = dict(model.named_modules())
    made: list[nn.Module] = []

    def make(linear: nn.Linear) -> nn.Module:
        if not isinstance(linear, nn.Linear):
            raise Wrong(
                f"make was given a {type(linear).__name__.lstrip('_')} that has a target's name. "
                "Only what isinstance(module, torch.nn.Linear) is replaced."
            )
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
    if names is None:
        raise Wrong("It returns None: return the full names of the replaced layers.")
    if isinstance(names, list | tuple) and not all(isinstance(name, str) for name in names):
        raise Wrong(f"Return the layers' names, as text; got a list of {type(names[0]).__name__}.")
    if not isinstance(names, list | tuple) or sorted(map(str, names)) != RIGHT_NAMES:
        raise Wrong(f"Return the full names of the replaced layers, {RIGHT_NAMES}; got {names!r}.")
    if len(made) != len(RIGHT_NAMES):
        raise Wrong(
            f"make was called {len(made)} times for {len(RIGHT_NAMES)} layers: once for each, or a "
            "random start is drawn that no layer has."
        )
    if any(adapter.training for adapter in made) or any(a.lora_fixed.requires_grad for a in made):
        raise Wrong("What make returned was changed: leave its mode and its requires_grad.")
    again = answer(model, list(WANTED), make)
    if len(made) > len(RIGHT_NAMES):
        raise Wrong(
            "Run a second time, as a notebook cell is, it puts LoRA inside LoRA: the inner layer's "
            "full name still contains a target. Compare the last part of the name only."
        )
    if not all(adapter.delta.requires_grad for adapter in made):
        raise Wrong(
            "Run a second time, as a notebook cell is, it freezes the adapters too, and nothing "
            "trains any more: freeze only when there is a layer to replace."
        )
    if not isinstance(again, list | tuple) or len(again):
        raise Wrong(f"A second run replaces nothing, so it returns an empty list; got {again!r}.")
    _check_other_runs(answer, model, make, rng)


def _check_other_runs(
    answer: Callable[..., Any], model: nn.Module, make: Any, rng: torch.Generator
) -> None:
    """Other names in the same model, another model, a layer that stands at its root."""
    names = answer(model, ["up"], make)
    wanted = ["layers.0.q_proj_mlp.up", "layers.1.q_proj_mlp.up"]
    if not isinstance(names, list | tuple) or sorted(names) != wanted:
        raise Wrong(
            f"A second run with other names, ['up'], must replace {wanted}; it returned {names!r}. "
            "What an earlier run did is not to be remembered."
        )
    other = _model(rng)
    names = answer(other, ["k_proj"], make)
    if sorted(names) != ["layers.0.attn.k_proj", "layers.1.attn.k_proj"]:
        raise Wrong(
            "In another model, with the name k_proj, it must replace layers.0.attn.k_proj and "
            f"layers.1.attn.k_proj; it returned {names!r}."
        )
    single = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    names = answer(single, ["0"], make)
    if list(names) != ["0"] or not isinstance(single[0], _Adapted):
        raise Wrong(
            "A layer right under the model, whose full name is its last part, was not replaced: "
            'its parent is the model, model.get_submodule("").'
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
    frozen = [
        name for name, p in parameters.items() if name.endswith(".delta") and not p.requires_grad
    ]
    if frozen:
        raise Wrong(
            f"The adapters are frozen too ({frozen[0]}): freeze the model first, then let make add "
            "what trains."
        )
    trained = [n for n, p in parameters.items() if p.requires_grad and not n.endswith(".delta")]
    if trained and trained[0].endswith("lora_fixed"):
        raise Wrong(
            f"{trained[0]} trains: make returned it frozen. Leave what make returns as it is."
        )
    if trained:
        raise Wrong(f"{trained[0]} still trains: freeze everything but what make adds.")


# --- 2.6 -------------------------------------------------------------------------------------


def _rows(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows)


_X, _Y, _Z = (3.0, 0, 0), (0, 2.0, 0), (0, 0, 2.0)
# directions along the axes, each with one thing more than those before
PLANES = (
    ("one direction of each, and they are the same", (_rows(_X), _rows(_X), 1, 1), 1.0),
    ("one of each, at right angles", (_rows(_X), _rows(_Y), 1, 1), 0.0),
    ("one of each, 45 degrees apart", (_rows((1.0, 0, 0)), _rows((1.0, 1, 0)), 1, 1), 0.5),
    ("one of each, 60 degrees apart", (_rows((1.0, 0, 0)), _rows((1.0, 3**0.5, 0)), 1, 1), 0.25),
    ("two of each, in one plane", (_rows(_X, _Y), _rows((0, 3.0, 0), (2.0, 0, 0)), 2, 2), 1.0),
    ("two of each, with one direction in common", (_rows(_X, _Y), _rows(_X, _Z), 2, 2), 0.5),
    ("one of M that lies in two of N", (_rows(_X, _Y), _rows(_X, _Y), 1, 2), 1.0),
    ("two of M that hold one of N", (_rows(_X, _Y), _rows(_X, _Y), 2, 1), 1.0),
    ("one of M half in two of N", (_rows((3.0, 0, 3.0)), _rows(_X, _Y), 1, 2), 0.5),
    ("the first of three rows", (_rows(_X, _Y, (0, 0, 1.0)), _rows(_Z), 1, 1), 0.0),
    ("more rows in M than in N", (_rows(_X, _Y, (0, 0, 1.0)), _rows(_X, _Z), 2, 2), 0.5),
)  # fmt: skip


def check_overlap(answer: Callable[..., Any], rng: torch.Generator) -> None:
    M = draw(rng, OUT, IN, dtype=torch.float64)
    N = M + 1.5 * draw(rng, OUT, IN, dtype=torch.float64)  # akin, so φ is well above chance
    for i, j in ((2, 5), (7, 3)):
        expect(
            answer(M.clone(), N.clone(), i, j),
            _phi(M, N, i, j),
            k=IN,
            mistakes=_overlap_mistakes(M, N, i, j),
            case=f"for two matrices ({OUT}, {IN}), i = {i} and j = {j}",
            factors={"i": i, "j": j, "out": OUT, "in": IN},
            otherwise=lambda: first_wrong(answer, PLANES),
        )
    # ranks that differ, as two A have; one row; tall; the same; at right angles; all directions
    for rows, other, width, i, j in (
        (5, 13, IN, 3, 11), (1, 8, IN, 1, 8), (IN, 37, 7, 2, 2), (9, 4, 11, 9, 4), (6, 6, 6, 6, 2),
    ):  # fmt: skip
        M, N = (_well_apart(rng, n, width) for n in (rows, other))
        case = f"for ({rows}, {width}) and ({other}, {width}), i = {i} and j = {j}"
        value = number(answer(M.float(), N.float(), i, j))
        otherwise = lambda: first_wrong(answer, PLANES)  # noqa: E731
        expect(value, _phi(M, N, i, j), k=8 * IN, case=case, otherwise=otherwise)
    Q = torch.linalg.qr(draw(rng, 8, 8, dtype=torch.float64)).Q
    values = torch.tensor([[3.0], [2.0], [1.5]], dtype=torch.float64)
    same = answer(values * Q[:3], values * Q[:3], 2, 3)
    axes = torch.eye(8, dtype=torch.float64)  # at right angles exactly, so nothing may divide by φ
    apart = answer(values * axes[:3], values * axes[4:7], 2, 3)
    if not abs(number(same) - 1) < 1e-4:
        raise Wrong(f"The first 2 of a matrix lie in its first 3, so φ is 1; got {same:.4g}.")
    if not abs(number(apart)) < 1e-4:
        raise Wrong(f"Subspaces at right angles have φ = 0; got {apart:.4g}.")


def _well_apart(rng: torch.Generator, rows: int, width: int) -> Tensor:
    """A random matrix whose singular values differ: else float32 cannot tell its directions."""
    U, S, Vh = torch.linalg.svd(draw(rng, rows, width, dtype=torch.float64), full_matrices=False)
    return U * torch.linspace(3.0, 1.0, len(S), dtype=torch.float64) @ Vh


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
    scaled = {
        "φ is divided by j: divide by min(i, j).": right * smaller / j,
        "φ is divided by i: divide by min(i, j).": right * smaller / i,
        "This is the square of φ.": right**2,
        "This is the root of φ: leave the squared norm as it is.": right.sqrt(),
        "It is cut at 1 in place of the division by min(i, j).": (right * smaller).clamp(max=1),
        "This is 1 - φ, a distance.": 1 - right,
        "This is in percent.": 100 * right,
        "What chance gives was subtracted: return φ itself.": right - max(i, j) / IN,
        "This is the largest cosine alone. Add the squares of all.": (Vh[:i] @ Qh[:j].T)
        .abs()
        .max(),
        "All directions were compared: cut to the first i and the first j.": (
            (Vh @ Qh.T).square().sum() / OUT
        ),
        "Only the best match of each direction was taken. Add the squares of all.": (
            (Vh[:i] @ Qh[:j].T).square().max(1).values.mean()
        ),
        "eigh returns the smallest eigenvalues first: these directions are the weakest.": energy(
            *(torch.linalg.eigh(X.T @ X)[1][:, :n].T for X, n in ((M, i), (N, j)))
        ),
        "Rows of the matrices were taken, at length 1. Take their singular vectors.": energy(
            *(torch.nn.functional.normalize(X[:n]) for X, n in ((M, i), (N, j)))
        ),
        "φ is divided by i + j: divide by min(i, j).": right * smaller / (i + j),
        "φ is divided by the mean of i and j: divide by min(i, j).": right * smaller * 2 / (i + j),
        "φ is divided by min(i, j) twice: is it divided before the square?": right / smaller,
        "The rows were centred before the SVD. Take the matrices as they are.": _phi(
            M - M.mean(0), N - N.mean(0), i, j
        ),
        "φ is divided by the root of i * j: divide by min(i, j).": right * smaller / (i * j) ** 0.5,
        "Counting starts at 0: the first i are Vh[:i], not Vh[1:i + 1].": energy(
            Vh[1 : i + 1], Qh[1 : j + 1]
        ),
        "One vector too many was taken of each: the first i are Vh[:i].": energy(
            Vh[: i + 1], Qh[: j + 1]
        ),
        "This is the square of the largest cosine. Add the squares of all.": (
            torch.linalg.matrix_norm(Vh[:i] @ Qh[:j].T, 2).square()
        ),
        "The nuclear norm was taken. The Frobenius norm adds the squares of all entries.": (
            torch.linalg.matrix_norm(Vh[:i] @ Qh[:j].T, "nuc").square() / smaller
        ),
        "The first rows were cut out before the SVD. Cut its Vh.": energy(
            torch.linalg.svd(M[:i], full_matrices=False).Vh,
            torch.linalg.svd(N[:j], full_matrices=False).Vh,
        ),
    }
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
        **scaled,
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
