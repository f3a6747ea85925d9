# ruff: noqa: E501 (the lines of the template are lines of the card)
"""The card (README.md) beside a pretrained model: what it is, how good it is, how it was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CARD = """---
license: other
language: en
library_name: transformers
pipeline_tag: {pipeline_tag}
---
# LoRA Lessons base model: {name}

{what}

| measure | value |
|---|---|
{measures}
| weights | float16 on disk (the losses are those of the rounded weights); load as float32 |

{note}

## How it was made

`python -m lora_lessons.base.pretrain {name}`, seed {seed}: up to {steps:,} steps of {batch_size} x {length} tokens,
AdamW, peak learning rate {lr:g}, cosine, weight decay {weight_decay:g}, dropout {dropout:g}. The best of the
evaluations, made every {eval_every} steps, is kept: step {best_step:,}. Training took {seconds:.0f} s on {device} ({precision}),
Python {python}, torch {torch}, transformers {transformers}, tokenizers {tokenizers}.
`training.json` has all of it as data, every evaluation included.

## Data and licence

{train_tokens:,} tokens to train on, {valid_tokens:,} to validate: {source}.
Licence of the text: {licence}. The weights come under Apache-2.0 like the course; the WordNet
licence asks that its notice stay with copies: see `lora_lessons/base/data/LICENSE-wordnet.txt`.

## What it is not

It is a teaching object. It {gives}, knows nothing reliably, and repeats the views of
addresses from 1790 on, some of them hostile to whole peoples. Do not put it before users.
"""


@dataclass(frozen=True)
class Kind:
    """What a card says differently for each objective; the texts are templates too."""

    pipeline_tag: str
    what: str
    measures: str
    note: str
    gives: str


_KINDS = {
    "next_token": Kind(
        "text-generation",
        """A causal language model of {parameters:,} parameters for the course's experiments: {layers} layers, hidden size
{hidden}, {heads} heads, {kv_heads} key-value heads, feed-forward {feed_forward}, a byte-level BPE of {vocab_size:,} tokens, tied embeddings,
windows of {length} tokens. The architecture is Qwen2, so `AutoModelForCausalLM` and PEFT load this folder.""",
        """| validation loss (State of the Union addresses left out of training) | {valid_nats_per_token:.4f} nats per token |
| the same in bits per byte | {valid_bits_per_byte:.4f} |
| loss on Moby Dick's validation chapters (never trained on) | {moby_dick_nats_per_token:.4f} nats per token |""",
        "Bits per byte = nats per token / ln 2 / bytes per token, which compares models with different tokens.",
        "writes grammatical fragments",
    ),
    "masked": Kind(
        "fill-mask",
        """A masked language model of {parameters:,} parameters for the course's experiments: {layers} layers, hidden size
{hidden}, {heads} heads, feed-forward {feed_forward}, {vocab_size:,} uncased word pieces, tied embeddings, at most {length} tokens.
The architecture is BERT, so `AutoModelForMaskedLM`, the classes with a head (`AutoModelForTokenClassification`
and the like, whose head starts at random) and PEFT load this folder. Its configuration has no dropout.""",
        """| validation loss (State of the Union addresses left out of training) | {valid_nats_per_masked_token:.4f} nats per masked token |
| the least that a guess without the context can reach, on the same | {valid_nats_without_context:.4f} nats per masked token |
| masked tokens whose best guess is right, on the same | {valid_accuracy:.1%} |
| loss on Moby Dick's validation chapters (never trained on) | {moby_dick_nats_per_masked_token:.4f} nats per masked token |""",
        """The losses are means over the tokens that were chosen to be predicted, 15 % (Devlin et al. 2019, section 3.1), on one
fixed choice; they are not the loss of a language model, and compare with no loss on other tokens.""",
        "fills gaps with words that fit the grammar",
    ),
    "span_corruption": Kind(
        "text2text-generation",
        """An encoder-decoder of {parameters:,} parameters for the course's experiments: {layers} + {layers} layers, hidden size
{hidden}, {heads} heads, gated feed-forward {feed_forward}, {vocab_size:,} tokens (the bytes and special tokens of ByT5), tied embeddings.
The architecture is T5, so `AutoModelForSeq2SeqLM` and PEFT load this folder. Its configuration has no dropout.""",
        """| validation loss (State of the Union addresses left out of training) | {valid_nats_per_target_byte:.4f} nats per target byte |
| the least that a guess without the context can reach, on the same | {valid_nats_without_context:.4f} nats per target byte |
| how much the loss rises when the bytes around the holes are shuffled, on the same | {valid_nats_for_order:.4f} nats per target byte |
| target bytes whose best guess is right, given those before, on the same | {valid_accuracy:.1%} |
| loss on Moby Dick's validation chapters (never trained on) | {moby_dick_nats_per_target_byte:.4f} nats per target byte |""",
        """The losses are means over the target: the bytes of hidden spans (15 % of the text, about {span:g} bytes each: Raffel et al. 2020,
Xue et al. 2022), the marks before them and the end, on one fixed choice of spans. The rest of the text is given, so
they are not the loss of a language model.""",
        "fills gaps with letters that look like English",
    ),
}


def write_card(path: Path, report: dict[str, Any]) -> None:
    """Fill the card from a run's report (`training.json`)."""
    values = {**report, **report["recipe"], **report["environment"], **report["data"]}
    kind = {name: text.format(**values) for name, text in vars(_KINDS[values["objective"]]).items()}
    path.write_text(_CARD.format(**values, **kind), encoding="utf-8")
