"""Sums of adapters: exact where a sum is asked for, and the error of what is cut off."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lora_lessons as ll
from lora_lessons.lora.more.adapters.combine import COMBINATIONS, PAIRWISE
from lora_lessons.lora.more.adapters.prune import keep_at_random, keep_largest, majority_sign
from tests.parity.models import LayerModel, Mlp

KINDS = ("linear", "embedding", "conv2d")


def two_adapters(kind: str = "linear", **fields) -> ll.PeftModel:
    base = {"r": 3, "lora_alpha": 7, "target_modules": ["layer"], "init_lora_weights": False}
    torch.manual_seed(0)
    model = ll.get_peft_model(LayerModel(kind), ll.LoraConfig(**{**base, **fields}), "a")
    model.add_adapter("b", ll.LoraConfig(**{**base, "lora_alpha": 5, **fields}))
    return model.eval()


def wanted(model: ll.PeftModel, weights: list[float]) -> torch.Tensor:
    layer = model.base_model.model.layer
    deltas = [layer.get_delta_weight(name) for name in ("a", "b")]
    return sum(w * delta for w, delta in zip(weights, deltas, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use_rslora", [False, True])
@pytest.mark.parametrize("weights", [[1.0, 1.0], [0.5, -2.0]])
@pytest.mark.parametrize(
    "how", [{"combination_type": "cat"}, {"combination_type": "linear"}, {"svd_rank": 6}]
)
def test_a_sum_is_exact(kind, use_rslora, weights, how):
    model = two_adapters(kind, use_rslora=use_rslora)
    errors = model.add_weighted_adapter(["a", "b"], weights, "sum", **how)
    got = model.base_model.model.layer.get_delta_weight("sum")
    exact = wanted(model, weights)
    # An SVD's rounding is spread over all entries alike, so it is weighed against the largest.
    torch.testing.assert_close(got, exact, rtol=0, atol=2e-6 * exact.abs().max().item())
    assert max(errors.values()) < 1e-6


def test_biases_that_a_sum_leaves_out_are_named():
    model = two_adapters()
    config = {"r": 2, "target_modules": ["layer"], "bias": "lora_only"}
    model.add_adapter("biased", ll.LoraConfig(**config))
    with pytest.warns(ll.PeftWarning, match="biases of the base that 'biased' trained are not"):
        model.add_weighted_adapter(["a", "biased"], [1, 1], "sum")
    model.add_weighted_adapter(["a", "b"], [1, 1], "plain")  # and no warning here


def test_a_smaller_svd_is_the_best_of_its_rank_and_says_its_error():
    model = two_adapters()
    errors = model.add_weighted_adapter(["a", "b"], [1, 1], "sum", svd_rank=2)
    exact = wanted(model, [1, 1])
    lost = torch.linalg.svdvals(exact)[2:].norm() / exact.norm()
    got = model.base_model.model.layer.get_delta_weight("sum")
    torch.testing.assert_close((got - exact).norm() / exact.norm(), lost)
    assert errors == {"layer": pytest.approx(lost.item(), rel=1e-4)}


def test_opposite_twins_cancel_exactly():
    model = two_adapters()
    layer = model.base_model.model.layer
    for part in (layer.lora_A, layer.lora_B):
        part["b"].load_state_dict(part["a"].state_dict())
    layer.scaling["b"] = layer.scaling["a"]
    model.add_weighted_adapter(["a", "b"], [1, -1], "zero", combination_type="linear")
    assert not layer.get_delta_weight("zero").any()


@pytest.mark.parametrize("kind", PAIRWISE)
@pytest.mark.parametrize("suffix", ["", "_svd"])
def test_at_full_density_one_adapter_stays_itself(kind, suffix):
    model = two_adapters()
    model.add_weighted_adapter(["a"], [1.0], "same", kind + suffix, density=1.0, svd_rank=5)
    layer = model.base_model.model.layer
    expected = layer.get_delta_weight("a")
    torch.testing.assert_close(layer.get_delta_weight("same"), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", COMBINATIONS)
def test_every_kind_makes_a_frozen_adapter_that_is_not_active(kind):
    model = two_adapters()
    model.add_weighted_adapter(["a", "b"], [0.7, 0.3], "new", kind, density=0.5)
    assert model.active_adapters == ["a"]
    layer = model.base_model.model.layer
    assert not any(p.requires_grad for p in layer.lora_A["new"].parameters())
    assert layer.scaling["new"] == 1
    assert layer.get_delta_weight("new").isfinite().all()


@pytest.mark.filterwarnings("ignore:r=6 is above the size")
def test_a_sum_goes_through_a_file(tmp_path):
    model = two_adapters(lora_bias=True)
    model.add_weighted_adapter(["a", "b"], [1, 2], "sum", combination_type="cat")
    model.set_adapter("sum")
    model.save_pretrained(tmp_path, selected_adapters=["sum"])
    loaded = ll.PeftModel.from_pretrained(LayerModel("linear"), tmp_path / "sum")
    x = LayerModel("linear").example()
    torch.testing.assert_close(loaded(x), model(x))


def test_layers_of_one_adapter_only_are_part_of_the_sum():
    base = {"r": 2, "init_lora_weights": False}
    model = ll.get_peft_model(Mlp(), ll.LoraConfig(target_modules=["first"], **base), "a")
    model.add_adapter("b", ll.LoraConfig(target_modules=["second"], **base))
    model.add_weighted_adapter(["a", "b"], [1, 1], "sum", combination_type="cat")
    inner = model.base_model.model
    for layer, owner in ((inner.first, "a"), (inner.second, "b")):
        expected = layer.get_delta_weight(owner)
        torch.testing.assert_close(layer.get_delta_weight("sum"), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"adapters": ["a", "c"]}, "Adapter c does not exist"),
        ({"combination_type": "svdd"}, "Invalid combination_type: svdd. Did you mean 'svd'"),
        ({"weights": [1.0]}, "2 adapters and 1 weights"),
        ({"adapter_name": "a"}, "already exists"),
        ({"combination_type": "ties"}, "needs a density"),
    ],
)
def test_wrong_arguments_change_nothing(arguments, message):
    model = two_adapters()
    keys = list(model.state_dict())
    given = {"adapters": ["a", "b"], "weights": [1.0, 1.0], "adapter_name": "new", **arguments}
    with pytest.raises(ValueError, match=message):
        model.add_weighted_adapter(**given)
    assert list(model.state_dict()) == keys


def test_dora_is_no_sum():
    with pytest.raises(ValueError, match="uses DoRA"):
        two_adapters(use_dora=True).add_weighted_adapter(["a", "b"], [1, 1], "new")


def test_pruning():
    values = torch.tensor([[3.0, -1.0], [0.5, -4.0]])
    assert keep_largest(values, 0.5).tolist() == [[3.0, 0.0], [0.0, -4.0]]
    torch.manual_seed(0)
    kept = keep_at_random(torch.ones(10_000), 0.25)
    assert set(kept.tolist()) == {0.0, 4.0}
    assert abs(kept.mean() - 1) < 0.1
    votes = torch.tensor([[1.0, -1.0], [1.0, -1.0], [-5.0, 1.0]])
    assert majority_sign(votes, "total").tolist() == [[False, True], [False, True], [True, False]]
    by_count = [[True, True], [True, True], [False, False]]
    assert majority_sign(votes, "frequency").tolist() == by_count


class Nested(nn.Module):
    """A layer "up" at the top, and another of that name further in."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.block = nn.Linear(5, 5), nn.ModuleDict({"up": nn.Linear(5, 5)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block["up"](self.up(x))


def test_a_sum_is_on_the_layers_of_its_parts_and_on_no_other():
    config = ll.LoraConfig(r=2, target_modules="up", init_lora_weights=False)
    model = ll.get_peft_model(Nested(), config, "a")
    model.add_adapter("b", config)
    errors = model.add_weighted_adapter(["a", "b"], [1.0, 1.0], "sum", "cat")
    assert list(errors) == ["up"]
    assert [row.name for row in model.get_layer_status()] == ["model.up"]


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused(weight):
    model = two_adapters()
    with pytest.raises(ValueError, match="a weight that is not finite"):
        model.add_weighted_adapter(["a", "b"], [1.0, weight], "sum")
    assert list(model.peft_config) == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"svd_rank": 0}, "`r` should be a positive integer value but the value passed is 0"),
        ({"svd_clamp": 2.0}, "svd_clamp is a share .* it is 2.0"),
        ({"adapters": "a"}, "adapters should be a list of names, got 'a'"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(options, message):
    model = two_adapters()
    with pytest.raises(ValueError, match=message):
        model.add_weighted_adapter(
            **{"adapters": ["a"], "weights": [1.0], **options}, adapter_name="s"
        )
    assert list(model.peft_config) == ["a", "b"]
