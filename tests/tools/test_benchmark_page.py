"""docs/training.md says what the benchmarks' stored results say."""

from __future__ import annotations

import copy
import json

import benchmark_page
import pytest
from benchmark_page import PAGE, PARTS, filled, parts_of, results


def about(date="2026-11-30T10:00:00", commit="abcdef0123"):
    return {"date": date, "device": "H200", "torch": "2.11", "commit": commit, "processes": 2}


def row(milliseconds, peak=10.0, **more):
    found = {"seconds": milliseconds / 1e3, "loss": 3.0, "peak_gib": peak, "first": 11.6}
    return {**found, "reserved_gib": peak + 1, **more}


OURS, LIGER = "ours, compiled and captured", "PEFT bf16, Liger"


@pytest.fixture
def stored(monkeypatch):
    """Results that a test may change: name of the file -> what it holds."""
    files = copy.deepcopy(dict(results()))
    monkeypatch.setattr(benchmark_page, "load", files.__getitem__)
    return files


def changed(page, stored):
    """The parts that would be written anew."""
    return {n for n, text in parts_of(filled(page, stored)).items() if text != parts_of(page)[n]}


def test_the_page_says_what_is_stored():
    page = PAGE.read_text("utf-8")
    assert sorted(parts_of(page)) == sorted(PARTS), "each part has one place in the page"
    differ = [
        name
        for name, text in parts_of(filled(page, results())).items()
        if text != parts_of(page)[name]
    ]
    assert differ == [], "run `make tables`"


def test_another_result_is_another_page(stored):
    page = filled(PAGE.read_text("utf-8"), stored)
    stored["gpu"]["shapes"]["1B 8x2048"]["rows"][OURS] = row(123.4, peak=12.3)
    assert changed(page, stored) == {"steps", "one_billion", "memory", "goals"}
    assert "| 123.4 |" in PARTS["steps"](stored) and "12.3 GiB" in PARTS["one_billion"](stored)


def test_the_large_shapes_have_their_ratios_and_what_failed(stored):
    rows = {LIGER: row(500.0, 49.0), OURS: row(450.0, 39.0)}
    lost = {LIGER: {"failed": "OutOfMemoryError: no"}, OURS: row(2000.0)}
    stored["gpu"]["shapes"] = {
        "8B 4x2048": {"provenance": about(), "rows": rows},
        "8B 1x16384, NF4, recomputing": {"provenance": about(), "rows": lost},
    }
    text = PARTS["large"](stored)
    first = "| 8 B, 4 x 2,048 | 500.0 (50.0 GiB) | 450.0 (40.0 GiB) | - | 0.90 | - | 0.80 | 12 s |"
    assert first in text
    assert "| 8 B, 1 x 16,384, NF4, recomputing | - | 2000 (11.0 GiB) | - | - |" in text
    assert "PEFT bf16, Liger: failed. OutOfMemoryError: no" in text
    assert "H200, PyTorch 2.11, 2026-11-30, commit abcdef0." in text


def test_a_goal_is_reached_or_missed_by_what_was_measured(stored):
    rows = {LIGER: row(500.0, 49.0), OURS: row(450.0, 39.0)}
    stored["gpu"]["shapes"] = {"8B 4x2048, recomputing": {"provenance": about(), "rows": rows}}
    text = PARTS["goals"](stored)
    assert "| time, of PEFT bf16, Liger | 0.90 | 0.900 | reached |" in text
    rows[OURS] = row(460.0, 50.0)
    text = PARTS["goals"](stored)
    assert "| 0.90 | 0.920 | missed by 0.020 |" in text
    assert "| peak of tensors, of PEFT bf16, Liger | 1.00 | 1.020 | missed by 0.020 |" in text
    assert "1 B" not in text  # what was not measured is neither


def test_predicted_memory_is_beside_the_measured(stored):
    rows = {
        OURS: row(1.0, 0.5, predicted_gib=0.25),
        "ours, captured": row(1.0, 10, predicted_gib=9),
    }
    stored["gpu"]["shapes"] = {"1B 8x2048": {"provenance": about(), "rows": rows}}
    assert "| compiled | 0.50 GiB | 0.25 | -256 MiB |" in PARTS["memory"](stored)
    assert "| as written | 10.00 GiB | 9.00 | -10.0 % |" in PARTS["memory"](stored)


def test_several_gpus_have_their_rates_and_losses(stored):
    one = {"tokens_a_second": 100.0, "captured": True, "memory": {"peak_gib": 17.4}, "seconds": 0.2}
    two = one | {"tokens_a_second": 190.0, "weak_scaling": 0.95, "off": 0.0004}
    sharded = {"shape": "70B 1x2048, recomputing", "filled": {"kept_gib": 66.1}, "seconds": 1.5}
    sharded |= {"tokens_a_second": 2730.0, "memory": {"peak_gib": 80.0}, "predicted_gib": 81.0}
    sharded["adapter"] = {"tensors": 1120, "mib": 790.0}
    stored["many_gpus"] = {
        "ddp, 1": one | {"provenance": about() | {"processes": 1}},
        "ddp, 2": two | {"provenance": about()},
        "ddp, 2, not captured": two | {"provenance": about(), "captured": False},
        "sharded 70B, 2": sharded | {"provenance": about()},
        "sharded 8B, 2": {"failed": "RuntimeError: so"},
        "resumed": {"provenance": about(), "steps": 40, "resumed_from": 16, "off": 0.0},
    }
    text = PARTS["gpus"](stored)
    assert "| 1 GPU | 200.0 | 100 | - | - | yes | 17.4 |" in text
    assert "| 2 GPUs | 200.0 | 190 | 0.95 | 0.040 % | yes | 17.4 |" in text
    assert "| 2 GPUs | 200.0 | 190 | 0.95 | 0.040 % | no | 17.4 |" in text
    cells = "2 | 66.1 GiB | 80.0 | 81.0 | 1500 | 2,730 | 1120 tensors, 790 MiB |"
    assert f"| 70 B, 1 x 2,048, recomputing | {cells}" in text
    assert "sharded 8B, 2: failed. RuntimeError: so" in text
    assert "went on from its checkpoint of step 16 to the same losses bit for bit" in text


def test_runs_of_some_shapes_are_joined_and_the_later_counts(stored, monkeypatch, tmp_path):
    saved = {}
    stored["gpu"]["shapes"]["1B 8x2048"]["rows"][OURS] = row(9.0, predicted_gib=5.0)
    monkeypatch.setattr(benchmark_page, "save", lambda name, results, folder: saved.update(results))
    late, early = about("2099-01-01"), about("2000-01-01")
    for name, day in (("late", late), ("early", early)):
        shapes = {"1B 8x2048": {"provenance": day, "rows": {OURS: row(1.0)}}}
        (tmp_path / name).write_text(json.dumps({"shapes": shapes}))
    benchmark_page.merge([tmp_path / "late", tmp_path / "early"])
    assert saved["shapes"]["1B 8x2048"]["provenance"] == late
    (joined,) = saved["shapes"]["1B 8x2048"]["rows"].values()
    assert joined["seconds"] == 0.001 and joined["predicted_gib"] == 5.0
    assert next(iter(saved["shapes"])) == "5M 16x128" and "many" in saved
