"""A pretraining run: the schedule, exact resume, early stopping, the files it leaves."""

import json
from dataclasses import replace

import pytest
import torch

from lora_lessons.base.pretrain import RECIPES, Run, pretrain
from lora_lessons.base.pretrain.loss import measure
from lora_lessons.base.pretrain.models import build_decoder
from lora_lessons.base.pretrain.run import learning_rate, make_optimizer
from lora_lessons.base.text import load_text
from lora_lessons.base.tokens import train_tokenizer

TINY = {
    name: replace(RECIPES[name], characters=20_000, dropout=0.1)
    for name in ("tiny", "tiny_encoder", "tiny_encoder_decoder")
}


@pytest.fixture(scope="module")
def corpus():
    return load_text("pretraining")


@pytest.fixture(scope="module", params=TINY)
def name(request):
    return request.param


@pytest.fixture
def short(corpus):
    return replace(corpus, train=corpus.train[:20_000], valid=corpus.valid[:20_000])


def test_learning_rate_warms_up_peaks_and_ends_at_zero():
    recipe = RECIPES["decoder"]
    rates = [learning_rate(recipe, step) for step in range(recipe.steps + 1)]
    assert rates[0] == pytest.approx(recipe.lr / recipe.warmup)
    assert max(rates) == rates[recipe.warmup] == recipe.lr
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert all(
        a >= b for a, b in zip(rates[recipe.warmup :], rates[recipe.warmup + 1 :], strict=False)
    )


def test_decay_spares_biases_and_norms(corpus):
    recipe = TINY["tiny"]
    lines = corpus.train[:20_000].splitlines(keepends=True)
    model = build_decoder(recipe, train_tokenizer(lines, recipe.vocab_size))
    decayed, spared = make_optimizer(model, recipe, torch.device("cpu")).param_groups
    assert decayed["weight_decay"] == recipe.weight_decay and spared["weight_decay"] == 0
    assert all(p.dim() == 2 for p in decayed["params"])
    assert all(p.dim() == 1 for p in spared["params"])


def test_decay_spares_the_bias_of_attention(short, tmp_path):
    run = Run(TINY["tiny_encoder_decoder"], short, tmp_path, 0, "cpu")
    _, spared = run.optimizer.param_groups
    stacks = (run.model.encoder, run.model.decoder)
    biases = [s.block[0].layer[0].SelfAttention.relative_attention_bias.weight for s in stacks]
    assert [p.dim() for p in spared["params"] if p.dim() > 1] == [2, 2]
    assert all(any(p is bias for p in spared["params"]) for bias in biases)


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, corpus, short, name):
    whole = pretrain(name, TINY[name], corpus, tmp_path / "whole", show=False)
    (tmp_path / "stopped").mkdir()
    stopped = Run(TINY[name], short, tmp_path / "stopped", 0, "cpu")
    evaluate, calls = stopped.evaluate, []

    def interrupt():  # Ctrl-C on the way to the second evaluation
        if calls:
            raise KeyboardInterrupt
        calls.append(evaluate())

    stopped.evaluate = interrupt
    with pytest.raises(KeyboardInterrupt):
        stopped.train(show=False)
    torch.manual_seed(99)  # whatever happened in between
    resumed = pretrain(name, TINY[name], corpus, tmp_path / "stopped", show=False)
    assert resumed.evaluations == whole.evaluations
    for folder in ("whole", "stopped"):
        assert not (tmp_path / folder / "checkpoint.pt").exists()
    weights = [(tmp_path / f / "model.safetensors").read_bytes() for f in ("whole", "stopped")]
    assert weights[0] == weights[1]


def test_it_stops_when_it_over_fits_and_keeps_the_best(tmp_path, short, monkeypatch):
    losses = iter([3.0, 2.0, 2.5, 2.6, 2.7, 2.8, 2.9])
    monkeypatch.setattr("lora_lessons.base.pretrain.run.measure", lambda *_: (next(losses), 0.0))
    recipe = replace(TINY["tiny"], steps=100, eval_every=1, patience=3)
    run = Run(recipe, short, tmp_path, 0, "cpu")
    run.train(show=False)
    assert [step for step, _ in run.evaluations] == [1, 2, 3, 4, 5]
    assert run.best_loss == 2.0
    assert any(not torch.equal(run.best[k], v) for k, v in run.model.state_dict().items())


AUTO = {
    "tiny": "AutoModelForCausalLM",
    "tiny_encoder": "AutoModelForMaskedLM",
    "tiny_encoder_decoder": "AutoModelForSeq2SeqLM",
}


def test_what_it_leaves_is_a_hugging_face_model(tmp_path, corpus, name):
    import transformers

    run = pretrain(name, TINY[name], corpus, tmp_path, show=False)
    report = json.loads((tmp_path / "training.json").read_text())
    loader = getattr(transformers, AUTO[name])
    model = loader.from_pretrained(tmp_path, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(list(tmp_path.iterdir())) <= 8
    ids = tokenizer("call me", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == "call me"
    unit = run.objective.unit
    nats = report[f"valid_nats_per_{unit.replace(' ', '_')}"]
    loss, accuracy = measure(run.objective, model, run.valid)
    assert (nats, report["valid_accuracy"]) == pytest.approx((loss, accuracy), abs=2e-4)
    card = (tmp_path / "README.md").read_text()
    assert f"{nats:.4f} nats per {unit}" in card and "{" not in card
    model.train()  # the saved model does not know of the dropout
    assert measure(run.objective, model, run.valid)[0] == loss
    if name == "tiny":
        bits = nats / 0.693147 / run.bytes_per_token
        assert report["valid_bits_per_byte"] == pytest.approx(bits, abs=2e-4)


def test_the_validation_holes_are_the_same_for_every_seed(tmp_path, short):
    recipe = TINY["tiny_encoder"]
    runs = [Run(recipe, short, tmp_path, seed, "cpu") for seed in (0, 1)]
    first, second = (run.valid for run in runs)
    assert all(torch.equal(first[key], second[key]) for key in first)
    batches = [next(run.batches)["input_ids"] for run in runs]
    assert not torch.equal(*batches)
