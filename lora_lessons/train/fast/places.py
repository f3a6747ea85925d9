"""Where each number of the adapters lies among the packed ones: in a group's A or B.

A decoder is the same block many times over, and so are the places. They are kept for one block: for
all of a model of 8 B they would be as large as the adapters' weights and gradients together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...lora.layer import Linear
from .groups import Group

Piece = tuple[Any, Any, float]  # (parameter, where it lies in a group's matrix, factor)


class Place(NamedTuple):
    """Where one parameter lies: in the rows and columns `where` of a matrix, times `factor`."""

    start: int  # of the matrix among the packed numbers
    shape: torch.Size  # of the matrix
    where: Any
    factor: float

    def indices(self) -> Tensor:
        """The place of each of the parameter's numbers."""
        matrix = self.start + torch.arange(self.shape.numel()).view(self.shape)
        return matrix[self.where].flatten()


def places(
    groups: Sequence[Group], own: Sequence[nn.Parameter], size: int
) -> tuple[int, Tensor, Tensor]:
    """(n, index (P / n,), scaling (P / n,)) for the P numbers of the parameters `own`, in order.

    Of n blocks that are alike the first's: number i of block k lies at k · size / n + index[i] of
    the `size` packed ones, times scaling[i].
    """
    table: dict[nn.Parameter, Place] = {}
    start = 0
    for group in groups:
        for shape, pieces in zip(packed_shapes(group), pieces_of(group), strict=True):
            table |= {p: Place(start, shape, where, factor) for p, where, factor in pieces}
            start += shape.numel()
    every = [table[parameter] for parameter in own]
    n = repeats(every, size)
    block, device = list(zip(own, every, strict=True))[: len(every) // n], own[0].device
    index = torch.cat([place.indices() for _, place in block])
    scaling = torch.cat([torch.full((p.numel(),), place.factor) for p, place in block])
    return n, index.to(device), scaling.to(device)


def repeats(every: Sequence[Place], size: int) -> int:
    """How many times the places among `size` are the same, one block after the other."""
    for n in range(len(every), 1, -1):
        if len(every) % n or size % n:
            continue
        block = len(every) // n
        alike = (
            place
            == every[i % block]._replace(start=every[i % block].start + i // block * size // n)
            for i, place in enumerate(every)
        )
        if all(alike):
            return n
    return 1


def first_factor(layers: Sequence[Linear]) -> nn.Parameter:
    """A of the first of a group's layers."""
    return layers[0].adapter(layers[0].active_adapters[0]).A.weight


def packed_shapes(group: Group) -> tuple[torch.Size, torch.Size]:
    """Shapes of A (R, in) and B (O, R); R is a multiple of eight."""
    in_, out = group.layers[0].in_features, sum(group.outs)
    return torch.Size((group.columns, in_)), torch.Size((out, group.columns))


def pieces_of(group: Group) -> tuple[list[Piece], list[Piece]]:
    """For A and for B of a group: (parameter, where it lies there, factor) of each layer."""
    A: list[Piece] = []
    B: list[Piece] = []
    row, column, last = 0, 0, sum(group.ranks)
    for layer, out, r in zip(group.layers, group.outs, group.ranks, strict=True):
        adapter = layer.adapter(group.name)
        rows, columns = slice(row, row + out), slice(column, column + r)
        A.append((adapter.A.weight, columns, 1.0))
        B.append((adapter.B.weight, (rows, columns), float(adapter.scaling)))
        if group.bias_is_trained:
            B.append((layer.bias, (rows, last), 1.0))
        row, column = row + out, column + r
    return A, B
