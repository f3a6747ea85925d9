"""The runs on primary stress: what trains in each arm, which rate is chosen, where kin are."""

from __future__ import annotations

import pytest
import torch

from lora_lessons.experiments import stress as experiment
from lora_lessons.experiments.task import best_rate

TINY = {"steps": 2, "batch_size": 4, "dtype": "float64"}


@pytest.mark.parametrize("arm", experiment.ARMS)
def test_each_arm_trains_its_own_part(arm):
    model, _ = experiment.stress_model(arm, seed=0)
    trains = {name for name, p in model.named_parameters() if p.requires_grad}
    new = {name for name in trains if "classifier" in name or "pooler" in name}
    adapters = {name for name in trains if "lora_" in name}
    assert new
    if arm == experiment.FULL:
        assert trains == {name for name, _ in model.named_parameters()}
    elif arm == experiment.HEAD_ALONE:
        assert trains == new
    else:
        assert trains == new | adapters and adapters
        assert any("dense" in name for name in adapters) == ("query" not in arm)


def test_the_head_is_the_same_in_every_arm_of_a_seed():
    heads = [
        next(
            p
            for name, p in experiment.stress_model(arm, 3)[0].named_parameters()
            if "classifier" in name and name.endswith("weight") and p.requires_grad
        )
        for arm in experiment.ARMS
    ]
    assert all(torch.equal(heads[0], head) for head in heads[1:])


def test_an_unknown_arm_is_named():
    with pytest.raises(ValueError, match="no arm 'LoRA, r = 9'; did you mean 'LoRA, r = 8'"):
        experiment.stress_model("LoRA, r = 9", 0)


def test_the_rate_is_the_best_over_the_tuning_seeds():
    rows = [
        {"arm": "a", "lr": lr, "accuracy": accuracy}
        for lr, accuracy in ((1e-3, 0.9), (1e-3, 0.1), (2e-3, 0.6), (2e-3, 0.7))
    ]
    assert (
        best_rate([*rows, {"arm": "b", "lr": 1.0, "accuracy": 1.0}], "accuracy", True, arm="a")
        == 2e-3
    )


def test_choices_are_tuned_on_other_seeds_and_words():
    rates = {experiment.LORA: [1e-3, 3e-3], experiment.HEAD_ALONE: [1e-2]}
    found = experiment.choices(
        rates, tuning_seeds=(10,), seeds=(0, 1), words=(60, 20, 30), eval_every=1, **TINY
    )
    assert {row["seed"] for row in found["tuning"]} == {10}
    assert {row["seed"] for row in found["runs"]} == {0, 1}
    assert found["chosen"][experiment.LORA] in (1e-3, 3e-3) and found["words"] == [60, 20, 30]
    for row in found["runs"]:
        assert row["steps"] == [0, 1, 2] and row["curve"][-1] == row["accuracy"]
        assert (row["accuracy"] * 30) % 1 == pytest.approx(0)  # of the 30 test words
    again = experiment.choices(rates, (10,), (0, 1), words=(60, 20, 30), eval_every=1, **TINY)
    assert [r["curve"] for r in again["runs"]] == [r["curve"] for r in found["runs"]]


def test_the_leak_is_in_the_random_split_alone():
    found = experiment.leak(families=40, valid=30, seeds=(0,), eval_every=0, **TINY)
    random, by_stem = found["runs"]
    assert random["split"] == "at random" and random["kin"] > 0.8
    assert by_stem["kin"] == 0.0


def test_peft_reads_the_adapter_with_its_head():
    words = experiment.stress.some_families(20)
    found = experiment.read_by_peft(words[:40], words[40:60], steps=3)
    assert found["same"] == 1.0 and found["apart"] < 1e-5 and found["bytes"] > 50_000
