"""Examples as rows of tensors, and endless batches of rows drawn at random."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ...seeding import generator, require_seed

Rows = Mapping[str, Tensor]
"""Name -> tensor whose first dimension is the example: input_ids (n, T), labels (n,), ..."""


class RowBatches:
    """Endless batches of rows: every row once in a random order, then in another order.

    A batch is a dict of the same names with `batch_size` rows each. The order depends on `seed`
    alone.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int = 0) -> None:
        require_seed(seed)
        self.rows = dict(rows)
        self.count = count(rows)
        if not 1 <= batch_size <= self.count:
            raise ValueError(
                f"batch_size must be from 1 to the {self.count} rows; it is {batch_size}"
            )
        self.batch_size, self.seed = batch_size, seed

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        gen, waiting = generator(self.seed), torch.empty(0, dtype=torch.long)
        while True:
            while len(waiting) < self.batch_size:
                waiting = torch.cat([waiting, torch.randperm(self.count, generator=gen)])
            chosen, waiting = waiting[: self.batch_size], waiting[self.batch_size :]
            yield {name: values[chosen] for name, values in self.rows.items()}


def count(rows: Rows) -> int:
    """The number of examples. Raises ValueError where the tensors differ in it."""
    sizes = {name: len(values) for name, values in rows.items()}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"every tensor must have one row for each example; got {sizes}")
    return next(iter(sizes.values()))


def first(rows: Rows, n: int) -> dict[str, Tensor]:
    """The first n examples, or all of fewer."""
    return {name: values[:n] for name, values in rows.items()}


def spread(mask: Tensor) -> Tensor:
    """A padding mask (n, T) of ones and zeros as the attention takes it: (n, 1, T, T), bool.

    transformers asks of a flat mask whether it is all ones, for which the host waits for the GPU,
    and such a step cannot be captured. A mask of four dimensions is taken as it is.
    """
    return mask.bool()[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
