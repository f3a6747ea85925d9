# ruff: noqa: E501 (the lines of the template are lines of the card)
"""The card (README.md) beside a pretrained model: what it is, how good it is, how it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_CARD = """---
license: other
language: en
library_name: transformers
pipeline_tag: text-generation
---
# LoRA Lessons base model: {name}

A causal language model of {parameters:,} parameters for the course's experiments: {layers} layers, hidden size
{hidden}, {heads} heads, {kv_heads} key-value heads, feed-forward {feed_forward}, a byte-level BPE of {vocab_size:,} tokens, tied embeddings,
windows of {length} tokens. The architecture is Qwen2, so `AutoModelForCausalLM` and PEFT load this folder.

| measure | value |
|---|---|
| validation loss (State of the Union addresses left out of training) | {valid_nats_per_token:.4f} nats per token |
| the same in bits per byte | {valid_bits_per_byte:.4f} |
| loss on Moby Dick's validation chapters (never trained on) | {moby_dick_nats_per_token:.4f} nats per token |
| weights | float16 on disk (the losses are those of the rounded weights); load as float32 |

Bits per byte = nats per token / ln 2 / bytes per token, which compares models with different tokens.

## How it was made

`python -m lora_lessons.pretrain {name}`, seed {seed}: up to {steps:,} steps of {batch_size} x {length} tokens,
AdamW, peak learning rate {lr:g}, cosine, weight decay {weight_decay:g}, dropout {dropout:g}. The best of the
evaluations, made every {eval_every} steps, is kept: step {best_step:,}. Training took {seconds:.0f} s on {device} ({precision}),
Python {python}, torch {torch}, transformers {transformers}, tokenizers {tokenizers}.
`training.json` has all of it as data, every evaluation included.

## Data and licence

{train_tokens:,} tokens to train on, {valid_tokens:,} to validate: {source}.
Licence of the text: {licence}. The weights come under Apache-2.0 like the course; the WordNet
licence asks that its notice stay with copies: see `lora_lessons/data/LICENSE-wordnet.txt`.

## What it is not

It is a teaching object. It writes grammatical fragments, knows nothing reliably, and repeats the views of
addresses from 1790 on, some of them hostile to whole peoples. Do not put it before users.
"""


def write_card(path: Path, report: dict[str, Any]) -> None:
    """Fill the card from a run's report (`training.json`)."""
    values = {**report, **report["recipe"], **report["environment"], **report["data"]}
    path.write_text(_CARD.format(**values), encoding="utf-8")
