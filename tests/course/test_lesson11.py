"""Lesson 11: its experiments count what a step takes, and its sentences agree with them."""

from __future__ import annotations

import sys
import time

import pytest

from lora_lessons.experiments.capture_by_hand import captured_by_hand
from lora_lessons.experiments.step_memory import (
    ARMS,
    PARTS,
    measured_memory,
    predicted_memory,
    shape_config,
)
from lora_lessons.experiments.step_times import product_flops, seconds_of_steps, step_times

NANO = [["nano", 2, 16]]
WITHOUT_4BIT = [name for name in ARMS if not name.startswith("QLoRA")]


def test_what_is_predicted_is_what_a_real_step_takes():
    predicted = predicted_memory(NANO, WITHOUT_4BIT, predicts="cpu")["rows"]
    measured = measured_memory(NANO, WITHOUT_4BIT)["rows"]
    for one, other in zip(predicted, measured, strict=True):
        assert one["arm"] == other["arm"]
        assert one["peak"] == other["peak"], one["arm"]
        rest = one["frozen"] + one["trained"] + one["optimizer"]
        assert abs(other["rest"] - rest) < 2000, one["arm"]  # token ids and rotary frequencies


def test_the_arms_differ_in_what_they_say():
    row = {r["arm"]: r for r in predicted_memory(NANO, r=2, predicts="cpu")["rows"]}
    assert set(PARTS) < set(row["LoRA"])
    assert row["full, float32"]["optimizer"] > 1.9 * row["full, bf16"]["optimizer"]
    assert row["LoRA, whole logits"]["logits"] > row["LoRA"]["logits"]
    assert row["LoRA, recomputed"]["activations"] < row["LoRA"]["activations"] / 4
    assert row["QLoRA"]["frozen"] < row["LoRA"]["frozen"]
    assert row["LoRA"]["frozen_count"] == row["QLoRA"]["frozen_count"]


def test_an_arm_that_needs_bitsandbytes_says_so_where_it_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # makes its import fail
    (row,) = measured_memory(NANO, ["QLoRA"])["rows"]
    assert "bitsandbytes" in row["failed"]
    (row,) = step_times(NANO, ["QLoRA"], ["eager"])["rows"]
    assert "bitsandbytes" in row["failed"]


def test_an_unknown_size_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean '8 B'"):
        shape_config("8 b")


@pytest.mark.parametrize("size", ["nano", "5 M"])
def test_full_fine_tuning_is_six_n_and_lora_on_one_matrix_near_four(size):
    full = product_flops(shape_config(size), None, 2, 8)
    assert full["forward"] == 2 * full["weights"] and full["step"] == 6 * full["weights"]
    adapted = product_flops(shape_config(size), ["q_proj"], 2, 8, r=1)
    assert adapted["weights"] == full["weights"]
    assert adapted["step"] / adapted["weights"] == pytest.approx(
        4, rel=0.03
    )  # nothing goes back below the first


def test_a_step_that_the_host_waits_for_is_launched_as_it_is_done():
    found = seconds_of_steps(lambda: time.sleep(0.002), "cpu", repeats=2, steps=3)
    assert len(found["cold"]) == 6 and len(found["done"]) == 2 and found["steps"] == 3
    for launched, done in zip(found["launched"], found["done"], strict=True):
        assert 0.002 <= launched <= done < 0.2


def test_a_step_is_timed_and_its_loss_is_kept():
    rows = step_times(NANO, ["LoRA", "full, bf16"], ["eager"], repeats=1, steps=1)["rows"]
    assert [row["arm"] for row in rows] == ["LoRA", "full, bf16"]
    assert all(5.5 < row["loss"] < 7 and row["seconds"]["done"] for row in rows)


def test_the_step_that_is_captured_by_hand_trains():
    """On a CPU the eager half alone; its losses fall, and begin after the warm-up's steps."""
    found = captured_by_hand(rows=2, length=16, further=4, repeats=1, steps=1)
    assert list(found) == ["eager"]
    losses = found["eager"]["losses"]
    assert losses == sorted(losses, reverse=True) and losses[0] - losses[-1] > 1e-3
