"""The checks of lesson 05's naming: what matches, in which block, all-linear, what was not found.

Every expected value is found here by other means than the package's own matching.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from ..checks.core import Wrong

PARTS = ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm")


def _whole(rng: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (1,), generator=rng))


def _true_or_false(actual: Any, expected: bool, message: str) -> None:
    if not isinstance(actual, bool):
        raise Wrong(f"Return True or False; got {type(actual).__name__}.")
    if actual is not expected:
        raise Wrong(message)


# --- 5.1 -------------------------------------------------------------------------------------


def check_is_target(answer: Callable[..., Any], rng: torch.Generator) -> None:
    block = f"model.layers.{_whole(rng, 0, 90)}"
    q, up = f"{block}.self_attn.q_proj", f"{block}.mlp.up_proj"
    cases = (
        (q, ["q_proj"], True, "What follows a dot in the full name matches too."),
        (q, ["self_attn.q_proj"], True, "An entry may hold dots itself: `self_attn.q_proj`."),
        (q, [q], True, "The full name is an entry that matches."),
        (q, ["k_proj", "q_proj"], True, "One entry that matches is enough."),
        (q, [], False, "An empty list matches nothing."),
        (q, ["self_attn"], False, "Only the end of the name counts: `self_attn` is in the middle "
         "of it. A part of a name is no match."),
        (q, ["model"], False, "Only the end of the name counts: `model` is its beginning."),
        (q, ["proj"], False, "The end must begin after a dot: `proj` is not the end of `q_proj`."),
        (q, [r".*q_proj"], False, "An entry of a list is plain text, not a regular expression."),
        (q, ["qXproj"], False, "These are different names."),
        (q, r".*\.q_proj", True, "A string is a regular expression for the full name."),
        (up, r".*\.(q|v)_proj|.*mlp\.up_proj", True, "A string is a regular expression: here the "
         "second alternative fits."),
        (q, "q_proj", False, "A string must fit the full name from its start: re.fullmatch."),
        (q, r"model\.layers", False, "A string must fit the full name up to its end: "
         "re.fullmatch."),
    )  # fmt: skip
    for name, targets, expected, message in cases:
        _true_or_false(answer(name, targets), expected, f"{name!r}, {targets!r}: {message}")


# --- 5.2 -------------------------------------------------------------------------------------


def check_in_blocks(answer: Callable[..., Any], rng: torch.Generator) -> None:
    tens = 10 * _whole(rng, 1, 9)
    low, high = _whole(rng, 1, 9), 0
    high = tens + low
    cases = (
        (f"model.layers.{low}.mlp.up_proj", [low], True, "This is the block. A word of a "
         "name is text; int(word) makes a number of it."),
        (f"model.layers.{high}.mlp.up_proj", [0, high], True, "The number may have two digits."),
        (f"h.{high}.attn.c_attn", [0, high], True, "The number need not follow the word `layers`, "
         "nor be the third word: take the first word that is a number."),
        (f"model.layers.{low}.mlp.up_proj", [0, high], False, "`blocks` is a list of numbers, not "
         "a range from its first to its last."),
        (f"model.layers.{high}.mlp.up_proj", [low], False, "Compare whole numbers: block "
         f"{high} is not block {low}."),
        (f"model.layers.{high}.mlp.up_proj", [tens // 10], False, "Compare whole numbers: block "
         f"{high} is not block {tens // 10}."),
        (f"model.layers.{high}.mlp.experts.{low}.up_proj", [low], False, "The first number is "
         "the block. A later one is an expert, say."),
        (f"model.layers.{high}.mlp.experts.{low}.up_proj", [high], True, "The first number is "
         "the block."),
        (f"tower{low}.layers.{high}.fc1", [low], False, "A digit within a word is part of a name: "
         "the number must stand alone between two dots."),
        (f"tower{low}.layers.{high}.fc1", [high], True, "The number that stands alone between two "
         "dots is the block."),
        ("lm_head", [0], False, "A module outside the blocks is in none of them."),
        (f"head.fc{low}", [low], False, "A digit within a word is part of a name."),
    )  # fmt: skip
    for name, blocks, expected, message in cases:
        _true_or_false(answer(name, list(blocks)), expected, f"{name!r}, {blocks!r}: {message}")


# --- 5.3 -------------------------------------------------------------------------------------

VOCABULARY = 11  # no width below, so that one shape alone is the output layer's


class _Block(nn.Module):
    """Linear layers whose names do not all end in "proj", one that says "head", and others."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, width)
        self.dense = nn.Linear(width, 2 * width)
        self.head_mix = nn.Linear(width, width, bias=False)
        self.vote = nn.Linear(width, VOCABULARY, bias=False)  # of the output layer's shape
        self.norm = nn.LayerNorm(width)
        self.pos_proj = nn.Embedding(3, width)


class _LanguageModel(nn.Module):
    """Two blocks and an output layer, which has another name in each architecture.

    It need not be the last module, nor the only linear layer of its shape.
    """

    def __init__(self, width: int, output: str, first: bool) -> None:
        super().__init__()
        self.output_name = output
        parts = {
            output: nn.Linear(width, VOCABULARY, bias=False),
            "embed": nn.Embedding(VOCABULARY, width),
            "blocks": nn.ModuleList(_Block(width) for _ in range(2)),
        }
        for name in parts if first else reversed(parts):
            self.add_module(name, parts[name])

    def get_output_embeddings(self) -> nn.Module:
        """As in transformers: the output layer itself."""
        return getattr(self, self.output_name)


def check_all_linear(answer: Callable[..., Any], rng: torch.Generator) -> None:
    linear = ("q_proj", "dense", "head_mix", "vote")
    for output, first in (("embed_out", False), ("lm_head", True), ("decode", False)):
        model = _LanguageModel(_whole(rng, 3, 9), output, first)
        right = {f"blocks.{i}.{part}" for i in (0, 1) for part in linear}
        found = _names(answer(model))
        kinds = dict(model.named_modules())
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
            raise Wrong(f"{others[0]!r} is a {type(kinds[others[0]]).__name__}, not a Linear.")
        if missing := sorted(right - found):
            if all(name.endswith(".vote") for name in missing):
                raise Wrong(
                    f"{missing[0]!r} is missing. It has the shape of the output layer and is "
                    "another module: compare with `is`."
                )
            raise Wrong(
                f"{missing[0]!r} is linear and it is missing. Leave out the output layer only."
            )


def _names(value: Any) -> set[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise Wrong(f"Return a list of names; got {type(value).__name__}.")
    names = list(value)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise Wrong(f"Return names, which are texts; got a {type(wrong[0]).__name__}.")
    return set(names)


# --- 5.4 -------------------------------------------------------------------------------------


def check_not_found(answer: Callable[..., Any], rng: torch.Generator) -> None:
    first = _whole(rng, 0, 60)
    names = [f"model.layers.{first + i}.{part}" for i in (0, 1) for part in PARTS] + ["lm_head"]
    full = names[0]
    right = ["q_proj", "mlp.up_proj", "lm_head", full]
    wrong = ["v_porj", "proj", r".*down_proj", "self_attn"]
    cases = (
        (right, []),
        (["q_proj", "v_porj"], ["v_porj"]),
        (["v_porj", *right, *wrong[1:]], wrong),
        (wrong, wrong),
    )
    for entries, expected in cases:
        found = answer(list(names), list(entries))
        if isinstance(found, str) or not isinstance(found, Iterable):
            raise Wrong(f"Return a list of entries; got {type(found).__name__}.")
        if isinstance(found, set | frozenset):
            raise Wrong("A set has no order. Return a list, in the order of the entries.")
        _compare_entries(list(found), entries, expected, names)


def _compare_entries(
    found: list[Any], entries: list[str], expected: list[str], names: list[str]
) -> None:
    if found == expected:
        return
    if any(name not in entries for name in found):
        raise Wrong("Return entries of the list, not modules of the model.")
    if sorted(found) == sorted(set(entries) - set(expected)):
        raise Wrong("These are the entries that do match. Return those that do not.")
    if not found and len(expected) < len(entries):
        raise Wrong(
            f"For {entries}, return {expected}: each entry is looked for by itself, also when "
            "another one matches."
        )
    if extra := [entry for entry in found if entry not in expected]:
        raise Wrong(f"{extra[0]!r} does match: it is a module's full name or its end after a dot.")
    if missing := [entry for entry in expected if entry not in found]:
        raise Wrong(
            f"{missing[0]!r} matches nothing and it is missing: no module's name is it, or ends "
            f"in '.{missing[0]}'."
        )
    raise Wrong("Name each entry once, in the order of the list.")
