"""Products of joined matrices are LoRA's formula, with its gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lora_lessons.train.joined import NarrowProduct, WideProduct

SIZES = {WideProduct: (7, 11), NarrowProduct: (11, 7)}  # in, out
BOTH = pytest.mark.parametrize("product", SIZES)


def tensors(product, dtype=torch.float64):
    """x, A, B, W, b, c for rows of 10 and r = 3; x, A and B want gradients."""
    torch.manual_seed(0)
    in_, out = SIZES[product]
    shapes = [(10, in_), (3, in_), (out, 3), (out, in_), (out,), (3,)]
    x, A, B, W, b, c = (torch.randn(shape, dtype=dtype) for shape in shapes)
    return *(t.requires_grad_() for t in (x, A, B)), W, b, c


def apply(product, x, A, B, W, b, c, p=0.0):
    parts = (W, B.detach()) if product is WideProduct else (W, A.detach())
    joined = torch.cat(parts, dim=1 if product is WideProduct else 0)
    return product.apply(x, A, B, joined, b, c, p)


def agree(got, wanted, leaves):
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(wanted)
    gradients = [torch.autograd.grad((h * weights).sum(), leaves) for h in (got, wanted)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@BOTH
@pytest.mark.parametrize("extras", [True, False])
def test_value_and_gradients_are_those_of_the_formula(product, extras):
    x, A, B, W, b, c = tensors(product)
    b, c = (b, c) if extras else (None, None)
    wanted = F.linear(x, W, b) + F.linear(F.linear(x, A, c), B)
    agree(apply(product, x, A, B, W, b, c), wanted, (x, A, B))


@BOTH
def test_dropout_acts_on_the_adapters_input_alone_and_backward_sees_the_same_mask(product):
    x, A, B, W, b, c = tensors(product)
    torch.manual_seed(3)
    got = apply(product, x, A, B, W, b, c, p=0.4)
    torch.manual_seed(3)
    dropped, mask = torch.native_dropout(x, 0.4, True)
    assert 0 < mask.sum() < mask.numel()
    agree(got, F.linear(x, W, b) + F.linear(F.linear(dropped, A, c), B), (x, A, B))


@BOTH
def test_a_column_of_ones_makes_a_column_of_b_a_bias(product):
    x, A, B, W, _, _ = tensors(product)
    with torch.no_grad():
        A[2] = 0
    constant = torch.tensor([0.0, 0.0, 1.0], dtype=x.dtype)
    h = apply(product, x, A, B, W, None, constant)
    bias = B.detach()[:, 2].clone().requires_grad_()
    wanted = F.linear(x, W, bias) + F.linear(F.linear(x, A[:2]), B[:, :2])
    torch.testing.assert_close(h, wanted)
    weights = torch.randn_like(h)
    (dB,) = torch.autograd.grad((h * weights).sum(), B)
    (db,) = torch.autograd.grad((wanted * weights).sum(), bias)
    torch.testing.assert_close(dB[:, 2], db)


@pytest.mark.nightly
@BOTH
@pytest.mark.parametrize("p", [0.0, 0.4])
def test_compiled_it_is_the_same(product, p):
    given = tensors(product, torch.float32)
    compiled = torch.compile(lambda *a: apply(product, *a, p=p), backend="aot_eager")
    results = []
    for function in (compiled, lambda *a: apply(product, *a, p=p)):
        torch.manual_seed(1)
        h = function(*given)
        results.append([h, *torch.autograd.grad(h.square().sum(), given[:3])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
