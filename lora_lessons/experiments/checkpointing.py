"""Gradient checkpointing on the encoder's own blocks: which adapters get a gradient.

A checkpoint of PyTorch's reentrant kind records a block only if the block's input requires a
gradient. With LoRA the embedding is frozen, so the input of the first block requires none.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..base.load import load_base
from ..lora.config import LoraConfig
from ..lora.model import get_peft_model
from ..seeding import seed_everything

Run = Callable[[nn.Module, Iterable[nn.Module], Tensor], Tensor]
"""(embed, blocks, ids (batch, time)) -> the output of the last block (batch, time, width)."""


def run_blocks(embed: nn.Module, blocks: Iterable[nn.Module], ids: Tensor) -> Tensor:
    """Run each block under a checkpoint, so that its adapters get their gradients."""
    hidden = embed(ids)
    if not hidden.requires_grad:
        hidden.requires_grad_()  # the tensor's flag: the embedding's weight stays frozen
    for block in blocks:
        hidden = checkpoint(block, hidden, use_reentrant=True)
    return hidden


def run_plain(embed: nn.Module, blocks: Iterable[nn.Module], ids: Tensor) -> Tensor:
    """Run the blocks one after another, without checkpoints."""
    hidden = embed(ids)
    for block in blocks:
        hidden = block(hidden)
    return hidden


def gradients(run: Run, mode: str = "none", head_trains: bool = False) -> dict[str, Any]:
    """The gradients of every B after one backward pass through the nano encoder, in float64.

    `mode` is the config's `bias`. `head_trains` lets a layer of the head train too, as
    `modules_to_save` would. Returns `B`: name -> gradient (out, r) or None, and `error`: whether
    the backward pass raised, for nothing at all had a gradient. PyTorch's warning of it is
    swallowed.
    """
    model, _ = load_base("nano_encoder", dtype=torch.float64)
    seed_everything(0)
    config = LoraConfig(r=8, target_modules=["query", "value"], bias=mode)
    adapted = get_peft_model(model, config)
    if head_trains:
        model.cls.predictions.transform.requires_grad_()
    gen = torch.Generator().manual_seed(1)
    ids = torch.randint(5, model.config.vocab_size, (2, 16), generator=gen)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "None of the inputs have requires_grad=True")
        logits = model.cls(run(model.bert.embeddings, model.bert.encoder.layer, ids))
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten())
    if loss.requires_grad:
        loss.backward()
    found = {name: p.grad for name, p in adapted.named_parameters() if "lora_B" in name}
    return {"B": found, "error": not loss.requires_grad}


def furthest_apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference of any B's gradient, relative to the largest gradient of that B."""
    pairs = [(one["B"][name], gradient) for name, gradient in other["B"].items()]
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)
