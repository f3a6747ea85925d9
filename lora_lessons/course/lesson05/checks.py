"""The checks of lesson 05's naming: what matches, in which block, and what was not found.

Every expected value is found here by other means than the package's own matching.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

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
    digit = _whole(rng, 1, 9)
    block = f"model.layers.1{digit}"
    q, up = f"{block}.self_attn.q_proj", f"{block}.mlp.up_proj"
    for name, targets, expected, message in (
        *_lists(q, digit),
        *_strings(q, up),
        *_lists_at_the_edge(q, digit),
        *_strings_at_the_edge(q, up),
    ):
        given = list(targets) if isinstance(targets, list) else targets
        _true_or_false(answer(name, given), expected, f"{name!r}, {targets!r}: {message}")


Case = tuple[str, list[str] | str, bool, str]


def _lists(q: str, digit: int) -> tuple[Case, ...]:
    return (
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
    )  # fmt: skip


def _strings(q: str, up: str) -> tuple[Case, ...]:
    return (
        (q, r".*\.q_proj", True, "A string is a regular expression for the full name."),
        (up, r".*\.(q|v)_proj|.*mlp\.up_proj", True, "A string is a regular expression: here the "
         "second alternative fits."),
        (q, "q_proj", False, "A string must fit the full name from its start: re.fullmatch."),
        (q, r"model\.layers", False, "A string must fit the full name up to its end: "
         "re.fullmatch."),
    )  # fmt: skip


def _lists_at_the_edge(q: str, digit: int) -> tuple[Case, ...]:
    text = "An entry of a list is plain text, not a regular expression: no sign in it stands for "
    return (
        ("lm_head", ["lm_head"], True, "A name without a dot is matched by the entry that it is."),
        ("lm_head", ["head"], False, "The end must begin after a dot, and there is none."),
        ("q_proj", ["self_attn.q_proj"], False, "The entry is longer than the name."),
        (q, ["q_proj", "k_proj"], True, "One entry that matches is enough, the first one too."),
        (q, [f"1{digit}.self_attn.q_proj"], True, "An entry may hold several dots."),
        (q, [f"{digit}.self_attn.q_proj"], False, f"The end must begin after a dot: block {digit} "
         f"is not block 1{digit}."),
        (q, [".self_attn.q_proj", "model.layers"], False, "Neither entry is the name, or the "
         "words after one of its dots."),
        (q, ["q.proj"], False, text + "another."),
        (q, ["k_proj|q_proj"], False, text + "an alternative."),
        (q, ["*.q_proj"], False, text + "others."),
        (q, ["Q_proj", "Q_PROJ"], False, "Names in capitals are other names."),
        (q, ["", "."], False, "Neither the empty text nor a dot is the end of a name after a dot."),
    )  # fmt: skip


def _strings_at_the_edge(q: str, up: str) -> tuple[Case, ...]:
    one = "re.fullmatch asks it of every alternative. `^` and `$` bind closer than `|`."
    return (
        ("lm_head", "lm_head", True, "A name without signs is a pattern that fits itself."),
        ("lm_head", "lm.head", True, "In a string a dot stands for any letter."),
        (q, r"model\.layers|lm_head", False, f"No alternative fits up to the name's end: {one}"),
        (up, r"lm_head|up_proj", False, f"No alternative fits from the name's start: {one}"),
        (q, r".*\.q|.*\.q_proj", True, "The second alternative fits the whole name, though the "
         "first fits its beginning."),
        (q, r"model\..*?q_proj", True, "A string is a regular expression for the full name."),
        (q, r".*\.Q_PROJ", False, "Names in capitals are other names."),
        (q, "", False, "The empty pattern fits the empty name only."),
        ("q_proj", r".*\.q_proj", False, "The pattern asks for a dot before `q_proj`, and this "
         "name has none. That the pattern holds the name's letters says nothing."),
        (q, q[:-1] + ".", True, "In a string a dot stands for any letter."),
    )  # fmt: skip


# --- 5.2 -------------------------------------------------------------------------------------


def check_in_blocks(answer: Callable[..., Any], rng: torch.Generator) -> None:
    tens, low = 10 * _whole(rng, 1, 9), _whole(rng, 1, 9)
    high = tens + low
    for name, blocks, expected, message in (*_blocks(low, high), *_blocks_at_the_edge(low, high)):
        _true_or_false(answer(name, list(blocks)), expected, f"{name!r}, {blocks!r}: {message}")


InBlock = tuple[str, list[int], bool, str]


def _blocks(low: int, high: int) -> tuple[InBlock, ...]:
    tens = high - low
    return (
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


def _blocks_at_the_edge(low: int, high: int) -> tuple[InBlock, ...]:
    """Block 0, the first and the last word, no blocks, three digits, two numbers at the top."""
    zero = "Block 0 is a block: 0 is a number, though `if 0` is false."
    word = "A digit within a word is part of a name"
    return (
        ("model.layers.0.mlp.up_proj", [0], True, zero),
        (f"encoder.layer.0.experts.{high}.fc1", [high, 0], True, zero),
        (f"encoder.layer.0.experts.{high}.fc1", [low, high], False, "The first number is the "
         "block, also where it is 0."),
        (f"model.layers.{low}.mlp.up_proj", [0], False, f"`blocks` holds numbers: block {low} is "
         "not in [0]."),
        (f"h.{low}", [low], True, "The number may be the last word of the name."),
        (f"{low}.fc1", [low], True, "The number may be the first word of the name."),
        (f"layers.{high}.mlp.experts.{low}.up_proj", [high], True, "The first number is the "
         "block, also near the beginning of the name."),
        (f"layers.{high}.mlp.experts.{low}.up_proj", [low], False, "The first number is the "
         "block, also near the beginning of the name."),
        (f"model.layers.{high // 10}.mlp.up_proj", [high], False, "Compare whole numbers: block "
         f"{high // 10} is not block {high}."),
        (f"model.layers.{low}.mlp.up_proj", [], False, "An empty list holds no block."),
        (f"model.layers.1{high}.mlp.up_proj", [100 + high], True, "The number may have three "
         "digits."),
        (f"model.layers.1{high}.mlp.up_proj", [high], False, "Compare whole numbers: block "
         f"{100 + high} is not block {high}."),
        (f"model.{low}x{low}_conv.{high}.proj", [low], False, f"{word}, at its beginning too."),
        (f"model.{low}x{low}_conv.{high}.proj", [high, low], True, f"{word}. The number that "
         "stands alone is the block."),
        (f"model.b{low}.fc{high}.proj", [low, high], False, f"{word}: none stands alone here."),
        (f"gpt.stack.{low}.fc{high}", [high, 0], False, f"{word}."),
    )  # fmt: skip


# --- 5.4 -------------------------------------------------------------------------------------


def check_not_found(answer: Callable[..., Any], rng: torch.Generator) -> None:
    digit = _whole(rng, 1, 9)
    names = [f"model.layers.1{i}.{part}" for i in (digit - 1, digit) for part in PARTS]
    names += ["lm_head"]
    right = ["q_proj", "mlp.up_proj", "lm_head", names[0], f"1{digit}.self_attn.v_proj"]
    wrong = ["v_porj", "proj", r".*down_proj", "self_attn"]
    no_text = ["mlp", f"{digit}.self_attn.v_proj", "v.proj", "model", "Q_proj", "my.lm_head"]
    no_text += ["*.q_proj", "input_layernorms"]
    ends = [names[0], names[0].removeprefix("model."), "self_attn.q_proj", "q_proj"]
    parents = [*names, "model", "model.layers", *{name.rsplit(".", 1)[0] for name in names}]
    for there, entries, expected in (
        (names, right, []),
        (names, ["q_proj", "v_porj"], ["v_porj"]),
        (names, ["v_porj", *right, *wrong[1:]], wrong),
        (names, wrong, wrong),
        (names, [*no_text, "up_proj"], no_text),
        (names, [*reversed(wrong), "lm_head"], wrong[::-1]),
        (parents, ["self_attn", "head", "model", "model.self_attn"], ["head", "model.self_attn"]),
        (names, [], []),
        ([], ["q_proj", "lm_head"], ["q_proj", "lm_head"]),
        (["lm_head"], ["lm_head", "head"], ["head"]),
        (names[:1], ends, []),  # one module is named four times
        (names[:1], [*ends, "proj", *ends[::-1]], ["proj"]),
    ):
        found = answer(list(there), list(entries))
        if isinstance(found, str) or not isinstance(found, Iterable):
            raise Wrong(f"Return a list of entries; got {type(found).__name__}.")
        if isinstance(found, set | frozenset):
            raise Wrong("A set has no order. Return a list, in the order of the entries.")
        _compare_entries(list(found), entries, expected, there)


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
