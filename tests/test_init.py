"""Initialisations that look at W: the output is as before, and W comes back on unload."""

from __future__ import annotations

import pytest
import torch

import lora_lessons as ll
from tests.parity.models import LayerModel
from tests.test_layer import layer_of, make


@pytest.mark.parametrize("kind", ["linear", "hf_conv1d"])
@pytest.mark.parametrize("init", ["pissa", "pissa_niter_4", "olora", "orthogonal"])
def test_the_output_stays_and_the_weight_comes_back(kind, init):
    base = LayerModel(kind).double()
    model, x = make(kind, init_lora_weights=init)
    torch.testing.assert_close(model(x), base(x), rtol=1e-5, atol=1e-5)
    assert torch.equal(layer_of(model).weight, base.layer.weight) == (init == "orthogonal")
    assert torch.equal(model.unload().layer.weight, base.layer.weight)


def test_pissa_takes_the_largest_singular_values():
    weight = LayerModel("linear").double().layer.weight
    model, _ = make("linear", init_lora_weights="pissa")
    spectrum = torch.linalg.svdvals(weight)
    rest = torch.linalg.svdvals(layer_of(model).weight)
    torch.testing.assert_close(rest[:3], spectrum[2:], rtol=1e-4, atol=1e-6)


def test_orthogonal_factors_have_a_product_of_zero_and_are_not_zero():
    model, _ = make("linear", init_lora_weights="orthogonal")
    layer = layer_of(model)
    assert layer.get_delta_weight("default").abs().max() < 1e-6
    assert layer.lora_A["default"].weight.any()
    assert layer.lora_B["default"].weight.any()


@pytest.mark.parametrize("init", ["pissa", "olora", "orthogonal"])
@pytest.mark.parametrize("kind", ["embedding", "conv2d"])
def test_layers_that_have_no_such_initialisation_say_so(kind, init):
    with pytest.raises(ValueError, match="Unknown initialization"):
        make(kind, init_lora_weights=init)


def test_a_rank_above_the_matrix_is_refused():
    with pytest.warns(ll.PeftWarning), pytest.raises(ValueError, match="needs a rank of at most 5"):
        make("linear", init_lora_weights="pissa", r=6)


def test_gaussian_has_a_deviation_of_one_over_r():
    model = torch.nn.Sequential(torch.nn.Linear(4000, 20))
    config = ll.LoraConfig(r=5, target_modules=["0"], init_lora_weights="gaussian")
    A = ll.get_peft_model(model, config).base_model.model[0].lora_A["default"].weight
    assert A.std().item() == pytest.approx(1 / 5, rel=0.02)
