"""What a training step takes of memory: predicted from shapes, and counted in a real step.

Both take the same arms and the same sizes, so that a row of one lies beside a row of the other. On
a GPU the count is the allocator's own; on a CPU it is the sum of the tensors alive.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from ..base.load import MODELS
from ..errors import nearest_and_known
from ..lora.config import LoraConfig
from ..lora.model import get_peft_model
from ..seeding import seed_everything
from ..train.fast import cross_entropy
from ..train.fast.attention import without_causal_mask
from ..train.loss import Batch, count_targets, next_token_losses, unwrap
from ..train.memory.meter import MemoryMeter
from ..train.memory.predict import MemoryEstimate, measure_fake_step, shapes_of
from ..train.step import TrainStep, training_step
from .llama_shapes import LLAMA_SIZES
from .task import all_linear

COURSE_SIZES = {"nano": "nano", "5 M": "decoder"}
"""The course's own decoders."""
PARTS = ("frozen", "trained", "gradients", "optimizer", "activations", "logits", "peak")
WARM = 2  # steps before the one that is measured: the first makes the optimizer's moments


class Arm(NamedTuple):
    """A way to train: dtype of the stored weights ("4bit": NF4), and what differs from `fit`."""

    base: str
    adapters: bool
    recompute: bool = False
    whole_logits: bool = False


ARMS = {
    "full, float32": Arm("float32", False),
    "full, bf16": Arm("bfloat16", False),
    "full, bf16, recomputed": Arm("bfloat16", False, recompute=True),
    "LoRA, whole logits": Arm("bfloat16", True, whole_logits=True),
    "LoRA": Arm("bfloat16", True),
    "LoRA, recomputed": Arm("bfloat16", True, recompute=True),
    "QLoRA": Arm("4bit", True),
    "QLoRA, recomputed": Arm("4bit", True, recompute=True),
}
"""Full fine-tuning keeps the logits whole, as its head is trained; LoRA's step in this package
takes them in pieces. "whole logits" is LoRA with the loss of full fine-tuning, so that two things
that differ are told apart. Products are in bf16 for all."""


def shape_config(name: str) -> Any:
    """The config of one of the sizes, as transformers describes it. ValueError: no such size."""
    if name in COURSE_SIZES:
        import transformers

        return transformers.AutoConfig.from_pretrained(MODELS / COURSE_SIZES[name])
    if name not in LLAMA_SIZES:
        known = [*COURSE_SIZES, *LLAMA_SIZES]
        raise ValueError(f"there is no size {name!r}{nearest_and_known(name, known)}")
    return LLAMA_SIZES[name].config()


def adapters(r: int, targets: str | list[str] = "all-linear") -> LoraConfig:
    """LoRA at rank r with alpha = 2r: what each arm with adapters gets."""
    return all_linear(r, target_modules=targets)


def whole_logits_loss(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(Sum of losses, count of labels) from logits (B, T, V) that are all there at one time."""
    with without_causal_mask(unwrap(model), ["input_ids"]):
        logits = model(input_ids=batch["input_ids"], use_cache=False).logits
    return next_token_losses(logits, batch["labels"]).sum(), count_targets(batch["labels"])


def step_settings(arm: Arm) -> dict[str, Any]:
    """What the arm asks of `training_step`."""
    how: dict[str, Any] = {"precision": "bf16", "recompute": arm.recompute}
    return how | ({"loss_fn": whole_logits_loss} if arm.whole_logits else {})


# --- 1. From shapes --------------------------------------------------------------------------


def predicted_step(
    config: Any, arm: Arm, rows: int, length: int, r: int, device: str
) -> MemoryEstimate:
    """The parts of an arm's step, from a config, as `predict_memory` finds them.

    `device` is the one that is asked about: a GPU's loss takes its logits in larger pieces.
    """
    model = shapes_of(config, adapters(r) if arm.adapters else None, arm.base)
    kept = cross_entropy.CHUNK_ELEMENTS["cpu"]  # fake tensors are the CPU's
    cross_entropy.CHUNK_ELEMENTS["cpu"] = cross_entropy.CHUNK_ELEMENTS[device]
    try:
        return measure_fake_step(model, rows, length, "", **step_settings(arm))
    finally:
        cross_entropy.CHUNK_ELEMENTS["cpu"] = kept


def predicted_memory(
    sizes: Sequence[Sequence[Any]],
    arms: Sequence[str] = tuple(ARMS),
    r: int = 8,
    device: str = "cpu",
    predicts: str = "cuda",
) -> dict[str, Any]:
    """Predict every arm at every (size, rows, length).

    Returns `rows`: size, arm, rows, length; the bytes of each part and of the peak; and the count
    of numbers that are frozen and that are trained. `predicts` is the device that is asked about.
    """
    found = []
    for size, rows, length in sizes:
        for arm in arms:
            estimate = predicted_step(shape_config(size), ARMS[arm], rows, length, r, predicts)
            parts = {part: getattr(estimate, part) for part in PARTS}
            counts = {name: getattr(estimate, name) for name in ("frozen_count", "trained_count")}
            about = {"size": size, "arm": arm, "rows": rows, "length": length}
            found.append(about | parts | counts)
    return {"rows": found}


# --- 2. In a real step -----------------------------------------------------------------------


class AllocatorMeter:
    """The CUDA allocator's own count, read as a `MemoryMeter` is: `now`, `peak`, `restart`."""

    def __enter__(self) -> AllocatorMeter:
        gc.collect()
        torch.cuda.empty_cache()
        for dtype in (torch.bfloat16, torch.float32):  # cuBLAS takes its workspace before
            torch.ones(8, 8, device="cuda", dtype=dtype) @ torch.ones(
                8, 8, device="cuda", dtype=dtype
            )
        self.before = torch.cuda.memory_allocated()
        self.restart()
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    @property
    def now(self) -> int:
        """Bytes held on the GPU since the start."""
        return torch.cuda.memory_allocated() - self.before

    @property
    def peak(self) -> int:
        """The most bytes held at once."""
        return torch.cuda.max_memory_allocated() - self.before

    def restart(self) -> None:
        """Count the peak anew."""
        torch.cuda.reset_peak_memory_stats()


def build(size: str, arm: Arm, r: int, device: str) -> nn.Module:
    """A model of that size with random weights, made on the device, as the arm trains it."""
    import transformers

    seed_everything(0)
    dtype = torch.bfloat16 if arm.base == "4bit" else getattr(torch, arm.base)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(shape_config(size), dtype=dtype)
    if arm.base == "4bit":
        to_four_bits(model, device)
    return get_peft_model(model, adapters(r)) if arm.adapters else model.requires_grad_(True)


def to_four_bits(model: nn.Module, device: str) -> None:
    """Turn the linear layers, but for the head, to NF4 with double quantization: bitsandbytes'."""
    import bitsandbytes

    how = {"quant_type": "nf4", "compress_statistics": True}
    head = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, linear in list(parent.named_children()):
            if type(linear) is not nn.Linear or linear is head:
                continue
            sizes = (linear.in_features, linear.out_features, linear.bias is not None)
            with torch.device("meta"):
                packed = bitsandbytes.nn.Linear4bit(*sizes, compute_dtype=torch.bfloat16, **how)
            packed.bias = linear.bias
            weight = bitsandbytes.nn.Params4bit(linear.weight.data, requires_grad=False, **how)
            packed.weight = weight.to(device)  # which quantizes
            setattr(parent, name, packed)


@contextlib.contextmanager
def kept_at_the_end_of_forward(step: TrainStep, meter: Any) -> Iterator[list[int]]:
    """Inside, each forward pass adds the bytes that are alive when its loss is there."""
    found: list[int] = []
    loss = step.loss

    def read(batch: Batch) -> Any:
        result = loss(batch)
        found.append(meter.now)
        return result

    step.loss = read
    try:
        yield found
    finally:
        step.loss = loss


def measure_step(model: nn.Module, arm: Arm, rows: int, length: int, meter: Any) -> dict[str, int]:
    """Bytes of one step after `WARM` others: what lies there before it, is kept, and its peak."""
    device = next(model.parameters()).device
    ids = torch.zeros(rows, length, dtype=torch.long, device=device)
    batches = [{"input_ids": ids, "labels": ids}]
    how = step_settings(arm) | {"capture": False, "compile": False}
    with training_step(model.train(), steps=100, lr=1e-4, **how) as step:
        for _ in range(WARM):
            step(batches)
        step.step.optimizer.zero_grad(set_to_none=True)
        rest = meter.now
        meter.restart()
        with kept_at_the_end_of_forward(step.step, meter) as found:
            step(batches)
        return {"rest": rest, "kept": found[0] - rest, "peak": meter.peak}


def measured_memory(
    sizes: Sequence[Sequence[Any]],
    arms: Sequence[str] = tuple(ARMS),
    r: int = 8,
    device: str = "cpu",
) -> dict[str, Any]:
    """Take real steps of every arm at every (size, rows, length), random weights, and count.

    Returns `rows`: size, arm, rows, length and, in bytes, `rest` (weights and optimizer state),
    `kept` (what the forward pass leaves for the backward pass) and `peak`; or `failed`, the reason.
    """
    found = []
    for size, rows, length in sizes:
        for name in arms:
            about = {"size": size, "arm": name, "rows": rows, "length": length}
            with AllocatorMeter() if device == "cuda" else MemoryMeter() as meter:
                try:
                    model = build(size, ARMS[name], r, device)
                    found.append(about | measure_step(model, ARMS[name], rows, length, meter))
                except (ImportError, torch.OutOfMemoryError) as error:
                    found.append(about | {"failed": str(error).split("\n")[0]})
                model = None  # the next arm finds the memory free
    return {"rows": found}
