"""DoRA: the magnitude is the length of every row, and the norm is a constant for the gradient."""

from __future__ import annotations

import pytest
import torch

from tests.test_layer import MERGEABLE, layer_of, make


@pytest.mark.parametrize("kind", MERGEABLE)
def test_merged_rows_have_the_magnitudes_as_lengths(kind):
    model, _ = make(kind, use_dora=True, init_lora_weights=False)
    layer = layer_of(model)
    magnitude = layer.lora_magnitude_vector["default"].weight
    with torch.no_grad():
        magnitude.mul_(torch.linspace(0.5, 2, magnitude.numel()).view_as(magnitude))
    merged = layer.weight + layer.get_delta_weight("default")
    lengths = layer.output_rows(merged).norm(dim=1)
    torch.testing.assert_close(lengths.float(), magnitude.flatten().float())


def test_the_gradient_is_that_of_a_constant_norm():
    model, x = make("linear", use_dora=True, init_lora_weights=False)
    layer = layer_of(model)
    adapter = layer.adapter("default")
    A, B = adapter.A.weight, adapter.B.weight
    magnitude = layer.lora_magnitude_vector["default"].weight
    moved = layer.weight + adapter.scaling * B @ A
    scale = magnitude / moved.detach().norm(dim=1)
    expected = x @ (scale[:, None] * moved).T + layer.bias
    torch.testing.assert_close(layer(x), expected)
    parameters = (A, B, magnitude)
    wanted = torch.autograd.grad(expected.square().sum(), parameters)
    got = torch.autograd.grad(layer(x).square().sum(), parameters)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_two_dora_adapters_merge_to_what_they_compute():
    import lora_lessons as ll

    model, x = make("linear", use_dora=True, init_lora_weights=False)
    fields = {"r": 2, "target_modules": ["layer"], "use_dora": True, "init_lora_weights": False}
    model.add_adapter("other", ll.LoraConfig(**fields), autocast_adapter_dtype=False)
    model.eval().set_adapter(["default", "other"])
    y = model(x)
    model.merge_adapter()
    torch.testing.assert_close(model(x), y)
    model.unmerge_adapter()
    assert torch.equal(model(x), y)
