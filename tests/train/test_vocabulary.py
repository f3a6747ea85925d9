"""Token ids that the model does not know are refused by name, before a step is taken."""

from __future__ import annotations

import pytest
import torch
from models import VOCABULARY, batch, tiny_decoder
from torch import nn

import lora_lessons as ll
from lora_lessons.train.loop import evaluate, fit
from lora_lessons.train.vocabulary import Vocabulary, vocabulary_size

SETTINGS = {"steps": 3, "lr": 1e-3, "progress": False, "capture": False}


def lora(**fields) -> ll.PeftModel:
    config = ll.LoraConfig(target_modules=["q_proj"], **fields)
    return ll.get_peft_model(tiny_decoder(tie_word_embeddings=False), config)


def spoilt(name: str, value: int) -> dict[str, torch.Tensor]:
    result = batch()
    result[name][1, 2] = value
    return result


@pytest.mark.parametrize("name", ["input_ids", "labels"])
@pytest.mark.parametrize(("value", "id_"), [(VOCABULARY, VOCABULARY), (50256, 50256), (-101, -101)])
def test_an_unknown_id_is_named_with_the_size(name, value, id_):
    model = lora()
    before = {key: each.clone() for key, each in model.state_dict().items()}
    with pytest.raises(ValueError, match=rf"{name} hold the id {id_}, .* {VOCABULARY} tokens"):
        fit(model, [spoilt(name, value)], **SETTINGS)
    assert all(torch.equal(each, before[key]) for key, each in model.state_dict().items())


def test_a_later_batch_is_looked_at_too():
    with pytest.raises(ValueError, match="hold the id 99"):
        fit(lora(), [batch(), spoilt("input_ids", 99)], **SETTINGS)


def test_the_last_id_and_ignored_labels_are_known():
    good = spoilt("input_ids", VOCABULARY - 1)
    good["labels"][0] = -100
    assert len(fit(lora(), [good], **SETTINGS).losses) == 3
    with pytest.raises(ValueError, match="input_ids hold the id -100"):
        fit(lora(), [spoilt("input_ids", -100)], **SETTINGS)


def test_a_resized_embedding_counts_and_not_the_config():
    model = tiny_decoder()
    model.resize_token_embeddings(70)
    model.config.vocab_size = VOCABULARY
    assert vocabulary_size(model) == 70


def test_an_embedding_with_an_adapter_or_saved_whole_has_its_size():
    config = ll.LoraConfig(target_modules=["embed_tokens"])
    untied = tiny_decoder(tie_word_embeddings=False)
    assert vocabulary_size(ll.get_peft_model(untied, config)) == VOCABULARY
    assert vocabulary_size(lora(modules_to_save=["embed_tokens"])) == VOCABULARY
    assert vocabulary_size(lora(trainable_token_indices=[1, 2])) == VOCABULARY


def test_other_models_and_own_losses_are_left_alone():
    assert vocabulary_size(nn.Embedding(3, 2)) is None
    Vocabulary(nn.Linear(2, 2)).check(spoilt("input_ids", 10**6), first=True)
    model = lora()
    unknown = {"input_ids": torch.full((2, 3), 10**6)}  # what they mean is the loss's to say
    history = fit(
        model, [unknown], **SETTINGS, loss_fn=lambda m, b: m(batch()["input_ids"]).logits.mean()
    )
    assert len(history.losses) == 3


def test_only_the_first_step_waits_for_a_device():
    class Elsewhere(torch.Tensor):
        device = torch.device("meta")  # it stands for a GPU

    ids = batch()["input_ids"].as_subclass(Elsewhere)
    ids[0, 0] = 77
    Vocabulary(tiny_decoder()).check({"input_ids": ids}, first=False)
    with pytest.raises(ValueError, match="hold the id 77"):
        Vocabulary(tiny_decoder()).check({"input_ids": ids}, first=True)


def test_evaluation_and_sweeps_ask_too():
    ids = torch.arange(40) + 30
    with pytest.raises(ValueError, match="blocks hold the id 69"):
        evaluate(tiny_decoder(), ids.view(4, 10))
    job = ll.Job(ll.LoraConfig(target_modules=["q_proj"]), lr=1e-3)
    with pytest.raises(ValueError, match="train_ids hold the id 69"):
        ll.train_many(tiny_decoder(), [job], ids, steps=1, batch_size=1, length=4, progress=False)
