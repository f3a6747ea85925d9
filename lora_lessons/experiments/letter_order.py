"""Does an encoder-decoder know the order of the letters it reads? Change the input, and look."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..base.tasks.spelling import Entry
from ..train.modes import evaluation_mode
from ..train.optim import device_of


def letter_states(
    model: nn.Module, tokenizer: Any, words: Sequence[str], part: str = "encoder"
) -> Tensor:
    """The last states (n, letters, d) of words of one length; the end token's is left off.

    With part "decoder" the decoder reads the letters, and the encoder the end token alone.
    """
    if len({len(word) for word in words}) != 1:
        raise ValueError("the words must have one length: a shorter one would be padded")
    ids = tokenizer(list(words), return_tensors="pt")["input_ids"].to(device_of(model))
    with evaluation_mode(model):
        if part == "encoder":
            return model.encoder(input_ids=ids).last_hidden_state[:, :-1]
        found = model(input_ids=ids[:, -1:], decoder_input_ids=ids, output_hidden_states=True)
        return found.decoder_hidden_states[-1][:, :-1]


def order_bias(model: nn.Module, part: str = "encoder") -> nn.Parameter:
    """T5's table (buckets of distance, heads): the one place where order enters its encoder."""
    attention = getattr(model, part).block[0].layer[0].SelfAttention
    return attention.relative_attention_bias.weight


@contextmanager
def without_table(model: nn.Module) -> Iterator[None]:
    """The encoder's table at zero: its attention cannot know which letter comes first."""
    table = order_bias(model)
    kept = table.detach().clone()
    try:
        nn.init.zeros_(table)
        yield
    finally:
        with torch.no_grad():
            table.copy_(kept)


def relative_change(before: Tensor, after: Tensor) -> float:
    """|after - before| / |before|, over all numbers of both; 0 is no change."""
    return ((after - before).norm() / before.norm()).item()


def order_change(
    model: nn.Module,
    tokenizer: Any,
    words: Sequence[str],
    order: Sequence[int],
    part: str = "encoder",
) -> float:
    """How far the letters' states move when the letters come in another order.

    Each letter is compared with itself, at its new place: 0 if the order is not known.
    """
    states = letter_states(model, tokenizer, words, part)[:, list(order)]
    moved = ["".join(word[i] for i in order) for word in words]
    return relative_change(states, letter_states(model, tokenizer, moved, part))


def order_table(model: nn.Module, tokenizer: Any, words: Sequence[str]) -> dict[str, float]:
    """Relative changes of the states of words of one length, by what was done to the words.

    The first row is the scale: the states of the other letters when the last is replaced.
    """
    turned = range(len(words[0]))[::-1]
    other = [word[:-1] + ("a" if word[-1] == "e" else "e") for word in words]
    states, replaced = (letter_states(model, tokenizer, some)[:, :-1] for some in (words, other))
    found = {
        "last letter replaced, the others' states": relative_change(states, replaced),
        "turned round": order_change(model, tokenizer, words, turned),
    }
    with without_table(model):
        for part, name in (("encoder", ""), ("decoder", ", read by the decoder")):
            moved = order_change(model, tokenizer, words, turned, part)
            found[f"turned round, the table at zero{name}"] = moved
    return found


def in_random_order(entries: Sequence[Entry], seed: int = 0) -> list[str]:
    """Each word's right sounds, shuffled: what one would say who knows all but their order."""
    draw, said = random.Random(seed), []
    for entry in entries:
        sounds = entry.sounds[0].split()
        draw.shuffle(sounds)
        said.append(" ".join(sounds))
    return said
