"""Text with holes: masked tokens for the encoder, masked spans for the encoder-decoder.

Both keep the shapes the same from batch to batch, which a captured step needs. The random numbers
come from a generator on the CPU, so the holes are the same on every device.
"""

from __future__ import annotations

import torch

IGNORED = -100  # the label that cross-entropy leaves out


def mask_tokens(
    ids: torch.Tensor,
    mask_id: int,
    specials: torch.Tensor,
    vocab_size: int,
    generator: torch.Generator,
    share: float = 0.15,
) -> tuple[torch.Tensor, torch.Tensor]:
    """BERT's inputs and labels, both (B, T) (Devlin et al. 2019, section 3.1).

    Each token is chosen with probability `share`, special tokens never. Of the chosen, 80 % become
    [MASK], 10 % a random token, and 10 % stay as they are, so that the model cannot trust what it
    sees. The labels are the chosen tokens, and IGNORED elsewhere. The special tokens must have the
    first ids; a random token is one of those after them.
    """
    draw = torch.rand(ids.shape, generator=generator).to(ids.device)
    other = torch.randint(len(specials), vocab_size, ids.shape, generator=generator).to(ids.device)
    chosen = (draw < share) & ~torch.isin(ids, specials)
    # below `share` the draw is uniform still: its first 80 % and the next 10 % decide what becomes
    replaced = torch.where(draw < 0.8 * share, mask_id, other)
    inputs = torch.where(chosen & (draw < 0.9 * share), replaced, ids)
    return inputs, torch.where(chosen, ids, IGNORED)


def span_sizes(length: int, share: float = 0.15, mean: float = 20.0) -> tuple[int, int]:
    """How many of `length` tokens are hidden, and in how many spans, at least one of each."""
    hidden = max(1, round(length * share))
    return hidden, max(1, round(hidden / mean))


def corrupt_spans(
    ids: torch.Tensor, sentinels: torch.Tensor, end_id: int, hidden: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """T5's inputs and targets of (B, T) ids (Raffel et al. 2020, section 3.1.4).

    As many spans as there are sentinels, (k,), with `hidden` tokens in all, are cut out at random.
    The inputs are the rest with a sentinel in the place of each span, (B, T - hidden + k + 1); the
    targets are each sentinel followed by its span, (B, hidden + k + 1). Both end with `end_id`.
    Since all of these are fixed, so are the shapes. A window starts with kept text.
    """
    rows, length = ids.shape
    spans = len(sentinels)
    kept_runs = random_lengths(rows, length - hidden, spans, generator).to(ids.device)  # (B, k)
    hidden_runs = random_lengths(rows, hidden, spans, generator).to(ids.device)  # (B, k)
    runs = torch.stack([kept_runs, hidden_runs], dim=2).flatten(1)  # kept, hidden, kept: (B, 2k)
    places = torch.arange(length, device=ids.device)
    run = (places[:, None] >= runs.cumsum(1)[:, None, :]).sum(2)  # (B, T), from 0 to 2k - 1
    is_hidden, span = run % 2 == 1, run // 2
    order = torch.arange(spans, device=ids.device)
    inputs = _weave(
        ids, ~is_hidden, span, sentinels, kept_runs.cumsum(1) + order, length - hidden, end_id
    )
    before = hidden_runs.cumsum(1) - hidden_runs
    return inputs, _weave(ids, is_hidden, span + 1, sentinels, before + order, hidden, end_id)


def random_lengths(rows: int, total: int, parts: int, generator: torch.Generator) -> torch.Tensor:
    """(rows, parts) whole numbers of at least 1 with the sum `total`, all splits equally likely."""
    draw = torch.rand(rows, total - 1, generator=generator)
    cuts = draw.topk(parts - 1).indices.sort().values + 1  # (rows, parts - 1) different cuts
    edges = torch.cat([cuts.new_zeros(rows, 1), cuts, cuts.new_full((rows, 1), total)], dim=1)
    return edges.diff(dim=1)


def _weave(
    ids: torch.Tensor,
    taken: torch.Tensor,
    sentinels_before: torch.Tensor,
    sentinels: torch.Tensor,
    sentinel_places: torch.Tensor,
    count: int,
    end_id: int,
) -> torch.Tensor:
    """The `count` tokens taken of each row, in order, with the sentinels in their places."""
    width = count + len(sentinels) + 1
    out = ids.new_full((len(ids), width + 1), end_id)  # the last column is for what is not taken
    places = torch.where(taken, taken.cumsum(1) - 1 + sentinels_before, width)
    out.scatter_(1, places, ids)
    out.scatter_(1, sentinel_places, sentinels.expand(len(ids), -1))
    return out[:, :width].contiguous()
