"""Two processes on the CPU train as one does."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

import pytest
import torch
from models import batch, tiny_decoder, token_ids

from lora_lessons.base.tokens import TokenBatches, blocks
from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train import step as step_module
from lora_lessons.train.distributed import ALONE, Processes, exchanges_at_once, join
from lora_lessons.train.fast.groups import groups_of
from lora_lessons.train.fast.packed import PackedAdapters
from lora_lessons.train.loop import evaluate, fit
from lora_lessons.train.repeated import repeated_blocks
from lora_lessons.train.sharded import fill, shard

AT_ONCE = ("windows", "uneven", "accumulated", "packed", "packed, accumulated", "bf16", "unseeded")
CASES = (*AT_ONCE, "full")
SHARDED = ("sharded", "sharded accumulated", "sharded recomputed", "sharded full")
EVALUATED = blocks(token_ids(160, seed=9), 16)
HERE = Path(__file__).parent


def uneven_batches():
    """Three batches of five rows with few labels in some: a mean of means would be wrong.

    The first process has no label in the last of them.
    """
    batches = [batch(rows=5, seed=seed) for seed in range(3)]
    for i, one in enumerate(batches):
        one["labels"][: 2 + i, 3:] = -100
    batches[-1]["labels"][:3] = -100
    return batches


@contextlib.contextmanager
def packed_in_float32(model, parameters, precision):
    """What a GPU does in bf16, with products in float32, so that equal is equal."""
    masters = PackedAdapters(parameters, groups_of(model), torch.float32)
    masters.needs_autocast = False
    masters.install()
    try:
        yield masters
    finally:
        masters.restore()


def run_case(case, folder=None, sharded=False):
    """The very call that both one and two processes make."""
    base = tiny_decoder(dtype=torch.bfloat16 if case == "bf16" else torch.float32)
    # the first process's weights are everybody's
    torch.manual_seed(int(os.environ.get("RANK", 0)) if case == "unseeded" else 0)
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear"))
    if "full" in case:
        model = tiny_decoder().requires_grad_(True)
    if sharded:
        shard(model)
    batches = TokenBatches(token_ids(), 4, 16, seed=0) if case == "windows" else uneven_batches()
    how = {"steps": 6, "lr": 1e-2, "clip": 0.5, "schedule": "cosine", "progress": True}
    how["accumulate"] = 2 if "accumulated" in case else 1
    how |= {"recompute": "recomputed" in case, "precision": "bf16" if case == "bf16" else "auto"}
    how |= {"valid": EVALUATED, "eval_every": 4, "checkpoint": folder, "checkpoint_every": 3}
    packed = packed_in_float32 if "packed" in case else step_module.master_weights
    with mock.patch.object(step_module, "master_weights", packed):
        history = fit(model, batches, **how)
    if case in SHARDED:  # and goes on after an evaluation
        history = fit(model, batches, **how)
    return (history, model) if sharded else history


def made_on_meta(**changes):
    """An adapted decoder without numbers; its blocks are untied from the head, or tied to it."""
    with torch.device("meta"):
        base = tiny_decoder(**changes)
        return get_peft_model(base, LoraConfig(r=4, target_modules="all-linear"))


def fitted_from_meta(together=True):
    """Losses of a model that was filled block by block, on one process or in shards."""
    losses = []
    for tied in (True, False):
        model = made_on_meta(tie_word_embeddings=tied)
        if together:  # the first process's seed counts
            torch.manual_seed(3 + int(os.environ["RANK"]))
            shard(model)
        else:
            torch.manual_seed(3)
            for part in (*repeated_blocks(model), model):
                fill(part, model, torch.device("cpu"))
        losses += fit(model, uneven_batches(), steps=4, lr=1e-2, progress=False).losses
    return losses


def fitted_without_gradient():
    """Losses of a model with adapters that nothing depends on, their names, and the warnings."""
    model = get_peft_model(tiny_decoder(), LoraConfig(r=4, target_modules="all-linear"))
    repeated_blocks(model)[0].mlp.register_forward_hook(lambda *call: call[-1].detach())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(model, uneven_batches(), steps=3, lr=1e-2, progress=False)
    return history.losses, history.without_gradient, len(caught)


def under_torchrun(code, folder):
    """What two processes print, run as `torchrun` runs them."""
    script = folder / "script.py"
    places = [str(HERE), str(HERE.parents[1])]  # where the package is not installed too
    script.write_text(f"import sys; sys.path[:0] = {places!r}\n{code}")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]  # on a free port
    command += ["--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment, check=False
    )


TOGETHER = """
import json, os, sys, warnings
from pathlib import Path
from test_distributed import CASES, EVALUATED, SHARDED, run_case
from test_distributed import fitted_from_meta, fitted_without_gradient
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from lora_lessons.train.fast.blocks import repeated_blocks
from lora_lessons.train.loop import evaluate
warnings.simplefilter("error")
folder = Path({out!r})
rank = os.environ["RANK"]
sys.stderr = (folder / f"stderr{{rank}}").open("w")
losses = {{case: run_case(case, folder / case).losses for case in CASES}}
again = run_case("uneven", folder / "uneven")
losses["again"] = again.losses
for case in SHARDED:
    history, model = run_case(case, sharded=True)
    losses[case] = history.losses
    losses[case + ", evaluated"] = evaluate(model, EVALUATED)
    if case == "sharded":
        parts = {{type(p).__name__ for p in repeated_blocks(model)[0].parameters()}}
        options = StateDictOptions(full_state_dict=True, ignore_frozen_params=True)
        state = get_model_state_dict(model, options=options)
        if rank == "0":
            model.save_pretrained(folder / "adapter", state_dict=state)
losses["parts"] = sorted(parts)
losses["from meta"] = fitted_from_meta()
losses["unreached"] = fitted_without_gradient()
(folder / f"losses{{rank}}.json").write_text(json.dumps(losses))
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    done = under_torchrun(TOGETHER.format(out=str(folder)), folder)
    errors = [path.read_text() for path in folder.glob("stderr*")]
    assert done.returncode == 0, (errors, done.stderr[-3000:])
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_losses_of_one(case, together):
    losses = [json.loads((together / f"losses{rank}.json").read_text())[case] for rank in (0, 1)]
    assert losses[0] == losses[1]
    within = {"full": 1e-5, "bf16": 1e-3}.get(case, 1e-6)
    assert losses[0] == pytest.approx(run_case(case).losses, rel=within)


def test_gradients_of_adapters_go_in_one_message_and_those_of_a_model_as_they_come():
    model = get_peft_model(tiny_decoder(), LoraConfig(r=4, target_modules="all-linear"))
    assert exchanges_at_once(Processes(0, 2), model)
    assert not exchanges_at_once(ALONE, model)
    assert not exchanges_at_once(Processes(0, 2), tiny_decoder().requires_grad_(True))
    model.norm = torch.nn.BatchNorm1d(2)  # its running mean is of all rows
    assert not exchanges_at_once(Processes(0, 2), model)


@pytest.mark.parametrize("case", SHARDED)
def test_a_sharded_model_has_the_losses_of_one_process(case, together):
    results = [json.loads((together / f"losses{rank}.json").read_text()) for rank in (0, 1)]
    assert results[0][case] == results[1][case]
    assert results[0]["parts"] == ["DTensor"]
    assert results[0][case] == pytest.approx(run_case(case).losses, rel=1e-5)


def test_a_model_on_the_meta_device_is_filled_as_it_is_sharded(together):
    results = [json.loads((together / f"losses{rank}.json").read_text()) for rank in (0, 1)]
    assert results[0]["from meta"] == results[1]["from meta"]
    assert results[0]["from meta"] == pytest.approx(fitted_from_meta(together=False), rel=1e-5)


def test_a_filled_model_begins_as_one_that_was_made_with_numbers():
    model = made_on_meta(num_hidden_layers=2)
    for part in (*repeated_blocks(model), model):
        fill(part, model, torch.device("cpu"))
    made = get_peft_model(tiny_decoder(), LoraConfig(r=4, target_modules="all-linear"))
    kept, there = dict(model.state_dict()), made.state_dict()
    assert kept.keys() == there.keys()
    for name, value in kept.items():
        assert value.std().item() == pytest.approx(there[name].std().item(), rel=0.3), name
    rotary = "base_model.model.model.rotary_emb"
    assert torch.equal(model.get_submodule(rotary).inv_freq, made.get_submodule(rotary).inv_freq)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_what_nobody_can_fill_is_named():
    model = made_on_meta()
    block = repeated_blocks(model)[0]
    block.own = torch.nn.Parameter(torch.empty(3, device="meta"))
    with pytest.raises(ValueError, match=r"1 tensors on the meta device .* such as own"):
        fill(block, model, torch.device("cpu"))
    block.own = None
    block.register_buffer("places", torch.empty(3, dtype=torch.long, device="meta"))
    with pytest.raises(ValueError, match="places on the meta device holds no floats"):
        fill(block, model, torch.device("cpu"))


def test_adapters_that_no_process_reaches_are_named_by_the_first(together):
    losses, names, warned = fitted_without_gradient()
    assert len(names) == 3 and warned == 1
    for rank in (0, 1):
        found = json.loads((together / f"losses{rank}.json").read_text())["unreached"]
        assert found == [pytest.approx(losses, rel=1e-6), names, 1 - rank]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("library", ["lora_lessons.lora.model", "peft"])
def test_a_sharded_models_adapter_is_saved_whole(library, together):
    PeftModel = importlib.import_module(library).PeftModel
    results = json.loads((together / "losses0.json").read_text())
    loaded = PeftModel.from_pretrained(tiny_decoder(), together / "adapter")
    assert evaluate(loaded, EVALUATED) == pytest.approx(results["sharded, evaluated"], rel=1e-5)


def test_one_process_alone_cannot_shard_and_a_checkpoint_holds_no_shards(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="by torchrun"):
        shard(tiny_decoder())
    model = tiny_decoder().requires_grad_(True)
    monkeypatch.setattr(type(model), "reshard", lambda self: None, raising=False)
    with pytest.raises(ValueError, match="cannot hold a sharded model"):
        fit(model, uneven_batches(), steps=1, lr=1e-3, checkpoint=tmp_path, progress=False)


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


ENDINGS = """
import os, socket, sys
import torch
from torch import distributed as dist
from lora_lessons.train.distributed import join

sys.setswitchinterval(100)  # Python's lock is given away by waiting alone: the worst case

def reduce_and_end(port, rank):
    os.environ |= dict(TORCHELASTIC_RUN_ID="0", RANK=str(rank), WORLD_SIZE="2")
    os.environ |= dict(MASTER_ADDR="localhost", MASTER_PORT=str(port))
    join(torch.device("cpu"))
    dist.kept = dist.group.WORLD  # as a sharded model does: its threads outlive the group's end
    tensors = [torch.ones(100_000) for _ in range(64)]
    works = [dist.all_reduce(one, async_op=True) for one in tensors]
    for work in works:
        work.wait()

for _ in range(3):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    children = []
    for rank in (0, 1):
        children.append(os.fork())
        if children[-1] == 0:
            reduce_and_end(port, rank)
            sys.exit()
    print([os.waitpid(child, 0)[1] for child in children], flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked, which Windows cannot")
def test_a_process_that_ends_at_once_after_a_reduction_ends_well():
    done = subprocess.run(
        [sys.executable, "-c", ENDINGS], capture_output=True, text=True, timeout=120, check=False
    )
    ended = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert ended == ["[0, 0]"] * 3, done.stderr[-2000:]
