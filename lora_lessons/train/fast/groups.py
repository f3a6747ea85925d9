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
from typing import Any

import torch
from torch import Tensor, nn

from ...lora.layer import Linear
from .fused import StandIn, can_be_fused, lora_product

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

    The layers are changed by `install` only, and are their own again after `dissolve`.
    """

    def __init__(self, layers: Sequence[Linear], dtype: torch.dtype) -> None:
        self.layers, self.dtype = list(layers), dtype
        self.name = layers[0].active_adapters[0]
        self.dropout = dropout_of(layers[0])
        self.outs = [layer.out_features for layer in layers]
        self.ranks = [layer.r[self.name] for layer in layers]
        self.bias_is_trained = layers[0].bias is not None and layers[0].bias.requires_grad
        self.columns = rounded_up(sum(self.ranks) + self.bias_is_trained)  # R
        self.A: Tensor  # (R, in), and B (O, R): set before each forward
        self.B: Tensor
        self.W: Tensor  # (O, in), from `install` on
        self.b: Tensor | None = None
        self.constant: Tensor | None = None
        self.results = Results()
        self.with_gradient: set[int] = set()  # places that the backward pass has reached
        self.compiled = False  # the group's block is: then all places are
        self._moved: list[Linear] = []  # layers whose W lies in the group's now

    def install(self) -> None:
        """Take the layers' W together and stand in for them."""
        layers = self.layers
        self.W = torch.cat([layer.weight.detach() for layer in layers]).to(self.dtype)
        if all(owns_its_memory(layer.weight, self.dtype) for layer in layers):
            for layer, rows in zip(layers, self.W.split(self.outs), strict=True):
                self._moved.append(layer)
                layer.weight.data = rows  # so that W is in memory once
        if layers[0].bias is not None and not self.bias_is_trained:
            biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
            self.b = torch.cat(biases).to(self.dtype)
        for place, layer in enumerate(layers):
            vars(layer).update(group=self, place=place)
            layer.__class__ = GroupedLinear

    def parameters(self, place: int) -> list[nn.Parameter]:
        """What is trained of the layer at `place`."""
        layer = self.layers[place]
        adapter = layer.adapter(self.name)
        return [adapter.A.weight, adapter.B.weight, *([layer.bias] * self.bias_is_trained)]

    def output(self, place: int, x: Tensor) -> Tensor:
        """h of the layer at `place`, for x (..., in): (..., out)."""
        training = self.layers[place].training
        found = self.results.take(place, x, training)
        if found is None:
            pieces = self._product(x, self.dropout if training else 0.0)
            found = self.results.keep(pieces, place, x, training)
        return found

    def _product(self, x: Tensor, p: float) -> tuple[Tensor, ...]:
        x = x.to(self.W.dtype)
        h = lora_product(x, self.W, self.b, self.A, self.B, 1.0, p, self.constant)  # (..., O)
        if torch.compiler.is_compiling():  # a compiled block calls all of its layers
            self.compiled = True
            return h.split(self.outs, dim=-1)
        return Pieces.apply(h, self)

    def forget(self) -> None:
        """Results of an earlier forward are nobody's: before each forward, and after each step."""
        self.results.clear()

    def dissolve(self) -> None:
        """Each layer is a `Linear` with its own W again, however far `install` came."""
        self.forget()
        plain: Any = Linear
        for layer in self.layers:
            if type(layer) is GroupedLinear:
                layer.__class__ = plain
            vars(layer).pop("group", None)
            vars(layer).pop("place", None)
        while self._moved:
            weight = self._moved.pop().weight
            weight.data = weight.data.clone()


class Results:
    """What a group computed for layers that have not asked yet.

    A result is handed out once, and only to a call like the one that computed it: the same x, not
    written to since, with or without gradients, in the same mode, inside the same checkpoint. Any
    other call computes anew, so layers may be called in any order, some of them, or twice.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Nothing is kept."""
        self._x: Tensor | None = None
        self._made: tuple[Any, ...] = ()
        self._pieces: tuple[Tensor, ...] = ()
        self._waiting: tuple[int, ...] = ()  # places whose result nobody has taken

    def take(self, place: int, x: Tensor, training: bool) -> Tensor | None:
        """The result for the layer at `place`, if it is there."""
        if x is not self._x or place not in self._waiting or self._made != setting(x, training):
            return None
        result = self._pieces[place]
        self._waiting = tuple(one for one in self._waiting if one != place)
        if not self._waiting:
            self.clear()
        return result

    def keep(self, pieces: tuple[Tensor, ...], place: int, x: Tensor, training: bool) -> Tensor:
        """Keep all results but that for `place`, which is returned."""
        self.clear()
        if len(pieces) > 1:
            self._x, self._made, self._pieces = x, setting(x, training), pieces
            self._waiting = tuple(one for one in range(len(pieces)) if one != place)
        return pieces[place]


def setting(x: Tensor, training: bool) -> tuple[Any, ...]:
    """What else than x a result depends on. `x._version` counts the writes to x."""
    gradients = torch.is_grad_enabled()
    if torch.compiler.is_compiling():  # a block's own calls, which the compiler follows
        return training, gradients
    version = None if x.is_inference() else x._version
    # a checkpoint computes its inside again, and must find it as it was in the first pass
    checkpoint = torch._C._autograd._top_saved_tensors_default_hooks(False)
    inference = torch.is_inference_mode_enabled()
    return training, gradients, inference, version, x.requires_grad, checkpoint


class Pieces(torch.autograd.Function):
    """h (..., O) as one tensor for each layer. They may be written to, unlike `split`'s views."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, group: Group) -> tuple[Tensor, ...]:
        """h (N, O) as one result for each layer."""
        ctx.group, ctx.rows = group, h.shape[:-1]
        ctx.set_materialize_grads(False)
        return tuple(piece.data for piece in h.split(group.outs, dim=-1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, None]:
        """The results' gradients side by side, (N, O)."""
        some = next(g for g in gradients if g is not None)
        whole = []
        for place, (out, g) in enumerate(zip(ctx.group.outs, gradients, strict=True)):
            if g is not None:
                ctx.group.with_gradient.add(place)
            whole.append(some.new_zeros(*ctx.rows, out) if g is None else g)
        return torch.cat(whole, dim=-1), None


class GroupedLinear(StandIn):
    """`Linear` while it is trained in a group: the same function."""

    group: Group
    place: int
    of_fit = ("group", "place")

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """The group's result for this layer, or the plain layer's."""
        plain = self.disable_adapters or self.merged or args or kwargs
        if plain or self.active_adapters != [self.group.name] or not self.takes(x):
            return super().forward(x, *args, **kwargs)
        return self.group.output(self.place, x)

    def takes(self, x: Tensor) -> bool:
        """Whether the layer's products are of the group's dtype here, be it by autocast."""
        dtype = self.group.dtype
        if torch.is_autocast_enabled(x.device.type):
            return torch.get_autocast_dtype(x.device.type) == dtype
        return x.dtype == dtype


def owns_its_memory(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether a weight is of this dtype, and all of its storage: no view that others share."""
    return weight.dtype == dtype and weight.untyped_storage().nbytes() == weight.nbytes


def dropout_of(layer: Linear) -> float:
    """The dropout of a layer's adapter in use: 0 for nn.Identity."""
    dropout = layer.adapter(layer.active_adapters[0]).dropout
    return dropout.p if isinstance(dropout, nn.Dropout) else 0.0


def rounded_up(count: int) -> int:
    """The next multiple of eight, which matrix units want."""
    return -(-count // MULTIPLE) * MULTIPLE


def groups_of(model: nn.Module) -> list[list[Linear]]:
    """The model's LoRA layers that can be fused, those that read the same x together.

    A group's backward pass joins its layers' gradients in one tensor. Where they are wide against
    x, that takes longer than reading x twice: on a Llama of 1 B, whose gate and up are four times
    as wide, by 2 % of a step (H200).
    """
    taken: set[int] = set()  # a layer may stand under several names and in several parents
    together = []
    for parent in model.modules():
        for names in SIBLINGS:
            # the parent's own children: a wrapper's getattr would find those of the model inside
            children = dict.fromkeys(parent._modules.get(name) for name in names)
            layers = [m for m in children if can_be_fused(m) and id(m) not in taken]
            if len(layers) > 1 and _fit_together(layers):
                together.append(layers)
                taken.update(map(id, layers))
    alone = [m for m in model.modules() if can_be_fused(m) and id(m) not in taken]
    return together + [[layer] for layer in alone]


def _fit_together(layers: list[Linear]) -> bool:
    """Whether layers can be one product, and it pays."""
    widest = max(layer.out_features for layer in layers)
    return len(set(map(_kind, layers))) == 1 and widest <= WIDEST * layers[0].in_features


def _kind(layer: Linear) -> tuple[Any, ...]:
    """What layers of one group must have in common."""
    name = layer.active_adapters[0]
    bias = None if layer.bias is None else layer.bias.requires_grad
    weight = layer.weight
    return name, layer.in_features, weight.dtype, weight.device, dropout_of(layer), bias
