"""The experiments of lesson 13: variants of LoRA, compared fairly and hastily.

The runs are in `variants`, what a step costs in `variant_costs`; here are the pieces that stand in
for a learner's unsolved exercises, the trap of a scaling, the sizes of the live runs, and the
recordings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from ..base.quantize import fake_quantize, relative_error
from ..lora.config import LoraConfig
from ..lora.more.init.principal import pissa_factors
from ..train.fast.sweep import Job
from ..train.loop import evaluate
from ..train.optim import is_factor_B
from .lesson12 import weights_replaced
from .sweeps import open_sweep
from .task import all_linear, linear_weights, load_task
from .variant_costs import step_costs
from .variants import ARMS, tune_and_measure

SIZES: dict[str, dict[str, Any]] = {
    "quick": {"steps": 8, "batch_size": 2, "length": 32, "valid_blocks": 8, "seeds": [0, 1]},
    "small": {"steps": 40, "batch_size": 4, "length": 64, "valid_blocks": 48, "seeds": [0, 1]},
    "full": {"steps": 200, "batch_size": 8, "length": 64, "valid_blocks": 96, "seeds": [0, 1, 2]},
}
"""The live runs' sizes, by preset."""

# --- The pieces that stand in where the learner's are not solved yet ----------------------------


def rs_scaling(lora_alpha: float, r: int) -> tuple[float, float]:
    """rsLoRA's scaling, and the alpha of plain LoRA with the same: for exercise 13.1."""
    return lora_alpha / math.sqrt(r), lora_alpha * math.sqrt(r)


def dora_weight(W: Tensor, A: Tensor, B: Tensor, m: Tensor, s: float) -> Tensor:
    """DoRA's W' (out, in), with the lengths as constants: for exercise 13.2."""
    V = W + s * (B @ A)
    return m[:, None] * V / V.detach().norm(dim=1, keepdim=True)


def pissa(W: Tensor, r: int, s: float) -> tuple[Tensor, Tensor, Tensor]:
    """(what stays of W, A, B): for exercise 13.3."""
    B, A = pissa_factors(W, r, s, "pissa")
    return W - s * (B @ A), A, B


def loraplus_groups(model: nn.Module, lr: float, ratio: float) -> list[dict[str, Any]]:
    """Two groups for an optimizer: for exercise 13.4."""
    groups: dict[bool, dict[str, Any]] = {
        fast: {"params": [], "lr": lr * (ratio if fast else 1)} for fast in (False, True)
    }
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[is_factor_B(name)]["params"].append(parameter)
    return list(groups.values())


def loftq(
    W: Tensor, quantize: Callable[[Tensor], Tensor], r: int, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """(Q, A, B) after so many turns: for exercise 13.5."""
    Q, held = W, torch.zeros_like(W)
    for _ in range(steps):
        Q = quantize(W - held)
        B, A = pissa_factors(W - Q, r, 1.0, "pissa")
        held = B @ A
    return Q, A, B


# --- LoftQ, without training ------------------------------------------------------------------


def loftq_table(
    make: Callable[..., tuple[Tensor, Tensor, Tensor]] = loftq,
    forms: Sequence[str] = ("nf4", "nf2"),
    turns: Sequence[int] = (0, 1, 5),
    r: int = 8,
    base: str = "nano",
    length: int = 64,
    valid_blocks: int | None = 48,
) -> list[dict[str, Any]]:
    """{"form", "turns", "error", "loss"} of Q + B A in place of every W; 0 turns is Q alone.

    The error is relative, over all linear layers of the blocks; nothing is trained.
    """
    model, _, valid = load_task(base, length, "cpu", valid_blocks=valid_blocks)
    weights = {name: W.detach().clone() for name, W in linear_weights(model).items()}
    flat = torch.cat([W.flatten() for W in weights.values()])
    rows = []
    for form in forms:
        for count in turns:
            changed = {name: _start(make, W, form, r, count) for name, W in weights.items()}
            with weights_replaced(model, lambda name, W, changed=changed: changed[name]):
                loss = evaluate(model, valid)
            back = torch.cat([W.flatten() for W in changed.values()])
            error = relative_error(flat, back)
            rows.append({"form": form, "turns": count, "error": error, "loss": loss})
    return rows


def _start(make: Any, W: Tensor, form: str, r: int, turns: int) -> Tensor:
    """Q + B A after so many turns."""
    if turns == 0:
        return fake_quantize(W, form)
    Q, A, B = make(W, lambda X: fake_quantize(X, form), r, turns)
    return Q + B @ A


# --- The trap of a scaling -------------------------------------------------------------------

SCALED = ("LoRA, alpha = 2r", "rsLoRA, alpha = r")


def scaled_config(arm: str, r: int) -> LoraConfig:
    """One of `SCALED`: scalings of 2 and of sqrt(r), which is 8 at r = 64."""
    plain = arm == SCALED[0]
    return all_linear(r) if plain else all_linear(r, r, use_rslora=True)


def scaling_trap(
    lrs: Sequence[float], seeds: Sequence[int], r: int = 32, **run: Any
) -> list[dict[str, Any]]:
    """Two configs whose scalings differ, at every rate and seed: one row a run.

    The loss is nan where a run diverged. `run`: see `RunSettings`.
    """
    sweep = open_sweep(run, valid_blocks=48, jobs_at_once=14)
    plan = list(product(SCALED, lrs, seeds))
    results = sweep.train(
        (Job(scaled_config(arm, r), lr, seed) for arm, lr, seed in plan), compile=False
    )
    return [
        {
            "arm": arm,
            "lr": lr,
            "seed": seed,
            "loss": math.nan if one.history.diverged else one.history.last,
        }
        for (arm, lr, seed), one in zip(plan, results, strict=True)
    ]


# --- Recordings ------------------------------------------------------------------------------

_DECODER: dict[str, Any] = {
    "base": "decoder", "steps": 300, "batch_size": 8, "length": 64, "valid_blocks": 192,
    "tuning_seeds": [10, 11], "seeds": [0, 1, 2, 3, 4], "width": 5, "device": "cuda",
}  # fmt: skip
_TINY: dict[str, Any] = {
    "base": "nano", "steps": 2, "batch_size": 2, "length": 16, "valid_blocks": 2,
    "tuning_seeds": [10], "seeds": [0], "width": 3, "r": 4, "dtype": "float64",
}  # fmt: skip
_TRAP: dict[str, Any] = {
    "lrs": [3e-5, 1e-4, 3e-4, 1e-3, 3e-3], "seeds": [10, 11, 0, 1, 2, 3, 4],
    "base": "decoder", "r": 64, "steps": 300, "batch_size": 8, "length": 64, "valid_blocks": 192,
    "jobs_at_once": 18, "device": "cuda",
}  # fmt: skip
_TINY_TRAP: dict[str, Any] = {
    "lrs": [1e-3], "seeds": [0], "steps": 2, "batch_size": 2, "length": 16, "valid_blocks": 2,
    "dtype": "float64",
}  # fmt: skip
_ONE_BILLION: dict[str, Any] = {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    "max_position_embeddings": 2048,
}  # fmt: skip
_THREE = (("LoRA", "rsLoRA", "DoRA"), ("PiSSA", "OLoRA"), ("orthogonal", "LoRA+", "LoRA-FA"))

RECORDINGS = {
    **{
        f"13_variants_{number}": (
            tune_and_measure,
            {**_DECODER, "arms": list(arms)},
            {**_TINY, "arms": list(arms)},
        )
        for number, arms in enumerate(_THREE, start=1)
    },
    "13_scaling": (scaling_trap, _TRAP, _TINY_TRAP),
    "13_costs": (
        step_costs,
        {
            "bases": [
                {"base": "decoder", "arms": list(ARMS), "batch_size": 8, "length": 64},
                {
                    "base": "1 B", "arms": ["LoRA", "DoRA", "LoRA+", "LoRA-FA"],
                    "batch_size": 4, "length": 1024, "shape": _ONE_BILLION,
                },
            ],
            "device": "cuda",
        },
        {
            "bases": [{"base": "nano", "arms": list(ARMS), "batch_size": 2, "length": 16}],
            "device": "cpu", "dtype": "float64", "rounds": 1,
        },
    ),
}  # fmt: skip
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
