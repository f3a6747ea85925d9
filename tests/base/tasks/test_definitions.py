"""The class of a thing from its definition."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from lora_lessons.base.tasks import definitions
from lora_lessons.base.text import Gloss, glosses


def gloss(text: str, kind: str = "noun.act") -> Gloss:
    return Gloss(kind, ("word",), text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ('free of immorality; "an incorrupt policeman"', "free of immorality"),
        ('in music; "Play this lento, please"; "so"', "in music"),
        ("causing cold; cooling", "causing cold; cooling"),
        ('a range: "the hills"', "a range"),
    ],
)
def test_a_definition_has_no_examples(text, plain):
    assert definitions.definition(gloss(text)) == plain


def test_whole_blocks_of_neighbours_validate():
    entries = [gloss(str(i)) for i in range(1000)]
    train, valid = definitions.split_in_blocks(entries)
    assert [int(entry.text) for entry in valid] == [*range(450, 500), *range(950, 1000)]
    assert len(train) == 900


def test_hurtful_entries_are_left_out():
    train, valid = definitions.split_in_blocks([gloss("(ethnic slur) a word"), gloss("a deed")])
    assert [entry.text for entry in train] == ["a deed"] and valid == []
    texts = [entry.text for part in definitions.definitions() for entry in part]
    assert not any("offensive" in text for text in texts)


def test_no_definition_is_in_both_parts_and_every_class_is():
    train, valid = definitions.definitions()
    assert not {entry.text for entry in train} & {entry.text for entry in valid}
    for part in (train, valid):
        sizes = Counter(entry.kind for entry in part)
        assert len(sizes) == len(definitions.CLASSES)
        assert sizes[definitions.CLASSES.index("feeling")] < 0.02 * len(part)


def test_the_class_is_wordnets():
    kinds = {(g.words[0], definitions.definition(g)): g.lexical_class for g in glosses()}
    for entry in definitions.definitions()[1][:500]:
        assert kinds[entry.word, entry.text] == f"noun.{definitions.CLASSES[entry.kind]}"


def test_a_row_for_each_definition(tokenizer):
    rows = definitions.encode(tokenizer, [definitions.Definition("x", "a whale", 3)] * 2, 6)
    assert rows["labels"].tolist() == [3, 3]
    assert rows["attention_mask"].tolist() == [[1, 1, 1, 1, 0, 0]] * 2


def test_the_commonest_class_alone_has_a_low_macro_f1():
    true = torch.tensor([4] * 90 + list(range(10)))
    scores = definitions.scores(torch.full_like(true, 4), true)
    assert scores["accuracy"] == 0.91
    assert scores["macro F1"] == pytest.approx((2 * 91 / (100 + 91)) / 10)
