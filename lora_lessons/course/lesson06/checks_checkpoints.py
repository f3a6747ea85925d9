"""The check of lesson 06's exercise on gradient checkpointing with a frozen embedding.

The blocks count their own calls: a checkpointed block runs once in the forward pass and once more
in the backward pass, the last block first.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong, expect


class _Calls(list[int]):
    """The numbers of the blocks that ran, in order; `asked`: an input required a gradient."""

    asked = False


class _Block(nn.Module):
    """x + tanh(W x + B A x), with W frozen: (batch, time, width) to the same.

    With `drops`, half of the tanh is dropped in train mode, and the masks are kept in order.
    """

    def __init__(self, width: int, number: int, calls: _Calls, drops: bool) -> None:
        super().__init__()
        self.drops, self.masks = drops, []
        self.base_layer = nn.Linear(width, width)
        self.lora_A = nn.Linear(width, 2, bias=False)
        self.lora_B = nn.Linear(2, width, bias=False)
        self.number, self.calls = number, calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(self.number)
        self.calls.asked |= x.requires_grad
        kept = 1.0
        if self.drops and self.training:
            kept = 2.0 * (torch.rand(x.shape) > 0.5)
            self.masks.append(kept)
        return x + kept * torch.tanh(self.base_layer(x) + self.lora_B(self.lora_A(x)))


class _Toy(nn.Module):
    """A frozen embedding and blocks with adapters, all numbers random in float64."""

    def __init__(
        self,
        rng: torch.Generator,
        width: int,
        embedding_trains: bool,
        blocks: int,
        drops: bool = False,
    ) -> None:
        super().__init__()
        self.calls = _Calls()
        self.embed = nn.Embedding(11, width)
        numbers = range(1, blocks + 1)
        self.blocks = nn.ModuleList(_Block(width, n, self.calls, drops) for n in numbers)
        self.double()
        for name, parameter in self.named_parameters():
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
            trains = "lora_" in name or (embedding_trains and name.startswith("embed"))
            parameter.requires_grad_(trains)

    def plain(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return x


def check_run_blocks(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for embedding_trains, blocks in ((False, 3), (True, 4), (False, 1)):
        width = int(torch.randint(3, 7, (1,), generator=rng))
        ids = torch.randint(0, 11, (2, 5), generator=rng)
        given = _Toy(rng, width, embedding_trains, blocks)
        G = torch.randn(2, 5, width, generator=rng, dtype=torch.float64)
        twin = copy.deepcopy(given)  # it shares nothing with what the answer gets
        expected = twin.plain(ids)
        (expected * G).sum().backward()
        with warnings.catch_warnings():
            # PyTorch warns of the very mistake, which the message names
            warnings.simplefilter("ignore")
            _one_run(answer, given, ids, G, expected.detach(), embedding_trains)
        _same_gradients(given, twin, embedding_trains)
    _check_dropout(answer, rng)


def _check_dropout(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """What a block drops is drawn anew when it runs again, unless the random state is put back."""
    model = _Toy(rng, 4, False, 2, drops=True)
    ids = torch.randint(0, 11, (2, 5), generator=rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer(model.embed, model.blocks, ids)
        first = [block.masks[0] for block in model.blocks if block.masks]
        for block in model.blocks:
            block.masks.clear()
        result = answer(model.embed, model.blocks, ids)
    if len(first) < 2 or any(not block.masks for block in model.blocks):
        raise Wrong(
            "These blocks have dropout and are in train mode, and nothing was dropped: leave their "
            "mode as it is, or the gradients are those of another run."
        )
    if torch.equal(first[0], first[1]) or torch.equal(first[0], model.blocks[0].masks[0]):
        raise Wrong(
            "Two blocks, or two runs, dropped the very same numbers: the random state was set by "
            "hand. Seed nothing here; a checkpoint puts back by itself what it needs."
        )
    result.sum().backward()
    for block in model.blocks:
        if not torch.equal(block.masks[0], block.masks[-1]):
            raise Wrong(
                f"Block {block.number} has dropout, and it dropped other numbers when it ran again "
                "in the backward pass, so its gradients are those of no run. A checkpoint puts the "
                "random state back, unless preserve_rng_state is False."
            )


def _one_run(
    answer: Callable[..., Any],
    model: _Toy,
    ids: Tensor,
    G: Tensor,
    expected: Tensor,
    embedding_trains: bool,
) -> None:
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    result = answer(model.embed, model.blocks, ids)
    forward = list(model.calls)
    _ran_forward(forward, len(model.blocks))
    _expect_output(result, expected, model, ids)
    _still_frozen(model, flags)
    _has_a_graph(result, model.calls.asked)
    model.calls.clear()
    (result * G).sum().backward()
    _still_frozen(model, flags)
    _ran_twice(forward, list(model.calls), model)


def _expect_output(result: Any, expected: Tensor, model: _Toy, ids: Tensor) -> None:
    """Raise `Wrong` unless it is the output of the blocks one after the other."""
    k = model.embed.embedding_dim
    try:
        expect(result, expected, k=k)
    except Wrong:  # other runs of the blocks are needed for the message alone
        case = "though the blocks ran in order, once each: hand on what a block returns, as it is"
        expect(result, expected, k=k, mistakes=_other_outputs(model, ids), case=case)


def _other_outputs(model: _Toy, ids: Tensor) -> dict[str, Tensor]:
    if len(model.blocks) == 1:
        return {}
    with torch.no_grad():
        hidden = around = model.embed(ids)
        for block in model.blocks:
            around = around + block(around)
        first, last = model.blocks[0](hidden), model.blocks[-1](hidden)
    return {
        "The input of each block was added to its output: a block adds it itself.": around,
        "This is the first block's output. Return the last one's.": first,
        "Each block got the embedding's output. It gets the output of the block before.": last,
        "This is the embedding's output. Return the last block's.": hidden,
    }


def _ran_forward(forward: list[int], count: int) -> None:
    """Each block once, in order."""
    numbers = list(range(1, count + 1))
    if sorted(forward) != numbers:
        raise Wrong(f"In the forward pass the blocks {numbers} run once each; here {forward} ran.")
    if forward != numbers:
        raise Wrong(f"The blocks ran in the order {forward}: each reads what the one before gave.")


def _still_frozen(model: nn.Module, flags: dict[str, bool]) -> None:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad == flags[name]:
            continue
        if flags[name]:
            raise Wrong(
                f"{name!r} no longer requires a gradient: leave the parameters as they are."
            )
        what = "The embedding" if name.startswith("embed") else f"{name!r}"
        raise Wrong(
            f"{what} is frozen and now requires a gradient: it would train with the adapters. Let "
            "the blocks' *input* require one, not a weight."
        )


def _has_a_graph(result: Tensor, asked: bool) -> None:
    if not result.requires_grad and asked:
        raise Wrong(
            "The blocks' input requires a gradient, and yet the result has no graph. Was it cut "
            "off by detach() or no_grad?"
        )
    if not result.requires_grad:
        raise Wrong(
            "The result has no graph, so that no adapter gets a gradient. A reentrant checkpoint "
            "records a block only if the block's input requires a gradient, and the output of a "
            "frozen embedding does not."
        )
    if result.grad_fn is None:
        raise Wrong(
            "The result requires a gradient, but nothing leads back from it into the blocks. It is "
            "the input of the first block that must require one."
        )


def _ran_twice(forward: list[int], backward: list[int], model: _Toy) -> None:
    """`forward` and `backward` hold the numbers of the blocks that ran in either pass, in order."""
    _has_gradients(model)
    if not backward:
        raise Wrong(
            "No block ran again in the backward pass: checkpointing is gone, and with it what it "
            "saves. Keep the checkpoints and mend their input."
        )
    once = [n for n in forward if n not in backward]
    if once:
        raise Wrong(f"Block {once[0]} did not run again in the backward pass: checkpoint each one.")
    if backward != sorted(backward, reverse=True):
        several = "All" if backward == sorted(backward) else "Several"
        raise Wrong(
            f"{several} blocks ran again in one go, in the order {backward}, so that all their "
            "activations are there at once. Give each block a checkpoint of its own."
        )


def _has_gradients(model: _Toy) -> None:
    """The last block alone: what was handed to it was cut off from the blocks before."""
    without = [
        block.number
        for block in model.blocks
        if block.lora_A.weight.grad is None or block.lora_B.weight.grad is None
    ]
    if without and without == list(range(1, len(model.blocks))):
        raise Wrong(
            "Only the last block's adapter got a gradient. Between the blocks the graph must stay "
            "whole: don't detach there, and make the input of the *first* block require one."
        )
    if without:
        raise Wrong(f"The adapter of block {without[0]} got no gradient.")


def _same_gradients(given: _Toy, twin: _Toy, embedding_trains: bool) -> None:
    if embedding_trains and given.embed.weight.grad is None:
        raise Wrong(
            "Here the embedding trains, and it got no gradient. Its output has a graph of its own: "
            "detach() cuts it off. Only where nothing requires a gradient is something to mend."
        )
    right = {name: p.grad for name, p in twin.named_parameters() if p.requires_grad}
    for name, parameter in given.named_parameters():
        if name in right and not torch.allclose(parameter.grad, right[name], rtol=1e-9, atol=1e-9):
            raise Wrong(f"The gradient of {name!r} is not that of the run without checkpoints.")
