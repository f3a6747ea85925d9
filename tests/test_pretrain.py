"""Pretraining: the schedule, exact resume, the files it leaves, the captured step."""

import json
from dataclasses import replace

import pytest
import torch

from lora_lessons.pretrain import (
    RECIPES,
    Run,
    add_dropout,
    build_model,
    learning_rate,
    make_optimizer,
    pretrain,
)
from lora_lessons.pretrain_step import CapturedStep, TrainStep, next_token_loss
from lora_lessons.seeding import seed_everything
from lora_lessons.text import load_text
from lora_lessons.tokens import train_tokenizer

TINY = replace(RECIPES["tiny"], characters=20_000, dropout=0.1)


@pytest.fixture(scope="module")
def corpus():
    return load_text("pretraining")


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return train_tokenizer(corpus.train[:20_000].splitlines(keepends=True), TINY.vocab_size)


def test_shipped_recipes_have_the_advertised_sizes(tokenizer):
    sizes = {name: build_model(RECIPES[name], tokenizer).num_parameters() for name in RECIPES}
    assert sizes["decoder"] == 5_478_656
    assert 120_000 <= sizes["nano"] <= 160_000


def test_learning_rate_warms_up_peaks_and_ends_at_zero():
    recipe = RECIPES["decoder"]
    rates = [learning_rate(recipe, step) for step in range(recipe.steps + 1)]
    assert rates[0] == pytest.approx(recipe.lr / recipe.warmup)
    assert max(rates) == rates[recipe.warmup] == recipe.lr
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert all(
        a >= b for a, b in zip(rates[recipe.warmup :], rates[recipe.warmup + 1 :], strict=False)
    )


def test_decay_spares_biases_and_norms(tokenizer):
    model = build_model(TINY, tokenizer)
    decayed, spared = make_optimizer(model, TINY, torch.device("cpu")).param_groups
    assert decayed["weight_decay"] == TINY.weight_decay and spared["weight_decay"] == 0
    assert all(p.dim() == 2 for p in decayed["params"])
    assert all(p.dim() == 1 for p in spared["params"])


def test_loss_is_that_of_transformers(tokenizer):
    model = build_model(TINY, tokenizer).eval()
    ids = torch.randint(0, TINY.vocab_size, (3, 17))
    theirs = model(input_ids=ids, labels=ids).loss
    torch.testing.assert_close(next_token_loss(model, ids), theirs)


def test_dropout_acts_in_training_only(tokenizer):
    model = build_model(TINY, tokenizer)
    ids = torch.randint(0, TINY.vocab_size, (2, 9))
    plain = next_token_loss(model.train(), ids)
    add_dropout(model, 0.5)
    assert next_token_loss(model.train(), ids) != plain
    torch.testing.assert_close(next_token_loss(model.eval(), ids), plain)


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, corpus):
    whole = pretrain("tiny", TINY, corpus, tmp_path / "whole", show=False)
    short = replace(corpus, train=corpus.train[:20_000], valid=corpus.valid[:20_000])
    (tmp_path / "stopped").mkdir()
    stopped = Run(TINY, short, tmp_path / "stopped", 0, "cpu")
    evaluate, calls = stopped.evaluate, []

    def interrupt():  # Ctrl-C on the way to the second evaluation
        if calls:
            raise KeyboardInterrupt
        calls.append(evaluate())

    stopped.evaluate = interrupt
    with pytest.raises(KeyboardInterrupt):
        stopped.train(show=False)
    torch.manual_seed(99)  # whatever happened in between
    resumed = pretrain("tiny", TINY, corpus, tmp_path / "stopped", show=False)
    assert resumed.evaluations == whole.evaluations
    for folder in ("whole", "stopped"):
        assert not (tmp_path / folder / "checkpoint.pt").exists()
    weights = [(tmp_path / f / "model.safetensors").read_bytes() for f in ("whole", "stopped")]
    assert weights[0] == weights[1]


def test_it_stops_when_it_over_fits_and_keeps_the_best(tmp_path, corpus, monkeypatch):
    losses = iter([3.0, 2.0, 2.5, 2.6, 2.7, 2.8, 2.9])
    monkeypatch.setattr("lora_lessons.pretrain.mean_loss", lambda *_: next(losses))
    recipe = replace(TINY, steps=100, eval_every=1, patience=3)
    short = replace(corpus, train=corpus.train[:20_000], valid=corpus.valid[:20_000])
    run = Run(recipe, short, tmp_path, 0, "cpu")
    run.train(show=False)
    assert [step for step, _ in run.evaluations] == [1, 2, 3, 4, 5]
    assert run.best_loss == 2.0
    assert any(not torch.equal(run.best[k], v) for k, v in run.model.state_dict().items())


def test_what_it_leaves_is_a_hugging_face_model(tmp_path, corpus):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = pretrain("tiny", TINY, corpus, tmp_path, show=False)
    report = json.loads((tmp_path / "training.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(list(tmp_path.iterdir())) <= 8
    assert tokenizer.decode(tokenizer("Call me Ishmael.")["input_ids"]) == "Call me Ishmael."
    with torch.no_grad():
        total = sum(next_token_loss(model.eval(), ids[None]).item() for ids in run.valid)
    assert total / len(run.valid) == pytest.approx(report["valid_nats_per_token"], abs=2e-4)
    nats, ratio = report["valid_nats_per_token"], run.bytes_per_token
    assert report["valid_bits_per_byte"] == pytest.approx(nats / 0.693147 / ratio, abs=2e-4)
    card = (tmp_path / "README.md").read_text()
    assert f"{report['valid_nats_per_token']:.4f} nats per token" in card and "{" not in card


def test_making_the_optimizer_state_moves_nothing(tokenizer):
    model = build_model(TINY, tokenizer)
    step = TrainStep(model, make_optimizer(model, TINY, torch.device("cpu")))
    before = [p.detach().clone() for p in model.parameters()]
    step.create_state()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(s["step"] == 0 for s in step.optimizer.state.values())
    assert all(s["exp_avg"].count_nonzero() == 0 for s in step.optimizer.state.values())
    assert [float(g["lr"]) for g in step.optimizer.param_groups] == pytest.approx([TINY.lr] * 2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_captured_step_is_the_eager_step(tokenizer):
    device, recipe = torch.device("cuda"), replace(TINY, dropout=0.0)
    batches = torch.randint(0, recipe.vocab_size, (10, 4, 32), device=device)
    losses = []
    for capture in (False, True):
        seed_everything(0)
        model = build_model(recipe, tokenizer).to(device).train()
        step = TrainStep(model, make_optimizer(model, recipe, device))
        run = CapturedStep(step, (4, 32)) if capture else step
        losses.append([run(ids).item() for ids in batches])
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)
