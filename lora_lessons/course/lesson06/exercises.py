"""Lesson 06, the bias modes: exercises with their hints, and the review cards.

The checks of training, saving and disabling are in `checks.lesson06`, that of the checkpoints in
`checks.lesson06_checkpoints`; that of the attention is here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..cards import Card
from ..checks.core import Exercise, Wrong, expect
from .checks import (
    check_adapter_contents,
    check_bias_numbers,
    check_biases_that_train,
    check_measure_base,
)
from .checks_checkpoints import check_run_blocks
from .own import MY_FILE

# --- 6.5 -------------------------------------------------------------------------------------


def check_fewer_biases(answer: Callable[..., Any], rng: torch.Generator) -> None:
    heads = int(torch.randint(2, 5, (1,), generator=rng))
    width = 3 * heads

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    x, weights = draw(5, width), [draw(width, width) / width**0.5 for _ in range(4)]
    biases = [draw(width) for _ in range(4)]  # of q, k, v and o
    b_q, b_k, b_v, b_o = biases
    own = [b_q, b_k, b_v, weights[3], b_o]
    given = [tensor.clone() for tensor in own]
    result = answer(*given)
    if any(not torch.equal(a, b) for a, b in zip(given, own, strict=True)):
        raise Wrong("What was handed in was changed in place. Return new tensors.")
    new = _four(result, width)
    for name, bias in (("k", new[1]), ("v", new[2])):
        if bias.abs().max() > 0:
            raise Wrong(f"The new bias of {name} must be zero; it is not.")
    _expect_biases(new, biases, weights[3])
    before, after = (_attention(x, weights, b, heads) for b in (biases, new))
    expect(after, before, k=width * width)


def _four(result: Any, width: int) -> list[Tensor]:
    if not isinstance(result, list | tuple) or len(result) != 4:
        raise Wrong("Return four tensors: the new biases of q, k, v and o.")
    for name, bias in zip("qkvo", result, strict=True):
        if not isinstance(bias, Tensor) or bias.shape != (width,):
            raise Wrong(f"The new bias of {name} must be a tensor of shape ({width},).")
    return [bias.detach().double() for bias in result]


def _expect_biases(new: list[Tensor], biases: list[Tensor], W_o: Tensor) -> None:
    b_q, b_k, b_v, b_o = biases
    if new[0].abs().max() == 0:
        raise Wrong("q's bias meets each key anew, b_q . k_j: it moves the weights. Keep it.")
    expect(
        new[0],
        b_q,
        mistakes={
            "k's bias does not move into q's: it adds the same to all scores of a row, so that the "
            "softmax cancels it.": b_q + b_k,
        },
    )
    expect(
        new[3],
        b_o + torch.einsum("oi,i->o", W_o, b_v),
        k=len(b_v),
        mistakes={
            "v's bias is lost. The weights of a row sum to 1, so all of it reaches the output: "
            "move it into o's.": b_o,
            "v's bias goes through W_o on its way to the output.": b_o + b_v,
            "W_o has the shape (out, in): W_o @ b_v, not its transpose.": (
                b_o + torch.einsum("oi,o->i", W_o, b_v)
            ),
            "o's own bias is lost: add to it.": torch.einsum("oi,i->o", W_o, b_v),
            "o's own bias comes after W_o: only v's goes through it.": (
                torch.einsum("oi,i->o", W_o, b_v + b_o)
            ),
            "k's bias never reaches the output: the softmax cancels it.": (
                b_o + torch.einsum("oi,i->o", W_o, b_v + b_k)
            ),
        },
    )


def _attention(x: Tensor, weights: list[Tensor], biases: list[Tensor], heads: int) -> Tensor:
    """Multi-head attention without a mask: x (T, d) -> (T, d)."""
    q, k, v = (
        (torch.einsum("oi,ti->to", W, x) + b).unflatten(1, (heads, -1))  # (T, heads, d / heads)
        for W, b in zip(weights[:3], biases[:3], strict=True)
    )
    scores = torch.einsum("thd,shd->hts", q, k) / q.shape[2] ** 0.5
    mixed = torch.einsum("hts,shd->thd", scores.softmax(-1), v).flatten(1)
    return torch.einsum("oi,ti->to", weights[3], mixed) + biases[3]


EXERCISES = [
    Exercise(
        name="biases_that_train",
        title="6.1 What trains",
        points=2,
        minutes=7,
        hints=(
            "model.named_parameters() gives all names. Which of them are biases? Look at the last "
            "word only.",
            'The bias of a wrapped layer is called f"{layer}.bias". Not every wrapped layer has '
            "one: keep only names that the model has.",
            'names = {n for n, _ in model.named_parameters() if n.split(".")[-1] == "bias"}; '
            '"lora_only": names & {f"{layer}.bias" for layer in wrapped}. Anything but the three '
            "modes: raise ValueError(...).",
        ),
        check=check_biases_that_train,
    ),
    Exercise(
        name="bias_numbers",
        title="6.2 How many numbers",
        points=1,
        minutes=5,
        hints=(
            "A bias has one number for each output of its layer.",
            "q has `hidden` outputs; k and v have kv_heads heads of hidden // heads numbers.",
            'sizes = {"q_proj": hidden, "k_proj": narrow, "v_proj": narrow}; add up the sizes of '
            "the layers that count in this mode, and multiply by blocks.",
        ),
        check=check_bias_numbers,
    ),
    Exercise(
        name="adapter_contents",
        title="6.3 What the file must hold",
        points=2,
        minutes=6,
        hints=(
            "Go through model.named_parameters(). Two kinds of names stay: factors, and the biases "
            "that were trained.",
            'A factor has the word lora_A or lora_B in its name: name.split("."). For a bias, '
            'take "base_layer." out of the name before you look it up in `biases`.',
            'Keep name if {"lora_A", "lora_B"} & set(name.split(".")) or '
            'name.replace("base_layer.", "") in biases; the value is '
            "parameter.detach().clone().",
        ),
        check=check_adapter_contents,
    ),
    Exercise(
        name="measure_base",
        title="6.4 What disabling must give back",
        points=3,
        minutes=9,
        hints=(
            "Before: note each branch_on, and clone the trained biases. Then switch and copy. "
            "After: undo both.",
            "What is undone must be undone even if `measure` fails: try and finally. Copy values "
            "with parameter.copy_(value), inside torch.no_grad().",
            "was_on = [(m, m.branch_on) for m in model.modules() if hasattr(m, 'branch_on')]; "
            "trained = {name: parameters[name].detach().clone() for name in start}; then switch "
            "off, copy start, try: return measure(model), finally: copy trained, restore was_on.",
        ),
        check=check_measure_base,
    ),
    Exercise(
        name="fewer_biases",
        title="6.5 Fewer biases, the same function",
        points=2,
        minutes=6,
        hints=(
            "Write out a score: (q + b_q) . (k_j + b_k). Which terms depend on j?",
            "b_k adds the same number to all scores of a row: the softmax cancels it. b_v is "
            "averaged with weights that sum to 1: it comes out whole.",
            "Behind the weights comes o: W_o (mix + b_v) + b_o = W_o mix + (b_o + W_o b_v).",
        ),
        check=check_fewer_biases,
    ),
    Exercise(
        name="run_blocks",
        title="6.6 The gradient that checkpointing loses",
        points=2,
        minutes=8,
        hints=(
            "A checkpoint of the reentrant kind records a block only if the block's input requires "
            "a gradient. Look at what the embedding returns: hidden.requires_grad.",
            "If hidden requires none, let it: hidden.requires_grad_() sets the flag of the tensor "
            "and leaves the embedding's weight frozen. The blocks after the first need nothing.",
            "hidden = embed(ids); if not hidden.requires_grad: hidden.requires_grad_(); for each "
            "block: hidden = torch.utils.checkpoint.checkpoint(block, hidden, use_reentrant=True).",
        ),
        check=check_run_blocks,
    ),
    MY_FILE,
]

CARDS = [
    Card(
        'What do bias="none", "lora_only" and "all" train?',
        "No bias of the base; the biases of the layers that have LoRA; every bias of the model, "
        "those of the norms and of the head too.",
    ),
    Card(
        'Is bias=None the same as bias="none"?',
        "No. The mode is a text. Here None is an error when the config is made; PEFT fails later, "
        "at injection, with an AttributeError.",
    ),
    Card(
        'What is the difference between bias="lora_only" and lora_bias=True?',
        "lora_only trains the base's own biases of the wrapped layers. lora_bias gives each B a "
        "new bias, which belongs to the adapter.",
    ),
    Card(
        "The biases were trained. What must be in the adapter's file?",
        "The factors and exactly the biases that trained. Only the factors would load without an "
        "error and compute something else.",
    ),
    Card(
        'After training with bias="all", does disable_adapter() give back the base?',
        "In PEFT not: it warns, and the trained biases stay. To get the base back, its biases must "
        "have been kept and be put back, as this package does.",
    ),
    Card(
        "Why has BERT's key bias no gradient, and why has Qwen2's?",
        "It adds the same number to every score of a row, and the softmax cancels that. Rotary "
        "positions turn it differently at each key, so there it counts.",
    ),
    Card(
        "Why may LoRA learn nothing under gradient checkpointing, and what mends it?",
        "A reentrant checkpoint records a block only if its input requires a gradient, and the "
        "output of a frozen embedding does not. Make that output require one, or take "
        "use_reentrant=False.",
    ),
    Card(
        'What does bias="all" add on a model like Llama or SmolLM2?',
        "Nothing: such models have no biases.",
    ),
]
