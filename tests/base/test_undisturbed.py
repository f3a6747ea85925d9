"""Modes and random states are as before after a block, however it ends."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lora_lessons.base.undisturbed import (
    evaluation_mode,
    random_state,
    random_state_of,
    set_random_state,
    training_mode,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(("block", "inside"), [(training_mode, True), (evaluation_mode, False)])
def test_each_modules_own_mode_comes_back_after_an_error(block, inside):
    model = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
    model[1].eval()
    with pytest.raises(KeyError), block(model):
        assert {module.training for module in model.modules()} == {inside}
        assert torch.is_grad_enabled() == inside
        raise KeyError
    assert [module.training for module in model.modules()] == [True, True, False]
    assert torch.is_grad_enabled()


def test_a_seed_inside_and_the_state_before_it_after():
    torch.manual_seed(3)
    first, second = torch.rand(2), torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(2), first)
    with random_state(7, CPU):
        drawn = torch.rand(2)
    assert torch.equal(torch.rand(2), second)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(2), drawn)


def test_other_devices_are_not_seeded(monkeypatch):
    """`torch.manual_seed` seeds every GPU, and only one's state is put back."""
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    with random_state(7, CPU):
        pass
    assert seeded == []


def test_a_state_that_was_taken_can_be_set():
    state = random_state_of(CPU)
    drawn = torch.rand(2)
    set_random_state(state, CPU)
    assert torch.equal(torch.rand(2), drawn)
