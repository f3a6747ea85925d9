"""The check of a product with a frozen weight in 4 bits: its value, its gradient, what it keeps."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect

# Unequal primes, so that a transposed shape cannot pass by chance.
OUT, IN = 61, 46


class Decoder:
    """decode(packed) -> W' (out, in); it counts its calls, and knows which results still live."""

    def __init__(self, rng: torch.Generator, dtype: torch.dtype) -> None:
        self.W = torch.randn(OUT, IN, generator=rng)
        self.packed = torch.randint(256, (OUT * IN // 2,), generator=rng, dtype=torch.uint8)
        self.W = self.W.to(dtype)
        self.calls = 0
        self.made: list[weakref.ref[Any]] = []

    def decode(self, packed: Tensor) -> Tensor:
        """What the answer gets: a method, whose object the guard does not look into."""
        if not isinstance(packed, Tensor) or not torch.equal(packed, self.packed):
            raise Wrong("decode was called with something else than the packed codes.")
        self.calls += 1
        result = self.W.clone()
        self.made.append(weakref.ref(result.untyped_storage()))
        return result

    def alive(self) -> bool:
        """Whether any result is still in memory, a cycle that waits to be collected aside."""
        if any(ref() is not None for ref in self.made):
            gc.collect()  # only now: it takes longer than all the rest
        return any(ref() is not None for ref in self.made)


def check_frozen_product(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """12.5: x Wᵀ and the gradient of x, decoded anew when needed, and nothing kept."""
    for shape, dtype in (((5, IN), torch.float32), ((2, 3, IN), torch.float64)):
        decode = Decoder(rng, dtype)
        x = torch.randn(*shape, generator=rng, dtype=dtype).requires_grad_()
        saved = _Saved()
        with torch.autograd.graph.saved_tensors_hooks(saved.note, lambda tensor: tensor):
            y = answer(x, decode.packed.clone(), decode.decode)
        _check_value(y, x, decode)
        _check_kept(y, x, decode, saved)
        _check_gradient(y, x, decode, rng)


class _Saved:
    """The shapes of what autograd keeps for the backward pass."""

    def __init__(self) -> None:
        self.tensors: list[tuple[tuple[int, ...], torch.dtype, int]] = []

    def note(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage().nbytes()
        self.tensors.append((tuple(tensor.shape), tensor.dtype, storage))
        return tensor


def _check_value(y: Any, x: Tensor, decode: Decoder) -> None:
    if decode.calls == 0:
        raise Wrong("decode was not called: W' = decode(packed) has the shape (out, in).")
    if isinstance(y, Tensor) and y.dtype != x.dtype:
        raise Wrong(f"x and W' are {x.dtype}, and the result is {y.dtype}. Keep their dtype.")
    x, W = x.detach().double(), decode.W.double()
    expect(y, x @ W.T, k=IN)


def _check_kept(y: Tensor, x: Tensor, decode: Decoder, saved: _Saved) -> None:
    if not y.requires_grad:
        raise Wrong(
            "y has no gradient: it does not lead back to x, so nothing before this layer could "
            "train. Call Product.apply(...), without no_grad or detach."
        )
    numbers = OUT * IN
    if any(dtype.is_floating_point and size >= 2 * numbers for _, dtype, size in saved.tensors):
        raise Wrong(
            "W' is kept for the backward pass: as many floats as the weight has numbers, and the "
            "4 bits saved nothing. Keep the packed codes, and decode again."
        )
    if decode.alive():
        raise Wrong(
            "W' is still in memory after the forward pass: something holds it (ctx, a closure, a "
            "list). Keep the packed codes, and decode again in backward."
        )
    if any(dtype.is_floating_point for _, dtype, _ in saved.tensors):
        raise Wrong(
            "x is kept for the backward pass. It is needed for the gradient of W alone, and W is "
            "frozen: g W' does not ask for x."
        )
    kept = [tensor.numel() for node in _nodes(y) for tensor in _held(node)]
    if numbers in kept:
        raise Wrong(
            "ctx keeps W', in another form or dtype. Keep the packed codes, and decode again in "
            "backward."
        )
    if x.numel() in kept:
        raise Wrong("ctx keeps x. It is needed for the gradient of W alone, and W is frozen.")


def _nodes(y: Tensor) -> list[Any]:
    """The nodes of y's graph down to its leaves."""
    found, waiting = [], [y.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.append(node)
            waiting += [parent for parent, _ in node.next_functions]
    return found


def _held(node: Any) -> list[Tensor]:
    """The float tensors among a node's attributes. A leaf's node has x by another name."""
    found, waiting = [], list(getattr(node, "__dict__", {}).values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor) and value.is_floating_point():
            found.append(value)
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
    return found


def _check_gradient(y: Tensor, x: Tensor, decode: Decoder, rng: torch.Generator) -> None:
    g, calls = torch.randn(*y.shape, generator=rng, dtype=y.dtype), decode.calls
    y.backward(g)
    if x.grad is None:
        raise Wrong("x gets no gradient: backward must return g W' for x, and None for the rest.")
    if decode.calls == calls and x.grad.any():
        raise Wrong(
            "backward does not call decode, so a copy of W' was kept from the forward pass. Keep "
            "the packed codes, and decode again."
        )
    W, wide = decode.W.double(), g.double()
    mistakes = {
        "The gradient is zero: backward returns g W' for x.": torch.zeros_like(wide @ W),
        "The gradient has the wrong sign.": -(wide @ W),
        "The gradient leaves g out: it is g W', not a sum of W'.": W.sum(0).expand_as(wide @ W),
        "The gradient is a mean over the rows: each row of x has its own, g W'.": (wide @ W)
        / len(wide),
    }
    off = (x.grad.double() - wide @ W).abs().max() / (wide @ W).abs().max()
    if x.dtype == torch.float64 and 1e-11 < off < 1e-5:
        raise Wrong("The gradient is rounded to float32 on its way: g and W' are float64 here.")
    expect(x.grad, wide @ W, k=OUT, mistakes=mistakes)
