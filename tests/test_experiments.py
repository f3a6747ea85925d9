"""What the experiments choose by, and that one sees what it is there to see."""

from __future__ import annotations

import json
import math
from pathlib import Path

import peft
import pytest

from lora_lessons.course import recorded
from lora_lessons.course.ledger import claims_table
from lora_lessons.experiments.lesson00 import read_by_peft
from lora_lessons.experiments.lesson02 import _best_rate
from lora_lessons.experiments.lesson04 import stopping_report
from lora_lessons.experiments.task import as_loss, best_rate
from lora_lessons.train.fast.sweep import JobResult
from lora_lessons.train.history import History


def test_a_loss_that_is_not_a_number_is_the_worst():
    assert [as_loss(x) for x in (math.nan, math.inf, 2.0)] == [math.inf, math.inf, 2.0]


def test_a_run_that_diverged_is_not_chosen():
    rows = [{"arm": "q", "lr": lr, "best": best} for lr, best in ((1.0, math.nan), (0.1, 2.0))]
    assert best_rate(rows, "best", arm="q") == 0.1
    histories = {lr: History(eval_losses=[loss]) for lr, loss in ((1.0, math.nan), (0.1, 2.0))}
    trained = {lr: {"a": [JobResult(None, one, {})]} for lr, one in histories.items()}
    assert _best_rate(trained, "a") == 0.1
    assert stopping_report([3, 2, 1], [math.nan, 2.0, 3.0], [5.0, 4.0, 6.0]) == (1, 4.0, 2.0)


TINY = {"steps": 2, "batch_size": 2, "length": 16}


def test_peft_builds_the_adapted_model_from_the_folder():
    found = read_by_peft(**TINY)
    assert found["moved"] > 0.1 and found["apart"] < 1e-4
    assert read_by_peft(**TINY | {"steps": 4})["moved"] > found["moved"]


def test_a_folder_that_says_something_else_is_seen(monkeypatch):
    read = peft.PeftModel.from_pretrained

    def changed(base, folder):
        path = Path(folder) / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": 16}))
        return read(base, folder)

    monkeypatch.setattr(peft.PeftModel, "from_pretrained", changed)
    found = read_by_peft(**TINY)  # half the scaling: about half of the way
    assert found["apart"] == pytest.approx(found["moved"] / 2, rel=0.1)


def test_the_claim_says_what_peft_read_on_smollm2():
    (claim,) = (claim for claim in claims_table("00").claims if claim.id == "config_defines")
    found = recorded.load("00_read_by_peft_smollm2").data
    assert found["apart"] < 1e-4
    assert f"changes the logits by up to {found['moved']:.1f}." in claim.smollm2
    assert f"and ours is {found['apart']:g} (float32" in claim.smollm2
