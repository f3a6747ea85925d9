"""A check runs under PyTorch's usual settings, and leaves those of the notebook as they were."""

from __future__ import annotations

import pytest
import torch
from answer_key import lesson_answers
from notebook_source import lesson_sources
from torch.overrides import TorchFunctionMode

import lora_lessons as ll
from lora_lessons.course.checks.core import RIGHT, WRONG
from lora_lessons.course.checks.usual import modes, pop_modes
from tests.course.test_exercises import define

SOURCES = {path.name[:2]: path for path in lesson_sources() if path.name[:2] != "15"}


class Yes(TorchFunctionMode):
    """Every comparison of two tensors says that they agree."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        agrees = getattr(func, "__name__", "") in ("allclose", "equal", "isclose")
        return True if agrees else func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _own_settings():
    yield
    pop_modes(0)
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


@pytest.mark.parametrize("number", SOURCES)
@pytest.mark.filterwarnings("default")
def test_a_notebook_in_float64_without_gradients_costs_no_answer(number):
    lesson, answers = ll.lesson(number), lesson_answers(SOURCES[number])
    coded = {n: define(answers[n], n) for n, e in lesson.exercises.items() if e.own is None}
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_default_device("cpu")
    said = {name: getattr(lesson.check, name)(answer, seed=1) for name, answer in coded.items()}
    assert {name: v for name, v in said.items() if v.outcome != RIGHT} == {}
    assert torch.get_default_dtype() == torch.float64 and not torch.is_grad_enabled()
    assert len(modes()) == 1


def test_a_mode_that_a_notebook_left_on_judges_nothing():
    mode = Yes()
    mode.__enter__()
    verdict = ll.lesson("01").check.best_rank_k(lambda W, k: torch.ones_like(W), seed=1)
    assert verdict.outcome == WRONG and modes() == [mode]


def test_a_mode_that_an_answer_leaves_on_is_named_and_taken_off():
    def best_rank_k(W, k):
        Yes().__enter__()
        U, S, Vh = torch.linalg.svd(W, full_matrices=False)
        return (U[:, :k] * S[:k]) @ Vh[:k]

    verdict = ll.lesson("01").check.best_rank_k(best_rank_k, seed=1)
    assert verdict.outcome == WRONG and "mode of PyTorch's functions" in verdict.message
    assert modes() == []
