"""The experiments of lesson 09: what merging rounds away, and two authors on one base.

Rounding acts on weights alone here: a base in bfloat16 is the base with its weights rounded, and
all sums run in the type that the model was loaded in. So a difference in loss comes from merging.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base.load import load_base
from ..base.text import addresses, load_text, split_every
from ..base.tokens import TokenBatches, blocks, encode_lines
from ..lora.config import LoraConfig
from ..seeding import generator
from ..train.fast.sweep import Job, JobResult, train_many
from ..train.loop import evaluate, fit
from .task import all_linear

SIZES: dict[str, dict[str, Any]] = {
    "quick": {
        "steps": 12,
        "batch_size": 4,
        "length": 32,
        "valid_blocks": 8,
        "characters": 200_000,
    },
    "small": {"steps": 60, "batch_size": 4, "length": 64, "valid_blocks": 24},
    "full": {"steps": 400, "batch_size": 16, "length": 64, "valid_blocks": 96},
}
"""The live runs' sizes, by preset."""

DTYPES = ("float32", "float16", "bfloat16")
FACTORS = (1.0, 0.3, 0.1, 0.03, 0.01)
AUTHORS = ("melville", "president")
LATE = 20  # the last addresses, from about 1999 on
LEARNING_RATES = {"melville": 5e-3, "president": 1e-3}
"""Tuned on nano: the base has read the presidents already, and little is left to learn there."""


def config(r: int = 8, alpha: float = 16) -> LoraConfig:
    """LoRA on all linear layers of the blocks."""
    return all_linear(r, alpha)


# --- 1. Two authors ----------------------------------------------------------------------------


def texts(author: str) -> tuple[str, str]:
    """An author's training and validation text: Moby Dick, or late State of the Union addresses."""
    if author == "melville":
        corpus = load_text("moby_dick")
        return corpus.train, corpus.valid
    train, valid = split_every(addresses(), 25)  # as the base was pretrained and validated
    return "".join(train[-LATE:]), "".join(valid[-3:])


def spread(ids: Tensor, length: int, count: int) -> Tensor:
    """`count` blocks (count, length), evenly spaced over the text."""
    cut = blocks(ids, length)
    return cut[:: max(1, len(cut) // count)][:count]


def two_authors(
    base: str = "nano",
    steps: int = 120,
    batch_size: int = 4,
    length: int = 64,
    valid_blocks: int = 24,
    characters: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> tuple[dict[str, JobResult], dict[str, Tensor]]:
    """Train one adapter for each author; return them, and each author's unread blocks.

    `characters` cuts each text (None: all of it): to encode a book takes longer than twelve steps.
    """
    model, tokenizer = load_base(base, device=device)
    jobs, unread = [], {}
    for i, author in enumerate(AUTHORS):
        train, valid = (encode_lines(tokenizer, text[:characters]) for text in texts(author))
        unread[author] = spread(valid, length, valid_blocks).to(device)
        jobs.append(Job(config(), LEARNING_RATES[author], seed + i, train_ids=train))
    results = train_many(
        model, jobs, steps=steps, batch_size=batch_size, length=length, progress=False
    )
    return dict(zip(AUTHORS, results, strict=True)), unread


def loss_table(model: nn.Module, unread: dict[str, Tensor]) -> dict[str, float]:
    """The loss on each author's unread blocks, in nats a token."""
    return {author: evaluate(model, valid) for author, valid in unread.items()}


# --- 2. What rounding leaves unchanged ---------------------------------------------------------


def rounded(W: Tensor, dtype: str) -> Tensor:
    """The nearest values that `dtype` has, in W's own dtype."""
    return W.to(getattr(torch, dtype)).to(W.dtype)


def loss_of_update(W: Tensor, delta: Tensor, dtype: str) -> dict[str, float]:
    """What is lost when W + ΔW is rounded to `dtype`, which W's values fit already.

    `update`: ‖ΔW‖/‖W‖. `unchanged`: the share of weights with an update that keep their value.
    `error`: ‖(merged - W) - ΔW‖/‖ΔW‖.
    """
    got = rounded(W + delta, dtype) - W
    moving = delta != 0
    return {
        "update": (delta.norm() / W.norm()).item(),
        "unchanged": ((got == 0) & moving).sum().item() / max(1, moving.sum().item()),
        "error": ((got - delta).norm() / delta.norm()).item(),
    }


def normal_loss(dtype: str, size: float, numbers: int = 100_000) -> dict[str, float]:
    """`loss_of_update` for normal weights and a normal update of this relative size."""
    gen = generator(0)
    W, delta = (torch.randn(numbers, generator=gen, dtype=torch.float64) for _ in range(2))
    return loss_of_update(rounded(0.02 * W, dtype), 0.02 * size * delta, dtype)


def merge_rounding(
    base: str = "nano",
    steps: int = 120,
    lr: float = 5e-3,
    batch_size: int = 4,
    length: int = 64,
    valid_blocks: int = 24,
    seeds: Sequence[int] = (0, 1, 2),
    device: str = "cpu",
    dtype: str = "float32",
    factors: Sequence[float] = FACTORS,
) -> dict[str, Any]:
    """Train an adapter on Moby Dick for each seed, and merge each: `rounding_rows` with a seed."""
    model, tokenizer = load_base(base, dtype=getattr(torch, dtype), device=device)
    train, valid = (encode_lines(tokenizer, text) for text in texts("melville"))
    valid = spread(valid, length, valid_blocks)
    jobs = [Job(config(), lr, seed) for seed in seeds]
    how = {"steps": steps, "batch_size": batch_size, "length": length}
    rows = []
    for result in train_many(model, jobs, train, progress=False, **how):
        measured = rounding_rows(model, deltas(result), valid, factors)
        rows += [{"seed": result.job.seed, **row} for row in measured]
    return {"rows": rows}


def rounding_rows(
    model: nn.Module,
    updates: dict[str, Tensor],
    valid: Tensor,
    factors: Sequence[float] = FACTORS,
) -> list[dict[str, Any]]:
    """Merge the updates into the base rounded to each dtype, and count what is lost.

    One row for each dtype and factor on the update (1 is the trained one): `loss_of_update` over
    all layers; `base`, `separate` and `merged`, validation losses; `back`, the share of weights
    that subtracting the update again does not give back. The model is as before when it returns.
    """
    original = {n: model.get_submodule(n).weight.detach().clone() for n in updates}
    # trained elsewhere perhaps: a notebook trains on its GPU, and merges on the CPU
    updates = {name: delta.to(original[name].device) for name, delta in updates.items()}
    rows = []
    for dtype in DTYPES:
        start = {name: rounded(W, dtype) for name, W in original.items()}
        before = loss_with(model, start, valid)
        for factor in factors:
            scaled = {name: factor * delta for name, delta in updates.items()}
            losses = _losses(model, start, scaled, dtype, valid)
            row = _pooled(start, scaled, dtype)
            rows.append({"dtype": dtype, "factor": factor, **row, "base": before, **losses})
    _write(model, original)
    return rows


def deltas(result: JobResult) -> dict[str, Tensor]:
    """Name -> the update s B A (out, in) of a trained adapter."""
    scaling = result.job.config.lora_alpha / result.job.config.r
    return {name: scaling * (B @ A).detach() for name, (A, B) in result.factors.items()}


@torch.no_grad()
def _write(model: nn.Module, values: dict[str, Tensor]) -> None:
    for name, value in values.items():
        model.get_submodule(name).weight.copy_(value)


def loss_with(model: nn.Module, values: dict[str, Tensor], valid: Tensor) -> float:
    """The model's loss with these weights; they are written into it.

    Without autocast: in bfloat16 products every weight would be rounded, merged or not.
    """
    _write(model, values)
    return evaluate(model, valid, precision="fp32")


def _losses(
    model: nn.Module,
    start: dict[str, Tensor],
    updates: dict[str, Tensor],
    dtype: str,
    valid: Tensor,
) -> dict[str, float]:
    """The loss with the update beside the rounded base, and merged into it."""
    exact = {name: W + updates[name] for name, W in start.items()}
    merged = {name: rounded(W, dtype) for name, W in exact.items()}
    return {
        "separate": loss_with(model, exact, valid),
        "merged": loss_with(model, merged, valid),
    }


def _pooled(start: dict[str, Tensor], updates: dict[str, Tensor], dtype: str) -> dict[str, float]:
    """`loss_of_update` over all layers as one vector, and the way back by subtraction."""
    W = torch.cat([value.flatten() for value in start.values()])
    delta = torch.cat([updates[name].flatten() for name in start])
    merged = rounded(W + delta, dtype)
    subtracted = rounded(merged - rounded(delta, dtype), dtype)
    return loss_of_update(W, delta, dtype) | {
        "back": (subtracted != W).double().mean().item(),
    }


# --- 3. One weight under two names --------------------------------------------------------------


def train_on_melville(
    model: nn.Module, steps: int = 60, lr: float = 1e-2, characters: int = 200_000, seed: int = 0
) -> None:
    """Train what trains in an adapted nano on Moby Dick, 4 x 64 tokens a step."""
    _, tokenizer = load_base("nano")
    ids = encode_lines(tokenizer, texts("melville")[0][:characters])
    device = next(model.parameters()).device
    batches = TokenBatches(ids, batch_size=4, length=64, seed=seed, device=device)
    fit(model, batches, steps=steps, lr=lr, seed=seed, progress=False)
    model.eval()


# --- 4. The learner's pieces, or the package's where they are not solved yet -------------------


def package_file_tensors(state: dict[str, Tensor], adapter: str) -> dict[str, Tensor]:
    """The adapter's tensors of a state dict, under the keys of PEFT's file."""
    found = {}
    for name, tensor in state.items():
        for factor in ("lora_A", "lora_B"):
            end = f".{factor}.{adapter}.weight"
            if name.endswith(end):
                found[f"base_model.model.{name.removesuffix(end)}.{factor}.weight"] = tensor
    return found


def package_load(targets: dict[str, Tensor], given: dict[str, Tensor]) -> None:
    """Copy a file's tensors into live ones of the same keys and shapes, or raise."""
    from ..lora.more.adapters.faults import problems_of, report_problems

    missing = [key for key in targets if key not in given]
    unexpected = [key for key in given if key not in targets]
    report_problems(problems_of(given, targets, missing, unexpected), strict=True)
    with torch.no_grad():
        for key, target in targets.items():
            target.copy_(given[key])


def package_merge(W: Tensor, A: Tensor, B: Tensor, scaling: float) -> tuple[Tensor, float]:
    """The merged weight, rounded once, and the share of weights that kept their value."""
    delta = scaling * (B.float() @ A.float())
    merged = (W.float() + delta).to(W.dtype)
    moving = delta != 0
    return merged, ((merged == W) & moving).sum().item() / moving.sum().item()


def package_serve(
    x: Tensor, linear: nn.Linear, adapters: dict[str, tuple], names: list[str | None]
) -> Tensor:
    """The package's mixed batch, by adapter groups, for one layer and tuples (A, B, scaling)."""
    y = linear(x)
    for name, rows in _groups(names):
        A, B, scaling = adapters[name]
        y[rows] = y[rows] + scaling * (x[rows] @ A.T @ B.T)
    return y


def _groups(names: list[str | None]) -> Iterator[tuple[str, list[int]]]:
    from ..lora.more.adapters.mixed_batch import BASE, rows_by_adapter

    yield from rows_by_adapter(name or BASE for name in names).items()


def package_sum(
    adapters: list[tuple[Tensor, Tensor, float]], weights: list[float]
) -> tuple[Tensor, Tensor]:
    """All rows of A, and all scaled columns of B beside them."""
    A = torch.cat([A for A, _, _ in adapters])
    B = [w * s * B for w, (_, B, s) in zip(weights, adapters, strict=True)]
    return A, torch.cat(B, dim=1)


def package_merge_into_head(model: nn.Module, delta: Tensor) -> None:
    """Add an update to the output layer alone; one that is tied is untied first."""
    from ..lora.merge import shared_parameters

    head = model.get_output_embeddings()
    if id(head.weight) in shared_parameters(model):
        head.weight = nn.Parameter(head.weight.detach().clone())
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        head.weight += delta


_TINY = {
    "base": "nano",
    "steps": 3,
    "batch_size": 2,
    "length": 16,
    "valid_blocks": 4,
    "seeds": [0, 1],
    "dtype": "float64",
    "factors": [1.0, 0.1],
}

RECORDINGS = {
    "09_merge_rounding": (
        merge_rounding,
        {
            "base": "decoder",
            "steps": 400,
            "lr": 1e-3,
            "batch_size": 16,
            "length": 64,
            "valid_blocks": 96,
            "seeds": [0, 1, 2, 3, 4],
            "device": "cuda",
        },
        _TINY,
        ("back", "error"),
    ),
}
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
