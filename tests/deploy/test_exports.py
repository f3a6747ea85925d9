"""Exports: what is written says the same as torch, and what cannot be written is refused."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch

import lora_lessons as ll
from lora_lessons.deploy import bedrock, gguf, onnx, sources
from lora_lessons.experiments import llama_server

PROMPT = "A whale is"


def read_gguf(path):
    """{tensor: values}, {field: value} of a file, by the package's own reader."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    tensors = {t.name: torch.tensor(t.data.copy()) for t in reader.tensors}
    return tensors, {name: field.contents() for name, field in reader.fields.items()}


# --- GGUF ---------------------------------------------------------------


def test_an_adapters_factors_give_its_update(adapter_folder, tmp_path):
    """llama.cpp computes alpha / r * B A."""
    source = sources.read(adapter_folder, "nano")
    tensors, fields = read_gguf(gguf.write_gguf(source, tmp_path / "a.gguf"))
    assert fields["general.type"] == "adapter" and fields["adapter.type"] == "lora"
    layer = source.model.get_base_model().model.layers[1].self_attn.v_proj
    A, B = (tensors[f"blk.1.attn_v.weight.lora_{part}"] for part in "ab")
    update = fields["adapter.lora.alpha"] / len(A) * B @ A
    assert torch.allclose(update, layer.get_delta_weight("default"), atol=1e-6)
    assert len(tensors) == 2 * len(llama_server.TARGETS) * source.model.config.num_hidden_layers


def test_a_scaling_of_its_own_is_in_b(tmp_path):
    base, _ = ll.load_base("nano")
    config = ll.LoraConfig(
        r=4, lora_alpha=8, use_rslora=True, target_modules=["v_proj"], task_type="CAUSAL_LM",
        init_lora_weights=False,
    )  # fmt: skip
    model = ll.get_peft_model(base, config)
    source = sources.Source(model, None, config)
    tensors, fields = read_gguf(gguf.write_gguf(source, tmp_path / "a.gguf"))
    A, B = (tensors[f"blk.0.attn_v.weight.lora_{part}"] for part in "ab")
    delta = model.get_base_model().model.layers[0].self_attn.v_proj.get_delta_weight("default")
    assert torch.allclose(fields["adapter.lora.alpha"] / len(A) * B @ A, delta, atol=1e-6)


def test_a_model_is_written_with_every_weight_and_token(tmp_path):
    model, tokenizer = ll.load_base("nano")
    tensors, fields = read_gguf(gguf.write_gguf(sources.read("nano"), tmp_path / "m.gguf"))
    weights = {k: v for k, v in model.state_dict().items() if k != "lm_head.weight"}
    assert len(tensors) == len(weights)
    for name, W in weights.items():
        module, kind = name.rsplit(".", 1)
        assert torch.equal(tensors[f"{gguf.tensor_name(module)}.{kind}"], W), name
    assert fields["qwen2.rope.freq_base"] == model.config.rope_parameters["rope_theta"]
    tokens = fields["tokenizer.ggml.tokens"]
    assert len(tokens) == model.config.vocab_size
    assert tokens[tokenizer("whale").input_ids[0]] == tokenizer.tokenize("whale")[0]


@pytest.mark.filterwarnings("ignore::lora_lessons.errors.PeftWarning")  # of shared weights
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bias": "lora_only"}, "trained biases"),
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "trained whole"),
        ({"target_modules": ["embed_tokens"]}, "no linear layer"),
    ],
)
def test_what_an_adapter_file_has_no_place_for_is_refused(tmp_path, change, says):
    base, _ = ll.load_base("nano")
    config = ll.LoraConfig(**{"target_modules": ["v_proj"], "task_type": "CAUSAL_LM"} | change)
    source = sources.Source(ll.get_peft_model(base, config), None, config)
    with pytest.raises(sources.ExportError, match=says):
        gguf.write_gguf(source, tmp_path / "a.gguf")
    assert list(tmp_path.iterdir()) == []


def test_other_architectures_are_refused(tmp_path):
    with pytest.raises(sources.ExportError, match="only qwen2"):
        gguf.write_gguf(sources.read("nano_encoder"), tmp_path / "m.gguf")
    with pytest.raises(sources.ExportError, match="qkv_proj"):
        gguf.tensor_name("model.layers.0.self_attn.qkv_proj")


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch, tmp_path, adapter_folder):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    source = sources.Source(None, None, None)
    with pytest.raises(sources.ExportError, match=r"lora-lessons\[models\]"):
        gguf.write_gguf(source, tmp_path / "a")
    with pytest.raises(sources.ExportError, match=r"lora-lessons\[onnx\]"):
        onnx.write_onnx(source, tmp_path / "a")
    server = llama_server.llama_server(tmp_path, [])
    with pytest.raises(ImportError, match=r"lora-lessons\[llamacpp\]"), server:
        pass


# --- sources ---------------------------------------------------------------


def test_a_source_that_is_none_is_refused(tmp_path, adapter_folder):
    with pytest.raises(sources.ExportError, match="holds neither"):
        sources.read(tmp_path)
    with pytest.raises(sources.ExportError, match="no use for it"):
        sources.read("nano", base="decoder")
    folder = tmp_path / "nameless"
    folder.mkdir()
    for path in adapter_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = None
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(sources.ExportError, match="say which, with --base"):
        sources.read(folder)


# --- Bedrock ---------------------------------------------------------------


def test_the_exported_folder_is_ready_and_writes_the_adapters_text(adapter_folder, tmp_path):
    source = sources.read(adapter_folder, "nano")
    expected = ll.generate(source.model, source.tokenizer, PROMPT, 12)
    assert expected != ll.generate(*ll.load_base("nano"), PROMPT, 12)
    names = bedrock.write_bedrock(source, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert bedrock.problems_of_folder(tmp_path / "out") == []
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]
    assert config["torch_dtype"] == config["dtype"] == "float32"
    assert ll.generate(*ll.load_base(str(tmp_path / "out")), PROMPT, 12) == expected


def test_another_theta_is_written_for_older_readers(tmp_path):
    path = tmp_path / "config.json"
    rope = {"rope_theta": 1e6, "rope_type": "yarn", "factor": 4.0}
    path.write_text(json.dumps({"rope_parameters": rope}))
    bedrock._add_older_keys(path)
    config = json.loads(path.read_text())
    assert config["rope_theta"] == 1e6
    assert config["rope_scaling"] == {"rope_type": "yarn", "factor": 4.0}


def test_what_bedrock_would_not_take_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(sources.ExportError, match="architecture is not one"):
        bedrock.write_bedrock(sources.read("nano_encoder"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").write_text("x")
    with pytest.raises(sources.ExportError, match="not empty"):
        bedrock.write_bedrock(sources.read("nano"), tmp_path)


def test_a_folder_is_looked_through(adapter_folder, tmp_path):
    assert bedrock.problems_of_folder(adapter_folder) == [
        "adapter", "weights", "tokenizer", "architecture",
    ]  # fmt: skip
    with pytest.raises(sources.ExportError, match=r"no config\.json"):
        bedrock.problems_of_folder(tmp_path)


# --- the server of llama.cpp, and ONNX -----------------------------------------------------


@pytest.mark.nightly
@pytest.mark.skipif(not llama_server.installed(), reason="needs xllamacpp")
def test_llama_cpps_text_is_torchs_for_the_base_and_two_adapters():
    data = llama_server.three_faults()
    for row in data["asked"][:3]:
        assert row["text"] == data["torch"][row["wanted"]]
    assert len(set(data["torch"].values())) == 4


@pytest.mark.nightly
@pytest.mark.skipif(
    not (onnx.installed() and importlib.util.find_spec("onnxruntime")),
    reason="needs onnx and onnxruntime",
)
def test_onnx_logits_are_those_of_the_adapted_model(adapter_folder, tmp_path):
    adapted, tokenizer = sources.read(adapter_folder, "nano").model, ll.load_base("nano")[1]
    path = onnx.write_onnx(sources.read(adapter_folder, "nano"), tmp_path / "m.onnx")
    for rows in (1, 3):
        ids = torch.tensor([tokenizer(PROMPT).input_ids] * rows)
        with torch.no_grad():
            expected = adapted(ids).logits
        assert torch.allclose(torch.tensor(onnx.run_onnx(path, ids)), expected, atol=1e-4)


@pytest.mark.skipif(not onnx.installed(), reason="needs onnx")
def test_onnx_refuses_what_is_no_plain_decoder(tmp_path):
    with pytest.raises(sources.ExportError, match="only decoders"):
        onnx.write_onnx(sources.read("nano_encoder"), tmp_path / "m.onnx")
