"""Steps of LoRA on a base of 16 bits and on one of 4: milliseconds and memory, beside a prediction.

The weights are random: time and memory do not depend on what is in them. The steps are eager, so
that what is measured is what `predict_memory` walks through, and both bases run the same code.
"""

from __future__ import annotations

import gc
import importlib.util
import time
from statistics import median
from typing import Any

import torch
from torch import nn

from ..base.nf4_linear import to_nf4
from ..lora.config import LoraConfig
from ..lora.model import get_peft_model
from ..seeding import generator, seed_everything
from ..train.memory.predict import predict_memory
from ..train.step import training_step
from .llama_shapes import LlamaShape
from .task import all_linear

RANK, RATE, WARM_UP = 16, 1e-4, 3
OWN, THEIRS = "4bit", "4bit, bitsandbytes"


def qlora_steps(
    hidden: int,
    layers: int,
    heads: int,
    kv_heads: int,
    feed_forward: int,
    vocabulary: int,
    length: int,
    batch_sizes: list[int],
    device: str = "cuda",
    dtype: str = "bfloat16",
    rounds: int = 5,
) -> list[dict[str, Any]]:
    """Time and memory of a step of LoRA (r=16, all linear layers), base of 16 and of 4 bits.

    A row for each batch size and base: "base", "batch_size", "seconds" (the median step),
    "peak" and "predicted" in bytes, and "loss" after the warm-up. On a CPU there is no peak. The
    base in 4 bits is this package's, and on CUDA bitsandbytes' too, where that is installed.
    """
    shape = LlamaShape(hidden, layers, heads, kv_heads, feed_forward, vocabulary)
    config = shape.config(max(2048, length), use_cache=False)
    bases = [dtype, OWN]
    if device.startswith("cuda") and importlib.util.find_spec("bitsandbytes"):
        bases.append(THEIRS)
    rows = []
    for batch_size in batch_sizes:
        for base in bases:
            measured = measure_steps(config, base, batch_size, length, device, dtype, rounds)
            predicted = predicted_peak(config, base, batch_size, length, device)
            rows.append({"base": base, "batch_size": batch_size, **measured, **predicted})
    return rows


def adapters() -> LoraConfig:
    """The adapters of every row."""
    return all_linear(RANK)


def predicted_peak(
    config: Any, base: str, batch_size: int, length: int, device: str
) -> dict[str, int]:
    """What `predict_memory` says of the step, without running it: bytes."""
    kind = OWN if base == THEIRS else base
    precision = "bf16" if device.startswith("cuda") else "fp32"
    found = predict_memory(
        config,
        adapters(),
        batch_size=batch_size,
        length=length,
        base=kind,
        precision=precision,
        device=device.partition(":")[0],
    )
    return {"predicted": found.peak, "predicted_frozen": found.frozen}


def measure_steps(
    config: Any, base: str, batch_size: int, length: int, device: str, dtype: str, rounds: int
) -> dict[str, Any]:
    """One base: the median step, its peak of memory, and the loss of the last step."""
    on_cuda = device.startswith("cuda")
    gc.collect()
    before = torch.cuda.memory_allocated() if on_cuda else 0
    model = random_base(config, base, device, getattr(torch, dtype))
    adapted = get_peft_model(model, adapters()).train()
    ids = torch.randint(config.vocab_size, (batch_size, length), generator=generator(1)).to(device)
    batch = {"input_ids": ids, "labels": ids}
    times = []
    how: dict[str, Any] = {"steps": 10**6, "lr": RATE, "capture": False, "compile": False}
    with training_step(adapted, precision="bf16" if on_cuda else "fp32", **how) as step:
        for turn in range(WARM_UP + rounds):
            if on_cuda and turn == WARM_UP:  # making the base took more than a step does
                torch.cuda.reset_peak_memory_stats()
            started = time.perf_counter()
            loss = step([batch]).item()  # waits for the device
            times.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() - before if on_cuda else 0
    return {"seconds": median(times[WARM_UP:]), "peak": peak, "loss": loss}


def random_base(config: Any, base: str, device: str, dtype: torch.dtype) -> nn.Module:
    """A decoder with random weights, made on the device, in 4 bits if so said."""
    from transformers import LlamaForCausalLM

    seed_everything(0)
    with torch.device(device):
        model = LlamaForCausalLM(config).to(dtype)
    if base == OWN:
        to_nf4(model, keep=model.get_output_embeddings())
    elif base == THEIRS:
        to_bitsandbytes(model, keep=model.get_output_embeddings())
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    return model


def to_bitsandbytes(model: nn.Module, keep: nn.Module) -> None:
    """Turn the linear layers into bitsandbytes' `Linear4bit`: NF4, double quantization."""
    import bitsandbytes

    for name, linear in list(model.named_modules()):
        if type(linear) is not nn.Linear or linear is keep:
            continue
        new = bitsandbytes.nn.Linear4bit(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            compute_dtype=linear.weight.dtype,
            quant_type="nf4",
            device="meta",
        )
        weight, device = linear.weight.detach(), linear.weight.device
        new.weight = bitsandbytes.nn.Params4bit(
            weight.cpu(),
            requires_grad=False,
            quant_type="nf4",
            compress_statistics=True,
            module=new,
        ).to(device)
        new.bias = linear.bias
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, new)
