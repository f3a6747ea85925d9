"""Tiny models of transformers and rows of data for the tests with its Trainer."""

from __future__ import annotations

from typing import Any

import torch
import transformers

VOCABULARY, LENGTH = 40, 6


def bert(labels: int = 2) -> Any:
    """A classifier of sequences."""
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            num_labels=labels,
            attn_implementation="eager",
        )
    )


def llama(tied: bool = False) -> Any:
    """A language model; tied: the head's weight is the embedding's."""
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            tie_word_embeddings=tied,
        )
    )


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows of ids with labels, and a column that no model takes."""

    def __init__(self, classes: int = 0, rows: int = 8) -> None:
        drawn = torch.Generator().manual_seed(1)
        self.ids = torch.randint(1, VOCABULARY, (rows, LENGTH), generator=drawn)
        self.classes = classes

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict[str, Any]:
        labels = int(self.ids[i, 0]) % self.classes if self.classes else self.ids[i]
        return {
            "input_ids": self.ids[i],
            "attention_mask": torch.ones(LENGTH, dtype=torch.long),
            "labels": labels,
            "text": "not for the model",
        }
