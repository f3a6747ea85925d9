"""DoRA: the magnitude is the length of every row, and the norm is a constant for the gradient."""

from __future__ import annotations

import pytest
import torch

import lora_lessons as ll
from tests.lora.test_layer import MERGEABLE, layer_of, make
from tests.parity.models import LayerModel


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
    model, x = make("linear", use_dora=True, init_lora_weights=False)
    fields = {"r": 2, "target_modules": ["layer"], "use_dora": True, "init_lora_weights": False}
    model.add_adapter("other", ll.LoraConfig(**fields), autocast_adapter_dtype=False)
    model.eval().set_adapter(["default", "other"])
    y = model(x)
    model.merge_adapter()
    torch.testing.assert_close(model(x), y)
    model.unmerge_adapter()
    assert torch.equal(model(x), y)


@pytest.mark.parametrize("kind", ["linear", "conv2d"])
def test_rows_of_zeros_stay_finite_and_train(kind):
    model, x = make(kind, use_dora=True)
    layer = layer_of(model)
    with torch.no_grad():
        layer.weight[1] = 0
    model.delete_adapter("default")
    fields = {"r": 2, "target_modules": ["layer"], "use_dora": True}
    model.add_adapter("fresh", ll.LoraConfig(**fields), autocast_adapter_dtype=False)
    model.set_adapter("fresh")
    torch.testing.assert_close(model(x), torch.tanh(layer.base_layer(x)))
    model(x).square().sum().backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert layer.lora_B["fresh"].weight.grad[1].any()


def test_the_order_of_several_adapters_does_not_matter():
    model, x = make("linear", use_dora=True, init_lora_weights=False)
    with torch.no_grad():
        layer_of(model).lora_magnitude_vector["default"].weight.mul_(2)
    fields = {"r": 2, "target_modules": ["layer"], "init_lora_weights": False}
    model.add_adapter("plain", ll.LoraConfig(**fields), autocast_adapter_dtype=False)
    model.base_model.set_adapter(["default", "plain"])
    one = model(x)
    model.base_model.set_adapter(["plain", "default"])
    torch.testing.assert_close(model(x), one)
    model.merge_adapter()
    torch.testing.assert_close(model(x), one)


def test_dora_cannot_be_merged_twice_without_a_kept_weight():
    model, _ = make("linear", use_dora=True, init_lora_weights=False)
    fields = {"r": 2, "target_modules": ["layer"], "use_dora": True}
    model.add_adapter("other", ll.LoraConfig(**fields), autocast_adapter_dtype=False)
    model.merge_adapter(["default"], backup=None)
    with (
        pytest.warns(ll.PeftWarning, match="additionally merging"),
        pytest.raises(ValueError, match="kept weight"),
    ):
        model.merge_adapter(["other"], backup=None)


def test_samples_with_their_own_adapters_are_refused():
    model, x = make("linear", use_dora=True)
    with pytest.raises(ValueError, match="when DoRA is enabled"):
        model.eval()(x, adapter_names=["default", "__base__"])


@pytest.mark.parametrize("kind", ["linear", "conv2d", "embedding", "hf_conv1d"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_trains_with_dropout_and_keeps_its_dtype(kind, dtype):
    base = LayerModel(kind).to(dtype)
    fields = {"r": 2, "target_modules": ["layer"], "use_dora": True, "lora_dropout": 0.3}
    config = ll.LoraConfig(**fields, fan_in_fan_out=kind == "hf_conv1d")
    model, x = ll.get_peft_model(base, config).train(), base.example()
    y = model(x.to(dtype) if x.is_floating_point() else x)
    y.float().square().sum().backward()
    assert y.dtype == dtype
    magnitude = layer_of(model).lora_magnitude_vector["default"].weight
    assert magnitude.dtype == torch.float32
    assert magnitude.grad.isfinite().all()
