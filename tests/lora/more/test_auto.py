"""AutoPeftModel...: the base that an adapter names, and the adapter on it, as PEFT loads them."""

from __future__ import annotations

import json
import sys

import peft
import pytest
import torch
from torch import nn

import lora_lessons as ll
from tests.parity.models import tiny_qwen2

pytestmark = [  # PEFT's and transformers' own noise
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
]
IDS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
FIELDS = {"target_modules": ["q_proj", "v_proj"], "init_lora_weights": False}
KINDS = {
    "CausalLM": "CAUSAL_LM",
    "SequenceClassification": "SEQ_CLS",
    "TokenClassification": "TOKEN_CLS",
    "QuestionAnswering": "QUESTION_ANS",
    "FeatureExtraction": "FEATURE_EXTRACTION",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny_qwen2().save_pretrained(folder)
    return folder


def saved(base, folder, kind="CausalLM", task="CAUSAL_LM", **fields):
    """An adapter that PEFT trained, so to say, on a model of this kind."""
    import transformers

    name = "AutoModel" if kind == "FeatureExtraction" else f"AutoModelFor{kind}"
    auto = getattr(transformers, name)
    options = {"num_labels": 3} if "Classification" in kind else {}
    if kind == "QuestionAnswering":  # transformers has another name for the body there
        auto.from_pretrained(base).save_pretrained(folder / "base")
        base = folder / "base"
    torch.manual_seed(1)
    model = auto.from_pretrained(base, pad_token_id=0, **options)
    model = peft.get_peft_model(model, peft.LoraConfig(task_type=task, **FIELDS, **fields))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * parameter.requires_grad)
    model.save_pretrained(folder)
    return folder


def output(model):
    return next(iter(model.eval()(input_ids=IDS).values()))


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_those_of_peft(base, tmp_path, kind):
    folder = saved(base, tmp_path, kind, KINDS[kind])
    options = {"num_labels": 3} if "Classification" in kind else {}
    options |= {"pad_token_id": 0}
    theirs = getattr(peft, f"AutoPeftModelFor{kind}").from_pretrained(folder, **options)
    ours = getattr(ll, f"AutoPeftModelFor{kind}").from_pretrained(folder, **options)
    assert type(ours).__name__ == type(theirs).__name__ == f"PeftModelFor{kind}"
    torch.testing.assert_close(output(ours), output(theirs), rtol=0, atol=1e-6)
    assert not any(p.requires_grad for p in ours.parameters())


def test_an_encoder_and_a_decoder(tmp_path):
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=60, d_model=16, d_kv=4, d_ff=24, num_layers=1, num_heads=4,
        decoder_start_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(tmp_path / "base")
    model = ll.get_peft_model(
        T5ForConditionalGeneration.from_pretrained(tmp_path / "base").eval(),
        ll.LoraConfig(task_type="SEQ_2_SEQ_LM", init_lora_weights=False),
    )
    model.save_pretrained(tmp_path / "adapter")
    back = ll.AutoPeftModelForSeq2SeqLM.from_pretrained(tmp_path / "adapter")
    assert isinstance(back, ll.PeftModelForSeq2SeqLM)
    expected = model(input_ids=IDS, decoder_input_ids=IDS).logits
    assert torch.equal(back(input_ids=IDS, decoder_input_ids=IDS).logits, expected)


def test_arguments_go_where_they_belong(base, tmp_path):
    folder = saved(base, tmp_path / "all" / "one")
    model = ll.AutoPeftModelForCausalLM.from_pretrained(
        tmp_path / "all",
        "mine",
        is_trainable=True,
        subfolder="one",
        dtype=torch.bfloat16,
        autocast_adapter_dtype=False,
    )
    assert model.active_adapter == "mine" and folder.is_dir()
    trained = {p.dtype for p in model.parameters() if p.requires_grad}
    assert trained == {torch.bfloat16} == {model.get_input_embeddings().weight.dtype}
    with pytest.raises(TypeError, match="is_trainble"):
        ll.AutoPeftModelForCausalLM.from_pretrained(folder, is_trainble=True)


def test_the_number_of_labels_is_the_files(base, tmp_path):
    folder = saved(base, tmp_path, "SequenceClassification", "SEQ_CLS")
    with pytest.raises(RuntimeError, match="size mismatch"):
        peft.AutoPeftModelForSequenceClassification.from_pretrained(folder, pad_token_id=0)
    model = ll.AutoPeftModelForSequenceClassification.from_pretrained(folder, pad_token_id=0)
    assert output(model).shape == (2, 3)


def test_the_base_by_its_own_class(base, tmp_path):
    folder = saved(base, tmp_path, task=None)
    for kind in (ll.AutoPeftModel, ll.AutoPeftModelForCausalLM):
        model = kind.from_pretrained(folder)
        assert type(model.get_base_model()).__name__ == "Qwen2ForCausalLM"
    theirs = peft.AutoPeftModel.from_pretrained(folder)
    torch.testing.assert_close(output(model), output(theirs), rtol=0, atol=1e-6)


def test_a_larger_tokenizer_has_the_embedding_resized(base, tmp_path):
    from tokenizers import Tokenizer, models
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    words = {str(n): n for n in range(64)}
    inner = Tokenizer(models.WordLevel(words, unk_token="0"))
    PreTrainedTokenizerFast(tokenizer_object=inner).save_pretrained(tmp_path)
    resized = AutoModelForCausalLM.from_pretrained(base)
    resized.resize_token_embeddings(64)
    config = ll.LoraConfig(task_type="CAUSAL_LM", modules_to_save=["lm_head"], **FIELDS)
    trained = ll.get_peft_model(resized, config).eval()
    with pytest.warns(ll.PeftWarning, match="resized"):
        trained.save_pretrained(tmp_path)
    back = ll.AutoPeftModelForCausalLM.from_pretrained(tmp_path)
    assert back.get_input_embeddings().weight.shape[0] == 64
    assert torch.equal(output(back), output(trained))


def rewritten(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


OTHER = {"base_model_class": "Model", "parent_library": "evil_library"}
REFUSED = {
    "use AutoPeftModelForCausalLM in the place of AutoPeftModelForTokenClassification": (
        "AutoPeftModelForTokenClassification", {},
    ),
    "use AutoPeftModelForCausalLM in the place of AutoPeftModel$": ("AutoPeftModel", {}),
    "names no base": ("AutoPeftModelForCausalLM", {"base_model_name_or_path": None}),
    "neither a task type nor": ("AutoPeftModel", {"task_type": None}),
    "not in the import allowlist": ("AutoPeftModel", {"task_type": None, "auto_mapping": OTHER}),
    "Did you mean 'Qwen2ForCausalLM'": (
        "AutoPeftModel",
        {
            "task_type": None,
            "auto_mapping": {
                "parent_library": "transformers.models.qwen2.modeling_qwen2",
                "base_model_class": "Qwen2ForCausalML",
            },
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("says", REFUSED)
def test_what_cannot_be_made_is_refused(base, tmp_path, monkeypatch, says):
    name, changes = REFUSED[says]
    folder = rewritten(saved(base, tmp_path / "adapter"), **changes)
    trap = tmp_path / "evil_library.py"
    trap.write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ll.ConfigError, match=says):
        getattr(ll, name).from_pretrained(folder)
    assert "evil_library" not in sys.modules


def test_a_library_of_ones_own_is_taken_if_it_is_named(base, tmp_path, monkeypatch):
    mapping = {"base_model_class": "Mine", "parent_library": "my_library"}
    folder = rewritten(saved(base, tmp_path / "adapter"), task_type=None, auto_mapping=mapping)
    text = "from transformers import Qwen2ForCausalLM\nclass Mine(Qwen2ForCausalLM): pass\n"
    (tmp_path / "my_library.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    model = ll.AutoPeftModel.from_pretrained(folder, import_allowlist=["my_library"])
    assert type(model.get_base_model()).__name__ == "Mine"


def test_a_missing_base_is_named(base, tmp_path):
    gone = str(tmp_path / "gone")
    folder = rewritten(saved(base, tmp_path / "a"), base_model_name_or_path=gone)
    with pytest.raises((OSError, ValueError), match="gone"):
        ll.AutoPeftModelForCausalLM.from_pretrained(folder)


def test_none_is_made_without_a_folder():
    with pytest.raises(OSError, match="from_pretrained"):
        ll.AutoPeftModelForCausalLM(nn.Linear(2, 2))
