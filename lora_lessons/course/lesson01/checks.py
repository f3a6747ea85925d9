"""The checks of lesson 01's cut: the best copy of rank k, and the two factors of an update.

Every expected value is computed here in float64, by other means than the package's own functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect, plain

# In and out are unequal primes, so that a transposed or mixed-up shape cannot pass by chance.
OUT, IN = 23, 31


def random_matrix(rng: torch.Generator, out: int = OUT, in_: int = IN) -> Tensor:
    """A matrix (out, in) in float32 with well separated singular values."""
    n = min(out, in_)
    left = torch.linalg.qr(torch.randn(out, n, generator=rng, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(in_, n, generator=rng, dtype=torch.float64)).Q
    values = 5.0 * 0.8 ** torch.arange(n, dtype=torch.float64)
    return ((left * values) @ right.T).float()


def require_precision(result: Tensor, given: Tensor, name: str) -> None:
    """Raise where float64 came in and fewer digits came out."""
    if given.dtype == torch.float64 and result.dtype != torch.float64:
        raise Wrong(
            f"`{name}` is float64 and the result is {result.dtype}: digits are lost. Compute in "
            "the dtype of what is given."
        )


def terms(W: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U (out, n), S (n,), Vh (n, in) in float64."""
    return torch.linalg.svd(W.double(), full_matrices=False)


def best(W: Tensor, k: int) -> Tensor:
    U, S, Vh = terms(W)
    return torch.einsum("ok,k,ki->oi", U[:, :k], S[:k], Vh[:k])


def which_cut(copy: Any, W: Tensor, k: int, what: str = "The copy") -> str:
    """What a wrong copy of rank k is like: its rank, its directions, its distance from W."""
    if not isinstance(copy, Tensor) or copy.shape != W.shape:
        return ""
    copy, (U, S, Vh) = copy.detach().double(), terms(W)
    values = torch.linalg.svdvals(copy)
    rank, wanted = (int((v > 1e-4 * S[0]).sum()) for v in (values, S[:k]))
    if rank != wanted:
        of = f"with {k} terms it would be {wanted}" if wanted < k else f"k = {k} terms are kept"
        return f"{what} has rank {rank}: {of}."
    U, Vh = U[:, :k], Vh[:k]
    if (U @ (U.T @ copy @ Vh.T) @ Vh - copy).abs().max() < 1e-4 * S[0]:
        show = lambda v: [round(x, 3) for x in v[: min(k, 4)].tolist()]  # noqa: E731
        if show(values) == show(S):
            return ""
        return (
            f"{what} has the right directions, those of the first {k} columns of U and rows of Vh. "
            f"Its singular values begin with {show(values)}, and those of the right one with "
            f"{show(S)}."
        )
    away, least = (copy - W.double()).norm(), S[k:].norm()
    return (
        f"{what} has rank {rank}, and it is {away:.4g} away from what it should copy, where the "
        f"best one is {least:.4g} away: its directions are not the first {k} of the SVD."
    )


def check_best_rank_k(answer: Callable[..., Any], rng: torch.Generator) -> None:
    W = random_matrix(rng)
    k = 4
    U, S, Vh = terms(W)
    rows = torch.zeros_like(W, dtype=torch.float64)
    rows[:k] = W[:k].double()
    copy = answer(W.clone(), k)
    if _has_other_right_vectors(copy, W, k):
        raise Wrong("Vh is already transposed: use its first k rows as they are.")
    expect(
        copy,
        best(W, k),
        k=IN,
        mistakes={
            "These are the smallest singular values. They come sorted, largest first.": (
                torch.einsum("ok,k,ki->oi", U[:, -k:], S[-k:], Vh[-k:])
            ),
            "This is what the cut leaves out: keep the first k terms, the largest.": (
                W.double() - best(W, k)
            ),
            "This is the k-th term alone. Add up the first k.": best(W, k) - best(W, k - 1),
            "The square root of S is too much: the singular values stand between U and Vh once, as "
            "they are.": torch.einsum("ok,k,ki->oi", U[:, :k], S[:k].sqrt(), Vh[:k]),
            "The singular values are in it twice: S stands between U and Vh once.": (
                torch.einsum("ok,k,ki->oi", U[:, :k], S[:k].square(), Vh[:k])
            ),
            "These are the first k rows of W. Rank counts directions, not rows.": rows,
            "The singular values are missing between U and Vh.": U[:, :k] @ Vh[:k],
            "The singular values were divided by the first: take them as they are.": (
                best(W, k) / S[0]
            ),
            "The singular values are each other's: S[j] goes with column j of U and row j of Vh.": (
                torch.einsum("ok,k,ki->oi", U[:, :k], S[:k].flip(0), Vh[:k])
            ),
            "These are the first k columns of W. Rank counts directions, not columns.": (
                W.double() * (torch.arange(IN) < k)
            ),
            "The numbers of W that are largest were kept. Rank counts directions, not entries.": (
                _largest_entries(W.double(), k)
            ),
            "The first term is missing: counting starts at 0, S[:k].": best(W, k + 1) - best(W, 1),
            "The values of S were lowered by the next one. Keep them as they are.": (
                (U[:, :k] * (S[:k] - S[k])) @ Vh[:k]
            ),
            "This is S to the power of 1.5: S stands between U and Vh once.": (
                (U[:, :k] * S[:k] ** 1.5) @ Vh[:k]
            ),
            "This comes from a QR decomposition. The leading directions come from the SVD.": (
                _by_qr(W.double(), k)
            ),
            "The matrix is not cut: this is W itself, of full rank.": W.double(),
            "This copy has rank k + 1: one term too many.": best(W, k + 1),
            "This copy has rank k - 1: one term too few.": best(W, k - 1),
            "This copy has rank k // 2.": best(W, k // 2),
            **_mistaken_directions(W.double(), k),
        },
        case=f"for W of shape ({OUT}, {IN}) and k = {k}",
        otherwise=lambda: which_cut(copy, W, k),
    )
    # through the eigenvalues of W W^T small singular values lose half of their digits
    whole = answer(W.clone(), OUT)
    expect(
        whole,
        W.double(),
        k=OUT * IN,
        case="at full rank, k = out, where the copy is W itself",
        otherwise=lambda: which_cut(whole, W, OUT),
    )
    _check_other_matrices(answer, W, rng)


def _check_other_matrices(answer: Callable[..., Any], W: Tensor, rng: torch.Generator) -> None:
    """Tall, square and thin ones, one of low rank, one of zeros, with ties, in float64."""
    for out, in_, k in ((IN, OUT, 1), (IN, OUT, 7), (7, 7, 4), (1, 5, 1), (6, 1, 1)):
        other = random_matrix(rng, out, in_)
        result = answer(other.clone(), k)
        expect(
            result,
            best(other, k),
            k=IN,
            case=f"for W of shape ({out}, {in_}) and k = {k}",
            otherwise=lambda r=result, W=other, k=k: which_cut(r, W, k),
        )
    low = best(W, 2).float()  # of rank 2: the third term is nothing
    expect(answer(low.clone(), 3), low.double(), k=OUT * IN, case="for a W of rank 2 and k = 3")
    empty = torch.zeros(5, 6)  # values that are zero, exactly: an update before training
    if plain(answer(empty.clone(), 2)).abs().sum() != 0:
        raise Wrong("For W = 0 the copy is 0: is something divided by a singular value?")
    _check_no_rank(answer, random_matrix(rng, 5, 6))
    _check_ties(answer, rng)
    wide = W.double()
    result = answer(wide.clone(), 3)
    require_precision(result, wide, "W")
    expect(result, best(wide, 3), k=IN, case="for a W in float64")


def _mistaken_directions(W: Tensor, k: int) -> dict[str, Tensor]:
    """W cut to k directions that are not its leading ones, and W with its mean taken off."""
    weakest = torch.linalg.eigh(W.T @ W).eigenvectors[:, :k]
    rows = torch.linalg.qr(W[:k].T).Q
    mistaken = {
        "eigh returns the smallest eigenvalues first: these directions are the weakest.": (
            W @ weakest @ weakest.T
        ),
        "W was projected on its first k rows. The leading directions come from the SVD.": (
            W @ rows @ rows.T
        ),
    }
    for what, mean in ((" row", W.mean(0)), (" column", W.mean(1, keepdim=True)), ("", W.mean())):
        centred = best(W - mean, k)
        said = f"The mean{what} was taken off"
        mistaken[f"{said} before the SVD. Cut W as it is."] = centred
        mistaken[f"{said} before the SVD, and put back. Cut W as it is."] = centred + mean
    return mistaken


def _check_no_rank(answer: Callable[..., Any], W: Tensor) -> None:
    """A k of 0 must not count as 1. An error, or what X[:, -0:] gives, is let by."""
    try:
        copy = plain(answer(W.clone(), 0))
    except Exception:
        return
    if isinstance(copy, Tensor) and torch.allclose(copy.detach().double(), best(W, 1), atol=1e-4):
        raise Wrong("For k = 0 no term is kept and the copy is 0. One term is kept here.")


def _check_ties(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """Where values are equal at the cut each choice is as good, but k terms are kept, no more."""
    S = torch.tensor([4.0, 2.0, 2.0, 2.0, 1.0], dtype=torch.float64)
    W = torch.zeros(5, 6)  # one number in each row and column, so that ties are exact
    W[torch.randperm(5, generator=rng), torch.randperm(6, generator=rng)[:5]] = S.float()
    copy = plain(answer(W.clone(), 2)).detach().double()
    kept, missed = torch.linalg.svdvals(copy), (W.double() - copy).norm()
    if not (kept[2] < 1e-4 and abs(missed - S[2:].norm()) < 1e-3):
        raise Wrong(
            f"For the singular values {S.tolist()} and k = 2 the copy has those of "
            f"{[round(v, 3) for v in kept.tolist()]}: two terms are kept, also where values tie."
        )


def _by_qr(W: Tensor, k: int) -> Tensor:
    Q, R = torch.linalg.qr(W)
    return Q[:, :k] @ R[:k]


def _largest_entries(W: Tensor, k: int) -> Tensor:
    """W with all but its k (out + in) largest entries at zero."""
    edge = W.abs().flatten().topk(k * sum(W.shape)).values[-1]
    return W * (W.abs() >= edge)


def _has_other_right_vectors(copy: Any, W: Tensor, k: int) -> bool:
    """True for U_k S_k M^T with columns of Vh, or others of length 1, in place of V's first k.

    Which columns Vh has depends on free signs, and past the rank on the routine. So this asks for
    what all of them share: the left vectors, the singular values, and orthogonal rows.
    """
    if not isinstance(copy, Tensor) or copy.shape not in ((OUT, IN), (OUT, OUT)):
        return False
    U, S, _ = terms(W)
    copy, scale = copy.detach().double(), S[0]
    rows = U[:, :k].T @ copy  # (k, in)
    in_span = (U[:, :k] @ rows - copy).abs().max() < 1e-4 * scale
    if copy.shape == (OUT, OUT):  # the thin Vh: its columns are cut off, so they are shorter
        return bool(in_span and copy.any())
    lengths = (rows @ rows.T - S[:k].square().diag()).abs().max() < 1e-4 * scale**2
    other = not (copy.abs() - best(W, k).abs()).abs().max() <= 1e-3 * scale
    return bool(in_span and lengths and other)


def check_split_update(answer: Callable[..., Any], rng: torch.Generator) -> None:
    r = int(torch.randint(2, 6, (1,), generator=rng))
    _check_split(answer, random_matrix(rng), r, 7 / 3)
    for out, in_, r, scaling in ((IN, OUT, 1, 0.25), (7, 7, 7, 16.0), (5, 11, 4, 1.0)):
        _check_split(answer, random_matrix(rng, out, in_), r, scaling)
    low = best(random_matrix(rng), 2).float()  # of rank 2: two of the four columns are nothing
    _check_split(answer, low, 4, 2.0)
    _check_split(answer, torch.zeros(5, 6), 2, 2.0)  # an update before training
    _check_split(answer, random_matrix(rng).double(), 3, 2)


def _check_split(answer: Callable[..., Any], delta: Tensor, r: int, scaling: float) -> None:
    factors = answer(delta.clone(), r, scaling)
    OUT, IN = delta.shape
    if not (isinstance(factors, tuple | list) and len(factors) == 2):
        raise Wrong("Return two tensors, (B, A).")
    if not all(isinstance(factor, Tensor) for factor in factors):
        raise Wrong("Return two tensors, (B, A).")
    B, A = (factor.detach() for factor in factors)
    shapes, wanted = (tuple(B.shape), tuple(A.shape)), ((OUT, r), (r, IN))
    if shapes == ((r, IN), (OUT, r)) != wanted:
        raise Wrong("The factors are the wrong way round: return (B, A), B of shape (out, r).")
    if shapes != wanted and sorted(map(sorted, shapes)) == sorted(map(sorted, wanted)):
        raise Wrong(f"A factor is transposed: B is (out, r), A is (r, in); got {shapes}.")
    if shapes != wanted:
        raise Wrong(f"B must be (out, r) = ({OUT}, {r}) and A (r, in) = ({r}, {IN}); got {shapes}.")
    U, S, Vh = terms(delta)
    right, squared = best(delta, r), (U[:, :r] * S[:r].square()) @ Vh[:r]
    rooted = (U[:, :r] * S[:r].sqrt()) @ Vh[:r]
    expect(
        scaling * B.double() @ A.double(),
        right,
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
                right * scaling**0.5
            ),
            "scaling * B @ A is too large by the scaling: divide the update by it once.": (
                scaling * right
            ),
            "The update was divided by the scaling twice: each factor takes its square root.": (
                right / scaling
            ),
            "The update was multiplied by the scaling. Divide by it: scaling * B @ A has it.": (
                scaling**2 * right
            ),
            "The first rows were taken, not the leading directions: begin with the SVD.": (
                delta.double() * (torch.arange(OUT) < r)[:, None]
            ),
            "The update was divided by r as well: the scaling holds that division already.": right
            / r,
            "The cube root was taken. Two factors share S: each takes its square root.": (
                (U[:, :r] * S[:r] ** (2 / 3) * scaling ** (1 / 3)) @ Vh[:r]
            ),
            "The columns of B and the rows of A are in another order: they belong together.": (
                (U[:, :r] * (S[:r] * S[:r].flip(0)).sqrt()).flip(1) @ Vh[:r]
            ),
            "The rank is one too small.": best(delta, r - 1),
            "The rank is one too large.": best(delta, r + 1),
        },
        case=f"for an update of shape ({OUT}, {IN}), r = {r} and scaling = {scaling:.3g}",
        factors={"the scaling": scaling, "r": r},
        otherwise=lambda: which_cut(scaling * B.double() @ A.double(), delta, r, "scaling * B @ A"),
    )
    require_precision(B, delta, "delta")
    require_precision(A, delta, "delta")
    # B^T B = A A^T is what equal shares mean, whatever orthogonal matrix stands between B and A
    shares = B.double().T @ B.double(), A.double() @ A.double().T
    if not torch.cat(shares).isfinite().all():
        raise Wrong("A factor holds nan or inf: is something divided by a singular value of zero?")
    if (shares[0] - shares[1]).abs().max() <= 1e-3 * shares[0].abs().max():
        return
    lengths = B.double().norm(dim=0), A.double().norm(dim=1)
    if torch.allclose(lengths[0] * lengths[1], S[:r] / scaling, rtol=1e-3) and any(
        torch.allclose(length, S[:r].sqrt(), rtol=1e-3) for length in lengths
    ):
        raise Wrong(
            "The product is right, but one factor carries the scaling alone. Divide the singular "
            "values by it first; then each factor takes the root."
        )
    raise Wrong(
        "The product is right, but the factors do not have the same share: give each the "
        "square root of the singular values."
    )
