"""Lesson 06: which biases train in each mode, and what a bias of q, k or v does to attention."""

from __future__ import annotations

import copy
import warnings
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from ...experiments.key_bias import attend
from ...experiments.lesson05 import toy_models
from ...lora.config import LoraConfig
from ...lora.layer import LoraLayer
from ...lora.model import get_peft_model
from ...lora.more.adapters.biases import trained_biases
from ...seeding import generator
from ..explorers.base import Explorer
from ..explorers.controls import Choice, Steps
from ..plots import PALETTE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# --- 1. The map of biases --------------------------------------------------------------------

WRAPPED = {
    "decoder": (["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"]),
    "encoder": (["query", "value"], ["query", "key", "value", "attention.output.dense"]),
    "GPT-2": (["c_attn"], ["c_attn", "attn.c_proj"]),
    "Llama": (["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"]),
    "T5": (["q", "v"], ["q", "k", "v", "o"]),
}
"""The names of q and v, and of the whole attention, in each model."""
LAYERS = ("q and v", "attention", "all-linear")
MODES = ("none", "lora_only", "all")
NO_BIAS, FROZEN, TRAINS = "no bias", "a bias, frozen", "a bias that trains"


class Map(NamedTuple):
    """Each layer's place and state: name -> (kind, block), state; and the numbers that train."""

    kinds: list[str]
    places: dict[str, tuple[int, int]]  # block -1: outside the blocks
    states: dict[str, str]
    wrapped: set[str]
    factors: int
    biases: int


@cache
def models() -> dict[str, nn.Module]:
    """The explorer's models, names and shapes without numbers; Llama stands for SmolLM2's kind."""
    import transformers as hf

    toys = {name: model for name, model in toy_models().items() if name in WRAPPED}
    sizes = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9}
    llama = hf.LlamaConfig(vocab_size=49_152, num_hidden_layers=4, num_key_value_heads=3, **sizes)
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 8}
    bert = hf.BertConfig(vocab_size=4_096, num_hidden_layers=6, **sizes)
    with torch.device("meta"):
        return toys | {"Llama": hf.LlamaForCausalLM(llama), "encoder": hf.BertForMaskedLM(bert)}


@cache
def bias_map(model: str, layers: str, mode: str, r: int) -> Map:
    """Inject into a copy of the model and ask the engine what trains."""
    qv, attention = WRAPPED[model]
    targets = {"q and v": qv, "attention": attention, "all-linear": "all-linear"}[layers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of GPT-2's transposed weight: not what is looked at here
        config = LoraConfig(r=r, target_modules=targets, bias=mode)
        adapted = get_peft_model(copy.deepcopy(models()[model]), config).get_base_model()
    trained = trained_biases(adapted, mode)
    kinds, places = _places(models()[model])
    states = {
        name: TRAINS
        if f"{name}.bias" in trained
        else NO_BIAS
        if getattr(models()[model].get_submodule(name), "bias", None) is None
        else FROZEN
        for name in places
    }
    sizes = {id(bias): bias.numel() for bias in trained.values()}  # one may have two names
    every = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    wrapped = {name for name, module in adapted.named_modules() if isinstance(module, LoraLayer)}
    biases = sum(sizes.values())
    return Map(kinds, places, states, wrapped, every - biases, biases)


def _places(model: nn.Module) -> tuple[list[str], dict[str, tuple[int, int]]]:
    """The layers that could have a bias, by kind and block."""
    kinds: dict[str, None] = {}
    places = {}
    for name, module in model.named_modules():
        if not hasattr(module, "weight") or isinstance(module, nn.Embedding):
            continue
        words = name.split(".")
        at = next((i for i, word in enumerate(words) if word.isdigit()), None)
        kind = ".".join("*" if i == at else word for i, word in enumerate(words))
        kinds[kind] = None
        places[name] = (kind, -1 if at is None else int(words[at]))
    order = list(kinds)
    return order, {name: (order.index(kind), block) for name, (kind, block) in places.items()}


def draw_map(model: str, layers: str, mode: str, r: int) -> Figure:
    """One mark for each layer: has it a bias, does that train, and has the layer LoRA?"""
    found = bias_map(model, layers, mode, r)
    figure, (axis,) = new_figure()
    figure.set_size_inches(8.4, 1.9 + min(0.25 * len(found.kinds), 4.2))  # it fits on a screen
    around = 15 if len(found.kinds) < 18 else 11
    with_lora = list(found.wrapped & set(found.places))
    _marks(axis, found, with_lora, "s", "none", around, "has LoRA", 2)
    for state, marker, fill, colour in (
        (NO_BIAS, ".", "full", -1),
        (FROZEN, "o", "none", 0),
        (TRAINS, "D", "full", 1),
    ):
        names = [name for name, now in found.states.items() if now == state]
        _marks(axis, found, names, marker, fill, 7, state, colour)
    last = max(block for _, block in found.places.values())
    axis.set_xticks(range(-1, last + 1), ["outside", *map(str, range(last + 1))])
    axis.set_yticks(range(len(found.kinds)), found.kinds)
    axis.margins(y=0.06)
    axis.invert_yaxis()
    axis.set_xlabel("block")
    axis.set_title(summary(found))
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def _marks(
    axis: Axes,
    found: Map,
    names: list[str],
    marker: str,
    fill: str,
    size: float,
    label: str,
    colour: int,
) -> None:
    axis.plot(
        [found.places[name][1] for name in names],
        [found.places[name][0] for name in names],
        marker,
        color=PALETTE[colour],
        fillstyle=fill,
        markersize=size,
        label=label,
    )


def summary(found: Map) -> str:
    """The numbers that train."""
    return f"{found.factors:,d} numbers train in A and B, {found.biases:,d} in biases"


def alt_map(model: str, layers: str, mode: str, r: int) -> str:
    """What `draw_map` shows, in words."""
    found = bias_map(model, layers, mode, r)
    kinds = {
        state: sorted(
            {found.kinds[found.places[n][0]] for n, s in found.states.items() if s == state}
        )
        for state in (FROZEN, TRAINS)
    }
    return (
        f'The layers of {model} with LoRA of rank {r} on {layers}, bias="{mode}": '
        f"{summary(found)}. Biases that train: {', '.join(kinds[TRAINS]) or 'none'}. "
        f"Frozen biases: {', '.join(kinds[FROZEN]) or 'none'}."
    )


# --- 2. A bias in attention ------------------------------------------------------------------

TOKENS, WIDTH = 6, 8
POSITIONS = {"added to the input, as in BERT": False, "rotary, as in Qwen2": True}
OF = ("query", "key", "value")


@cache
def head() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q, k, v (T, d) of a head with random numbers, and a bias (d,) of length 1."""
    q, k, v = torch.randn(3, TOKENS, WIDTH, generator=generator(3), dtype=torch.float64)
    bias = torch.randn(WIDTH, generator=generator(4), dtype=torch.float64)
    return q, k, v, bias / bias.norm()


def with_bias(of: str, size: float, positions: str) -> tuple[Tensor, Tensor, Tensor]:
    """The weights (T, T) before and after the bias is added, and each output's change (T,)."""
    *parts, bias = head()
    rope = POSITIONS[positions]
    before, output = attend(*parts, rope=rope)
    parts[OF.index(of)] = parts[OF.index(of)] + size * bias
    after, moved = attend(*parts, rope=rope)
    return before, after, (moved - output).norm(dim=1)


def draw_attention(of: str, size: float, positions: str) -> Figure:
    """The weights without the bias, the weights with it, and how far each output moves."""
    before, after, change = with_bias(of, size, positions)
    figure, axes = new_figure(1, 3)
    for axis, weights, title in (
        (axes[0], before, "weights without the bias"),
        (axes[1], after, f"with {size:g} x a bias of the {of}"),
    ):
        image = axis.imshow(weights.numpy(), cmap="cividis", vmin=0, vmax=1)
        axis.set_xlabel("key")
        axis.set_ylabel("query")
        axis.set_title(title)
        axis.grid(False)
    figure.colorbar(image, ax=axes[1], label="weight")
    axes[2].bar(range(TOKENS), change.numpy(), color=PALETTE[0])
    axes[2].set_ylim(0, max(4.0, float(change.max())))
    axes[2].set_xlabel("query")
    axes[2].set_ylabel("distance")
    still = float(change.max()) < 1e-9
    axes[2].set_title("how far the output moves" + (":\n0 everywhere" if still else ""))
    return figure


def alt_attention(of: str, size: float, positions: str) -> str:
    """What `draw_attention` shows, in words."""
    before, after, change = with_bias(of, size, positions)
    return (
        f"Attention of {TOKENS} tokens, positions {positions}; {size:g} times a bias of length 1 "
        f"is added to each {of}. The largest change of a weight is "
        f"{(after - before).abs().max():.3f}; the outputs move by {change.min():.3f} to "
        f"{change.max():.3f}."
    )


EXPLORERS = {
    "biases": Explorer(
        "Which biases are there, and which train?",
        {
            "model": Choice("Model", tuple(WRAPPED), "encoder"),
            "layers": Choice("LoRA on", LAYERS, "q and v"),
            "mode": Choice("bias", MODES, "lora_only"),
            "r": Steps("Rank r", [1, 2, 4, 8, 16, 32], 8),
        },
        draw_map,
        alt_map,
    ),
    "attention": Explorer(
        "What does a bias of q, k or v do?",
        {
            "of": Choice("Bias of the", OF, "key"),
            "size": Steps("Length", [0.0, 0.5, 1.0, 2.0, 4.0, 8.0], 4.0),
            "positions": Choice("Positions", tuple(POSITIONS), next(iter(POSITIONS))),
        },
        draw_attention,
        alt_attention,
    ),
}
