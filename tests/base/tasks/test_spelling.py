"""Spelling to sound: the dictionary, a split that holds back whole beginnings, rows, and scores."""

from __future__ import annotations

import hashlib
import lzma
import re

import pytest
import torch
from transformers import ByT5Tokenizer

from lora_lessons.base.tasks import spelling
from lora_lessons.base.tasks.spelling import Entry, edit_distance
from lora_lessons.base.text import DATA

CAT = Entry("cat", ("K AE T",))
READ = Entry("read", ("R EH D", "R IY D"))


@pytest.fixture(scope="module")
def tokenizer():
    return ByT5Tokenizer()


# --- the dictionary ----------------------------------------------------------------------------


def test_a_word_has_its_sounds_without_stress_and_each_way_to_say_it():
    words = {entry.word: entry.sounds for entry in spelling.dictionary()}
    assert words["cat"] == ("K AE T",)
    assert set(words["read"]) == {"R EH D", "R IY D"}
    assert words["address"] == ("AE D R EH S",), "two ways that differ in stress alone are one"
    assert len(words) == len(spelling.dictionary()) == 115_682


def test_only_plain_words_that_fit_the_rows_are_in():
    for word, sounds in spelling.dictionary():
        assert word.isalpha() and word.islower() and 3 <= len(word) <= 15
        assert all(0 < len(way) <= 31 and way.replace(" ", "").isupper() for way in sounds)


def test_the_sounds_are_39():
    sounds = {
        sound for entry in spelling.dictionary() for way in entry.sounds for sound in way.split()
    }
    assert len(sounds) == 39


def test_the_vowels_are_the_sounds_that_carry_a_mark_of_stress():
    text = lzma.decompress((DATA / "cmudict.txt.xz").read_bytes()).decode("utf-8")
    sounds = " ".join(line.split("  ")[1] for line in text.splitlines())
    assert set(re.findall(r"([A-Z]+)[012]", sounds)) == spelling.VOWELS


def test_the_licence_is_beside_the_dictionary():
    assert "Carnegie Mellon University" in (DATA / "LICENSE-cmudict.txt").read_text()
    assert "cmudict.txt.xz" in (DATA / "README.md").read_text()


# --- the split ---------------------------------------------------------------------------------


def test_the_parts_share_no_word_and_no_beginning():
    train, valid = spelling.split()
    assert len(train) == 108_492 and len(valid) == 7_190
    assert {e.word[:3] for e in train}.isdisjoint(e.word[:3] for e in valid)
    assert sorted(e.word for e in (*train, *valid)) == [e.word for e in spelling.dictionary()]


ENDS = ("s", "es", "ed", "er", "ers", "ing", "ings", "ly", "d", "r")


def forms(word: str) -> set[str]:
    """The inflections of a word, and forms that only look like one."""
    found = {word + end for end in ENDS} | {word + word[-1] + end for end in ENDS}
    if word.endswith("e"):
        found |= {word[:-1] + end for end in ("ing", "ings", "ed", "er", "ers", "y")}
    if word.endswith("y"):
        found |= {word[:-1] + end for end in ("ies", "ied", "ier", "iers", "ily")}
    return found


def test_no_inflection_of_a_word_is_in_the_other_part_but_for_words_of_three_letters():
    train, valid = ({entry.word for entry in part} for part in spelling.split())
    pairs = [(w, f) for w in train for f in forms(w) & valid]
    pairs += [(w, f) for w in valid for f in forms(w) & train]
    assert all(len(word) == 3 for word, _ in pairs)  # "sue", "suing": two letters in common
    assert len(pairs) <= 12


def test_the_split_is_the_same_for_ever():
    """Recorded runs depend on it."""
    words = ",".join(entry.word for entry in spelling.split()[1])
    assert hashlib.sha256(words.encode()).hexdigest()[:12] == "21c0dd7cee4a"


def test_some_are_taken_at_equal_distances():
    assert spelling.spread_out("abcdefgh", 4) == ["a", "c", "e", "g"]
    assert spelling.spread_out("ab", 4) == ["a", "b"]


# --- rows --------------------------------------------------------------------------------------


def test_rows_have_fixed_lengths_an_end_and_no_label_at_the_padding(tokenizer):
    rows = spelling.encode(tokenizer, [CAT, READ])
    assert {name: tuple(v.shape) for name, v in rows.items()} == {
        "input_ids": (2, 16),
        "attention_mask": (2, 16),
        "labels": (2, 32),
    }
    labels = rows["labels"][1]
    assert labels.dtype == torch.long
    assert tokenizer.decode(labels[labels != -100]) == "R EH D</s>", "the first way is the label"
    assert (labels != -100).sum() == len("R EH D") + 1
    assert rows["attention_mask"].sum(1).tolist() == [4, 5]
    assert tokenizer.decode(rows["input_ids"][0], skip_special_tokens=True) == "cat"


def test_the_longest_word_and_sounds_fit(tokenizer):
    words = sorted(spelling.dictionary(), key=lambda e: len(e.word))[-1:]
    words += sorted(spelling.dictionary(), key=lambda e: len(e.sounds[0]))[-1:]
    rows = spelling.encode(tokenizer, words)
    assert rows["input_ids"].shape == (2, 16) and rows["labels"].shape == (2, 32)
    assert (rows["labels"] == tokenizer.eos_token_id).sum(1).tolist() == [1, 1]


# --- scores ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guess", "target", "distance"),
    [
        ("K AE T", "K AE T", 0),
        ("K AE T", "K AH T", 1),
        ("AE T", "K AE T", 1),
        ("K AE T S", "K AE T", 1),
        ("SH IH R", "S IH R", 1),
        ("T AE K", "K AE T", 2),
        ("", "K AE T", 3),
        ("K AE T", "", 3),
        ("", "", 0),
    ],
)
def test_edit_distance(guess, target, distance):
    assert edit_distance(guess.split(), target.split()) == distance


def test_edit_distance_is_a_distance():
    lists = [word.split() for word in ("K AE T", "AE T", "T AE K S", "", "S T EH R")]
    for a in lists:
        for b in lists:
            assert edit_distance(a, b) == edit_distance(b, a)
            assert (edit_distance(a, b) == 0) == (a == b)
            for c in lists:
                assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


def test_any_way_to_say_a_word_is_right():
    assert spelling.scores(["K AE T", "R IY D"], [CAT, READ]) == {
        "exact match": 1.0,
        "sound error rate": 0.0,
    }


def test_errors_are_counted_over_all_sounds():
    found = spelling.scores(["K AE", "R IY D Z"], [CAT, READ])
    assert found == {"exact match": 0.0, "sound error rate": 2 / 6}
    assert spelling.scores(["AH " * 12], [CAT])["sound error rate"] == 4.0
    with pytest.raises(ValueError, match="argument"):
        spelling.scores(["K AE T"], [CAT, READ])
