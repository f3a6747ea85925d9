"""The base's own tensors out of a model with adapters and into it, beside PEFT's."""

from __future__ import annotations

import copy

import peft
import pytest
import torch

import lora_lessons as ll
from lora_lessons.errors import MergeError
from tests.parity.models import Mlp, tiny_qwen2

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
X = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
CONFIGS = {
    "plain": {"target_modules": ["first", "second"]},
    "dora": {"target_modules": ["first"], "use_dora": True},
    "saved": {"target_modules": ["first"], "modules_to_save": ["head"]},
    "biases": {"target_modules": ["first"], "bias": "all"},
    "pissa": {"target_modules": ["first"], "init_lora_weights": "pissa"},
    "loftq": {"target_modules": ["first"], "init_lora_weights": "loftq"},
}


def adapted(library=ll, build=Mlp, **fields):
    torch.manual_seed(1)
    return library.get_peft_model(build(), library.LoraConfig(r=3, **fields))


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("merged", [False, True])
def test_it_is_the_bases_state_whatever_the_adapters_do(name, merged):
    model = adapted(**CONFIGS[name])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * parameter.requires_grad)
    if merged:
        model.merge_adapter()
    assert same(ll.get_base_model_state_dict(model), Mlp().state_dict())


@pytest.mark.parametrize("name", ["plain", "dora", "saved"])
def test_names_and_values_are_those_of_peft(name):
    theirs = peft.get_base_model_state_dict(adapted(peft, **CONFIGS[name]))
    assert same(ll.get_base_model_state_dict(adapted(**CONFIGS[name])), theirs)


def test_token_rows_and_injected_models():
    fields = {"target_modules": ["q_proj"], "trainable_token_indices": [1, 5]}
    model = adapted(build=tiny_qwen2, **fields)
    assert same(ll.get_base_model_state_dict(model), tiny_qwen2().state_dict())
    injected = ll.inject_adapter_in_model(ll.LoraConfig(target_modules=["first"], r=2), Mlp())
    assert same(ll.get_base_model_state_dict(injected), Mlp().state_dict())


def test_another_base_is_put_under_the_adapters():
    model, other = adapted(**CONFIGS["saved"]), Mlp()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2)
    assert ll.set_base_model_state_dict(model, other.state_dict()) == ([], [])
    assert same(ll.get_base_model_state_dict(model), other.state_dict())
    with model.disable_adapter():
        torch.testing.assert_close(model(X), other(X))


def without(key, **more):
    tensors = {**Mlp().state_dict(), **more}
    tensors.pop(key, None)
    return tensors


WRONG = {
    "missing key first.weight": without("first.weight"),
    "Did you mean 'head.bias'": without("head.bias", **{"head.biass": torch.zeros(3)}),
    r"head.bias has the shape \(4,\)": without("", **{"head.bias": torch.zeros(4)}),
}


@pytest.mark.parametrize("says", WRONG)
def test_what_does_not_fit_is_named_and_nothing_is_changed(says):
    model = adapted(**CONFIGS["plain"])
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ll.AdapterFileError, match=says):
        ll.set_base_model_state_dict(model, WRONG[says])
    assert same(dict(model.state_dict()), dict(before))
    if "shape" not in says:
        result = ll.set_base_model_state_dict(model, WRONG[says], strict=False)
        assert result.missing_keys in (["first.weight"], ["head.bias"])


@pytest.mark.parametrize("name", ["plain", "biases", "pissa"])
def test_values_in_the_place_of_the_bases_are_not_written_over(name):
    model = adapted(**CONFIGS[name])
    if name == "plain":
        model.merge_adapter()
    with pytest.raises(MergeError, match="is not the base's now"):
        ll.set_base_model_state_dict(model, Mlp().state_dict())
    model = adapted(**CONFIGS["plain"])
    model.base_model.merge_adapter(backup=None)
    with pytest.raises(MergeError, match="without a backup"):
        ll.get_base_model_state_dict(model)
