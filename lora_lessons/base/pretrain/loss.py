"""The loss of every objective, and its measurement on text that is not trained on."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .corruption import IGNORED
from .objectives import Batch, Objective


def token_logits(objective: Objective, model: nn.Module, batch: Batch) -> torch.Tensor:
    """The logits, (labels, vocab) in float32; the model runs in bfloat16 on a GPU."""
    device = batch["input_ids"].device.type
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        logits = objective.logits(model, batch)
    return logits.flatten(0, 1).float()


def token_loss(objective: Objective, model: nn.Module, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the batch's labels, in nats."""
    return F.cross_entropy(
        token_logits(objective, model, batch), batch["labels"].flatten(), ignore_index=IGNORED
    )


@torch.no_grad()
def measure(
    objective: Objective, model: nn.Module, data: Batch, rows: int = 64
) -> tuple[float, float]:
    """(mean loss in nats, share of labels predicted first) over a batch of any size."""
    was_training = model.training
    model.eval()
    total, right, count = 0.0, 0, 0
    for start in range(0, len(data["labels"]), rows):
        part = {name: tensor[start : start + rows] for name, tensor in data.items()}
        logits, labels = token_logits(objective, model, part), part["labels"].flatten()
        total += F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum").item()
        right += int((logits.argmax(1) == labels).sum())
        count += int((labels != IGNORED).sum())
    model.train(was_training)
    return total / count, right / count


def context_free_loss(labels: torch.Tensor) -> float:
    """The least mean loss, in nats, of a guess that ignores the context: the labels' entropy.

    The best such guess gives each token its share p of the labels: H = -sum p log p. A model that
    is not below it has learned how frequent the tokens are, and no more.
    """
    counts = labels[labels != IGNORED].bincount().double()
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * shares.log()).sum())
