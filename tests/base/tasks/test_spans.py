"""Answers on a page of definitions."""

from __future__ import annotations

import pytest
import torch

from lora_lessons.base.tasks import spans
from lora_lessons.base.tasks.definitions import definitions


@pytest.fixture(scope="module")
def some():
    return spans.questions(200, valid=True)


def test_the_answer_is_on_the_page_and_fits_the_question(some):
    for question in some:
        if question.sort == spans.BY_WORD:
            word = question.question.removeprefix("what is ").removesuffix("?")
            assert f"{word}: {question.answer}." in question.page
        else:
            assert question.question.startswith("which of these is a")
            assert f"{question.answer}: " in question.page
    assert 60 < sum(question.sort for question in some) < 140


def test_one_seed_makes_one_set_of_questions(some):
    assert spans.questions(200, valid=True) == some
    assert spans.questions(200, valid=True, seed=1) != some


def test_a_validation_page_has_no_training_definition(some):
    known = {entry.text for entry in definitions()[0]}
    asked = {question.answer for question in some if question.sort == spans.BY_WORD}
    assert asked and not asked & known


def test_the_tokens_of_a_span_are_the_answer(tokenizer, some):
    rows = spans.encode(tokenizer, some[:40], 400)
    for row, question in enumerate(some[:40]):
        first, last = rows["start_positions"][row], rows["end_positions"][row]
        tokens = rows["input_ids"][row, first : last + 1]
        read = tokenizer.decode(tokens).replace(" ", "").replace("[UNK]", "")
        answer = "".join(c for c in question.answer.lower() if c.isalnum() or c in ".,:;?'-()")
        assert read == answer
        assert spans.page_mask(rows)[row, first : last + 1].all()
        assert rows["entries"][row] == 4


def test_an_answer_that_was_cut_points_at_cls(tokenizer, some):
    rows = spans.encode(tokenizer, some[:40], 60)
    cut = (rows["start_positions"] == 0) & (rows["end_positions"] == 0)
    assert 0 < cut.sum() < 40


def test_the_page_is_what_may_be_answered(tokenizer):
    question = spans.Question("what?", "whale: whale.", 0, 5, spans.BY_WORD, 2)
    rows = spans.encode(tokenizer, [question], 14)
    tokens = tokenizer.convert_ids_to_tokens(rows["input_ids"][0])
    page = [t for t, on in zip(tokens, spans.page_mask(rows)[0], strict=True) if on]
    assert page == ["whale", ":", "whale", "."]


@pytest.mark.parametrize("longest", [1, 3, 40])
def test_the_best_span_is_that_of_a_search(longest):
    gen = torch.Generator().manual_seed(longest)
    start, end = torch.randn(2, 6, 15, generator=gen)
    page = torch.zeros(6, 15, dtype=torch.long)
    page[:, 4:13] = 1
    found = spans.best_spans(start, end, page, longest)
    for row in range(6):
        pairs = [(i, j) for i in range(4, 13) for j in range(i, min(i + longest, 13))]
        best = max(pairs, key=lambda p, row=row: float(start[row, p[0]] + end[row, p[1]]))
        assert tuple(found[row].tolist()) == best


def test_scores_of_spans():
    true = torch.tensor([[3, 6], [3, 6], [3, 6], [3, 6]])
    guess = torch.tensor([[3, 6], [5, 6], [7, 9], [6, 8]])
    scores = spans.scores(guess, true, torch.tensor([0, 0, 1, 1]))
    assert scores["exact match"] == 0.25
    assert scores["exact match, by word"] == 0.5 and scores["exact match, by meaning"] == 0
    f1 = (1 + 2 * 2 / (2 + 4) + 0 + 2 * 1 / (3 + 4)) / 4
    assert scores["token F1"] == pytest.approx(f1)


def test_a_page_needs_two_entries():
    with pytest.raises(ValueError, match="from 2 to 10; it is 1"):
        spans.questions(1, entries=1)
