"""Which public models can be added, and where they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_lessons.base.load import model_packages
from lora_lessons.base.model_packages import PACKAGES


def test_the_folder_is_the_one_that_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_LESSONS_HOME", str(tmp_path))
    assert model_packages.home() == tmp_path / "models"
    assert model_packages.available() == []
    (tmp_path / "models" / "minilm").mkdir(parents=True)
    assert model_packages.available() == ["minilm"]
    assert model_packages.folder("minilm") == tmp_path / "models" / "minilm"


def test_without_it_the_folder_is_in_the_user_s_cache(monkeypatch):
    monkeypatch.delenv("LORA_LESSONS_HOME", raising=False)
    assert "lora-lessons" in model_packages.home().parts
    assert model_packages.home().is_relative_to(Path.home())


def test_an_absent_model_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_LESSONS_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"`lora-lessons models add smollm2`.*93 MB"):
        model_packages.folder("smollm2")


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'minilm'"):
        model_packages.folder("mini-lm")


@pytest.mark.parametrize("package", PACKAGES.values(), ids=PACKAGES)
def test_packages_are_pinned(package):
    name, version = package.requirement.split("==")
    assert name and version.count(".") == 2
    assert len(package.sha256) == 64 and int(package.sha256, 16)
