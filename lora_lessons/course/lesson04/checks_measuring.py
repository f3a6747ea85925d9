"""The checks of lesson 04's measuring: a quiet model, and where to stop."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

import torch
from torch import nn

from ..checks.core import Wrong, expect
from ..checks.lived import lived_in
from ..checks.plain import kind_of

# --- 4.4 Measuring ---------------------------------------------------------------------------


class _Failed(Exception):
    pass


def _called_with(*given: Any, **named: Any) -> Any:
    """The model that measure was called with."""
    if len(given) != 1 or named:
        raise Wrong("Call measure(model): the model is its one argument, and it has no name.")
    return given[0]


def check_measure_quietly(answer: Callable[..., Any], rng: torch.Generator) -> None:
    expected = torch.rand((), generator=rng).item()
    for training in (True, False):
        model = _toy(training)
        seen: list[tuple[bool, bool, bool]] = []

        measure = _telling(model, seen, expected)
        # in training gradients are on; in evaluation the caller may have turned them off
        result = _keeping_gradients(answer, model, measure, on=training)
        _check_seen(seen)
        if len(seen) != 1:
            raise Wrong(
                f"measure was called {len(seen)} times: once is enough, and it may be slow."
            )
        if result != expected:
            raise Wrong("Return what measure(model) returns.")
        _check_modes(model, training)
    _check_after_a_failure(answer)
    for i, result in enumerate((None, 0.0, ["a", "list"], torch.ones(2, 3))):
        _check_mixed(answer, rng, result, i % 2 == 0)


def _telling(
    model: nn.Module, seen: list[tuple[bool, bool, bool]], expected: float
) -> Callable[..., float]:
    """A measure() that notes in `seen` whether dropout, any part and gradients were on."""

    def measure(*given: Any, **named: Any) -> float:
        if _called_with(*given, **named) is not model:
            raise Wrong("Call measure(model) with the model that you were given.")
        noisy = any(m.training for m in model.modules() if isinstance(m, nn.Dropout))
        trains = any(m.training for m in model.modules())
        seen.append((noisy, trains, torch.is_grad_enabled()))
        return expected

    return measure


def _check_mixed(
    answer: Callable[..., Any], rng: torch.Generator, result: Any, deepest: bool
) -> None:
    """A deep model, each part in a mode of its own; the result is handed back as it is."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout())))
    model.add_module("other", nn.ModuleDict({"norm": nn.LayerNorm(3)}))
    lived_in(model, rng)
    model[0].requires_grad_(False)
    parts = dict(model.named_modules())
    for part, mode in zip(parts.values(), torch.rand(len(parts), generator=rng), strict=True):
        part.training = bool(mode < 0.5)
    parts["1.1"].training, parts["1.1.0"].training = not deepest, deepest
    before, calls = {name: part.training for name, part in parts.items()}, []

    def measure(given: nn.Module) -> Any:
        calls.append(any(part.training for part in model.modules()))
        return result

    try:
        found = answer(model, measure)
    except (TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise Wrong(
            f"It fails where measure(model) returns {_shown(result)}: hand back what it returns, "
            f"without float() or .item(). ({type(error).__name__}: {error})"
        ) from error
    if calls != [False]:
        raise Wrong(
            "A part of the model was still in training mode while measuring: model.eval() switches "
            "all of them."
            if any(calls)
            else f"measure was called {len(calls)} times: once is enough, and it may be slow."
        )
    if found is not result and not (isinstance(result, list) and found == result):
        raise Wrong(
            f"Return what measure(model) returns, as it is: here {_shown(result)}; got "
            f"{'another one' if _shown(found) == _shown(result) else _shown(found)}."
        )
    for name, part in parts.items():
        if part.training != before[name]:
            raise Wrong(
                f"The part `{name}` was left in {('evaluation', 'training')[part.training]} mode. "
                "Parts may lie in parts: remember the mode of each of model.modules()."
                if name
                else "The model itself was left in another mode than it had."
            )


def _shown(value: Any) -> str:
    return kind_of(value) if isinstance(value, torch.Tensor) else repr(value)


def _keeping_gradients(
    answer: Callable[..., Any], model: nn.Module, measure: Callable[..., Any], on: bool
) -> Any:
    """The answer's result; `Wrong` where gradients are on or off afterwards, unlike before."""
    with torch.set_grad_enabled(on):  # puts back what was, whatever the answer does
        result = answer(model, measure)
        if torch.is_grad_enabled() != on:
            before, after = ("on", "off") if on else ("off", "on")
            raise Wrong(
                f"Gradients were {before} before the call and are {after} after it. "
                "`with torch.no_grad():` puts back what was."
            )
    return result


def _toy(training: bool) -> nn.Sequential:
    """A model whose last part is in evaluation mode by itself, as a frozen part may be."""
    model = nn.Sequential(nn.Linear(5, 5), nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    model[0].weight.grad = torch.ones(5, 5)  # of a step before
    model[0].bias.requires_grad_(False)
    model.train(training)
    model[2].eval()
    return model


def _check_seen(seen: list[tuple[bool, bool, bool]]) -> None:
    if not seen:
        raise Wrong("measure was never called.")
    noisy, trains, grad = seen[-1]
    if noisy:
        raise Wrong("Dropout was active while measuring: call model.eval() first.")
    if trains:
        raise Wrong(
            "A part of the model was still in training mode while measuring. Dropout is not the "
            "only layer that has a mode: model.eval() switches all of them."
        )
    if grad:
        raise Wrong("Gradients were recorded while measuring: use torch.no_grad().")


def _check_modes(model: nn.Sequential, training: bool) -> None:
    if model.training and not training:
        raise Wrong("A model that came in evaluation mode was left in training mode.")
    if training and not model.training:
        raise Wrong("The model was left in evaluation mode: put training mode back.")
    if model[1].training != training:
        raise Wrong("A part of the model was left in another mode than it had.")
    if model[2].training:
        raise Wrong(
            "model.train() also switched on a part that was in evaluation mode: remember the mode "
            "of each module."
        )


def _check_after_a_failure(answer: Callable[..., Any]) -> None:
    for failure, how, what in (
        (_Failed, "failed", "the error"), (KeyboardInterrupt, "was interrupted", "that"),
    ):  # fmt: skip
        model, calls = _toy(training=True), []

        def measure(
            given: nn.Module, failure: type[BaseException] = failure, calls: list = calls
        ) -> float:
            calls.append(given)
            raise failure

        try:
            answer(model, measure)
        except failure:
            pass
        else:
            raise Wrong(f"measure {how} and {what} was swallowed: let it through.")
        if len(calls) != 1:
            raise Wrong(f"measure {how} and was called again: let the error through.")
        if not model.training:
            raise Wrong(f"When measure {how}, the model stayed in evaluation mode: use `finally`.")
        if not model[1].training or model[2].training:
            raise Wrong(
                f"When measure {how}, a part of the model was left in another mode than it had: "
                "put back the mode of each module in `finally`."
            )


# --- 4.5 Stopping ----------------------------------------------------------------------------


def check_stopping_report(answer: Callable[..., Any], rng: torch.Generator) -> None:
    # on the second text going on helps: there the cost is negative
    for trend in (0.1, -0.2):
        _check_report(answer, *_curves(rng, trend))
    for valid in (*EDGES, *_rough(rng)):
        n = len(valid)
        train, test = (torch.rand(2, n, generator=rng, dtype=torch.float64) + 3).tolist()
        _check_report(answer, train, list(valid), test, valid.index(min(valid)))


# one moment; lowest first, last; the first of two that are equal; a long rise before the lowest;
# two that differ in the fourth digit
EDGES = (
    [3.5],
    [3.1, 3.3, 3.2],
    [3.4, 3.2],
    [3.6, 3.2, 3.4, 3.2, 3.3],
    [3.4, 3.5, 3.6, 3.7, 3.8, 3.9, 3.8, 3.3, 3.5],
    [3.4, 3.2001, 3.2, 3.25],
)


def _rough(rng: torch.Generator) -> list[list[float]]:
    """Curves of any shape and of several lengths."""
    return [
        (3 + torch.rand(n, generator=rng, dtype=torch.float64)).tolist() for n in (2, 5, 12, 12)
    ]


def _check_report(
    answer: Callable[..., Any], train: list[float], valid: list[float], test: list[float], at: int
) -> None:
    report = answer(list(train), list(valid), list(test))
    if not (isinstance(report, tuple | list) and len(report) == 3):
        raise Wrong("Return three things: the place, the test loss there, the cost of going on.")
    place, loss, cost = report
    _check_place(place, at, train, valid, test)
    _check_number(loss, test[at], {
            test[at] - train[at]: "The training loss was taken off. Report the test loss itself.",
            valid[at]: "This is the validation loss there. It was chosen for being low: report "
            "test.",
            min(test): "This is the lowest test loss. Report the test loss at the chosen place.",
            test[-1]: "This is the test loss at the end. Report it at the chosen place.",
            train[at]: "This is the training loss there. Report the test loss.",
        }, f"as the test loss at moment {at} of {len(valid)}")  # fmt: skip
    _check_cost(cost, train, valid, test, at)


def _check_cost(
    cost: Any, train: list[float], valid: list[float], test: list[float], at: int
) -> None:
    right = test[-1] - test[at]
    last = len(valid) - 1
    mistakes = {} if at == last else {
        valid[-1] - train[-1]: "This is valid minus train at the end. Going on costs test[-1] "
        "minus the test loss at the chosen place.",
        test[-1] - train[-1]: "This is test minus train at the end. Going on costs test[-1] "
        "minus the test loss at the chosen place.",
        test[-1] - valid[at]: "This takes the validation loss from the last test loss. Compare "
        "test with test.",
        test[-1] / test[at]: "This is a ratio. The cost is a difference.",
        max(test) - test[at]: "This compares with the highest test loss. Going on ends at the "
        "last one.",
        valid[-1] - valid[at]: "This is the cost on the validation text. Report it on test.",
        test[-1] - min(test): "This compares with the lowest test loss, which nobody could choose.",
        -right: "The sign is turned: going on costs last minus best.",
        right / test[at]: "This is divided by the test loss. The cost is the difference itself.",
        100 * right / test[at]: "This is in percent. The cost is the difference itself.",
        right / (last - at): "This is the cost of one step. Going on goes to the end.",
        train[-1] - train[at]: "This is the cost on the training text. Report it on test.",
        test[at + 1] - test[at]: "This is the cost of the next step alone. Going on goes to the "
        "end.",
        sum(test[at:]) - test[at]: "The test losses were added. Take the last one minus the one at "
        "the chosen place.",
    }  # fmt: skip
    if right < 0:
        why = "On this test text going on helps: the cost is negative"
        mistakes |= {-right: f"{why}. Leave its sign.", 0.0: f"{why}, not zero."}
    case = f"as the last test loss, {test[-1]:.4f}, minus the one at moment {at}, {test[at]:.4f}"
    _check_number(cost, right, mistakes, case)


def _curves(
    rng: torch.Generator, trend: float
) -> tuple[list[float], list[float], list[float], int]:
    """Training, validation and test losses, each lowest at another place; valid's is `at`.

    `valid` rises once before it falls to its lowest. `trend`: how test goes on after its dip.
    """
    n = 10
    at = int(torch.randint(3, 6, (1,), generator=rng))
    jitter = 0.01 * torch.rand(3, n, generator=rng, dtype=torch.float64)
    step = torch.arange(n, dtype=torch.float64)
    train = 4 - 0.3 * step + jitter[0]
    valid = 3.5 + 0.1 * (step - at).abs() + jitter[1]
    valid[1] += 0.2
    dip = at + 2
    test = 3.7 + torch.where(step <= dip, 0.02 * (dip - step), trend * (step - dip)) + jitter[2]
    return train.tolist(), valid.tolist(), test.tolist(), at


def _check_place(
    place: Any, at: int, train: list[float], valid: list[float], test: list[float]
) -> None:
    try:
        place = index(None if isinstance(place, bool) else place)
    except TypeError:
        kind = type(place).__name__  # of a bool too, which would count as 0 or 1
        raise Wrong(f"The place is an int, an index into the lists; got {kind}.") from None
    if place == at:
        return
    if len(valid) > 1 and valid.count(valid[at]) > 1 and valid[place % len(valid)] == valid[at]:
        raise Wrong("Two moments have the lowest validation loss: take the first of them.")
    if place == at - len(valid):
        raise Wrong("The place counts from the start, from 0: it is not negative.")
    if place == at + 1:
        raise Wrong("The place is an index: it counts from 0.")
    if at == 0:
        raise Wrong("The lowest validation loss may be the first of all: look at every moment.")
    if at == len(valid) - 1:
        raise Wrong("The lowest validation loss may be the last of all: look at every moment.")
    for losses, message in (
        (train, "This is where the training loss is lowest: the end. Choose by valid."),
        (test, "This place was chosen on the test text. Then test is no test any more: use valid."),
    ):
        if place == losses.index(min(losses)):
            raise Wrong(message)
    if place == valid.index(max(valid)):
        raise Wrong("This is where the validation loss is highest.")
    if place == 0:
        raise Wrong(
            f"The validation loss is lowest at {at}, not at 0. It may rise once and fall again: "
            "take the lowest of all."
        )
    raise Wrong(f"The validation loss is lowest at {at}, not at {place}.")


def _check_number(actual: Any, right: float, mistakes: dict[float, str], case: str) -> None:
    rounded = {
        round(right, digits): f"This is rounded to {digits} digits. Return the number as it is."
        for digits in (4, 3, 2, 1)  # the fewest digits win where two agree
    }
    expect(
        actual,
        torch.tensor(right, dtype=torch.float64),
        mistakes={
            message: torch.tensor(value, dtype=torch.float64)
            for value, message in (mistakes | rounded).items()
        },
        case=case,
    )
