"""`lora-lessons convert`: PEFT's old pickles become safetensors, and nothing in a pickle is run."""

from __future__ import annotations

import hashlib
import pickle
import shlex

import peft
import pytest
import torch
from safetensors.torch import load_file

import lora_lessons as ll
from lora_lessons.app.cli import main
from tests.parity.models import Mlp

FIELDS = {"target_modules": ["first", "second"], "r": 3, "init_lora_weights": False}
X = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def folder(tmp_path):
    """An adapter that PEFT wrote as a pickle, in a folder with a blank in its name."""
    torch.manual_seed(0)
    model = peft.get_peft_model(Mlp(), peft.LoraConfig(**FIELDS, modules_to_save=["head"]))
    model.save_pretrained(tmp_path / "old one", safe_serialization=False)
    return tmp_path / "old one"


def files(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_the_error_of_loading_names_the_command_that_mends_it(folder, capsys):
    with pytest.raises(ll.AdapterFileError, match="is a pickle") as caught:
        ll.PeftModel.from_pretrained(Mlp(), folder)
    command = shlex.split(str(caught.value).split("`")[1])
    assert command[0] == "lora-lessons"
    assert main(command[1:]) == 0
    assert "6 tensors" in capsys.readouterr().out  # A and B of two layers, the head and its bias
    old = torch.load(folder / "adapter_model.bin", weights_only=True)
    new = load_file(folder / "adapter_model.safetensors")
    assert old.keys() == new.keys() and all(torch.equal(old[k], new[k]) for k in old)
    ours = ll.PeftModel.from_pretrained(Mlp(), folder)
    theirs = peft.PeftModel.from_pretrained(Mlp(), folder).eval()
    torch.testing.assert_close(ours(X), theirs(X), rtol=0, atol=1e-6)


def test_the_old_file_stays_and_nothing_is_written_twice(folder, capsys):
    before = files(folder)
    assert main(["convert", str(folder)]) == 0
    after = files(folder)
    assert after == before | {"adapter_model.safetensors": after["adapter_model.safetensors"]}
    assert main(["convert", str(folder)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert files(folder) == after


class Trap:
    """Makes a file of this name when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return exec, (f"import pathlib; pathlib.Path({str(self.mark)!r}).touch()",)


def rewrite(folder, content):
    torch.save(content, folder / "adapter_model.bin")


@pytest.mark.parametrize("raw", [False, True])
def test_a_pickle_with_code_is_refused_and_not_run(folder, capsys, raw):
    mark = folder.parent / "was run"
    content = {"base_model.model.first.lora_A.weight": Trap(mark)}
    rewrite(folder, content)
    if raw:  # no zip of torch's
        (folder / "adapter_model.bin").write_bytes(pickle.dumps(content))
    before = files(folder)
    assert main(["convert", str(folder)]) == 1
    assert "nothing in it was run" in " ".join(capsys.readouterr().err.split())
    assert files(folder) == before and not mark.exists()
    if raw:
        pickle.loads((folder / "adapter_model.bin").read_bytes())
    else:
        torch.load(folder / "adapter_model.bin", weights_only=False)
    assert mark.exists()  # it was a trap indeed


CONTENTS = {
    "holds list": lambda t: list(t.values()),
    "holds an empty dict": lambda t: {},
    "'step' is int": lambda t: {**t, "step": 3},
    "'adapter' is dict": lambda t: {"adapter": t},
    "not finite": lambda t: {k: v * float("nan") for k, v in t.items()},
    "is sparse": lambda t: {k: v.to_sparse() for k, v in t.items()},
}


@pytest.mark.parametrize("says", CONTENTS)
def test_what_is_no_adapter_is_refused_by_name(folder, capsys, says):
    rewrite(folder, CONTENTS[says](torch.load(folder / "adapter_model.bin", weights_only=True)))
    before = files(folder)
    assert main(["convert", str(folder)]) == 1
    assert says in capsys.readouterr().err and files(folder) == before


def cut(folder):
    path = folder / "adapter_model.bin"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BROKEN = {
    "cut short or no such file: R": cut,
    "is empty, cut": lambda folder: (folder / "adapter_model.bin").write_bytes(b""),
    "no such file: ": lambda folder: (folder / "adapter_model.bin").write_text("hello"),
    "has no adapter_model.bin": lambda folder: (folder / "adapter_model.bin").unlink(),
    "has no adapter_config.json": lambda folder: (folder / "adapter_config.json").unlink(),
    "is not valid json": lambda folder: (folder / "adapter_config.json").write_text("{"),
}


@pytest.mark.parametrize("says", BROKEN)
def test_what_is_broken_is_refused_by_name(folder, capsys, says):
    BROKEN[says](folder)
    before = files(folder)
    assert main(["convert", str(folder)]) == 1
    assert says in capsys.readouterr().err and files(folder) == before


def test_a_wrong_folder_is_named(tmp_path, capsys):
    assert main(["convert", str(tmp_path / "nowhere")]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_behind(folder, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    before = files(folder)
    monkeypatch.setattr("safetensors.torch.save_file", full)
    assert main(["convert", str(folder)]) == 1
    assert "No space left" in capsys.readouterr().err and files(folder) == before


def test_tensors_that_share_memory_are_written_each(folder):
    A = torch.randn(3, 5)
    rewrite(folder, {"base_model.model.first.lora_A.weight": A, "x.lora_B.weight": A[:2].T})
    assert main(["convert", str(folder)]) == 0
    new = load_file(folder / "adapter_model.safetensors")
    assert torch.equal(new["x.lora_B.weight"], A[:2].T)
