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


def test_the_delta_has_the_rank_of_the_factors(tensors):
    delta = lora_math.lora_delta(tensors["A"], tensors["B"], 2.0)
    assert delta.shape == (OUT, IN)
    assert torch.linalg.matrix_rank(delta) == R


def test_only_the_product_has_meaning(tensors):
    A, B = tensors["A"], tensors["B"]
    mix = torch.randn(R, R, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    other = lora_math.lora_delta(torch.linalg.inv(mix) @ A, B @ mix, 1.0)
    torch.testing.assert_close(other, lora_math.lora_delta(A, B, 1.0))


def test_scaling():
    assert lora_scaling(16, 8) == 2
    assert lora_scaling(16, 4, use_rslora=True) == 8
    assert math.isclose(lora_scaling(8, 2, True) / lora_scaling(8, 2), math.sqrt(2))
