"""Sweeps: settings by name, many jobs in parts, and what a rate is chosen by."""

from __future__ import annotations

import math

import pytest
import torch

from lora_lessons.experiments.sweeps import RunSettings, open_sweep
from lora_lessons.experiments.task import all_linear, best_rate, last_tenth
from lora_lessons.train.fast.sweep import Job

TINY = {"steps": 2, "batch_size": 2, "length": 16, "valid_blocks": 4, "dtype": "float64"}
JOBS = [Job(all_linear(2), lr, seed) for lr in (1e-3, 1e-2) for seed in (0, 1)]


def test_given_settings_stand_before_the_usual_ones():
    at = RunSettings.of({"steps": 7}, steps=3, length=32)
    assert (at.steps, at.length, at.base) == (7, 32, "nano")
    with pytest.raises(TypeError, match=r"no setting 'stepps'; did you mean 'steps'"):
        RunSettings.of({"stepps": 7}, steps=3)


def test_jobs_in_parts_are_the_jobs_together_in_their_order():
    together, in_parts = (
        open_sweep(TINY, jobs_at_once=at_once).train(JOBS) for at_once in (len(JOBS), 3)
    )
    assert [(one.job.lr, one.job.seed) for one in in_parts] == [(j.lr, j.seed) for j in JOBS]
    for one, other in zip(together, in_parts, strict=True):
        assert one.history.last == pytest.approx(other.history.last, abs=1e-9)
    assert len({one.history.last for one in in_parts}) == len(JOBS)


def test_a_sweep_reads_as_much_text_as_it_is_told_and_measures_when_it_is_told():
    whole, cut = (open_sweep(TINY, train_tokens=tokens) for tokens in (None, 500))
    assert len(cut.train_ids) == 500 and torch.equal(whole.train_ids[:500], cut.train_ids)
    assert cut.valid.shape == (4, 16)
    (ends,), (each_step,) = (open_sweep(TINY, eval_every=every).train(JOBS[:1]) for every in (0, 1))
    assert ends.history.eval_steps == [0, 2] and each_step.history.eval_steps == [0, 1, 2]


def test_all_linear_has_twice_r_for_alpha_unless_it_is_given():
    assert (all_linear(4).lora_alpha, all_linear(4, 16).lora_alpha) == (8, 16)
    assert all_linear(4).target_modules == "all-linear"
    assert all_linear(4, target_modules=["q_proj"], use_rslora=True).use_rslora


ROWS = [
    {"arm": arm, "lr": lr, "loss": loss}
    for arm, lr, loss in (
        ("a", 0.1, 3.0), ("a", 0.1, 1.0), ("a", 0.2, 2.5), ("a", 0.3, math.nan), ("b", 0.2, 0.0),
    )
]  # fmt: skip


def test_the_rate_has_the_best_mean_of_the_rows_that_are_asked_for():
    assert best_rate(ROWS, arm="a") == 0.1
    assert best_rate(ROWS) == 0.2
    assert best_rate(ROWS, highest=True, arm="a") == 0.2  # nan is the worst in both directions
    assert best_rate(ROWS, lambda row: -row["lr"], arm="a") == 0.3


@pytest.mark.parametrize(("count", "expected"), [(1, 0.0), (9, 8.0), (10, 9.0), (40, 37.5)])
def test_the_last_tenth_is_one_loss_at_least(count, expected):
    assert last_tenth([float(i) for i in range(count)]) == expected
