"""Models for the comparison where LoRA goes through a weight, with what both configs say."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tests.lora.more.weight_models import EXPERTS, Experts, tiny_moe


class Case(NamedTuple):
    """How to make a model, what to target in it, and an input."""

    make: Any
    targets: dict[str, Any]
    x: tuple[Tensor, ...]


class Inside(nn.Module):
    """One module, and the tensor among its results."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.experts = make()

    def forward(self, *x: Tensor) -> Tensor:
        return torch.tanh(self.experts(*x))


def floats(*shape: int) -> Tensor:
    """The same normal numbers at every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def _moe(kind: str) -> Case:
    names = ["experts.gate_up_proj", "experts.down_proj"]
    ids = torch.arange(14).reshape(2, 7) * 5 % 32
    targets = {"target_parameters": names, "target_modules": ["q_proj"]}
    return Case(lambda: tiny_moe(kind), targets, (ids,))


def _inside(make: Any, *names: str) -> Case:
    return Case(
        lambda: Inside(make),
        {"target_parameters": list(names), "target_modules": []},
        (floats(4, 7),),
    )


PARAMETERS = {
    "matrix": lambda: _inside(lambda: nn.Linear(7, 5), "experts.weight"),
    "experts": lambda: _inside(Experts, *EXPERTS),
    "one of the experts' tensors": lambda: _inside(Experts, "experts.up"),
    "experts, transposed": lambda: _inside(lambda: Experts(transposed=True), *EXPERTS),
    "mixtral": lambda: _moe("mixtral"),
    "qwen3_moe": lambda: _moe("qwen3_moe"),
    "gpt_oss": lambda: _moe("gpt_oss"),
}
CASES = dict(PARAMETERS)
FIELDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "random": {"init_lora_weights": False},
    "gaussian": {"init_lora_weights": "gaussian"},
    "rslora": {"use_rslora": True, "init_lora_weights": False},
    "bias": {"bias": "all", "init_lora_weights": False},
    "patterns": {"init_lora_weights": False},  # with a rank and an alpha for some of the targets
}
