"""Initialisations that look at W: the output is as before, and W comes back on unload."""

from __future__ import annotations

import pytest
import torch

import lora_lessons as ll
from tests.lora.test_layer import layer_of, make
from tests.parity.models import LayerModel


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
def test_convolutions_have_no_such_initialisation_and_say_so(init):
    with pytest.raises(ValueError, match="Unknown initialization"):
        make("conv2d", init_lora_weights=init)


def test_a_rank_above_the_matrix_is_refused():
    with pytest.warns(ll.PeftWarning), pytest.raises(ValueError, match="needs a rank of at most 5"):
        make("linear", init_lora_weights="pissa", r=6)


def test_gaussian_has_a_deviation_of_one_over_r():
    model = torch.nn.Sequential(torch.nn.Linear(4000, 20))
    config = ll.LoraConfig(r=5, target_modules=["0"], init_lora_weights="gaussian")
    A = ll.get_peft_model(model, config).base_model.model[0].lora_A["default"].weight
    assert A.std().item() == pytest.approx(1 / 5, rel=0.02)


def test_an_embedding_beside_linear_layers_starts_as_with_true():
    with pytest.warns(ll.PeftWarning, match="starts with A at zero"):
        model, x = make("embedding", init_lora_weights="pissa")
    torch.testing.assert_close(model(x), LayerModel("embedding").double()(x))
    assert not layer_of(model).lora_embedding_A["default"].any()


@pytest.mark.parametrize("kind", ["linear", "hf_conv1d"])
@pytest.mark.parametrize("init", ["pissa", "olora"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_base_is_itself_while_the_adapter_is_not_in_use(kind, init, dtype):
    base = LayerModel(kind).to(dtype)
    config = ll.LoraConfig(
        r=2, target_modules=["layer"], init_lora_weights=init, fan_in_fan_out=kind == "hf_conv1d"
    )
    weight, x = base.layer.weight.clone(), base.example().to(dtype)
    expected = base(x)
    model = ll.get_peft_model(base, config)
    rest = layer_of(model).weight.clone()
    assert not torch.equal(rest, weight)
    with model.disable_adapter():
        assert torch.equal(model(x), expected)
    assert torch.equal(layer_of(model).weight, rest)
    plain = ll.LoraConfig(r=2, target_modules=["layer"], fan_in_fan_out=kind == "hf_conv1d")
    model.add_adapter("plain", plain)
    model.set_adapter("plain")
    assert torch.equal(model(x), expected)
    model.set_adapter("default")
    assert torch.equal(layer_of(model).weight, rest)
    with pytest.warns(ll.PeftWarning, match="Setting active adapter to plain"):
        model.delete_adapter("default")
    assert torch.equal(layer_of(model).weight, weight)


def test_an_adapter_that_is_added_and_not_activated_changes_no_output():
    model, x = make("linear", init_lora_weights=False)
    before = model(x)
    config = {"target_modules": ["layer"], "init_lora_weights": "pissa"}
    model.add_adapter("second", ll.LoraConfig(r=3, **config), autocast_adapter_dtype=False)
    assert torch.equal(model(x), before)
    model.base_model.set_adapter(["default", "second"])
    torch.testing.assert_close(model(x), before, rtol=1e-9, atol=1e-9)


def test_a_failed_injection_gives_the_weight_back():
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(2, 8))
    weight = model[0].weight.clone()
    config = ll.LoraConfig(r=4, target_modules=["0", "1"], init_lora_weights="pissa")
    with pytest.warns(ll.PeftWarning), pytest.raises(ValueError, match="at most 2"):
        ll.get_peft_model(model, config)
    assert torch.equal(model[0].weight, weight)


@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_merging_obeys_what_is_out_of_the_weight(init):
    model, x = make("linear", init_lora_weights=init)
    model.add_adapter("plain", ll.LoraConfig(r=2, target_modules=["layer"]))
    before = model.eval()(x)
    with pytest.raises(ValueError, match="changed W for"):
        model.merge_adapter(["plain"])
    model.merge_adapter()
    torch.testing.assert_close(model(x), before, rtol=1e-9, atol=1e-9)
    model.unmerge_adapter()
    assert torch.equal(model(x), before)
    with pytest.raises(ValueError, match="samples with and without"):
        model(x, adapter_names=["default", "plain"])
    with pytest.raises(ValueError, match="is no update by itself"):
        model.add_weighted_adapter(["default", "plain"], [1.0, 1.0], "sum")


@pytest.mark.parametrize(
    "fields", [{"init_lora_weights": "pissa"}, {"init_lora_weights": "olora"}, {"use_dora": True}]
)
def test_what_looks_at_packed_weights_is_refused_and_leaves_nothing_behind(fields):
    model = LayerModel("linear")
    model.layer.weight = torch.nn.Parameter(
        torch.zeros(18, 1, dtype=torch.uint8), requires_grad=False
    )
    layer = model.layer
    with pytest.raises(ValueError, match=r"looks at W, .*torch.uint8"):
        ll.get_peft_model(model, ll.LoraConfig(r=2, target_modules=["layer"], **fields))
    assert model.layer is layer
