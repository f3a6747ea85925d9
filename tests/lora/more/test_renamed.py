"""Old names of a vision-language model's modules: transformers' own rules, and key_mapping."""

from __future__ import annotations

import functools

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

import lora_lessons as ll
from lora_lessons.lora.more.adapters.renamed import renamings
from tests.parity.models import Mlp, tiny_qwen2

pytestmark = [  # PEFT's and transformers' own noise
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
]
IDS = torch.tensor([[1, 59, 59, 59, 59, 3]])
IMAGE = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(4))


def llava():
    """A tiny Llava: an image of four patches, then text."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig
    from transformers import LlavaForConditionalGeneration as Llava

    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
    vision = CLIPVisionConfig(**small, num_hidden_layers=2, image_size=8, patch_size=4)
    text = LlamaConfig(**small, num_hidden_layers=2, num_key_value_heads=2, vocab_size=60)
    torch.manual_seed(0)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=59)
    return Llava(config).eval()


def output(model):
    return model.eval()(input_ids=IDS, pixel_values=IMAGE).logits


def old(key):
    """The key as transformers' names were before version 4.52."""
    key = key.replace(".model.model.language_model.", ".model.language_model.model.")
    return key.replace(".model.model.vision_tower.", ".model.vision_tower.vision_model.")


@pytest.fixture
def folder(tmp_path):
    """(an adapter's folder with old keys, the outputs that it had)."""
    torch.manual_seed(1)
    config = peft.LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = peft.get_peft_model(llava(), config)
    model.save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors = {old(key): value for key, value in load_file(file).items()}
    assert len(tensors) == 16 and not any(".model.model." in key for key in tensors)
    save_file(tensors, file)
    return tmp_path, output(model)


def test_old_keys_load_by_transformers_own_rules(folder):
    path, expected = folder
    model = ll.PeftModel.from_pretrained(llava(), path)
    torch.testing.assert_close(output(model), expected, rtol=0, atol=1e-6)
    other = ll.get_peft_model(llava(), ll.LoraConfig(target_modules=["q_proj", "v_proj"]))
    ll.hotswap_adapter(other, path, "default")
    torch.testing.assert_close(output(other), expected, rtol=0, atol=1e-6)


def test_key_mapping_renames_what_no_rule_does(folder):
    path, expected = folder
    file = path / "adapter_model.safetensors"
    tensors = {k.replace("language_model.model", "words"): v for k, v in load_file(file).items()}
    save_file(tensors, file)
    with pytest.raises(ll.AdapterFileError, match="`key_mapping="):
        ll.PeftModel.from_pretrained(llava(), path)
    mapping = {
        r"^words": "model.language_model",
        r"^vision_tower.vision_model": "model.vision_tower",
    }
    for library in (ll, peft):
        model = library.PeftModel.from_pretrained(llava(), path, key_mapping=mapping)
        torch.testing.assert_close(output(model), expected, rtol=0, atol=1e-6)
    double = {r"layers\.\d": "layers.0", **mapping}
    with pytest.raises(ll.AdapterFileError, match="two tensors the key"):
        ll.PeftModel.from_pretrained(llava(), path, key_mapping=double)


def test_a_key_that_the_model_has_keeps_its_name(folder):
    path, _ = folder
    model = ll.PeftModel.from_pretrained(llava(), path)
    model.save_pretrained(path / "new")
    again = ll.PeftModel.from_pretrained(llava(), path / "new")
    assert torch.equal(output(again), output(model))
    file = path / "new" / "adapter_model.safetensors"
    tensors = load_file(file)
    key = next(key for key in tensors if "language_model" in key)
    tensors[old(key)] = tensors[key] + 1  # both names of one tensor
    save_file(tensors, file)
    with pytest.raises(ll.AdapterFileError, match="unexpected key"):
        ll.PeftModel.from_pretrained(llava(), path / "new")


def test_other_models_have_no_rules():
    assert renamings(Mlp()) == []
    rules = renamings(tiny_qwen2())
    name = "model.layers.0.self_attn.q_proj.lora_A.weight"
    assert functools.reduce(lambda n, rule: rule.rename_source_key(n)[0], rules, name) == name
