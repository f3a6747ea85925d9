"""The three architectures, with random weights: Qwen2, BERT and T5, all small.

None has dropout in its configuration: the saved model shall train as it is told to, not as it was
pretrained. While it is pretrained, hooks drop (`add_dropout`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from .recipes import Recipe

if TYPE_CHECKING:
    from transformers import BertForMaskedLM, Qwen2ForCausalLM, T5ForConditionalGeneration

# The modules whose output dropout acts on: the embeddings, and what is added to the residual
# stream. The names of Qwen2, BERT and T5; a module that a model does not have is not looked for.
DROPPED = (
    *("embed_tokens", "o_proj", "down_proj"),
    *("bert.embeddings", "output.dense"),
    *("SelfAttention.o", "EncDecAttention.o", "DenseReluDense.wo"),
)


def build_decoder(recipe: Recipe, tokenizer: Any) -> Qwen2ForCausalLM:
    """A Qwen2 causal language model with random weights from the global generator."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=recipe.vocab_size,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=recipe.length,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config)


def build_encoder(recipe: Recipe, tokenizer: Any) -> BertForMaskedLM:
    """A BERT (Devlin et al. 2019) with the head for masked tokens, tied to the embeddings."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=recipe.vocab_size,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=recipe.length,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    return BertForMaskedLM(config)


def build_encoder_decoder(recipe: Recipe, tokenizer: Any) -> T5ForConditionalGeneration:
    """A T5 (Raffel et al. 2020) with T5 1.1's gated feed-forward and tied embeddings.

    "gelu_pytorch_tanh" is T5 1.1's GELU ("gelu_new") computed by one kernel instead of eight.
    """
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=recipe.vocab_size,
        d_model=recipe.hidden,
        d_kv=recipe.hidden // recipe.heads,
        d_ff=recipe.feed_forward,
        num_layers=recipe.layers,
        num_heads=recipe.heads,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu_pytorch_tanh",
        decoder_start_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = T5ForConditionalGeneration(config)
    for name, module in model.named_modules():
        if name.endswith("relative_attention_bias"):
            module.register_forward_hook(_heads_outermost)
    if recipe.neighbours:
        look_at_neighbours(model.encoder, recipe.length)
    return model


def look_at_neighbours(encoder: nn.Module, length: int) -> None:
    """Let half of a T5 encoder's heads start on one neighbour each: 1 place before, 1 after, 2 ...

    The bias b of that place starts ln(length) + 4 higher, which gives the place 98 % of a head's
    attention over `length` keys with equal scores: e^b / (e^b + length) = e^4 / (e^4 + 1). The
    other heads start as in T5, and training is free to change all of them. `recipes` says why.
    """
    attention = encoder.block[0].layer[0].SelfAttention  # its bias serves every layer
    heads = torch.arange((attention.n_heads + 1) // 2)
    offsets = (heads // 2 + 1) * (2 * (heads % 2) - 1)  # -1, 1, -2, 2, ...
    buckets = attention._relative_position_bucket(
        offsets,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    with torch.no_grad():
        attention.relative_attention_bias.weight[buckets, heads] += math.log(length) + 4


def _heads_outermost(_module: nn.Module, _inputs: Any, bias: torch.Tensor) -> torch.Tensor:
    """The same (T, S, heads) bias, laid out in memory as (heads, T, S), which attention needs.

    transformers hands it to PyTorch's attention as (1, heads, T, S). Were the heads innermost in
    memory, the fast kernels would refuse it (transformers copies it itself from 5.24 on).
    """
    return bias.permute(2, 0, 1).contiguous().permute(1, 2, 0)


def add_dropout(model: nn.Module, p: float) -> None:
    """Dropout on the embeddings and on what each block adds to the residual stream (GPT-2).

    Several epochs over little text need it; it is a hook, so the saved model does not know of it.
    """

    def drop(module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return F.dropout(output, p, module.training)

    for name, module in model.named_modules():
        if name.endswith(DROPPED):
            module.register_forward_hook(drop)
