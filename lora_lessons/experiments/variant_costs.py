"""What a variant's step costs: seconds to start, seconds a step, and the peak of memory."""

from __future__ import annotations

import copy
import gc
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from torch import nn

from ..base.load import load_base
from ..seeding import generator, seed_everything
from ..train.step import training_step
from .qlora_steps import random_base
from .variants import ARMS, adapted

MEANT_FOR_TIMING = 10**6  # steps: so that "auto" captures


def step_costs(
    bases: Sequence[dict[str, Any]], device: str = "cuda", dtype: str = "float32", rounds: int = 20
) -> list[dict[str, Any]]:
    """A row for each base and arm: "seconds" ("start", "eager", "captured"), "peak" in bytes.

    Args:
        bases: {"base": name, "arms": [...], "batch_size": .., "length": ..} each; instead of a
            shipped base's name "shape" may hold the settings of a Llama with random weights, in
            bf16.
        rounds: steps that are timed; the median counts.

    "start" is the time to make the adapters (PiSSA decomposes every W), the others are a step's:
    None where it could not be captured, as on a CPU. "peak" is an eager step's, without what other
    things hold, and None on a CPU.
    """
    rows = []
    for one in bases:
        model = _base(one, device, dtype)
        vocabulary = model.config.vocab_size
        ids = torch.randint(
            vocabulary, (one["batch_size"], one["length"]), generator=generator(1)
        ).to(device)
        for arm in one["arms"]:
            rows.append({"base": one["base"], "arm": arm, **_costs(model, arm, ids, rounds)})
        del model
    return rows


def _base(one: dict[str, Any], device: str, dtype: str) -> nn.Module:
    if "shape" not in one:
        return load_base(one["base"], dtype=getattr(torch, dtype), device=device)[0]
    from transformers import LlamaConfig

    config = LlamaConfig(**one["shape"], use_cache=False, tie_word_embeddings=True)
    return random_base(config, "bfloat16", device, torch.bfloat16)


def _costs(base: nn.Module, arm: str, ids: torch.Tensor, rounds: int) -> dict[str, Any]:
    """One arm on a copy of the base."""
    on_cuda = ids.device.type == "cuda"
    gc.collect()
    before = torch.cuda.memory_allocated() if on_cuda else 0
    model = copy.deepcopy(base)
    seed_everything(0)
    start, wrapped = _seconds(lambda: adapted(model, ARMS[arm]), on_cuda)
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    eager, loss = _step_seconds(wrapped, arm, ids, rounds, False)
    peak = torch.cuda.max_memory_allocated() - before if on_cuda else None
    captured, _ = _step_seconds(wrapped, arm, ids, rounds, "auto")
    seconds = {"start": start, "eager": eager, "captured": captured}
    return {"seconds": seconds, "peak": peak, "loss": loss}


def _step_seconds(
    model: nn.Module, arm: str, ids: torch.Tensor, rounds: int, capture: str | bool
) -> tuple[float | None, float]:
    """The median step (None where it should be captured and was not), and the last loss."""
    on_cuda = ids.device.type == "cuda"
    batch = {"input_ids": ids, "labels": ids}
    how: dict[str, Any] = {"steps": MEANT_FOR_TIMING, "lr": 1e-4, "lr_ratio": ARMS[arm].ratio}
    how |= {"capture": capture, "compile": False, "precision": "bf16" if on_cuda else "fp32"}
    times = []
    with training_step(model.train(), **how) as step:
        for _ in range(rounds + 2):  # two to warm up: buffers, or the capture
            seconds, loss = _seconds(lambda: step([batch]), on_cuda)
            times.append(seconds)
        as_asked = step.captured or capture is False
    return median(times[2:]) if as_asked else None, loss.item()


def _seconds(work: Any, on_cuda: bool) -> tuple[float, Any]:
    """How long it takes until the device is done, and what comes of it."""
    started = time.perf_counter()
    result = work()
    if on_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started, result
