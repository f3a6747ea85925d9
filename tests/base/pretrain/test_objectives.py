"""The three objectives: their losses are transformers', their models have the advertised sizes."""

from __future__ import annotations

import math

import pytest
import torch

from lora_lessons.base.pretrain import RECIPES
from lora_lessons.base.pretrain.batches import Batches
from lora_lessons.base.pretrain.corruption import IGNORED
from lora_lessons.base.pretrain.loss import context_free_loss, measure, token_loss
from lora_lessons.base.pretrain.models import add_dropout
from lora_lessons.base.pretrain.objectives import OBJECTIVES
from lora_lessons.base.text import load_text
from lora_lessons.seeding import generator

KINDS = ("tiny", "tiny_encoder", "tiny_encoder_decoder")
SIZES = {
    "decoder": 5_478_656,
    "nano": 144_192,
    "encoder": 5_891_328,
    "nano_encoder": 146_432,
    "encoder_decoder": 6_395_904,
}


@pytest.fixture(scope="module")
def text():
    return load_text("pretraining").train[:20_000]


@pytest.fixture(scope="module", params=KINDS)
def objective(request, text):
    return make(request.param, text)


def make(name, text):
    recipe = RECIPES[name]
    kind = OBJECTIVES[recipe.objective]
    return kind(recipe, kind.train_tokenizer(text, recipe.vocab_size))


@pytest.fixture
def batch(objective, text):
    ids = objective.encode(text)[: 6 * objective.window].view(6, -1)
    return objective.batch(ids, generator(0))


@pytest.mark.parametrize("name", SIZES)
def test_shipped_recipes_have_the_advertised_sizes(name, text):
    kind = OBJECTIVES[RECIPES[name].objective]
    tokenizer = kind.train_tokenizer(text, 300)
    model = kind(RECIPES[name], tokenizer).build_model()
    assert model.num_parameters() == SIZES[name]
    assert 2 * SIZES[name] < 16e6  # bytes on disk


def test_loss_is_that_of_transformers(objective, batch):
    model = objective.build_model().eval()
    inputs = {key: tensor for key, tensor in batch.items() if key != "labels"}
    labels = batch["input_ids"] if RECIPES["tiny"] == objective.recipe else batch["labels"]
    theirs = model(**inputs, labels=labels).loss
    torch.testing.assert_close(token_loss(objective, model, batch), theirs)


def test_the_measured_loss_is_the_mean_over_labels_however_it_is_cut(objective, batch):
    model = objective.build_model()
    loss, accuracy = measure(objective, model, batch)
    assert model.training
    assert (loss, accuracy) == pytest.approx(measure(objective, model, batch, rows=1), rel=1e-5)
    assert loss == pytest.approx(token_loss(objective, model.eval(), batch).item(), rel=1e-5)


def test_accuracy_counts_the_labels_that_are_predicted_first(objective, batch, monkeypatch):
    labels = batch["labels"].flatten()
    right = torch.nn.functional.one_hot(labels.clamp(min=0), 500).float()
    wanted = torch.nonzero(labels != IGNORED).flatten()
    right[wanted[: len(wanted) // 2]] *= -1  # half of them wrong
    monkeypatch.setattr("lora_lessons.base.pretrain.loss.token_logits", lambda *_: right)
    expected = 1 - (len(wanted) // 2) / len(wanted)
    assert measure(objective, torch.nn.Identity(), batch)[1] == pytest.approx(expected)


def test_no_guess_without_context_is_better_than_the_labels_entropy():
    labels = torch.tensor([[3, 3, IGNORED], [3, 5, IGNORED]])
    shares = {3: 0.75, 5: 0.25}
    expected = -sum(p * math.log(p) for p in shares.values())
    assert context_free_loss(labels) == pytest.approx(expected)
    logits = torch.full((6,), -100.0)
    for token, share in shares.items():
        logits[token] = math.log(share)
    best = torch.nn.functional.cross_entropy(logits.expand(4, -1), labels[labels != IGNORED])
    assert best.item() == pytest.approx(expected)


def test_dropout_acts_in_training_only(objective, batch):
    model = objective.build_model()
    plain = token_loss(objective, model.train(), batch)
    torch.testing.assert_close(token_loss(objective, model, batch), plain)  # none of its own
    add_dropout(model, 0.5)
    assert token_loss(objective, model.train(), batch) != plain
    torch.testing.assert_close(token_loss(objective, model.eval(), batch), plain)


def test_every_block_drops(objective):
    def hooks(model):
        return sum(len(module._forward_hooks) for module in model.modules())

    model = objective.build_model()
    before = hooks(model)
    add_dropout(model, 0.5)
    # the embeddings, and two or three sub-layers in the one block of each stack
    assert (
        hooks(model) - before == {"token": 3, "masked token": 3, "target byte": 7}[objective.unit]
    )


def test_an_encoder_row_is_a_window_between_cls_and_sep(text):
    objective = make("tiny_encoder", text)
    ids = torch.arange(5, 5 + objective.window)[None]
    batch = objective.batch(ids, generator(0))
    rows = torch.where(batch["labels"] == IGNORED, batch["input_ids"], batch["labels"])
    tokenizer = objective.tokenizer
    assert rows.tolist() == [
        [tokenizer.cls_token_id, *range(5, 5 + objective.window), tokenizer.sep_token_id]
    ]


def test_the_decoder_of_t5_sees_the_targets_one_place_later(text):
    objective = make("tiny_encoder_decoder", text)
    batch = objective.batch(torch.full((2, objective.window), 70), generator(0))
    model = objective.build_model()
    assert torch.equal(batch["decoder_input_ids"], model._shift_right(batch["labels"]))
    assert batch["labels"][0, 0] == objective.tokenizer.convert_tokens_to_ids("<extra_id_0>")


def test_batches_stop_resume_and_can_be_looked_at(objective, text):
    stream = Batches(objective, objective.encode(text), 3, 0, "cpu")
    first = stream.peek()
    assert all(torch.equal(first[key], tensor) for key, tensor in next(stream).items())
    state, expected = stream.state_dict(), next(stream)
    again = Batches(objective, objective.encode(text), 3, 5, "cpu")
    again.load_state_dict(state)
    assert all(torch.equal(expected[key], tensor) for key, tensor in next(again).items())
