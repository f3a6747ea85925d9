"""The benchmark of several GPUs: its arithmetic, and its cases on two processes of the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import many_gpus, many_gpus_cases
from benchmarks.many_gpus_cases import SMALL, adapter_shapes, checked_adapter

ROOT = Path(__file__).resolve().parents[2]


def small_run(folder, *arguments):
    command = [sys.executable, str(ROOT / "benchmarks/many_gpus.py"), "--small", "--gpus", "2"]
    command += ["--out", str(folder), "--commit", "c" * 40, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    return done, json.loads((folder / "many_gpus.json").read_text())


def test_every_number_of_gpus_has_its_cases():
    names = list(many_gpus.cases(8, "folder"))
    assert names[:4] == ["ddp, 1", "ddp, 2", "ddp, 4", "ddp, 8"]
    assert {"one process, batch of 4", "sharded 70B, 8", "resumed"} < set(names)
    assert list(many_gpus.cases(3, ""))[:3] == ["ddp, 1", "ddp, 2", "ddp, 3"]
    assert {case[1] for case in many_gpus.cases(2, "").values()} == set(many_gpus_cases.CASES)


def test_weak_scaling_and_losses_are_beside_those_of_one_process():
    rows = {
        f"ddp, {n}": {
            "provenance": {"processes": n},
            "tokens_a_second": rate,
            "losses": [2.0, 4.0],
        }
        for n, rate in ((1, 10.0), (2, 19.0))
    }
    rows |= {"one process, batch of 2": {"losses": [2.0, 5.0]}, "ddp, 4": {"failed": "so"}}
    many_gpus.compared(rows)
    assert rows["ddp, 2"]["weak_scaling"] == pytest.approx(0.95)
    assert rows["ddp, 2"]["off"] == pytest.approx(0.2)
    assert "weak_scaling" not in rows["ddp, 1"] and rows["ddp, 4"] == {"failed": "so"}
    assert many_gpus.line("x", rows["ddp, 4"]).endswith("FAILED: so")


def test_a_saved_adapter_is_looked_at(tmp_path):
    from safetensors.torch import save_file

    tensors = {name: torch.ones(shape) for name, shape in adapter_shapes(SMALL).items()}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    assert checked_adapter(tmp_path, SMALL)["tensors"] == 2 * 7 * SMALL.layers
    last = sorted(name for name in tensors if "lora_B" in name)[-1]
    for change in ({last: torch.zeros(tensors[last].shape)}, {"more": torch.ones(1)}):
        save_file(tensors | change, tmp_path / "adapter_model.safetensors")
        with pytest.raises(AssertionError, match=r"not trained|other names"):
            checked_adapter(tmp_path, SMALL)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_peft_asks_for_the_names_that_the_large_adapters_are_held_to(tmp_path):
    import peft

    torch.manual_seed(0)
    base = SMALL.build("cpu", torch.float32)
    model = peft.get_peft_model(base, peft.LoraConfig(**many_gpus_cases.ADAPTERS))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(1.0)
    model.save_pretrained(tmp_path)
    assert checked_adapter(tmp_path, SMALL)["tensors"] == 42


@pytest.mark.nightly  # eight launches of two processes: two minutes
def test_all_cases_run_on_two_processes(tmp_path):
    done, results = small_run(tmp_path)
    assert done.returncode == 0, (done.stdout, done.stderr[-3000:])
    assert list(results) == list(many_gpus.cases(2, ""))
    assert all(results[name]["off"] < 1e-3 for name in ("ddp, 2", "ddp, 2, not captured"))
    assert results["resumed"]["resumed_from"] == 16 and results["resumed"]["off"] == 0
    assert results["sharded 70B, 2"]["adapter"]["tensors"] == 42
    assert results["ddp, 2"]["provenance"]["commit"] == "c" * 40
    assert "resumed" in done.stdout


@pytest.mark.nightly
def test_a_case_that_fails_has_its_reason_and_the_rest_goes_on(tmp_path):
    done, results = small_run(tmp_path, "--only", "resumed", "one process")
    assert done.returncode == 1  # nothing was there to be resumed
    assert "checkpoint" in results["resumed"]["failed"]
    assert results["one process, batch of 2"]["losses"]
