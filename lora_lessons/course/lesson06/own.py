"""Lesson 06's question with the student's own numbers: what the file holds in two modes."""

from __future__ import annotations

from typing import Any

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw


def draw(numbers: Draw) -> dict[str, Any]:
    """A decoder of the Qwen2 kind, and LoRA on o_proj and on one of q, k and v."""
    kv_heads, size = numbers.whole(2, 4), 2 * numbers.whole(4, 16)
    heads = kv_heads * numbers.whole(2, 4)
    return {
        "hidden": heads * size,
        "heads": heads,
        "kv_heads": kv_heads,
        "blocks": numbers.whole(3, 12),
        "r": numbers.whole(3, 20),
        "target_modules": [*numbers.some(["q_proj", "k_proj", "v_proj"], 1), "o_proj"],
    }


def _held(
    widths: dict[str, int], hidden: int, blocks: int, r: int, biases: list[str], targets: list[str]
) -> int:
    """Numbers of the factors of `targets` and of the biases of `biases`, in all blocks."""
    factors = r * sum(widths[name] + hidden for name in targets)
    return blocks * (factors + sum(widths[name] for name in biases))


def _widths(hidden: int, narrow: int) -> dict[str, int]:
    return {"q_proj": hidden, "k_proj": narrow, "v_proj": narrow, "o_proj": hidden}


def right(
    hidden: int, heads: int, kv_heads: int, blocks: int, r: int, target_modules: list[str]
) -> tuple[int, int]:
    """The numbers in the file under "lora_only" and under "all"."""
    widths = _widths(hidden, kv_heads * (hidden // heads))
    own, every = [target_modules[0]], ["q_proj", "k_proj", "v_proj"]
    return (
        _held(widths, hidden, blocks, r, own, target_modules),
        _held(widths, hidden, blocks, r, every, target_modules),
    )


def mistakes(
    hidden: int, heads: int, kv_heads: int, blocks: int, r: int, target_modules: list[str]
) -> dict[str, Numbers]:
    """What each mistake gives."""
    widths = _widths(hidden, kv_heads * (hidden // heads))
    own, every = [target_modules[0]], ["q_proj", "k_proj", "v_proj"]
    wide = _widths(hidden, hidden)

    def both(widths: dict[str, int], blocks: int, own: list[str], every: list[str]) -> Numbers:
        return (
            _held(widths, hidden, blocks, r, own, target_modules),
            _held(widths, hidden, blocks, r, every, target_modules),
        )

    factors = _held(widths, hidden, blocks, r, [], target_modules)
    only = both(widths, blocks, own, every)

    def without(numbers: int) -> Numbers:
        return only[0] - numbers, only[1] - numbers

    of_o = blocks * r * 2 * hidden
    return {
        'These are in the wrong order: "lora_only" comes first.': (only[1], only[0]),
        # A of both layers has as many numbers as A and B of o_proj, which is square
        "Factors are missing: A of both layers, or A and B of o_proj.": without(of_o),
        f"Factors are missing: B of both layers, or A and B of {own[0]}.": without(factors - of_o),
        "k and v have kv_heads heads. This counts one.": both(
            _widths(hidden, hidden // heads), blocks, own, every
        ),
        "k and v are not hidden // kv_heads wide. A head has hidden // heads numbers.": both(
            _widths(hidden, hidden // kv_heads), blocks, own, every
        ),
        "RMSNorm has a weight and no bias.": (None, only[1] + (2 * blocks + 1) * hidden),
        'o_proj has no bias, so that "all" trains none there.': (
            None,
            only[1] + blocks * hidden,
        ),
        "These are the biases. The factors are in the file too.": (
            only[0] - factors,
            only[1] - factors,
        ),
        "o_proj has no bias in this architecture.": (
            _held(widths, hidden, blocks, r, [*own, "o_proj"], target_modules),
            None,
        ),
        '"all" trains the biases of layers without LoRA too.': (only[0], only[0]),
        '"lora_only" trains the biases of the layers with LoRA alone.': (only[1], only[1]),
        "This is one block.": both(widths, 1, own, every),
        "k and v have kv_heads heads only: they are narrower than q.": both(
            wide, blocks, own, every
        ),
        'This is the file of "none", without biases.': (factors, None),
    }


MY_FILE = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_file",
    title="6.8 What your own file holds",
    points=1,
    minutes=4,
    hints=(
        "The file holds A and B of each layer with LoRA, r (in + out) numbers, and the biases that "
        "train. Count one block, then all.",
        "in is `hidden` for all four layers; out is `hidden` for q and o, and "
        "kv_heads * (hidden // heads) for k and v. o_proj has no bias.",
        'Factors: blocks * r * (sum of out + hidden over your targets). "lora_only" adds '
        'blocks * out of the one target that has a bias, "all" adds blocks * (out of q, k and v).',
    ),
)
