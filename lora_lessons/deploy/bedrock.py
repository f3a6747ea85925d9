"""A folder that Amazon Bedrock's custom model import can read: merged weights, no adapter.

The rules are those of its user guide, "Import a customized model". The import runs transformers
4.51.3, which reads `rope_theta` and `torch_dtype`; transformers 5 writes `rope_parameters` and
`dtype`. Both are written here, so that no reader falls back to a default without a word.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..base.load import quiet_transformers
from ..storage import CONFIG_NAME, WEIGHTS_NAME, write_whole
from .sources import ExportError, Source, merged

ARCHITECTURES = (
    *("MistralForCausalLM", "MixtralForCausalLM", "T5ForConditionalGeneration"),
    *("LlamaForCausalLM", "MllamaForConditionalGeneration", "GPTBigCodeForCausalLM"),
    *("Qwen2ForCausalLM", "Qwen2VLForConditionalGeneration"),
    *("Qwen2_5_VLForConditionalGeneration", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM"),
    "GptOssForCausalLM",
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
CONTEXT_BELOW = 131_072  # "less than 128K"

PROBLEMS = {
    "adapter": "it holds an adapter: merge it, the import has no place for one",
    "weights": "it holds no .safetensors, or weights as .bin",
    "tokenizer": f"it lacks {' or '.join(TOKENIZER_FILES)}",
    "architecture": "its architecture is not one that is imported",
    "quantized": "its weights are quantized",
    "rope_theta": "rope_parameters without rope_theta: transformers 4.51 would take its default",
    "context": f"its context is not below {CONTEXT_BELOW:,d} tokens",
}


def bedrock_problems(
    files: Collection[str], config: Mapping[str, Any], listed: Collection[str] = ARCHITECTURES
) -> list[str]:
    """What an import would refuse or misread, as keys of PROBLEMS; empty if nothing.

    `files` are the names in the folder, `config` is its config.json, `listed` the architectures
    that are imported.
    """
    weights = [name for name in files if name.endswith(".safetensors") and name != WEIGHTS_NAME]
    found = {
        "adapter": CONFIG_NAME in files or WEIGHTS_NAME in files,
        "weights": not weights or any(name.endswith(".bin") for name in files),
        "tokenizer": not set(TOKENIZER_FILES) <= set(files),
        "architecture": not set(config.get("architectures") or [None]) <= set(listed),
        "quantized": bool(config.get("quantization_config")),
        "rope_theta": "rope_parameters" in config and "rope_theta" not in config,
        "context": config.get("max_position_embeddings", 0) >= CONTEXT_BELOW,
    }
    return [name for name, is_there in found.items() if is_there]


def problems_of_folder(folder: str | Path) -> list[str]:
    """The same for a folder. Raises ExportError where there is no config.json to read."""
    folder = Path(folder)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    config = folder / "config.json"
    if not config.is_file() and CONFIG_NAME not in names:
        raise ExportError(f"{folder} has no config.json")
    content = json.loads(config.read_text("utf-8")) if config.is_file() else {}
    return bedrock_problems(names, content)


def write_bedrock(source: Source, folder: str | Path) -> list[str]:
    """Merge, write the folder, and return its files' names. Nothing is written on an error.

    Raises ExportError where the folder has files already, and for what an import would refuse.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder} is not empty: an import takes all that is in it")
    model = merged(source)
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        with quiet_transformers():
            model.save_pretrained(place)
            source.tokenizer.save_pretrained(place)
        _add_older_keys(place / "config.json")
        if problems := problems_of_folder(place):
            reasons = "; ".join(PROBLEMS[name] for name in problems)
            raise ExportError(f"Bedrock would not take this model: {reasons}")
        names = sorted(path.name for path in place.iterdir())
        write_whole({folder / name: _copier(place / name) for name in names})
    return names


def _copier(source: Path) -> Any:
    return lambda target: shutil.copyfile(source, target)


def _add_older_keys(path: Path) -> None:
    """Write beside transformers 5's keys those that transformers 4 reads."""
    config = json.loads(path.read_text("utf-8"))
    rope = config.get("rope_parameters") or {}
    if "rope_theta" in rope:
        config["rope_theta"] = rope["rope_theta"]
    if rope.get("rope_type", "default") != "default":
        config["rope_scaling"] = {k: v for k, v in rope.items() if k != "rope_theta"}
    if "dtype" in config:
        config["torch_dtype"] = config["dtype"]
    path.write_text(json.dumps(config, indent=2) + "\n", "utf-8")
