"""Rescaling for a while: the exact line from the base to the adapted model, and the way back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lora_lessons as ll
from tests.parity.models import Mlp

X = torch.randn(6, 5, generator=torch.Generator().manual_seed(4))
CONFIG = {"r": 3, "target_modules": ["first", "head"], "init_lora_weights": False}


@pytest.fixture
def model() -> ll.PeftModel:
    torch.manual_seed(0)
    return ll.get_peft_model(Mlp(), ll.LoraConfig(**CONFIG)).eval()


def test_each_update_is_multiplied_and_comes_back(model):
    layer, before = model.base_model.model.first, model(X)
    delta = layer.get_delta_weight("default")
    with ll.rescale_adapter_scale(model, 0.5):
        torch.testing.assert_close(layer.get_delta_weight("default"), delta / 2)
    assert torch.equal(model(X), before)


def test_zero_is_the_base(model):
    with ll.rescale_adapter_scale(model, 0):
        torch.testing.assert_close(model(X), Mlp()(X))


def test_the_scale_comes_back_after_an_error_and_when_nested(model):
    scale = model.base_model.model.first.scaling["default"]
    with pytest.raises(RuntimeError), ll.rescale_adapter_scale(model, 2.0):
        with ll.rescale_adapter_scale(model, 3.0):
            assert model.base_model.model.first.scaling["default"] == 6 * scale
        raise RuntimeError
    assert model.base_model.model.first.scaling["default"] == scale


def test_an_adapter_that_is_added_meanwhile_stays_whole(model):
    with ll.rescale_adapter_scale(model, 0.5):
        model.add_adapter("b", ll.LoraConfig(**CONFIG, lora_alpha=9))
        model.set_adapter("b")
        model.delete_adapter("default")
    assert model.base_model.model.first.scaling == {"b": 3.0}


def test_it_agrees_with_peft(model):
    peft = pytest.importorskip("peft")
    from peft.helpers import rescale_adapter_scale

    other = peft.get_peft_model(Mlp(), peft.LoraConfig(**CONFIG)).eval()
    peft.set_peft_model_state_dict(other, ll.get_peft_model_state_dict(model))
    with ll.rescale_adapter_scale(model, 0.3), rescale_adapter_scale(other, 0.3):
        torch.testing.assert_close(model(X), other(X))
        torch.testing.assert_close(model.merge_and_unload()(X), other.merge_and_unload()(X))


def test_what_cannot_be_rescaled_is_said(model):
    for wrong, kind in (("0.5", TypeError), (True, TypeError), (float("nan"), ValueError)):
        with pytest.raises(kind, match="multiplier"), ll.rescale_adapter_scale(model, wrong):
            pass
    layers = pytest.raises(ValueError, match="scaling is only supported for models")
    with layers, ll.rescale_adapter_scale(nn.Linear(2, 2), 0.5):
        pass
    model.merge_adapter()
    with pytest.warns(ll.PeftWarning, match="not rescaled"), ll.rescale_adapter_scale(model, 0.5):
        pass


def test_inputs_are_not_cast_inside_the_context_and_are_after_it():
    torch.manual_seed(0)
    model = ll.get_peft_model(Mlp().bfloat16(), ll.LoraConfig(target_modules=["first"], r=2))
    seen = []
    A = model.base_model.model.first.lora_A["default"]
    A.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    x = torch.ones(1, 5, dtype=torch.bfloat16)
    with ll.disable_input_dtype_casting(model), pytest.raises(RuntimeError):  # float32 by bfloat16
        model(x)
    model(x)
    with ll.disable_input_dtype_casting(model, active=False):
        model(x)
    assert seen == [torch.bfloat16, torch.float32, torch.float32]
    with (
        pytest.raises(ValueError, match="no adapter layers"),
        ll.disable_input_dtype_casting(Mlp()),
    ):
        pass
