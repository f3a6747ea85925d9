"""Packed examples are computed as if each were alone."""

from __future__ import annotations

import pytest
import torch
from models import VOCABULARY, tiny_decoder

from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.fast.attention import masks_unseen
from lora_lessons.train.loop import fit
from lora_lessons.train.loss import summed_loss
from lora_lessons.train.packing import pack

LENGTHS = (3, 9, 16, 2, 5, 7, 11, 4)


def examples():
    draw = torch.Generator().manual_seed(0)
    return [torch.randint(0, VOCABULARY, (n,), generator=draw) for n in LENGTHS]


def adapted(family):
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    return get_peft_model(tiny_decoder(dtype=torch.float64, family=family), config)


def one_by_one(model, given):
    """Loss and gradients of the examples, each in a batch of its own."""
    batches = [{"input_ids": ids[None], "labels": ids[None]} for ids in given]
    return loss_and_gradients(model, batches)


def loss_and_gradients(model, batches):
    pairs = [summed_loss(model, batch) for batch in batches]
    total, count = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    loss = total / count
    trained = [p for p in model.parameters() if p.requires_grad]
    return loss.item(), torch.cat([g.flatten() for g in torch.autograd.grad(loss, trained)]), count


@pytest.mark.parametrize("family", ["Qwen2", "Llama"])
def test_losses_and_gradients_are_those_of_the_examples_one_by_one(family):
    model, given = adapted(family), examples()
    loss, gradient, count = one_by_one(model, given)
    batches = pack(given, length=16, batch_size=2)
    packed_loss, packed_gradient, packed_count = loss_and_gradients(model, batches)
    assert packed_count == count == sum(LENGTHS) - len(LENGTHS)
    assert packed_loss == pytest.approx(loss, rel=1e-6)
    assert (packed_gradient - gradient).norm() < 1e-5 * gradient.norm()


@pytest.mark.parametrize("left_out", ["position_ids", "labels"])
def test_without_positions_or_with_the_first_labels_the_loss_is_another(left_out):
    model, given = adapted("Qwen2"), examples()
    loss, _, _ = one_by_one(model, given)
    batches = pack(given, length=16, batch_size=2)
    for batch in batches:
        if left_out == "labels":
            batch["labels"] = batch["input_ids"].masked_fill(batch["labels"] == -100, 0)
        else:
            del batch["position_ids"]
    assert abs(loss_and_gradients(model, batches)[0] - loss) > 1e-4


def test_a_mask_that_is_not_looked_at_says_the_same():
    model = adapted("Qwen2")
    for batch in pack(examples(), length=16, batch_size=2):
        expected, _ = summed_loss(model, batch)
        with masks_unseen(batch):
            torch.testing.assert_close(summed_loss(model, batch)[0], expected)


def test_rows_are_full_and_batches_alike():
    batches = pack(examples(), length=16, batch_size=3)
    assert len(batches) == 2  # 57 tokens: four rows of 16, and two empty ones
    assert {tuple(value.shape) for batch in batches for value in batch.values()} == {(3, 16)}
    assert not (batches[1]["labels"][1:] != -100).any()
    ids = torch.cat([batch["input_ids"][batch["labels"] != -100] for batch in batches])
    assert sorted(ids.tolist()) == sorted(torch.cat([one[1:] for one in examples()]).tolist())


def test_labels_of_a_prompt_stay_ignored():
    ids = torch.arange(6)
    labels = torch.tensor([-100, -100, -100, 3, 4, 5])
    (batch,) = pack([{"input_ids": ids, "labels": labels}] * 2, length=12, batch_size=1)
    assert batch["labels"].tolist() == [[*labels.tolist()] * 2]
    assert batch["position_ids"].tolist() == [[*range(6)] * 2]


def test_fit_trains_on_packed_batches():
    model = get_peft_model(tiny_decoder(), LoraConfig(r=4, target_modules="all-linear"))
    batches = pack(examples(), length=16, batch_size=4)
    history = fit(model, batches, steps=8, lr=1e-2, progress=False)
    assert history.losses[-1] < history.losses[0]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="16 tokens does not fit a row of 15"):
        pack(examples(), length=15, batch_size=2)
    with pytest.raises(ValueError, match=r"got \(2, 3\)"):
        pack([torch.zeros(2, 3)], length=15, batch_size=2)
    with pytest.raises(ValueError, match="at least 1"):
        pack(examples(), length=16, batch_size=0)


@pytest.mark.parametrize(
    ("example", "got"),
    [([1, 2, 3], "list"), ({"input_ids": torch.arange(3)}, r"\['input_ids'\]")],
)
def test_an_example_that_is_none_is_named(example, got):
    with pytest.raises(TypeError, match=f"tensors input_ids and labels; got {got}"):
        pack([example], 8, 1)
