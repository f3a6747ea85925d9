"""Injection by the keys of a file: exactly the modules that the file has tensors for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lora_lessons as ll
from tests.parity.models import Mlp, tiny_qwen2

MESSAGE = "an inconsistency was discovered between the PEFT config and the provided state_dict"


def weights_of(model: nn.Module, **fields) -> dict[str, torch.Tensor]:
    """The tensors of an adapter on a model, for a model without wrapper."""
    config = ll.LoraConfig(r=2, init_lora_weights=False, **fields)
    injected = ll.inject_adapter_in_model(config, model)
    return ll.get_peft_model_state_dict(injected, save_embedding_layers=False)


def test_the_keys_choose_in_the_configs_stead_with_a_warning():
    weights = weights_of(Mlp(), target_modules=["first", "head"])
    config = ll.LoraConfig(r=2, target_modules=["second", "head"])
    with pytest.warns(RuntimeWarning, match=MESSAGE) as warned:
        model = ll.inject_adapter_in_model(config, Mlp(), state_dict=weights)
    assert "PEFT config contained these additional target modules: ['second']" in str(warned[0])
    assert "state_dict contained these additional target modules: ['first']" in str(warned[0])
    assert ll.get_peft_model_state_dict(model).keys() == weights.keys()
    assert type(model.second) is nn.Linear
    assert config.target_modules == {"second", "head"}


@pytest.mark.parametrize("prefix", ["", "base_model.model.", "_orig_mod."])
def test_a_config_that_names_nothing_needs_no_warning(prefix):
    weights = weights_of(Mlp(), target_modules=["first"], use_dora=True)
    keys = {prefix + key: value for key, value in weights.items()}
    config = ll.LoraConfig(r=2, use_dora=True)
    model = ll.inject_adapter_in_model(config, Mlp(), state_dict=keys)
    ll.set_peft_model_state_dict(model, weights)
    again = ll.get_peft_model_state_dict(model)
    assert all(torch.equal(again[key], weights[key]) for key in weights)


def test_only_the_layers_of_the_file_get_an_adapter():
    fields = {"target_modules": ["q_proj", "embed_tokens"]}
    weights = {k: v for k, v in weights_of(tiny_qwen2(), **fields).items() if ".1." not in k}
    assert len(weights) == 4
    with pytest.warns(RuntimeWarning, match=r"layers\.1\.self_attn\.q_proj"):
        model = ll.inject_adapter_in_model(
            ll.LoraConfig(r=2, **fields), tiny_qwen2(), state_dict=weights
        )
    again = ll.get_peft_model_state_dict(model, save_embedding_layers=False)
    assert again.keys() == weights.keys()


@pytest.mark.parametrize(
    ("keys", "message"),
    [(["frst.lora_A.weight"], "Did you mean 'first'"), (["first.weight"], "no key of the state")],
)
def test_keys_that_fit_no_module_change_nothing(keys, message):
    base = Mlp()
    with pytest.raises(ll.NoMatchingPeftModuleError, match=message):
        ll.inject_adapter_in_model(ll.LoraConfig(), base, state_dict=dict.fromkeys(keys))
    assert type(base.first) is nn.Linear
    assert all(parameter.requires_grad for parameter in base.parameters())
    assert not hasattr(base, "peft_config")


def test_peft_finds_the_same_modules():
    peft = pytest.importorskip("peft")
    weights = weights_of(Mlp(), target_modules=["first", "head"])
    found = []
    for lib in (ll, peft):
        config = lib.LoraConfig(r=2, target_modules=["head"])
        with pytest.warns(RuntimeWarning, match=MESSAGE):
            model = lib.inject_adapter_in_model(config, Mlp(), state_dict=weights)
        found.append(lib.get_peft_model_state_dict(model).keys())
    assert found[0] == found[1]
