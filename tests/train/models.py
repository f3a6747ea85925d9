"""Small models and batches for the tests of training."""

from __future__ import annotations

import torch
from torch import nn

VOCABULARY = 61


def tiny_decoder(
    seed: int = 0, dtype: torch.dtype = torch.float32, family: str = "Qwen2", **changes: object
) -> nn.Module:
    """A decoder of some thousand random parameters."""
    import transformers

    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
    }
    torch.manual_seed(seed)
    config = getattr(transformers, f"{family}Config")(**{**sizes, **changes})
    return getattr(transformers, f"{family}ForCausalLM")(config).to(dtype).eval()


def token_ids(count: int = 2000, seed: int = 1) -> torch.Tensor:
    """A sequence that can be learnt: each token is the last one plus 0, 1 or 2."""
    steps = torch.randint(0, 3, (count,), generator=torch.Generator().manual_seed(seed))
    return steps.cumsum(0) % VOCABULARY


def batch(rows: int = 3, length: int = 10, seed: int = 0) -> dict[str, torch.Tensor]:
    """One batch of random tokens."""
    ids = torch.randint(
        0, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed)
    )
    return {"input_ids": ids, "labels": ids.clone()}
