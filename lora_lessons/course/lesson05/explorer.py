"""Lesson 05: name the targets, and see which modules of a model get an adapter."""

from __future__ import annotations

import ast
import textwrap
import warnings
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from ...errors import PeftError
from ...experiments.lesson05 import toy_models
from ...lora.config import LoraConfig
from ...lora.inject import plan_injection
from ...lora.more.adapters.injection_report import trained_sizes
from ..explorers.base import Explorer
from ..explorers.controls import Choice, FreeText, Steps
from ..plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODELS = ("decoder", "GPT-2", "BERT", "T5")
TARGETS = (
    "['q_proj', 'v_proj']",
    "all-linear",
    "['proj']",
    "['o_proj', 'down_proj']",
    r".*\.(q|v)_proj",
    r"['.*_proj']",
    "['q_proj', 'v_porj']",
    "['query', 'value']",
    "['c_attn']",
    "['q', 'v']",
)
EXCLUDED = ("nothing", "['v_proj']", r".*\.0\..*", "['lm_head']")
BLOCKS = ("all blocks", "[0]", "[0, 1]")


class Match(NamedTuple):
    """What a choice of targets does: module -> trained numbers, or the error that it gives."""

    sizes: dict[str, int]
    error: str


@cache
def models() -> dict[str, nn.Module]:
    """The explorer's models, by name: names and shapes without numbers."""
    return toy_models()


def read(text: str) -> list[str] | str | None:
    """A control's text as an argument: "[...]" is a list, "nothing" is None, else a string."""
    if not text.lstrip().startswith("["):
        return None if text in ("nothing", "all blocks") else text
    return ast.literal_eval(text)


def match(model: str, targets: str, exclude: str, blocks: str, r: int) -> Match:
    """Ask the engine which modules a config names; its error if it refuses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a large rank: not what is looked at here
            config = LoraConfig(
                r=r,
                target_modules=read(targets),
                exclude_modules=read(exclude),
                layers_to_transform=read(blocks),
            )
            return Match(trained_sizes(plan_injection(models()[model], config)), "")
    except (PeftError, ValueError, SyntaxError) as error:
        return Match({}, str(error))


def grid(model: str) -> tuple[list[str], dict[str, tuple[int, int]]]:
    """The kinds of module, and each module's place: name -> (kind, block; -1 outside blocks)."""
    kinds: dict[str, None] = {}
    places = {}
    for name, module in models()[model].named_modules():
        if not name or next(module.children(), None) is not None or not has_weight(module):
            continue
        words = name.split(".")
        at = next((i for i, word in enumerate(words) if word.isdigit()), None)
        block = -1 if at is None else int(words[at])
        kind = ".".join("*" if i == at else word for i, word in enumerate(words))
        kinds[kind] = None
        places[name] = (kind, block)
    order = list(kinds)
    return order, {name: (order.index(kind), block) for name, (kind, block) in places.items()}


def has_weight(module: nn.Module) -> bool:
    """True for a layer with a matrix: norms and dropout are left out of the picture."""
    weight = getattr(module, "weight", None)
    return weight is not None and weight.dim() > 1


def draw(model: str, targets: str, exclude: str, blocks: str, r: int) -> Figure:
    """One mark for each layer: filled where it gets an adapter, with the numbers that train."""
    kinds, places = grid(model)
    found = match(model, targets, exclude, blocks, r)
    figure, (axis,) = new_figure()
    figure.set_size_inches(8.4, 1.6 + min(0.27 * len(kinds), 4.4))  # it fits on a screen
    for matched, marker, colour, label in (
        (False, "o", PALETTE[-1], "left as it is"),
        (True, "s", PALETTE[0], "gets an adapter"),
    ):
        spots = [place for name, place in places.items() if (name in found.sizes) == matched]
        fill = "full" if matched else "none"
        axis.plot(
            [block for _, block in spots],
            [row for row, _ in spots],
            marker,
            color=colour,
            fillstyle=fill,
            markersize=9,
            label=label,
        )
    last = max(block for _, block in places.values())
    axis.set_xticks(range(-1, last + 1), ["outside", *map(str, range(last + 1))])
    axis.set_yticks(range(len(kinds)), kinds)
    axis.invert_yaxis()
    axis.set_xlabel("block")
    figure.suptitle("\n".join(textwrap.wrap(summary(found), 84)), fontsize=11)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def summary(found: Match) -> str:
    """The counts, or the first words of the error."""
    if found.error:
        return f"Error: {textwrap.shorten(found.error, 220, placeholder=' ...')}"
    return f"{len(found.sizes)} modules, {sum(found.sizes.values()):,d} trained numbers"


def alt(model: str, targets: str, exclude: str, blocks: str, r: int) -> str:
    """What `draw` shows, in words."""
    found = match(model, targets, exclude, blocks, r)
    kinds, places = grid(model)
    named = sorted({kinds[places[name][0]] for name in found.sizes if name in places})
    return (
        f"The layers of {model}, block by block, with target_modules {targets}, excluded "
        f"{exclude}, {blocks}, r = {r}: {summary(found)}. Marked: {', '.join(named) or 'none'}."
    )


EXPLORERS = {
    "targets": Explorer(
        "Which modules get an adapter? Choose from the lists or type your own.",
        {
            "model": Choice("Model", MODELS, "decoder"),
            "targets": FreeText("target_modules", TARGETS, TARGETS[0]),
            "exclude": FreeText("exclude_modules", EXCLUDED, "nothing"),
            "blocks": FreeText("layers_to_transform", BLOCKS, "all blocks"),
            "r": Steps("Rank r", [1, 2, 4, 8, 16, 32], 8),
        },
        draw,
        alt,
    )
}
