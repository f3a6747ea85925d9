"""What is to be shipped: the folder of a model, or of an adapter with its base.

Every export starts here, so each refuses the same things in the same words, before it writes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ..base.load import SHIPPED, load_base
from ..errors import PeftError
from ..lora.config import LoraConfig
from ..lora.model import PeftModel
from ..lora.more import task_models  # noqa: F401  (the wrapper of each task)
from ..storage import CONFIG_NAME

BEYOND_LINEAR = {
    "use_dora": "DoRA's magnitudes",
    "modules_to_save": "layers that were trained whole",
    "trainable_token_indices": "rows of the embedding",
    "target_parameters": "adapters on plain parameters",
}


class ExportError(PeftError, ValueError):
    """A folder cannot be exported in this format: the message says why, and what to do."""


@dataclass(frozen=True)
class Source:
    """A model to ship. `config` is its adapter's, and None where the folder is a whole model."""

    model: nn.Module
    tokenizer: Any
    config: LoraConfig | None


def is_adapter(folder: str | Path) -> bool:
    """Whether a folder holds an adapter."""
    return (Path(folder) / CONFIG_NAME).is_file()


def read(folder: str | Path, base: str | None = None) -> Source:
    """Load a model's folder (or a shipped base, by name), or an adapter's on its base.

    `base` replaces the base that the adapter's config names. Raises ExportError for a folder that
    is neither, and for an adapter whose base is not known.
    """
    if not is_adapter(folder):
        if base is not None:
            raise ExportError(f"{folder} holds no {CONFIG_NAME}, so --base has no use for it")
        if str(folder) not in SHIPPED and not (Path(folder) / "config.json").is_file():
            raise ExportError(f"{folder} holds neither config.json nor {CONFIG_NAME}")
        return Source(*load_base(str(folder)), None)
    name = base or _base_named_by(Path(folder))
    model, tokenizer = load_base(name)
    wrapped = PeftModel.from_pretrained(model, folder)
    return Source(wrapped, tokenizer, wrapped.peft_config["default"])


def _base_named_by(folder: Path) -> str:
    named = json.loads((folder / CONFIG_NAME).read_text("utf-8")).get("base_model_name_or_path")
    if not named:
        raise ExportError(f"{folder / CONFIG_NAME} names no base: say which, with --base")
    return str(named)


def merged(source: Source) -> nn.Module:
    """The plain model, with the adapter's update in its weights where there is an adapter."""
    if source.config is None:
        return source.model
    return source.model.merge_and_unload(safe_merge=True)


def require_plain_lora(config: LoraConfig, form: str) -> None:
    """Raise ExportError where an adapter is more than factors A and B of linear layers."""
    for field, what in BEYOND_LINEAR.items():
        if getattr(config, field, None):
            raise ExportError(f"{form} has no place for {what} ({field}): merge the adapter")
    if config.bias != "none":
        raise ExportError(
            f"{form} has no place for trained biases (bias={config.bias!r}): merge the adapter"
        )
