"""The adapter's README.md: a model card as the hub reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...storage import write_whole

if TYPE_CHECKING:
    from ...model import PeftModel

LIBRARY = "library_name: peft"  # the hub's word for the file format
TEXT = """---
{metadata}
---

# LoRA adapter for {base}

This folder holds a low-rank adapter: for each layer that it targets, two thin matrices A and B
whose scaled product is added to the layer's frozen weight, W + (alpha / r) B A. The base model's
own weights are not in it.

| setting | value |
|---|---|
| r | {r} |
| lora_alpha | {alpha} |
| target_modules | {targets} |
| bias | {bias} |
| modules_to_save | {saved} |
| task_type | {task} |

## Use

    from lora_lessons import PeftModel   # or: from peft import PeftModel

    base_model = ...                     # the model that the adapter was trained on
    model = PeftModel.from_pretrained(base_model, "path/to/this/folder")
    merged = model.merge_and_unload()    # plain layers again, with the update in their weights

## About the training

Say here which data it was trained on, for how long, how it was tested, and what it must not be
used for.

| what | answer |
|---|---|
| data and its licence | |
| steps, batch size, learning rate | |
| score on held-out data, and the base model's | |
| known limits | |
"""


def write_card(folder: Path, model: PeftModel, adapter_name: str) -> None:
    """Write README.md; one that is there keeps its text and gets the library's name."""
    path = folder / "README.md"
    if path.is_file():
        text = with_library(path.read_text(encoding="utf-8"))
    else:
        text = new_card(model, adapter_name)
    write_whole({path: text.encode()})


def with_library(text: str) -> str:
    """A card with the library's name in its metadata."""
    if LIBRARY in text:
        return text
    if text.startswith("---\n"):
        return text.replace("---\n", f"---\n{LIBRARY}\n", 1)
    return f"---\n{LIBRARY}\n---\n{text}"


def new_card(model: PeftModel, adapter_name: str) -> str:
    """A card with the adapter's settings, and blanks for what only its author knows."""
    config = model.peft_config[adapter_name]
    base = config.base_model_name_or_path
    targets = config.target_modules
    return TEXT.format(
        metadata="\n".join([*([f"base_model: {base}"] if base else []), LIBRARY, "tags:\n- lora"]),
        base=base or type(model.get_base_model()).__name__,
        r=config.r,
        alpha=config.lora_alpha,
        targets=targets if isinstance(targets, str) else ", ".join(sorted(targets or ())),
        bias=config.bias,
        saved=", ".join(config.modules_to_save or ()) or "none",
        task=config.task_type.value if config.task_type else "none",
    )
