"""PEFT's optimizers for LoRA+ and LoRA-FA take our models as they take PEFT's own."""

from __future__ import annotations

import peft
import pytest
import torch
from peft.optimizers import create_lorafa_optimizer, create_loraplus_optimizer

import lora_lessons as ll
from tests.parity.models import tiny_qwen2

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
IDS = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
MAKERS = {
    "LoRA+": lambda m: create_loraplus_optimizer(
        m, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=8
    ),
    "LoRA-FA": lambda m: create_lorafa_optimizer(m, r=3, lora_alpha=6, lr=1e-3),
}


def stepped(library, make):
    """A model's factors after three steps."""
    fields = {"r": 3, "lora_alpha": 6, "target_modules": ["q_proj", "up_proj"]}
    torch.manual_seed(1)
    model = library.get_peft_model(tiny_qwen2(), library.LoraConfig(**fields))
    optimizer = make(model)
    for _ in range(3):
        model(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return {n: p for n, p in model.named_parameters() if "lora_" in n}


@pytest.mark.parametrize("name", MAKERS)
def test_three_steps_are_those_of_peft(name):
    mine, theirs = (stepped(library, MAKERS[name]) for library in (ll, peft))
    assert mine.keys() == theirs.keys()
    for key in mine:
        torch.testing.assert_close(mine[key], theirs[key], rtol=1e-5, atol=1e-6)
    assert any(value.any() for key, value in mine.items() if "lora_B" in key)
