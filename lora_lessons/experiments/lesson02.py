"""The experiments of lesson 02: the layer's first step, what its factors mean, and what they share.

The first step is exact algebra, so it runs in float64 on the small base. The overlap of subspaces
(Hu et al. 2021, section 7.2) trains many adapters, small on a CPU and at full size on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from ..base import load_base
from ..config import LoraConfig
from ..layer import LoraLinear
from ..model import PeftModel, get_peft_model
from ..seeding import seed_everything
from ..text import load_text
from ..tokens import TokenBatches, encode
from ..train.loop import fit
from ..train.sweep import Job, JobResult, initial_adapter, train_many
from .lesson01 import load_task

TARGETS = ["q_proj", "v_proj"]


def config(r: int, scaling: float = 2.0) -> LoraConfig:
    """LoRA on q and v, as in the paper's section 7.2, with the same alpha / r for every r."""
    return LoraConfig(
        r=r, lora_alpha=scaling * r, target_modules=list(TARGETS), task_type="CAUSAL_LM"
    )


# --- 1. The first step, exactly --------------------------------------------------------------


def adapted_and_batch(
    base: str = "nano",
    r: int = 8,
    batch_size: int = 4,
    length: int = 32,
    seed: int = 0,
    dtype: str = "float64",
    device: str = "cpu",
) -> tuple[PeftModel, dict[str, Tensor]]:
    """A freshly adapted base, and one batch of Moby Dick."""
    model, tokenizer = load_base(base, dtype=getattr(torch, dtype), device=device)
    ids = encode(tokenizer, load_text("moby_dick").train)
    seed_everything(seed)
    adapted = get_peft_model(model, config(r))
    return adapted, next(iter(TokenBatches(ids, batch_size, length, seed=seed, device=device)))


def lora_layers(model: nn.Module) -> dict[str, LoraLinear]:
    """Name -> LoRA layer, without the prefix that the wrapper adds."""
    return {
        name.removeprefix("base_model.model."): module
        for name, module in model.named_modules()
        if isinstance(module, LoraLinear)
    }


def branch_gradients(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Name -> the gradients of A (r, in), B (out, r) and of the frozen W (out, in), if asked for.

    G, the gradient of W, is what full fine-tuning would step along. It is computed only where W
    was made to require it.
    """
    model.zero_grad()
    model(**batch).loss.backward()
    found = {}
    for name, layer in lora_layers(model).items():
        A, B = layer.adapter("default")[1:3]
        found[name] = {"A": A.weight.grad, "B": B.weight.grad, "W": layer.base_layer.weight.grad}
    return found


def gradients_at_start(**settings: Any) -> dict[str, float]:
    """Norms of the gradients of all A and all B before the first step."""
    found = branch_gradients(*adapted_and_batch(**settings)).values()
    return {key: _norm(gradients[key] for gradients in found) for key in ("A", "B")}


def _norm(tensors: Iterator[Tensor]) -> float:
    return sum(t.square().sum().item() for t in tensors) ** 0.5


def first_sgd_step(lr: float = 0.1, **settings: Any) -> list[dict[str, Any]]:
    """One step of SGD on A and B: the update of W, against the formula -lr s² G Aᵀ A.

    For each layer: `error`, the largest difference relative to the update; `kept`, the share of
    the energy of G that lies in the span of A's rows; `chance`, r / in, what a random span keeps.
    """
    model, batch = adapted_and_batch(**settings)
    layers = lora_layers(model)
    for layer in layers.values():
        layer.base_layer.weight.requires_grad_()  # only to read G; the optimizer never sees W
    G = {name: gradients["W"] for name, gradients in branch_gradients(model, batch).items()}
    before = {
        name: layer.adapter("default").A.weight.detach().clone() for name, layer in layers.items()
    }
    factors = [p for name, p in model.named_parameters() if "lora_" in name]
    torch.optim.SGD(factors, lr=lr).step()
    return [_step_row(name, layer, G[name], before[name], lr) for name, layer in layers.items()]


def _step_row(name: str, layer: LoraLinear, G: Tensor, A: Tensor, lr: float) -> dict[str, Any]:
    s, update = layer.scaling["default"], layer.get_delta_weight("default")
    formula = -lr * s**2 * G @ A.T @ A  # (out, in) (in, r) (r, in)
    rows = torch.linalg.qr(A.T).Q  # (in, r): an orthonormal basis of the span of A's rows
    return {
        "layer": name,
        "error": ((update - formula).abs().max() / formula.abs().max()).item(),
        "kept": ((G @ rows).square().sum() / G.square().sum()).item(),
        "chance": A.shape[0] / A.shape[1],
    }


def first_adamw_step(
    weight_decays: tuple[float, ...] | list[float] = (0.0, 0.01, 0.1),
    lr: float = 1e-3,
    **settings: Any,
) -> list[dict[str, float]]:
    """One step of AdamW: how far all A and all B move, for several weight decays.

    `A` is the length of the move relative to A itself, `B` the length of the move (B was zero).
    Weight decay multiplies A by 1 - lr * decay whatever its gradient is.
    """
    rows = []
    for decay in weight_decays:
        model, batch = adapted_and_batch(**settings)
        branch_gradients(model, batch)
        parts = {key: _factors(model, key) for key in ("A", "B")}
        start = {key: [p.detach().clone() for p in parameters] for key, parameters in parts.items()}
        torch.optim.AdamW(parts["A"] + parts["B"], lr=lr, weight_decay=decay).step()
        moved = {
            key: _norm(new.detach() - old for new, old in zip(parts[key], start[key], strict=True))
            for key in parts
        }
        rows.append({"decay": decay, "A": moved["A"] / _norm(iter(start["A"])), "B": moved["B"]})
    return rows


def _factors(model: nn.Module, key: str) -> list[nn.Parameter]:
    return [p for name, p in model.named_parameters() if f"lora_{key}" in name]


@contextmanager
def no_grad_around_base(layers: dict[str, LoraLinear]) -> Iterator[None]:
    """The mistake itself: each base layer runs under no_grad, as if frozen meant that."""
    try:
        for layer in layers.values():
            layer.base_layer.forward = torch.no_grad()(type(layer.base_layer).forward).__get__(
                layer.base_layer
            )
        yield
    finally:
        for layer in layers.values():
            del layer.base_layer.forward


def frozen_is_not_no_grad(**settings: Any) -> list[dict[str, Any]]:
    """The relative error of B's gradient in each layer when W's products run under no_grad."""
    model, batch = adapted_and_batch(**settings)
    right = {n: g["B"].clone() for n, g in branch_gradients(model, batch).items()}
    with no_grad_around_base(lora_layers(model)):
        wrong = branch_gradients(model, batch)
        return [
            {"layer": name, "error": ((wrong[name]["B"] - g).norm() / g.norm()).item()}
            for name, g in right.items()
        ]


def same_product(steps: int = 5, lr: float = 0.1, **settings: Any) -> dict[str, float]:
    """Replace (B, A) by (B R, R⁻¹ A): the function stays, its factors and its next steps do not.

    Returns the largest change of a logit, relative; the change of A, relative; and how far the
    two models' updates of W are apart after `steps` more steps of SGD, relative.
    """
    one, batch = adapted_and_batch(**settings)
    two, _ = adapted_and_batch(**settings)
    for model in (one, two):
        _sgd(model, batch, steps, lr)  # so that B is no longer zero
    gen = torch.Generator().manual_seed(1)
    changes = [_mix(layer, gen) for layer in lora_layers(two).values()]
    with torch.no_grad():
        before, after = one(**batch).logits, two(**batch).logits
    for model in (one, two):
        _sgd(model, batch, steps, lr)
    updates = [
        [layer.get_delta_weight("default") for layer in lora_layers(model).values()]
        for model in (one, two)
    ]
    apart = _norm(a - b for a, b in zip(*updates, strict=True)) / _norm(iter(updates[0]))
    return {
        "logits": ((after - before).abs().max() / before.abs().max()).item(),
        "A": mean(changes),
        "apart": apart,
    }


def _sgd(model: nn.Module, batch: dict[str, Tensor], steps: int, lr: float) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()


def _mix(layer: LoraLinear, gen: torch.Generator) -> float:
    """Give a layer the factors B R and R⁻¹ A; return the relative change of A."""
    A, B = (factor.detach().clone() for factor in layer.factors("default"))
    r = A.shape[0]
    # far from singular, so that the inverse costs no digits
    R = (
        torch.eye(r, dtype=A.dtype)
        + 0.5 * torch.linalg.qr(torch.randn(r, r, generator=gen, dtype=A.dtype)).Q
    )
    layer.set_factors("default", torch.linalg.solve(R, A), B @ R)
    return ((layer.factors("default")[0].detach() - A).norm() / A.norm()).item()


# --- 2. What is trained, counted -------------------------------------------------------------


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
    layers = lora_layers(adapted)
    trained = [name for name, p in adapted.named_parameters() if p.requires_grad]
    ranks = [_rank(layer.get_delta_weight("default")) for layer in layers.values()]
    shares = [_share(layer) for layer in layers.values()]
    after = adapted.unload().state_dict()
    return {
        "named": sum(name.rpartition(".")[2] in TARGETS for name in linear),
        "injected": len(layers),
        "trained_tensors": len(trained),
        "trained_outside": sum("lora_" not in name for name in trained),
        "largest_share": max(shares),
        "changed": sum(not torch.equal(after[name], before[name]) for name in before),
        "rank": max(ranks),
        "r": r,
        "first_loss": history.losses[0],
        "last_loss": history.losses[-1],
    }


def _rank(update: Tensor) -> int:
    values = torch.linalg.svdvals(update.detach().double().cpu())
    return int((values > 1e-6 * values[0]).sum())  # float32 factors: rounding lies below


def _share(layer: LoraLinear) -> float:
    return sum(f.numel() for f in layer.factors("default")) / layer.base_layer.weight.numel()


# --- 3. The overlap of subspaces -------------------------------------------------------------


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


def start_overlap(base: str, small: int, large: int, seeds: tuple[int, int]) -> dict[str, float]:
    """φ(small, large) of the untrained A of two ranks, for each layer: the trap of a shared seed."""
    model, _ = load_base(base)
    few, many = (
        initial_adapter(model, Job(config(r), lr=0.0, seed=seed))
        for r, seed in zip((small, large), seeds, strict=True)
    )
    return {
        name: similarity(
            right_directions(few[name].A, small), right_directions(many[name].A, large)
        )[-1, -1].item()
        for name in few
    }


def subspace_overlap(
    base: str = "nano",
    small: int = 4,
    large: int = 16,
    lrs: tuple[float, ...] | list[float] = (2e-3,),
    seeds: tuple[int, ...] | list[int] = (0, 1, 2),
    steps: int = 120,
    batch_size: int = 4,
    length: int = 64,
    valid_blocks: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    progress: bool = False,
) -> dict[str, Any]:
    """Train rank `small` once and rank `large` twice a seed, and compare what they learnt.

    No two of the runs share a seed, so none share A's first values or the order of the text.
    Each rank takes the learning rate with its lowest validation loss. One row for each seed, pair
    of runs, kind of matrix ("q_proj", "v_proj") and choice of factor: "A", as in the paper, or the
    update "BA". Its `phi` (small, large) is the mean over the layers.
    """
    task = load_task(base, length, device, getattr(torch, dtype), valid_blocks)
    how = {"steps": steps, "batch_size": batch_size, "length": length, "eval_every": steps}
    plan = {"small": (small, 0), "large": (large, 1000), "again": (large, 2000)}
    trained = {lr: _train_plan(task, plan, lr, seeds, progress, how) for lr in lrs}
    chosen = {rank: _best_rate(trained, run) for run, rank in (("small", small), ("large", large))}
    runs = {run: trained[chosen[rank]][run] for run, (rank, _) in plan.items()}
    return {
        "small": small,
        "large": large,
        "width": next(iter(runs["small"][0].factors.values()))[0].shape[1],
        "lr": {str(rank): lr for rank, lr in chosen.items()},
        "loss": {run: [result.history.last for result in runs[run]] for run in runs},
        "start": runs["small"][0].history.eval_losses[0],
        "moved": {run: [_moved(task[0], result) for result in runs[run]] for run in runs},
        "rows": _overlap_rows(runs, small, large),
    }


def _train_plan(
    task: tuple[nn.Module, Tensor, Tensor],
    plan: dict[str, tuple[int, int]],
    lr: float,
    seeds: tuple[int, ...] | list[int],
    progress: bool,
    how: dict[str, int],
) -> dict[str, list[JobResult]]:
    """Run -> its results, one a seed; all jobs share the steps."""
    model, train, valid = task
    jobs = {run: [Job(config(r), lr, first + s) for s in seeds] for run, (r, first) in plan.items()}
    every = [job for of_run in jobs.values() for job in of_run]
    results = iter(train_many(model, every, train, valid=valid, progress=progress, **how))
    return {run: [next(results) for _ in of_run] for run, of_run in jobs.items()}


def _best_rate(trained: dict[float, dict[str, list[JobResult]]], run: str) -> float:
    return min(trained, key=lambda lr: mean(result.history.last for result in trained[lr][run]))


def _moved(model: nn.Module, result: JobResult) -> float:
    """How far A went from its first values, relative to them: mean over the layers."""
    start = initial_adapter(model, result.job)
    return mean(
        ((A - start[name].A).norm() / start[name].A.norm()).item()
        for name, (A, _) in result.factors.items()
    )


PAIRS = {"small and large": ("small", "large"), "large, two seeds": ("large", "again")}


def _overlap_rows(runs: dict[str, list[JobResult]], small: int, large: int) -> list[dict[str, Any]]:
    ranks = {"small": small, "large": large, "again": large}
    rows = []
    for pair, (first, second) in PAIRS.items():
        for seed, two in enumerate(zip(runs[first], runs[second], strict=True)):
            for of in ("A", "BA"):
                for module in TARGETS:
                    names = [name for name in two[0].factors if name.endswith(module)]
                    grids = [
                        similarity(
                            right_directions(_matrix(two[0], name, of), ranks[first])[:small],
                            right_directions(_matrix(two[1], name, of), ranks[second]),
                        )
                        for name in names
                    ]
                    phi = torch.stack(grids).mean(0).tolist()
                    rows.append(
                        {"pair": pair, "seed": seed, "of": of, "module": module, "phi": phi}
                    )
    return rows


def _matrix(result: JobResult, name: str, of: str) -> Tensor:
    A, B = (factor.detach().double().cpu() for factor in result.factors[name])
    return A if of == "A" else B @ A


_TINY = {"base": "nano", "batch_size": 2, "length": 16, "dtype": "float64"}
_CARD_TINY = {**_TINY, "r": 2, "steps": 3}

RECORDINGS = {
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
            "steps": 50,
            "lr": 1e-3,
            "batch_size": 8,
            "length": 128,
            "device": "cuda",
        },
        None,
    ),
}
"""Name -> (experiment, settings of the recorded GPU run, settings of its fingerprint)."""
