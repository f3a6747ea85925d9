"""The check of exercise 6.4: the base is measured, and then all is as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong
from .checks_toy import Injected, injected

LORA_ONLY = ["first.base_layer.bias", "block.first.base_layer.bias", "second.base_layer.bias"]
EVERY = [*LORA_ONLY, "norm.bias", "block.base_layer_norm.bias"]


class _Failed(Exception):
    pass


class _Interrupted(BaseException):
    """As KeyboardInterrupt, which `except Exception` does not catch."""


def check_measure_base(answer: Callable[..., Any], rng: torch.Generator) -> None:
    width = int(torch.randint(2, 6, (1,), generator=rng))
    # an adapter that was loaded to be used has nothing that trains, and its biases are there too
    for names, off, error, trains in (
        (EVERY, (), None, True),
        (EVERY, ("second",), None, True),
        (EVERY, ("block.first",), _Failed, True),
        (LORA_ONLY, ("first", "second"), _Interrupted, True),
        ([], (), None, True),
        (LORA_ONLY, (), None, False),
    ):
        model = injected(rng, width, names)
        if not trains:
            model.requires_grad_(False)
        for name in off:
            model.get_submodule(name).branch_on = False
        model.block.eval()  # parts of a model may differ in this, too
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.ones_like(parameter)
        start = {n: torch.randn(width, generator=rng, dtype=torch.float64) for n in names}
        x = torch.randn(4, width, generator=rng, dtype=torch.float64)
        _one_measurement(answer, model, start, x, error)


def _one_measurement(
    answer: Callable[..., Any],
    model: Injected,
    start: dict[str, Tensor],
    x: Tensor,
    error: type[BaseException] | None,
) -> None:
    before = _State(model, start)
    seen: list[Tensor] = []
    measured = 0.0 if not start else "measured"  # a result may be false in an `if`

    def measure(given: nn.Module) -> Any:
        if given is not model:
            raise Wrong("Call measure(model) with the model that you were given.")
        seen.append(given(x).detach().clone())
        if error:
            raise error
        return measured

    try:
        result = answer(model, start, measure)
        if error:
            raise Wrong("An error of `measure` must come through: don't catch it.")
        if type(result) is not type(measured) or result != measured:
            raise Wrong(f"Return what measure(model) returned; got {result!r}.")
    except (_Failed, _Interrupted) as raised:
        if type(raised) is not error:
            raise Wrong("An error of `measure` must come through as it is.") from raised
    if not seen:
        raise Wrong("Call measure(model).")
    for output in seen:
        _saw_the_base(output, before.values, before.start, x)
    if len(seen) > 1:
        raise Wrong(f"measure(model) ran {len(seen)} times: call it once, it may take minutes.")
    before.compare(model, start, _after(error))


def _after(error: type[BaseException] | None) -> str:
    if error is _Interrupted:
        return (
            " after `measure` was interrupted, as Ctrl-C does (`except Exception` does not catch "
            "that): use try and finally"
        )
    return " after `measure` failed: use try and finally" if error else ""


def _saw_the_base(
    seen: Tensor, values: dict[str, Tensor], start: dict[str, Tensor], x: Tensor
) -> None:
    base, trained = _base_output(values | start, x), _base_output(values, x)
    if torch.allclose(seen, base, rtol=1e-9, atol=1e-9):
        return
    if torch.allclose(seen, trained, rtol=1e-9, atol=1e-9):
        raise Wrong(
            "The branches are off, and yet this is not the base: the trained biases are still in "
            "place. Copy `start` into them."
        )
    raise Wrong(
        "`measure` did not see the base: are all branches off, those of nested layers too "
        "(model.modules() goes through all levels), and all biases in place?"
    )


def _base_output(values: dict[str, Tensor], x: Tensor) -> Tensor:
    """The toy without its branches, written out: linear, norm, linear, linear, norm, linear."""

    def linear(name: str, x: Tensor) -> Tensor:
        mixed = torch.einsum("oi,ni->no", values[f"{name}.weight"], x)
        return mixed + values.get(f"{name}.bias", 0)

    def norm(name: str, x: Tensor) -> Tensor:
        spread = x - x.mean(1, keepdim=True)
        x = spread / (spread.square().mean(1, keepdim=True) + 1e-5).sqrt()
        return x * values[f"{name}.weight"] + values[f"{name}.bias"]

    x = norm("norm", linear("first.base_layer", x))
    x = linear("block.first.base_layer", linear("explora_A", x))
    return linear("second.base_layer", norm("block.base_layer_norm", x))


class _State:
    """What the model and `start` were like before the call."""

    def __init__(self, model: Injected, start: dict[str, Tensor]) -> None:
        self.start = {name: value.clone() for name, value in start.items()}
        self.objects = dict(model.named_parameters())
        self.values = {name: p.detach().clone() for name, p in self.objects.items()}
        self.flags = {name: p.requires_grad for name, p in self.objects.items()}
        self.branches = model.branches()
        self.marked = {name for name, m in model.named_modules() if hasattr(m, "branch_on")}
        self.training = {name: m.training for name, m in model.named_modules()}

    def compare(self, model: Injected, start: dict[str, Tensor], after: str) -> None:
        """Raise `Wrong` for what is not as it was."""
        same = start.keys() == self.start.keys()
        if not same or any(not torch.equal(start[name], self.start[name]) for name in start):
            raise Wrong("`start` itself was changed. Copy its values into the parameters.")
        self._compare_parameters(dict(model.named_parameters()), after)
        if model.branches() != self.branches:
            was = after or ": one of them may have been off"
            raise Wrong(f"The branches are not as they were before{was}.")
        marked = {name for name, m in model.named_modules() if hasattr(m, "branch_on")}
        if more := sorted(marked - self.marked):
            raise Wrong(
                f"{more[0] or 'The model itself'!r} has a `branch_on` now and had none: switch the "
                "layers that have one, and no others."
            )
        if any(m.training != self.training[n] for n, m in model.named_modules()):
            raise Wrong(
                "The training modes are not as they were: some parts were in eval(), some not. "
                "Leave them alone, or put back each one's own."
            )

    def _compare_parameters(self, now: dict[str, nn.Parameter], after: str) -> None:
        if any(now.get(name) is not parameter for name, parameter in self.objects.items()):
            raise Wrong(
                "The parameters are new objects now, which the optimizer does not know. Copy "
                "values with copy_()."
            )
        for name, parameter in now.items():
            value = parameter.detach()
            if torch.equal(value, self.values[name]):
                continue
            if name in self.start and torch.equal(value, self.start[name]):
                clone = (
                    " Put the trained one back. If you do: did you keep the parameter itself "
                    "instead of a clone()?"
                )
                more = f"{after}." if after else f".{clone}"
                raise Wrong(f"{name!r} still holds the base's value{more}")
            raise Wrong(f"{name!r} is not as it was before{after}.")
        if any(parameter.requires_grad != self.flags[name] for name, parameter in now.items()):
            raise Wrong(f"What requires a gradient is not as it was before{after}.")
        if any(p.requires_grad and (p.grad is None or (p.grad != 1).any()) for p in now.values()):
            raise Wrong("The gradients are not as they were: training goes on with them.")
