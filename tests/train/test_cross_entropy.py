from __future__ import annotations

import pytest
import torch
from models import batch, tiny_decoder
from torch.nn import functional as F

from lora_lessons.train.fast import cross_entropy
from lora_lessons.train.fast.cross_entropy import linear_cross_entropy
from lora_lessons.train.loss import frozen_head, next_token_losses, token_losses


def inputs(rows=11, hidden=5, vocabulary=7):
    draw = torch.Generator().manual_seed(0)
    h = torch.randn(rows, hidden, dtype=torch.float64, generator=draw)
    weight = torch.randn(vocabulary, hidden, dtype=torch.float64, generator=draw)
    targets = torch.randint(0, vocabulary, (rows,), generator=draw)
    targets[[2, 10]] = -100
    return h, weight, targets


@pytest.mark.parametrize("rows_at_once", [1, 4, 11, 100])
def test_equals_the_plain_loss_and_its_gradient(monkeypatch, rows_at_once):
    h, weight, targets = inputs()
    monkeypatch.setitem(cross_entropy.CHUNK_ELEMENTS, "cpu", rows_at_once * len(weight))
    scale = torch.linspace(0.5, 2.0, len(h), dtype=torch.float64)
    a, b = h.clone().requires_grad_(), h.clone().requires_grad_()
    ours = linear_cross_entropy(a, weight, targets)
    plain = F.cross_entropy(F.linear(b, weight), targets, reduction="none")
    torch.testing.assert_close(ours, plain)
    (ours * scale).sum().backward()
    (plain * scale).sum().backward()
    torch.testing.assert_close(a.grad, b.grad)


def test_gradcheck():
    h, weight, targets = inputs()
    assert torch.autograd.gradcheck(
        lambda x: linear_cross_entropy(x, weight, targets), h.requires_grad_()
    )


def test_a_head_that_is_trained_is_refused():
    h, weight, targets = inputs()
    with pytest.raises(ValueError, match="frozen head"):
        linear_cross_entropy(h, weight.requires_grad_(), targets)


@pytest.mark.parametrize("family", ["Qwen2", "Llama"])
def test_a_model_is_scored_alike_with_and_without_its_logits(family):
    model = tiny_decoder(family=family, dtype=torch.float64)
    one = batch()
    one["labels"][0, 4:] = -100
    whole = next_token_losses(model(input_ids=one["input_ids"]).logits, one["labels"])
    assert frozen_head(model) is None  # its weight is trained
    model.requires_grad_(False)
    assert frozen_head(model) is model.lm_head
    chunked = token_losses(model, one["labels"], input_ids=one["input_ids"])
    torch.testing.assert_close(chunked, whole)
    assert (whole == 0).sum(1).tolist() == [7, 1, 1]  # ignored, and the last position


def test_logits_that_are_changed_after_the_head_are_not_skipped():
    assert frozen_head(tiny_decoder(family="Gemma2", head_dim=8).requires_grad_(False)) is None
