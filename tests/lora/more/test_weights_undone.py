"""What is interrupted on experts, attentions and encoder layers leaves the model as it was."""

from __future__ import annotations

import pytest
from torch import nn

import lora_lessons as ll
from tests.lora.more.weight_models import EXPERTS, Attends, Block, encoder
from tests.lora.test_all_or_nothing import check_interruptions

SMALL = {"r": 2, "init_lora_weights": False}
MODELS = {
    "experts": (Block, {"target_parameters": EXPERTS, "target_modules": ["out"]}),
    "attention": (Attends, {"target_modules": ["attention", "mlp"]}),
    "output": (Attends, {"target_modules": ["out_proj"]}),
    "encoder": (lambda: encoder(1), {"target_modules": ["self_attn", "linear1"]}),
}
ACTS = {
    "merge": lambda m, config: m.merge_adapter(),
    "unload": lambda m, config: m.unload(),
    "merge-and-unload": lambda m, config: m.merge_and_unload(),
    "delete": lambda m, config: m.delete_adapter("default"),
    "add": lambda m, config: m.add_adapter("third", config),
    "set": lambda m, config: m.set_adapter("other"),
}


def with_two(kind: str) -> nn.Module:
    make, fields = MODELS[kind]
    model = ll.get_peft_model(make(), ll.LoraConfig(**SMALL, **fields))
    model.add_adapter("other", ll.LoraConfig(**SMALL, **fields))
    return model.eval()


@pytest.mark.parametrize("kind", MODELS)
def test_an_interrupted_injection(kind):
    make, fields = MODELS[kind]
    check_interruptions(make, lambda m: ll.get_peft_model(m, ll.LoraConfig(**SMALL, **fields)))


@pytest.mark.nightly
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("kind", MODELS)
def test_an_interrupted_change(kind, act):
    config = ll.LoraConfig(**SMALL, **MODELS[kind][1])
    check_interruptions(lambda: with_two(kind), lambda m: ACTS[act](m, config))
