"""The check of 4.2: the layer with dropout, in training and in evaluation.

B A keeps lengths in the first layer here, so the mask on the input can be read off the output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong, expect
from .checks import IN, _branch, _draw, _rate

OUT, CALLS = 37, 5


def check_DropoutLora(answer: Callable[..., Any], rng: torch.Generator) -> None:
    s, p = 1.5 + 2 * torch.rand((), generator=rng).item(), _rate(rng)
    A = torch.linalg.qr(_draw(rng, IN, IN)).Q
    B = torch.linalg.qr(_draw(rng, OUT, IN)).Q  # (out, in), orthonormal columns: A' B' B A = I
    x = _draw(rng, 20, 10, IN)
    x = x + 0.5 * x.sign()  # no element is near zero, where a dropped one would hide
    linear = nn.Linear(IN, OUT).requires_grad_(False)
    base = linear(x).double()
    layer = answer(linear, A, B, s, p)
    if not isinstance(layer, nn.Module):
        raise Wrong(f"DropoutLora must be a torch.nn.Module; got {type(layer).__name__}.")
    branch = s * _branch(x.double(), A, B)
    _check_in_evaluation(layer, x, base, branch, p, s, linear.bias.double())
    _check_gradient_below(layer, x, linear, s * B.double() @ A.double())
    silent = answer(linear, A, torch.zeros_like(B), s, p).train()
    if not (silent(x.clone()) - base).abs().max() <= 1e-4 * base.abs().max():
        raise Wrong("With B = 0 the output is not the base's: the mask reaches the base path too.")
    fresh = answer(linear, A, B, s, p).train()  # its first call draws a mask too
    masks = _masks_of_calls([fresh, *[layer.train()] * (CALLS - 1)], x, base, A, B, s, p)
    _check_share(torch.stack(masks), p)
    _check_gradient_in_training(layer, x, linear, A, B, s, p)
    if not torch.allclose(layer.eval()(x), (base + branch).float(), rtol=1e-3, atol=1e-3):
        raise Wrong("After training, evaluation has another output than before it.")
    _check_other_layers(answer, rng)


def _masks_of_calls(
    layers: list[nn.Module], x: Tensor, base: Tensor, A: Tensor, B: Tensor, s: float, p: float
) -> list[Tensor]:
    """What each call, one a layer, kept: (20, 10, in) of True and False, no two alike."""
    seeded = torch.initial_seed()
    outputs = []
    for layer in layers:
        given = x.clone()
        outputs.append(layer(given).detach().double())
        if not torch.equal(given, x):
            raise Wrong("The layer changes x itself: leave out inplace=True, others still read x.")
    for i, first in enumerate(outputs):
        if any(torch.equal(first, second) for second in outputs[i + 1 :]):
            raise Wrong(
                "In training two calls give the same output: draw a new mask at each call, from no "
                "seed of your own."
            )
    if torch.initial_seed() != seeded:
        raise Wrong("It seeds PyTorch's random numbers anew for everybody. Only draw from them.")
    wide = x.double(), A.double(), B.double()
    return [_mask_of((output - base) / s, *wide, p) for output in outputs]


def _check_gradient_below(layer: nn.Module, x: Tensor, linear: nn.Linear, delta: Tensor) -> None:
    """Frozen is not no_grad: what lies below the layer learns through W too."""
    below = x[:1, :1].clone().requires_grad_()
    out = layer(below)
    if out.requires_grad:
        out.sum().backward()
    got = torch.zeros_like(below) if below.grad is None else below.grad
    whole = (linear.weight.double() + delta).sum(0)
    if not (got.double() - whole).abs().max() <= 1e-3 * whole.abs().max():
        raise Wrong(
            "The gradient with respect to x is not that of W + s B A: frozen is not no_grad, and "
            "not detach. W does not train, but the layers below learn through it."
        )


def _check_in_evaluation(
    layer: nn.Module, x: Tensor, base: Tensor, branch: Tensor, p: float, s: float, bias: Tensor
) -> None:
    layer.eval()
    result = layer(x)
    if isinstance(result, Tensor) and not torch.equal(result, layer(x)):
        raise Wrong("In evaluation the output is still random: drop only while self.training.")
    expect(
        result,
        base + branch,
        k=IN,
        mistakes={
            "The base's output is missing: return base plus branch.": branch,
            "The scaling is there twice.": base + s * branch,
            "The base is scaled too: the scaling belongs to the branch.": s * base + branch,
            "The branch is subtracted: it is added.": base - branch,
            "The base is there twice.": 2 * base + branch,
            "The branch is there twice in evaluation: is it merged into W too?": base + 2 * branch,
            "The base's bias is missing: call the linear layer itself.": base - bias + branch,
            "The scaling is missing.": base + branch / s,
            "In evaluation the branch is gone. Only the mask goes; the branch stays.": base,
            "In evaluation the branch is multiplied by 1 - p. With 1 / (1 - p) in training, "
            "nothing is left to do in evaluation.": base + (1 - p) * branch,
            "In evaluation the branch is still divided by 1 - p.": base + branch / (1 - p),
        },
    )


def _mask_of(branch: Tensor, x: Tensor, A: Tensor, B: Tensor, p: float) -> Tensor:
    """branch (20, 10, out) is B A (what was done to x): recover it and compare with x."""
    ratio = (branch @ (B @ A)) / x  # (20, 10, in): 0 or 1 / (1 - p)
    kept = ratio.abs() > 1e-3
    for factor, message in (
        (1 / (1 - p), ""),
        (1.0, "What is kept must grow by 1 / (1 - p) in training: that factor is missing."),
        (1 / p, "This divides by p, or keeps with probability p. p is the share dropped."),
        (1 - p, "This multiplies by 1 - p. What is kept must grow: divide by it."),
        (1 / (1 - p) ** 2, "What is kept is divided by 1 - p twice: nn.Dropout does it by itself."),
        ((1 - p) ** -0.5, "This divides by the root of 1 - p: the mean of x is to stay."),
    ):
        if kept.any() and ((ratio[kept] - factor).abs() < 1e-3 * factor).all():
            if message:
                raise Wrong(message)
            return kept
    if kept.any() and (ratio[kept] - ratio[kept][0]).abs().max() < 1e-3 * ratio[kept][0].abs():
        raise Wrong(
            f"What is kept is multiplied by {ratio[kept][0]:.4g}. With p = {p:.4g} it is "
            f"1 / (1 - p) = {1 / (1 - p):.4g}: use the p that you are given, once."
        )
    raise Wrong(_where_is_the_mask(branch, x, A, B))


def _check_share(kept: Tensor, p: float) -> None:
    """kept (calls, 20, 10, in): each element drawn for itself, with probability 1 - p."""
    if kept.all():
        raise Wrong("In training nothing is dropped. layer.train() must turn the mask on.")
    one = kept[0].flatten(0, 1)  # (200, in)
    if (one == one[0]).all():
        raise Wrong("All rows lose the same features. Each element of x has its own mask.")
    if (one == one[:, :1]).all():
        raise Wrong("Whole rows of x are dropped. Each element of x has its own mask.")
    if (kept[0] == kept[0, :1]).all() or (kept[0] == kept[0][:, :1]).all():
        raise Wrong(
            "Rows of the batch share their mask. Each element of x has its own: draw it in the "
            "shape of all of x."
        )
    if (one.T[:, None] == one.T[None]).all(-1).sum() > one.shape[1]:
        raise Wrong("Two features are always dropped together. Each element has its own draw.")
    dropped = 1 - kept.double().mean().item()  # of 31,000: known to 0.003 or better
    if not abs(dropped - p) <= 0.02:
        if abs(dropped - (1 - p)) < 0.02:
            raise Wrong("This keeps with probability p. p is the share that is dropped.")
        raise Wrong(f"With p = {p:.2f} a share of {dropped:.2f} was dropped.")
    spread = kept.sum(-1).double().var().item()
    if spread < 0.6 * kept.shape[-1] * p * (1 - p):
        raise Wrong(
            "Each row loses the same number of features, or nearly so. Each element has a draw of "
            "its own, so that the number varies."
        )


def _check_gradient_in_training(
    layer: nn.Module, x: Tensor, linear: nn.Linear, A: Tensor, B: Tensor, s: float, p: float
) -> None:
    """The gradient goes through the branch too, where the mask let x through."""
    layer.train()
    below = x[:1, :1].clone().requires_grad_()
    out = layer(below)
    branch = (out.detach().double() - linear(below).detach().double()) / s
    wide = below.detach().double(), A.double(), B.double()
    kept = _mask_of(branch, *wide, p) if branch.abs().max() > 0 else torch.zeros_like(below)
    if out.requires_grad:
        out.sum().backward()
    got = torch.zeros_like(below) if below.grad is None else below.grad
    through = s * (wide[2] @ wide[1]).sum(0) * kept / (1 - p)
    expected = linear.weight.double().sum(0) + through
    if not (got.double() - expected).abs().max() <= 1e-3 * expected.abs().max():
        raise Wrong(
            "In training the gradient with respect to x is not that of the output: is the mask's "
            "input detached, or something under no_grad? The layers below learn through the branch "
            "too."
        )


def _check_other_layers(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """No bias, p = 0 in training, one token or four dimensions, a rank of 1."""
    for shape, out, r, bias in (((5,), 3, 1, False), ((2, 1, 3, 5), 7, 2, True)):
        linear = nn.Linear(5, out, bias=bias).requires_grad_(False)
        A, B, x = _draw(rng, r, 5), _draw(rng, out, r), _draw(rng, *shape)
        whole = linear(x) + 0.4 * _branch(x.double(), A, B)
        for p in (0.0, 0.5):
            layer = answer(linear, A, B, 0.4, p).train(p == 0)
            found = layer(x.clone())
            if found.shape != whole.shape:
                raise Wrong(
                    f"For x of shape {shape} the shape must be {tuple(whole.shape)}; got "
                    f"{tuple(found.shape)}."
                )
            if not (found - whole).abs().max() <= 1e-4 * whole.abs().max():
                when = "With p = 0, in training," if p == 0 else "In evaluation"
                raise Wrong(
                    f"{when} the output is not W x + s B A x for a layer "
                    f"{'with' if bias else 'without'} a bias, r = {r} and x of shape {shape}."
                )


def _where_is_the_mask(branch: Tensor, x: Tensor, A: Tensor, B: Tensor) -> str:
    """Which other place of a mask explains the branch's output."""

    def two_values(masked: Tensor, whole: Tensor) -> bool:
        big = whole.abs() > 0.1 * whole.square().mean().sqrt()  # of a small one rounding is left
        ratio = masked[big] / whole[big]
        kept = ratio[ratio.abs() > 1e-2]
        return len(kept) > 0 and bool(((kept - kept[0]).abs() < 1e-2 * kept[0].abs()).all())

    rows, inputs = branch.flatten(0, 1), x.flatten(0, 1)
    if two_values(rows, _branch(inputs, A, B)):
        return "The mask is on the branch's output. It belongs on its input, x, before A."
    if two_values(rows @ B, inputs @ A.T):
        return "The mask is on A x. It belongs on the branch's input, x, before A."
    matrix = torch.linalg.lstsq(inputs, rows).solution
    if (inputs @ matrix - rows).abs().max() < 1e-3 * rows.abs().max():
        return "The mask is on a weight: one for the whole batch. It belongs on x, per element."
    return "In training the branch is not B A (x * mask / (1 - p)) for any mask."
