"""The pretraining step, and the same step captured in a CUDA graph.

A small model on a large GPU spends its time launching kernels, not running them. A CUDA graph
records the launches of one whole step (forward, backward, clipping, optimizer) once and replays
them in one go: eight times as fast for the 5 M decoder.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F


def next_token_loss(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy, in nats, of each token of (B, T) ids given those before it."""
    # The mask's dict form says "causal, nothing padded" outright. With None, transformers builds
    # a (B, 1, T, T) mask while a graph is captured, and flash attention is lost.
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=ids.device.type == "cuda"):
        logits = model(
            input_ids=ids, attention_mask={"full_attention": None}, use_cache=False
        ).logits  # (B, T, vocab)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())


class TrainStep:
    """Forward, backward, clipping to norm 1 and one optimizer step on (B, T) ids."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.optimizer = model, optimizer

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = next_token_loss(self.model, ids)
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
    """A `TrainStep` for one batch shape, recorded once and replayed.

    Recording needs warm-up steps, which train: the weights, the moments and the random state are
    put back afterwards. The optimizer must be capturable, its learning rate a device tensor.
    """

    def __init__(self, step: TrainStep, batch_shape: tuple[int, int], warm_up: int = 3) -> None:
        device = next(step.model.parameters()).device
        self.ids = torch.zeros(batch_shape, dtype=torch.long, device=device)
        step.create_state()
        before = [tensor.detach().clone() for tensor in step.tensors()]
        random_state = torch.cuda.get_rng_state(device)
        self._on_side_stream(step, warm_up)
        self.graph = torch.cuda.CUDAGraph()
        step.optimizer.zero_grad(set_to_none=True)  # gradients must live in the graph's memory
        with torch.cuda.graph(self.graph):
            self.loss = step(self.ids)
        with torch.no_grad():
            for tensor, old in zip(step.tensors(), before, strict=True):
                tensor.copy_(old)
        torch.cuda.set_rng_state(random_state, device)

    def _on_side_stream(self, step: Callable[[torch.Tensor], torch.Tensor], times: int) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(times):
                step(self.ids)
        torch.cuda.current_stream().wait_stream(stream)

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """Train on (B, T) ids; the loss returned is overwritten by the next call."""
        self.ids.copy_(ids)
        self.graph.replay()
        return self.loss
