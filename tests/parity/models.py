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
