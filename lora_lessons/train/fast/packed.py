"""All adapters of a model in two tensors: float32 for the optimizer, bf16 for the products.

A model of 30 layers has 420 small tensors A and B, and whatever is done to each of them (round,
clip, update) costs a kernel or a place in one. Here they lie one behind the other in `flat`
(P,), so each of these is one kernel for all. `packed` holds them once more, in bf16 and as the
products read them: the A's of a group of layers one below the other, its B's as blocks on a
diagonal, B times its scaling, and ranks filled up to a multiple of eight, which matrix units want.
One gather leads from `flat` to `packed`, another from `packed`'s gradient back to `flat`'s.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...lora.layer import Linear
from .groups import Group
from .places import first_factor, packed_shapes, places


class PackedAdapters:
    """Trainable parameters of grouped LoRA layers, which become views of `flat` until `restore`."""

    def __init__(
        self,
        parameters: list[nn.Parameter],
        groups: list[list[Linear]],
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        self.own = parameters
        self.flat = nn.Parameter(torch.cat([p.detach().flatten().float() for p in parameters]))
        self.masters = [self.flat]  # (P,)
        self.needs_autocast = groups[0][0].weight.dtype != dtype
        order = {parameter: place for place, parameter in enumerate(parameters)}
        groups = sorted(groups, key=lambda layers: order[first_factor(layers)])
        self.groups = [Group(layers, dtype) for layers in groups]
        self.weights = self._pieces(self.flat.detach())
        self.reached: set[nn.Parameter] = set()  # by this step's gradients
        pairs = list(zip(parameters, self.weights, strict=True))
        self.rounded = [pair for pair in pairs if pair[0].dtype != torch.float32]  # biases
        self.shapes = [shape for group in self.groups for shape in packed_shapes(group)]
        size = sum(shape.numel() for shape in self.shapes)
        # the model's numbers are n times the same pattern: (P / n,) and (P / n,)
        self.repeats, self.index, self.scaling = places(self.groups, parameters, size)
        self.packed = torch.zeros(size, dtype=dtype, device=self.flat.device)
        self.leaf: Tensor  # of this step's graph, from `begin` on
        self.updated = self.masters  # what the optimizer updates: `flat`, or after `split` its rows
        self.held = [self.flat, self.packed, self.index, self.scaling, *self.own]

    def install(self) -> None:
        """Change the model: until here nothing of it has been."""
        for parameter, weight in zip(self.own, self.weights, strict=True):
            if parameter.dtype == torch.float32:
                parameter.data = weight
        for group in self.groups:
            if group.bias_is_trained:
                group.constant = self.packed.new_zeros(group.columns)  # (R,)
                group.constant[sum(group.ranks)] = 1
            group.install()
        self.update_copies()

    @property
    def frozen_copies(self) -> list[Tensor]:
        """What the groups hold of the frozen weights: in their place, or as bf16 copies."""
        copies = [t for group in self.groups for t in (group.W, group.b, group.constant)]
        return [t for t in copies if t is not None]

    def begin(self) -> None:
        """Give every group its A and B, views of a new leaf: before each forward.

        An old leaf would keep the graph of the step before, and the stream it was made on.
        """
        self.leaf = self.packed.detach().requires_grad_()
        for group in self.groups:
            group.forget()
        pieces = iter(self.leaf.split([shape.numel() for shape in self.shapes]))
        for group in self.groups:
            group.A, group.B = (next(pieces).view(shape) for shape in packed_shapes(group))

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradient to `flat`'s, in float32."""
        loss.backward()
        gradient = torch.zeros_like(self.packed) if self.leaf.grad is None else self.leaf.grad
        gradient = gradient.view(self.repeats, -1).index_select(1, self.index) * self.scaling
        gradient = gradient.flatten()  # (P,)
        self._take_own_gradients(gradient)
        self.flat.grad = gradient if self.flat.grad is None else self.flat.grad.add_(gradient)
        for group in self.groups:
            group.forget()

    def _take_own_gradients(self, gradient: Tensor) -> None:
        """Add those of layers that ran as written, such as with a mixed batch: rarely any."""
        for parameter, piece in zip(self.own, self._pieces(gradient), strict=True):
            if parameter.grad is not None:
                piece += parameter.grad
                self.reached.add(parameter)
                parameter.grad = None

    def _pieces(self, numbers: Tensor) -> list[Tensor]:
        """One view of (P,) numbers for each parameter, in its shape."""
        pieces = numbers.split([p.numel() for p in self.own])
        return [piece.view_as(p) for p, piece in zip(self.own, pieces, strict=True)]

    def start(self) -> None:
        """Before the first micro-batch of a step: no parameter has a gradient."""
        self.flat.grad = None
        self.reached.clear()
        for group in self.groups:
            group.with_gradient.clear()

    def hand_out(self, optimizer: torch.optim.Optimizer, all_reached: bool = False) -> None:
        """After the last: AdamW leaves a parameter alone that no gradient reached, and so do we.

        In `flat` it would be decayed, and carried on by its moments. So from the first such step on
        the optimizer has each parameter by itself. As a rule all are reached in every step.
        `all_reached`: all are updated, such as with another process's gradients.
        """
        for group in self.groups:
            places = range(len(group.layers)) if group.compiled else group.with_gradient
            for place in places:
                self.reached.update(group.parameters(place))
        reached = set(self.own) if all_reached else self.reached
        if self.updated is self.masters and len(reached) == len(self.own):
            return
        self.split(optimizer)
        whole: Any = self.flat.grad
        for parameter, row, gradient in zip(
            self.own, self.updated, self._pieces(whole), strict=True
        ):
            row.grad = gradient if parameter in reached else None

    def unreached(self) -> list[nn.Parameter]:
        """The model's parameters that no gradient of the last step reached."""
        return [parameter for parameter in self.own if parameter not in self.reached]

    def rows(self) -> list[nn.Parameter]:
        """Each parameter by itself, in `flat`'s memory: for an optimizer with several rates."""
        self.updated = [nn.Parameter(weight.detach()) for weight in self.weights]
        return self.updated

    def split(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the optimizer update each parameter by itself: rows of `flat`, in its memory."""
        if self.updated is not self.masters:
            return
        optimizer.param_groups[0]["params"] = self.rows()
        state = optimizer.state.pop(self.flat, {})
        for i, row in enumerate(self.updated if state else []):
            optimizer.state[row] = {
                name: value.clone() if value.ndim == 0 else self._pieces(value)[i].clone()
                for name, value in state.items()
            }

    @torch.no_grad()
    def update_copies(self) -> None:
        """Round the float32 weights to `packed`, after each update."""
        numbers = (self.flat.view(self.repeats, -1) * self.scaling).to(self.packed.dtype)
        self.packed.view(self.repeats, -1).index_copy_(1, self.index, numbers)
        self.begin()
        if self.rounded:
            biases, weights = map(list, zip(*self.rounded, strict=True))
            torch._foreach_copy_(biases, weights)

    def restore(self) -> None:
        """The model's parameters and layers are their own again."""
        for parameter in self.own:
            parameter.data = parameter.data.clone()
            parameter.grad = None
        for group in self.groups:
            group.dissolve()
            vars(group).clear()  # an error's traceback may hold it, and so its tensors, for long
        vars(self).clear()
