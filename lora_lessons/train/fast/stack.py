"""Many adapters on one frozen base: their parameters in one tensor, their products in one bmm.

K adapters of different ranks become K rows of one tensor `flat` (K, P). In each row lie, layer by
layer, A (r, in) and B (out, r), where r is the largest rank that any adapter has in that layer.
A smaller adapter fills the first rows of A and the first columns of B, and the rest is zero. So is
all of it where an adapter does not target the layer.

The zeros stay zero without any mask. The gradient of A is (dL/dW)' B and so on: what belongs to a
zero column of B and a zero row of A has a gradient of exactly zero in both, and AdamW then moves
neither. Norms and clipping do not see them. This is why padding costs time but changes no result.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import torch
from torch import nn


@dataclasses.dataclass(frozen=True)
class LayerAdapter:
    """One adapter in one layer, as initialised: A (r, in), B (out, r)."""

    A: torch.Tensor
    B: torch.Tensor
    scaling: float
    dropout: float


class StackedLinear(nn.Module):
    """A frozen linear layer and K adapters; rows of the batch belong to the adapters in turn.

    x is (K * batch, T, in): the first `batch` rows are adapter 0's, and so on. Returns
    (K * batch, T, out). `A` (K, r, in) and `B` (K, out, r) are set before each forward.
    """

    def __init__(self, base: nn.Linear, scaling: torch.Tensor, dropout: torch.Tensor) -> None:
        super().__init__()
        self.base = base
        self.scaling = scaling  # (K, 1, 1)
        self.dropout = dropout if bool((dropout > 0).any()) else None  # (K, 1, 1)
        self.A: torch.Tensor  # (K, r, in)
        self.B: torch.Tensor  # (K, out, r)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """K adapters' layers on K batches: (K * batch, T, in) -> (K * batch, T, out)."""
        rows = x.view(len(self.scaling), -1, x.shape[-1])  # (K, batch * T, in)
        result = self._merged(rows) if self._merging_is_cheaper() else self._factored(rows)
        return result.view(*x.shape[:-1], -1)

    def _factored(self, x: torch.Tensor) -> torch.Tensor:
        """W x + b + s B A dropout(x), two thin products more."""
        result = self.base(x)  # (K, N, out)
        thin = torch.bmm(self._drop(x).to(self.A.dtype), self.A.mT)  # (K, N, r)
        thin = (thin * self.scaling).to(self.A.dtype)
        # a compiler joins a sum to what comes after; baddbmm would copy `result` first
        if result.dtype == self.A.dtype and not torch.compiler.is_compiling():
            return torch.baddbmm(result, thin, self.B.mT)
        return result + torch.bmm(thin, self.B.mT).to(result.dtype)

    def _merged(self, x: torch.Tensor) -> torch.Tensor:
        """(W + s B A) x + b: K full weights, which cost less than thin products of large rank."""
        weight = self.base.weight.expand(len(x), -1, -1)  # (K, out, in)
        weight = torch.baddbmm(weight, self.B * self.scaling, self.A)
        if self.base.bias is None:
            return torch.bmm(x, weight.mT)
        return torch.baddbmm(self.base.bias, x, weight.mT)  # (K, N, out)

    def _merging_is_cheaper(self) -> bool:
        """Whether W + s B A, made once, takes fewer multiplications than the factors.

        Merging adds N in out of them (the gradient of K weights), in the backward pass only; the
        factors add N r (in + out) in the forward pass and twice that in the backward. Dropout rules
        it out (it acts on the adapter's input only), and so does bf16, in which W plus a small
        update is often W again.
        """
        out, in_ = self.base.weight.shape
        exact = self.base.weight.dtype == self.A.dtype and not torch.is_autocast_enabled(
            self.A.device.type
        )
        return exact and self.dropout is None and 3 * self.A.shape[1] * (in_ + out) > in_ * out

    def _drop(self, x: torch.Tensor) -> torch.Tensor:
        """Dropout with a rate of its own for each adapter."""
        if self.dropout is None or not self.training:
            return x
        kept = torch.rand(x.shape, device=x.device) >= self.dropout
        return x * (kept / (1 - self.dropout)).to(x.dtype)


class AdapterStack:
    """The parameters of K adapters (`flat`), and the layers that use them.

    adapters: for each of the K adapters, layer name -> LayerAdapter.
    """

    def __init__(self, base: nn.Module, adapters: list[dict[str, LayerAdapter]]) -> None:
        self.base, self.adapters = base, adapters
        modules = dict(base.named_modules())
        targeted = set().union(*adapters)
        self.names = [name for name in modules if name in targeted]
        self.linears = {name: modules[name] for name in self.names}
        device = self.linears[self.names[0]].weight.device
        self.shapes = self._padded_shapes()
        self.flat = nn.Parameter(self._pack().to(device))  # (K, P)
        self.layers = {name: self._stacked(name, device) for name in self.names}

    def _padded_shapes(self) -> list[tuple[int, int]]:
        """Shapes of A, B of the first layer, A, B of the second, and so on."""
        shapes = []
        for name in self.names:
            out, in_ = self.linears[name].weight.shape
            rank = max(len(one[name].A) for one in self.adapters if name in one)
            shapes += [(rank, in_), (out, rank)]
        return shapes

    def _pack(self) -> torch.Tensor:
        some = next(iter(self.adapters[0].values())).A
        size = sum(rows * columns for rows, columns in self.shapes)
        flat = torch.zeros(len(self.adapters), size, dtype=some.dtype)
        pieces = self._unpack(flat)
        for k, adapter in enumerate(self.adapters):
            for name, layer in adapter.items():
                A, B = pieces[name]
                A[k, : len(layer.A)] = layer.A.cpu()
                B[k, :, : len(layer.A)] = layer.B.cpu()
        return flat

    def _unpack(self, flat: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """(K, P) -> for each layer A (K, r, in) and B (K, out, r), views of `flat`."""
        sizes = [rows * columns for rows, columns in self.shapes]
        pieces = [
            piece.view(-1, *shape)
            for piece, shape in zip(flat.split(sizes, dim=1), self.shapes, strict=True)
        ]
        return dict(zip(self.names, zip(pieces[::2], pieces[1::2], strict=True), strict=True))

    def _stacked(self, name: str, device: torch.device) -> StackedLinear:
        absent = LayerAdapter(torch.empty(0), torch.empty(0), 0.0, 0.0)
        here = [adapter.get(name, absent) for adapter in self.adapters]

        def column(values: list[float]) -> torch.Tensor:
            return torch.tensor(values, dtype=self.flat.dtype, device=device).view(-1, 1, 1)

        scaling = column([layer.scaling for layer in here])
        return StackedLinear(self.linears[name], scaling, column([x.dropout for x in here]))

    def set_factors(self, dtype: torch.dtype) -> torch.Tensor:
        """Give every layer its A and B, views of a copy of `flat`: before each forward.

        Returns the copy (K, P), a new leaf of each step's graph, to differentiate by.
        """
        factors = self.flat.detach().to(dtype, copy=True).requires_grad_()
        for name, (A, B) in self._unpack(factors).items():
            self.layers[name].A, self.layers[name].B = A, B
        return factors

    def tensors(self, k: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Copies of adapter k's A (r, in) and B (out, r) by layer, without the padding."""
        pieces = self._unpack(self.flat.detach())
        ranks = {name: len(layer.A) for name, layer in self.adapters[k].items()}
        return {
            name: (pieces[name][0][k, :rank].clone(), pieces[name][1][k, :, :rank].clone())
            for name, rank in ranks.items()
        }

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """The stacked layers stand in the base's place inside; the base is as before after."""
        frozen = [(p, p.requires_grad) for p in self.base.parameters()]
        try:
            self.base.requires_grad_(False)
            for name, layer in self.layers.items():
                layer.train(self.base.training)
                self.base.set_submodule(name, layer)
            yield
        finally:
            for name, linear in self.linears.items():
                self.base.set_submodule(name, linear)
            for parameter, flag in frozen:
                parameter.requires_grad = flag
