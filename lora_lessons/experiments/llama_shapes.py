"""Sizes of Llama models, for weights that are drawn at random or only counted."""

from __future__ import annotations

from typing import Any, NamedTuple


class LlamaShape(NamedTuple):
    """What says how large a Llama is. `tied`: the output layer shares the embeddings' weight."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    tied: bool = True

    def config(self, longest: int = 8192, **more: Any) -> Any:
        """The shape as transformers describes it, for sequences of up to `longest` tokens."""
        import transformers

        return transformers.LlamaConfig(
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            intermediate_size=self.feed_forward,
            vocab_size=self.vocabulary,
            tie_word_embeddings=self.tied,
            max_position_embeddings=longest,
            **more,
        )


LLAMA_SIZES = {
    "135 M": LlamaShape(576, 30, 9, 3, 1536, 49152),
    "1 B": LlamaShape(2048, 16, 32, 8, 8192, 128256),
    "8 B": LlamaShape(4096, 32, 32, 8, 14336, 128256, tied=False),
}
"""The sizes of SmolLM2-135M, Llama 3.2 1B and Llama 3.1 8B."""
