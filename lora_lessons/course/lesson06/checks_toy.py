"""The toy of lesson 06's exercises 6.3 and 6.4: a model as it stands after LoRA was put in."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Wrapped(nn.Module):
    """A layer as it stands after injection: the base's layer inside, the factors beside it."""

    def __init__(self, width: int, adapter: str) -> None:
        super().__init__()
        self.base_layer = nn.Linear(width, width)
        self.lora_A = nn.ModuleDict({adapter: nn.Linear(width, 2, bias=False)})
        self.lora_B = nn.ModuleDict({adapter: nn.Linear(2, width, bias=False)})
        self.adapter = adapter
        self.branch_on = True

    def forward(self, x: Tensor) -> Tensor:
        A, B = self.lora_A[self.adapter], self.lora_B[self.adapter]
        return self.base_layer(x) + (B(A(x)) if self.branch_on else 0.0)


class Block(nn.Module):
    """A wrapped layer one level down, called as one above, and a norm with an old-looking name."""

    def __init__(self, width: int, adapter: str) -> None:
        super().__init__()
        self.first = Wrapped(width, adapter)
        self.base_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer_norm(self.first(x))


class Injected(nn.Module):
    """Two wrapped layers and a block between; a third layer whose name only looks like a factor."""

    def __init__(self, width: int, adapter: str = "default") -> None:
        super().__init__()
        self.first, self.norm = Wrapped(width, adapter), nn.LayerNorm(width)
        self.explora_A = nn.Linear(width, width, bias=False)
        self.block, self.second = Block(width, adapter), Wrapped(width, adapter)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.block(self.explora_A(self.norm(self.first(x)))))

    def branches(self) -> list[bool]:
        """Whether each wrapped layer's branch is on, in order."""
        return [layer.branch_on for layer in self.modules() if isinstance(layer, Wrapped)]


def injected(
    rng: torch.Generator,
    width: int,
    trained: Iterable[str] = (),
    adapter: str = "default",
    dtype: torch.dtype = torch.float64,
) -> Injected:
    """The toy with random numbers; the factors and the named parameters train."""
    model = Injected(width, adapter).to(dtype)
    trained = set(trained)
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
        parameter.requires_grad_(".lora_" in name or name in trained)
    return model
