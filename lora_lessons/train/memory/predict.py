"""What a training step will take of memory, from shapes alone.

The step itself is run, on fake tensors: they have a shape, a dtype and a device, and no numbers, so
a model of any size takes a second and no memory. What is counted is what the step does, not what a
formula thinks that it does. (On PyTorch's meta device attention would take its slow path and keep
all T x T weights; fake tensors of the CPU take the fast one, as a GPU does.)
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import nn

from ..fast import cross_entropy
from ..modes import unchanged_random_state
from ..optim import one_of
from ..settings import require_whole
from ..step import TrainStep, training_step
from .compiled import compiled_for_memory
from .four_bit import quantize
from .gathered import as_sharded, part_of
from .meter import MemoryMeter, storage_bytes

BASES = ("float32", "bfloat16", "float16", "4bit")
MIB, GIB = 2**20, 2**30
# The warm-up before a capture has a stream of its own, and cuBLAS keeps a workspace for each, on
# Hopper of 64 MiB. Captured less eager was 64, 65 and 81 MiB at three shapes on an H200.
CAPTURE_BYTES = 64 * MIB
# The compiler chooses among kernels by their times, and clears the L2 cache in between by writing
# as many bytes: 60 MiB on an H200. A compiled step took 57 MiB more in its first pass than later.
COMPILER_BYTES = 60 * MIB


@dataclasses.dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one training step. The parts are not all there at once: `peak` is what is needed.

    `activations` is what the forward pass keeps for the backward pass; `logits` the scores of all
    classes, at most at one time. While gradients come, activations go.
    """

    name: str
    frozen: int  # with the bf16 copies that the products use, if any
    trained: int  # with theirs
    gradients: int
    optimizer: int
    activations: int
    logits: int
    peak: int
    frozen_count: int  # numbers, not bytes
    trained_count: int

    def __str__(self) -> str:
        millions = (
            f"{self.frozen_count / 1e6:.1f} M frozen, {self.trained_count / 1e6:.2f} M trained"
        )
        rows = {
            "frozen weights": self.frozen,
            "trained weights": self.trained,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "activations": self.activations,
            "logits": self.logits,
            "peak of a step": self.peak,
        }
        lines = [f"  {name:16} {in_units(value):>11}" for name, value in rows.items()]
        return "\n".join([f"{self.name}: {millions}", *lines])

    __repr__ = __str__


def in_units(size: int) -> str:
    """Bytes as text: 3.2 MiB, 17.20 GiB."""
    return f"{size / GIB:.2f} GiB" if size >= GIB else f"{size / MIB:.1f} MiB"


def predict_memory(
    model_or_config: Any,
    lora_config: Any = None,
    *,
    batch_size: int,
    length: int,
    base: str = "bfloat16",
    precision: str = "bf16",
    recompute: bool = False,
    compile: bool = False,
    capture: bool = False,
    device: str = "cuda",
    processes: int = 1,
) -> MemoryEstimate:
    """The memory of a step of `fit` with AdamW, for a causal language model of transformers.

    Args:
        model_or_config: a model, of which only the config is read, or a config.
        lora_config: the adapters; None for full fine-tuning.
        base: dtype of the model's weights, or "4bit": QLoRA, double quantization included.
        precision: of the products, "bf16" or "fp32", as `fit` takes it.
        recompute: whether the blocks' activations are computed again in the backward pass.
        compile: whether the repeated block is compiled. Tracing it takes some seconds; where it
            fails a RuntimeError says why. On a GPU the compiler's own buffer is added to the peak:
            60 MiB, as on an H200.
        capture: whether the step is the first of the process to be captured, which adds what cuBLAS
            keeps for the warm-up to the peak: 64 MiB, as on an H100 or H200.
        device: "cuda" or "cpu": the loss takes its logits in larger pieces on a GPU.
        processes: over how many the model is spread by `shard`; the estimate is that of each, and
            `batch_size` its own rows.

    `fit` decides about compiling and capturing by itself; say here what it does.
    Not counted: the CUDA context and what kernels take while they run (about 0.5 GiB together,
    outside of `torch.cuda.max_memory_allocated` for the most part).
    """
    refuse_what_fit_does_not(base, lora_config, capture, device)
    refuse_what_shard_does_not(processes, base, compile, capture)
    model = shapes_of(model_or_config, lora_config, base)
    kind = "full" if lora_config is None else "QLoRA" if base == "4bit" else "LoRA"
    name = f"{kind}, {base} base, {precision}, {batch_size} x {length}"
    name += ", recomputed" * recompute + ", compiled" * compile + ", captured" * capture
    name += f", sharded over {processes} processes" * (processes > 1)
    how = {"precision": precision, "recompute": recompute, "compile": compile}
    # the fake tensors are the CPU's; the pieces of logits shall be the device's
    budget = {"cpu": cross_entropy.CHUNK_ELEMENTS[device]}
    with mock.patch.dict(cross_entropy.CHUNK_ELEMENTS, budget), failure_named(compile):
        found = measure_fake_step(model, batch_size, length, name, processes, **how)
    more = capture * CAPTURE_BYTES + (compile and device == "cuda") * COMPILER_BYTES
    return dataclasses.replace(found, peak=found.peak + more)


def refuse_what_fit_does_not(base: str, lora_config: Any, capture: bool, device: str) -> None:
    """Raise for a step that `fit` never takes."""
    one_of("base", base, BASES)
    one_of("device", device, tuple(cross_entropy.CHUNK_ELEMENTS))
    if base == "4bit" and lora_config is None:
        raise ValueError("base='4bit' cannot be trained itself: give a lora_config")
    if capture and device != "cuda":
        raise ValueError(f"capture=True is for device='cuda', not {device!r}: only CUDA captures")


def refuse_what_shard_does_not(processes: int, base: str, compile: bool, capture: bool) -> None:
    """Raise for a sharded step that `fit` never takes."""
    require_whole("processes", processes, 1)
    if processes > 1 and (compile or capture or base == "4bit"):
        raise ValueError(
            "a model that `shard` spreads over processes is neither compiled nor captured, nor in "
            "4 bits: leave out compile, capture and base='4bit', or processes"
        )


@contextlib.contextmanager
def failure_named(compile: bool) -> Iterator[None]:
    """Where a step cannot be compiled, say why, and what can be predicted instead."""
    try:
        yield
    except RuntimeError as error:
        if not compile:
            raise
        reason = " ".join(str(error.__context__ or error).split("\n")[:2])  # the compiler's own
        raise RuntimeError(
            f"the compiled step cannot be predicted: {reason}. "
            "With compile=False the step as written is, which as a rule takes more"
        ) from error


def shapes_of(model_or_config: Any, lora_config: Any, base: str) -> nn.Module:
    """The model with its adapters on the meta device: shapes without numbers."""
    from transformers import AutoModelForCausalLM

    from ...lora.model import get_peft_model

    config = copy.deepcopy(getattr(model_or_config, "config", model_or_config))
    if not hasattr(config, "vocab_size"):
        raise TypeError(
            "predict_memory needs a causal language model of transformers or its config, got "
            f"{type(model_or_config).__name__}"
        )
    dtype = torch.bfloat16 if base == "4bit" else getattr(torch, base)
    with torch.device("meta"), unchanged_random_state(torch.device("cpu")):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        if lora_config is None:
            return model.requires_grad_(True)
        lora_config = copy.copy(lora_config)
        lora_config.init_lora_weights = True  # of the values alone; others would read the weights
        adapted = get_peft_model(model, lora_config)
    if base == "4bit":
        quantize(model, keep=model.get_output_embeddings())
    return adapted


def measure_fake_step(
    model: nn.Module, batch_size: int, length: int, name: str, processes: int = 1, **how: Any
) -> MemoryEstimate:
    """Run two steps on fake tensors; the second has its optimizer state, as all later ones.

    `processes`: over how many the model is spread. `how`: more of `training_step`'s arguments.
    RuntimeError: the step cannot be compiled.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    config: Any = model.config
    meter = MemoryMeter(classes=config.vocab_size)
    with FakeTensorMode(), meter, compiled_for_memory(meter):
        from_meta_to_fake(model.train())
        ids = torch.zeros(batch_size, length, dtype=torch.long)
        batches = [{"input_ids": ids, "labels": ids}]
        with (
            as_sharded(model, processes),
            training_step(model, steps=2, lr=1e-3, capture=False, **how) as step,
        ):
            step(batches)
            meter.restart()
            return part_of(estimate(step.step, batches, meter, name), processes)


def estimate(
    step: TrainStep, batches: list[dict[str, torch.Tensor]], meter: MemoryMeter, name: str
) -> MemoryEstimate:
    """Take a step, on fake or on real tensors, and count."""
    copies = step.masters.frozen_copies if step.masters else []
    held = step.masters.held if step.masters else step.weights
    frozen = [p for p in step.model.parameters() if not p.requires_grad]
    frozen_bytes = [*frozen, *step.model.buffers(), *copies]
    inputs = [value for batch in batches for value in batch.values()]
    with meter.saving(known=[*frozen_bytes, *held, *inputs]):
        step(batches)
    state = (value for values in step.optimizer.state.values() for value in values.values())
    return MemoryEstimate(
        name=name,
        frozen=storage_bytes(frozen_bytes),
        trained=storage_bytes(held),
        gradients=storage_bytes(p.grad for p in step.parameters if p.grad is not None),
        optimizer=storage_bytes(state),
        activations=meter.saved,
        logits=meter.logits_peak,
        peak=meter.peak,
        frozen_count=sum(count_numbers(p) for p in frozen),
        trained_count=sum(p.numel() for p in step.weights),
    )


def count_numbers(parameter: nn.Parameter) -> int:
    """Numbers in a parameter: two in each byte of a 4-bit one."""
    return parameter.numel() * (2 if parameter.dtype == torch.uint8 else 1)


def from_meta_to_fake(model: nn.Module) -> None:
    """Replace a model's meta tensors by fake ones of the CPU; tied weights stay tied."""
    made: dict[int, Any] = {}
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, value in tensors.items():
                if value is not None and id(value) not in made:
                    empty = torch.empty(value.shape, dtype=value.dtype)
                    trained = value.requires_grad
                    is_weight = isinstance(value, nn.Parameter)
                    made[id(value)] = nn.Parameter(empty, trained) if is_weight else empty
                if value is not None:
                    tensors[name] = made[id(value)]
