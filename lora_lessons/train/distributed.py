"""One run on several processes: the same script under `torchrun --nproc-per-node 2 script.py`.

Every process holds the model, draws the same batches and trains on its own rows of each. The loss
is the sum over all rows of all processes divided by the count of all their labels: the loss of one
process.

Adapters' gradients are few numbers. They go to the other processes in one message after the
backward pass, and the step can still be captured. The gradients of a whole model are as large as
the model: DistributedDataParallel sends them while the backward pass runs (Li et al. 2020). A base
that does not fit on each GPU is sharded first: see `sharded`.
"""

from __future__ import annotations

import atexit
import dataclasses
import os
import time
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .loss import Batch, LossFunction, is_sharded


@dataclasses.dataclass(frozen=True)
class Processes:
    """This process's number, counted from 0, among all that train together."""

    rank: int = 0
    count: int = 1

    @property
    def by_nccl(self) -> bool:
        """Whether messages between GPUs are kernels, which a CUDA graph can hold."""
        return self.count > 1 and "nccl" in str(dist.get_backend_config())

    def share(self, batch: Batch) -> Batch:
        """This process's rows of a batch; every tensor's first dimension is the rows."""
        if self.count == 1:
            return batch
        rows = min(len(v) for v in batch.values() if isinstance(v, torch.Tensor))
        if rows < self.count:
            raise ValueError(f"a batch of {rows} rows cannot be shared by {self.count} processes")
        return {
            name: v.tensor_split(self.count)[self.rank] if isinstance(v, torch.Tensor) else v
            for name, v in batch.items()
        }

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def sum_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Every parameter's gradient becomes the sum over all processes: one message for all.

        A gradient that is missing counts as 0, so that all processes send the same numbers.
        """
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        if len(gradients) == 1:
            parameters[0].grad = self.sum(gradients[0])
            return
        message = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        pieces = message.split([p.numel() for p in parameters])
        for parameter, piece in zip(parameters, pieces, strict=True):
            parameter.grad = piece.view_as(parameter).to(parameter.dtype)

    @torch.no_grad()
    def start_alike(self, model: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}
        for tensor in tensors.values():
            same = tensor.detach().contiguous()
            dist.broadcast(same, src=0)
            if same.data_ptr() != tensor.data_ptr():
                tensor.copy_(same)

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, in the order of their numbers."""
        values = [value]
        if self.count > 1:
            values = [None] * self.count
            dist.all_gather_object(values, value)
        return values

    def require_same(self, batch: Batch) -> None:
        """Raise if the processes drew different batches: each would train on part of its own."""
        if self.count == 1:
            return
        tensors = {name: v for name, v in batch.items() if isinstance(v, torch.Tensor)}
        drawn = self.gather(
            {n: (tuple(v.shape), v.double().sum().item()) for n, v in tensors.items()}
        )
        if any(one != drawn[0] for one in drawn):
            raise ValueError(
                "the processes drew different batches; every process must draw the same ones "
                "(the same seed), and fit gives each its own rows"
            )


ALONE = Processes()


def join(device: torch.device) -> Processes:
    """The processes that `torchrun` started, or this one alone."""
    if not dist.is_available():
        return ALONE
    if not dist.is_initialized():
        if not dist.is_torchelastic_launched():
            return ALONE
        dist.init_process_group()
        atexit.register(leave)
    processes = Processes(dist.get_rank(), dist.get_world_size())
    local = int(os.environ.get("LOCAL_RANK", 0))
    if processes.count > 1 and device.type == "cuda" and device.index != local:
        raise ValueError(
            f"process {processes.rank} has its model on {device}, not on cuda:{local}: call "
            'torch.cuda.set_device(int(os.environ["LOCAL_RANK"])) before the model is made'
        )
    return processes


def leave() -> None:
    """End the group at the process's end, and let its threads come to rest first.

    A thread of gloo gives back the last reduced tensor, for which it needs Python's lock. Where the
    interpreter ends before it has, the process aborts ("terminate called without an active
    exception") although all its work is done, and `torchrun` reports a failure.
    """
    dist.destroy_process_group()
    time.sleep(0.2)  # gives the lock away; nothing tells when the thread is done


class BatchLoss(nn.Module):
    """loss_fn(model, batch) as a module's forward, which is what DistributedDataParallel wraps.

    Wrapped alone, the model could only be called as a whole, and the loss that holds no logits
    calls its parts.
    """

    def __init__(self, model: nn.Module, loss_fn: LossFunction) -> None:
        super().__init__()
        self.model, self.loss_fn = model, loss_fn

    def forward(self, batch: Batch) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """The loss of this process's rows."""
        return self.loss_fn(self.model, batch)


def exchanges_at_once(processes: Processes, model: nn.Module) -> bool:
    """Whether gradients go to the other processes in one message after the backward pass.

    That pays where what is trained is small beside the model. A running mean, as of batch norm, is
    left to DistributedDataParallel, which shares it in every step.
    """
    if processes.count == 1 or is_sharded(model):
        return False
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    numbers = sum(p.numel() for p in model.parameters())
    running = any(getattr(m, "running_mean", None) is not None for m in model.modules())
    return 2 * trained < numbers and not running


def across(processes: Processes, model: nn.Module, loss_fn: LossFunction) -> nn.Module:
    """The loss as a module; the gradients of a large part of a model are averaged as they come."""
    loss = BatchLoss(model, loss_fn)
    alone = processes.count == 1 or is_sharded(model)  # a sharded model averages its own
    if alone or exchanges_at_once(processes, model):
        return loss
    return DistributedDataParallel(loss)
