"""All adapters of a model in two tensors: float32 for the optimizer, bf16 for the products.

A model of 30 layers has 420 small tensors A and B, and whatever is done to each of them (round,
clip, update) costs a kernel or a place in one. Here they lie one behind the other in `flat`
(P,), so each of these is one kernel for all. `packed` holds them once more, in bf16 and as the
products read them: the A's of a group of layers one below the other, its B's as blocks on a
diagonal, B times its scaling, and ranks filled up to a multiple of eight, which matrix units want.
One gather leads from `flat` to `packed`, another from `packed`'s gradient back to `flat`'s.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...lora.layer import Linear
from .groups import Group, GroupedLinear


class PackedAdapters:
    """Trainable parameters of grouped LoRA layers, which become views of `flat` until `restore`."""

    def __init__(self, parameters: list[nn.Parameter], groups: list[list[Linear]]) -> None:
        self.own = parameters
        self.flat = nn.Parameter(torch.cat([p.detach().flatten().float() for p in parameters]))
        self.masters = [self.flat]  # (P,)
        self.needs_autocast = groups[0][0].weight.dtype != torch.bfloat16
        self.groups = [Group(layers, torch.bfloat16) for layers in groups]
        pieces = self.flat.detach().split([p.numel() for p in parameters])
        self.weights = [piece.view_as(p) for p, piece in zip(parameters, pieces, strict=True)]
        pairs = list(zip(parameters, self.weights, strict=True))
        self.rounded = [pair for pair in pairs if pair[0].dtype != torch.float32]  # biases
        for parameter, weight in pairs:
            if parameter.dtype == torch.float32:
                parameter.data = weight
        self.shapes = [shape for group in self.groups for shape in packed_shapes(group)]
        self.index, self.scaling = self._places()  # (P,) and (P,)
        size = sum(shape.numel() for shape in self.shapes)
        self.packed = torch.zeros(size, dtype=torch.bfloat16, device=self.flat.device)
        self.leaf: Tensor | None = None
        self._install()
        self.update_copies()
        self.held = [self.flat, self.packed, self.index, self.scaling, *self.own]
        copies = [t for group in self.groups for t in (group.W, group.b, group.constant)]
        self.frozen_copies = [t for t in copies if t is not None]

    def _places(self) -> tuple[Tensor, Tensor]:
        """For each number of `flat`: its place in `packed`, and what it is multiplied by there."""
        index, scaling = {}, {}
        start = 0
        for group in self.groups:
            for shape, pieces in zip(packed_shapes(group), pieces_of(group), strict=True):
                places = start + torch.arange(shape.numel()).view(shape)
                start += shape.numel()
                for parameter, where, factor in pieces:
                    index[parameter] = places[where].flatten()
                    scaling[parameter] = torch.full((parameter.numel(),), factor)
        device = self.flat.device
        return tuple(
            torch.cat([table[p] for p in self.own]).to(device) for table in (index, scaling)
        )

    def _install(self) -> None:
        for group in self.groups:
            if group.bias_is_trained:
                group.constant = self.packed.new_zeros(group.columns)  # (R,)
                group.constant[sum(group.ranks)] = 1
            for place, layer in enumerate(group.layers):
                layer.__class__ = GroupedLinear
                layer.group, layer.place = group, place

    def begin(self) -> None:
        """Give every group its A and B, views of a new leaf: before each forward.

        An old leaf would keep the graph of the step before, and the stream it was made on.
        """
        self.leaf = self.packed.detach().requires_grad_()
        pieces = iter(self.leaf.split([shape.numel() for shape in self.shapes]))
        for group in self.groups:
            group.A, group.B = (next(pieces).view(shape) for shape in packed_shapes(group))

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradient to `flat`'s, in float32."""
        (gradient,) = torch.autograd.grad(loss, self.leaf)
        gradient = gradient.index_select(0, self.index) * self.scaling  # (P,)
        self.flat.grad = gradient if self.flat.grad is None else self.flat.grad.add_(gradient)

    @torch.no_grad()
    def update_copies(self) -> None:
        """Round the float32 weights to `packed`, after each update."""
        self.packed.index_copy_(0, self.index, (self.flat * self.scaling).to(self.packed.dtype))
        self.begin()
        if self.rounded:
            torch._foreach_copy_(*map(list, zip(*self.rounded, strict=True)))

    def restore(self) -> None:
        """The model's parameters and layers are their own again."""
        for parameter in self.own:
            parameter.data = parameter.data.clone()
        for group in self.groups:
            group.dissolve()
            for layer in group.layers:
                layer.__class__ = Linear
                del layer.group, layer.place
            vars(group).clear()  # an error's traceback may hold it, and so its tensors, for long
        vars(self).clear()


def packed_shapes(group: Group) -> tuple[torch.Size, torch.Size]:
    """Shapes of A (R, in) and B (O, R); R is a multiple of eight."""
    in_, out = group.layers[0].in_features, sum(group.outs)
    return torch.Size((group.columns, in_)), torch.Size((out, group.columns))


def pieces_of(group: Group) -> tuple[list[tuple], list[tuple]]:
    """For A and for B of a group: (parameter, where it lies there, factor) of each layer."""
    A, B = [], []
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
