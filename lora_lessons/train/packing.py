"""Short examples packed in full rows, each as if it were alone.

Examples of unequal length are usually padded to the longest, and the padding is computed like the
rest. Packed, several share a row. Three things keep them apart: positions start again at 0 with
each example; attention does not cross from one to another, which transformers' decoders see from
the positions; and no example's first token is predicted, since what stands before it is foreign
(Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from .loss import IGNORED, Batch

Example = tuple[torch.Tensor, torch.Tensor]  # ids (n,) and labels (n,)


def pack(
    examples: Sequence[torch.Tensor | Mapping[str, torch.Tensor]], length: int, batch_size: int
) -> list[Batch]:
    """Batches of `batch_size` rows of `length` tokens for `fit` on a decoder of transformers.

    Args:
        examples: token ids (n,) of each example, or a dict of `input_ids` (n,) and `labels` (n,)
            for one whose prompt is not to be learnt.
        length: tokens of a row, at least the longest example's.
        batch_size: rows of a batch; the last batch is filled with empty rows, so that all are
            alike and a captured step takes them.

    Returns dicts of `input_ids`, `labels` and `position_ids`, each (batch_size, length). The sum
    of losses over all batches is that of the examples one by one. Attention without a plain causal
    mask is slower per token, so packing pays where padding would be a third or more.
    """
    if length < 1 or batch_size < 1:
        raise ValueError(f"length and batch_size must be at least 1, got {length}, {batch_size}")
    rows = [row(group, length) for group in fill(list(map(parts, examples)), length)]
    rows += [row([], length)] * (-len(rows) % batch_size)
    return [
        {name: torch.stack([one[name] for one in rows[i : i + batch_size]]) for name in rows[0]}
        for i in range(0, len(rows), batch_size)
    ]


def parts(example: torch.Tensor | Mapping[str, torch.Tensor]) -> Example:
    """An example's ids (n,) and labels (n,), of which the first is ignored."""
    if isinstance(example, Mapping):
        ids, labels = (example.get(name) for name in ("input_ids", "labels"))
    else:
        ids = labels = example
    if not isinstance(ids, torch.Tensor) or not isinstance(labels, torch.Tensor):
        raise TypeError(
            "an example is a tensor of ids, or a dict with tensors input_ids and labels; got "
            f"{list(example) if isinstance(example, Mapping) else type(example).__name__}"
        )
    if ids.ndim != 1 or ids.shape != labels.shape or not len(ids):
        raise ValueError(
            f"an example is ids (n,) and labels (n,), got {tuple(ids.shape)}, {tuple(labels.shape)}"
        )
    labels = labels.clone()
    labels[0] = IGNORED
    return ids, labels


def fill(examples: list[Example], length: int) -> list[list[Example]]:
    """Rows of examples, long ones first, each in the first row that has room for it."""
    rows: list[list[Example]] = []
    room: list[int] = []
    for example in sorted(examples, key=lambda one: len(one[0]), reverse=True):
        size = len(example[0])
        if size > length:
            raise ValueError(f"an example of {size} tokens does not fit a row of {length}")
        at = next((i for i, free in enumerate(room) if free >= size), len(rows))
        if at == len(rows):
            rows.append([])
            room.append(length)
        rows[at].append(example)
        room[at] -= size
    return rows


def row(examples: list[Example], length: int) -> dict[str, torch.Tensor]:
    """One row: the examples one behind the other, then padding, which is an example of its own."""
    padding = length - sum(len(ids) for ids, _ in examples)
    if padding:
        nothing = torch.zeros(padding, dtype=torch.long)
        examples = [*examples, (nothing, torch.full_like(nothing, IGNORED))]
    return {
        "input_ids": torch.cat([ids for ids, _ in examples]),
        "labels": torch.cat([labels for _, labels in examples]),
        "position_ids": torch.cat([torch.arange(len(ids)) for ids, _ in examples]),
    }
