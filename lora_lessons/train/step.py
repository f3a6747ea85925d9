"""One update of one model: forward, backward, clipping, AdamW; and how it is made fast.

`TrainStep` is the step, and reads alone: `__call__`, `gradients`, `_forward`, `_backward`.
`training_step` prepares the model for it, by parts of `train/fast/` that may each be left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .distributed import ALONE, Processes, across, exchanges_at_once
from .fast.blocks import compiled_blocks
from .fast.capture import CapturedStep, prepare
from .fast.coded import fused_layers_on_codes
from .fast.fused import fused_layers
from .fast.masters import MasterWeights, master_weights
from .fast.packed import PackedAdapters
from .loss import Batch, LossFunction, is_sharded, runs_in_one_dtype, summed_loss
from .memory.recompute import Recomputed, recomputed_blocks
from .optim import adamw, adamw_with_faster_B, autocast, set_learning_rate, trainable_parameters
from .settings import FitSettings

DRAWS_AGAIN = "recompute=True saves and restores random states on the host, for dropout's sake"
DROPS_TWICE = "recompute=True computes dropout twice, and compiled it might drop other numbers"
SHARDED = "the model is sharded, and its blocks gather their weights as they run"


class TrainStep:
    """Forward, backward, clipping and update of one model: the eager step, K = 1.

    With several micro-batches the gradient is that of (sum of all losses) / (count of all labels).
    `parameters` are what the optimizer updates: the model's `weights`, or one tensor of all of
    them. With `masters` their bf16 copies follow.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: list[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        *,
        clip: float | None = 1.0,
        precision: str = "auto",
        loss_fn: LossFunction = summed_loss,
        masters: MasterWeights | PackedAdapters | None = None,
        processes: Processes = ALONE,
        recomputed: Sequence[Recomputed] = (),
    ) -> None:
        self.model, self.parameters, self.optimizer = model, parameters, optimizer
        self.clip, self.masters, self.processes = clip, masters, processes
        self.at_once = exchanges_at_once(processes, model)
        self.loss = across(processes, model, loss_fn)
        self.weights = masters.weights if masters else parameters
        self.recomputed = recomputed
        self.reached: list[bool] = []  # for each of `parameters`, by this process's last step
        autocasts = masters is None or masters.needs_autocast or not runs_in_one_dtype(model)
        self.precision = precision if autocasts else "fp32"  # the copies are of bf16 themselves
        self.device = parameters[0].device

    def __call__(self, batches: Sequence[Batch]) -> torch.Tensor:
        """One update; returns the loss before it, (1,)."""
        loss = self.gradients(batches)
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.updated, self.clip)
        self.optimizer.step()
        self.refresh()
        return loss

    @property
    def updated(self) -> list[nn.Parameter]:
        """What the optimizer updates and clipping measures: the parameters, or parts of them."""
        return self.masters.updated if self.masters else self.parameters

    def why_not_captured(self) -> str:
        """What a first step has shown to speak against capturing; empty if nothing."""
        return DRAWS_AGAIN if any(block.random for block in self.recomputed) else ""

    def unreached(self) -> list[nn.Parameter]:
        """The model's parameters that no gradient of this process's last step reached."""
        if isinstance(self.masters, PackedAdapters):
            return self.masters.unreached()
        own = self.masters.copies if self.masters else self.parameters
        return [p for p, reached in zip(own, self.reached, strict=True) if not reached]

    def refresh(self) -> None:
        """Make the copies of the parameters anew, after they have changed."""
        if self.masters:
            self.masters.update_copies()

    def gradients(self, batches: Sequence[Batch]) -> torch.Tensor:
        """Fill the parameters' gradients, and return the loss before the update, (1,)."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.masters:
            self.masters.start()
        if len(batches) == 1 and self.processes.count == 1:
            total, count = self._forward(batches[0])
            loss = total / count.clamp(min=1)
            self._backward(loss)
            self._note_reached()
        else:
            loss = self._accumulate(batches)
        if self.masters:
            self.masters.hand_out(self.optimizer, all_reached=self.processes.count > 1)
        return loss.detach().reshape(1)

    def _forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        if self.masters:
            self.masters.begin()
        with autocast(self.device, self.precision):
            result = self.loss(batch)
        if isinstance(result, torch.Tensor):  # a mean: it counts as one label
            return result, torch.ones((), device=result.device)
        return result

    def _backward(self, loss: torch.Tensor) -> None:
        if self.masters:
            self.masters.backward(loss)
        else:
            loss.backward()

    def _accumulate(self, batches: Sequence[Batch]) -> torch.Tensor:
        """Gradients of sums, divided at the end by the count of all labels of all processes."""
        sums, counts = [], []
        for i, batch in enumerate(batches, start=1):
            with self._exchange(i == len(batches)):
                total, count = self._forward(batch)
                self._backward(total)
            sums.append(total.detach())
            counts.append(count)
        total, count = self.processes.sum(
            torch.stack([torch.stack(sums).sum().double(), torch.stack(counts).sum().double()])
        )
        count = count.clamp(min=1)
        self._note_reached()
        if self.at_once:
            self.processes.sum_gradients(self.parameters)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        # an exchange during the backward pass leaves the mean over the processes of their sums
        each = 1 if self.at_once else self.processes.count
        torch._foreach_div_(gradients, (count / each).to(gradients[0].dtype))
        return (total / count).to(sums[0].dtype)

    def _note_reached(self) -> None:
        self.reached = [p.grad is not None for p in self.parameters]

    def _exchange(self, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Gradients go to the other processes with the last micro-batch only."""
        waits = isinstance(self.loss, DistributedDataParallel)  # FSDP keeps parts only
        loss: Any = self.loss
        return loss.no_sync() if waits and not last else contextlib.nullcontext()

    def set_learning_rate(self, factor: float) -> None:
        """Multiply the rates of this step by `factor`."""
        set_learning_rate(self.optimizer, factor)


@contextlib.contextmanager
def training_step(
    model: nn.Module,
    settings: FitSettings | None = None,
    loss_fn: LossFunction = summed_loss,
    processes: Processes = ALONE,
    **fields: Any,
) -> Iterator[CapturedStep]:
    """The fastest step that model and settings allow, inside; the layers are as before after.

    Fields of FitSettings may stand in place of settings: `training_step(model, steps=9, lr=1e-3)`.

    With `fast_layers` LoRA layers are fused, those that read the same x together, and float32
    adapters get bf16 copies. The repeated block is compiled, and the whole step captured. Each
    falls back by itself.
    """
    settings = settings or FitSettings(**fields)
    why_not = SHARDED if is_sharded(model) else ""
    parameters = parameters_made_alike(model, processes)
    with contextlib.ExitStack() as stack:
        masters = stack.enter_context(faster_layers(model, parameters, settings, processes))
        uncompiled = why_not or why_not_compiled(model, settings)
        blocks = stack.enter_context(
            compiled_blocks(model, settings.compile, settings.steps, uncompiled)
        )
        recomputed = stack.enter_context(recomputed_blocks(model, settings.recompute))
        eager = TrainStep(
            model,
            masters.masters if masters else parameters,
            optimizer_for(model, parameters, masters, settings),
            clip=settings.clip,
            precision=settings.precision,
            loss_fn=loss_fn,
            masters=masters,
            processes=processes,
            recomputed=recomputed,
        )
        step = prepare(eager, settings.capture, settings.steps, blocks, why_not)
        stack.callback(step.close)
        yield step


@contextlib.contextmanager
def faster_layers(
    model: nn.Module, parameters: list[nn.Parameter], settings: FitSettings, processes: Processes
) -> Iterator[MasterWeights | PackedAdapters | None]:
    """Layers in fewer kernels and bf16 copies of float32 adapters, inside, if they are wanted."""
    if not settings.fast_layers:
        yield None
        return
    # DistributedDataParallel lays out its messages for the parameters as they are: float32
    in_parts = processes.count == 1 or exchanges_at_once(processes, model)
    split = settings.precision if in_parts else "fp32"
    with (
        master_weights(model, parameters, split) as masters,
        fused_layers(model),
        fused_layers_on_codes(model),
    ):
        yield masters


def parameters_made_alike(model: nn.Module, processes: Processes) -> list[nn.Parameter]:
    """What is trained, with the first process's values in all of them; sharded weights in parts."""
    if is_sharded(model):
        whole: Any = model
        whole.reshard()  # an evaluation leaves some weights whole
    parameters = trainable_parameters(model)
    if exchanges_at_once(processes, model):  # DistributedDataParallel does so too
        processes.start_alike(model)
    return parameters


def why_not_compiled(model: nn.Module, settings: FitSettings) -> str:
    """Why this step's blocks are not compiled, or an empty string.

    That a compiled block drops the same numbers in its second pass is shown on a CPU only.
    """
    drops = any(isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules())
    on_gpu = trainable_parameters(model)[0].device.type == "cuda"
    return DROPS_TWICE if settings.recompute and drops and on_gpu else ""


def optimizer_for(
    model: nn.Module,
    parameters: list[nn.Parameter],
    masters: MasterWeights | PackedAdapters | None,
    settings: FitSettings,
) -> torch.optim.AdamW:
    """AdamW of what the step updates. With one rate for B and one for A each stands by itself."""
    if settings.lr_ratio == 1:
        trained = masters.masters if masters else parameters
        return adamw(trained, settings.lr, settings.weight_decay)
    rows = masters.rows() if masters else parameters
    rates = settings.lr, settings.lr_ratio
    return adamw_with_faster_B(model, parameters, rows, *rates, settings.weight_decay)
