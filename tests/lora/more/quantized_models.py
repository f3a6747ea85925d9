"""Layers and models of few bits for the tests, made without a download; skips where none can be."""

from __future__ import annotations

import copy
import functools
import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lora_lessons.base.nf4_linear import NF4Linear

WIDTH, OUT, LAST = 64, 32, 5  # rows that are whole blocks; a head that stays in floats
THEIRS = ("nf4", "fp4", "int8", "torchao")  # of other libraries
KINDS = (*THEIRS, "own_nf4")
ADVICE = "pip install 'lora-lessons[quantized]'"


@functools.cache
def quietly(name: str) -> Any:
    """A library of the extra, without what it logs of kernels that are not there; or a skip."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        return pytest.importorskip(name, reason=f"{name} is not installed: {ADVICE}")
    finally:
        logging.disable(level)


def quantized(linear: nn.Linear, kind: str, **options: Any) -> nn.Module:
    """A frozen copy of a linear layer in few bits, on the CPU."""
    linear = copy.deepcopy(linear)
    sizes = (linear.in_features, linear.out_features, linear.bias is not None)
    if kind in ("nf4", "fp4"):
        bnb = quietly("bitsandbytes")
        layer = bnb.nn.Linear4bit(*sizes, quant_type=kind, **options)
    elif kind == "int8":
        bnb = quietly("bitsandbytes")
        layer = bnb.nn.Linear8bitLt(*sizes, has_fp16_weights=False, **options)
    elif kind == "own_nf4":
        return NF4Linear.from_linear(linear, **options)
    else:
        quietly("torchao")
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(linear, options.get("config", Int8WeightOnlyConfig()))
        return linear.requires_grad_(False)
    layer.load_state_dict(linear.state_dict())
    return layer.to(linear.weight.dtype).to("cpu").requires_grad_(False)


class Floats(nn.Module):
    """Two linear layers, one before the other, and a head."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(WIDTH, WIDTH, bias), nn.Linear(WIDTH, OUT, bias)
        self.head = nn.Linear(OUT, LAST)
        for layer in (self.first, self.second):
            nn.init.normal_(layer.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Quantized(Floats):
    """The same with the first two in few bits."""

    def __init__(self, kind: str, bias: bool = True, **options: Any) -> None:
        super().__init__(bias)
        self.first = quantized(self.first, kind, **options)
        self.second = quantized(self.second, kind, **options)


def example(rows: int = 6) -> Tensor:
    """Inputs (2, rows / 2, WIDTH)."""
    return torch.randn(2, rows // 2, WIDTH, generator=torch.Generator().manual_seed(4))
