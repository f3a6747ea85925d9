"""Restoring marks and capitals: what is stripped is in the labels and not in the input."""

from __future__ import annotations

import pytest
import torch

from lora_lessons.base.tasks import punctuation
from lora_lessons.base.tasks.metrics import accuracy, f1, macro_f1
from lora_lessons.base.text import load_text

TEXT = 'I see, "Captain": is it the U.S. whale-boat? No! (1,000 barrels; or more).'


def test_what_is_stripped_is_restored():
    words, labels = punctuation.strip_marks(TEXT)
    assert words[:4] == ("i", "see", "captain", "is")
    restored = punctuation.restore(words, labels)
    assert restored == "I see, Captain: is it the U.s. whale-boat? No. 1,000 barrels; or more."
    assert punctuation.strip_marks(restored).labels == labels


@pytest.mark.parametrize("part", ["train", "valid"])
def test_no_label_leaks_into_the_input(part):
    text = [word for passage in punctuation.passages(part, 16, 500) for word in passage.words]
    assert all(word == word.lower() for word in text)
    assert all(word[0].isalnum() and word[-1].isalnum() for word in text)


def test_the_parts_are_of_different_addresses():
    train, valid = punctuation.addresses("train"), punctuation.addresses("valid")
    assert (len(train), len(valid)) == (224, 9)
    assert not set(train) & set(valid)
    assert "".join(line + "\n" for line in valid) == load_text("pretraining").valid
    with pytest.raises(ValueError, match="it is 'test'"):
        punctuation.passages("test")


def test_a_count_takes_passages_from_all_over_the_part():
    every = punctuation.passages("valid", 32)
    some = punctuation.passages("valid", 32, 20)
    assert len(some) == 20 and some[0] == every[0] and some[10] == every[len(every) // 2]
    assert max(len(passage.words) for passage in every) == 32


def test_only_the_first_piece_of_a_word_has_a_label(tokenizer):
    passage = punctuation.strip_marks("Whale, hoy.")
    rows = punctuation.encode(tokenizer, [passage], 8)
    assert tokenizer.convert_ids_to_tokens(rows["input_ids"][0]) == [
        "[CLS]", "whale", "h", "##o", "##y", "[SEP]", "[PAD]", "[PAD]"
    ]  # fmt: skip
    assert rows["labels"].tolist() == [[-100, 3, 4, -100, -100, -100, -100, -100]]
    assert rows["attention_mask"].sum() == 6


def test_words_that_do_not_fit_have_no_label(tokenizer):
    rows = punctuation.encode(tokenizer, [punctuation.strip_marks("whale whale Whale.")], 4)
    assert rows["labels"].tolist() == [[-100, 0, 0, -100]]


def test_perfect_labels_score_one_and_silence_scores_none():
    _, labels = punctuation.strip_marks(TEXT + " So, is it?")
    true = torch.tensor([*labels, -100])
    assert set(punctuation.scores(true, true).values()) == {1.0}
    silent = punctuation.scores(torch.zeros_like(true), true)
    assert set(silent.values()) == {0.0}


def test_marks_and_capitals_are_scored_apart():
    true = torch.tensor([3, 0, 4, -100])  # Word, word word. and a later piece
    lower = punctuation.scores(torch.tensor([2, 0, 4, 9]), true)
    assert lower["capitals"] == 0 and lower[","] == lower["."] == 1


def test_words_and_labels_must_agree():
    with pytest.raises(ValueError, match="2 words have 1 labels"):
        punctuation.restore(["a", "b"], [0])


def test_scores_against_scikit_learns_formulas():
    predicted, true = torch.tensor([0, 0, 1, 1, 2, 0]), torch.tensor([0, 1, 1, 1, 0, 0])
    assert f1(predicted, true, 0) == pytest.approx(2 * (2 / 3) * (2 / 3) / (4 / 3))
    assert f1(predicted, true, 2) == 0
    assert macro_f1(predicted, true, 3) == pytest.approx((2 / 3 + 0.8 + 0) / 3)
    assert accuracy(predicted, true) == pytest.approx(4 / 6)
