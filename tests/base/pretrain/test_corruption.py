"""Holes in the text: what is hidden, what stands in its place, and that nothing else is lost."""

from __future__ import annotations

import pytest
import torch

from lora_lessons.base.pretrain.corruption import (
    IGNORED,
    corrupt_spans,
    mask_tokens,
    random_lengths,
    span_sizes,
)
from lora_lessons.seeding import generator

MASK, VOCAB = 4, 100
SPECIALS = torch.arange(5)
SENTINELS = torch.tensor([900, 901, 902, 903])
END = 999


@pytest.fixture(scope="module")
def masked():
    ids = torch.randint(5, VOCAB, (400, 250), generator=generator(1))
    ids[:, 0], ids[:, -1], ids[:, 100] = 2, 3, 3
    return ids, *mask_tokens(ids, MASK, SPECIALS, VOCAB, generator(0))


def test_labels_are_the_chosen_tokens_and_the_rest_is_untouched(masked):
    ids, inputs, labels = masked
    chosen = labels != IGNORED
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(inputs[~chosen], ids[~chosen])


def test_fifteen_percent_in_three_parts(masked):
    ids, inputs, labels = masked
    chosen = (labels != IGNORED) & (ids > 4)
    share = chosen.sum() / (ids > 4).sum()
    assert share.item() == pytest.approx(0.15, abs=0.004)
    became, was = inputs[chosen], ids[chosen]
    parts = [became == MASK, (became != MASK) & (became != was), became == was]
    # 1 of 95 random tokens is the right one
    expected = [0.8, 0.1 * 94 / 95, 0.1 + 0.1 / 95]
    assert [part.float().mean().item() for part in parts] == pytest.approx(expected, abs=0.012)


def test_special_tokens_are_neither_chosen_nor_drawn(masked):
    ids, inputs, labels = masked
    assert (labels[ids < 5] == IGNORED).all()
    assert not torch.isin(inputs[ids > 4], torch.tensor([0, 1, 2, 3])).any()


def test_the_holes_follow_the_generator():
    ids = torch.randint(5, VOCAB, (4, 50), generator=generator(1))
    one, same, other = (mask_tokens(ids, MASK, SPECIALS, VOCAB, generator(s)) for s in (0, 0, 1))
    assert torch.equal(one[1], same[1]) and not torch.equal(one[1], other[1])


def fill(inputs: list[int], targets: list[int]) -> list[int]:
    """Put the spans of the targets back in the place of their sentinels."""
    assert inputs.pop() == targets.pop() == END
    spans: dict[int, list[int]] = {}
    for token in targets:
        if token in SENTINELS:
            spans[token] = span = []
        else:
            span.append(token)
    assert all(spans.values())  # no span is empty
    assert list(spans) == SENTINELS.tolist() == [t for t in inputs if t in SENTINELS]
    return [t for token in inputs for t in spans.get(token, [token])]


@pytest.mark.parametrize("hidden", [4, 30, 95])
def test_spans_put_back_give_the_text(hidden):
    ids = torch.randint(0, 256, (50, 100), generator=generator(2))
    inputs, targets = corrupt_spans(ids, SENTINELS, END, hidden, generator(0))
    assert inputs.shape == (50, 100 - hidden + 5) and targets.shape == (50, hidden + 5)
    assert not torch.isin(inputs[:, 0], SENTINELS).any()  # kept text comes first
    for row in range(len(ids)):
        assert fill(inputs[row].tolist(), targets[row].tolist()) == ids[row].tolist()


def test_the_sizes_are_those_of_the_papers():
    assert span_sizes(512) == (77, 4)  # ByT5's spans of 20 bytes
    assert span_sizes(512, mean=3) == (77, 26)  # T5's of 3 word pieces
    assert span_sizes(8) == (1, 1)


def test_all_splits_are_equally_likely():
    lengths = random_lengths(60_000, 5, 3, generator(0))
    assert lengths.shape == (60_000, 3) and (lengths >= 1).all() and (lengths.sum(1) == 5).all()
    _, counts = lengths.unique(dim=0, return_counts=True)
    assert len(counts) == 6  # 3 + 1 + 1 and 2 + 2 + 1 in any order
    assert (counts / 60_000).tolist() == pytest.approx([1 / 6] * 6, abs=0.006)
    assert random_lengths(2, 7, 1, generator(0)).tolist() == [[7], [7]]
