"""Two processes with a GPU each train as one does; skipped where there are fewer than two GPUs."""

from __future__ import annotations

import json

import pytest
import torch
from models import tiny_decoder, token_ids
from test_distributed import under_torchrun, uneven_batches

from lora_lessons.base.tokens import TokenBatches, blocks
from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.loop import fit
from lora_lessons.train.sharded import shard

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]

CASES = ("windows", "uneven", "full")
FAST = ("captured", "compiled", "eager")  # in bf16, by one message after the backward pass


def run_case(case, sharded=False):
    """The very call that one and two processes make; a sharded base starts on the CPU."""
    base = tiny_decoder() if sharded else tiny_decoder().cuda()
    model = base.requires_grad_(True)
    if case != "full":
        torch.manual_seed(0)
        model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear"))
    if sharded:
        shard(model)
    windows = TokenBatches(token_ids(), 4, 16, seed=0, device="cuda")
    how = {"steps": 6, "lr": 1e-2, "clip": 0.5, "schedule": "cosine", "progress": False}
    how |= {"valid": blocks(token_ids(160, seed=9), 16), "eval_every": 4, "precision": "fp32"}
    return fit(model, windows if case == "windows" else uneven_batches(), **how)


def run_fast(case):
    """bf16 losses of a run long enough to be captured, and whether it was."""
    base = tiny_decoder(dtype=torch.bfloat16).cuda()
    torch.manual_seed(0)
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear"))
    windows = TokenBatches(token_ids(), 4, 16, seed=0, device="cuda")
    how = {"capture": case != "eager", "compile": case == "compiled", "precision": "bf16"}
    history = fit(model, windows, steps=20, lr=1e-2, progress=False, **how)
    return {"losses": history.losses, "captured": history.captured}


def kept_on_each_gpu():
    """Bytes that a process holds of a sharded base."""
    before = torch.cuda.memory_allocated()
    model = shard(tiny_decoder(hidden_size=256, intermediate_size=1024))
    return torch.cuda.memory_allocated() - before, sum(p.numel() * 4 for p in model.parameters())


TOGETHER = """
import json, os
from pathlib import Path
import torch
torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
from test_two_gpus import CASES, FAST, kept_on_each_gpu, run_case, run_fast
found = {{case: run_case(case).losses for case in CASES}}
found |= {{"sharded " + case: run_case(case, sharded=True).losses for case in CASES}}
found["fast"] = {{case: run_fast(case) for case in FAST}}
found["kept"] = kept_on_each_gpu()
(Path({out!r}) / f"found{{os.environ['RANK']}}.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_gpus")
    done = under_torchrun(TOGETHER.format(out=str(folder)), folder)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads((folder / f"found{rank}.json").read_text()) for rank in (0, 1)]
    assert "terminate called" not in done.stderr
    return found


@pytest.mark.parametrize("kind", ["", "sharded "])
@pytest.mark.parametrize("case", CASES)
def test_two_gpus_have_the_losses_of_one(kind, case, together):
    assert together[0][kind + case] == together[1][kind + case]
    assert together[0][kind + case] == pytest.approx(run_case(case).losses, rel=1e-5)


@pytest.mark.parametrize("case", FAST)
def test_a_captured_step_of_two_gpus_has_the_losses_of_one(case, together):
    both = [found["fast"][case] for found in together]
    assert both[0] == both[1]
    assert both[0]["captured"] == (case != "eager")
    assert both[0]["losses"] == pytest.approx(run_fast(case)["losses"], rel=0.01)


def test_each_gpu_keeps_half_of_a_sharded_model(together):
    for kept, whole in (found["kept"] for found in together):
        assert kept < 0.6 * whole


def test_a_process_on_the_wrong_gpu_is_told_what_to_call(tmp_path):
    code = "from test_two_gpus import run_case\nrun_case('windows')"  # without set_device
    done = under_torchrun(code, tmp_path)
    assert done.returncode != 0
    assert "torch.cuda.set_device(int(os.environ" in done.stderr
