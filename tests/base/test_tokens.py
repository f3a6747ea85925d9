"""Tokens: any text survives, large text is cut the same, windows and blocks are what they say."""

import pytest
import torch

from lora_lessons.base.text import load_text
from lora_lessons.base.tokens import (
    END,
    PAD,
    TokenBatches,
    blocks,
    encode,
    encode_bytes,
    encode_lines,
    encode_sentences,
    train_tokenizer,
    train_word_pieces,
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


@pytest.mark.parametrize("ids", [None, [1, 2, 3], torch.rand(40)])
def test_what_holds_no_ids_is_refused(ids):
    with pytest.raises(TypeError, match="ids must be a tensor of whole numbers"):
        TokenBatches(ids, batch_size=2, length=2)


def test_a_corpus_is_no_text(tokenizer):
    with pytest.raises(TypeError, match=r"this is a Corpus; a corpus has its texts in \.train"):
        encode(tokenizer, load_text("moby_dick"))


def test_wrong_shapes_and_sizes_are_refused():
    with pytest.raises(ValueError, match="one dimension"):
        blocks(torch.zeros(2, 5, dtype=torch.long), 2)
    with pytest.raises(ValueError, match="batch_size"):
        TokenBatches(torch.arange(10), 0, 5)


@pytest.fixture(scope="module")
def word_pieces():
    lines = load_text("pretraining").train[:200_000].splitlines()
    return train_word_pieces(lines, 400), train_word_pieces(lines, 400)


def test_word_pieces_are_those_of_bert_and_always_the_same(word_pieces):
    first, second = word_pieces
    assert first.get_vocab() == second.get_vocab()
    assert sorted(first.get_vocab().values()) == list(range(400))
    assert first.convert_ids_to_tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert first.tokenize("The Congr\u00e9ss") == first.tokenize("the congress")
    assert first("the [MASK]")["input_ids"] == [2, first.get_vocab()["the"], 4, 3]


def test_word_pieces_know_common_letters_only(word_pieces):
    tokenizer, _ = word_pieces
    assert tokenizer.tokenize("z\u03b8 z") == ["[UNK]", "z"]
    letters = [t for t in tokenizer.get_vocab() if len(t) == 1]
    assert {f"##{letter}" for letter in letters} <= set(tokenizer.get_vocab())
    assert len(letters) <= 400 // 8
    with pytest.raises(ValueError, match="at least 256"):
        train_word_pieces(["text"], 100)


def test_sentences_end_with_the_separator(word_pieces):
    tokenizer, _ = word_pieces
    one, two = (encode(tokenizer, line).tolist() for line in ("a line", "and one more"))
    ids = encode_sentences(tokenizer, "a line\nand one more\n").tolist()
    assert ids == [*one, 3, *two, 3]


def test_bytes_are_those_of_byt5():
    from transformers import ByT5Tokenizer

    text = "\u00e9t\u00e9 \u9be8 \U0001f40b a\n"
    assert torch.equal(encode_bytes(text), encode(ByT5Tokenizer(), text))
