"""The checks of lesson 13 on LoRA+'s groups and on LoftQ's start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong
from ..checks.draws import whole
from .checks import IN, OUT, between, normal, parts

# --- 13.4 ------------------------------------------------------------------------------------


class _Adapted(nn.Module):
    """Parameters under the names of LoRA layers: two layers, a frozen adapter, trained heads."""

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        for name in ("q_proj", "up_proj"):
            layer = nn.Module()
            layer.base_layer = _holder(normal(rng, 5, 4), trained=False)
            # of more rank than the layer has outputs: A's shape is that of a usual B
            for factor, shape in (("lora_A", (6, 4)), ("lora_B", (5, 6))):
                adapters = nn.Module()
                adapters.add_module(name[0], _holder(normal(rng, *shape)))
                adapters.old = _holder(normal(rng, *shape), trained=False)
                setattr(layer, factor, adapters)
            magnitude = nn.Module()
            magnitude.default = _holder(normal(rng, 5))
            layer.lora_magnitude_vector = magnitude
            setattr(self, name, layer)
        self.score = _holder(normal(rng, 3, 4))
        self.score.bias = nn.Parameter(normal(rng, 3))
        self.score_B = _holder(normal(rng, 3, 4))  # a second head: its name has a B, no lora_B
        self.score.lora_bias = nn.Parameter(normal(rng, 3))  # lora_b, and no lora_B
        self.eval()


def _holder(values: Tensor, trained: bool = True) -> nn.Module:
    module = nn.Module()
    module.weight = nn.Parameter(values, requires_grad=trained)
    return module


def check_loraplus_groups(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """13.4: A at the rate, B at a multiple of it, and nothing that is frozen."""
    for ratio in (float(whole(rng, 3, 20)), float(whole(rng, 3, 20)), 0.25):  # B may be slower
        model, lr = _Adapted(rng), between(rng, 1e-4, 1e-3)
        _check_groups(answer(model, lr, ratio), model, lr, ratio)


def _check_groups(groups: Any, model: nn.Module, lr: float, ratio: float) -> None:
    if groups is None:
        raise Wrong("It returns None. Is the `return` missing?")
    if isinstance(groups, torch.optim.Optimizer):
        raise Wrong("Return the groups, a list of dicts. The optimizer is made from them.")
    if not isinstance(groups, list | tuple) or not all(isinstance(g, dict) for g in groups):
        raise Wrong('Return a list of dicts, each with "params" and "lr".')
    if not groups or any({"params", "lr"} - set(group) for group in groups):
        raise Wrong('Each group is a dict with "params" and "lr".')
    rates = _rates_by_name(groups, model)
    _check_members(rates, model)
    for name, found in sorted(rates.items()):  # A before B
        _check_rate(name, found, lr, ratio)
    for key in ("weight_decay", "betas", "eps"):
        if len({str(group.get(key)) for group in groups if group["params"]}) > 1:
            raise Wrong(f"{key} differs between the groups. LoRA+ changes the rate of B alone.")


def _rates_by_name(groups: Any, model: nn.Module) -> dict[str, float]:
    names = {id(p): name for name, p in model.named_parameters()}
    rates: dict[str, float] = {}
    for group in groups:
        group["params"] = list(group["params"])
        for one in group["params"]:
            if isinstance(one, tuple) and len(one) == 2:  # PyTorch takes (name, parameter) too
                one = one[1]
            if isinstance(one, str):
                raise Wrong("A group holds names. It must hold the parameters themselves.")
            if id(one) not in names:
                raise Wrong("A group holds a tensor that is no parameter of the model: a copy?")
            name = names[id(one)]
            if name in rates:
                raise Wrong(f"{name} is in two groups.")
            rates[name] = float(group["lr"])
    return rates


def _check_members(rates: dict[str, float], model: nn.Module) -> None:
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    if frozen := sorted(rates.keys() - trained):
        raise Wrong(
            f"{frozen[0]} is frozen, and stands in a group. Ask p.requires_grad; weight decay "
            "would need its moments."
        )
    if not (missing := sorted(trained - rates.keys())):
        return
    if any("magnitude" in name for name in missing):
        raise Wrong(
            "DoRA's lora_magnitude_vector trains, and is in no group: it would stay as it is. "
            "Whatever trains and is no B goes to the slow group."
        )
    raise Wrong(f"{missing[0]} trains, and is in no group: it would stay as it is.")


def _check_rate(name: str, found: float, lr: float, ratio: float) -> None:
    fast = "lora_B" in name.split(".")
    wanted = lr * ratio if fast else lr
    if abs(found / wanted - 1) < 1e-6:
        return
    if "lora_A" in name and abs(found / (lr * ratio) - 1) < 1e-6:
        raise Wrong("A has the fast rate. It is B, which starts at zero, that learns faster.")
    if fast and abs(found / lr - 1) < 1e-6:
        raise Wrong("B has the rate of A. Its rate is ratio * lr.")
    if fast and abs(found / ratio - 1) < 1e-6:
        raise Wrong("B's rate is the ratio itself. It is ratio * lr.")
    if abs(found / (lr / ratio) - 1) < 1e-6:
        which = "B's rate" if fast else "A's rate"
        raise Wrong(f"{which} is lr / ratio. A keeps lr, and B gets ratio * lr.")
    if name.startswith("score") and "b" in name.lower() and abs(found / (lr * ratio) - 1) < 1e-6:
        raise Wrong(
            f"{name} has B's rate, and is no factor B: such a name has lora_B in it. Ask for all "
            "of that."
        )
    if "magnitude" in name or name.startswith("score"):
        raise Wrong(f"{name} has the rate {found:.3g}. Only B learns faster; all else has lr.")
    raise Wrong(f"{name} has the rate {found:.3g}; it must be {wanted:.3g}.")


# --- 13.5 ------------------------------------------------------------------------------------


class Quantizer:
    """Rounds to a grid, and remembers what it was asked and what it gave."""

    def __init__(self) -> None:
        self.asked: list[Tensor] = []
        self.gave: list[Tensor] = []

    def quantize(self, X: Tensor) -> Tensor:
        """What the answer gets: a method, whose object the guard does not look into."""
        if not isinstance(X, Tensor):
            raise Wrong(f"quantize takes a tensor; it was given {type(X).__name__}.")
        self.asked.append(X.detach().double().clone())
        step = 0.6 * X.detach().abs().amax(dim=1, keepdim=True)
        self.gave.append(((X.detach() / step).round() * step).double())
        return self.gave[-1].to(X.dtype).clone()


def best(M: Tensor, r: int) -> Tensor:
    """The best approximation of rank r."""
    U, S, Vh = torch.linalg.svd(M.double(), full_matrices=False)
    return U[:, :r] * S[:r] @ Vh[:r]


def near(one: Tensor, other: Tensor) -> bool:
    """Whether two matrices are equal up to float32's rounding."""
    scale = other.double().abs().max().clamp_min(1e-6)
    return one.shape == other.shape and bool((one.double() - other).abs().max() < 2e-4 * scale)


def check_loftq(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """13.5: turns of quantizing what the factors leave and fitting factors to the rest."""
    for steps in (1, 2, 4):
        W, r, tool = normal(rng, OUT, IN), whole(rng, 2, 4), Quantizer()
        three = "three tensors: Q, A and B"
        Q, A, B = parts(answer(W.clone(), tool.quantize, r, steps), 3, three)
        _check_shapes(Q, A, B, r)
        _check_calls(tool, W.double(), r, steps)
        _check_result(Q.detach(), A.detach(), B.detach(), tool, W.double(), r)


def _check_shapes(Q: Any, A: Any, B: Any, r: int) -> None:
    for name, value, shape in (("Q", Q, (OUT, IN)), ("A", A, (r, IN)), ("B", B, (OUT, r))):
        if not isinstance(value, Tensor):
            raise Wrong(f"{name} must be a tensor; got {type(value).__name__}.")
        if tuple(value.shape) != shape:
            more = ""
            if name != "Q" and value.numel() > shape[0] * shape[1]:
                more = " The rank must not grow: each turn makes A and B anew."
            raise Wrong(f"{name} must have the shape {shape}; got {tuple(value.shape)}.{more}")


def _check_calls(tool: Quantizer, W: Tensor, r: int, steps: int) -> None:
    if not tool.asked:
        raise Wrong("quantize was never called.")
    if not near(tool.asked[0], W):
        raise Wrong("The first turn quantizes W itself: A and B are zero then.")
    # a first Q before the first turn is the same call again
    again = steps < len(tool.asked) and near(tool.asked[1], W)
    for turn, asked in enumerate(tool.asked[1 + again :], start=2):
        before = tool.gave[turn - 2 + again]
        if near(asked, W - best(W - before, r)):
            continue
        where = f"Turn {turn} quantizes "
        for message, mistaken in (
            ("W again: A and B do not enter, so the turns change nothing.", W),
            ("Q again. Quantize what A and B do not hold, W - B A.", before),
            ("W - Q, the error. Quantize W - B A.", W - before),
            ("W + B A. What A and B hold is taken out: W - B A.", W + best(W - before, r)),
            ("B A. Quantize what is left of W: W - B A.", best(W - before, r)),
            ("W less the main part of W. A and B hold that of the error, W - Q.", W - best(W, r)),
        ):
            if near(asked, mistaken):
                raise Wrong(where + message)
        raise Wrong(where + "something else than W - B A, with the A and B of the turn before.")
    turns = len(tool.asked) - again
    if turns == steps + 1:
        raise Wrong(
            "It ends with a call of quantize that A and B have not seen. A turn is: quantize, then "
            "A and B from W - Q."
        )
    if turns != steps:
        raise Wrong(f"quantize must be called once a turn, {steps} times; it was {turns}.")


def _check_result(Q: Tensor, A: Tensor, B: Tensor, tool: Quantizer, W: Tensor, r: int) -> None:
    if not near(Q, tool.gave[-1]):
        if near(Q, W - B.double() @ A.double()):
            raise Wrong("Q is W - B A in floats. It must be what quantize gave.")
        raise Wrong("Q is not what the last call of quantize gave.")
    product, error = B.double() @ A.double(), W - tool.gave[-1]
    if near(product, best(error, r)):
        return
    for message, mistaken in (
        ("B A is the main part of W. It must be that of the error, W - Q.", best(W, r)),
        ("B A has the wrong sign: W - Q is what Q lacks.", -best(error, r)),
        ("B A is the main part of Q. It must be that of the error, W - Q.", best(tool.gave[-1], r)),
        ("B A is zero: A and B must mend what they can of W - Q.", torch.zeros_like(W)),
        ("B A is that of the turn before: after the last Q, make A and B once more.",
         best(W - tool.gave[-2], r) if len(tool.gave) > 1 else torch.full_like(W, torch.nan)),
    ):  # fmt: skip
        if near(product, mistaken):
            raise Wrong(message)
    raise Wrong("B A is not the best approximation of rank r of W - Q: torch.linalg.svd gives it.")
