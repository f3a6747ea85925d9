"""A run that is killed and goes on must not show it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from models import batch, tiny_decoder, token_ids
from torch import nn

from lora_lessons.base.tokens import TokenBatches, blocks
from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.checkpoint import FILE, plain, put_back, read, take_out, write
from lora_lessons.train.loop import fit

STEPS = 12
SETTINGS = {"schedule": "cosine", "warmup": 3, "weight_decay": 0.1, "eval_every": 4, "lr": 5e-2}


def lora(dtype=torch.float32, **options):
    base = tiny_decoder(dtype=dtype)
    torch.manual_seed(0)
    options = {"r": 4, "target_modules": ["q_proj", "down_proj"], "lora_dropout": 0.2, **options}
    return get_peft_model(base, LoraConfig(**options))


def full(**_):
    return tiny_decoder(attention_dropout=0.2).requires_grad_(True)


def run(model, folder=None, batches=None, **settings):
    batches = TokenBatches(token_ids(), 4, 16, seed=0) if batches is None else batches
    how = {"steps": STEPS, "valid": blocks(token_ids(64, seed=9), 16), "progress": False}
    how |= SETTINGS | {"checkpoint": folder, "checkpoint_every": 5} | settings
    return fit(model, batches, **how)


def stops_after(count, batches):
    """The same batches, and an interrupt in the place of the one after `count`."""

    class Stopping:
        state_dict, load_state_dict = batches.state_dict, batches.load_state_dict
        left = count

        def __iter__(self):
            return self

        def __next__(self):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return next(batches)

    return Stopping()


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])


def result(history):
    values = history.to_dict()
    return {name: value for name, value in values.items() if name != "seconds"}


@pytest.mark.parametrize("kind", [lora, full])
@pytest.mark.parametrize(
    "settings",
    [{}, {"accumulate": 2}, {"precision": "bf16"}, {"checkpoint_every": 1}],
    ids=["plain", "accumulated", "bf16", "every step"],
)
def test_a_resumed_run_is_the_same_run_bit_for_bit(kind, settings, tmp_path):
    whole, resumed = kind(), kind()
    expected = run(whole, **settings)
    draws = 7 * settings.get("accumulate", 1)
    stopped = stops_after(draws, TokenBatches(token_ids(), 4, 16, seed=0))
    first = run(kind(), tmp_path, stopped, **settings)
    assert first.interrupted and len(first.losses) == 7
    history = run(resumed, tmp_path, **settings)
    assert result(history) == result(expected)
    assert torch.equal(weights(resumed), weights(whole))


def test_masters_are_resumed_in_float32(tmp_path):
    whole, resumed = lora(torch.bfloat16), lora(torch.bfloat16)
    expected = run(whole, precision="bf16")
    stopped = stops_after(7, TokenBatches(token_ids(), 4, 16, seed=0))
    run(lora(torch.bfloat16), tmp_path, stopped, precision="bf16")
    assert {v.dtype for v in read(tmp_path / FILE)["weights"].values()} == {torch.float32}
    assert result(run(resumed, tmp_path, precision="bf16")) == result(expected)
    assert torch.equal(weights(resumed), weights(whole))


def test_a_list_of_batches_is_gone_on_with(tmp_path):
    data = [batch(seed=i) for i in range(5)]
    expected = run(lora(), batches=data)
    run_until_step_10(data, tmp_path)
    assert run(lora(), tmp_path, data).losses == expected.losses


def run_until_step_10(data, folder):
    calls = []

    def interrupts(model):
        calls.append(1)
        if len(calls) == 4:  # before step 1, after 4, after 8, and at the end of these 12
            raise KeyboardInterrupt
        return 0.0

    assert run(lora(), folder, data, valid=interrupts).interrupted
    assert read(folder / FILE)["batches"]["drawn"] == 10


def test_a_finished_run_is_not_run_again(tmp_path):
    first, again = lora(), lora()
    history = run(first, tmp_path)
    assert len(history.losses) == STEPS
    repeated = run(again, tmp_path, stops_after(0, TokenBatches(token_ids(), 4, 16)))
    assert repeated.losses == history.losses and repeated.eval_losses == history.eval_losses
    assert not repeated.interrupted
    assert torch.equal(weights(again), weights(first))


def test_a_checkpoint_changes_nothing_and_leaves_no_draft(tmp_path):
    assert run(lora(), tmp_path).losses == run(lora()).losses
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_write_that_fails_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    import safetensors.torch

    run(lora(), tmp_path, steps=5)
    before = (tmp_path / FILE).read_bytes()

    def breaks(tensors, path, metadata):
        Path(path).write_bytes(before[:100])
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.torch, "save_file", breaks)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / FILE, {})
    assert (tmp_path / FILE).read_bytes() == before


KILLED = """
import sys
sys.path.insert(0, {folder!r})
from test_checkpoint import small, run_small
run_small(small(), {out!r}, checkpoint_every=1)
"""


def small():
    """Adapters on two layers: a model that starts without transformers."""
    torch.manual_seed(0)
    base = nn.Sequential(nn.Embedding(61, 16), nn.Linear(16, 16), nn.Linear(16, 61))
    torch.manual_seed(0)
    return get_peft_model(base, LoraConfig(r=4, target_modules=["1", "2"], lora_dropout=0.2))


def run_small(model, folder=None, batches=None, **settings):
    def loss(model, one):
        return nn.functional.cross_entropy(model(one["input_ids"])[:, :-1].mT, one["labels"][:, 1:])

    how = {"steps": 100_000, "loss_fn": loss, "valid": None, "eval_every": 0}
    return run(model, folder, batches, **how | settings)


def test_a_killed_process_leaves_a_checkpoint_that_goes_on(tmp_path):
    code = KILLED.format(folder=str(Path(__file__).parent), out=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        while not (tmp_path / FILE).exists() or steps_in(tmp_path) < 3:
            assert child.poll() is None, "the run ended by itself"
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    done = steps_in(tmp_path)
    source = TokenBatches(token_ids(), 4, 16, seed=0)
    resumed = run_small(small(), tmp_path, stops_after(5, source), checkpoint_every=100_000)
    source = TokenBatches(token_ids(), 4, 16, seed=0)
    expected = run_small(small(), batches=stops_after(done + 5, source))
    assert resumed.losses == expected.losses
    assert len(resumed.losses) == done + 5


def steps_in(folder):
    return len(read(folder / FILE)["history"]["steps"])


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"lr": 2e-2}, r"lr=0.02 \(there 0.05\)"),
        ({"steps": 20}, "steps=20"),
        ({"schedule": "linear", "clip": None}, "clip=None .*, schedule='linear'"),
        ({"precision": "bf16"}, "precision='bf16'"),
        ({"seed": 1}, "seed=1"),
    ],
)
def test_other_settings_are_refused_by_name(changed, named, tmp_path):
    run(lora(), tmp_path, steps=5)
    model = lora()
    before = weights(model).clone()
    with pytest.raises(ValueError, match=named):
        run(model, tmp_path, **{"steps": 5, **changed})
    assert torch.equal(weights(model), before)


def test_another_adapter_is_refused_by_name(tmp_path):
    run(lora(), tmp_path, steps=2)
    with pytest.raises(ValueError, match=r"default.lora_alpha=3 \(there 8\)"):
        run(lora(lora_alpha=3), tmp_path, steps=2)
    with pytest.raises(ValueError, match=r"another model: .* the first is 'base_model.model"):
        run(with_forgotten_config(full()), tmp_path, steps=2)


def with_forgotten_config(model):
    """A model of other parameters whose settings look like the checkpoint's."""
    model.peft_config = lora().peft_config
    return model


def test_batches_without_a_place_are_refused_before_training(tmp_path):
    with pytest.raises(TypeError, match="generator has no state_dict"):
        run(lora(), tmp_path, (batch() for _ in range(99)))
    assert not (tmp_path / FILE).exists()
    with pytest.raises(ValueError, match="checkpoint_every must be"):
        run(lora(), tmp_path, checkpoint_every=0)


def test_nested_states_go_through_json_and_tensors():
    state = {"a": [1, 2.5, None, {"b": torch.arange(3)}], "c": torch.tensor(0.1), "d": "text"}
    tensors = {}
    text = json.dumps(take_out(state, "", tensors))
    back = put_back(json.loads(text), tensors.__getitem__)
    assert back["a"][:3] == [1, 2.5, None] and back["d"] == "text"
    assert torch.equal(back["a"][3]["b"], torch.arange(3)) and back["c"] == state["c"]
    with pytest.raises(TypeError, match="a/0 is a"):
        take_out({"a": [object()]}, "", {})


def test_sets_have_one_form():
    assert plain({"t": {"q", "k", "v"}}) == {"t": ["k", "q", "v"]}


def test_deterministic_algorithms_inside_only(tmp_path):
    seen = []

    def loss(model, one):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return model(**one).loss

    run(lora(), steps=1, loss_fn=loss, deterministic=True)
    run(lora(), steps=1, loss_fn=loss)
    assert seen == [True, False]
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("keep", [0, 5, 100, -40])
def test_a_file_that_is_not_whole_is_named(tmp_path, keep):
    run(lora(), tmp_path, steps=1)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:keep])
    model = lora()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=rf"{FILE} is no whole checkpoint .*: delete it"):
        run(model, tmp_path, steps=1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_file_of_something_else_is_named(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / FILE)
    with pytest.raises(ValueError, match=f"{FILE} is no whole checkpoint"):
        run(lora(), tmp_path, steps=1)
