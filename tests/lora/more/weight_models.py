"""Small models whose weights are read and not called: experts, matrices, attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EXPERTS = ["experts.up", "experts.down"]


class Experts(nn.Module):
    """Three experts of two matrices each, (experts, out, in), or transposed; x goes through all."""

    def __init__(self, transposed: bool = False) -> None:
        super().__init__()
        self.is_transposed = transposed
        self.num_experts = 3
        shapes = ((3, 5, 7), (3, 7, 5)) if not transposed else ((3, 7, 5), (3, 5, 7))
        self.up = nn.Parameter(torch.randn(shapes[0]))
        self.down = nn.Parameter(torch.randn(shapes[1]))
        self.fails = False

    def forward(self, x: Tensor, shares: Tensor | None = None) -> Tensor:
        """(batch, 7) -> (batch, 7), the experts' results weighted by `shares` (3,)."""
        up, down = (self.up, self.down) if self.is_transposed else (self.up.mT, self.down.mT)
        hidden = torch.tanh(x @ up)  # (3, batch, 5)
        if self.fails:
            raise RuntimeError("inside the experts")
        results = hidden @ down  # (3, batch, 7)
        shares = torch.ones(3) if shares is None else shares
        return torch.einsum("ebi,e->bi", results, shares.to(results.dtype))


class Block(nn.Module):
    """A matrix that its parent multiplies with, experts, and a linear layer."""

    def __init__(self, transposed: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate = nn.Module()
        self.gate.weight = nn.Parameter(torch.randn(3, 7))
        self.gate.scale = nn.Parameter(torch.randn(7))
        self.experts = Experts(transposed)
        self.out = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 7) -> (batch, 4). The gate is a module whose weight is read from outside."""
        shares = torch.softmax(x @ self.gate.weight.T, dim=-1).mean(0)  # (3,)
        return self.out(self.experts(x, shares=shares))


def example(dtype: torch.dtype = torch.float32) -> Tensor:
    """An input of `Block`."""
    return torch.randn(4, 7, generator=torch.Generator().manual_seed(2)).to(dtype)


def trained(model: nn.Module, seed: int = 3) -> nn.Module:
    """The same model with other values in all that trains."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def tiny_moe(kind: str) -> nn.Module:
    """A random language model with experts: "mixtral", "qwen3_moe" or "gpt_oss"."""
    import transformers

    sizes = {
        "vocab_size": 32,
        "hidden_size": 16,
        "intermediate_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "num_experts_per_tok": 2,
    }
    torch.manual_seed(0)
    if kind == "mixtral":
        config = transformers.MixtralConfig(**sizes, num_local_experts=3)
        return transformers.MixtralForCausalLM(config)
    if kind == "qwen3_moe":
        config = transformers.Qwen3MoeConfig(**sizes, num_experts=3, moe_intermediate_size=8)
        return transformers.Qwen3MoeForCausalLM(config)
    config = transformers.GptOssConfig(**sizes, num_local_experts=3)
    return transformers.GptOssForCausalLM(config)


class Attends(nn.Module):
    """An attention of its own input, or of other keys and values; and a linear layer."""

    def __init__(self, width: int = 8, **options: object) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = nn.MultiheadAttention(width, 2, **options)
        self.mlp = nn.Linear(width, width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):  # they start at zero, where a lost one would not show
                nn.init.normal_(parameter)

    def forward(self, x: Tensor, key: Tensor | None = None, **options: object) -> Tensor:
        """x (seq, batch, width), or as `batch_first` has it."""
        key = x if key is None else key
        return self.mlp(self.attention(x, key, key, **options)[0])


def encoder(layers: int = 2, **options: object) -> nn.TransformerEncoder:
    """torch's own encoder, in evaluation, where its fast path is taken."""
    torch.manual_seed(0)
    settings = {"batch_first": True, "dim_feedforward": 12, "dropout": 0.0, **options}
    layer = nn.TransformerEncoderLayer(8, 2, **settings)
    model = nn.TransformerEncoder(layer, layers).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model
