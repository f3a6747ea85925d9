"""LoRA layers that read the same x, as one product: q, k and v; gate and up.

Each of them multiplies x by its own W and A. With the W's one below the other, and the A's too, one
product reads x once for all of them; B's blocks stand on a diagonal, so that each layer gets its
own thin product only:

    [h1]   [W1]     [B1   ] [A1]
    [h2] = [W2] x + [   B2] [A2] x

A small model's step is bound by the number of its kernels, a large one's by how often it passes
over memory; this saves both. Microsoft's MergedLinear does the same (Hu et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...lora.layer import Linear
from .fused import can_be_fused, lora_product

# children of one module that read the same x, in the order in which they are asked
SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"), ("query", "key", "value"))

MULTIPLE = 8
WIDEST = 3  # times the input: wider layers stay alone, see `groups_of`


class Group:
    """LoRA layers that read the same x. The first to be asked computes for all.

    `W` (O, in) and `b` (O,) hold the layers' own one below the other, O the sum of their outputs.
    `A` (R, in) and `B` (O, R), with blocks on the diagonal and times its scaling, are set before
    each forward. A bias that is trained is one more column of B, and `constant` (R,) makes x A' 1
    there: so its gradient comes with B's, not by a sum over all rows.
    """

    def __init__(self, layers: Sequence[Linear], dtype: torch.dtype) -> None:
        self.layers = list(layers)
        self.name = layers[0].active_adapters[0]
        self.dropout = getattr(layers[0].adapter(self.name).dropout, "p", 0.0)
        self.outs = [layer.out_features for layer in layers]
        self.ranks = [layer.r[self.name] for layer in layers]
        self.bias_is_trained = layers[0].bias is not None and layers[0].bias.requires_grad
        self.columns = rounded_up(sum(self.ranks) + self.bias_is_trained)  # R
        self.A: Tensor | None = None
        self.B: Tensor | None = None
        self.constant: Tensor | None = None
        self.in_place = layers[0].weight.dtype == dtype
        self.W = self._stacked(dtype)
        biases = [] if layers[0].bias is None or self.bias_is_trained else [m.bias for m in layers]
        self.b = torch.cat(biases).detach().to(dtype) if biases else None
        self._x: Tensor | None = None
        self._results: Sequence[Tensor] = ()

    @torch.no_grad()
    def _stacked(self, dtype: torch.dtype) -> Tensor:
        """W one below the other; where no dtype changes, in W's place."""
        W = torch.cat([layer.weight.detach() for layer in self.layers]).to(dtype)
        if self.in_place:
            for layer, rows in zip(self.layers, W.split(self.outs), strict=True):
                layer.weight.data = rows  # so that W is in memory once
        return W

    def output(self, place: int, x: Tensor) -> Tensor:
        """h of the layer at `place`, for x (..., in): (..., out)."""
        if x is not self._x:
            self._x, self._results = x, self._product(x)
        result = self._results[place]
        if place == len(self.layers) - 1:
            self._x, self._results = None, ()
        return result

    def _product(self, x: Tensor) -> Sequence[Tensor]:
        p = self.dropout if self.layers[0].training else 0.0
        x = x.to(self.W.dtype)
        h = lora_product(x, self.W, self.b, self.A, self.B, 1.0, p, self.constant)  # (..., O)
        return h.split(self.outs, dim=-1)

    def takes(self, x: Tensor) -> bool:
        """Whether the layers' products are of W's dtype here, be it by autocast."""
        return x.dtype == self.W.dtype or torch.is_autocast_enabled(x.device.type)

    def dissolve(self) -> None:
        """Each layer has its own W again."""
        self._x, self._results = None, ()
        if self.in_place:
            for layer in self.layers:
                layer.weight.data = layer.weight.data.clone()


class GroupedLinear(Linear):
    """`Linear` while it is trained in a group: the same function."""

    group: Group
    place: int

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        plain = self.disable_adapters or self.merged or args or kwargs
        if plain or self.active_adapters != [self.group.name] or not self.group.takes(x):
            return super().forward(x, *args, **kwargs)
        return self.group.output(self.place, x)


def rounded_up(count: int) -> int:
    """The next multiple of eight, which matrix units want."""
    return -(-count // MULTIPLE) * MULTIPLE


def groups_of(model: nn.Module) -> list[list[Linear]]:
    """The model's LoRA layers that can be fused, those that read the same x together.

    A group's backward pass joins its layers' gradients in one tensor. Where they are wide against
    x, that takes longer than reading x twice: on a Llama of 1 B, whose gate and up are four times
    as wide, by 2 % of a step (H200).
    """
    together = [
        layers
        for parent in model.modules()
        for names in SIBLINGS
        if len(layers := [m for n in names if can_be_fused(m := getattr(parent, n, None))]) > 1
        and len(set(map(_kind, layers))) == 1
        and max(m.out_features for m in layers) <= WIDEST * layers[0].in_features
    ]
    taken = {id(layer) for layers in together for layer in layers}
    alone = [m for m in model.modules() if can_be_fused(m) and id(m) not in taken]
    return together + [[layer] for layer in alone]


def _kind(layer: Linear) -> tuple:
    """What layers of one group must have in common."""
    name = layer.active_adapters[0]
    bias = None if layer.bias is None else layer.bias.requires_grad
    dropout = getattr(layer.adapter(name).dropout, "p", 0.0)
    return name, layer.in_features, layer.weight.dtype, dropout, bias
