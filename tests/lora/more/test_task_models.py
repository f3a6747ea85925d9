"""Each task type on a transformers model of its kind: class, head, training, files."""

from __future__ import annotations

import peft
import pytest
import torch
from torch import nn

import lora_lessons as ll
from tests.parity.models import tiny_qwen2

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:Setting .save_embedding_layers."),
]

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
IDS = torch.tensor([[5, 9, 3, 7, 1], [2, 8, 8, 4, 6]])


def bert(kind: str, **fields) -> nn.Module:
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(**{**SIZES, "num_labels": 3, **fields})
    return getattr(transformers, f"Bert{kind}")(config).eval()


def t5() -> nn.Module:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=60,
        d_model=16,
        d_kv=4,
        d_ff=24,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config).eval()


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=60, n_embd=16, n_layer=2, n_head=4)).eval()


LABELS = {"labels": torch.tensor([1, 2])}
CASES = {
    "SEQ_CLS": (lambda: bert("ForSequenceClassification"), LABELS, "classifier"),
    "TOKEN_CLS": (lambda: bert("ForTokenClassification"), {"labels": IDS % 3}, "classifier"),
    "QUESTION_ANS": (
        lambda: bert("ForQuestionAnswering", num_labels=2),
        {"start_positions": LABELS["labels"], "end_positions": LABELS["labels"]},
        "qa_outputs",
    ),
    "CAUSAL_LM": (tiny_qwen2, {"labels": IDS}, None),
    "SEQ_2_SEQ_LM": (t5, {"labels": IDS}, None),
    "FEATURE_EXTRACTION": (lambda: bert("Model"), {}, None),
}
CLASSES = {
    "SEQ_CLS": "PeftModelForSequenceClassification",
    "TOKEN_CLS": "PeftModelForTokenClassification",
    "QUESTION_ANS": "PeftModelForQuestionAnswering",
    "CAUSAL_LM": "PeftModelForCausalLM",
    "SEQ_2_SEQ_LM": "PeftModelForSeq2SeqLM",
    "FEATURE_EXTRACTION": "PeftModelForFeatureExtraction",
}


def first_output(model: nn.Module, arguments: dict) -> torch.Tensor:
    result = model(input_ids=IDS, **arguments)
    return result.loss if "loss" in result else result.last_hidden_state


@pytest.mark.parametrize("task", CASES)
@pytest.mark.parametrize("targets", [None, "all-linear"])
def test_a_task_trains_saves_and_loads_in_both_libraries(task, targets, tmp_path):
    build, arguments, head = CASES[task]
    torch.manual_seed(1)
    config = ll.LoraConfig(r=2, task_type=task, target_modules=targets, init_lora_weights=False)
    model = ll.get_peft_model(build(), config)
    assert type(model).__name__ == CLASSES[task]
    trains = {n for n, p in model.named_parameters() if p.requires_grad}
    others = {n for n in trains if "lora_" not in n}
    assert all(head is not None and f"{head}.modules_to_save.default" in n for n in others)
    assert bool(others) == (head is not None)
    loss = first_output(model.train(), arguments).sum()
    loss.backward()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in trains:
                parameter.add_(0.05)
    expected = first_output(model.eval(), arguments)
    model.save_pretrained(tmp_path)
    loaded = ll.PeftModel.from_pretrained(build(), tmp_path)
    assert type(loaded).__name__ == CLASSES[task]
    torch.testing.assert_close(first_output(loaded, arguments), expected, rtol=0, atol=1e-6)
    theirs = peft.PeftModel.from_pretrained(build(), tmp_path)
    torch.testing.assert_close(first_output(theirs, arguments), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("task", ["CAUSAL_LM", "FEATURE_EXTRACTION", "QUESTION_ANS"])
def test_a_task_type_that_does_not_know_the_head_is_warned_of(task):
    """PEFT is silent, or refuses the model for another reason."""
    config = ll.LoraConfig(task_type=task, target_modules=["query"])
    with pytest.warns(ll.PeftWarning, match=f"has task_type {task} and no modules_to_save"):
        model = ll.get_peft_model(bert("ForSequenceClassification"), config)
    assert not any("classifier" in name for name in ll.get_peft_model_state_dict(model))


def test_a_head_that_is_named_is_not_warned_of():
    for how in ({"task_type": "TOKEN_CLS"}, {"modules_to_save": ["classifier"]}):
        config = ll.LoraConfig(target_modules=["query"], **how)
        model = ll.get_peft_model(bert("ForSequenceClassification"), config)
        assert any("classifier" in name for name in ll.get_peft_model_state_dict(model))


def test_the_forgotten_task_type_of_a_real_classifier_is_warned_of():
    with pytest.warns(ll.PeftWarning, match="BertForSequenceClassification has a head"):
        ll.get_peft_model(bert("ForSequenceClassification"), ll.LoraConfig(r=2))


def test_a_head_beside_the_modules_that_are_named_is_warned_of():
    """The pooler is new as well, but naming it alone leaves the head random."""
    config = ll.LoraConfig(target_modules=["query"], modules_to_save=["pooler"])
    with pytest.warns(ll.PeftWarning, match=r"modules_to_save \['pooler'\], where it is not"):
        model = ll.get_peft_model(bert("ForSequenceClassification"), config)
    assert not any("classifier" in name for name in ll.get_peft_model_state_dict(model))


def test_a_part_of_a_head_and_a_head_of_another_name_are_not_warned_of():
    class TwoLayers(nn.Sequential):
        pass

    model = bert("ForSequenceClassification")
    model.classifier = TwoLayers(nn.Linear(16, 16), nn.Linear(16, 3))
    config = ll.LoraConfig(target_modules=["query"], modules_to_save=["classifier.1"])
    ll.get_peft_model(model, config)

    class OfMyOwnForSequenceClassification(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.top = nn.Linear(4, 4), nn.Linear(4, 3)

    config = ll.LoraConfig(r=2, target_modules=["query"], modules_to_save=["top"])
    ll.get_peft_model(OfMyOwnForSequenceClassification(), config)


@pytest.mark.parametrize("targets", ["all-linear", ["query"]])
def test_a_forgotten_heads_own_weight_is_frozen_and_not_saved_whatever_lora_is_on(targets):
    """So the warning is true in both cases: with LoRA on the head and without."""
    with pytest.warns(ll.PeftWarning, match="own weight will stay frozen and out of the adapter's"):
        model = ll.get_peft_model(
            bert("ForSequenceClassification"), ll.LoraConfig(r=2, target_modules=targets)
        )
    head = [n for n, p in model.named_parameters() if "classifier" in n and p.requires_grad]
    saved = [name for name in ll.get_peft_model_state_dict(model) if "classifier" in name]
    assert len(head) == len(saved) == (2 if targets == "all-linear" else 0)
    assert all("lora_" in name for name in head + saved)


def test_generating_with_an_adapter_and_with_the_base():
    config = ll.LoraConfig(r=2, task_type="CAUSAL_LM", init_lora_weights=False, lora_alpha=64)
    base = tiny_qwen2()
    arguments = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    ids = torch.tensor([[5, 9, 3]])
    before = base.generate(input_ids=ids, **arguments)
    model = ll.get_peft_model(base, config).eval()
    after = model.generate(input_ids=ids, **arguments)
    assert not torch.equal(before, after)
    with model.disable_adapter():
        assert torch.equal(model.generate(input_ids=ids, **arguments), before)
    two = model.generate(input_ids=ids, adapter_names=["__base__"], **arguments)
    assert torch.equal(two, before)
    assert torch.equal(model.merge_and_unload().generate(input_ids=ids, **arguments), after)


def test_gpt2s_layers_are_found_turned_round_and_said_to_be(tmp_path):
    config = ll.LoraConfig(r=2, task_type="CAUSAL_LM", init_lora_weights=False)
    with pytest.warns(ll.PeftWarning, match="fan_in_fan_out is set to False but the target"):
        model = ll.get_peft_model(gpt2(), config)
    assert model.peft_config["default"].fan_in_fan_out
    assert model.peft_config["default"].target_modules == {"c_attn"}
    y = model(input_ids=IDS).logits
    model.save_pretrained(tmp_path)
    theirs = peft.PeftModel.from_pretrained(gpt2(), tmp_path)
    torch.testing.assert_close(theirs(input_ids=IDS).logits, y, rtol=0, atol=1e-6)


def test_a_wrong_fan_in_fan_out_is_corrected_and_said_to_be():
    config = ll.LoraConfig(r=2, target_modules=["q_proj"], fan_in_fan_out=True)
    with pytest.warns(ll.PeftWarning, match="fan_in_fan_out is set to True but the target"):
        model = ll.get_peft_model(tiny_qwen2(), config)
    assert not model.peft_config["default"].fan_in_fan_out


def test_gradient_checkpointing_reaches_the_adapters():
    model = tiny_qwen2().train()
    new, old = "activation_checkpointing_enable", "gradient_checkpointing_enable"
    getattr(model, new if hasattr(model, new) else old)({"use_reentrant": True})
    config = ll.LoraConfig(r=2, task_type="CAUSAL_LM")
    peft_model = ll.get_peft_model(model, config)
    peft_model(input_ids=IDS, labels=IDS).loss.backward()
    gradients = [p.grad for n, p in peft_model.named_parameters() if "lora_B" in n]
    assert gradients
    assert all(g is not None and g.any() for g in gradients)


def test_one_of_two_tied_layers_is_warned_of():
    from transformers import Qwen2ForCausalLM

    base = tiny_qwen2()
    base.config.tie_word_embeddings = True
    tied = Qwen2ForCausalLM(base.config)
    config = ll.LoraConfig(r=2, target_modules=["embed_tokens"])
    with pytest.warns(ll.PeftWarning, match="shares its weight with lm_head"):
        ll.get_peft_model(tied, config)
    both = ll.LoraConfig(r=2, target_modules=["embed_tokens", "lm_head"])
    with pytest.raises(ValueError, match="share one weight"):
        ll.get_peft_model(Qwen2ForCausalLM(base.config), both)
