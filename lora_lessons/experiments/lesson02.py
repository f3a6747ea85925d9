"""The experiments of lesson 02: what is trained, and what the subspaces of two runs share.

The overlap of subspaces (Hu et al. 2021, section 7.2) trains many adapters, small on a CPU and at
full size on a GPU. The exact algebra of the first step is in `first_step`, the paper's section 7.3
in `amplification`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from ..base.load import load_base
from ..base.text import load_text
from ..base.tokens import TokenBatches, encode
from ..lora.layer import LoraLinear
from ..lora.model import PeftModel, get_peft_model, inject_adapter_in_model
from ..seeding import seed_everything
from ..train.fast.sweep import Job, JobResult, initial_adapter
from ..train.loop import fit
from .amplification import amplification
from .first_step import TARGETS, config, lora_layers
from .sweeps import Sweep, open_sweep
from .task import as_loss

SIZES: dict[str, dict[str, Any]] = {
    "quick": {"steps": 5, "fit": 10, "batch": 2, "length": 32, "blocks": 4, "seeds": (0, 1)},
    "small": {"steps": 100, "fit": 60, "batch": 2, "length": 64, "blocks": 24, "seeds": (0, 1, 2)},
    "full": {"steps": 400, "fit": 200, "batch": 8, "length": 64, "blocks": 96, "seeds": range(5)},
}
"""The live runs' sizes, by preset. `fit` is the steps of the learner's own layers."""

# --- 0. The learner's own layers, or the package's where they are not solved yet ---------------


def package_layer(linear: nn.Linear, r: int, alpha: float, gen: torch.Generator) -> LoraLinear:
    """The package's layer under the exercise's arguments; it draws from torch's own generator."""
    return LoraLinear(linear, r=r, lora_alpha=alpha)


def package_inject(model: nn.Module, names: list[str], make: Any) -> list[str]:
    """The package's injection; it makes its layers itself, at rank 8. Returns their names."""
    chosen = config(8)
    chosen.target_modules = set(names)
    return list(lora_layers(inject_adapter_in_model(chosen, model)))


def factors_of(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """A (r, in) and B (out, r) of the learner's layer or of the package's."""
    if isinstance(layer, LoraLinear):
        A, B = layer.adapter("default")[1:3]
        return A.weight, B.weight
    return layer.A, layer.B


# --- 1. What is trained, counted -------------------------------------------------------------


def what_trains(
    base: str = "nano",
    r: int = 8,
    steps: int = 50,
    lr: float = 5e-3,
    batch_size: int = 4,
    length: int = 64,
    seed: int = 0,
    dtype: str = "float32",
    device: str = "cpu",
) -> dict[str, Any]:
    """Train an adapter and count: what was injected, what requires a gradient, what changed.

    `changed` counts the tensors of the base that are not bit for bit what they were.
    `largest_share` is the largest (numbers in A and B) / (numbers in W) over the targets.
    `rank` is the largest rank of an update.
    """
    model, tokenizer = load_base(base, dtype=getattr(torch, dtype), device=device)
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seed_everything(seed)
    adapted = get_peft_model(model, config(r))
    ids = encode(tokenizer, load_text("moby_dick").train)
    batches = TokenBatches(ids, batch_size, length, seed=seed, device=device)
    history = fit(adapted, batches, steps=steps, lr=lr, seed=seed, progress=False)
    found = _counts(adapted)
    after = adapted.unload().state_dict()
    return found | {
        "named": sum(name.rpartition(".")[2] in TARGETS for name in linear),
        "changed": sum(not torch.equal(after[name], before[name]) for name in before),
        "r": r,
        "first_loss": history.losses[0],
        "last_loss": history.losses[-1],
    }


def _counts(adapted: PeftModel) -> dict[str, Any]:
    """What a trained adapter's model shows: layers, trained tensors, shares and ranks."""
    layers = lora_layers(adapted).values()
    trained = [name for name, p in adapted.named_parameters() if p.requires_grad]
    return {
        "injected": len(layers),
        "trained_tensors": len(trained),
        "trained_outside": sum("lora_" not in name for name in trained),
        "largest_share": max(map(_share, layers)),
        "rank": max(_rank(layer.get_delta_weight("default")) for layer in layers),
    }


def _rank(update: Tensor) -> int:
    values = torch.linalg.svdvals(update.detach().double().cpu())
    return int((values > 1e-6 * values[0]).sum())  # float32 factors: rounding lies below


def _share(layer: LoraLinear) -> float:
    A, B = (part.weight for part in layer.adapter("default")[1:3])
    return (A.numel() + B.numel()) / layer.base_layer.weight.numel()


# --- 2. The overlap of subspaces -------------------------------------------------------------


def right_directions(M: Tensor, k: int) -> Tensor:
    """The k leading right-singular vectors of M (m, in), as rows: (k, in), in float64."""
    return torch.linalg.svd(M.detach().double().cpu(), full_matrices=False).Vh[:k]


def similarity(U: Tensor, V: Tensor) -> Tensor:
    """φ(i, j) for all i and j: how much of the first i rows of U the first j rows of V hold.

    φ = ||U_i V_jᵀ||²_F / min(i, j), between 0 and 1 (Hu et al. 2021, equation 4 and appendix G).
    U (m, in) and V (n, in) have orthonormal rows; the result is (m, n).
    """
    shared = (U @ V.T).square().cumsum(0).cumsum(1)
    i = torch.arange(1, len(U) + 1, dtype=shared.dtype)[:, None]
    j = torch.arange(1, len(V) + 1, dtype=shared.dtype)
    return shared / torch.minimum(i, j)


def chance(i: int, j: int, width: int) -> float:
    """The mean of φ for two random subspaces: max(i, j) / width.

    A random direction has the share j / width of its square in j given ones; i of them, divided
    by min(i, j), give i j / (width min(i, j)).
    """
    return max(i, j) / width


def subspace_overlap(
    small: int = 4,
    large: int = 16,
    lrs: Sequence[float] = (2e-3,),
    seeds: Sequence[int] = (0, 1, 2),
    **run: Any,
) -> dict[str, Any]:
    """Train rank `small` once and rank `large` twice a seed, and compare what they learnt.

    No two of the runs share a seed, so none share A's first values or the order of the text.
    Each rank takes the learning rate with its lowest validation loss. `run`: see `RunSettings`.

    One row for each pair of runs, kind of layer ("q_proj", "v_proj") and matrix: "A", as in the
    paper, or the update "BA". `phi` (small, large) is the mean over layers and seeds; `equal` has
    φ(i, i) for each seed, the mean over layers.
    """
    sweep = open_sweep(run, steps=120)
    plan = {"small": (small, 0), "large": (large, 1000), "again": (large, 2000)}
    trained = {lr: _train_plan(sweep, plan, lr, seeds) for lr in lrs}
    chosen = {rank: _best_rate(trained, run) for run, rank in (("small", small), ("large", large))}
    runs = {run: trained[chosen[rank]][run] for run, (rank, _) in plan.items()}
    first = runs["small"][0]
    return {
        "small": small,
        "large": large,
        "width": next(iter(first.factors.values()))[0].shape[1],
        "lr": {str(rank): lr for rank, lr in chosen.items()},
        "loss": {run: [result.history.last for result in runs[run]] for run in runs},
        "start": first.history.eval_losses[0],
        **_compared(sweep.model, runs),
    }


def _train_plan(
    sweep: Sweep, plan: dict[str, tuple[int, int]], lr: float, seeds: Sequence[int]
) -> dict[str, list[JobResult]]:
    """Run -> its results, one a seed; all jobs share the steps."""
    jobs = {run: [Job(config(r), lr, first + s) for s in seeds] for run, (r, first) in plan.items()}
    results = iter(sweep.train(job for of_run in jobs.values() for job in of_run))
    return {run: [next(results) for _ in of_run] for run, of_run in jobs.items()}


def _compared(model: nn.Module, runs: dict[str, list[JobResult]]) -> dict[str, Any]:
    """`moved`, how far each run took A from its start, and the `rows` of overlaps."""
    start = {run: [_start(model, result) for result in results] for run, results in runs.items()}
    end = {run: [_doubles(result.factors) for result in results] for run, results in runs.items()}
    pairs = {run: zip(start[run], end[run], strict=True) for run in runs}
    return {
        "moved": {run: [_moved(*two) for two in of_run] for run, of_run in pairs.items()},
        "rows": [
            row
            for pair, (one, two) in PAIRS.items()
            for row in _overlap_rows(pair, (start if pair == UNTRAINED else end), one, two)
        ],
    }


def _best_rate(trained: dict[float, dict[str, list[JobResult]]], run: str) -> float:
    losses = {lr: mean(one.history.last for one in runs[run]) for lr, runs in trained.items()}
    return min(losses, key=lambda lr: as_loss(losses[lr]))


Factors = dict[str, tuple[Tensor, Tensor]]
"""Layer -> (A, B), both in float64 on the CPU."""


def _doubles(factors: Factors) -> Factors:
    return {
        name: (A.detach().double().cpu(), B.detach().double().cpu())
        for name, (A, B) in factors.items()
    }


def _start(model: nn.Module, result: JobResult) -> Factors:
    """The factors that a run began with."""
    return _doubles(
        {name: (one.A, one.B) for name, one in initial_adapter(model, result.job).items()}
    )


def _moved(start: Factors, end: Factors) -> float:
    """How far A went from its first values, relative to them: mean over the layers."""
    return mean(((end[n][0] - start[n][0]).norm() / start[n][0].norm()).item() for n in start)


UNTRAINED = "small and large, untrained"
PAIRS = {
    "small and large": ("small", "large"),
    "large, two seeds": ("large", "again"),
    UNTRAINED: ("small", "large"),
}


def _overlap_rows(
    pair: str, runs: dict[str, list[Factors]], first: str, second: str
) -> Iterator[dict[str, Any]]:
    """One row for each factor and kind of layer; BA has no directions before training."""
    small = len(next(iter(runs["small"][0].values()))[0])
    for of in ("A",) if pair == UNTRAINED else ("A", "BA"):
        for module in TARGETS:
            grids = torch.stack(
                [
                    _mean_similarity(one, two, of, module)[:small]
                    for one, two in zip(runs[first], runs[second], strict=True)
                ]
            )  # (seeds, small, large)
            yield {
                "pair": pair,
                "of": of,
                "module": module,
                "phi": grids.mean(0).tolist(),
                "equal": grids.diagonal(dim1=1, dim2=2).tolist(),
            }


def _mean_similarity(one: Factors, two: Factors, of: str, module: str) -> Tensor:
    """φ(i, j) of two runs, the mean over the layers of one kind."""
    names = [name for name in one if name.endswith(module)]
    return torch.stack(
        [similarity(_directions(one[n], of), _directions(two[n], of)) for n in names]
    ).mean(0)


def _directions(factors: tuple[Tensor, Tensor], of: str) -> Tensor:
    """The right-singular vectors of A, or of BA: r of them."""
    A, B = factors
    return right_directions(A if of == "A" else B @ A, len(A))


_TINY = {"base": "nano", "batch_size": 2, "length": 16, "dtype": "float64"}
_CARD_TINY = {**_TINY, "r": 2, "steps": 3}

RECORDINGS = {
    "02_amplification": (
        amplification,
        {
            "base": "decoder",
            "ranks": [4, 8, 64],
            "lrs": [1e-3, 3e-3, 1e-2],
            "seeds": [0, 1, 2],
            "steps": 160,
            "batch_size": 4,
            "length": 64,
            "valid_blocks": 64,
            "device": "cpu",
        },
        {
            **_TINY,
            "ranks": [2, 4],
            "lrs": [2e-3],
            "seeds": [0, 1],
            "steps": 4,
            "valid_blocks": 4,
        },
    ),
    "02_subspaces": (
        subspace_overlap,
        {
            "base": "decoder",
            "small": 8,
            "large": 64,
            "lrs": [1e-3, 3e-3, 1e-2],
            "seeds": [0, 1, 2, 3, 4],
            "steps": 400,
            "batch_size": 16,
            "length": 128,
            "valid_blocks": 116,
            "device": "cuda",
        },
        {
            **_TINY,
            "small": 2,
            "large": 4,
            "lrs": [2e-3],
            "seeds": [0, 1],
            "steps": 4,
            "valid_blocks": 4,
        },
    ),
    "02_what_trains": (
        what_trains,
        {"base": "decoder", "steps": 400, "batch_size": 16, "length": 128, "device": "cuda"},
        _CARD_TINY,
    ),
    "02_what_trains_smollm2": (
        what_trains,
        {
            "base": "smollm2",
            "steps": 10,
            "lr": 1e-3,
            "batch_size": 1,
            "length": 32,
            "device": "cpu",
        },
        None,
    ),
}
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
