"""Small models that are no decoders, with padded batches of unequal numbers of labels."""

from __future__ import annotations

import torch
from models import VOCABULARY
from torch import nn

KINDS = ("masked", "tokens", "sequence", "translation")
LABELS = 5


def small_model(kind: str, **changes: object) -> nn.Module:
    """A masked language model, two classifiers, and an encoder with a decoder; no dropout."""
    import transformers

    torch.manual_seed(0)
    if kind == "translation":
        config = transformers.T5Config(
            vocab_size=VOCABULARY,
            d_model=32,
            d_kv=8,
            d_ff=48,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            decoder_start_token_id=0,
            **changes,
        )
        return transformers.T5ForConditionalGeneration(config)
    names = {"masked": "MaskedLM", "tokens": "TokenClassification"}
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=LABELS,
        **changes,
    )
    return getattr(transformers, f"BertFor{names.get(kind, 'SequenceClassification')}")(config)


def padded_batch(kind: str, rows: int = 4, length: int = 12) -> dict[str, torch.Tensor]:
    """Rows of unequal length; labels are ignored in the padding and at some places before it."""
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(1, VOCABULARY, (rows, length), generator=draw)
    mask = (torch.arange(length) < torch.arange(length, length - rows, -1)[:, None]).long()
    batch = {"input_ids": ids * mask, "attention_mask": mask}
    if kind == "sequence":
        return batch | {"labels": torch.arange(rows) % LABELS}
    classes = LABELS if kind == "tokens" else VOCABULARY
    labels = ids % classes
    counted = mask.bool() & (torch.rand(ids.shape, generator=draw) < 0.5)
    return batch | {"labels": labels.masked_fill(~counted, -100)}


def adapted(kind: str, **changes: object) -> nn.Module:
    """The model with adapters of this package."""
    from lora_lessons.lora.config import LoraConfig
    from lora_lessons.lora.model import get_peft_model

    model = small_model(kind, **changes)
    targets = ["q", "v", "wo"] if kind == "translation" else ["query", "key", "value", "dense"]
    saved = ["classifier"] if kind in ("tokens", "sequence") else None
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=targets, modules_to_save=saved)
    return get_peft_model(model, config)
