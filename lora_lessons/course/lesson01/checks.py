"""The checks of lesson 01: the cut, its error, the rank, the factors, the loss.

Every expected value is computed here in float64, by other means than the package's own functions.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect

# In and out are unequal primes, so that a transposed or mixed-up shape cannot pass by chance.
OUT, IN = 23, 31


def _random_matrix(rng: torch.Generator) -> Tensor:
    """A matrix (23, 31) in float32 with well separated singular values."""
    left = torch.linalg.qr(torch.randn(OUT, OUT, generator=rng, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(IN, OUT, generator=rng, dtype=torch.float64)).Q
    values = 5.0 * 0.8 ** torch.arange(OUT, dtype=torch.float64)
    return ((left * values) @ right.T).float()


def _terms(W: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U (out, n), S (n,), Vh (n, in) in float64."""
    return torch.linalg.svd(W.double(), full_matrices=False)


def _best(W: Tensor, k: int) -> Tensor:
    U, S, Vh = _terms(W)
    return torch.einsum("ok,k,ki->oi", U[:, :k], S[:k], Vh[:k])


def check_best_rank_k(answer: Callable[..., Any], rng: torch.Generator) -> None:
    W = _random_matrix(rng)
    k = 3
    U, S, Vh = _terms(W)
    rows = torch.zeros_like(W, dtype=torch.float64)
    rows[:k] = W[:k].double()
    copy = answer(W.clone(), k)
    if _has_other_right_vectors(copy, W, k):
        raise Wrong("Vh is already transposed: use its first k rows as they are.")
    expect(
        copy,
        _best(W, k),
        k=IN,
        mistakes={
            "These are the smallest singular values. They come sorted, largest first.": (
                torch.einsum("ok,k,ki->oi", U[:, -k:], S[-k:], Vh[-k:])
            ),
            "This is what the cut leaves out: keep the first k terms, the largest.": (
                W.double() - _best(W, k)
            ),
            "This is the k-th term alone. Add up the first k.": _best(W, k) - _best(W, k - 1),
            "The square root of S is too much: the singular values stand between U and Vh once, as "
            "they are.": torch.einsum("ok,k,ki->oi", U[:, :k], S[:k].sqrt(), Vh[:k]),
            "The singular values are in it twice: S stands between U and Vh once.": (
                torch.einsum("ok,k,ki->oi", U[:, :k], S[:k].square(), Vh[:k])
            ),
            "These are the first k rows of W. Rank counts directions, not rows.": rows,
            "The singular values are missing between U and Vh.": U[:, :k] @ Vh[:k],
            "The matrix is not cut: this is W itself, of full rank.": W.double(),
            "This copy has rank k + 1: one term too many.": _best(W, k + 1),
            "This copy has rank k - 1: one term too few.": _best(W, k - 1),
        },
    )
    # through the eigenvalues of W W^T small singular values lose half of their digits
    expect(answer(W.clone(), OUT), W.double(), k=OUT * IN)


def _has_other_right_vectors(copy: Any, W: Tensor, k: int) -> bool:
    """True for U_k S_k M^T with columns of Vh, or others of length 1, in place of V's first k.

    Which columns Vh has depends on free signs, and past the rank on the routine. So this asks for
    what all of them share: the left vectors, the singular values, and orthogonal rows.
    """
    if not isinstance(copy, Tensor) or copy.shape not in ((OUT, IN), (OUT, OUT)):
        return False
    U, S, _ = _terms(W)
    copy, scale = copy.detach().double(), S[0]
    rows = U[:, :k].T @ copy  # (k, in)
    in_span = (U[:, :k] @ rows - copy).abs().max() < 1e-4 * scale
    if copy.shape == (OUT, OUT):  # the thin Vh: its columns are cut off, so they are shorter
        return bool(in_span and copy.any())
    lengths = (rows @ rows.T - S[:k].square().diag()).abs().max() < 1e-4 * scale**2
    other = (copy.abs() - _best(W, k).abs()).abs().max() > 1e-3 * scale
    return bool(in_span and lengths and other)


def check_truncation_error(answer: Callable[..., Any], rng: torch.Generator) -> None:
    S = torch.linalg.svdvals(_random_matrix(rng).double())
    k = int(torch.randint(3, 9, (1,), generator=rng))
    energy = S.square()
    expect(
        answer(S.float(), k),
        energy[k:].sum().sqrt(),
        k=OUT,
        mistakes={
            "This is the sum of the singular values. Add their squares, then take the root.": (
                S[k:].sum()
            ),
            "This is the next singular value alone, the error in the spectral norm.": S[k],
            "This is the relative error: it was divided by the norm of W.": (
                (energy[k:].sum() / energy.sum()).sqrt()
            ),
            "The square root is missing at the end.": energy[k:].sum(),
            "This is a share of the energy. The error is the root of what was left out.": (
                energy[k:].sum() / energy.sum()
            ),
            "These are two terms alone: the sum goes on to the last singular value.": (
                energy[k : k + 2].sum().sqrt()
            ),
            "This is a mean. Add the squares up, and divide by nothing.": (
                energy[k:].mean().sqrt()
            ),
            "This is the norm of the part that was kept. The error is what was left out.": (
                energy[:k].sum().sqrt()
            ),
            "One value too many was kept: the first k are kept, so the error starts at S[k].": (
                energy[k + 1 :].sum().sqrt()
            ),
            "One value too few was kept: the first k are S[:k], so the error starts at S[k].": (
                energy[k - 1 :].sum().sqrt()
            ),
        },
    )


def check_rank_for_energy(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for share in (0.9, 0.5):
        S = torch.linalg.svdvals(_random_matrix(rng).double())
        energy = S.square().cumsum(0) / S.square().sum()
        right = next(i + 1 for i, kept in enumerate(energy.tolist()) if kept >= share)
        plain = S.cumsum(0) / S.sum()
        by_values = next(i + 1 for i, kept in enumerate(plain.tolist()) if kept >= share)
        by_norm = next(i + 1 for i, kept in enumerate(energy.sqrt().tolist()) if kept >= share)
        _whole_number(answer(S.float(), share), right, {
            by_norm: "This is the rank for a share of the norm. Energy is its square: no root.",
            by_values: "This is the rank for the sum of S. Energy adds the squares, S * S.",
            right - 1: "This rank is one too small: it keeps less than the share.",
            right + 1: "This rank is one too large: one rank less still keeps the share.",
            OUT: "This is every singular value. Count from the largest on, until the share is "
            "reached.",
            -int(-share * OUT // 1): "This is a share of the number of singular values. "
            "The values are not equal: count their energy.",
        })  # fmt: skip

    reached = answer(torch.full((4,), 3.0), 0.25)  # squares and sums that are exact in any order
    _whole_number(reached, 1, {
        2: "Where a rank holds exactly the share, it is enough: at least is >=, not >.",
    })  # fmt: skip
    for whole in ([3.0, 2.0, 1.0], [3.0, 2.0, 1.0, 0.0, 0.0]):  # exact sums here too
        _whole_number(answer(torch.tensor(whole), 1.0), 3, {
            4: "For a share of 1 this is one rank more than there are values that are not zero.",
            5: "The last values are zero here: three hold all of the energy.",
        })  # fmt: skip


def check_split_update(answer: Callable[..., Any], rng: torch.Generator) -> None:
    delta, r, scaling = _random_matrix(rng), int(torch.randint(2, 6, (1,), generator=rng)), 7 / 3
    factors = answer(delta.clone(), r, scaling)
    if not (isinstance(factors, tuple | list) and len(factors) == 2):
        raise Wrong("Return two tensors, (B, A).")
    B, A = factors
    if not (isinstance(B, Tensor) and isinstance(A, Tensor)):
        raise Wrong("Return two tensors, (B, A).")
    if (shapes := (tuple(B.shape), tuple(A.shape))) == ((r, IN), (OUT, r)):
        raise Wrong("The factors are the wrong way round: return (B, A), B of shape (out, r).")
    if shapes != ((OUT, r), (r, IN)):
        raise Wrong(f"B must be (out, r) = ({OUT}, {r}) and A (r, in) = ({r}, {IN}); got {shapes}.")
    U, S, Vh = _terms(delta)
    best, squared = _best(delta, r), (U[:, :r] * S[:r].square()) @ Vh[:r]
    rooted = (U[:, :r] * S[:r].sqrt()) @ Vh[:r]
    expect(
        scaling * B.double() @ A.double(),
        best,
        k=IN,
        mistakes={
            "S is in both factors in full, so it appears squared. Give each its square root.": (
                squared
            ),
            "The singular values are missing from both factors.": U[:, :r] @ Vh[:r],
            "One factor lacks its square root of S: both take it, so that S is in it once.": rooted,
            "These are the smallest singular values. They come sorted, largest first.": (
                (U[:, -r:] * S[-r:]) @ Vh[-r:]
            ),
            "The root of the scaling is in one factor alone: give it to both.": (
                best * scaling**0.5
            ),
            "scaling * B @ A is too large by the scaling: divide the update by it once.": (
                scaling * best
            ),
            "The update was divided by the scaling twice: each factor takes its square root.": (
                best / scaling
            ),
            "The update was multiplied by the scaling. Divide by it: scaling * B @ A has it.": (
                scaling**2 * best
            ),
        },
    )
    lengths = B.double().norm(dim=0), A.double().norm(dim=1)
    if torch.allclose(lengths[0] * lengths[1], S[:r] / scaling, rtol=1e-3) and any(
        torch.allclose(length, S[:r].sqrt(), rtol=1e-3) for length in lengths
    ):
        raise Wrong(
            "The product is right, but one factor carries the scaling alone. Divide the singular "
            "values by it first; then each factor takes the root."
        )
    if not torch.allclose(*lengths, rtol=1e-3):
        raise Wrong(
            "The product is right, but the factors do not have the same share: give each the "
            "square root of the singular values."
        )


def check_largest_saving_rank(answer: Callable[..., Any], rng: torch.Generator) -> None:
    drawn = torch.randint(40, 900, (2,), generator=rng).tolist()
    # The square comes last: it breaks even exactly at 128, so counting equality shows there, while
    # an answer that is right for squares alone is told so before. For (256, 704) in * out /
    # (in + out) is just below a whole number, for (120, 400) just above: rounding shows.
    for in_, out in ((256, 704), (120, 400), (drawn[0], drawn[0] + drawn[1]), (256, 256)):
        right = max(r for r in range(min(in_, out)) if r * (in_ + out) < in_ * out)
        _whole_number(answer(in_, out), right, {
            min(in_, out) // 2: "Half the smaller side is right for a square only.",
            0: "B holds out * r numbers and A r * in: together r * (in + out), not r * in * out.",
            min(in_, out): "This is the full rank of W. Ask where r * (in + out) stays below "
            "in * out.",
            right - 1: "One rank more still saves. Subtract before the division, not after it.",
            right + 1: "At this rank B and A are as large as W or larger: equal is not smaller.",
        })  # fmt: skip


def _whole_number(actual: Any, right: int, mistakes: dict[int, str]) -> None:
    if isinstance(actual, Tensor) and actual.numel() == 1:
        actual = actual.item()
    if not isinstance(actual, numbers.Integral) or isinstance(actual, bool):
        raise Wrong(f"Return an int, a whole number; got {type(actual).__name__}.")
    if actual != right:
        raise Wrong(mistakes.get(int(actual), f"Expected {right}, got {actual}."))


def check_loss_at_rank(answer: Callable[..., Any], rng: torch.Generator) -> None:
    k = 2
    W_base, delta = _random_matrix(rng), 0.3 * _random_matrix(rng)
    # base + update is zero here and the tuned number is not: only a copy restores the weight
    one = divmod(int(delta.abs().argmax()), IN)
    W_base[one] = -delta[one]
    layer = torch.nn.Linear(IN, OUT, bias=False)
    with torch.no_grad():
        layer.weight.copy_(W_base + delta)
        layer.weight[one] = 1e-30
    tuned = layer.weight.detach().clone()
    # along the update, so that the loss tells its sign and its size in every draw
    probe = 2 * delta.double() + 0.1 * torch.randn(OUT, IN, generator=rng, dtype=torch.float64)

    def score(weight: Tensor) -> Tensor:
        return (probe * weight.double()).sum() + weight.double().square().sum()

    given = W_base.clone()
    result = answer(layer, given, k, lambda: score(layer.weight.detach()).item())
    update = tuned - W_base
    expect(
        result,
        score(W_base + _best(update, k)),
        k=OUT * IN,
        mistakes={
            "This cuts the whole tuned weight. Cut only its update, W_tuned - W_base.": (
                score(_best(tuned, k))
            ),
            "The base weight is missing: the layer needs W_base plus the cut update.": (
                score(_best(update, k))
            ),
            "This is the loss with the full update: measure after the cut.": score(tuned),
            "This is the loss of the base: the cut update was not added.": score(W_base),
            "The update has the wrong sign: it is W_tuned - W_base.": (
                score(W_base - _best(update, k))
            ),
            "The base is cut, and the update is not: cut the update.": (
                score(_best(W_base, k) + update)
            ),
        },
    )
    if not torch.equal(given, W_base):
        raise Wrong("W_base was changed (+= writes in place): the next rank would start from it.")
    _restored(layer, tuned, "The layer was not restored: give it its tuned weight back.")
    _check_restores_on_failure(answer, layer, tuned, W_base, k)


def _check_restores_on_failure(
    answer: Callable[..., Any], layer: torch.nn.Linear, tuned: Tensor, W_base: Tensor, k: int
) -> None:
    class _Failed(Exception):
        pass

    def measure() -> float:
        raise _Failed

    try:
        answer(layer, W_base.clone(), k, measure)
    except _Failed:
        pass
    else:
        raise Wrong("measure() failed and the error was swallowed: let it through.")
    _restored(layer, tuned, "When measure() failed, the layer kept the cut: restore in `finally`.")


def _restored(layer: torch.nn.Linear, tuned: Tensor, message: str) -> None:
    if not layer.weight.requires_grad:
        raise Wrong("The weight does not train any more: leave requires_grad as you found it.")
    if torch.equal(layer.weight.detach(), tuned):
        return
    if torch.allclose(layer.weight.detach(), tuned, rtol=1e-4, atol=1e-4):
        raise Wrong("The weight came back with rounding errors: keep a clone and copy it back.")
    raise Wrong(message)
