"""The first step of a LoRA layer, as exact algebra on the small base in float64.

What A and B receive, what that does to W, and what the pair of factors means.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from ..base.load import load_base
from ..base.text import load_text
from ..base.tokens import TokenBatches, encode
from ..lora.config import LoraConfig
from ..lora.layer import LoraLinear
from ..lora.model import PeftModel, get_peft_model
from ..seeding import seed_everything

TARGETS = ["q_proj", "v_proj"]
CHARACTERS = 50_000  # of Moby Dick: enough to draw one batch from


def config(r: int, scaling: float = 2.0) -> LoraConfig:
    """LoRA on q and v, as in the paper's section 7.2, with the same alpha / r for every r."""
    return LoraConfig(
        r=r, lora_alpha=scaling * r, target_modules=list(TARGETS), task_type="CAUSAL_LM"
    )


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
    ids = encode(tokenizer, load_text("moby_dick").train[:CHARACTERS])
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

    Returns relative changes: of the update BA, of the logits (rounded to float32 by the model's
    norms), of A; and how far the two models' updates are apart after `steps` more steps of SGD.
    """
    one, batch = adapted_and_batch(**settings)
    two, _ = adapted_and_batch(**settings)
    for model in (one, two):
        _sgd(model, batch, steps, lr)  # so that B is no longer zero
    gen = torch.Generator().manual_seed(1)
    moved = mean(_mix(layer, gen) for layer in lora_layers(two).values())
    update = _updates_apart(one, two)
    with torch.no_grad():
        before, after = one(**batch).logits, two(**batch).logits
    for model in (one, two):
        _sgd(model, batch, steps, lr)
    return {
        "update": update,
        "logits": ((after - before).abs().max() / before.abs().max()).item(),
        "A": moved,
        "later": _updates_apart(one, two),
    }


def _updates_apart(one: nn.Module, two: nn.Module) -> float:
    """The length of the difference of two models' updates, relative to the first one's."""
    first, second = (
        [layer.get_delta_weight("default") for layer in lora_layers(model).values()]
        for model in (one, two)
    )
    apart = _norm(a - b for a, b in zip(first, second, strict=True))
    return apart / _norm(iter(first))


def _sgd(model: nn.Module, batch: dict[str, Tensor], steps: int, lr: float) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()


@torch.no_grad()
def _mix(layer: LoraLinear, gen: torch.Generator) -> float:
    """Give a layer the factors B R and R⁻¹ A; return the relative change of A."""
    A, B = (part.weight for part in layer.adapter("default")[1:3])
    r = len(A)
    rotation = torch.linalg.qr(torch.randn(r, r, generator=gen, dtype=A.dtype)).Q
    R = torch.eye(r, dtype=A.dtype) + 0.5 * rotation  # far from singular: its inverse is exact
    mixed = torch.linalg.solve(R, A)
    change = ((mixed - A).norm() / A.norm()).item()
    A.copy_(mixed)
    B.copy_(B @ R)
    return change
