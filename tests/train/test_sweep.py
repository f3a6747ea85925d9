from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from models import tiny_decoder, token_ids

import lora_lessons as ll
from lora_lessons.base.tokens import TokenBatches, blocks
from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.fast.stack import AdapterStack
from lora_lessons.train.fast.sweep import Job, initial_adapters, train_many
from lora_lessons.train.loop import fit
from lora_lessons.train.optim import adamw_rows

IDS = token_ids()
VALID = blocks(token_ids(320, seed=9), 16)
HOW = {"steps": 20, "batch_size": 3, "length": 12}


def config(r=4, alpha=8, targets="all-linear", **more):
    return LoraConfig(r=r, lora_alpha=alpha, target_modules=targets, task_type="CAUSAL_LM", **more)


JOBS = [
    Job(config(1, 2), lr=1e-3, seed=0),
    Job(config(4, 8, ["q_proj", "v_proj"]), lr=3e-3, seed=1),
    Job(config(16, 16, use_rslora=True), lr=1e-3, seed=2, weight_decay=0.1),
    Job(config(3, 7, ["down_proj"]), lr=2e-3, seed=0, train_ids=token_ids(500, seed=4)),
]


def many(jobs, dtype=torch.float64, **changes):
    model = tiny_decoder(dtype=dtype)
    settings = {**HOW, "valid": VALID, "eval_every": 10, "progress": False, **changes}
    return train_many(model, jobs, IDS, **settings)


def alone(job, dtype=torch.float64, steps=20, **changes):
    """The same adapter by get_peft_model and fit."""
    base = tiny_decoder(dtype=dtype)
    torch.manual_seed(job.seed)
    model = get_peft_model(base, job.config)
    for parameter in model.parameters():  # PEFT keeps adapters of a float64 model in float64 too
        assert not parameter.requires_grad or parameter.dtype == dtype
    ids = IDS if job.train_ids is None else job.train_ids
    history = fit(
        model,
        TokenBatches(ids, HOW["batch_size"], HOW["length"], seed=job.seed),
        steps=steps,
        lr=job.lr,
        weight_decay=job.weight_decay,
        valid=VALID,
        eval_every=10,
        progress=False,
        **changes,
    )
    state = {
        name.replace(".default", ""): value
        for name, value in model.state_dict().items()
        if "lora_" in name
    }
    return history, state


@pytest.mark.parametrize(("steps", "tolerance"), [(1, 1e-12), (20, 1e-9)])
def test_each_adapter_comes_out_as_if_trained_alone(steps, tolerance):
    for result in many(JOBS, steps=steps):
        history, state = alone(result.job, steps=steps)
        assert result.history.losses == pytest.approx(history.losses, rel=tolerance)
        assert result.history.eval_steps == history.eval_steps
        assert result.history.eval_losses == pytest.approx(history.eval_losses, rel=tolerance)
        ours = result.adapter_state_dict()
        assert ours.keys() == state.keys()
        for name, value in ours.items():
            torch.testing.assert_close(value, state[name], rtol=1e-5, atol=1e-8)


def test_valid_may_measure_several_texts():
    other, seen = blocks(token_ids(320, seed=5), 16), []

    def both(evaluate):
        seen.append(evaluate(other))
        return evaluate(VALID)

    plain, several = many(JOBS[:2]), many(JOBS[:2], valid=both)
    for one, two in zip(plain, several, strict=True):
        assert one.history.eval_losses == two.history.eval_losses
    alone_there = many(JOBS[:2], valid=other)
    assert [[row[k] for row in seen] for k in (0, 1)] == [
        result.history.eval_losses for result in alone_there
    ]


def test_a_schedule_is_each_adapters_own_rate_times_the_factor():
    how = {"steps": 10, "warmup": 2, "schedule": "cosine"}
    for result in many(JOBS, **how):
        history, _ = alone(result.job, **how)
        assert result.history.losses == pytest.approx(history.losses, rel=1e-9)


def test_float32_agrees_too():
    for result in many(JOBS, dtype=torch.float32, steps=10):
        history, _ = alone(result.job, dtype=torch.float32, steps=10)
        assert result.history.losses == pytest.approx(history.losses, rel=1e-4)


@pytest.mark.parametrize("size", [1, 4])
def test_an_adapter_does_not_depend_on_its_neighbours(size):
    expected = many(JOBS)[0].history.losses
    assert many(JOBS[:size])[0].history.losses == pytest.approx(expected, rel=1e-9)


def test_padding_stays_exactly_zero():
    model = tiny_decoder()
    results = train_many(model, JOBS, IDS, **HOW, progress=False)
    stack = AdapterStack(model, initial_adapters(model, JOBS))
    mask = torch.zeros_like(stack.flat)
    for name, (A, B) in stack._unpack(mask).items():
        for k, adapter in enumerate(stack.adapters):
            rank = len(adapter[name].A) if name in adapter else 0
            A[k, :rank] = 1
            B[k, :, :rank] = 1
    assert [len(r.factors) for r in results] == [14, 4, 14, 2]
    counts = [sum(t.numel() for t in r.adapter_state_dict().values()) for r in results]
    assert mask.sum(1).tolist() == counts


def test_adapters_of_one_rate_and_decay_are_updated_in_one_group():
    configs = [(1e-2, 0.0), (1e-3, 0.0), (1e-2, 0.0), (1e-3, 0.1)]
    jobs = [Job(LoraConfig(r=2), lr, weight_decay=decay) for lr, decay in configs]
    rows = [torch.nn.Parameter(torch.ones(3)) for _ in jobs]
    groups = adamw_rows(rows, jobs).param_groups
    assert [len(group["params"]) for group in groups] == [2, 1, 1]
    assert [(group["base_lr"], group["weight_decay"]) for group in groups] == sorted(
        set(configs), key=configs.index
    )
    assert groups[0]["params"][1] is rows[2]


def test_one_diverging_adapter_leaves_the_others_alone():
    wild = Job(config(4, 8), lr=1e30, seed=3)
    calm = many([JOBS[0]])[0].history.losses
    results = many([wild, JOBS[0]])
    assert results[0].history.diverged
    assert len(results[0].history.losses) < 20
    assert results[1].history.losses == pytest.approx(calm, rel=1e-9)


def test_dropout_is_each_adapters_own_rate():
    jobs = [Job(config(4, 8, lora_dropout=p), lr=1e-3, seed=1) for p in (0.0, 0.9)]
    kept, dropped = many(jobs, steps=5)
    history, _ = alone(jobs[0], steps=5)
    assert kept.history.losses == pytest.approx(history.losses, rel=1e-9)
    assert dropped.history.losses[0] == pytest.approx(kept.history.losses[0])  # B is 0
    assert dropped.history.losses[-1] != pytest.approx(kept.history.losses[-1])


def test_dropout_keeps_the_mean_and_drops_the_share():
    from lora_lessons.train.fast.stack import StackedLinear

    rate = torch.tensor([0.0, 0.25, 0.9]).view(3, 1, 1)
    layer = StackedLinear(torch.nn.Linear(4, 4), torch.ones(3, 1, 1), rate)
    torch.manual_seed(0)
    x = layer._drop(torch.ones(3, 1000, 4))
    assert (x == 0).float().mean((1, 2)).tolist() == pytest.approx([0.0, 0.25, 0.9], abs=0.02)
    assert x.mean((1, 2)).tolist() == pytest.approx([1.0, 1.0, 1.0], abs=0.1)


def test_the_base_is_unchanged():
    model = tiny_decoder()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    names = [name for name, _ in model.named_modules()]
    train_many(model, JOBS, IDS, **HOW, progress=False)
    assert [name for name, _ in model.named_modules()] == names
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def test_an_interrupt_keeps_what_was_trained(monkeypatch):
    from lora_lessons.train.fast import sweep

    calls = iter(range(100))
    step = sweep.ManyStep.__call__

    def interrupted(self, batches):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return step(self, batches)

    monkeypatch.setattr(sweep.ManyStep, "__call__", interrupted)
    results = many(JOBS)
    assert [r.history.interrupted for r in results] == [True] * 4
    assert [len(r.history.losses) for r in results] == [3] * 4
    assert all(math.isfinite(t.sum()) for r in results for t in r.adapter_state_dict().values())


@pytest.mark.parametrize(
    "options",
    [
        {"bias": "all"},
        {"modules_to_save": ["lm_head"]},
        {"use_dora": True},
        {"init_lora_weights": "pissa"},
    ],
)
def test_what_is_more_than_two_factors_is_refused(options):
    try:
        asked = config(**options)
    except (TypeError, ValueError):
        pytest.skip("LoraConfig refuses this option by itself")
    with pytest.raises(ValueError, match="train with fit"):
        many([Job(asked, lr=1e-3)])


def test_jobs_without_text_and_no_jobs_are_refused():
    with pytest.raises(ValueError, match="no train_ids"):
        train_many(tiny_decoder(), JOBS, **HOW, progress=False)
    with pytest.raises(ValueError, match="no jobs"):
        many([])


def test_a_model_with_adapters_keeps_them():
    base = tiny_decoder()
    model = get_peft_model(base, config(), "mine")
    before = list(model.get_layer_status())
    with pytest.raises(ValueError, match=r"without adapters, and model\.layers\.0\..* has some"):
        train_many(base, JOBS[:1], IDS, **HOW)
    assert model.get_layer_status() == before


@pytest.mark.parametrize("target", ["self_attn", "out_proj", "linear1"])
def test_layers_whose_weight_is_read_are_refused(target):
    model = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 1
    )
    before = str(model)
    with pytest.raises(ValueError, match=rf"train_many adapts .*'layers\.0\..*{target}'"):
        train_many(model, [Job(config(2, 2, [target]), lr=1e-3)], IDS, **HOW, progress=False)
    assert str(model) == before


def test_the_pages_example_trains_every_job(root, capsys):
    page = (root / "docs" / "training.md").read_text("utf-8")
    (code,) = [b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "ll.Job(" in b]
    names: dict[str, Any] = {"ll": ll}
    exec(compile(code, "docs/training.md", "exec"), names)
    assert len(capsys.readouterr().out.splitlines()) == len(names["jobs"]) == 4
    for result in names["results"]:
        first, last = result.history.eval_losses
        assert last < first


def test_a_config_is_no_job():
    with pytest.raises(TypeError, match=r"a Job\(config, lr\), not a LoraConfig"):
        train_many(tiny_decoder(), [ll.LoraConfig(r=2)], IDS, **HOW)
