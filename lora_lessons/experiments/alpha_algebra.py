"""What alpha does to a run, as exact algebra on a small base in float64.

Which changes of the learning rate stand in for a change of alpha, and how the first step grows or
shrinks with the rank.
"""

from __future__ import annotations

import math
from statistics import mean
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..base.load import load_base
from ..base.text import load_text
from ..base.tokens import TokenBatches, encode
from ..lora.config import LoraConfig
from ..lora.model import PeftModel, get_peft_model
from ..seeding import seed_everything
from ..train.loss import next_token_losses

TARGETS = ["q_proj", "v_proj"]
CHARACTERS = 50_000  # of Moby Dick: enough to draw a few batches from


def exact_base(base: str = "nano", device: str = "cpu") -> tuple[nn.Module, Tensor]:
    """A base that computes in float64 throughout, and token ids (n,) of Moby Dick.

    transformers' norms round to float32 inside, whatever the weights are; PyTorch's do not.
    """
    model, tokenizer = load_base(base, dtype=torch.float64, device=device)
    for name, module in list(model.named_modules()):
        if type(module).__name__.endswith("RMSNorm"):
            norm = nn.RMSNorm(module.weight.shape, eps=module.variance_epsilon, device=device)
            norm.weight = module.weight
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, norm)
    return model, encode(tokenizer, load_text("moby_dick").train[:CHARACTERS])


def batch_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Mean nats per token of one batch (B, T), in the dtype of the model."""
    logits = model(input_ids=batch["input_ids"]).logits  # (B, T, vocabulary)
    return next_token_losses(logits, batch["labels"])[:, :-1].mean()


def factors(model: nn.Module, key: str) -> list[nn.Parameter]:
    """All A (r, in), or all B (out, r)."""
    return [p for name, p in model.named_parameters() if f"lora_{key}" in name]


def updates(model: PeftModel) -> Tensor:
    """The update s B A of every layer, in one vector."""
    layers = [module for module in model.modules() if hasattr(module, "get_delta_weight")]
    return torch.cat([layer.get_delta_weight("default").detach().flatten() for layer in layers])


# --- 1. Runs that are the same run ------------------------------------------------------------


class Change(NamedTuple):
    """What a run changes: each field multiplies one setting of the plain run."""

    alpha: float = 1.0
    lr_A: float = 1.0
    lr_B: float = 1.0
    start_A: float = 1.0
    eps_A: float = 1.0
    eps_B: float = 1.0


def stand_ins(optimizer: str, k: float) -> dict[str, Change]:
    """Ways to leave alpha alone that might equal alpha x k, by what is changed instead."""
    root = math.sqrt(k)
    if optimizer == "sgd":
        return {
            "lr x k, A's start x sqrt(k)": Change(lr_A=k, lr_B=k, start_A=root),
            "lr of B x k²": Change(lr_B=k * k),
            "lr x k": Change(lr_A=k, lr_B=k),
            "lr x k²": Change(lr_A=k * k, lr_B=k * k),
        }
    return {
        "lr of B x k": Change(lr_B=k, eps_B=1 / k),
        "lr x sqrt(k), A's start x sqrt(k)": Change(
            lr_A=root, lr_B=root, start_A=root, eps_A=1 / root, eps_B=1 / root
        ),
        "lr x sqrt(k)": Change(lr_A=root, lr_B=root),
        "lr x k": Change(lr_A=k, lr_B=k),
        "lr of B x k, Adam's eps left as it is": Change(lr_B=k),
    }


def compare_runs(
    optimizer: str,
    k: float = 3.0,
    lr: float = 1e-2,
    weight_decay: float = 0.0,
    clip: float | None = None,
    only: tuple[str, ...] | None = None,
    base: str = "nano",
    steps: int = 10,
    seed: int = 0,
    **batches: int,
) -> list[dict[str, Any]]:
    """Train with alpha x k, and with each stand-in for it; how far are the updates apart?

    `update` is the length of the difference of all s B A relative to that of alpha x k; `loss` is
    the difference of the last losses in nats per token. `only` names the stand-ins to run.
    """
    model, ids = exact_base(base)
    sizes = {"batch_size": 4, "length": 32} | batches
    how: dict[str, Any] = {
        "optimizer": optimizer,
        "lr": lr,
        "weight_decay": weight_decay,
        "clip": clip,
    }

    def train(change: Change) -> tuple[Tensor, float]:
        text = iter(TokenBatches(ids, **sizes, seed=seed))
        return _train(model, change, [next(text) for _ in range(steps)], seed, **how)

    target, target_loss = train(Change(alpha=k))
    rows = []
    for name, change in stand_ins(optimizer, k).items():
        if only is None or name in only:
            update, loss = train(change)
            apart = ((update - target).norm() / target.norm()).item()
            rows.append({"instead": name, "update": apart, "loss": abs(loss - target_loss)})
    return rows


def _train(
    model: nn.Module,
    change: Change,
    batches: list[dict[str, Tensor]],
    seed: int,
    optimizer: str,
    lr: float,
    weight_decay: float,
    clip: float | None,
) -> tuple[Tensor, float]:
    """One run: the update it ends with, and its last loss. The base is given back unchanged."""
    seed_everything(seed)
    config = LoraConfig(r=8, lora_alpha=16 * change.alpha, target_modules=list(TARGETS))
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for A in factors(adapted, "A"):
            A.mul_(change.start_A)
    optimizer = _optimizer(adapted, change, optimizer, lr, weight_decay)
    for batch in batches:
        optimizer.zero_grad()
        loss = batch_loss(adapted, batch)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(factors(adapted, "A") + factors(adapted, "B"), clip)
        optimizer.step()
    result = updates(adapted), loss.item()
    adapted.unload()
    return result


def _optimizer(
    model: nn.Module, change: Change, kind: str, lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    A = {"params": factors(model, "A"), "lr": lr * change.lr_A}
    B = {"params": factors(model, "B"), "lr": lr * change.lr_B}
    if kind == "sgd":
        return torch.optim.SGD([A, B], weight_decay=weight_decay)
    A["eps"], B["eps"] = 1e-8 * change.eps_A, 1e-8 * change.eps_B
    return torch.optim.AdamW([A, B], weight_decay=weight_decay)


def first_update(G: Tensor, A: Tensor, s: float, lr: float, optimizer: str) -> Tensor:
    """The first step's update of W (out, in), when B is zero and G is the loss's gradient in W.

    B's gradient is s G Aᵀ. SGD: ΔW = -lr s² G Aᵀ A. Adam, its eps aside: -lr s sign(G Aᵀ) A.
    """
    step = s * G @ A.T  # (out, r)
    return -lr * s * (step if optimizer == "sgd" else step.sign()) @ A


def first_update_of_torch(
    s: float, lr: float, optimizer: str, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """G, A and the update s B A that PyTorch's own optimizer makes in one step, in one layer.

    The loss is <G, s B A>, so that its gradient in W is G whatever B and A are.
    """
    gen = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=gen, dtype=torch.float64)  # noqa: E731
    G, A = draw(23, 31), draw(3, 31).requires_grad_()
    B = torch.zeros(23, 3, dtype=torch.float64, requires_grad=True)
    start = A.detach().clone()
    (G * (s * B @ A)).sum().backward()
    kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
    kind([A, B], lr=lr).step()
    return G, start, (s * B @ A).detach()


def first_update_factor(optimizer: str, k: float = 3.0, base: str = "nano") -> float:
    """By how much alpha x k makes the first step's update s B A longer: k² for SGD, k for AdamW."""
    model, ids = exact_base(base)
    batch = next(iter(TokenBatches(ids, 4, 32, seed=0)))
    how = {"lr": 1e-3, "weight_decay": 0.0, "clip": None}
    one, more = (
        _train(model, Change(alpha=alpha), [batch], 0, optimizer, **how)[0] for alpha in (1, k)
    )
    return (more.norm() / one.norm()).item()


# --- 2. The first step as a power of the rank --------------------------------------------------

RULES = {
    "alpha / r": lambda r: {"lora_alpha": 16},
    "alpha / sqrt(r)": lambda r: {"lora_alpha": 16, "use_rslora": True},
    "alpha = 2r": lambda r: {"lora_alpha": 2 * r},
}
"""Three scalings: alpha fixed at 16 divided by r, by sqrt(r), and alpha raised with r."""

PREDICTED = {
    ("gradient of B", "alpha / r"): -0.5,
    ("gradient of B", "alpha / sqrt(r)"): 0.0,
    ("gradient of B", "alpha = 2r"): 0.5,
    ("fall, SGD", "alpha / r"): -1.0,
    ("fall, SGD", "alpha / sqrt(r)"): 0.0,
    ("fall, SGD", "alpha = 2r"): 1.0,
    ("fall, AdamW", "alpha / r"): 0.0,
    ("fall, AdamW", "alpha / sqrt(r)"): 0.5,
    ("fall, AdamW", "alpha = 2r"): 1.0,
}
"""(what is measured, rule) -> the exponent of r that theory gives: s sqrt(r), s² r and s r."""

FIRST_STEP_LR = {"sgd": 1e-3, "adamw": 1e-6}  # so small that the loss falls in a straight line


def first_step_laws(
    base: str = "nano",
    ranks: tuple[int, ...] | list[int] = (1, 2, 4, 8, 16, 32),
    seeds: tuple[int, ...] | list[int] = (0, 1, 2, 3, 4),
    batch_size: int = 4,
    length: int = 32,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Measure the first step for every rank, rule and seed: B's gradient, and the loss's fall.

    The seed draws A and the batch. "gradient of B" is the norm over all layers; the falls are in
    nats per token, of one step of SGD and of AdamW from the same start.
    """
    model, ids = exact_base(base, device)
    rows = []
    for seed in seeds:
        batch = next(iter(TokenBatches(ids, batch_size, length, seed=seed, device=device)))
        for r in ranks:
            for rule, fields in RULES.items():
                seed_everything(seed)
                config = LoraConfig(r=r, target_modules=list(TARGETS), **fields(r))
                adapted = get_peft_model(model, config)
                rows.append({"r": r, "rule": rule, "seed": seed, **_first_step(adapted, batch)})
                adapted.unload()
    return rows


def _first_step(adapted: PeftModel, batch: dict[str, Tensor]) -> dict[str, float]:
    before = batch_loss(adapted, batch)
    before.backward()
    B = factors(adapted, "B")
    squares = sum(p.grad.square().sum().item() for p in B)
    return {
        "gradient of B": math.sqrt(squares),
        "fall, SGD": _fall(adapted, batch, before.item(), torch.optim.SGD, "sgd"),
        "fall, AdamW": _fall(adapted, batch, before.item(), torch.optim.AdamW, "adamw"),
    }


@torch.no_grad()
def _fall(
    adapted: PeftModel, batch: dict[str, Tensor], before: float, kind: type, name: str
) -> float:
    """The fall in loss of one step with the gradients that are there; B is zero again after it."""
    A, B = factors(adapted, "A"), factors(adapted, "B")
    kind(A + B, lr=FIRST_STEP_LR[name], weight_decay=0.0).step()
    fall = before - batch_loss(adapted, batch).item()
    for p in B:
        p.zero_()
    return fall


def exponent(x: list[float], y: list[float]) -> float:
    """The slope of log y against log x by least squares: p in y = c x^p."""
    log_x, log_y = ([math.log(value) for value in values] for values in (x, y))
    mid_x, mid_y = mean(log_x), mean(log_y)
    covariance = sum((a - mid_x) * (b - mid_y) for a, b in zip(log_x, log_y, strict=True))
    return covariance / sum((a - mid_x) ** 2 for a in log_x)


def fitted_exponents(rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[float]]:
    """(what is measured, rule) -> the fitted exponent of each seed."""
    fits: dict[tuple[str, str], list[float]] = {key: [] for key in PREDICTED}
    for seed in dict.fromkeys(row["seed"] for row in rows):
        for what, rule in PREDICTED:
            mine = [row for row in rows if row["seed"] == seed and row["rule"] == rule]
            x, y = ([row[column] for row in mine] for column in ("r", what))
            fits[what, rule].append(exponent(x, y))
    return fits
