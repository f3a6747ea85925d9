"""`prepare_model_for_kbit_training`: what is frozen, cast and recomputed, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import lora_lessons as ll
from lora_lessons.base.nf4_linear import to_nf4
from tests.lora.more.quantized_models import Quantized, quietly

pytestmark = pytest.mark.quantized
IDS = torch.randint(0, 500, (2, 12), generator=torch.Generator().manual_seed(0))


def nano(dtype=torch.bfloat16, in_4_bits=True):
    model, _ = ll.load_base("nano")
    if in_4_bits:
        to_nf4(model, keep=model.get_output_embeddings())
    return model.to(dtype)


def recomputes(model):
    name = "gradient_checkpointing"
    return [getattr(module, name) for module in model.modules() if hasattr(module, name)]


def trained(model):
    torch.manual_seed(0)
    config = ll.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = ll.get_peft_model(model, config).train()
    model(input_ids=IDS, labels=IDS).loss.backward()
    return {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


def test_all_is_frozen_norms_are_float32_and_codes_stay():
    model = nano()
    codes = {n: p.clone() for n, p in model.named_parameters() if p.dtype == torch.uint8}
    assert codes
    norm = model.model.norm.weight
    assert norm.dtype == torch.bfloat16
    assert ll.prepare_model_for_kbit_training(model) is model
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {p.dtype for p in model.parameters()} == {torch.uint8, torch.float32}
    assert model.model.norm.weight is norm  # the same Parameter: what is tied stays tied
    assert model.lm_head.weight is model.model.embed_tokens.weight
    for name, before in codes.items():
        assert torch.equal(model.get_parameter(name), before)


@pytest.mark.parametrize("options", [None, {"use_reentrant": False}, {"use_reentrant": True}])
def test_recomputing_gives_the_same_gradients(options):
    expected = trained(ll.prepare_model_for_kbit_training(nano(), False))
    model = ll.prepare_model_for_kbit_training(nano(), gradient_checkpointing_kwargs=options)
    assert any(recomputes(model))
    gradients = trained(model)
    assert gradients.keys() == expected.keys() and len(expected) == 42
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, msg=name)
    assert all(gradients[name].any() for name in gradients if "lora_B" in name)


@pytest.mark.parametrize("in_4_bits", [True, False])
def test_only_a_quantized_model_recomputes(in_4_bits):
    model = ll.prepare_model_for_kbit_training(nano(in_4_bits=in_4_bits))
    assert any(recomputes(model)) == in_4_bits
    assert {p.dtype for p in model.parameters() if p.is_floating_point()} == {torch.float32}


def test_fit_trains_what_was_prepared():
    model = ll.prepare_model_for_kbit_training(nano())
    config = ll.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = ll.get_peft_model(model, config)
    batch = {"input_ids": IDS, "labels": IDS}
    history = ll.fit(model, [batch], steps=8, lr=5e-3, valid=IDS, eval_every=4, progress=False)
    assert history.losses[-1] < history.losses[0] - 0.1


def test_a_model_with_adapters_is_refused_and_its_adapters_still_train():
    model = ll.get_peft_model(nano(), ll.LoraConfig(r=2, target_modules=["q_proj"]))
    before = {n: (p.dtype, p.requires_grad) for n, p in model.named_parameters()}
    with pytest.raises(ll.ConfigError, match="call prepare_model_for_kbit_training before"):
        ll.prepare_model_for_kbit_training(model)
    assert before == {n: (p.dtype, p.requires_grad) for n, p in model.named_parameters()}


def test_a_model_that_cannot_recompute_is_refused_and_unchanged():
    model = Quantized("own_nf4")
    model.head.bfloat16()
    model.head.requires_grad_(True)
    with pytest.raises(ll.ConfigError, match=r"Quantized has no gradient checkpointing.*=False"):
        ll.prepare_model_for_kbit_training(model)
    assert model.head.weight.requires_grad and model.head.weight.dtype == torch.bfloat16
    ll.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    assert not model.head.weight.requires_grad and model.head.weight.dtype == torch.float32


@pytest.mark.parametrize("method", ["gptq", "aqlm", "eetq", "hqq", "torchao"])
def test_what_computes_in_16_bits_is_not_cast(method):
    model = nn.Sequential(nn.Linear(2, 2)).bfloat16()
    model.quantization_method = method
    ll.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    assert model[0].weight.dtype == torch.bfloat16 and not model[0].weight.requires_grad


def test_codes_that_are_stored_as_bfloat16_stay():
    model = Quantized("nf4", quant_storage=torch.bfloat16)
    codes = copy.deepcopy(model.first.weight.data)
    assert codes.dtype == torch.bfloat16
    ll.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    assert model.first.weight.dtype == torch.bfloat16
    assert torch.equal(model.first.weight.data.view(torch.uint8), codes.view(torch.uint8))


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")
@pytest.mark.parametrize("bits", [4, 8])
def test_the_way_of_the_docs_from_transformers_to_a_merged_float_model(bits, tmp_path):
    quietly("bitsandbytes")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    form = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    few = BitsAndBytesConfig(**{f"load_in_{bits}bit": True}, **(form if bits == 4 else {}))
    folder = Path(ll.__file__).parent / "base" / "models" / "nano"
    options = {"dtype": torch.float32, "device_map": "cpu"}
    base = AutoModelForCausalLM.from_pretrained(folder, quantization_config=few, **options)
    base = ll.prepare_model_for_kbit_training(base)
    config = ll.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = ll.get_peft_model(base, config)
    kinds = {type(m).__name__ for m in model.modules() if isinstance(m, ll.LoraLayer)}
    assert kinds == {"Linear4bit" if bits == 4 else "Linear8bitLt"}
    batch = {"input_ids": IDS, "labels": IDS}
    history = ll.fit(model, [batch], steps=8, lr=5e-3, valid=IDS, eval_every=4, progress=False)
    assert history.losses[-1] < history.losses[0] - 0.1
    model.save_pretrained(tmp_path)
    with pytest.raises(ll.MergeError, match="load the base again without quantization"):
        model.merge_and_unload()
    floats = AutoModelForCausalLM.from_pretrained(folder, **options)
    before = ll.evaluate(floats, IDS)
    merged = ll.PeftModel.from_pretrained(floats, tmp_path).merge_and_unload()
    assert ll.evaluate(merged, IDS) < before - 0.1
