"""Lesson 05's question with the student's own numbers: how many numbers a choice trains."""

from __future__ import annotations

from typing import Any

from ..checks.own import Numbers, OwnNumbers, own_exercise
from ..student import Draw

BLOCKS = 6
# (out, in) of the decoder's linear layers, the same in each block
SHAPES = {
    "q_proj": (256, 256),
    "k_proj": (128, 256),
    "v_proj": (128, 256),
    "o_proj": (256, 256),
    "gate_proj": (704, 256),
    "up_proj": (704, 256),
    "down_proj": (256, 704),
}


def draw(numbers: Draw) -> dict[str, Any]:
    """A config for the decoder: one attention matrix at least, and one of k and v."""
    narrow = numbers.some(["k_proj", "v_proj"], 1)
    others = [name for name in SHAPES if name not in ("k_proj", "v_proj")]
    return {
        "r": numbers.whole(3, 60),
        "target_modules": narrow + numbers.some(others, numbers.whole(1, 4)),
        "layers_to_transform": numbers.some(range(BLOCKS), numbers.whole(2, 5)),
    }


def _numbers(r: int, names: list[str], blocks: int) -> int:
    return blocks * r * sum(sum(SHAPES[name]) for name in names)


def right(r: int, target_modules: list[str], layers_to_transform: list[int]) -> tuple[int]:
    """r (out + in) of each targeted layer, in the blocks that are named."""
    return (_numbers(r, target_modules, len(layers_to_transform)),)


def mistakes(
    r: int, target_modules: list[str], layers_to_transform: list[int]
) -> dict[str, Numbers]:
    """What each mistake gives."""
    blocks = len(layers_to_transform)
    wide = sum(512 if name[0] in "kv" else sum(SHAPES[name]) for name in target_modules)
    outputs, inputs = (sum(SHAPES[name][side] for name in target_modules) for side in (0, 1))
    full = sum(SHAPES[name][0] * SHAPES[name][1] for name in target_modules)
    return {
        "This counts every block. layers_to_transform keeps some of them only.": (
            _numbers(r, target_modules, BLOCKS),
        ),
        "This is one block. Count those of layers_to_transform.": (_numbers(r, target_modules, 1),),
        "k_proj and v_proj are half as wide as q_proj: print their shapes.": (blocks * r * wide,),
        "This is every linear layer of these blocks. Count your target_modules only.": (
            _numbers(r, list(SHAPES), blocks),
        ),
        "These are the layers' own weights. They are frozen: A and B train.": (blocks * full,),
        "This is rank 1. Your config has another.": (_numbers(1, target_modules, blocks),),
        "This is A alone. B, with out x r numbers, trains too.": (blocks * r * inputs,),
        "This is B alone. A, with r x in numbers, trains too.": (blocks * r * outputs,),
    }


MY_TARGETS = own_exercise(
    OwnNumbers(draw, right, mistakes),
    name="my_targets",
    title="5.8 What your own targets train",
    points=1,
    minutes=4,
    hints=(
        "Each adapted layer trains r (out + in) numbers. Section 1 prints the shapes of one block.",
        "Add out + in over your target_modules, and count the blocks of layers_to_transform.",
        "Or ask the model: print plan_injection(model, ll.LoraConfig(**mine)), and add up what it "
        "says, layer by layer.",
    ),
)
