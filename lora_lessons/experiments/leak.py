"""An answer that leaks: the decoder reads the very byte that it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..base.load import load_base
from ..base.tasks.rows import RowBatches
from ..lora.model import get_peft_model
from ..seeding import seed_everything
from ..train.loop import fit
from ..train.modes import evaluation_mode
from .spelling import mean_loss, say, spelling_config, spelling_rows


def leaking_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(sum of the loss, number of labels), where the labels are read unshifted: place t has y_t."""
    labels = batch["labels"]  # (B, T)
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=labels.masked_fill(labels == -100, 0),
    ).logits  # (B, T, V)
    cross_entropy = torch.nn.functional.cross_entropy
    total = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return total, (labels != -100).sum()


def leak_run(
    steps: int = 30, batch_size: int = 16, valid: int = 48, device: str = "cpu",
    progress: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Train an adapter with the leak: loss on unseen words (nats per byte) with it and without.

    Also what the model says to four words, when there is no answer to read.
    """
    model, tokenizer = load_base("encoder_decoder", device=device)
    rows, unseen, entries = spelling_rows(tokenizer, 1000, valid)
    before = mean_loss(model, unseen)
    seed_everything(0)
    model = get_peft_model(model, spelling_config(16))
    fit(
        model, RowBatches(rows, batch_size, 0), steps=steps, lr=5e-3, warmup=min(10, steps // 2),
        schedule="linear", seed=0, loss_fn=leaking_loss, capture=False, progress=progress,
    )  # fmt: skip
    with evaluation_mode(model):
        total, count = leaking_loss(model, {name: v.to(device) for name, v in unseen.items()})
    few = {name: v[:4] for name, v in unseen.items()}
    words = {
        "word": [entry.word for entry in entries[:4]],
        "sounds": [entry.sounds[0] for entry in entries[:4]],
        "said": say(model, tokenizer, few),
    }
    return {
        "before": before,
        "leaking": (total / count).item(),
        "shifted": mean_loss(model, unseen),
        "words": words,
    }
