"""From text to token ids: a byte-level BPE, windows for training, blocks for evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from .seeding import generator

if TYPE_CHECKING:
    from transformers import Qwen2Tokenizer

END = "<|endoftext|>"
PAD = "<|pad|>"  # a token of its own: padding with END would hide real ends from the loss


def train_tokenizer(lines: Iterable[str], vocab_size: int) -> Qwen2Tokenizer:
    """Learn a byte-level BPE (Sennrich et al. 2016; bytes as in GPT-2) of `vocab_size` tokens.

    It starts from the 256 bytes, so that any text can be encoded, and joins the most frequent
    pair again and again. Ids 0 and 1 are END and PAD. Text is split as Qwen2 does it (words,
    single digits, line ends), so every version of transformers reads the files alike.
    """
    from transformers import Qwen2Tokenizer

    if vocab_size < 258:
        raise ValueError(f"vocab_size must be at least 258 (256 bytes + 2), not {vocab_size}")
    empty = Qwen2Tokenizer(eos_token=END, pad_token=PAD, unk_token=None)
    return empty.train_new_from_iterator(iter(lines), vocab_size, show_progress=False)


def encode(tokenizer: Any, text: str) -> torch.Tensor:
    """Token ids of a text, (n,), with no special token added at either end."""
    # verbose=False: a text longer than the model's window is what blocks and windows are for
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return torch.tensor(ids, dtype=torch.long)


def encode_lines(tokenizer: Any, text: str) -> torch.Tensor:
    """The same ids as `encode`, (n,), ten times as fast on a large text: line by line, in parallel.

    Exact for a byte-level BPE, whose pieces never span a line end that stands between two
    characters that are no white space; only there is the text cut.
    """
    lines = re.split(r"(?<=\S\n)(?=\S)", text)
    ids = tokenizer(lines, add_special_tokens=False, verbose=False)["input_ids"]
    return torch.tensor(list(chain.from_iterable(ids)), dtype=torch.long)


def blocks(ids: torch.Tensor, length: int) -> torch.Tensor:
    """Cut (n,) ids into consecutive (n // length, length) blocks; a shorter rest is left out."""
    _require_window(ids, length)
    count = len(ids) // length
    return ids[: count * length].view(count, length)


class TokenBatches:
    """Endless random windows of a token sequence.

    Iterating gives dicts of `input_ids` and `labels`, both (batch_size, length) and equal: the
    model's loss shifts the labels by one itself. Windows start anywhere, also across documents.
    The stream depends on the seed alone, not on the device; `state_dict` and `load_state_dict`
    stop and resume it.
    """

    def __init__(
        self,
        ids: torch.Tensor,
        batch_size: int,
        length: int,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        _require_window(ids, length)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.batch_size, self.length = batch_size, length
        self.ids = ids.to(device)
        self._generator = generator(seed)  # on the CPU: the same windows on every device
        self._offsets = torch.arange(length, device=device)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return self

    def __next__(self) -> dict[str, torch.Tensor]:
        last = len(self.ids) - self.length
        starts = torch.randint(0, last + 1, (self.batch_size,), generator=self._generator)
        windows = starts.to(self.ids.device).unsqueeze(1) + self._offsets  # (B, 1) + (T,) -> (B, T)
        input_ids = self.ids[windows]
        return {"input_ids": input_ids, "labels": input_ids.clone()}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Where the stream stands."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from where `state_dict` was taken."""
        self._generator.set_state(state["generator"].cpu())


def _require_window(ids: torch.Tensor, length: int) -> None:
    if ids.dim() != 1:
        raise ValueError(f"ids must have one dimension, not the shape {tuple(ids.shape)}")
    if not 2 <= length <= len(ids):
        raise ValueError(
            f"length must be from 2 (a token and the next) to {len(ids)}, the number of ids;"
            f" it is {length}"
        )
