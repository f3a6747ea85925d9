"""A step followed operation by operation: the memory that is alive, and what a block keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import nearest_and_known
from ..lora.model import get_peft_model
from ..seeding import generator, seed_everything
from ..train.memory.meter import MemoryMeter
from ..train.memory.predict import from_meta_to_fake
from ..train.step import training_step
from .step_memory import ARMS, adapters, build, shape_config, step_settings
from .step_times import random_ids

BLOCK_ARMS = ("frozen", "LoRA, q and v", "LoRA, all-linear", "full fine-tuning")


class Trace(NamedTuple):
    """Bytes alive after each operation of a step; the positions where its three parts end."""

    alive: list[int]
    forward_ends: int
    backward_ends: int


class TracingMeter(MemoryMeter):
    """A meter that also writes down, after each operation, how much is alive."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: list[int] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        self.alive.append(self.now)
        return result


def memory_trace(size: str, arm: str, rows: int, length: int, r: int = 8) -> Trace:
    """Follow the third step of an arm on the CPU: the first two made the optimizer's moments."""
    with TracingMeter() as meter:
        model = build(size, ARMS[arm], r, "cpu").train()
        ids = random_ids(shape_config(size).vocab_size, rows, length, "cpu")
        batches = [{"input_ids": ids, "labels": ids}]
        how = step_settings(ARMS[arm]) | {"capture": False, "compile": False}
        with training_step(model, steps=100, lr=1e-4, **how) as step:
            for _ in range(2):
                step(batches)
            step.step.optimizer.zero_grad(set_to_none=True)
            meter.alive.clear()
            ends = []
            loss, take = step.step.loss, step.step.gradients
            step.step.loss = _then(loss, lambda: ends.append(len(meter.alive)))
            step.step.gradients = _then(take, lambda: ends.append(len(meter.alive)))
            step(batches)
            return Trace(list(meter.alive), *ends)


def _then(function: Callable[..., Any], after: Callable[[], Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        result = function(*args)
        after()
        return result

    return call


class OperationCount(TorchDispatchMode):
    """Inside, `count` is the number of operations that PyTorch was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # a view computes nothing: on a GPU it starts no kernel
        views = any(one.alias_info is not None for one in func._schema.returns)
        self.count += not views or func._schema.is_mutable
        return func(*args, **(kwargs or {}))


def operations_of(take: Callable[[], Any]) -> int:
    """How many operations take() asks for, views left out: about as many kernels on a GPU."""
    with OperationCount() as counter:
        take()
    return counter.count


def nano_block(arm: str, device: str = "cpu", library: Any = None) -> Block:
    """The first block of a nano decoder in float32, random weights, for one of `BLOCK_ARMS`.

    It takes hidden states (B, T, 64). `library`: whose LoraConfig and get_peft_model adapt it,
    this package's without one. ValueError: no such arm.
    """
    import transformers

    if arm not in BLOCK_ARMS:
        raise ValueError(f"there is no arm {arm!r}{nearest_and_known(arm, BLOCK_ARMS)}")
    seed_everything(0)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(
            shape_config("nano"), dtype=torch.float32
        )
    model.requires_grad_(arm == "full fine-tuning")
    if arm.startswith("LoRA"):
        targets = "all-linear" if "all-linear" in arm else ["q_proj", "v_proj"]
        if library is None:
            model = get_peft_model(model, adapters(8, targets)).get_base_model()
        else:
            config = library.LoraConfig(r=8, lora_alpha=16, target_modules=targets)
            model = library.get_peft_model(model, config).get_base_model()
    return Block(model.model.layers[0], model.model.rotary_emb).train()


class Block(nn.Module):
    """A decoder's block with its rotary positions: (B, T, hidden) -> (B, T, hidden)."""

    def __init__(self, layer: nn.Module, rotary: nn.Module) -> None:
        super().__init__()
        self.layer, self.rotary = layer, rotary

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block on x (B, T, d), with rotary positions from 0."""
        positions = torch.arange(x.shape[1], device=x.device).unsqueeze(0)
        return self.layer(x, position_embeddings=self.rotary(x, positions))


def hidden_states(rows: int, length: int, hidden: int = 64) -> torch.Tensor:
    """What comes in from the blocks below: random, and a gradient goes back to it."""
    return torch.randn(rows, length, hidden, generator=generator(0)).requires_grad_()


def kept_by_shapes(arm: str, rows: int, length: int) -> int:
    """Bytes that a nano block keeps for the backward pass, from shapes without numbers."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    block = nano_block(arm, "meta")
    with FakeTensorMode(), MemoryMeter() as meter:
        from_meta_to_fake(block)
        x = torch.empty(rows, length, 64, requires_grad=True)
        with meter.saving(known=[*block.parameters(), *block.buffers()]):
            block(x)
        return meter.saved
