"""Two processes on the CPU train as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from models import batch, tiny_decoder, token_ids

from lora_lessons.config import LoraConfig
from lora_lessons.model import get_peft_model
from lora_lessons.tokens import TokenBatches
from lora_lessons.train.distributed import ALONE, Processes, join
from lora_lessons.train.loop import fit

CASES = ("windows", "uneven", "accumulated", "full")
HERE = Path(__file__).parent


def uneven_batches():
    """Three batches of five rows with few labels in some: a mean of means would be wrong."""
    batches = [batch(rows=5, seed=seed) for seed in range(3)]
    for i, one in enumerate(batches):
        one["labels"][: 2 + i, 3:] = -100
    return batches


def run_case(case, folder=None):
    """The very call that both one and two processes make."""
    base = tiny_decoder()
    torch.manual_seed(0)
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear"))
    if case == "full":
        model = tiny_decoder().requires_grad_(True)
    batches = TokenBatches(token_ids(), 4, 16, seed=0) if case == "windows" else uneven_batches()
    how = {"steps": 6, "lr": 1e-2, "clip": 0.5, "schedule": "cosine", "progress": True}
    how["accumulate"] = 2 if case == "accumulated" else 1
    return fit(model, batches, checkpoint=folder, checkpoint_every=3, **how)


def under_torchrun(code, folder, port):
    """What two processes print, run as `torchrun` runs them."""
    script = folder / "script.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(HERE)!r})\n{code}")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", str(port), str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment, check=False
    )


TOGETHER = """
import json, os, sys, warnings
from pathlib import Path
from test_distributed import CASES, run_case
warnings.simplefilter("error")
folder = Path({out!r})
rank = os.environ["RANK"]
sys.stderr = (folder / f"stderr{{rank}}").open("w")
losses = {{case: run_case(case, folder / case).losses for case in CASES}}
again = run_case("uneven", folder / "uneven")
losses["again"] = again.losses
(folder / f"losses{{rank}}.json").write_text(json.dumps(losses))
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    done = under_torchrun(TOGETHER.format(out=str(folder)), folder, port=29617)
    errors = [path.read_text() for path in folder.glob("stderr*")]
    assert done.returncode == 0, (errors, done.stderr[-3000:])
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_losses_of_one(case, together):
    losses = [json.loads((together / f"losses{rank}.json").read_text())[case] for rank in (0, 1)]
    assert losses[0] == losses[1]
    assert losses[0] == pytest.approx(run_case(case).losses, rel=1e-5)


def test_one_process_shows_progress_and_writes_the_checkpoint_that_all_resume(together):
    bars = [(together / f"stderr{rank}").read_text().count("6/6") for rank in (0, 1)]
    assert bars[0] > len(CASES) and bars[1] == 0
    assert [path.name for path in (together / "full").iterdir()] == ["checkpoint.safetensors"]
    for rank in (0, 1):
        losses = json.loads((together / f"losses{rank}.json").read_text())
        assert losses["again"] == losses["uneven"]


def test_another_number_of_processes_is_refused_by_name(together):
    with pytest.raises(ValueError, match=r"processes=1 \(there 2\)"):
        run_case("full", together / "full")


def test_rows_are_shared_without_loss_or_overlap():
    one = batch(rows=5)
    shares = [Processes(rank, 2).share(one)["input_ids"] for rank in (0, 1)]
    assert [len(share) for share in shares] == [3, 2]
    assert torch.equal(torch.cat(shares), one["input_ids"])
    assert ALONE.share(one) is one
    with pytest.raises(ValueError, match="2 rows cannot be shared by 3 processes"):
        Processes(0, 3).share(batch(rows=2))


def test_processes_that_draw_different_batches_are_refused(monkeypatch):
    one, other = batch(seed=0), batch(seed=1)
    monkeypatch.setattr(Processes, "gather", lambda self, mine: [mine, mine])
    Processes(0, 2).require_same(one)
    sums = [(tuple(b["input_ids"].shape), b["input_ids"].sum().item()) for b in (one, other)]
    monkeypatch.setattr(Processes, "gather", lambda self, mine: sums)
    with pytest.raises(ValueError, match="must draw the same"):
        Processes(0, 2).require_same(one)


def test_without_torchrun_a_process_is_alone():
    assert join(torch.device("cpu")) == ALONE
