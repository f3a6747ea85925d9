"""Models for the comparison where LoRA goes through a weight, with what both configs say."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tests.lora.more.weight_models import EXPERTS, Attends, Experts, encoder, tiny_moe


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
ATTENTIONS = {
    "attention": lambda: Case(Attends, {"target_modules": ["attention"]}, (floats(5, 3, 8),)),
    "attention, batch first, no bias": lambda: Case(
        lambda: Attends(batch_first=True, bias=False),
        {"target_modules": ["attention", "mlp"]},
        (floats(3, 5, 8),),
    ),
    "in_proj_weight alone": lambda: Case(
        Attends,
        {"target_parameters": ["attention.in_proj_weight"], "target_modules": []},
        (floats(5, 3, 8),),
    ),
    "keys of another width": lambda: Case(
        lambda: Attends(kdim=6, vdim=6),
        {
            "target_parameters": [f"attention.{part}_proj_weight" for part in "qkv"],
            "target_modules": [],
        },
        (floats(5, 3, 8), floats(4, 3, 6)),
    ),
    "encoder": lambda: Case(
        encoder, {"target_modules": ["self_attn", "linear1"]}, (floats(3, 5, 8),)
    ),
}
CASES = PARAMETERS | ATTENTIONS
FIELDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "random": {"init_lora_weights": False},
    "gaussian": {"init_lora_weights": "gaussian"},
    "rslora": {"use_rslora": True, "init_lora_weights": False},
    "bias": {"bias": "all", "init_lora_weights": False},
    "patterns": {"init_lora_weights": False},  # with a rank and an alpha for some of the targets
}
