"""The task that most experiments share: a base, and Moby Dick to train and to validate on.

And what they do with it: adapters on all linear layers, and a learning rate chosen by its losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from ..base.load import load_base
from ..base.text import load_text
from ..base.tokens import blocks, encode
from ..lora.config import LoraConfig

_IDS: dict[str, tuple[Tensor, Tensor]] = {}
"""A base's Moby Dick, in tokens: encoding it takes a second, and a notebook asks several times."""


def load_task(
    base: str,
    length: int,
    device: str | torch.device,
    dtype: torch.dtype = torch.float32,
    valid_blocks: int | None = None,
) -> tuple[nn.Module, Tensor, Tensor]:
    """Return the base, Moby Dick's training ids (n,) and its validation blocks (m, length)."""
    model, tokenizer = load_base(base, dtype=dtype, device=device)
    if base not in _IDS:
        corpus = load_text("moby_dick")
        _IDS[base] = encode(tokenizer, corpus.train), encode(tokenizer, corpus.valid)
    train, valid = _IDS[base]
    return model, train, blocks(valid, length)[:valid_blocks]


def all_linear(r: int, lora_alpha: float | None = None, **fields: Any) -> LoraConfig:
    """LoRA on all linear layers of a causal model's blocks; alpha is 2r unless it is given."""
    return LoraConfig(
        r=r,
        lora_alpha=2 * r if lora_alpha is None else lora_alpha,
        **{"target_modules": "all-linear", "task_type": "CAUSAL_LM"} | fields,
    )


def as_loss(value: float) -> float:
    """A loss to choose by: infinity for a run that diverged. `min` keeps a NaN that is first."""
    return math.inf if math.isnan(value) else value


def best_rate(
    rows: Iterable[Mapping[str, Any]],
    by: str | Callable[[Mapping[str, Any]], float] = "loss",
    highest: bool = False,
    **where: Any,
) -> float:
    """The learning rate with the lowest mean of `by` over the rows whose fields are as in `where`.

    `by` is a field, or a function of the row. With `highest` it is a score, and more is better.
    """
    read = by if callable(by) else (lambda row: row[by])
    found: dict[float, list[float]] = {}
    for row in rows:
        if all(row[name] == wanted for name, wanted in where.items()):
            found.setdefault(row["lr"], []).append(as_loss(-read(row) if highest else read(row)))
    return min(sorted(found), key=lambda lr: mean(found[lr]))


def last_tenth(losses: Sequence[float]) -> float:
    """The mean of the last tenth of a run's losses, of one loss at least."""
    return mean(losses[-max(1, len(losses) // 10) :])


def linear_weights(model: nn.Module) -> dict[str, Tensor]:
    """Name -> weight (out, in) of each linear layer inside the blocks: all but the output layer."""
    return {
        name: module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "lm_head" not in name
    }
