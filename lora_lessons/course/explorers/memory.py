"""What a training step takes of memory: the parts, for LoRA, QLoRA and full fine-tuning."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Any

from ...experiments.llama_shapes import LLAMA_SIZES, LlamaShape
from ...lora.config import LoraConfig
from ...train.memory.predict import GIB, MemoryEstimate, in_units, predict_memory
from ..plots import PALETTE, new_figure
from .base import Explorer
from .controls import Choice, Steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = {
    "5 M (the course's decoder)": LlamaShape(256, 6, 8, 4, 704, 4096),
    "135 M (SmolLM2)": LLAMA_SIZES["135 M"],
    "1 B (Llama 3.2)": LLAMA_SIZES["1 B"],
    "8 B (Llama 3.1)": LLAMA_SIZES["8 B"],
}
METHODS = {
    "LoRA, all-linear": ("bfloat16", "all-linear"),
    "LoRA, q and v": ("bfloat16", ["q_proj", "v_proj"]),
    "QLoRA, all-linear": ("4bit", "all-linear"),
    "full fine-tuning": ("float32", None),
}
CHECKPOINTING = ("kept", "computed again")
PARTS = ("frozen", "trained", "gradients", "optimizer", "activations", "logits")
MEASURED_LAYERS = (2, 3)


@cache
def estimate(
    model: str, method: str, rank: int, rows: int, length: int, activations: str
) -> MemoryEstimate:
    """The prediction for all layers, extended from two and three layers.

    Every part grows by the same amount with each further layer, so two small predictions give that
    of any depth, in a tenth of the time.
    """
    few, more = (
        _predict(model, layers, method, rank, rows, length, activations)
        for layers in MEASURED_LAYERS
    )
    further = SIZES[model].layers - MEASURED_LAYERS[0]
    values: dict[str, Any] = {"name": few.name}
    for field in dataclasses.fields(MemoryEstimate)[1:]:
        first, second = getattr(few, field.name), getattr(more, field.name)
        values[field.name] = first + further * (second - first)
    return MemoryEstimate(**values)


def _predict(
    model: str, layers: int, method: str, rank: int, rows: int, length: int, activations: str
) -> MemoryEstimate:
    """`predict_memory` for a model of the given sizes with fewer layers."""
    base, targets = METHODS[method]
    adapters = None if targets is None else LoraConfig(r=rank, target_modules=targets)
    how: dict[str, Any] = {"batch_size": rows, "length": length, "base": base}
    return predict_memory(
        SIZES[model]._replace(layers=layers).config(),
        adapters,
        recompute=activations == CHECKPOINTING[1],
        **how,
    )


def draw(model: str, method: str, rank: int, rows: int, length: int, activations: str) -> Figure:
    """A bar for each part, and a line at the step's peak."""
    found = estimate(model, method, rank, rows, length, activations)
    figure, (axis,) = new_figure()
    sizes = [getattr(found, part) / GIB for part in PARTS]
    bars = axis.barh(PARTS, sizes, color=PALETTE[: len(PARTS)])
    texts = [in_units(getattr(found, part)) for part in PARTS]
    axis.bar_label(bars, texts, padding=3)
    axis.axvline(found.peak / GIB, linestyle="--", color=PALETTE[-1])
    axis.set_xlim(0, 1.3 * max(found.peak / GIB, *sizes))
    axis.invert_yaxis()
    axis.set_xlabel("GiB; the dashed line is the peak of a step")
    axis.set_title(f"{method}: {in_units(found.peak)}")
    return figure


def alt(model: str, method: str, rank: int, rows: int, length: int, activations: str) -> str:
    """What `draw` shows, in words."""
    found = estimate(model, method, rank, rows, length, activations)
    parts = ", ".join(f"{part} {in_units(getattr(found, part))}" for part in PARTS)
    return (
        f"Memory of a training step of a model of {model} with {method} at rank {rank}, "
        f"{rows} rows of {length} tokens, activations {activations}: {parts}. "
        f"The peak is {in_units(found.peak)}."
    )


memory_panel = Explorer(
    "What does a training step take of memory?",
    {
        "model": Choice("Model", list(SIZES), "1 B (Llama 3.2)"),
        "method": Choice("Method", list(METHODS), "LoRA, all-linear"),
        "rank": Steps("Rank r", [1, 4, 16, 64, 256], 16),
        "rows": Steps("Rows of a batch", [1, 2, 4, 8, 16, 32], 8),
        "length": Steps("Tokens of a row", [128, 256, 512, 1024, 2048, 4096], 1024),
        "activations": Choice("Activations", list(CHECKPOINTING), CHECKPOINTING[0]),
    },
    draw,
    alt,
)
