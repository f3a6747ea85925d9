"""The adapter's README.md: a model card as the hub reads it."""

from __future__ import annotations

from ...plugs import TEXTS

TEXTS["README.md"] = """---
{base_model}library_name: peft
tags:
- lora
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
