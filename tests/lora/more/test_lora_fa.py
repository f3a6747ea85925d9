"""LoRA-FA freezes what PEFT freezes, and refuses what would never learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.lora.more.variants.lora_fa import freeze_A


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.up, self.down = nn.Embedding(7, 4), nn.Linear(4, 6), nn.Linear(6, 4)


def trained(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_the_same_is_frozen_as_by_peft():
    import peft
    import peft.optimizers

    theirs = peft.get_peft_model(Two(), peft.LoraConfig(target_modules=["up", "down"], r=2))
    peft.optimizers.create_lorafa_optimizer(theirs, r=2, lora_alpha=8, lr=1e-3)
    ours = get_peft_model(Two(), LoraConfig(target_modules=["up", "down"], r=2))
    assert freeze_A(ours) == 2 * (4 + 6)
    assert trained(ours) == trained(theirs) and len(trained(ours)) == 2


def test_it_freezes_a_model_of_peft_too():
    import peft
    import peft.optimizers

    theirs = peft.get_peft_model(Two(), peft.LoraConfig(target_modules=["up"], r=2))
    assert freeze_A(theirs) == 8
    assert all("lora_B" in name for name in trained(theirs))


def test_what_else_trains_goes_on_training():
    ours = get_peft_model(
        Two(), LoraConfig(target_modules=["up"], r=2, use_dora=True, bias="lora_only")
    )
    freeze_A(ours)
    kinds = ("lora_B", "lora_magnitude_vector", "bias")
    assert all(any(kind in name for kind in kinds) for name in trained(ours))
    assert len(trained(ours)) == 3


def test_a_factor_of_zeros_is_refused_and_nothing_is_changed():
    ours = get_peft_model(Two(), LoraConfig(target_modules=["up", "words"], r=2))
    before = trained(ours)
    with pytest.raises(ValueError, match=r"words\.lora_embedding_A.* is zero"):
        freeze_A(ours)
    assert trained(ours) == before


def test_a_model_without_a_trained_A_is_refused():
    with pytest.raises(ValueError, match="no trained A to freeze"):
        freeze_A(Two())
    ours = get_peft_model(Two(), LoraConfig(target_modules=["up"], r=2))
    freeze_A(ours)
    with pytest.raises(ValueError, match="no trained A to freeze"):
        freeze_A(ours)


def test_the_rates_are_those_of_pefts_lora_plus():
    import peft
    import peft.optimizers

    from lora_lessons.train.optim import adamw_with_faster_B

    theirs = peft.get_peft_model(Two(), peft.LoraConfig(target_modules=["up", "down"], r=2))
    optimizer = peft.optimizers.create_loraplus_optimizer(
        theirs, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=16
    )
    named = {p: name for name, p in theirs.named_parameters()}
    rates = {named[p]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    ours = get_peft_model(Two(), LoraConfig(target_modules=["up", "down"], r=2))
    own = [p for p in ours.parameters() if p.requires_grad]
    named = {p: name for name, p in ours.named_parameters()}
    found = adamw_with_faster_B(ours, own, own, 1e-3, 16).param_groups
    assert {named[p]: group["lr"] for group in found for p in group["params"]} == rates
    assert sorted(set(rates.values())) == [1e-3, 16e-3]
