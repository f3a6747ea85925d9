"""Tokens: any text survives, large text is cut the same, windows and blocks are what they say."""

import pytest
import torch

from lora_lessons.text import load_text
from lora_lessons.tokens import (
    END,
    PAD,
    TokenBatches,
    blocks,
    encode,
    encode_lines,
    train_tokenizer,
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(load_text("pretraining").train[:200_000].splitlines(keepends=True), 600)


@pytest.mark.parametrize(
    "text", ["plain", "  two  spaces\n\n\nlines \n", "été 鯨 \U0001f40b \t\x00", ""]
)
def test_any_text_survives(tokenizer, text):
    assert tokenizer.decode(encode(tokenizer, text)) == text


def test_every_byte_has_a_token_and_the_specials_come_first(tokenizer):
    assert (tokenizer.eos_token, tokenizer.pad_token) == (END, PAD)
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 1)
    assert len(tokenizer) == 600
    assert sum(len(token) == 1 for token in tokenizer.get_vocab()) == 256


def test_encoding_adds_no_special_token(tokenizer):
    assert not set(encode(tokenizer, "some words").tolist()) & {0, 1}


def test_encode_by_lines_gives_the_same_ids(tokenizer):
    for text in (load_text("moby_dick").valid[:30_000], load_text("pretraining").train[-30_000:]):
        assert torch.equal(encode_lines(tokenizer, text), encode(tokenizer, text))
    odd = "a\n\n b\n c.\nd\n\n\ne \n"
    assert torch.equal(encode_lines(tokenizer, odd), encode(tokenizer, odd))


def test_a_small_vocabulary_is_refused():
    with pytest.raises(ValueError, match="at least 258"):
        train_tokenizer(["text"], 100)


def test_blocks_are_consecutive_and_drop_the_rest():
    assert torch.equal(blocks(torch.arange(11), 5), torch.arange(10).view(2, 5))


def test_windows_are_pieces_of_the_text():
    ids = torch.arange(100)
    batch = next(TokenBatches(ids, batch_size=8, length=7))
    assert batch["input_ids"].shape == (8, 7)
    assert torch.equal(batch["input_ids"] - batch["input_ids"][:, :1], torch.arange(7).expand(8, 7))
    assert torch.equal(batch["labels"], batch["input_ids"])


def test_every_window_is_drawn_the_last_one_too():
    batches = TokenBatches(torch.arange(6), batch_size=200, length=4)
    assert set(next(batches)["input_ids"][:, 0].tolist()) == {0, 1, 2}


def test_the_stream_follows_its_seed_and_resumes():
    ids = torch.arange(1000)
    first, second = (TokenBatches(ids, 4, 9, seed=5) for _ in range(2))
    other = TokenBatches(ids, 4, 9, seed=6)
    a, b, c = (next(stream)["input_ids"] for stream in (first, second, other))
    assert torch.equal(a, b) and not torch.equal(a, c)
    state = first.state_dict()
    torch.manual_seed(0)  # the global generator is not touched, and touches nothing
    expected = next(first)["input_ids"]
    other.load_state_dict(state)
    assert torch.equal(next(other)["input_ids"], expected)


def test_changing_the_labels_leaves_the_inputs():
    batch = next(TokenBatches(torch.arange(50), 2, 5))
    batch["labels"][:] = -100
    assert batch["input_ids"].min() >= 0


@pytest.mark.parametrize("length", [1, 11, 0])
def test_windows_that_do_not_fit_are_refused(length):
    for make in (
        lambda: blocks(torch.arange(10), length),
        lambda: TokenBatches(torch.arange(10), 1, length),
    ):
        with pytest.raises(ValueError, match="length must be from 2"):
            make()


def test_wrong_shapes_and_sizes_are_refused():
    with pytest.raises(ValueError, match="one dimension"):
        blocks(torch.zeros(2, 5, dtype=torch.long), 2)
    with pytest.raises(ValueError, match="batch_size"):
        TokenBatches(torch.arange(10), 0, 5)
