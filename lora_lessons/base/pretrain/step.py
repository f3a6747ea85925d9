"""The pretraining step, and the same step captured in a CUDA graph.

A small model on a large GPU spends its time launching kernels, not running them. A CUDA graph
records the launches of one whole step (forward, backward, clipping, optimizer) once and replays
them in one go: eight times as fast for the 5 M decoder.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ...seeding import leave_capture
from .objectives import Batch

Loss = Callable[[nn.Module, Batch], torch.Tensor]


class TrainStep:
    """Forward, backward, clipping to norm 1 and one optimizer step on a batch."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, loss_of: Loss) -> None:
        self.model, self.optimizer, self.loss_of = model, optimizer, loss_of

    def __call__(self, batch: Batch) -> torch.Tensor:
        """One update; returns the loss before it, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(self.model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()

    def create_state(self) -> None:
        """Make the optimizer's moments (zero) without moving a weight."""
        if self.optimizer.state:
            return
        rates = [group["lr"].clone() for group in self.optimizer.param_groups]
        for group in self.optimizer.param_groups:
            group["lr"].zero_()
        for parameter in self.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()  # at rate 0, from gradients 0
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"].copy_(rate)
        for state in self.optimizer.state.values():
            state["step"].zero_()

    def tensors(self) -> list[torch.Tensor]:
        """Every tensor that a step changes, gradients aside."""
        moments = [t for state in self.optimizer.state.values() for t in state.values()]
        return [*self.model.parameters(), *moments]


class CapturedStep:
    """A `TrainStep` for batches of one shape, recorded once and replayed.

    Recording needs warm-up steps, which train: the weights, the moments and the random state are
    put back afterwards, also when the recording fails (RuntimeError). The optimizer must be
    capturable, its learning rate a device tensor.
    """

    def __init__(self, step: TrainStep, batch: Batch, warm_up: int = 3) -> None:
        device = next(step.model.parameters()).device
        self.batch = {name: tensor.clone() for name, tensor in batch.items()}
        self.graph = torch.cuda.CUDAGraph()
        step.create_state()
        before = [tensor.detach().clone() for tensor in step.tensors()]
        random_state = torch.cuda.get_rng_state(device)
        try:
            self._on_side_stream(step, warm_up)
            step.optimizer.zero_grad(set_to_none=True)  # gradients must live in the graph's memory
            with torch.cuda.graph(self.graph):
                self.loss = step(self.batch)
        except BaseException:
            leave_capture(device)
            raise
        finally:
            with torch.no_grad():
                for tensor, old in zip(step.tensors(), before, strict=True):
                    tensor.copy_(old)
            torch.cuda.set_rng_state(random_state, device)

    def _on_side_stream(self, step: TrainStep, times: int) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(times):
                step(self.batch)
        torch.cuda.current_stream().wait_stream(stream)

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Train on a batch; the loss returned is overwritten by the next call."""
        for name, tensor in self.batch.items():
            tensor.copy_(batch[name])
        self.graph.replay()
        return self.loss


def fastest_step(step: TrainStep, batch: Batch) -> TrainStep | CapturedStep:
    """The captured step on a GPU, the plain one elsewhere or, said aloud, where capture fails."""
    if batch["input_ids"].device.type != "cuda":
        return step
    try:
        return CapturedStep(step, batch)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        print(f"the step could not be captured, so it runs several times slower: {reason}")
        step.optimizer.zero_grad(set_to_none=True)
        return step
