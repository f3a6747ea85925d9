"""Loading base models by name and generating from them."""

from __future__ import annotations

import importlib
import json
import random
import shutil
import socket

import pytest
import torch

from lora_lessons.base import load as base
from lora_lessons.base import model_packages
from lora_lessons.base.load import generate, is_available, load_base
from lora_lessons.base.pretrain import RECIPES, Recipe
from lora_lessons.base.pretrain.loss import measure
from lora_lessons.base.pretrain.objectives import OBJECTIVES
from lora_lessons.base.pretrain.order import order_gain
from lora_lessons.base.text import load_text
from lora_lessons.base.tokens import blocks
from lora_lessons.seeding import generator


@pytest.fixture(scope="module")
def nano():
    return load_base("nano")


@pytest.fixture
def nano_folder(tmp_path):
    """A copy of the nano model that a test may break."""
    return shutil.copytree(base.MODELS / "nano", tmp_path / "mine")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


MODELS = {  # name: class, parameters, the measure on its card
    "decoder": ("Qwen2ForCausalLM", 5_478_656, "valid_nats_per_token"),
    "nano": ("Qwen2ForCausalLM", 144_192, "valid_nats_per_token"),
    "encoder": ("BertForMaskedLM", 5_891_328, "valid_nats_per_masked_token"),
    "nano_encoder": ("BertForMaskedLM", 146_432, "valid_nats_per_masked_token"),
    "encoder_decoder": (
        "T5ForConditionalGeneration",
        6_395_904,
        "valid_nats_per_target_byte",
    ),
}


def test_every_model_that_ships_is_tested():
    assert list(MODELS) == list(base.SHIPPED)


@pytest.mark.parametrize("name", MODELS)
def test_shipped_models_load_without_the_network(name, no_network, monkeypatch, capfd):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    kind, parameters, _ = MODELS[name]
    model, tokenizer = load_base(name)
    assert type(model).__name__ == kind and not model.training
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert len(tokenizer) == model.config.vocab_size
    assert capfd.readouterr() == ("", "")
    assert is_available(name)
    assert sum(file.stat().st_size for file in (base.MODELS / name).iterdir()) < 16e6


@pytest.mark.parametrize("name", MODELS)
def test_shipped_weights_have_the_loss_on_their_card(name):
    model, tokenizer = load_base(name)
    report = json.loads((base.MODELS / name / "training.json").read_text())
    recipe = Recipe(**report["recipe"])
    objective = OBJECTIVES[recipe.objective](recipe, tokenizer)
    ids = objective.encode(load_text("pretraining").valid)
    windows = blocks(ids, objective.window)[: 16_384 // objective.window]
    loss, accuracy = measure(objective, model, objective.batch(windows, generator(0)))
    # 16,384 tokens of the validation text: a few percent from the loss on all of it
    measured = report[MODELS[name][2]]
    assert loss == pytest.approx(measured, rel=0.1)
    if "valid_accuracy" in report:
        assert accuracy == pytest.approx(report["valid_accuracy"], abs=0.05)
    assert f"{measured:.4f} nats" in (base.MODELS / name / "README.md").read_text()


@pytest.mark.parametrize("name", MODELS)
def test_shipped_models_were_made_by_the_recipe(name):
    recorded = json.loads((base.MODELS / name / "training.json").read_text())["recipe"]
    assert Recipe(**recorded) == RECIPES[name]


def test_the_encoder_decoder_reads_the_order_of_its_input():
    model, tokenizer = load_base("encoder_decoder")
    report = json.loads((base.MODELS / "encoder_decoder" / "training.json").read_text())
    objective = OBJECTIVES["span_corruption"](Recipe(**report["recipe"]), tokenizer)
    ids = objective.encode(load_text("pretraining").valid)
    batch = objective.batch(blocks(ids, objective.window)[:16], generator(0))
    fixed = objective.is_mark(batch["input_ids"])
    assert order_gain(objective, model, batch, fixed, generator(0)) > 0.1


def test_dtype_and_device_are_as_asked(nano_folder):
    model, _ = load_base("nano", dtype=torch.bfloat16, device="meta")
    assert model.dtype == torch.bfloat16 and model.device.type == "meta"


def test_a_folder_loads_like_a_name(nano_folder, nano):
    model, _ = load_base(nano_folder)
    for own, shipped in zip(model.parameters(), nano[0].parameters(), strict=True):
        assert torch.equal(own, shipped)
    assert is_available(nano_folder)


def test_an_encoder_loads_by_the_class_that_its_config_names(tmp_path, nano):
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=20, intermediate_size=8, **sizes)).save_pretrained(tmp_path)
    nano[1].save_pretrained(tmp_path)
    assert type(load_base(tmp_path)[0]) is BertModel


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(ValueError, match=r"'decodr'; did you mean 'decoder'\? \(known: .*minilm"):
        load_base("decodr")
    with pytest.raises(ValueError, match=r"no folder called './nothing/here'"):
        load_base("./nothing/here")
    assert not is_available("decodr")


def test_a_model_that_was_not_added_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_LESSONS_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="`lora-lessons models add smollm2`"):
        load_base("smollm2")
    assert not is_available("smollm2")


def test_an_added_model_loads_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_LESSONS_HOME", str(tmp_path))
    shutil.copytree(base.MODELS / "nano", model_packages.home() / "smollm2")
    assert is_available("smollm2")
    assert load_base("smollm2")[0].num_parameters() == 144_192


def test_a_hub_name_that_cannot_be_had_is_one_error():
    with pytest.raises(OSError, match="nobody/nothing could not be loaded"):
        load_base("nobody/nothing")
    assert not is_available("nobody/nothing")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.json", "has no config.json"),
        ("model.safetensors", "has no .*the weights"),
    ],
)
def test_a_folder_that_is_not_whole_says_what_it_lacks(nano_folder, file, message):
    (nano_folder / file).unlink()
    assert not is_available(nano_folder)
    with pytest.raises(ValueError, match=message):
        load_base(nano_folder)


def test_a_folder_without_a_tokenizer_says_so(nano_folder):
    for path in nano_folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ValueError, match="has no tokenizer files"):
        load_base(nano_folder)


def test_broken_files_are_named(nano_folder):
    weights = nano_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"weights file of .*mine is broken"):
        load_base(nano_folder)
    (nano_folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is not JSON"):
        load_base(nano_folder)


def test_a_weight_that_is_missing_is_not_filled_with_random_numbers(nano_folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(nano_folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, nano_folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack \['model.norm.weight'\]"):
        load_base(nano_folder)


def test_a_config_without_a_class_is_refused(nano_folder):
    config = json.loads((nano_folder / "config.json").read_text())
    config["architectures"] = ["MyOwnModel"]
    (nano_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"names no class of transformers: .*MyOwnModel"):
        load_base(nano_folder)


def test_transformers_is_quiet_inside_only():
    from transformers.utils import logging

    logging.set_verbosity_info()
    try:
        with base.quiet_transformers():
            assert logging.get_verbosity() == logging.ERROR
            assert not logging.is_progress_bar_enabled()
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity_warning()


def greedy(model, tokenizer, prompt, count):
    """The most likely token, again and again, without a cache."""
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
    for _ in range(count):
        with torch.no_grad():
            following = model(input_ids=ids).logits[:, -1:].argmax(-1)
        ids = torch.cat([ids, following], dim=1)
    return tokenizer.decode(ids[0])


def test_greedy_generation_is_the_most_likely_token_each_time(nano, capfd):
    text = generate(*nano, "The whale", max_new_tokens=12, repetition_penalty=1.0)
    assert text == greedy(*nano, "The whale", 12)
    assert capfd.readouterr() == ("", "")


def test_the_default_does_not_loop(nano):
    def longest_run(penalty):
        words = generate(*nano, "The whale", repetition_penalty=penalty).split()
        return max(words.count(word) for word in set(words))

    assert longest_run(1.0) > 10 > longest_run(1.2)


def test_sampling_follows_its_seed_and_temperature(nano):
    first, again, other = (
        generate(*nano, "The", max_new_tokens=20, temperature=1.0, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other
    cold = generate(*nano, "The", max_new_tokens=20, temperature=1e-4, seed=3)
    assert cold == generate(*nano, "The", max_new_tokens=20)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_generating_disturbs_nothing(nano, temperature):
    model, tokenizer = nano
    torch.manual_seed(7)
    random.seed(7)
    expected = (torch.rand(1).item(), random.random())
    torch.manual_seed(7)
    random.seed(7)
    model.train()
    model.model.layers[0].eval()  # a frozen part of a model in training
    try:
        generate(model, tokenizer, "The", max_new_tokens=3, temperature=temperature)
        assert model.training and not model.model.layers[0].training
        assert model.model.layers[1].training
    finally:
        model.eval()
    assert (torch.rand(1).item(), random.random()) == expected


def test_the_mode_comes_back_after_an_error(nano, monkeypatch):
    model, tokenizer = nano
    monkeypatch.setattr(model, "forward", lambda *_, **__: 1 / 0)
    model.train()
    try:
        with pytest.raises(ZeroDivisionError):
            generate(model, tokenizer, "The")
        assert model.training
    finally:
        model.eval()


@pytest.mark.parametrize("library", ["lora_lessons", "peft"])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # PEFT asks for it
def test_an_adapted_model_generates_too(library):
    lora = importlib.import_module(library)
    model, tokenizer = load_base("nano")
    before = generate(model, tokenizer, "The whale", max_new_tokens=8)
    config = lora.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_dropout=0.5)
    adapted = lora.get_peft_model(model, config).train()
    assert generate(adapted, tokenizer, "The whale", max_new_tokens=8) == before  # B is zero
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    after = generate(adapted, tokenizer, "The whale", max_new_tokens=8)
    assert after == generate(adapted, tokenizer, "The whale", max_new_tokens=8) != before
    assert adapted.training


def test_special_tokens_stay_out_of_what_is_new(nano, monkeypatch):
    model, tokenizer = nano
    end = tokenizer.eos_token_id
    monkeypatch.setattr(
        model,
        "generate",
        lambda input_ids, **_: torch.cat([input_ids, torch.tensor([[end]])], 1),
    )
    assert generate(model, tokenizer, f"A{tokenizer.eos_token}B") == f"A{tokenizer.eos_token}B"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": "a", "max_new_tokens": 0}, "at least 1"),
        ({"prompt": "a", "max_new_tokens": 256}, "window of 256 tokens"),
        ({"prompt": "a", "temperature": -1.0}, "must not be negative"),
        ({"prompt": "a", "seed": -1}, "seed must be"),
    ],
)
def test_what_cannot_be_generated_is_refused(nano, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(*nano, **arguments)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_generating_on_a_gpu_disturbs_no_generator():
    model, tokenizer = load_base("nano", device="cuda")
    torch.manual_seed(7)
    states = (torch.get_rng_state(), *torch.cuda.get_rng_state_all())
    texts = [generate(model, tokenizer, "The", temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    now = (torch.get_rng_state(), *torch.cuda.get_rng_state_all())
    assert all(torch.equal(a, b) for a, b in zip(states, now, strict=True))


@pytest.mark.parametrize("library", ["lora_lessons", "peft"])
@pytest.mark.parametrize("name", ["nano_encoder", "encoder_decoder"])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # PEFT asks for it
def test_the_encoders_take_adapters_where_peft_puts_them(name, library):
    lora = importlib.import_module(library)
    model, tokenizer = load_base(name)
    inputs = dict(tokenizer("call me ishmael.", return_tensors="pt"))
    if name == "encoder_decoder":
        inputs["labels"] = inputs["input_ids"]
    with torch.no_grad():
        before = model(**inputs).logits
        adapted = lora.get_peft_model(model, lora.LoraConfig(r=2)).eval()
        torch.testing.assert_close(adapted(**inputs).logits, before)  # B is zero
        for key, parameter in adapted.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter)
        assert not torch.allclose(adapted(**inputs).logits, before, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("the [MASK] states of america", "united"),
        ("the [MASK] of the navy has submitted his report", "secretary"),
        ("oak: a large [MASK] with hard wood", "tree"),
    ],
)
def test_the_encoder_fills_a_gap_with_a_likely_word(text, word):
    model, tokenizer = load_base("encoder")
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        best = model(input_ids=ids).logits[ids == tokenizer.mask_token_id].topk(5).indices[0]
    assert word in tokenizer.convert_ids_to_tokens(best)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"temperature": float("nan")},
            "temperature must not be negative, and must be finite; it is nan",
        ),
        ({"temperature": -1.0}, "temperature must not be negative"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0"),
    ],
)
def test_settings_that_choose_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        generate(*load_base("nano"), "The whale", **options)
