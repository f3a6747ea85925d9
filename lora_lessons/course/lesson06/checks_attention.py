"""The check of exercise 6.5: which biases of an attention can be left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect

# --- 6.5 -------------------------------------------------------------------------------------


def check_fewer_biases(answer: Callable[..., Any], rng: torch.Generator) -> None:
    heads = int(torch.randint(2, 5, (1,), generator=rng))
    width = 3 * heads

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    x, weights = draw(5, width), [draw(width, width) / width**0.5 for _ in range(4)]
    biases = [draw(width) for _ in range(4)]  # of q, k, v and o
    b_q, b_k, b_v, b_o = biases
    own = [b_q, b_k, b_v, weights[3], b_o]
    given = [tensor.clone() for tensor in own]
    result = answer(*given)
    if any(not torch.equal(a, b) for a, b in zip(given, own, strict=True)):
        raise Wrong("What was handed in was changed in place. Return new tensors.")
    new = _four(result, width)
    for name, bias in (("k", new[1]), ("v", new[2])):
        if not bias.abs().max() == 0:  # so that nan is refused too
            raise Wrong(f"The new bias of {name} must be zero; it is not.")
    _expect_biases(new, biases, weights[3])
    before, after = (_attention(x, weights, b, heads) for b in (biases, new))
    expect(after, before, k=width * width)


def _four(result: Any, width: int) -> list[Tensor]:
    if not isinstance(result, list | tuple) or len(result) != 4:
        raise Wrong("Return four tensors: the new biases of q, k, v and o.")
    for name, bias in zip("qkvo", result, strict=True):
        if not isinstance(bias, Tensor) or bias.shape != (width,):
            raise Wrong(f"The new bias of {name} must be a tensor of shape ({width},).")
    if others := [bias.dtype for bias in result if bias.dtype != torch.float64]:
        raise Wrong(
            f"The biases given are torch.float64, and a new one is {others[0]}: "
            "torch.zeros_like(b) takes the dtype of b."
        )
    return [bias.detach().double() for bias in result]


def _expect_biases(new: list[Tensor], biases: list[Tensor], W_o: Tensor) -> None:
    b_q, b_k, b_v, b_o = biases
    if new[0].abs().max() == 0:
        raise Wrong("q's bias meets each key anew, b_q . k_j: it moves the weights. Keep it.")
    expect(
        new[0],
        b_q,
        case="in the new bias of q",
        mistakes={
            "k's bias does not move into q's: it adds the same to all scores of a row, so that the "
            "softmax cancels it.": b_q + b_k,
            "k's bias does not move into q's, nor with a minus sign: the softmax cancels it.": (
                b_q - b_k
            ),
        },
    )
    expect(
        new[3],
        b_o + torch.einsum("oi,i->o", W_o, b_v),
        k=len(b_v),
        case="in the new bias of o: the weights of a row sum to 1, so each mixture of the values "
        "holds b_v once, and W_o reads that mixture",
        mistakes={
            "W_o is a matrix: each output takes all of b_v, W_o @ b_v, not its own entry alone.": (
                b_o + W_o.diagonal() * b_v
            ),
            "o's own bias has the wrong sign: add W_o b_v to it.": (
                torch.einsum("oi,i->o", W_o, b_v) - b_o
            ),
            "It is v's bias that goes through W_o, not k's.": b_o
            + torch.einsum("oi,i->o", W_o, b_k),
            "It is v's bias that goes through W_o, not q's.": b_o
            + torch.einsum("oi,i->o", W_o, b_q),
            "W_o @ b_v is a sum of products, not a product of two sums.": (
                b_o + W_o.sum(1) * b_v.sum()
            ),
            "W_o @ b_v weighs each number of b_v by its own column; this takes means.": (
                b_o + W_o.mean(1) * b_v.sum()
            ),
            "o's own bias is there twice.": 2 * b_o + torch.einsum("oi,i->o", W_o, b_v),
            "v's part is there twice.": b_o + 2 * torch.einsum("oi,i->o", W_o, b_v),
            "The weights of a row sum to 1: v's bias arrives whole, not as a mean over its "
            "numbers.": b_o + torch.einsum("oi,i->o", W_o, b_v) / len(b_v),
            "v's bias is lost. The weights of a row sum to 1, so all of it reaches the output: "
            "move it into o's.": b_o,
            "v's bias goes through W_o on its way to the output.": b_o + b_v,
            "v's bias is added to o's, not taken from it.": (
                b_o - torch.einsum("oi,i->o", W_o, b_v)
            ),
            "W_o has the shape (out, in): W_o @ b_v, not its transpose.": (
                b_o + torch.einsum("oi,o->i", W_o, b_v)
            ),
            "o's own bias is lost: add to it.": torch.einsum("oi,i->o", W_o, b_v),
            "o's own bias comes after W_o: only v's goes through it.": (
                torch.einsum("oi,i->o", W_o, b_v + b_o)
            ),
            "k's bias never reaches the output: the softmax cancels it.": (
                b_o + torch.einsum("oi,i->o", W_o, b_v + b_k)
            ),
        },
    )


def _attention(x: Tensor, weights: list[Tensor], biases: list[Tensor], heads: int) -> Tensor:
    """Multi-head attention without a mask: x (T, d) -> (T, d)."""
    q, k, v = (
        (torch.einsum("oi,ti->to", W, x) + b).unflatten(1, (heads, -1))  # (T, heads, d / heads)
        for W, b in zip(weights[:3], biases[:3], strict=True)
    )
    scores = torch.einsum("thd,shd->hts", q, k) / q.shape[2] ** 0.5
    mixed = torch.einsum("hts,shd->thd", scores.softmax(-1), v).flatten(1)
    return torch.einsum("oi,ti->to", weights[3], mixed) + biases[3]
