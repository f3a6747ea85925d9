"""The arithmetic of LoRA against its definitions."""

from __future__ import annotations

import math

import pytest
import torch

from lora_lessons.lora import arithmetic as lora_math
from lora_lessons.lora.arithmetic import lora_scaling

IN, OUT, R = 7, 5, 3


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    shapes = {"x": (2, 4, IN), "W": (OUT, IN), "b": (OUT,), "A": (R, IN), "B": (OUT, R)}
    return {k: torch.randn(s, generator=g, dtype=torch.float64) for k, s in shapes.items()}


def test_forward_is_the_layer_with_the_delta_added(tensors):
    x, W, b, A, B = tensors.values()
    merged = W + lora_math.lora_delta(A, B, 7 / 3)
    torch.testing.assert_close(lora_math.lora_forward(x, W, b, A, B, 7 / 3), x @ merged.T + b)
    torch.testing.assert_close(lora_math.lora_forward(x, W, None, A, B, 7 / 3), x @ merged.T)


def test_the_delta_has_the_rank_of_the_factors(tensors):
    delta = lora_math.lora_delta(tensors["A"], tensors["B"], 2.0)
    assert delta.shape == (OUT, IN)
    assert torch.linalg.matrix_rank(delta) == R


def test_only_the_product_has_meaning(tensors):
    A, B = tensors["A"], tensors["B"]
    mix = torch.randn(R, R, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    other = lora_math.lora_delta(torch.linalg.inv(mix) @ A, B @ mix, 1.0)
    torch.testing.assert_close(other, lora_math.lora_delta(A, B, 1.0))


@pytest.mark.parametrize("k", range(OUT + 1))
def test_truncation_leaves_the_smaller_singular_values(tensors, k):
    W = tensors["W"]
    rest = torch.linalg.svdvals(W)[k:]
    error = torch.linalg.matrix_norm(W - lora_math.truncate(W, k))
    torch.testing.assert_close(error, rest.norm())


def test_no_other_matrix_of_that_rank_is_nearer(tensors):
    W = tensors["W"]
    best = torch.linalg.matrix_norm(W - lora_math.truncate(W, 2))
    g = torch.Generator().manual_seed(2)
    for _ in range(20):
        B = torch.randn(OUT, 2, dtype=torch.float64, generator=g)
        other = B @ torch.linalg.lstsq(B, W).solution
        assert torch.linalg.matrix_norm(W - other) >= best


def test_factors_multiply_to_the_truncation_and_share_its_size(tensors):
    B, A = lora_math.factor(tensors["W"], R)
    assert (B.shape, A.shape) == ((OUT, R), (R, IN))
    torch.testing.assert_close(B @ A, lora_math.truncate(tensors["W"], R))
    torch.testing.assert_close(B.norm(dim=0), A.norm(dim=1))


@pytest.mark.parametrize(("in_", "out_"), [(7, 5), (64, 64), (1, 9), (2048, 512)])
def test_break_even_is_the_last_rank_that_saves(in_, out_):
    r = lora_math.break_even_rank(in_, out_)
    assert lora_math.parameter_count(in_, out_, r) <= in_ * out_
    assert lora_math.parameter_count(in_, out_, r + 1) > in_ * out_


@pytest.mark.parametrize(("function", "rank"), [("truncate", -1), ("truncate", 6), ("factor", 0)])
def test_impossible_ranks_are_refused(tensors, function, rank):
    with pytest.raises(ValueError, match="the rank must lie in"):
        getattr(lora_math, function)(tensors["W"], rank)
    with pytest.raises(ValueError, match="a matrix is needed"):
        getattr(lora_math, function)(tensors["b"], 1)


def test_scaling():
    assert lora_scaling(16, 8) == 2
    assert lora_scaling(16, 4, use_rslora=True) == 8
    assert math.isclose(lora_scaling(8, 2, True) / lora_scaling(8, 2), math.sqrt(2))
