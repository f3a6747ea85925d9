"""The core against the real PEFT: weights from the same seed, outputs, gradients, keys, files."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from torch import nn

import lora_lessons as ll
from tests.parity.models import Mlp, tiny_qwen2

pytestmark = [  # PEFT's and transformers' own noise
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Adapter 'default'. 2 LoRA tensor"),  # of lora_B.bias
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
]

CONFIGS = {
    "qv": {"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"},
    "all_linear": {"target_modules": "all-linear", "r": 3, "lora_alpha": 7},
    "regex": {"target_modules": r".*layers\.1\..*_proj", "init_lora_weights": False},
    "rslora": {"target_modules": ["o_proj"], "use_rslora": True, "init_lora_weights": False},
    "gaussian": {"target_modules": ["up_proj"], "init_lora_weights": "gaussian"},
    "patterns": {
        "target_modules": ["q_proj", "k_proj"],
        "rank_pattern": {"k_proj": 2, "layers.0.self_attn.q_proj": 5},
        "alpha_pattern": {"q_proj": 20},
        "init_lora_weights": False,
    },
    "layers": {
        "target_modules": ["q_proj"],
        "layers_to_transform": [1],
        "layers_pattern": "layers",
    },
    "excluded": {
        "target_modules": "all-linear",
        "exclude_modules": ["gate_proj", "layers.0.mlp.up_proj"],
    },
    "lora_bias": {"target_modules": ["q_proj"], "lora_bias": True, "init_lora_weights": False},
    "bias_all": {"target_modules": ["q_proj"], "bias": "all", "init_lora_weights": False},
    "bias_lora_only": {"target_modules": ["v_proj"], "bias": "lora_only"},
    "saved": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "dropout": {"target_modules": ["q_proj"], "lora_dropout": 0.5, "init_lora_weights": False},
}


def both(fields: dict, build=tiny_qwen2):
    """The same model with the same adapter, from PEFT and from here, drawn from one seed."""
    model = build()
    theirs = copy.deepcopy(model)
    torch.manual_seed(1)
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**fields))
    torch.manual_seed(1)
    return ll.get_peft_model(model, ll.LoraConfig(**fields)), theirs


def forward(model: nn.Module, seed: int = 3) -> torch.Tensor:
    torch.manual_seed(seed)
    ids = torch.randint(0, 60, (2, 9), generator=torch.Generator().manual_seed(5))
    return model(input_ids=ids).logits


@pytest.mark.parametrize("name", CONFIGS)
def test_weights_outputs_and_gradients_are_those_of_peft(name):
    ours, theirs = both(CONFIGS[name])
    ours.train(), theirs.train()
    mine, others = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert list(mine) == list(others)
    assert all(torch.equal(mine[n], others[n]) for n in mine)
    assert {n for n in mine if mine[n].requires_grad} == {
        n for n in others if others[n].requires_grad and "original_module" not in n
    }
    out, expected = forward(ours), forward(theirs)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-6)
    out.square().mean().backward(), expected.square().mean().backward()
    for n in mine:
        if mine[n].requires_grad and others[n].grad is not None:
            torch.testing.assert_close(mine[n].grad, others[n].grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", [n for n in CONFIGS if n != "dropout"])
def test_files_go_both_ways(name, tmp_path):
    _, theirs = both({**CONFIGS[name], "init_lora_weights": False})
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01)
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = ll.PeftModel.from_pretrained(tiny_qwen2(), tmp_path / "theirs")
    torch.testing.assert_close(forward(loaded), forward(theirs.eval()), rtol=0, atol=1e-6)
    loaded.save_pretrained(tmp_path / "ours")
    back = peft.PeftModel.from_pretrained(tiny_qwen2(), tmp_path / "ours")
    torch.testing.assert_close(forward(back), forward(theirs), rtol=0, atol=1e-6)


@pytest.mark.parametrize("fields", [{}, {"bias": "all"}, {"modules_to_save": ["head"]}])
def test_state_dict_keys_are_those_of_peft(fields):
    ours, theirs = both({"target_modules": ["first"], "r": 3, **fields}, Mlp)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    mine = ll.get_peft_model_state_dict(ours)
    others = peft.get_peft_model_state_dict(theirs)
    useless = {k for k in others if "original_module.bias" in k or "modules_to_save.bias" in k}
    assert set(mine) == set(others) - useless


def test_a_bias_that_two_modules_share_is_saved_under_both_names(tmp_path):
    def tied():
        model = Mlp()
        model.twin = torch.nn.Linear(7, 3)
        model.twin.bias = model.head.bias  # as BERT's output bias is
        return model

    ours, theirs = both({"target_modules": ["first"], "r": 3, "bias": "all"}, tied)
    mine = ll.get_peft_model_state_dict(ours)
    assert mine.keys() == peft.get_peft_model_state_dict(theirs).keys()
    with torch.no_grad():
        ours.base_model.model.twin.bias.add_(1)
    ours.save_pretrained(tmp_path)
    loaded = ll.PeftModel.from_pretrained(tied(), tmp_path).base_model.model
    assert loaded.head.bias is loaded.twin.bias
    assert torch.equal(loaded.head.bias, ours.base_model.model.twin.bias)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [True, False])
def test_low_precision_agrees_to_a_rounding_of_its_dtype(dtype, autocast, tmp_path):
    fields = {"target_modules": ["q_proj", "up_proj"], "init_lora_weights": False}
    model = tiny_qwen2().to(dtype)
    theirs = copy.deepcopy(model)
    torch.manual_seed(1)
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**fields), autocast_adapter_dtype=autocast)
    torch.manual_seed(1)
    ours = ll.get_peft_model(model, ll.LoraConfig(**fields), autocast_adapter_dtype=autocast)
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(forward(ours), forward(theirs), rtol=tolerance, atol=tolerance)
    theirs.save_pretrained(tmp_path)
    loaded = ll.PeftModel.from_pretrained(
        tiny_qwen2().to(dtype), tmp_path, autocast_adapter_dtype=autocast
    )
    torch.testing.assert_close(forward(loaded), forward(theirs), rtol=tolerance, atol=tolerance)
