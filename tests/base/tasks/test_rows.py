"""Rows and batches of them."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from lora_lessons.base.tasks.rows import RowBatches, count, first, spread

ROWS = {"input_ids": torch.arange(20).view(10, 2), "labels": torch.arange(10)}


def test_every_row_comes_once_before_any_comes_again():
    drawn = torch.cat([batch["labels"] for batch in islice(RowBatches(ROWS, 4, seed=1), 5)])
    assert sorted(drawn[:10].tolist()) == sorted(drawn[10:].tolist()) == list(range(10))
    assert not torch.equal(drawn[:10], drawn[10:])


def test_rows_stay_together_and_the_order_is_that_of_the_seed():
    batches = [next(iter(RowBatches(ROWS, 4, seed=seed))) for seed in (1, 1, 2)]
    assert torch.equal(batches[0]["input_ids"][:, 0], 2 * batches[0]["labels"])
    assert torch.equal(batches[0]["labels"], batches[1]["labels"])
    assert not torch.equal(batches[0]["labels"], batches[2]["labels"])


def test_the_first_rows():
    assert first(ROWS, 3)["labels"].tolist() == [0, 1, 2]
    assert count(first(ROWS, 99)) == 10


def test_bad_rows_and_sizes_are_named():
    with pytest.raises(ValueError, match=r"one row for each example; got {'a': 2, 'b': 3}"):
        count({"a": torch.zeros(2), "b": torch.zeros(3)})
    for size in (0, 11):
        with pytest.raises(ValueError, match=f"from 1 to the 10 rows; it is {size}"):
            RowBatches(ROWS, size)


def test_a_spread_mask_hides_the_padding_from_every_token():
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    wide = spread(mask)
    assert wide.shape == (2, 1, 3, 3) and wide.dtype == torch.bool
    assert wide[0, 0].tolist() == [[True, True, False]] * 3 and wide[1].all()


def test_a_spread_mask_gives_the_same_hidden_states():
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = BertModel(BertConfig(vocab_size=30, intermediate_size=32, **sizes)).eval()
    ids, mask = torch.randint(30, (2, 5)), torch.tensor([[1, 1, 1, 0, 0], [1] * 5])
    flat = model(input_ids=ids, attention_mask=mask).last_hidden_state
    wide = model(input_ids=ids, attention_mask=spread(mask)).last_hidden_state
    assert torch.allclose(flat[0, :3], wide[0, :3], atol=1e-6)
    assert torch.allclose(flat[1], wide[1], atol=1e-6)
