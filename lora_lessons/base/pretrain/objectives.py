"""What each kind of model is trained to predict.

An objective knows its tokens, its architecture, how a window of text becomes a batch, and where the
model's logits stand for the labels. The loss is the same for all: the mean cross-entropy, in nats,
of the labels that are not IGNORED.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from ..tokens import (
    encode_bytes,
    encode_lines,
    encode_sentences,
    train_tokenizer,
    train_word_pieces,
)
from .corruption import corrupt_spans, mask_tokens, span_sizes
from .models import build_decoder, build_encoder, build_encoder_decoder
from .recipes import Recipe

Batch = dict[str, torch.Tensor]


class Objective(Protocol):
    """What `Run` needs to know of a kind of model."""

    unit: str  # what the mean loss is taken over, as in "nats per token"
    window: int  # tokens of text that make one row of a batch

    def __init__(self, recipe: Recipe, tokenizer: Any) -> None: ...

    @staticmethod
    def train_tokenizer(text: str, vocab_size: int) -> Any:
        """A tokenizer of transformers, learnt from the training text alone."""
        ...

    def encode(self, text: str) -> torch.Tensor:
        """The text's token ids, (n,), from which windows are cut."""
        ...

    def build_model(self) -> nn.Module:
        """The model of the recipe with random weights, drawn from the global seed."""
        ...

    def batch(self, ids: torch.Tensor, noise: torch.Generator) -> Batch:
        """From windows, (B, window), to what `logits` and the loss take."""
        ...

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, T, vocab) for the batch's (B, T) labels."""
        ...


class NextToken:
    """Each token given those before it (Radford et al. 2018): the decoder."""

    unit = "token"

    def __init__(self, recipe: Recipe, tokenizer: Any) -> None:
        self.recipe, self.tokenizer = recipe, tokenizer
        self.window = recipe.length

    @staticmethod
    def train_tokenizer(text: str, vocab_size: int) -> Any:
        """Learn a tokenizer of `vocab_size` pieces from the text."""
        return train_tokenizer(text.splitlines(keepends=True), vocab_size)

    def encode(self, text: str) -> torch.Tensor:
        """The text as token ids, (n,)."""
        return encode_lines(self.tokenizer, text)

    def build_model(self) -> nn.Module:
        """The untrained model of the recipe."""
        return build_decoder(self.recipe, self.tokenizer)

    def batch(self, ids: torch.Tensor, noise: torch.Generator) -> Batch:
        """Inputs and labels of one step, made from ids (B, T)."""
        return {"input_ids": ids, "labels": ids[:, 1:]}

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The model's logits where the labels are, (B, T, V)."""
        # The mask's dict form says "causal, nothing padded" outright. With None, transformers
        # builds a (B, 1, T, T) mask while a graph is captured, and flash attention is lost.
        mask = {"full_attention": None}
        logits = model(input_ids=batch["input_ids"], attention_mask=mask, use_cache=False).logits
        return logits[:, :-1]


class Masked:
    """Masked tokens given those on both sides (Devlin et al. 2019): the encoder.

    A row is [CLS], a window of the text, [SEP]. Lines end with [SEP] too, so that the model has
    seen short texts end.
    """

    unit = "masked token"

    def __init__(self, recipe: Recipe, tokenizer: Any) -> None:
        self.recipe, self.tokenizer = recipe, tokenizer
        self.window = recipe.length - 2
        self.specials = torch.tensor(sorted(tokenizer.all_special_ids))

    @staticmethod
    def train_tokenizer(text: str, vocab_size: int) -> Any:
        """Learn a tokenizer of `vocab_size` pieces from the text."""
        return train_word_pieces(text.splitlines(), vocab_size)

    def encode(self, text: str) -> torch.Tensor:
        """The text as token ids, (n,)."""
        return encode_sentences(self.tokenizer, text)

    def build_model(self) -> nn.Module:
        """The untrained model of the recipe."""
        return build_encoder(self.recipe, self.tokenizer)

    def batch(self, ids: torch.Tensor, noise: torch.Generator) -> Batch:
        """Inputs and labels of one step, made from ids (B, T)."""
        first = ids.new_full((len(ids), 1), self.tokenizer.cls_token_id)
        last = ids.new_full((len(ids), 1), self.tokenizer.sep_token_id)
        rows = torch.cat([first, ids, last], dim=1)  # (B, window) -> (B, length)
        inputs, labels = mask_tokens(
            rows,
            self.tokenizer.mask_token_id,
            self.specials.to(ids.device),
            self.recipe.vocab_size,
            noise,
        )
        return {"input_ids": inputs, "labels": labels}

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The model's logits where the labels are, (B, T, V)."""
        ids = batch["input_ids"]
        return model(input_ids=ids, attention_mask=all_seen(ids)).logits


class SpanCorruption:
    """Hidden spans given the rest of the text (Raffel et al. 2020): the encoder-decoder.

    The tokens are bytes, as in ByT5 (Xue et al. 2022), whose spans are 20 bytes long in the mean.
    """

    unit = "target byte"

    def __init__(self, recipe: Recipe, tokenizer: Any) -> None:
        self.recipe, self.tokenizer = recipe, tokenizer
        self.window = recipe.length
        self.hidden, spans = span_sizes(recipe.length, mean=recipe.span)
        names = [f"<extra_id_{i}>" for i in range(spans)]
        self.sentinels = torch.tensor(tokenizer.convert_tokens_to_ids(names))

    @staticmethod
    def train_tokenizer(text: str, vocab_size: int) -> Any:
        """Learn a tokenizer of `vocab_size` pieces from the text."""
        from transformers import ByT5Tokenizer

        return ByT5Tokenizer()  # bytes need no training

    def encode(self, text: str) -> torch.Tensor:
        """The text as token ids, (n,)."""
        return encode_bytes(text)

    def build_model(self) -> nn.Module:
        """The untrained model of the recipe."""
        return build_encoder_decoder(self.recipe, self.tokenizer)

    def batch(self, ids: torch.Tensor, noise: torch.Generator) -> Batch:
        """Inputs and labels of one step, made from ids (B, T)."""
        sentinels, end = self.sentinels.to(ids.device), self.tokenizer.eos_token_id
        inputs, labels = corrupt_spans(ids, sentinels, end, self.hidden, noise)
        start = labels.new_full((len(labels), 1), self.tokenizer.pad_token_id)
        shifted = torch.cat([start, labels[:, :-1]], dim=1)
        return {"input_ids": inputs, "decoder_input_ids": shifted, "labels": labels}

    def is_mark(self, ids: torch.Tensor) -> torch.Tensor:
        """Which of the ids, (B, T), are sentinels or the end, not bytes of the text."""
        end = self.sentinels.new_tensor([self.tokenizer.eos_token_id])
        return torch.isin(ids, torch.cat([self.sentinels, end]).to(ids.device))

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The model's logits where the labels are, (B, T, V)."""
        ids, target = batch["input_ids"], batch["decoder_input_ids"]
        past = torch.ones(2 * [target.shape[1]], dtype=torch.bool, device=ids.device).tril()
        return model(
            input_ids=ids,
            attention_mask=all_seen(ids),
            decoder_input_ids=target,
            decoder_attention_mask=past[None, None],
            use_cache=False,
        ).logits


OBJECTIVES: dict[str, type[Objective]] = {
    "next_token": NextToken,
    "masked": Masked,
    "span_corruption": SpanCorruption,
}


def all_seen(ids: torch.Tensor) -> torch.Tensor:
    """The mask that hides nothing, (1, 1, 1, T), for rows without padding.

    transformers takes a mask of four dimensions as it is. With None it would go on to make one
    while a graph is captured and none before, and a mask of two it reads back from the GPU.
    """
    return torch.ones(1, 1, 1, ids.shape[1], dtype=torch.bool, device=ids.device)
