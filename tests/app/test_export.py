"""`lora-lessons export`: what is written, and what is refused with a sentence."""

from __future__ import annotations

import pytest

from lora_lessons.app import export
from lora_lessons.app.cli import main
from lora_lessons.experiments.llama_server import drawn_adapter


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters") / "moby"
    drawn_adapter("nano", seed=1).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("form", "name"), [("gguf", "moby.gguf"), ("bedrock", "moby-bedrock")])
def test_an_adapter_is_written_beside_its_folder_once(adapter, capsys, form, name):
    assert main(["export", form, str(adapter)]) == 0
    assert (adapter.parent / name).exists() and name in capsys.readouterr().out
    assert main(["export", form, str(adapter)]) == 1
    assert "is there already" in capsys.readouterr().err


def test_the_default_place_is_beside_the_folder(tmp_path):
    assert export.default_out(str(tmp_path / "a"), "onnx") == tmp_path / "a.onnx"
    assert export.default_out(str(tmp_path / "a"), "bedrock") == tmp_path / "a-bedrock"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gguf", "nowhere"], "holds neither"),
        (["gguf", "nano_encoder"], "only qwen2"),
        (["bedrock", "nano_encoder"], "Bedrock would not take"),
        (["gguf", "nano", "--base", "decoder"], "no use for it"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, capsys, arguments, says):
    out = tmp_path / "out"
    assert main(["export", *arguments, "--out", str(out)]) == 1
    assert says in capsys.readouterr().err and not out.exists()


def test_a_form_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["export", "pickle", "nano"])
    assert "gguf" in capsys.readouterr().err
