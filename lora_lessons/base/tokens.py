"""From text to token ids (BPE, word pieces, bytes); windows for training, blocks for evaluation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from ..seeding import generator

if TYPE_CHECKING:
    from transformers import BertTokenizer, Qwen2Tokenizer

END = "<|endoftext|>"
WORD_START = "\u2581"  # the mark of a word's first piece while word pieces are learned
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


def train_word_pieces(lines: Iterable[str], vocab_size: int) -> BertTokenizer:
    """Learn BERT's uncased word pieces (Devlin et al. 2019, section 3), `vocab_size` of them.

    Ids 0 to 4 are [PAD], [UNK], [CLS], [SEP] and [MASK]. Text is lower-cased and loses its accents.
    Each character costs two pieces, one that begins a word and one ("##a") that does not, so only
    the most frequent are kept, at most an eighth of `vocab_size`; a word with another is [UNK].

    The pieces are those of a BPE over words marked at their start: the trainer of word pieces in
    the library breaks ties at random, and so does its choice of characters; here both are settled.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import BertTokenizer

    if vocab_size < 256:
        raise ValueError(f"vocab_size must be at least 256, not {vocab_size}")
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    normalize = BertTokenizer().backend_tokenizer.normalizer.normalize_str
    lines = [normalize(line) for line in lines]
    counts = Counter(chain.from_iterable(lines))
    letters = sorted(c for c, _ in counts.most_common(vocab_size // 8) if not c.isspace())
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace(WORD_START)]
    )
    alphabet = [WORD_START, *letters]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    learner.train_from_iterator(lines, trainer)
    learned = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    merged = [token for token, _ in learned if len(token) > 1]
    joined = [t[1:] if t[0] == WORD_START else f"##{t}" for t in merged]
    pieces = dict.fromkeys([*specials, *letters, *(f"##{c}" for c in letters), *joined])
    return BertTokenizer({piece: i for i, piece in enumerate(list(pieces)[:vocab_size])})


def encode(tokenizer: Any, text: str) -> torch.Tensor:
    """Token ids of a text, (n,), with no special token added at either end."""
    if not isinstance(text, str):
        parts = "; a corpus has its texts in .train and .valid" if hasattr(text, "train") else ""
        raise TypeError(f"a text is a string, and this is a {type(text).__name__}{parts}")
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


def encode_sentences(tokenizer: Any, text: str) -> torch.Tensor:
    """Ids, (n,), of a text whose lines each end with the tokenizer's separator token."""
    lines = text.splitlines()
    ids = tokenizer(lines, add_special_tokens=False, verbose=False)["input_ids"]
    end = tokenizer.sep_token_id
    return torch.tensor([i for line in ids for i in (*line, end)], dtype=torch.long)


def encode_bytes(text: str) -> torch.Tensor:
    """ByT5's ids, (n,), of a text without special tokens: each byte of its UTF-8, plus 3.

    The same as `encode` with ByT5Tokenizer, which takes a minute for ten million characters.
    """
    data = torch.frombuffer(bytearray(text.encode("utf-8")), dtype=torch.uint8)
    return data.long() + 3  # ids 0 to 2 are the special tokens


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
    if not isinstance(ids, torch.Tensor) or ids.is_floating_point():
        kind = ids.dtype if isinstance(ids, torch.Tensor) else type(ids).__name__
        raise TypeError(f"ids must be a tensor of whole numbers, as `encode` gives it, not {kind}")
    if ids.dim() != 1:
        raise ValueError(f"ids must have one dimension, not the shape {tuple(ids.shape)}")
    if not 2 <= length <= len(ids):
        raise ValueError(
            f"length must be from 2 (a token and the next) to {len(ids)}, the number of ids;"
            f" it is {length}"
        )
