"""`lora-lessons doctor`: each fault is found, and comes with its cure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lora_lessons.app import cli, doctor


def test_an_old_python_is_missing():
    assert doctor.check_python((3, 10, 9)).state == "missing"
    assert doctor.check_python((3, 11, 0)).state == "good"


def test_this_environment_has_what_is_declared():
    assert doctor.check_packages() == doctor.Finding(
        "packages", "good", doctor.check_packages().text
    )


@pytest.mark.parametrize(
    ("requirement", "text"),
    [
        ("torch>=999", "torch is "),
        ("no-such-package-here>=1", "no-such-package-here is not installed"),
    ],
)
def test_a_package_out_of_bounds_is_named_with_the_command(requirement, text):
    finding = doctor.check_packages([requirement])
    assert finding.state == "missing" and text in finding.text
    assert f'pip install --upgrade "{requirement}"' in finding.cure


def test_extras_are_not_demanded():
    assert doctor.check_packages(['no-such-package; extra == "dev"']).state == "good"


def test_a_gpu_beside_a_cpu_torch_is_reported(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    finding = doctor.check_torch(["NVIDIA H100"])
    assert finding.state == "advice" and "beside a GPU (NVIDIA H100)" in finding.text
    assert "TORCH=cuda" in finding.cure
    assert doctor.check_torch([]).state == "good"


def test_a_driver_too_old_for_torch_is_reported(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "update the NVIDIA driver" in doctor.check_torch(["NVIDIA H100"]).cure


@pytest.mark.parametrize(
    ("script", "names"),
    [("printf 'NVIDIA H100\\nNVIDIA L4\\n'", ["NVIDIA H100", "NVIDIA L4"]), ("exit 9", [])],
)
@pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvidia-smi is a shell script")
def test_gpu_names_come_from_nvidia_smi(tmp_path, monkeypatch, script, names):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert doctor.gpu_names() == names


def test_little_disk_space_is_advice(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.lab, "free_gigabytes", lambda _: 0.2)
    finding = doctor.check_disk(tmp_path)
    assert finding.state == "advice" and "0.2 GB free" in finding.text


def test_it_looks_for_the_models_that_ship():
    from lora_lessons.base.load import SHIPPED  # the doctor itself must not need torch

    assert tuple(SHIPPED) == doctor.BASE_MODELS


def test_absent_base_models_are_named(tmp_path):
    (tmp_path / "nano").mkdir()
    (tmp_path / "nano" / "model.safetensors").write_bytes(b"")
    finding = doctor.check_base_models(tmp_path)
    assert finding.state == "missing" and "no decoder, encoder" in finding.text


def test_an_absent_optional_model_is_advice_with_its_command():
    finding = doctor.check_optional_models(lambda name: name == "minilm")
    assert finding.state == "advice" and finding.text == "minilm there"
    assert finding.cure.endswith("lora-lessons models add smollm2")
    assert doctor.check_optional_models(lambda _: True).state == "good"


def test_a_folder_that_cannot_be_written_to_is_missing(monkeypatch, tmp_path):
    def refuse(dir: Path):
        raise PermissionError(f"no: {dir}")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    assert doctor.check_folder(tmp_path / "new").state == "missing"


def test_a_new_folder_in_a_writable_one_is_good(tmp_path):
    assert doctor.check_folder(tmp_path / "a" / "b").state == "good"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("state", "code"), [("good", 0), ("advice", 0), ("missing", 1)])
def test_only_what_is_missing_fails(monkeypatch, capsys, state, code):
    finding = doctor.Finding("disk", state, "text", "the cure")
    monkeypatch.setattr(doctor, "examine", lambda _: [finding])
    assert cli.main(["doctor"]) == code
    assert capsys.readouterr().out.splitlines()[1].strip() == "-> the cure"
