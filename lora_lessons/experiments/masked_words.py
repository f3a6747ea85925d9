"""Fine-tuning text for a masked language model, as the encoder was pretrained on its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ..base.pretrain import RECIPES
from ..base.pretrain.batches import Batches
from ..base.pretrain.objectives import Masked
from ..base.tokens import blocks
from ..seeding import generator
from ..train.loss import summed_loss
from ..train.modes import evaluation_mode
from ..train.optim import autocast, device_of


def objective(tokenizer: Any, length: int) -> Masked:
    """Naming the hidden words of rows of `length` tokens, [CLS] and [SEP] among them."""
    recipe = replace(RECIPES["encoder"], vocab_size=len(tokenizer), length=length)
    return Masked(recipe, tokenizer)


def word_ids(task: Masked, text: str) -> Tensor:
    """Ids (n,) of a text, paragraph by paragraph: a blank line would be a sentence of nothing."""
    return task.encode("\n".join(line for line in text.splitlines() if line.strip()))


def masked_batches(
    task: Masked, ids: Tensor, batch_size: int, seed: int, device: str
) -> Iterator[dict[str, Tensor]]:
    """Endless batches of `input_ids` and `labels`, (batch_size, length), hidden anew each time."""
    batches = Batches(task, ids, batch_size, seed, device)
    while True:
        yield next(batches)


def masked_rows(task: Masked, ids: Tensor, count: int | None = None) -> dict[str, Tensor]:
    """The text's first `count` rows for evaluation; the same words are hidden every time."""
    return task.batch(blocks(ids, task.window)[:count], generator(0))


def masked_loss(model: nn.Module, rows: Mapping[str, Tensor], at_once: int = 64) -> float:
    """Mean loss in nats per hidden word over rows (n, length), in the model's own precision."""
    device = device_of(model)
    total, count = 0.0, 0
    with evaluation_mode(model), autocast(device, "auto"):
        for start in range(0, len(rows["labels"]), at_once):
            batch = {name: v[start : start + at_once].to(device) for name, v in rows.items()}
            part, labels = summed_loss(model, batch)
            total, count = total + part.item(), count + int(labels)
    return total / count
