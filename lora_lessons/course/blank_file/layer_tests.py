"""Tests of the blank file's layer: the start, the scaling, dropout, bfloat16, merging."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .sample import Failed, Given, close, linear


def _layer(given: Given, base: nn.Linear, r: int, alpha: float, dropout: float = 0.0) -> nn.Module:
    layer = given.mini.LoraLinear(base, r, alpha, dropout)
    if not isinstance(layer, nn.Module):
        raise Failed("LoraLinear is not an nn.Module: a model would not see its parameters.")
    return layer


def _filled(given: Given, layer: nn.Module) -> tuple[Tensor, Tensor]:
    A, B = given.mini.factors(layer)
    with torch.no_grad():
        A.copy_(given.normal(*A.shape))
        B.copy_(given.normal(*B.shape))
    return A.detach().double(), B.detach().double()


def identity(given: Given) -> None:
    """at step 0 the layer gives what its base gives"""
    for bias in (True, False):
        base = linear(given, bias)
        x = given.normal(2, 3, base.in_features)
        expected = base(x)
        if not torch.equal(_layer(given, base, 4, 8)(x), expected):
            raise Failed(
                "At step 0 the output is not the base's. Is B zero, and the base's bias in?"
            )


def start(given: Given) -> None:
    """A is random, B is zero, and their shapes are (r, in) and (out, r)"""
    bases = linear(given), linear(given, bias=False)
    found = [given.mini.factors(_layer(given, base, 3, 6)) for base in bases]
    for base, (A, B) in zip(bases, found, strict=True):
        wanted = (3, base.in_features), (base.out_features, 3)
        if (tuple(A.shape), tuple(B.shape)) != wanted:
            raise Failed(f"factors(layer) gave {tuple(A.shape)} and {tuple(B.shape)}, not {wanted}")
        if not (isinstance(A, nn.Parameter) and isinstance(B, nn.Parameter)):
            raise Failed("A and B must be nn.Parameters, or no optimizer finds them.")
        if B.any():
            raise Failed("B is not zero at the start: the layer then begins with a random update.")
        if not A.any() or A.unique().numel() < A.numel() // 2:
            raise Failed("A is not random. With A and B both zero no gradient ever flows.")
    twice = [given.mini.factors(_layer(given, bases[0], 3, 6))[0] for _ in range(2)]
    if torch.equal(*twice):
        raise Failed("Two layers have the same A: it is drawn from a seed of its own.")


def scaling(given: Given) -> None:
    """the update is alpha / r times B A"""
    r, alpha = 3, 7
    base = linear(given)
    x = given.normal(2, 5, base.in_features)
    layer = _layer(given, base, r, alpha).eval()
    before = base(x).detach()
    A, B = _filled(given, layer)
    update = x.double() @ A.T @ B.T
    moved = layer(x).detach().double() - before.double()
    if close(moved, alpha / r * update, 1e-4):
        _check_delta(layer, alpha / r * (B @ A))
        return
    likely = {
        "It is r times too large: divide alpha by r.": alpha,
        "It is scaled by alpha / sqrt(r), which is rsLoRA's.": alpha / math.sqrt(r),
        "It is scaled by r / alpha: the other way round.": r / alpha,
        "It is not scaled at all: alpha / r is missing.": 1.0,
        "alpha / r is a whole number here: use / and not //.": alpha // r,
        "The scaling is applied twice.": (alpha / r) ** 2,
    }
    for message, scale in likely.items():
        if close(moved, scale * update, 1e-4):
            raise Failed(f"With r = 3, alpha = 7 the update is wrong. {message}")
    raise Failed("With r = 3, alpha = 7 the output is not base(x) + 7/3 x A^T B^T.")


def _check_delta(layer: nn.Module, expected: Tensor) -> None:
    if not math.isclose(layer.scaling, 7 / 3, rel_tol=1e-6):
        raise Failed(f"layer.scaling is {layer.scaling!r} for alpha = 7, r = 3.")
    delta = layer.delta()
    if tuple(delta.shape) != tuple(expected.shape):
        raise Failed(f"delta() has the shape {tuple(delta.shape)}, W has {tuple(expected.shape)}.")
    if not close(delta.detach(), expected, 1e-4):
        raise Failed("delta() is not alpha / r B A.")


def dropout(given: Given) -> None:
    """dropout acts on the branch alone, and not in evaluation"""
    base = linear(given)
    p, rows = 0.4, 4000
    layer = _layer(given, base, 2, 4, p).train()
    x = given.normal(1, base.in_features).expand(rows, -1)
    torch.manual_seed(given.whole(0, 10**6))
    if not torch.equal(layer(x), base(x)):
        raise Failed("With B zero, dropout changes the output: it must not reach the base.")
    A, B = _filled(given, layer)
    moved = (layer(x) - base(x)).detach().double()
    full = 2.0 * x[:1].double() @ A.T @ B.T
    if close(moved, full.expand_as(moved), 1e-3):
        raise Failed("In training the branch has no dropout.")
    error = moved.std(0) / rows**0.5
    if ((moved.mean(0) - full[0]).abs() > 6 * error + 1e-3).any():
        raise Failed("On average dropout changes the update: what stays is divided by 1 - p.")
    _check_dropout_on_x(given, base, p)
    layer.eval()
    if not close((layer(x) - base(x)).detach(), full.expand_as(moved), 1e-4):
        raise Failed("In evaluation the output still has dropout, or another scale.")
    still = _layer(given, base, 2, 4, 0.0).train()
    _filled(given, still)
    if not torch.equal(still(x), still(x)):
        raise Failed("With dropout 0 two passes differ.")


def _check_dropout_on_x(given: Given, base: nn.Linear, p: float) -> None:
    """At rank 1, dropout of A x leaves each row whole or nothing; dropout of x leaves shares."""
    layer = _layer(given, base, 1, 1, p).train()
    A, B = _filled(given, layer)
    x = given.normal(1, base.in_features).expand(200, -1)
    full = x[0].double() @ A.T @ B.T
    share = ((layer(x) - base(x)).detach().double() / full)[:, 0] * (1 - p)
    if ((share.abs() < 1e-3) | ((share - 1).abs() < 1e-3)).all():
        raise Failed("Dropout acts on A x: a row's update is there whole or not. It acts on x.")


def bfloat16(given: Given) -> None:
    """a base in bfloat16 works, and gives bfloat16"""
    base = linear(given, dtype=torch.bfloat16)
    x = given.normal(3, base.in_features, dtype=torch.bfloat16)
    expected = base(x)
    layer = _layer(given, base, 4, 4).eval()
    out = layer(x)
    if out.dtype != torch.bfloat16:
        raise Failed(f"A base in bfloat16 gives {out.dtype}: cast the branch back.")
    if not torch.equal(out, expected):
        raise Failed("In bfloat16 the layer is not the base at step 0.")
    A, B = _filled(given, layer)
    wanted = expected.double() + x.double() @ A.T @ B.T
    if not close(layer(x).detach(), wanted, 0.06):
        raise Failed("In bfloat16 the update is wrong.")
    layer.merge()
    if base.weight.dtype != torch.bfloat16:
        raise Failed("Merging changed the dtype of the weight.")


def merge(given: Given) -> None:
    """merging puts the update into the weight, and twice is once"""
    base = linear(given)
    W = base.weight.detach().clone()
    x = given.normal(4, base.in_features)
    layer = _layer(given, base, 3, 5).eval()
    A, B = _filled(given, layer)
    before = layer(x).detach()
    layer.merge()
    once = base.weight.detach().clone()
    if not close(once, W.double() + 5 / 3 * (B @ A), 1e-5):
        raise Failed("After merge() the weight is not W + alpha / r B A.")
    if not close(layer(x).detach(), before, 1e-4):
        raise Failed("After merge() the output changed. Is the branch still added to it?")
    layer.merge()
    if not torch.equal(base.weight, once):
        raise Failed("Merging twice adds the update twice. Remember that it is merged.")


def unmerge(given: Given) -> None:
    """unmerging gives back the weight to the last bit"""
    base = linear(given)
    with torch.no_grad():
        base.weight.mul_(1e-3)  # small beside the update: subtracting would round it away
    W = base.weight.detach().clone()
    x = given.normal(4, base.in_features)
    layer = _layer(given, base, 3, 50).eval()
    _filled(given, layer)
    before = layer(x).detach()
    layer.unmerge()
    if not torch.equal(base.weight, W):
        raise Failed("unmerge() changes a weight that was not merged.")
    for _ in range(2):
        layer.merge()
        layer.unmerge()
    if not torch.equal(base.weight, W):
        raise Failed(
            "After unmerge() the weight is not W to the last bit. Subtracting rounds: keep a copy."
        )
    if not torch.equal(layer(x), before):
        raise Failed("After unmerge() the branch is not back in the output.")


TESTS = (identity, start, scaling, dropout, bfloat16, merge, unmerge)
