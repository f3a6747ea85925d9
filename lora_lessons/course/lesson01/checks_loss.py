"""The check of exercise 1.4: the loss with a cut update, and a layer that is left as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong, expect, number
from .checks import IN, OUT, best, random_matrix, terms, which_cut


def named_measure(function: Callable[[], float]) -> Callable[[], float]:
    """The function as `measure()`, the name that an error of a call with arguments then tells."""

    def measure() -> float:
        return function()

    measure.__qualname__ = "measure"
    return measure


class _Case:
    """A tuned layer with its base, and a loss that tells the sign and the size of an update."""

    def __init__(self, rng: torch.Generator, out: int, in_: int, bias: bool) -> None:
        self.base, delta = random_matrix(rng, out, in_), 0.3 * random_matrix(rng, out, in_)
        # base + update is zero here and the tuned number is not: only a copy restores the weight
        one = divmod(int(delta.abs().argmax()), in_)
        self.base[one] = -delta[one]
        self.layer = nn.Linear(in_, out, bias=bias)
        with torch.no_grad():
            self.layer.weight.copy_(self.base + delta)
            self.layer.weight[one] = 1e-30
        self.layer.weight.grad = torch.randn(out, in_, generator=rng)  # of a step before
        self.tuned = self.layer.weight.detach().clone()
        noise = torch.randn(out, in_, generator=rng, dtype=torch.float64)
        self.probe = 2 * delta.double() + 0.1 * noise
        self.calls = 0
        self.measure = named_measure(self._measure)

    def score(self, weight: Tensor) -> Tensor:
        weight = weight.detach().double()
        return (self.probe * weight).sum() + weight.square().sum()

    def _measure(self) -> float:
        self.calls += 1
        self.seen = self.layer.weight.detach().clone()
        return self.score(self.layer.weight).item()


def check_loss_at_rank(answer: Callable[..., Any], rng: torch.Generator) -> None:
    case = _Case(rng, OUT, IN, bias=False)
    _check_loss(answer, case, 2)
    _check_restores_on_failure(answer, case, 2)
    _check_loss(answer, _Case(rng, IN, OUT, bias=True), 5)  # tall, and with a bias
    case = _Case(rng, 11, 7, bias=True)
    case.layer.requires_grad_(False).eval()  # a frozen layer stays frozen, and in its mode
    _check_loss(answer, case, 1)
    _check_loss(answer, case, 7)  # the whole update
    case = _Case(rng, 5, 13, bias=False)
    with torch.no_grad():  # as a caller may have it; it is so afterwards too
        _check_loss(answer, case, 3)
        if torch.is_grad_enabled():
            raise Wrong(
                "Gradients were off before the call and are on after it: `with torch.no_grad():` "
                "puts back what was."
            )
    _check_no_rank(answer, case)


def _check_no_rank(answer: Callable[..., Any], case: _Case) -> None:
    """A k of 0 must not count as 1. An error, or what X[:, -0:] gives, is let by."""
    try:
        result = number(answer(case.layer, case.base.clone(), 0, case.measure))
    except Exception:
        return
    one = case.score(case.base + best(case.tuned - case.base, 1)).item()
    if abs(result - one) < 1e-4 * abs(one):
        raise Wrong(
            "For k = 0 nothing is kept of the update: the loss is that of W_base. One term is kept "
            "here."
        )


def _check_loss(answer: Callable[..., Any], case: _Case, k: int) -> None:
    layer, tuned, base, score = case.layer, case.tuned, case.base, case.score
    trains, given, update = layer.weight.requires_grad, base.clone(), tuned - base
    weight = layer.weight
    case.calls = 0
    result = answer(layer, given, k, case.measure)
    U, S, Vh = terms(update)
    root = (U[:, :k] * S[:k].sqrt()) @ Vh[:k]
    right = score(base + best(update, k))
    expect(
        result,
        right,
        k=16,
        mistakes={
            "This cuts the whole tuned weight. Cut only its update, W_tuned - W_base.": (
                score(best(tuned, k))
            ),
            "The base weight is missing: the layer needs W_base plus the cut update.": (
                score(best(update, k))
            ),
            "This is the loss with the full update: measure after the cut.": score(tuned),
            "This is the loss of the base: the cut update was not added.": score(base),
            "The update has the wrong sign: it is W_tuned - W_base.": (
                score(base - best(update, k))
            ),
            "The base is cut, and the update is not: cut the update.": (
                score(best(base, k) + update)
            ),
            "The cut update was added to the tuned weight. Add it to W_base.": (
                score(tuned + best(update, k))
            ),
            "The cut was subtracted from the tuned weight. Add it to W_base.": (
                score(tuned - best(update, k))
            ),
            "What the cut leaves out was added. Keep the first k terms, the largest.": (
                score(base + update - best(update, k))
            ),
            "The update was cut to one rank too many.": score(base + best(update, k + 1)),
            "The update was cut to one rank too few.": score(base + best(update, k - 1)),
            "The k-th term alone was added. Add the first k.": (
                score(base + best(update, k) - best(update, k - 1))
            ),
            "The square root of S is too much: the update has S as it is.": (score(base + root)),
            "The first rows of the update were kept. Rank counts directions, not rows.": (
                score(base + update * (torch.arange(len(update)) < k)[:, None])
            ),
            "The base was cut. Cut the update.": score(base + best(base, k)),
            "This is a difference of losses. Return measure() as it is.": right - score(tuned),
            "This is a difference to the base's loss. Return measure() as it is.": (
                right - score(base)
            ),
        },
        case=f"for a layer of shape {tuple(tuned.shape)} and k = {k}",
        otherwise=lambda: _while_measuring(case, k),
    )
    if case.calls != 1:
        raise Wrong(f"measure was called {case.calls} times: once is enough, and it may be slow.")
    if not torch.equal(given, base):
        raise Wrong("W_base was changed (+= writes in place): the next rank would start from it.")
    if layer.weight is not weight:
        raise Wrong(
            "layer.weight is another Parameter after the call, and an optimizer still holds the "
            "old one: write into it, with copy_() under torch.no_grad()."
        )
    if layer.weight.requires_grad != trains:
        raise Wrong(
            "The weight does not train any more: leave requires_grad as you found it."
            if trains
            else "The weight was frozen and trains now: leave requires_grad as you found it."
        )
    _restored(layer, tuned, "The layer was not restored: give it its tuned weight back.")


def _while_measuring(case: _Case, k: int) -> str:
    """What the layer was like when measure() was called."""
    if not case.calls:
        return "measure() was not called."
    update, seen = case.tuned.double() - case.base.double(), case.seen.double()
    if (seen - case.base - best(update, k)).abs().max() < 1e-4 * update.abs().max():
        given = case.score(seen).item()
        return f"The layer was right, and measure() returned {given:.7g}: return that as it is."
    return which_cut(seen - case.base, update, k, "While measuring, the layer's update")


def _check_restores_on_failure(answer: Callable[..., Any], case: _Case, k: int) -> None:
    class _Failed(Exception):
        pass

    def measure() -> float:
        raise _Failed

    try:
        answer(case.layer, case.base.clone(), k, measure)
    except _Failed:
        pass
    except Exception as error:
        raise Wrong(
            f"measure() failed and another error came of it, {type(error).__name__}: let its own "
            "through."
        ) from error
    else:
        raise Wrong("measure() failed and the error was swallowed: let it through.")
    said = "When measure() failed, the layer kept the cut: restore in `finally`."
    _restored(case.layer, case.tuned, said)
    try:
        answer(case.layer, case.base.clone(), k, _interrupted)
    except KeyboardInterrupt:
        pass
    else:
        raise Wrong("measure() was interrupted and that was swallowed: let it through.")
    said = "When measure() was interrupted, the layer kept the cut: restore in `finally`."
    _restored(case.layer, case.tuned, said)


def _interrupted() -> float:
    """A measurement that the learner stops."""
    raise KeyboardInterrupt


def _restored(layer: nn.Linear, tuned: Tensor, message: str) -> None:
    if torch.equal(layer.weight.detach(), tuned):
        return
    if torch.allclose(layer.weight.detach(), tuned, rtol=1e-4, atol=1e-4):
        raise Wrong("The weight came back with rounding errors: keep a clone and copy it back.")
    raise Wrong(message)
