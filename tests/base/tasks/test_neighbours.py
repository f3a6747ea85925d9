"""Two halves of a definition, their embeddings, and the loss that makes them neighbours."""

from __future__ import annotations

import math

import pytest
import torch

from lora_lessons.base.tasks import neighbours


def test_the_halves_are_of_one_definition():
    train, valid = neighbours.pairs()
    assert len(train) > 10_000 > len(valid) > 1000
    known = {half for pair in train for half in (pair.first, pair.second)}
    assert not known & {half for pair in valid for half in (pair.first, pair.second)}
    assert all(";" not in pair.first + pair.second for pair in valid)
    assert all(len(pair.first.split()) >= 3 <= len(pair.second.split()) for pair in valid)


def test_rows_hold_both_halves(tokenizer):
    rows = neighbours.encode(tokenizer, [neighbours.Pair("x", "whale", "a whale")] * 3, 5)
    assert rows["input_ids"].shape == rows["attention_mask"].shape == (3, 2, 5)
    assert rows["attention_mask"][0].sum(1).tolist() == [3, 4]


def test_padding_does_not_change_the_mean():
    hidden = torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    pooled = neighbours.mean_pool(hidden, mask)
    assert torch.allclose(pooled[0], hidden[0, :2].mean(0))
    assert torch.allclose(pooled[1], hidden[1].mean(0))
    assert torch.equal(neighbours.mean_pool(hidden, torch.zeros(2, 4)), torch.zeros(2, 3))


def test_the_loss_of_equal_and_of_right_embeddings():
    same = torch.ones(4, 2) / 2**0.5
    assert neighbours.contrastive_loss(same, same).item() == pytest.approx(math.log(4))
    right = torch.eye(4)
    expected = math.log(1 + 3 * math.exp(-1 / neighbours.TEMPERATURE))
    assert neighbours.contrastive_loss(right, right).item() == pytest.approx(expected, abs=1e-7)
    assert neighbours.contrastive_loss(right, right.roll(1, 0)) > 10


def test_scores_by_rank():
    first = torch.eye(3)
    second = torch.eye(3)[[1, 0, 2]] * 0.5 + torch.eye(3) * 0.4  # the third finds its own
    scores = neighbours.scores(first, second)
    assert scores["recall@1"] == pytest.approx(1 / 3) and scores["recall@10"] == 1
    assert scores["MRR"] == pytest.approx((0.5 + 0.5 + 1) / 3)


def test_embeddings_have_length_one():
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertModel(BertConfig(vocab_size=30, intermediate_size=32, **sizes)).eval()
    ids, mask = torch.randint(30, (2, 5)), torch.ones(2, 5, dtype=torch.long)
    lengths = neighbours.embed(model, ids, mask).norm(dim=-1)
    assert torch.allclose(lengths, torch.ones(2), atol=1e-5)


def test_embeddings_that_are_not_finite_find_nothing():
    nothing = torch.full((4, 3), float("nan"))
    scores = neighbours.scores(nothing, nothing)
    assert scores["recall@1"] == 0
    assert scores["MRR"] == pytest.approx(1 / 5)
