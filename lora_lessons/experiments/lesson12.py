"""The experiments of lesson 12: what few bits do to a base, and what adapters repair of it.

Bits are played here on float weights: each W is replaced by W', what comes back from its codes. So
the error is all there, a step takes no longer, and many adapters can be trained at once. What bits
save is measured by `qlora_steps`, on layers that hold nothing but codes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from ..base.nf4_linear import FrozenProduct
from ..base.quantize import (
    BITS,
    BLOCK,
    OFFSET,
    bits_per_weight,
    code_bits,
    fake_quantize,
    levels,
    nearest_codes,
    normal_float,
    pack,
    quantize,
    relative_error,
    unpack,
)
from ..lora.config import LoraConfig
from ..train.fast.sweep import Job, JobResult
from ..train.loop import evaluate
from .beside_bitsandbytes import DTYPES, SHAPES, beside_bitsandbytes
from .llama_shapes import LLAMA_SIZES
from .qlora_steps import qlora_steps
from .sweeps import Sweep, open_sweep
from .task import all_linear, best_rate, linear_weights, load_task

FLOAT = "float"
WAYS = (("nf4", BLOCK), ("fp4", BLOCK), ("int4", BLOCK), ("nf4", None), ("int4", None))
WAYS += (("nf3", BLOCK), ("nf2", BLOCK))
"""The formats and blocks that are compared without training; None is one block a tensor."""
ALPHA = 16

SIZES: dict[str, dict[str, Any]] = {
    "quick": {"steps": 8, "batch_size": 2, "length": 32, "valid_blocks": 8, "seeds": [0, 1]},
    "small": {"steps": 80, "batch_size": 4, "length": 64, "valid_blocks": 48, "seeds": [0, 1, 2]},
    "full": {"steps": 200, "batch_size": 8, "length": 64, "valid_blocks": 96, "seeds": [0, 1, 2]},
}
"""The live runs' sizes, by preset."""
LIVE_RATES = {FLOAT: 3e-3, "nf4": 3e-3, "nf2": 1e-2}
"""Tuned on nano, on other seeds than the live ones."""


def name_of(form: str, block: int | None) -> str:
    """How a format is named: "NF4, blocks of 64", "int4, one block"."""
    shown = form if form == "int4" else form.upper()
    return f"{shown}, one block" if block is None else f"{shown}, blocks of {block}"


# --- 0. The pieces that stand in where the learner's are not solved yet -------------------------


def package_table(offset: float = OFFSET) -> Tensor:
    """NF4's levels by the formula: for exercise 12.1."""
    return normal_float(4, offset)


def package_quantize(W: Tensor, table: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Packed codes and scales: for exercise 12.2."""
    codes, absmax = nearest_codes(W.flatten().float(), table, block)
    return pack(codes), absmax


def package_dequantize(
    packed: Tensor,
    absmax: Tensor,
    table: Tensor,
    block: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
) -> Tensor:
    """W' from packed codes and scales: for exercise 12.3."""
    values = table[unpack(packed, math.prod(shape)).long()]
    scales = absmax.repeat_interleave(block)[: len(values)]
    return (values * scales).view(shape).to(dtype)


def package_bits(block: int, double: bool = False, second: int = 256) -> float:
    """Bits a weight of 4-bit codes: for exercise 12.4."""
    return bits_per_weight(4, block, double, second)


def package_product(x: Tensor, packed: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
    """x W'ᵀ through a weight that is decoded when it is needed: for exercise 12.5."""

    class Codes(nn.Module):
        def decoded(self, dtype: torch.dtype) -> Tensor:
            return decode(packed).to(dtype)

    return FrozenProduct.apply(x, Codes())


# --- 1. Error and loss, without training -------------------------------------------------------


@contextmanager
def in_few_bits(model: nn.Module, form: str, block: int | None = BLOCK) -> Iterator[None]:
    """Inside, each linear weight of the blocks is what its codes give back; bit for bit after."""
    if form == FLOAT:
        yield
        return
    with weights_replaced(model, lambda name, W: fake_quantize(W, form, block)):
        yield


@contextmanager
def weights_replaced(model: nn.Module, change: Any) -> Iterator[None]:
    """Inside, each linear weight W is `change(name, W)`; afterwards W again."""
    weights = linear_weights(model)
    kept = {name: weight.detach().clone() for name, weight in weights.items()}
    try:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(change(name, kept[name]))
        yield
    finally:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(kept[name])


def error_table(
    base: str = "nano",
    ways: Sequence[tuple[str, int | None]] = WAYS,
    length: int = 64,
    valid_blocks: int | None = 48,
    device: str = "cpu",
    dtype: str = "float32",
) -> dict[str, Any]:
    """Bits, error of the weights, use of the codes and validation loss, for each way to quantize.

    The error is that of all linear layers of the blocks together, relative. "used" is the entropy
    of the codes, in bits. Nothing is trained.
    """
    model, _, valid = load_task(base, length, device, getattr(torch, dtype), valid_blocks)
    rows = [_error_row(model, valid, form, block) for form, block in ways]
    return {"float": evaluate(model, valid), "rows": rows}


def _error_row(model: nn.Module, valid: Tensor, form: str, block: int | None) -> dict[str, Any]:
    weights = list(linear_weights(model).values())
    coded = [quantize(W, form, block) for W in weights]
    flat = torch.cat([W.detach().flatten() for W in weights])
    back = torch.cat([fake_quantize(W, form, block).flatten() for W in weights])
    with in_few_bits(model, form, block):
        loss = evaluate(model, valid)
    size = block or max(W.numel() for W in weights)
    return {
        "form": form,
        "block": block,
        "bits": bits_per_weight(BITS[form], size),
        "error": relative_error(flat, back),
        "used": code_bits(torch.cat([q.codes for q in coded]), len(levels(form))),
        "loss": loss,
    }


# --- 2. Adapters beside a base in few bits -----------------------------------------------------


def config(r: int = 8) -> LoraConfig:
    """LoRA on all linear layers of the blocks; alpha stays while r changes (lesson 03)."""
    return all_linear(r, ALPHA)


def formats_sweep(
    forms: Sequence[str] = (FLOAT, "nf4", "nf3", "nf2"),
    ranks: Sequence[int] = (8,),
    lrs: Sequence[float] = (1e-3, 3e-3, 1e-2),
    tuning_seeds: Sequence[int] = (100, 101, 102),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    **run: Any,
) -> dict[str, Any]:
    """Adapters on a base in few bits, each format at its own best rate, then on fresh seeds.

    `tuning`: the loss at the end for every format, rank, rate and tuning seed. `fresh`: for every
    fresh seed the loss before and after training at the rate with the lowest mean, and, for the
    merges, see `merged_losses`. All arms of a seed see the same batches. `run`: see `RunSettings`.
    """
    sweep = open_sweep(run, steps=80, valid_blocks=48)
    tuning, fresh = [], []
    for form in forms:
        plan = list(product(ranks, lrs, tuning_seeds))
        found = zip(plan, _trained(sweep, form, plan), strict=True)
        tuning += [_row(form, one, {"loss": result.history.last}) for one, result in found]
        rates = {r: best_rate(tuning, form=form, r=r) for r in ranks}
        fresh += fresh_rows(sweep, form, [(r, rates[r], seed) for r in ranks for seed in seeds])
    return {"tuning": tuning, "fresh": fresh}


def trained_rows(
    rates: Mapping[str, float], r: int = 8, seeds: Sequence[int] = (0, 1, 2), **run: Any
) -> list[dict[str, Any]]:
    """The `fresh` rows of `formats_sweep`, each format at the rate that is given for it."""
    sweep = open_sweep(run, steps=80, valid_blocks=48)
    plans = {form: [(r, lr, seed) for seed in seeds] for form, lr in rates.items()}
    return [row for form, plan in plans.items() for row in fresh_rows(sweep, form, plan)]


Run = tuple[int, float, int]
"""(r, learning rate, seed)."""


def _trained(sweep: Sweep, form: str, plan: Sequence[Run]) -> list[JobResult]:
    with in_few_bits(sweep.model, form):
        return sweep.train(Job(config(r), lr, seed) for r, lr, seed in plan)


def fresh_rows(sweep: Sweep, form: str, plan: Sequence[Run]) -> list[dict[str, Any]]:
    """Train each run of the plan on the base in this format: its losses, those of its merges."""
    return [
        _row(form, one, {"before": result.history.eval_losses[0], "after": result.history.last})
        | merged_losses(sweep.model, sweep.valid, form, result)
        for one, result in zip(plan, _trained(sweep, form, plan), strict=True)
    ]


def _row(form: str, run: Run, found: Mapping[str, float]) -> dict[str, Any]:
    return {"form": form, **dict(zip(("r", "lr", "seed"), run, strict=True)), **found}


def merged_losses(
    model: nn.Module, valid: Tensor, form: str, result: JobResult
) -> dict[str, float]:
    """Validation loss of three merges of one trained adapter, whose base was W' in `form`.

    "decoded" is W' + s B A kept as floats, what was trained; "original" is W + s B A, on the float
    weights before they were coded; "again" is W' + s B A in codes of the same format (of NF4, where
    the base was in floats).
    """
    scaling = result.job.config.lora_alpha / result.job.config.r
    updates = {name: scaling * B @ A for name, (A, B) in result.factors.items()}

    def of_few(W: Tensor) -> Tensor:
        return W if form == FLOAT else fake_quantize(W, form)

    changes = {
        "decoded": lambda name, W: of_few(W) + updates[name].to(W),
        "original": lambda name, W: W + updates[name].to(W),
        "again": lambda name, W: fake_quantize(
            of_few(W) + updates[name].to(W), "nf4" if form == FLOAT else form
        ),
    }
    losses = {}
    for way, change in changes.items():
        with weights_replaced(model, change):
            losses[way] = evaluate(model, valid)
    return losses


# --- 3. Bytes ----------------------------------------------------------------------------------


def linear_bytes(model: nn.Module) -> int:
    """Bytes of the linear layers of the blocks: weights, and what it takes to decode them."""
    layers = [
        m for n, m in model.named_modules() if isinstance(m, nn.Linear) and "lm_head" not in n
    ]
    tables = ("pairs", "decades")  # the same for all layers: no part of the weights
    return sum(
        layer.weight.nbytes + sum(b.nbytes for n, b in layer.named_buffers() if n not in tables)
        for layer in layers
    )


def eight_billion() -> Any:
    """The shape of an 8 B Llama: 32 blocks of width 4,096."""
    return LLAMA_SIZES["8 B"].config(use_cache=False)


_FULL: dict[str, Any] = {
    "forms": [FLOAT, "nf4", "nf3", "nf2"],
    "ranks": [8, 32],
    "lrs": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2],
    "tuning_seeds": [100, 101, 102],
    "seeds": [0, 1, 2, 3, 4],
    "steps": 400,
    "batch_size": 8,
    "length": 128,
    "valid_blocks": 116,
    "device": "cuda",
}
_TINY: dict[str, Any] = {
    "base": "nano",
    "forms": [FLOAT, "nf2"],
    "ranks": [4],
    "lrs": [2e-3, 2e-2],
    "tuning_seeds": [100],
    "seeds": [0],
    "steps": 4,
    "batch_size": 2,
    "length": 16,
    "valid_blocks": 4,
    "device": "cpu",
    "dtype": "float64",
}
_ERRORS: dict[str, Any] = {"length": 128, "valid_blocks": 116, "device": "cpu"}
_ONE_BILLION: dict[str, Any] = {
    "hidden": 2048, "layers": 16, "heads": 32, "kv_heads": 8, "feed_forward": 8192,
    "vocabulary": 128256, "length": 2048,
}  # fmt: skip

RECORDINGS = {
    "12_errors": (
        error_table,
        {**_ERRORS, "base": "decoder"},
        {"base": "nano", "length": 16, "valid_blocks": 4, "dtype": "float64"},
    ),
    "12_bitsandbytes": (
        beside_bitsandbytes,
        {"shapes": [list(one) for one in SHAPES], "dtypes": list(DTYPES)},
        None,
    ),
    "12_formats": (formats_sweep, {**_FULL, "base": "decoder"}, _TINY),
    "12_formats_nano": (formats_sweep, {**_FULL, "base": "nano"}, {**_TINY, "forms": ["nf3"]}),
    "12_steps": (
        qlora_steps,
        {**_ONE_BILLION, "batch_sizes": [8, 1], "device": "cuda", "dtype": "bfloat16"},
        {
            "hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2, "feed_forward": 128,
            "vocabulary": 256, "length": 16, "batch_sizes": [2], "device": "cpu",
            "dtype": "float32", "rounds": 1,
        },
    ),
}  # fmt: skip
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
