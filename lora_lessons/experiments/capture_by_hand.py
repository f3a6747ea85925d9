"""A training step captured by hand, as lesson 11's page does it, and timed beside the same eagerly.

`fit` does this by itself and more carefully (`train/fast/capture.py`): it puts back what the
warm-up changed, copies new batches in and says why where it does not work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..lora.model import get_peft_model
from ..seeding import seed_everything
from .step_memory import adapters, shape_config, whole_logits_loss
from .step_times import random_ids, seconds_of_steps

WARM = 3


def capture(step: Callable[[], None]) -> Callable[[], None]:
    """Return a function that replays step() as one CUDA graph. The warm-up takes three steps."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def make_step(
    size: str, rows: int, length: int, device: str
) -> tuple[Callable[[], None], torch.Tensor]:
    """A step of LoRA in float32 on one batch, and the tensor that holds its loss.

    Everything lies where it lies for good: a graph reads and writes fixed addresses.
    """
    import transformers

    seed_everything(0)
    with torch.device(device):
        base = transformers.AutoModelForCausalLM.from_config(
            shape_config(size), dtype=torch.float32
        )
    model: nn.Module = get_peft_model(base, adapters(8)).train()
    ids = random_ids(shape_config(size).vocab_size, rows, length, device)
    trained = [p for p in model.parameters() if p.requires_grad]
    fast = {"fused": True, "capturable": True} if device == "cuda" else {}
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.0, **fast)
    loss_now = torch.zeros((), device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        total, count = whole_logits_loss(model, {"input_ids": ids, "labels": ids})
        loss = total / count
        loss.backward()
        optimizer.step()
        loss_now.copy_(loss.detach())

    return step, loss_now


def captured_by_hand(
    size: str = "nano",
    rows: int = 16,
    length: int = 128,
    further: int = 5,
    repeats: int = 5,
    steps: int | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """The losses of `further` steps after the warm-up, eager and captured, then seconds a step.

    Returns for "eager" and, on CUDA, for "captured": `losses`, and `seconds` of `seconds_of_steps`.
    The eager run takes the warm-up's three steps too, so that both stand at the same place.
    """
    found: dict[str, Any] = {}
    for how in ("eager", "captured") if device == "cuda" else ("eager",):
        step, loss_now = make_step(size, rows, length, device)
        if how == "captured":
            take = capture(step)
        else:
            take = step
            for _ in range(WARM):
                step()
        losses = []
        for _ in range(further):
            take()
            losses.append(float(loss_now))
        found[how] = {"losses": losses, "seconds": seconds_of_steps(take, device, repeats, steps)}
    return found
