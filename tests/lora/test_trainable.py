"""What trains, and nothing else: freezing, the bias modes, the counts."""

from __future__ import annotations

import peft
import pytest
import torch

import lora_lessons as ll
from tests.parity.models import Mlp, tiny_qwen2


def trained(model) -> set[str]:
    names = (n for n, p in model.named_parameters() if p.requires_grad)
    return {name.removeprefix("base_model.model.") for name in names}


ADAPTER = {"first.lora_A.default.weight", "first.lora_B.default.weight"}


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ({}, set()),
        ({"bias": "lora_only"}, {"first.base_layer.bias"}),
        ({"bias": "all"}, {"first.base_layer.bias", "norm.bias", "head.bias"}),
        (
            {"modules_to_save": ["head"]},
            {"head.modules_to_save.default.weight", "head.modules_to_save.default.bias"},
        ),
        ({"lora_bias": True}, {"first.lora_B.default.bias"}),
        ({"use_dora": True}, {"first.lora_magnitude_vector.default.weight"}),
    ],
)
def test_only_what_the_config_says_trains(fields, more):
    model = ll.get_peft_model(Mlp(), ll.LoraConfig(r=3, target_modules=["first"], **fields))
    assert trained(model) == ADAPTER | more
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(2):
        model(torch.randn(4, 5)).square().sum().backward()
        optimizer.step()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert {n.removeprefix("base_model.model.") for n in moved} == ADAPTER | more


def test_a_parameter_whose_name_only_contains_bias_is_none():
    base = Mlp()
    base.bias_proj = torch.nn.Linear(3, 3, bias=False)
    config = ll.LoraConfig(r=3, target_modules=["first"], bias="all")
    assert not any("bias_proj" in name for name in trained(ll.get_peft_model(base, config)))


@pytest.mark.parametrize("fields", [{}, {"bias": "all"}, {"modules_to_save": ["lm_head"]}])
def test_counts_are_those_of_peft(fields, capsys):
    given = {"r": 4, "target_modules": ["q_proj"], **fields}
    ours = ll.get_peft_model(tiny_qwen2(), ll.LoraConfig(**given))
    with pytest.warns(FutureWarning):
        theirs = peft.get_peft_model(tiny_qwen2(), peft.LoraConfig(**given))
    assert ours.get_nb_trainable_parameters() == theirs.get_nb_trainable_parameters()
    ours.print_trainable_parameters()
    theirs.print_trainable_parameters()
    mine, others = capsys.readouterr().out.splitlines()
    assert mine == others


def test_inference_mode_trains_nothing():
    config = ll.LoraConfig(r=3, target_modules=["first"], bias="all", inference_mode=True)
    assert trained(ll.get_peft_model(Mlp(), config)) == set()


def test_a_second_adapter_leaves_the_flags_alone():
    model = ll.get_peft_model(Mlp(), ll.LoraConfig(r=3, target_modules=["first"]))
    model.base_model.model.norm.weight.requires_grad_(True)  # the user's own choice
    before = trained(model)
    model.add_adapter("other", ll.LoraConfig(r=2, target_modules=["first", "second"]))
    assert trained(model) == before
    model.set_adapter("other")
    assert trained(model) == {"norm.weight"} | {
        f"{layer}.lora_{factor}.other.weight" for layer in ("first", "second") for factor in "AB"
    }


def test_two_adapters_with_biases_are_refused():
    config = ll.LoraConfig(r=3, target_modules=["first"], bias="all")
    model = ll.get_peft_model(Mlp(), config)
    with pytest.raises(ValueError, match="supports only 1 adapter with bias"):
        model.add_adapter("other", config)
