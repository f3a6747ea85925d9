"""The matrices of low rank against their definitions."""

from __future__ import annotations

import pytest
import torch

from lora_lessons.lora.more import low_rank

IN, OUT, R = 7, 5, 3


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return {
        "W": torch.randn(OUT, IN, generator=g, dtype=torch.float64),
        "b": torch.randn(OUT, generator=g, dtype=torch.float64),
    }


def test_the_count_is_that_of_the_factors(tensors):
    B, A = low_rank.factor(tensors["W"], R)
    assert low_rank.parameter_count(IN, OUT, R) == A.numel() + B.numel()


@pytest.mark.parametrize("k", range(OUT + 1))
def test_truncation_leaves_the_smaller_singular_values(tensors, k):
    W = tensors["W"]
    rest = torch.linalg.svdvals(W)[k:]
    error = torch.linalg.matrix_norm(W - low_rank.truncate(W, k))
    torch.testing.assert_close(error, rest.norm())


def test_no_other_matrix_of_that_rank_is_nearer(tensors):
    W = tensors["W"]
    best = torch.linalg.matrix_norm(W - low_rank.truncate(W, 2))
    g = torch.Generator().manual_seed(2)
    for _ in range(20):
        B = torch.randn(OUT, 2, dtype=torch.float64, generator=g)
        other = B @ torch.linalg.lstsq(B, W).solution
        assert torch.linalg.matrix_norm(W - other) >= best


def test_factors_multiply_to_the_truncation_and_share_its_size(tensors):
    B, A = low_rank.factor(tensors["W"], R)
    assert (B.shape, A.shape) == ((OUT, R), (R, IN))
    torch.testing.assert_close(B @ A, low_rank.truncate(tensors["W"], R))
    torch.testing.assert_close(B.norm(dim=0), A.norm(dim=1))


@pytest.mark.parametrize(("function", "rank"), [("truncate", -1), ("truncate", 6), ("factor", 0)])
def test_impossible_ranks_are_refused(tensors, function, rank):
    with pytest.raises(ValueError, match="the rank must lie in"):
        getattr(low_rank, function)(tensors["W"], rank)
    with pytest.raises(ValueError, match="a matrix is needed"):
        getattr(low_rank, function)(tensors["b"], 1)
