"""The check of exercise 5.3: every linear layer of a model but its output layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from ..checks.core import Wrong

VOCABULARY = 11  # no width below, so that one shape alone is the output layer's
LINEAR = ("q_proj", "dense", "head_mix", "vote", "norm_in.0.up", "norm_in.0.{output}")
TOP = ("project", "pre_{output}")


class _Block(nn.Module):
    """Linear layers whose names do not all end in "proj", one that says "head", and others.

    One lies two levels deeper, and one there has the output layer's own last word.
    """

    def __init__(self, width: int, output: str) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, width)
        self.dense = nn.Linear(width, 2 * width)
        self.head_mix = nn.Linear(width, width, bias=False)
        self.vote = nn.Linear(width, VOCABULARY, bias=False)  # of the output layer's shape
        deeper = {"up": nn.Linear(width, 3), output: nn.Linear(3, width)}
        self.norm_in = nn.Sequential(nn.ModuleDict(deeper), nn.ReLU())
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, 1)
        self.pos_proj = nn.Embedding(3, width)


class _LanguageModel(nn.Module):
    """Two blocks and an output layer, which has another name in each architecture.

    It need not be the last module, nor the only linear layer of its shape: `place` is where it
    stands among the model's parts.
    """

    def __init__(self, width: int, output: str, place: int, tied: bool) -> None:
        super().__init__()
        self.output_name = output
        within, _, output = output.rpartition(".")  # "cls.decoder": a layer of the module cls
        parts = {
            "project": nn.Linear(width, width),
            "embed": nn.Embedding(VOCABULARY, width),
            "blocks": nn.ModuleList(_Block(width, output) for _ in range(2)),
            f"pre_{output}": nn.Linear(width, width),
            output: nn.Linear(width, VOCABULARY, bias=False),
        }
        others = [name for name in parts if name != output]
        for name in (*others[:place], output, *others[place:]):
            self.add_module(name, parts[name])
        if within:
            del self._modules[output]
            beside = {"transform": nn.Linear(width, width), output: parts[output]}
            self.add_module(within, nn.ModuleDict(beside))
        if tied:
            parts[output].weight = parts["embed"].weight

    def get_output_embeddings(self) -> nn.Module:
        """As in transformers: the output layer itself."""
        return self.get_submodule(self.output_name)

    def get_input_embeddings(self) -> nn.Module:
        """As in transformers: the table of the tokens."""
        return self.embed


def check_all_linear(answer: Callable[..., Any], rng: torch.Generator) -> None:
    cases = (
        ("embed_out", 4, False),
        ("lm_head", 0, False),
        ("decode", 2, True),
        ("cls.decoder", 4, False),
    )
    for path, place, tied in cases:
        width = int(torch.randint(4, 9, (1,), generator=rng))
        model = _LanguageModel(width, path, place, tied)
        model.blocks[0].requires_grad_(False)  # what trains says nothing of what a module is
        within, _, output = path.rpartition(".")
        right = {f"blocks.{i}.{part.format(output=output)}" for i in (0, 1) for part in LINEAR}
        right |= {name.format(output=output) for name in TOP}
        right |= {f"{within}.transform"} if within else set()
        before = dict(model.named_modules())
        found = _names(answer(model))
        if dict(model.named_modules()) != before:
            raise Wrong(
                "Your code changes the model: a module is taken out, or exchanged. Only ask."
            )
        _right_names(found, right, before, path)


def _right_names(
    found: set[str], right: set[str], kinds: dict[str, nn.Module], output: str
) -> None:
    if unknown := sorted(found - set(kinds)):
        raise Wrong(f"{unknown[0]!r} is no module of the model: return full names.")
    if found and all("proj" in name for name in found):
        raise Wrong("Go by the type of the module, not by its name: `dense` is linear too.")
    if output in found:
        raise Wrong(
            f"The output layer, {output!r}, is in. Its name differs from model to model: leave "
            "out the module that model.get_output_embeddings() returns."
        )
    if others := sorted(found - right):
        raise Wrong(f"{others[0]!r} is of type {type(kinds[others[0]]).__name__}, not a Linear.")
    missing = sorted(right - found)
    if missing and all(name.endswith(".vote") for name in missing):
        raise Wrong(
            f"{missing[0]!r} is missing. It has the shape of the output layer and is another "
            "module: compare with `is`."
        )
    if missing:
        why = _why_missing(missing, found, kinds, output)
        raise Wrong(f"{missing[0]!r} is linear and it is missing{why}")


def _why_missing(
    missing: list[str], found: set[str], kinds: dict[str, nn.Module], output: str
) -> str:
    """What all the missing names have in common, and no name that was found."""
    last = {name.rpartition(".")[2] for name in found}
    reasons: tuple[tuple[str, Callable[[str], bool]], ...] = (
        (
            f". The output layer is called {output!r}, and other names hold that word: compare "
            "the modules with `is`.",
            lambda name: name.rpartition(".")[2] == output.rpartition(".")[2],
        ),
        (
            ". It stands beside the output layer, in one module with it, and is another one.",
            lambda name: "." in output and name.startswith(output.split(".")[0] + "."),
        ),
        (
            ": it does not train. Neither does the rest of a frozen base, which LoRA adapts all "
            "the same: go by the type.",
            lambda name: not kinds[name].weight.requires_grad,
        ),
        (
            ": it has no bias. A Linear need not have one: go by the type.",
            lambda name: kinds[name].bias is None,
        ),
        (
            ": it lies deeper. model.named_modules() goes through all levels, named_children() "
            "through the first alone.",
            lambda name: "." in name,
        ),
        (
            ": it lies deeper. model.named_modules() goes through all levels.",
            lambda name: name.count(".") > 2,
        ),
        (
            ": it lies outside the blocks. Every linear layer is asked for.",
            lambda name: not name.startswith("blocks."),
        ),
        (
            ": it lies in another block. Every linear layer is asked for, in each block.",
            lambda name: name.rpartition(".")[2] in last,
        ),
    )
    for message, holds in reasons:
        if all(map(holds, missing)) and not any(map(holds, found & set(kinds))):
            return message
    if all(name.rpartition(".")[2] in last for name in missing):
        return ". Another layer has the same last word: each has a full name of its own."
    return f". It is of type Linear and it is not {output!r}: leave out the output layer only."


def _names(value: Any) -> set[str]:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise Wrong(f"Return a list of names; got {type(value).__name__}.")
    names = list(value)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise Wrong(f"Return names, which are texts; got a {type(wrong[0]).__name__}.")
    return set(names)
