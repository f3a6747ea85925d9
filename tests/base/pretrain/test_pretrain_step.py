"""The pretraining step: the optimizer's state, and capture on a GPU."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from lora_lessons.base.pretrain import RECIPES
from lora_lessons.base.pretrain.loss import token_loss
from lora_lessons.base.pretrain.objectives import OBJECTIVES
from lora_lessons.base.pretrain.run import make_optimizer
from lora_lessons.base.pretrain.step import CapturedStep, TrainStep, fastest_step
from lora_lessons.base.text import load_text
from lora_lessons.seeding import generator, seed_everything

KINDS = ("tiny", "tiny_encoder", "tiny_encoder_decoder")


def make(name: str, device: str = "cpu", batches: int = 1):
    """A step of a fresh model, and batches for it."""
    recipe = replace(RECIPES[name], dropout=0.0)
    kind, text = OBJECTIVES[recipe.objective], load_text("pretraining").train[:20_000]
    objective = kind(recipe, kind.train_tokenizer(text, recipe.vocab_size))
    noise, windows = generator(0), objective.encode(text)[: 4 * batches * objective.window]
    windows = windows.view(batches, 4, objective.window).to(device)
    seed_everything(0)
    model = objective.build_model().to(device).train()
    optimizer = make_optimizer(model, recipe, torch.device(device))
    step = TrainStep(model, optimizer, partial(token_loss, objective))
    return step, [objective.batch(ids, noise) for ids in windows]


@pytest.mark.parametrize("name", KINDS)
def test_making_the_optimizer_state_moves_nothing(name):
    step, _ = make(name)
    before = [p.detach().clone() for p in step.model.parameters()]
    step.create_state()
    assert all(torch.equal(a, b) for a, b in zip(before, step.model.parameters(), strict=True))
    assert all(s["step"] == 0 for s in step.optimizer.state.values())
    assert all(s["exp_avg"].count_nonzero() == 0 for s in step.optimizer.state.values())
    rate = RECIPES[name].lr
    assert [float(g["lr"]) for g in step.optimizer.param_groups] == pytest.approx([rate] * 2)


def test_without_a_gpu_the_step_is_the_plain_one():
    step, (batch,) = make("tiny")
    assert fastest_step(step, batch) is step


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", KINDS)
def test_the_captured_step_is_the_eager_step(name):
    losses = []
    for capture in (False, True):
        step, batches = make(name, "cuda", 10)
        run = CapturedStep(step, batches[0]) if capture else step
        losses.append([run(batch).item() for batch in batches])
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_step_that_cannot_be_captured_runs_plainly(capsys):
    step, (batch,) = make("tiny", "cuda")
    plain_loss = step.loss_of

    def loss_of(model, batch):
        loss = plain_loss(model, batch)
        loss.item()  # waits for the GPU, which a capture refuses
        return loss

    before = [p.detach().clone() for p in step.model.parameters()]
    step.loss_of = loss_of
    assert fastest_step(step, batch) is step
    assert "could not be captured" in capsys.readouterr().out
    assert all(torch.equal(a, b) for a, b in zip(before, step.model.parameters(), strict=True))
    step(batch)
    torch.rand(1, device="cuda")  # the generator is not left as one that is being captured
