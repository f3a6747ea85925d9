"""What the tests of the blank file share: a small model to adapt, and what counts as a failure."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Failed(Exception):
    """A test of the contract failed; the message says what is likely wrong."""


class Given(NamedTuple):
    """What a test gets: the learner's module, a generator, a folder, and a way to see PEFT."""

    mini: ModuleType
    rng: torch.Generator
    folder: str
    shown: Callable[[], Any]

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Numbers drawn from N(0, 1)."""
        return torch.randn(*shape, generator=self.rng, dtype=torch.float64).to(dtype)

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(torch.randint(low, high + 1, (1,), generator=self.rng))


class Attention(nn.Module):
    """Three layers by the names that decoders have, and two whose names are traps."""

    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, narrow)
        self.k_proj = nn.Linear(width, narrow, bias=False)
        self.v_proj = nn.Linear(width, narrow, bias=False)
        self.not_q_proj = nn.Linear(width, narrow)  # ends in the letters "q_proj"
        self.q_proj_more = nn.Linear(width, narrow)  # begins with them


class Block(nn.Module):
    """Attention without attention: what matters here are the layers' names."""

    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.attn = Attention(width, narrow)
        self.norm = nn.LayerNorm(narrow)
        self.up = nn.Linear(narrow, width)

    def forward(self, x: Tensor) -> Tensor:
        """x and its output (n, width)."""
        a = self.attn
        mixed = a.q_proj(x) * torch.sigmoid(a.k_proj(x)) + a.v_proj(x)
        return x + self.up(self.norm(mixed + a.not_q_proj(x) + a.q_proj_more(x)))


class Sample(nn.Module):
    """Two blocks with layers by the names that decoders have, and a head."""

    def __init__(self, width: int = 12, narrow: int = 7, out: int = 5) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Block(width, narrow), Block(width, narrow)])
        self.head = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) -> (n, out)."""
        for block in self.layers:
            x = block(x)
        return self.head(x)


def sample(given: Given, dtype: torch.dtype = torch.float32) -> Sample:
    """The model with weights drawn from the test's generator, in training mode."""
    model = Sample(given.whole(9, 14), given.whole(5, 8))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * given.normal(*parameter.shape))
    return model.to(dtype)


def layers(given: Given, model: nn.Module) -> dict[str, nn.Module]:
    """Name -> the learner's layers in a model."""
    kind = given.mini.LoraLinear
    return {name: module for name, module in model.named_modules() if isinstance(module, kind)}


@torch.no_grad()
def fill(given: Given, model: nn.Module) -> None:
    """Draw every B, as training would leave it."""
    for layer in layers(given, model).values():
        B = given.mini.factors(layer)[1]
        B.copy_(0.3 * given.normal(*B.shape))


def linear(given: Given, bias: bool = True, dtype: torch.dtype = torch.float32) -> nn.Linear:
    """A linear layer that is not square, drawn."""
    base = nn.Linear(given.whole(8, 12), given.whole(4, 7), bias=bias)
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.copy_(given.normal(*parameter.shape))
    return base.to(dtype)


def close(one: Tensor, other: Tensor, tolerance: float = 1e-5) -> bool:
    """Whether two tensors are the same up to rounding."""
    if one.shape != other.shape:
        return False
    scale = max(1.0, float(other.double().abs().max()))
    return float((one.double() - other.double()).abs().max()) <= tolerance * scale


class Snapshot:
    """What a model was like: its modules, its bits, and what requires a gradient."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.modules = {name: id(module) for name, module in model.named_modules()}
        self.values = copy.deepcopy(model.state_dict())
        self.trains = {name: p.requires_grad for name, p in model.named_parameters()}

    def changed(self) -> str | None:
        """What is not as it was, in words, or None."""
        if {name: id(module) for name, module in self.model.named_modules()} != self.modules:
            return "layers were exchanged"
        if any(not torch.equal(v, self.values[k]) for k, v in self.model.state_dict().items()):
            return "weights were changed"
        if {name: p.requires_grad for name, p in self.model.named_parameters()} != self.trains:
            return "weights were frozen"
        return None


@contextmanager
def raises(what: str, model: nn.Module) -> Iterator[list[str]]:
    """Fail unless the block raises, and leaves the model as it was. Yields the message, later."""
    before, said = Snapshot(model), []
    try:
        yield said
    except Exception as error:
        said.append(str(error))
        if isinstance(error, AttributeError | NameError | AssertionError):
            raise Failed(f"{what}: raise a ValueError that says so, not {error!r}.") from None
    else:
        raise Failed(f"{what}: nothing was raised.")
    if changed := before.changed():
        raise Failed(f"{what}: an error was raised, but {changed} before. Look first, then change.")
