"""Adapters that no gradient reaches are named after the first step, on every path."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from toys import NAMES, SIZE, FrozenAfterwards, FrozenBranch, NotAll, Toy, batches, square_loss

from lora_lessons.errors import PeftWarning
from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.loop import fit

# the toy, and the layers that its loss depends on
CASES = {
    NotAll: {"k_proj", "up_proj", "down_proj"},
    FrozenBranch: {"k_proj", "v_proj", "down_proj"},
    FrozenAfterwards: {"gate_proj", "down_proj"},
}


def adapted(toy: nn.Module, **options) -> nn.Module:
    """The toy with adapters on all its layers, made anew by a seed."""
    torch.manual_seed(1)
    return get_peft_model(toy, LoraConfig(r=2, target_modules=list(NAMES), **options))


def train(model, **settings):
    settings = {"loss_fn": square_loss, "progress": False, "steps": 2, "lr": 1e-2} | settings
    return fit(model, batches(False), **settings)


def last_parts(names):
    return {name.rsplit(".", 1)[-1] for name in names}


@pytest.mark.parametrize("fast_layers", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", CASES)
def test_layers_without_gradient_are_named(kind, precision, fast_layers):
    model = adapted(kind())
    with pytest.warns(PeftWarning, match="no gradient reached") as caught:
        history = train(model, precision=precision, fast_layers=fast_layers)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert last_parts(history.without_gradient) == set(NAMES) - CASES[kind]


def test_a_whole_model_warns_of_nothing():
    history = train(adapted(Toy()), weight_decay=0.1)
    assert history.without_gradient == []


def test_a_bf16_base_with_float32_adapters():
    model = adapted(NotAll().bfloat16(), bias="none")
    with pytest.warns(PeftWarning, match=r"q_proj, .*v_proj, .*gate_proj"):
        train(model, precision="bf16")


def test_many_names_are_counted():
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(SIZE, SIZE) for _ in range(9))

        def forward(self, x):
            return self.layers[0](x)

    model = get_peft_model(Many(), LoraConfig(r=2, target_modules="all-linear"))
    with pytest.warns(PeftWarning, match=re.escape("layers.5 and 3 more")):
        train(model)


def test_one_reached_adapter_of_two_is_enough():
    """The inactive adapter trains nothing, and the active one is reached."""
    model = adapted(Toy())
    model.add_adapter("other", LoraConfig(r=2, target_modules=["q_proj"]))
    assert train(model).without_gradient == []


def test_a_saved_module_that_is_not_called():
    class WithHead(Toy):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(SIZE, SIZE)

    model = adapted(WithHead(), modules_to_save=["head"])
    with pytest.warns(PeftWarning, match="first step: .*head"):
        train(model)


def test_resumed_runs_are_not_warned_again(tmp_path):
    model = adapted(NotAll())
    with pytest.warns(PeftWarning, match="no gradient reached"):
        train(model, checkpoint=tmp_path, steps=2)
    assert last_parts(train(adapted(NotAll()), checkpoint=tmp_path, steps=2).without_gradient) == (
        set(NAMES) - CASES[NotAll]
    )
