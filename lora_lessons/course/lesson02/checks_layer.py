"""The check of exercise 2.3: what the layer keeps, what trains in it, and how it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong, expect
from .checks import (
    ALPHA,
    IN,
    OUT,
    R,
    check_follows_gen,
    check_gen_moves_on,
    check_shapes,
    check_uniform,
    draw,
    leave_sevens,
    make_linear,
)
from .checks_forward import check_gradients, expect_forward


def check_AdaptedLinear(answer: Callable[..., Any], rng: torch.Generator) -> None:
    _check_layer(answer, rng, IN, OUT, R, ALPHA, bias=True)
    _check_first_values(answer, rng)
    # no bias, r above both sides; rank 1; an alpha with a fraction
    _check_layer(answer, rng, 3, 5, 7, 16, bias=False)
    _check_layer(answer, rng, 5, 3, 1, 2.5, bias=True, another=True)
    _check_low_precision(answer, rng)


def _check_layer(
    answer: Callable[..., Any],
    rng: torch.Generator,
    in_: int,
    out: int,
    r: int,
    alpha: float,
    bias: bool,
    another: bool = False,
) -> None:
    """Check a layer of these sides; after `another` one was made too, with another alpha."""
    linear = make_linear(rng, torch.float64, in_, out, bias).train(bias)  # each mode is there once
    kept = {name: value.clone() for name, value in linear.state_dict().items()}
    x = draw(rng, 2, 5, in_, dtype=torch.float64)
    start = linear(x).detach()
    leave_sevens(out, r, torch.float64)
    module = answer(linear, r, alpha, rng)
    if another:
        answer(linear, r, 3 * alpha, rng)
    A, B = _own_factors(module, r, in_, out)
    _check_what_trains(module, linear)
    expect(
        module(x),
        start,
        k=in_,
        mistakes={
            "forward returns the branch alone: add linear(x).": torch.zeros_like(start),
            "The bias is missing: call self.linear(x).": x @ linear.weight.detach().T,
        },
        case="before the first step, when B is zero: it must be the output of linear",
        otherwise=lambda: _if_random(module, x),
    )
    with torch.no_grad():
        B.copy_(draw(rng, out, r))
    for shape in ((2, 5, in_), (in_,)) if bias else ((5, in_), (2, 1, 3, in_)):
        x = draw(rng, *shape, dtype=torch.float64).requires_grad_()
        output = module(x)
        try:
            expect_forward(output, x, linear, A, B, alpha, run=module)
        except Wrong:
            _check_alone(answer, linear, r, alpha, x, another)
            raise
        check_gradients(output, linear, A, B, x, alpha)
    _check_first_step(module, x)
    if any(not torch.equal(linear.state_dict()[name], value) for name, value in kept.items()):
        raise Wrong("W or the bias was written to. They stay as they were given.")
    _check_uses_its_factors(module, linear, x, alpha, rng)
    linear.weight.data.neg_()  # what linear holds counts, and not a copy of it
    try:
        expect_forward(module(x), x, linear, module.A, module.B, alpha)
    except Wrong:
        raise Wrong("forward uses a copy of W: use self.linear itself, its W may change.") from None


def _if_random(module: nn.Module, x: Tensor) -> str:
    with torch.no_grad():
        differ = not torch.equal(module(x), module(x))
    return "Two calls give two outputs: something random stands in it, such as dropout." * differ


def _check_alone(
    answer: Callable[..., Any],
    linear: nn.Linear,
    r: int,
    alpha: float,
    x: Tensor,
    another: bool,
) -> None:
    """Raise `Wrong` where a layer is right that is alone, and whose B was set before any call."""
    layer = answer(linear, r, alpha, torch.Generator().manual_seed(0))
    with torch.no_grad():
        layer.B.copy_(torch.linspace(-1, 1, layer.B.numel()).view_as(layer.B))
    try:
        expect_forward(layer(x), x, linear, layer.A, layer.B, alpha)
    except Wrong:
        return
    raise Wrong(
        "After two layers were made, the first one computes otherwise than alone: keep all that "
        "belongs to a layer in self."
        if another
        else "Right at the first call, and wrong once A and B have changed: what that call "
        "computed from them was kept. Compute with self.A and self.B at each call."
    )


def _check_uses_its_factors(
    module: nn.Module, linear: nn.Linear, x: Tensor, alpha: float, rng: torch.Generator
) -> None:
    """In eval mode too, and with factors that were exchanged, as `module.to` exchanges them."""
    module.eval()
    module(x)
    for factor in (module.A, module.B):
        factor.data = draw(rng, *factor.shape, dtype=torch.float64)
    try:
        expect_forward(module(x), x, linear, module.A, module.B, alpha)
    except Wrong as error:
        raise Wrong(
            "forward must use self.A and self.B as they are when it is called, in eval mode too: "
            f"compute nothing from them in __init__. ({error})"
        ) from None
    try:
        check_gradients(module(x), linear, module.A, module.B, x, alpha)
    except Wrong as error:
        raise Wrong(f"In eval mode: {error} Evaluation is not no_grad either.") from None


def _check_first_step(module: nn.Module, x: Tensor) -> None:
    """B is zero at the start, and the branch is there all the same: B learns through it."""
    with torch.no_grad():
        module.B.zero_()
    output = module(x)
    grad = torch.autograd.grad(output.sum(), module.B, allow_unused=True)[0]
    if grad is None or not grad.any():
        raise Wrong(
            "While B is zero it gets no gradient, so it stays zero for ever: run the branch at the "
            "start too."
        )


def _check_low_precision(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """bfloat16, as large models are loaded: every part and the output have it."""
    linear = make_linear(rng, torch.bfloat16)
    module = answer(linear, R, ALPHA, rng)
    x = draw(rng, 2, IN, dtype=torch.bfloat16)
    output = module(x)
    for name, tensor in (("self.A", module.A), ("self.B", module.B), ("the output", output)):
        if tensor.dtype != torch.bfloat16:
            raise Wrong(f"W and x are bfloat16 here and {name} is {tensor.dtype}: keep W's dtype.")


def _check_first_values(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """A is as in 2.1, in a layer so large that its spread is known to 1 %."""
    in_, out, r = 499, 127, 31
    seed = int(torch.randint(2**31, (1,), generator=rng))
    linear = nn.Linear(in_, out)

    def first_A(gen: torch.Generator) -> Tensor:
        return answer(linear, r, ALPHA, gen).A.detach().double()

    A, again, other = (first_A(torch.Generator().manual_seed(s)) for s in (seed, seed, seed + 1))
    try:
        check_uniform(A, in_, out, r)
    except Wrong as error:
        raise Wrong(
            f"self.A is not uniform within 1/sqrt(in) of zero: start it as in exercise 2.1. {error}"
        ) from None
    check_follows_gen(again, other, A)
    gen = torch.Generator().manual_seed(seed)
    check_gen_moves_on(first_A(gen), first_A(gen))


def _own_factors(module: Any, r: int, in_: int, out: int) -> tuple[nn.Parameter, nn.Parameter]:
    if not isinstance(module, nn.Module):
        raise Wrong(
            "AdaptedLinear must be a torch.nn.Module: write class AdaptedLinear(nn.Module)."
        )
    for name in "AB":
        factor = getattr(module, name, None)
        if factor is None:
            raise Wrong(f"The module has no attribute {name}. Set self.A and self.B in __init__.")
        if not isinstance(factor, nn.Parameter):
            raise Wrong(
                f"self.{name} must be an nn.Parameter, else no optimizer finds it; "
                f"got {type(factor).__name__}."
            )
    check_shapes(module.A, module.B, r, in_, out)
    if not module.A.any() or module.B.any():
        raise Wrong("Start with A random and B zero, as in exercise 2.1.")
    if module.A.dtype != torch.float64 or module.B.dtype != torch.float64:
        raise Wrong(
            "W is float64 here and A or B is not: give both the dtype of W, linear.weight.dtype."
        )
    return module.A, module.B


def _check_what_trains(module: nn.Module, linear: nn.Linear) -> None:
    if not any(part is linear for part in module.modules()):
        raise Wrong("The given linear is not part of the module: keep it, as self.linear = linear.")
    if not (module.A.requires_grad and module.B.requires_grad):
        raise Wrong(
            "A and B are frozen too: freeze the linear alone, linear.requires_grad_(False)."
        )
    if linear.weight.requires_grad:
        raise Wrong("W still trains: freeze it with linear.requires_grad_(False).")
    if linear.bias is not None and linear.bias.requires_grad:
        raise Wrong("The bias still trains: freeze the whole linear, not its weight alone.")
    trained = [name for name, p in module.named_parameters() if p.requires_grad]
    if sorted(trained) != ["A", "B"]:
        raise Wrong(f"Only A and B should train; these do: {', '.join(trained)}.")
