"""Primary stress: the words and their labels, the splits, and the rules without a model."""

from __future__ import annotations

import pytest

from lora_lessons.base.load import load_base
from lora_lessons.base.tasks import stress
from lora_lessons.base.tasks.stress import Word


@pytest.mark.parametrize(
    ("sounds", "kind"),
    [
        ("AH0 B AE1 N D AH0 N", 1),
        ("HH AE1 P IY0", 0),
        ("IH2 N F ER0 M EY1 SH AH0 N", 2),
        ("AH0 B R IY2 V IY0 EY1 SH AH0 N", 2),  # the fourth syllable: third or later
        ("K AE1 T", None),
        ("R IY0 D UW0", None),
        ("AH1 P D EY1 T", None),
    ],
)
def test_the_stressed_syllable_is_counted_from_the_front(sounds, kind):
    assert stress.stressed_syllable(sounds) == kind


@pytest.mark.parametrize(
    ("kin", "stem"),
    [
        (("abandon", "abandoned", "abandoning", "abandonments", "abandons"), "abandon"),
        (("elevate", "elevated", "elevation", "elevators"), "elev"),
        (("beginner", "beginning", "beginners"), "begin"),
        (("likely", "like"), "like"),
    ],
)
def test_kin_have_one_stem(kin, stem):
    assert {stress.stem(word) for word in kin} == {stem}


def test_words_are_plain_and_their_ways_agree():
    words = stress.words()
    kinds = {word.text: word.kind for word in words}
    assert len(words) == len(kinds) == 99_233
    assert kinds["abandon"] == 1 and kinds["happy"] == 0 and kinds["information"] == 2
    assert "cat" not in kinds and "record" not in kinds  # one syllable; said in two ways
    assert all(3 <= len(text) <= 15 and text.isalpha() for text in kinds)


def test_families_have_three_to_twelve_forms_and_are_stressed_alike():
    known = stress.families()
    assert {len(kin) for kin in known.values()} <= set(range(3, 13))
    words = [word for kin in known.values() for word in kin]
    same = sum(
        word.kind == stress.commonest([other.kind for other in kin])
        for kin in known.values()
        for word in kin
    )
    assert 0.88 < same / len(words) < 0.93


def stems(words):
    return {word.stem for word in words}


def test_a_split_by_stem_shares_no_stem_and_loses_no_word():
    some = stress.some_families(60)
    train, valid = stress.split_by_stem(some, 50, seed=3)
    assert not stems(train) & stems(valid)
    assert sorted(train + valid) == sorted(some) and 50 <= len(valid) < 62
    assert stress.split_by_stem(some, 50, seed=3) == (train, valid)
    assert stress.split_by_stem(some, 50, seed=4) != (train, valid)


def test_a_split_at_random_shares_nearly_all_stems():
    some = stress.some_families(60)
    train, valid = stress.split_at_random(some, 50)
    assert len(valid) == 50 and sorted(train + valid) == sorted(some)
    assert sum(word.stem in stems(train) for word in valid) > 40


def test_the_three_parts_of_the_study_share_no_stem():
    train, valid, test = stress.study_words(400, 100, 100)
    assert [len(part) for part in (train, valid, test)] == [400, 100, 100]
    assert not (stems(train) & stems(valid) or stems(train) & stems(test))
    assert not stems(valid) & stems(test)


def word(text, kind):
    return Word(text, kind, stress.stem(text))


def test_the_ending_rule_takes_the_longest_ending_that_is_known():
    train = [word("nation", 0), word("station", 0), word("relation", 1), word("divine", 1)]
    train += [word("marine", 1)]
    asked = [word("ration", 0), word("refine", 1), word("xyz", 0), word("lion", 1)]
    assert stress.by_ending(train, asked) == [0, 1, 1, 0]  # -tion; -ine; nothing; -ion
    assert stress.by_majority(train, asked) == [1, 1, 1, 1]


def test_a_short_word_has_no_ending_longer_than_itself():
    assert stress.endings("cat", 4) == ["cat", "at", "t", ""]
    train = [word("bacb", 0), word("xxb", 1), word("yyb", 1), word("zzb", 1)]
    assert stress.by_ending(train, [word("acb", 0)]) == [0]


def test_of_two_equally_common_classes_the_first_is_taken():
    assert stress.commonest([2, 1, 2, 1]) == 1


def test_scores_are_accuracy_and_the_mean_of_f1():
    found = stress.scores([0, 0, 1, 0], [0, 0, 1, 2])
    assert found["accuracy"] == 0.75
    assert found["macro F1"] == pytest.approx((2 * 2 / 5 + 1 + 0) / 3)


def test_rows_are_padded_and_labelled():
    _, tokenizer = load_base("nano_encoder")
    rows = stress.encode(tokenizer, [word("abandoned", 1), word("happy", 0)])
    assert rows["input_ids"].shape == rows["attention_mask"].shape == (2, 12)
    assert rows["labels"].tolist() == [1, 0]
    assert tokenizer.decode(rows["input_ids"][0], skip_special_tokens=True) == "abandoned"
