"""What a block changes for its own time only, put back after: modes and random states."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


@contextlib.contextmanager
def training_mode(model: nn.Module) -> Iterator[None]:
    """Training mode inside; each module's own mode back after."""
    with _modes_kept(model):
        model.train()
        yield


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside; each module's own mode back after."""
    with _modes_kept(model), torch.no_grad():
        model.eval()
        yield


@contextlib.contextmanager
def _modes_kept(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def random_state(seed: int, device: torch.device) -> Iterator[None]:
    """A random state of its own inside, on the CPU and the device; the caller's back after."""
    with unchanged_random_state(device):
        # torch.manual_seed would seed every GPU, and only this one's state is put back
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.default_generators[device.index].manual_seed(seed)
        elif device.type != "cpu":
            torch.manual_seed(seed)
        yield


def unchanged_random_state(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Whatever is drawn inside, the random state is as before after."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def random_state_of(device: torch.device) -> dict[str, torch.Tensor]:
    """The states that dropout draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """The inverse of `random_state_of`."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
