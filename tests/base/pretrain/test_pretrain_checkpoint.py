"""Stopping and resuming a pretraining run (that it is bit for bit: test_run.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_lessons.base.pretrain import RECIPES, Run
from lora_lessons.base.pretrain.checkpoint import checkpoint_path, resume, save_checkpoint
from lora_lessons.base.text import Corpus

TINY = replace(RECIPES["tiny"], dropout=0.1, eval_every=100)


@pytest.fixture
def make(tmp_path):
    """Make a run in one folder, with other settings where given."""
    lines = "".join(f"the {i}th line of a text that is made up\n" for i in range(300))
    corpus = Corpus("made up", train=lines, valid=lines[:2000], licence="none", source="here")

    def make(seed: int = 0, **settings) -> Run:
        return Run(replace(TINY, **settings), corpus, tmp_path, seed, "cpu")

    return make


def test_without_a_checkpoint_there_is_nothing_to_resume(make):
    assert resume(make()) is False


def test_weights_moments_windows_and_random_state_come_back(make):
    run = make()
    run.train(show=False)
    expected = (next(run.batches)["input_ids"], torch.rand(3))
    run = make()
    torch.manual_seed(99)
    assert resume(run) and run.step == TINY.steps
    assert len(run.evaluations) == 1 and run.best
    assert torch.equal(next(run.batches)["input_ids"], expected[0])
    assert torch.equal(torch.rand(3), expected[1])
    assert all(state["step"] == TINY.steps for state in run.optimizer.state.values())
    saved = torch.load(checkpoint_path(run), weights_only=True)["model"]
    assert all(torch.equal(saved[k], v) for k, v in run.model.state_dict().items())


def test_a_checkpoint_of_other_settings_is_refused_before_anything_changes(make):
    save_checkpoint(make())
    other = make(seed=1, lr=1e-4)
    before = {k: v.clone() for k, v in other.model.state_dict().items()}
    with pytest.raises(ValueError, match="another lr, seed"):
        resume(other)
    assert all(torch.equal(before[k], v) for k, v in other.model.state_dict().items())


def test_a_failed_write_leaves_the_old_checkpoint(make, monkeypatch):
    run = make()
    save_checkpoint(run)
    before = checkpoint_path(run).read_bytes()
    run.step = 7

    def fail(_, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(run)
    assert checkpoint_path(run).read_bytes() == before
