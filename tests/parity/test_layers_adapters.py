"""Several adapters on every layer type against the real PEFT: active at once, and one a sample."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from torch import Tensor, nn

import lora_lessons as ll
from tests.parity.models import LAYERS, LayerModel

pytestmark = pytest.mark.filterwarnings("ignore:LoRA adapter added to ConvNd layer with groups")


def both(kind: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """Our model and PEFT's, with two adapters of other ranks and alphas, and an input."""
    models = []
    for library in (ll, peft):
        torch.manual_seed(1)
        fields = {"target_modules": ["layer"], "init_lora_weights": False}
        fields["fan_in_fan_out"] = kind == "hf_conv1d"
        first = library.LoraConfig(r=4, lora_alpha=6, **fields)
        second = library.LoraConfig(r=2, lora_alpha=5, use_rslora=True, **fields)
        model = library.get_peft_model(copy.deepcopy(LayerModel(kind)), first)
        model.add_adapter("other", second)
        models.append(model.eval())
    return *models, LayerModel(kind).example()


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("active", [["default"], ["other"], ["default", "other"]])
def test_active_adapters_add_up_as_in_peft(kind, active):
    ours, theirs, x = both(kind)
    ours.base_model.set_adapter(active), theirs.base_model.set_adapter(active)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-6)
    ours(x).square().mean().backward(), theirs(x).square().mean().backward()
    others = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.requires_grad == others[name].requires_grad, name
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, others[name].grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", LAYERS)
def test_each_sample_has_the_adapter_that_it_has_in_peft(kind):
    ours, theirs, x = both(kind)
    names = ["other", "default"]
    expected = theirs(x, adapter_names=names)
    torch.testing.assert_close(ours(x, adapter_names=names), expected, rtol=0, atol=1e-6)
    names = ["__base__", "other"]
    expected = theirs(x, adapter_names=names)
    torch.testing.assert_close(ours(x, adapter_names=names), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", LAYERS)
def test_structure_and_attributes_are_those_of_peft(kind):
    ours, theirs, _ = both(kind)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    one, other = ours.base_model.model.layer, theirs.base_model.model.layer
    for name in ("r", "lora_alpha", "scaling", "use_rslora", "use_dora", "lora_bias"):
        assert getattr(one, name) == getattr(other, name), name
    assert (one.in_features, one.out_features) == (other.in_features, other.out_features)
    assert one.active_adapters == other.active_adapters
    assert one.fan_in_fan_out == getattr(other, "fan_in_fan_out", False)
    assert type(one).__name__ == type(other).__name__ or kind == "hf_conv1d"
    assert repr(one).splitlines()[0] == repr(other).splitlines()[0]
