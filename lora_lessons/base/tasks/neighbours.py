"""FEATURE_EXTRACTION: texts of like meaning become neighbours.

Many definitions say a thing twice: "not in accordance with nature; contrary to nature". One half
has to find the other among all the others. There is no head: the embedding is the mean of the
last hidden states, and the loss pulls halves of one definition together and all others apart.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..text import Gloss, glosses
from .definitions import definition, split_in_blocks
from .rows import spread

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FEWEST_WORDS = 3  # of a half
TEMPERATURE = 0.05  # of the contrastive loss (Gao et al. 2021, section 3)


class Pair(NamedTuple):
    """Two halves of one definition, and the word that it defines."""

    word: str
    first: str
    second: str


@cache
def pairs() -> tuple[list[Pair], list[Pair]]:
    """(training, validation) pairs in a mixed order, split by blocks of neighbours in WordNet.

    No half of the validation part is in the training part.
    """
    train, valid = map(_halves, split_in_blocks(glosses()))
    known = {half for pair in train for half in pair[1:]}
    return train, [pair for pair in valid if not known & set(pair[1:])]


def _halves(entries: Sequence[Gloss]) -> list[Pair]:
    found = []
    for entry in entries:
        parts = [part.strip() for part in definition(entry).split(";")]
        if len(parts) > 1 and min(len(part.split()) for part in parts[:2]) >= FEWEST_WORDS:
            found.append(Pair(entry.words[0], *parts[:2]))
    random.Random(0).shuffle(found)
    return found


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Pair], length: int
) -> dict[str, Tensor]:
    """Rows: input_ids and attention_mask, (n, 2, length): the two halves of each definition."""
    texts = [half for example in examples for half in (example.first, example.second)]
    encoded = tokenizer(
        texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
    )
    names = ("input_ids", "attention_mask")
    return {name: encoded[name].view(len(examples), 2, length) for name in names}


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over the tokens that are not padding: (n, T, h) and mask (n, T) -> (n, h)."""
    weights = mask.to(hidden.dtype)[..., None]  # (n, T, 1)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def embed(model: nn.Module, input_ids: Tensor, mask: Tensor) -> Tensor:
    """Embeddings of length 1 of texts; input_ids and mask (n, T) -> (n, h)."""
    hidden = model(input_ids=input_ids, attention_mask=spread(mask)).last_hidden_state  # (n, T, h)
    return F.normalize(mean_pool(hidden, mask), dim=-1)


def contrastive_loss(first: Tensor, second: Tensor) -> Tensor:
    """Cross entropy of finding each text's other half among the batch's, both ways.

    first and second (n, h), of length 1; row i belongs to row i. With s = first second^T / 0.05,
    the loss is the mean of -log softmax(s)_ii over rows and over columns.
    """
    with torch.autocast(first.device.type, enabled=False):  # bfloat16 is too coarse for it
        similarity = first @ second.T / TEMPERATURE  # (n, n)
    own = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2


def scores(first: Tensor, second: Tensor) -> dict[str, float]:
    """How well each first half finds its own second half among all n; both (n, h), of length 1.

    recall@1 and recall@10: the share whose own is the nearest, or among the ten nearest.
    MRR: the mean of 1 / rank. An embedding that is not finite finds nothing: all others count as
    nearer.
    """
    similarity = first @ second.T  # (n, n)
    ranks = 1 + (~(similarity <= similarity.diagonal()[:, None])).sum(1)  # (n,)
    return {
        "recall@1": (ranks == 1).double().mean().item(),
        "recall@10": (ranks <= 10).double().mean().item(),
        "MRR": (1 / ranks.double()).mean().item(),
    }
