"""Small models with random weights: the same ones at every call."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def tiny_qwen2() -> nn.Module:
    """A Qwen2 decoder of 2 layers with random weights and untied embeddings."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=60,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # they start at zero, where a lost bias would not show
            nn.init.normal_(parameter, std=0.1)
    return model


class Mlp(nn.Module):
    """Two linear layers, a normalization and a head; the sizes are unequal primes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(5, 11)
        self.norm = nn.LayerNorm(11)
        self.second = nn.Linear(11, 7, bias=False)
        self.head = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(torch.relu(self.norm(self.first(x)))))


def _layers() -> dict[str, tuple]:
    """(how to make the layer, an input for it), by name; sizes are unequal."""
    from transformers.pytorch_utils import Conv1D

    def floats(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(2))

    tokens = torch.tensor([[0, 3, 3, 12], [5, 1, 0, 7]])
    return {
        "linear": (lambda: nn.Linear(7, 5), floats(2, 3, 7)),
        "linear_without_bias": (lambda: nn.Linear(7, 5, bias=False), floats(2, 7)),
        "embedding": (lambda: nn.Embedding(13, 5), tokens),
        "conv1d": (lambda: nn.Conv1d(5, 7, 3, padding=1), floats(2, 5, 9)),
        "conv2d": (lambda: nn.Conv2d(5, 7, (3, 2), stride=2), floats(2, 5, 9, 8)),
        "conv3d": (lambda: nn.Conv3d(5, 7, 2), floats(2, 5, 4, 3, 5)),
        "pointwise": (lambda: nn.Conv2d(5, 7, 1), floats(2, 5, 4, 3)),
        "grouped": (lambda: nn.Conv2d(6, 8, 3, groups=2), floats(2, 6, 5, 5)),
        "hf_conv1d": (lambda: Conv1D(5, 7), floats(2, 3, 7)),
    }


LAYERS = tuple(_layers())


class LayerModel(nn.Module):
    """One layer of a kind, between nothing and a normalization of the batch's values."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        make, self._example = _layers()[kind]
        self.layer = make()
        if getattr(self.layer, "bias", None) is not None:
            nn.init.normal_(self.layer.bias)

    def example(self) -> Tensor:
        """An input for the layer."""
        return self._example

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x))
