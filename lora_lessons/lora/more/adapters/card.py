"""The adapter's README.md: a model card as the hub reads it."""

from __future__ import annotations

import warnings
from pathlib import Path

from yaml import YAMLError  # type: ignore[import-untyped]

from ....errors import PeftWarning
from ....storage import write_whole
from ...files import facts_of
from ...model import PeftModel
from ...plugs import METHODS, TEXTS, method_of

TEXTS["README.md"] = """---
{base_model}library_name: peft
{pipeline}tags:
{tags}---

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


@method_of(PeftModel)
def create_or_update_model_card(model: PeftModel, output_dir: str | Path) -> None:
    """Write a folder's README.md, or give the one there the adapter's library, tags and base.

    transformers' Trainer calls this after it has written a card of its own, whose text stays.
    """
    path = Path(output_dir) / "README.md"
    text = TEXTS["README.md"].format(**facts_of(model.active_peft_config, model.get_base_model()))
    if path.is_file():
        text = kept_text(path.read_text(encoding="utf-8"), text)
    write_whole({path: text.encode()})


def kept_text(old: str, new: str) -> str:
    """The old card with the new one's library and tags in its head, and its base where it has none.

    A head that is no yaml is kept as it is, with a warning: writing it anew would lose it.
    """
    from huggingface_hub import ModelCard

    try:
        card, ours = ModelCard(old, ignore_metadata_errors=False), ModelCard(new).data
    except (ValueError, YAMLError) as error:
        warnings.warn(f"README.md is kept as it is: {error}", PeftWarning, stacklevel=4)
        return old
    before = card.data.to_dict()
    card.data["library_name"] = ours["library_name"]
    card.data["tags"] = sorted({*(card.data.get("tags") or ()), *ours["tags"]})
    for name in ("base_model", "pipeline_tag"):
        if not card.data.get(name) and ours.get(name):
            card.data[name] = ours[name]
    return old if card.data.to_dict() == before else str(card)


METHODS["kept_text"] = kept_text
