"""The checks of lesson 06's first two exercises: which biases train, and how many numbers.

The models here are toys whose names and sizes are made to part the right answers from the wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from ..checks.core import Wrong

MODES = ("none", "lora_only", "all")


def _whole(rng: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (1,), generator=rng))


# --- 6.1 -------------------------------------------------------------------------------------


class _Masked(nn.Module):
    """As GPT-2's attention: its mask is a buffer called `bias`, which is no parameter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("bias", torch.ones(width))


class _Attention(nn.Module):
    """q, v and a norm have biases, o has none; three names hold "bias" and are none."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q = nn.Linear(width, width)
        self.mask = _Masked(width)
        self.q_norm = nn.LayerNorm(width)
        self.v = nn.Linear(width, width)
        self.o = nn.Linear(width, width, bias=False)
        self.bias_proj = nn.Linear(width, 1, bias=False)
        self.mixed = nn.ModuleDict({"bias": nn.Linear(width, 1, bias=False)})  # mixed.bias.weight
        self.position_bias = nn.Parameter(torch.zeros(width))


class _Toy(nn.Module):
    """Blocks and a head; and a smaller model inside it, whose names end as the outer ones do."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Attention(width) for _ in range(blocks))
        self.draft = nn.ModuleDict({"blocks": nn.ModuleList([_Attention(width)])})
        self.head = nn.Linear(width, 3)
        self.blocks.requires_grad_(False)  # as injection leaves the base: the flags say nothing


def check_biases_that_train(answer: Callable[..., Any], rng: torch.Generator) -> None:
    count = _whole(rng, 2, 5)
    model = _Toy(_whole(rng, 2, 7), count)
    blocks = [*(f"blocks.{i}" for i in range(count)), "draft.blocks.0"]
    every = {f"{block}.{part}.bias" for block in blocks for part in ("q", "q_norm", "v")}
    every |= {"head.bias"}
    wrapped = [f"blocks.{i}.{part}" for i in range(count - 1) for part in ("q", "o")]
    _each_name(answer, model, wrapped, every, MODES)
    for others in (["head", "blocks.1.v"], ["draft.blocks.0.o"], []):
        _each_name(answer, model, others, every, ("lora_only",))
    for mode in (None, "lora_bias", "lora", True, "", "ALL", "none "):
        _refuses(answer, model.draft, ["blocks.0.q", "blocks.0.o"], mode)
    model.bias = nn.Parameter(torch.zeros(3))  # a parameter of the model itself: no dot
    _each_name(answer, model, wrapped, every | {"bias"}, ("lora_only", "all"))


def _each_name(
    answer: Callable[..., Any],
    model: nn.Module,
    wrapped: list[str],
    every: set[str],
    modes: tuple[str, ...],
) -> None:
    own = {f"{layer}.bias" for layer in wrapped if not layer.endswith(".o")}
    expected = {"none": set(), "lora_only": own, "all": every}
    known = {name for name, _ in model.named_parameters()}
    for mode in modes:
        _same_names(_names(answer(model, list(wrapped), mode), mode), expected, mode, known)


def _names(value: Any, mode: str) -> set[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise Wrong(
            f'"{mode}": return a set of names, an empty one where no bias trains; got '
            f"{type(value).__name__}."
        )
    names = list(value)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise Wrong(f"Return names, which are texts; got a {type(wrong[0]).__name__}.")
    return set(names)


def _same_names(found: set[str], expected: dict[str, set[str]], mode: str, known: set[str]) -> None:
    right = expected[mode]
    if found == right:
        return
    if mode == "none":
        raise Wrong(f'With "none" no bias trains; got {min(found)!r}.')
    if mode == "lora_only" and right and not found:
        raise Wrong(
            '"lora_only" trains the biases of the wrapped layers, and yours finds none. `wrapped` '
            "holds full names. Don't take it for `lora_bias`, which gives B a new bias."
        )
    if masks := sorted(name for name in found - known if name.endswith(".mask.bias")):
        raise Wrong(
            f'"{mode}": {masks[0]!r} is a buffer, as GPT-2\'s mask is, and no parameter: begin '
            "with the names of the model's parameters."
        )
    if unknown := sorted(found - known):
        raise Wrong(
            f'"{mode}": {unknown[0]!r} is no parameter of the model. A wrapped layer may have no '
            "bias at all: begin with the names of the model's parameters."
        )
    if others := sorted(found - expected["all"]):
        raise Wrong(f'"{mode}": {others[0]!r} is no bias: only the last word of a name counts.')
    if right - found == {"bias"}:
        raise Wrong(
            f"\"{mode}\": the model has a parameter of its own called 'bias', without a dot. The "
            "last word of its name is `bias` too."
        )
    if mode == "all" and found == expected["lora_only"]:
        raise Wrong('"all" means every bias of the model, not only those of the wrapped layers.')
    if extra := sorted(found - right):
        raise Wrong(
            f'"{mode}": {extra[0]!r} is not the bias of a wrapped layer. `wrapped` holds full '
            "names: compare the whole of them."
        )
    missing = min(right - found, key=lambda name: ("norm" not in name, name))
    norms = " The norms have biases too." if "norm" in missing else ""
    raise Wrong(f'"{mode}": {missing!r} trains too, and it is missing.{norms}')


def _refuses(answer: Callable[..., Any], model: nn.Module, wrapped: list[str], mode: Any) -> None:
    try:
        result = answer(model, list(wrapped), mode)
    except ValueError:
        return
    except NotImplementedError:
        raise
    except Exception as error:
        raise Wrong(
            f"bias={mode!r} must be a ValueError; your code raised {type(error).__name__}: {error}."
        ) from error
    if result is ValueError or isinstance(result, ValueError):
        raise Wrong("Raise the ValueError; here it is returned.")
    raise Wrong(
        f"bias={mode!r} is none of the three modes and must be a ValueError; got {result!r}. "
        'None is not "none": who writes it may mean anything.'
    )


# --- 6.2 -------------------------------------------------------------------------------------


def check_bias_numbers(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for wrapped in (["q_proj", "v_proj"], ["q_proj"], ["k_proj", "q_proj", "v_proj"]):
        kv_heads, groups = _whole(rng, 3, 5), 5 + 2 * _whole(rng, 0, 2)  # no two mistakes agree
        heads, blocks = kv_heads * groups, 2 * _whole(rng, 3, 6)
        hidden = heads * 2 * _whole(rng, 3, 9)
        _each_mode(answer, (hidden, heads, kv_heads, blocks), wrapped)
    head = 2 * _whole(rng, 3, 9)
    # one head of keys for all; as many as of queries, in one block; one head in all; no LoRA there
    _each_mode(answer, (6 * head, 6, 1, 3), ["k_proj"])
    _each_mode(answer, (4 * head, 4, 4, 1), ["v_proj", "k_proj"])
    _each_mode(answer, (head, 1, 1, 2), ["v_proj"])
    _each_mode(answer, (6 * head, 6, 3, 2), [])


def _each_mode(
    answer: Callable[..., Any], sizes: tuple[int, int, int, int], wrapped: list[str]
) -> None:
    for mode in MODES:
        _whole_number(answer(*sizes, list(wrapped), mode), sizes, wrapped, mode)


def _whole_number(
    actual: Any, sizes: tuple[int, int, int, int], wrapped: list[str], mode: str
) -> None:
    hidden, heads, kv_heads, blocks = sizes
    head = hidden // heads
    narrow = kv_heads * head
    if isinstance(actual, bool) or not isinstance(actual, int):
        raise Wrong(f"Return an int; got {type(actual).__name__}.")

    def total(q: int, k: int, v: int) -> int:
        size = {"q_proj": q, "k_proj": k, "v_proj": v}
        counted = {"none": [], "lora_only": wrapped, "all": list(size)}[mode]
        return sum(size[name] for name in counted)

    right = blocks * total(hidden, narrow, narrow)
    if actual == right:
        return
    mistakes = {
        "k and v are as wide as kv_heads heads, not as q.": blocks * total(hidden, hidden, hidden),
        "k and v have kv_heads heads each. This counts one.": blocks * total(hidden, head, head),
        "This counts the heads of k and v. Each head has hidden // heads numbers.": (
            blocks * total(hidden, kv_heads, kv_heads)
        ),
        "A head has hidden // heads numbers, in k and v too; hidden // kv_heads is no width.": (
            blocks * total(hidden, hidden // kv_heads, hidden // kv_heads)
        ),
        "q has `hidden` outputs; `heads` is the number of its heads.": (
            blocks * total(heads, narrow, narrow)
        ),
        "q is wider than k and v: it has `hidden` outputs, one head's for each of its own heads.": (
            blocks * total(narrow, narrow, narrow)
        ),
        "k and v have kv_heads heads of hidden // heads numbers each, not of `hidden`.": (
            blocks * total(hidden, kv_heads * hidden, kv_heads * hidden)
        ),
        '"all" takes every bias, those of the wrapped layers too.': blocks
        * sum(
            {"q_proj": hidden}.get(name, narrow)
            for name in ("q_proj", "k_proj", "v_proj")
            if mode == "all" and name not in wrapped
        ),
        "q has `hidden` outputs in all: its heads share them.": (
            blocks * total(hidden * heads, hidden * kv_heads, hidden * kv_heads)
        ),
        "This counts the layers. A bias has one number for each output.": blocks * total(1, 1, 1),
        "The output layer o_proj has no bias here: only q, k and v have one.": (
            right + blocks * hidden
        ),
        "This is one block. There are `blocks` of them.": total(hidden, narrow, narrow),
        "This counts the numbers of the weights. A bias has one number for each output.": (
            hidden * right
        ),
        "RMSNorm has a weight and no bias.": right + (2 * blocks + 1) * hidden,
        'This counts q, k and v in each mode. "lora_only" trains the biases of the wrapped layers '
        'alone, and "none" none.': blocks * (hidden + 2 * narrow),
        '"all" does not ask which layers are wrapped: k\'s bias trains too.': blocks
        * sum({"q_proj": hidden}.get(name, narrow) for name in wrapped),
    }
    for message, value in mistakes.items():
        if actual == value:
            raise Wrong(message)
    raise Wrong(
        f"{mode!r} with {wrapped} trains {right:,d} biases here; got {actual:,d}. In each of the "
        f"{blocks} blocks q has {hidden} numbers, k and v have {narrow} each."
    )
