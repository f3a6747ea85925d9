"""A new head on a pretrained body: what is new, what must come from the file, what is refused."""

from __future__ import annotations

import shutil

import pytest
import torch

from lora_lessons import seed_everything
from lora_lessons.base.heads import HEADS, head_class, new_keys
from lora_lessons.base.load import load_base

LABELS = {"token_classification": 5, "sequence_classification": 3, "question_answering": None}
POOLER = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
NEW = {
    "token_classification": {"classifier.weight", "classifier.bias"},
    "sequence_classification": {"classifier.weight", "classifier.bias"} | POOLER,
    "question_answering": {"qa_outputs.weight", "qa_outputs.bias"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An encoder with random weights, as pretraining leaves it."""
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    path = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a"]
    BertTokenizer({word: i for i, word in enumerate(words)}).save_pretrained(path)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(words), intermediate_size=8, **sizes)
    BertForMaskedLM(config).save_pretrained(path)
    return path


@pytest.mark.parametrize("head", HEADS)
def test_the_head_is_new_and_the_body_is_the_saved_one(folder, head):
    saved, _ = load_base(folder)
    model, _ = load_base(folder, head=head, num_labels=LABELS[head])
    expected = saved.state_dict()
    assert new_keys(model, type(saved)) == NEW[head]
    for key, tensor in model.state_dict().items():
        assert key in NEW[head] or torch.equal(tensor, expected[key])
    assert model.config.num_labels == (LABELS[head] or 2) and not model.training


def test_the_head_follows_the_seed(folder):
    weights = []
    for seed in (0, 0, 1):
        seed_everything(seed)
        model, _ = load_base(folder, head="token_classification", num_labels=4)
        weights.append(model.classifier.weight)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_head_on_an_encoder_decoder(tmp_path):
    from transformers import ByT5Tokenizer, T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=384, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    saved = T5ForConditionalGeneration(config)
    saved.save_pretrained(tmp_path)
    ByT5Tokenizer().save_pretrained(tmp_path)
    model, tokenizer = load_base(tmp_path, head="token_classification", num_labels=4)
    assert new_keys(model, type(saved)) == {"classifier.weight", "classifier.bias"}
    assert model(**tokenizer("abc", return_tensors="pt")).logits.shape == (1, 4, 4)  # and the end


@pytest.mark.parametrize("key", ["bert.embeddings.LayerNorm.weight", "cls.predictions.bias"])
def test_a_weight_of_the_body_must_be_in_the_file(folder, tmp_path, key):
    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(folder, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    del weights[key]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"lack .'{key}'."):
        load_base(broken)
    if key.startswith("bert."):
        with pytest.raises(ValueError, match=f"lack .'{key}'."):
            load_base(broken, head="token_classification", num_labels=4)
    else:  # the old head is not needed under a new one
        load_base(broken, head="token_classification", num_labels=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "token_clasification"}, "did you mean 'token_classification'"),
        ({"head": "token_classification"}, "needs num_labels, a whole number; it is None"),
        ({"head": "sequence_classification", "num_labels": 0}, "needs num_labels"),
        ({"head": "question_answering", "num_labels": 3}, "goes with a head that classifies"),
        ({"num_labels": 3}, "goes with a head that classifies, not with head=None"),
    ],
)
def test_what_is_no_head_is_refused_before_anything_is_loaded(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_base("./nothing/here", **arguments)


def test_an_architecture_without_the_head_says_so():
    from transformers import ViTConfig

    with pytest.raises(ValueError, match="no head 'question_answering' for vit"):
        head_class("question_answering", ViTConfig())
