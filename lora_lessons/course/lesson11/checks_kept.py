"""The check of exercise 11.3: what autograd keeps of a layer for the backward pass.

The layers are small and made so that the bytes can be written down by hand; every other count (of
tensors, of views, with the parameters) differs from the right one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks.core import Wrong
from ..checks.draws import whole
from .checks import judge_bytes

Sizes = tuple[int, int, int]  # rows (batch x length), width, r


class _Adapted(nn.Linear):
    """A frozen linear layer without bias, and a trained branch B(A x)."""

    def __init__(self, width: int, out: int, r: int) -> None:
        super().__init__(width, out, bias=False)
        self.weight.requires_grad_(False)
        self.A = nn.Linear(width, r, bias=False)
        self.B = nn.Linear(r, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight) + self.B(self.A(x))


class _Shared(nn.Module):
    """q, k and v read one x; q k is a product that keeps both."""

    def __init__(self, width: int, r: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (_Adapted(width, width, r) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.q(x) * self.k(x) + self.v(x)


class _Gated(nn.Module):
    """gate and up are two views of one tensor; only `down` trains."""

    def __init__(self, width: int, r: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * width, bias=False).requires_grad_(False)
        self.down = _Adapted(width, width, r)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class _Half(nn.Module):
    """Only one half of a tensor is used; its whole storage stays."""

    def __init__(self, width: int, r: int) -> None:
        super().__init__()
        self.wide = nn.Linear(width, 2 * width, bias=False).requires_grad_(False)
        self.down = _Adapted(width, width, r)

    def forward(self, x: Tensor) -> Tensor:
        half = self.wide(x)[..., : x.shape[-1]]
        return self.down(half * half)


class _Dropped(nn.Module):
    """Dropout before A: the mask is kept, a byte a number, and what it left of x; none in eval."""

    def __init__(self, width: int, r: int) -> None:
        super().__init__()
        self.register_buffer("keep", torch.rand(1, 1, width) < 0.5)
        self.branch = _Adapted(width, width, r)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x * (torch.rand(x.shape) < 0.9)
        return self.branch(x) * self.keep


class _Frozen(nn.Module):
    def __init__(self, width: int, r: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, r, bias=False).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def _gated_bytes(sizes: Sizes, size: int, flows: bool) -> int:
    rows, width, r = sizes
    of_down = rows * (width + r) * size
    # where a gradient flows: gate and up (one storage of 2 width), and silu(gate)
    return of_down + (3 * rows * width * size if flows else 0)


Bytes = Callable[[Sizes, int, bool], int]
LAYERS: dict[str, tuple[Callable[[int, int], nn.Module], Bytes]] = {
    "a LoRA layer": (
        lambda width, r: _Adapted(width, width + 5, r),
        lambda s, size, flows: s[0] * (s[1] + s[2]) * size,
    ),
    "q, k and v that read one x": (
        _Shared,
        lambda s, size, flows: s[0] * (s[1] + 3 * s[2] + 2 * s[1]) * size,
    ),
    "an MLP with LoRA on down_proj alone": (_Gated, _gated_bytes),
    "a layer that uses half of a tensor": (
        _Half,
        lambda s, size, flows: s[0] * (s[1] + s[2] + (2 * s[1] if flows else 0)) * size,
    ),
    "a LoRA layer behind dropout": (
        _Dropped,
        lambda s, size, flows: s[0] * ((s[1] + s[2]) * size + (s[1] if flows else 0)),
    ),
    "a LoRA layer behind dropout, in eval mode": (
        lambda width, r: _Dropped(width, r).eval(),
        lambda s, size, flows: s[0] * (s[1] + s[2]) * size,
    ),
    "a LoRA layer whose x is half of a storage": (
        lambda width, r: _Adapted(width, width + 5, r),
        lambda s, size, flows: s[0] * (2 * s[1] + s[2]) * size,
    ),
    "a layer in which nothing trains": (_Frozen, lambda s, size, flows: 0),
}
"""Name -> how to build it of (width, r), and the bytes of (sizes, bytes of a number, whether a
gradient flows back into x)."""


def check_kept_for_backward(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """11.2: what autograd keeps of layers, counted by hand for each of `LAYERS`."""
    batch, length = whole(rng, 2, 3), whole(rng, 3, 5)
    r, width = whole(rng, 2, 3), whole(rng, 13, 19)  # no two counts agree
    for name, (build, by_hand) in LAYERS.items():
        for flows, dtype in ((True, torch.float32), (False, torch.float64)):
            torch.manual_seed(whole(rng, 0, 9_999))
            layer = build(width, r).to(dtype)
            x = torch.randn(2 * batch, length, width, generator=rng, dtype=dtype)[:batch]
            x = x if "half of a storage" in name else x.clone()
            x.requires_grad_(flows)
            right = by_hand((batch * length, width, r), dtype.itemsize, flows)
            _one_layer(answer, layer, x, right, f"{name}, x {'needs' if flows else 'has no'} grad")


def _one_layer(
    answer: Callable[..., Any], layer: nn.Module, x: Tensor, right: int, case: str
) -> None:
    calls: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda module, given: calls.append(given[0]))
    try:
        actual = answer(layer, x)
    finally:
        hook.remove()
    if not calls:
        raise Wrong("Run layer(x): only the forward pass says what is kept.")
    if actual == right:
        return
    layer.train(not layer.training)
    other = {at(t): t for t in saved_by(layer, x)[0]}
    layer.train(not layer.training)
    owned = {at(one) for one in [*layer.parameters(), *layer.buffers()]}
    mode = "train" if layer.training else "eval"
    told = f"This counts another mode: the layer is in {mode} mode. Leave it as it is."
    counted = each_storage([t for place, t in other.items() if place not in owned])
    judge_bytes(actual, right, {told: counted, **mistaken_counts(layer, x)}, case)


def at(tensor: Tensor) -> int:
    """Where the tensor's numbers lie: the same for views of one storage."""
    return tensor.untyped_storage().data_ptr()


def each_storage(tensors: list[Tensor]) -> int:
    """Bytes of the storages, each once."""
    return sum({at(t): t.untyped_storage().nbytes() for t in tensors}.values())


def numbers_of(tensors: list[Tensor]) -> int:
    """Bytes of the tensors' own numbers, each tensor by itself."""
    return sum(t.numel() * t.element_size() for t in tensors)


def saved_by(layer: nn.Module, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """The tensors that layer(x) keeps for the backward pass, in order, and its result."""
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        return saved, layer(x)


def mistaken_counts(layer: nn.Module, x: Tensor) -> dict[str, float]:
    """What the known mistakes give for this layer: from the tensors that are saved in fact."""
    saved, result = saved_by(layer, x)
    own = [*layer.parameters(), *layer.buffers()]
    owned = {at(one) for one in own}
    weights = {at(one) for one in layer.parameters()}
    other = [t for t in saved if at(t) not in owned]

    right = each_storage(other)
    return {
        "The same storage is counted more than once: q, k and v keep one x, and two views share "
        "their numbers.": numbers_of(other),
        "Storages are counted more than once: add each to a dict, under its data_ptr().": sum(
            t.untyped_storage().nbytes() for t in other
        ),
        "Two views of one storage are counted as two: ask tensor.untyped_storage(), not the "
        "tensor.": numbers_of(list({t.data_ptr(): t for t in other}.values())),
        "Two views of one storage are counted as one of them: take the whole storage's "
        "nbytes().": numbers_of(list({at(t): t for t in other}.values())),
        "The layer's own weights are counted. They are there with or without a backward pass.": (
            each_storage(saved)
        ),
        "The layer's weights are counted, and storages more than once.": numbers_of(saved),
        "A buffer of the layer is counted. It is the layer's own too: buffers().": each_storage(
            [t for t in saved if at(t) not in weights]
        ),
        "x is left out. A's gradient needs it: LoRA keeps its input.": each_storage(
            [t for t in other if at(t) != at(x)]
        ),
        "Only x is counted. What comes after it is kept too, such as A x for B's gradient.": (
            each_storage([t for t in other if at(t) == at(x)])
        ),
        "x is copied first. Hand in x itself: its storage may be larger than x.": each_storage(
            [t for t in other if at(t) != at(x)]
        )
        + sum({at(t): x.numel() * x.element_size() for t in other if at(t) == at(x)}.values()),
        "This is x alone, whether or not it is kept.": x.untyped_storage().nbytes(),
        "This is the result. The layer above keeps it, if it needs it.": (
            result.untyped_storage().nbytes()
        ),
        "These are numbers. Return bytes: a number may have 1, 2, 4 or 8.": float(
            sum({at(t): t.numel() for t in other}.values())
        ),
        "Every number is taken for 4 bytes. A mask has 1, float64 8: ask the storage.": 4.0
        * sum({at(t): t.numel() for t in other}.values()),
        "These are the layer's parameters. They are there with or without a backward pass.": (
            numbers_of(own)
        ),
        "Nothing is counted. Does your hook run? It must be on while layer(x) runs.": 0.0
        if right
        else -1.0,
    }
