"""The checks of lesson 06's first four exercises: what trains, how many, what is saved, the base.

The models here are toys whose names and sizes are made to part the right answers from the wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong

MODES = ("none", "lora_only", "all")


def _whole(rng: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (1,), generator=rng))


# --- 6.1 -------------------------------------------------------------------------------------


class _Attention(nn.Module):
    """q, v and a norm have biases, o has none; two names hold "bias" and are none."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q = nn.Linear(width, width)
        self.q_norm = nn.LayerNorm(width)
        self.v = nn.Linear(width, width)
        self.o = nn.Linear(width, width, bias=False)
        self.bias_proj = nn.Linear(width, 1, bias=False)
        self.position_bias = nn.Parameter(torch.zeros(width))


class _Toy(nn.Module):
    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Attention(width) for _ in range(blocks))
        self.head = nn.Linear(width, 3)


def check_biases_that_train(answer: Callable[..., Any], rng: torch.Generator) -> None:
    count = _whole(rng, 2, 5)
    model = _Toy(_whole(rng, 2, 7), count)
    wrapped = [f"blocks.{i}.{part}" for i in range(count - 1) for part in ("q", "o")]
    every = {f"blocks.{i}.{part}.bias" for i in range(count) for part in ("q", "q_norm", "v")}
    every |= {"head.bias"}
    own = {f"blocks.{i}.q.bias" for i in range(count - 1)}
    known = {name for name, _ in model.named_parameters()}
    expected = {"none": set(), "lora_only": own, "all": every}
    for mode in MODES:
        _same_names(_names(answer(model, list(wrapped), mode), mode), expected, mode, known)
    for mode in (None, "lora_bias", "lora", True):
        _refuses(answer, model, wrapped, mode)


def _names(value: Any, mode: str) -> set[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise Wrong(
            f'"{mode}": return a set of names, an empty one where no bias trains; got '
            f"{type(value).__name__}."
        )
    names = list(value)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise Wrong(f"Return names, which are texts; got a {type(wrong[0]).__name__}.")
    return set(names)


def _same_names(found: set[str], expected: dict[str, set[str]], mode: str, known: set[str]) -> None:
    right = expected[mode]
    if found == right:
        return
    if mode == "none":
        raise Wrong(f'With "none" no bias trains; got {min(found)!r}.')
    if mode == "lora_only" and not found:
        raise Wrong(
            '"lora_only" trains the biases of the wrapped layers, and yours finds none. `wrapped` '
            "holds full names. Don't take it for `lora_bias`, which gives B a new bias."
        )
    if unknown := sorted(found - known):
        raise Wrong(
            f'"{mode}": {unknown[0]!r} is no parameter of the model. A wrapped layer may have no '
            "bias at all: begin with the names of the model's parameters."
        )
    if others := sorted(found - expected["all"]):
        raise Wrong(f'"{mode}": {others[0]!r} is no bias: only the last word of a name counts.')
    if mode == "all" and found == expected["lora_only"]:
        raise Wrong('"all" means every bias of the model, not only those of the wrapped layers.')
    if extra := sorted(found - right):
        raise Wrong(
            f'"{mode}": {extra[0]!r} is not the bias of a wrapped layer. `wrapped` holds full '
            "names: compare the whole of them."
        )
    missing = min(right - found)
    norms = " The norms have biases too." if "norm" in missing else ""
    raise Wrong(f'"{mode}": {missing!r} trains too, and it is missing.{norms}')


def _refuses(answer: Callable[..., Any], model: nn.Module, wrapped: list[str], mode: Any) -> None:
    try:
        result = answer(model, list(wrapped), mode)
    except ValueError:
        return
    except NotImplementedError:
        raise
    except Exception as error:
        raise Wrong(
            f"bias={mode!r} must be a ValueError; your code raised {type(error).__name__}: {error}."
        ) from error
    if result is ValueError or isinstance(result, ValueError):
        raise Wrong("Raise the ValueError; here it is returned.")
    raise Wrong(
        f"bias={mode!r} is none of the three modes and must be a ValueError; got {result!r}. "
        'None is not "none": who writes it may mean anything.'
    )


# --- 6.2 -------------------------------------------------------------------------------------


def check_bias_numbers(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for wrapped in (["q_proj", "v_proj"], ["q_proj"], ["k_proj", "q_proj", "v_proj"]):
        kv_heads, groups = _whole(rng, 3, 5), 5 + 2 * _whole(rng, 0, 2)  # no two mistakes agree
        heads, blocks = kv_heads * groups, _whole(rng, 3, 8)
        hidden = heads * 2 * _whole(rng, 3, 9)
        for mode in MODES:
            result = answer(hidden, heads, kv_heads, blocks, list(wrapped), mode)
            _whole_number(result, (hidden, heads, kv_heads, blocks), wrapped, mode)


def _whole_number(
    actual: Any, sizes: tuple[int, int, int, int], wrapped: list[str], mode: str
) -> None:
    hidden, heads, kv_heads, blocks = sizes
    head = hidden // heads
    narrow = kv_heads * head
    if isinstance(actual, bool) or not isinstance(actual, int):
        raise Wrong(f"Return an int; got {type(actual).__name__}.")

    def total(q: int, k: int, v: int) -> int:
        size = {"q_proj": q, "k_proj": k, "v_proj": v}
        counted = {"none": [], "lora_only": wrapped, "all": list(size)}[mode]
        return sum(size[name] for name in counted)

    right = blocks * total(hidden, narrow, narrow)
    if actual == right:
        return
    mistakes = {
        "k and v are as wide as kv_heads heads, not as q.": blocks * total(hidden, hidden, hidden),
        "k and v have kv_heads heads each. This counts one.": blocks * total(hidden, head, head),
        "This counts the heads of k and v. Each head has hidden // heads numbers.": (
            blocks * total(hidden, kv_heads, kv_heads)
        ),
        "A head has hidden // heads numbers, in k and v too; hidden // kv_heads is no width.": (
            blocks * total(hidden, hidden // kv_heads, hidden // kv_heads)
        ),
        "q has `hidden` outputs in all: its heads share them.": (
            blocks * total(hidden * heads, hidden * kv_heads, hidden * kv_heads)
        ),
        "This counts the layers. A bias has one number for each output.": blocks * total(1, 1, 1),
        "The output layer o_proj has no bias here: only q, k and v have one.": (
            right + blocks * hidden
        ),
        "This is one block. There are `blocks` of them.": total(hidden, narrow, narrow),
        "This counts the numbers of the weights. A bias has one number for each output.": (
            hidden * right
        ),
        "RMSNorm has a weight and no bias.": right + (2 * blocks + 1) * hidden,
        'This counts q, k and v in each mode. "lora_only" trains the biases of the wrapped layers '
        'alone, and "none" none.': blocks * (hidden + 2 * narrow),
        '"all" does not ask which layers are wrapped: k\'s bias trains too.': blocks
        * sum({"q_proj": hidden}.get(name, narrow) for name in wrapped),
    }
    for message, value in mistakes.items():
        if actual == value:
            raise Wrong(message)
    raise Wrong(f"{mode!r} with {wrapped} trains {right:,d} biases here; got {actual:,d}.")


# --- 6.3 -------------------------------------------------------------------------------------


class _Wrapped(nn.Module):
    """A layer as it stands after injection: the base's layer inside, the factors beside it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.base_layer = nn.Linear(width, width)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(width, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, width, bias=False)})
        self.branch_on = True

    def forward(self, x: Tensor) -> Tensor:
        branch = self.lora_B["default"](self.lora_A["default"](x)) if self.branch_on else 0.0
        return self.base_layer(x) + branch


class _Injected(nn.Module):
    """Two wrapped layers and a norm between; a third layer whose name only looks like a factor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.norm = _Wrapped(width), nn.LayerNorm(width)
        self.explora_A, self.second = nn.Linear(width, width, bias=False), _Wrapped(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.explora_A(self.norm(self.first(x))))


def _injected(rng: torch.Generator, width: int, trained: Iterable[str] = ()) -> _Injected:
    """The toy with random numbers in float64; the factors and these parameters train."""
    model = _Injected(width).double()
    trained = set(trained)
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
        parameter.requires_grad_(".lora_" in name or name in trained)
    return model


OLD_NAME = "A wrapped layer's bias has `base_layer.` in its name now, and not in `biases`."


def check_adapter_contents(answer: Callable[..., Any], rng: torch.Generator) -> None:
    factors = {f"{n}.lora_{f}.default.weight" for n in ("first", "second") for f in "AB"}
    for biases, keys in (
        ({"first.bias", "norm.bias"}, {"first.base_layer.bias", "norm.bias"}),
        ({"second.bias"}, {"second.base_layer.bias"}),
        (set(), set()),
    ):
        model = _injected(rng, _whole(rng, 2, 6), keys)
        _right_contents(_contents(answer, model, biases), model, factors | keys, "")
        model.requires_grad_(False)
        frozen = " Here the adapter was loaded to be used, so that nothing requires a gradient."
        _right_contents(_contents(answer, model, biases), model, factors | keys, frozen)


def _contents(answer: Callable[..., Any], model: nn.Module, biases: set[str]) -> Any:
    try:
        return answer(model, set(biases))
    except KeyError as error:
        if error.args and error.args[0] in biases:
            raise Wrong(f"{error} is no name of the model now. {OLD_NAME}") from error
        raise


def _right_contents(result: Any, model: nn.Module, right: set[str], frozen: str) -> None:
    if not isinstance(result, dict):
        raise Wrong(f"Return a dict from name to tensor; got {type(result).__name__}.")
    if others := [name for name, value in result.items() if not isinstance(value, Tensor)]:
        kind = type(result[others[0]]).__name__
        raise Wrong(f"Return tensors: under {others[0]!r} the dict has a {kind}.")
    now = dict(model.named_parameters())
    found = set(result)
    if found == set(now):
        raise Wrong("This is the whole model. An adapter's file holds what is its own.")
    if unknown := sorted(found - set(now)):
        inside = "default" if "lora_" in unknown[0] else "base_layer"
        raise Wrong(
            f"{unknown[0]!r} is no parameter of this model: use its names as they are now, with "
            f"`{inside}.` in them."
        )
    if extra := sorted(found - right):
        what = "is a bias that was not trained" if extra[0].endswith("bias") else "is the base's"
        raise Wrong(f"{extra[0]!r} {what}: it does not belong in the file.{frozen}")
    if missing := sorted(right - found):
        raise Wrong(
            f"{missing[0]!r} is missing: loaded again, the model would be another one."
            f"{' ' + OLD_NAME if 'base_layer' in missing[0] else ''}{frozen}"
        )
    before = {name: value.detach().clone() for name, value in result.items()}
    with torch.no_grad():
        for name in right:
            now[name].add_(1.0)  # as further training would
    if any(not torch.equal(result[name], before[name]) for name in right):
        raise Wrong("Return copies: these tensors change when the model trains on. Use clone().")
    if any(not torch.equal(before[name] + 1.0, now[name].detach()) for name in right):
        raise Wrong("The values are not the model's.")


# --- 6.4 -------------------------------------------------------------------------------------


class _Failed(Exception):
    pass


def check_measure_base(answer: Callable[..., Any], rng: torch.Generator) -> None:
    width = _whole(rng, 2, 6)
    names = ["first.base_layer.bias", "norm.bias", "second.base_layer.bias"]
    for second_on, fails in ((True, False), (False, False), (True, True)):
        model = _injected(rng, width, names)
        model.second.branch_on = second_on
        start = {n: torch.randn(width, generator=rng, dtype=torch.float64) for n in names}
        x = torch.randn(4, width, generator=rng, dtype=torch.float64)
        _one_measurement(answer, model, start, x, fails)


def _one_measurement(
    answer: Callable[..., Any], model: _Injected, start: dict[str, Tensor], x: Tensor, fails: bool
) -> None:
    kept = {name: value.clone() for name, value in start.items()}
    objects = dict(model.named_parameters())
    trained = {name: p.detach().clone() for name, p in objects.items()}
    was_on = [model.first.branch_on, model.second.branch_on]
    seen: list[Tensor] = []

    def measure(given: nn.Module) -> str:
        if given is not model:
            raise Wrong("Call measure(model) with the model that you were given.")
        seen.append(given(x).detach().clone())
        if fails:
            raise _Failed
        return "measured"

    try:
        result = answer(model, start, measure)
        if fails:
            raise Wrong("An error of `measure` must come through: don't catch it.")
        if result != "measured":
            raise Wrong(f"Return what measure(model) returned; got {result!r}.")
    except _Failed:
        pass
    if not seen:
        raise Wrong("Call measure(model).")
    _saw_the_base(seen[0], _base_output(trained | kept, x), _base_output(trained, x))
    after = " after `measure` failed: use try and finally" if fails else ""
    if any(not torch.equal(start[name], kept[name]) for name in start):
        raise Wrong("`start` itself was changed. Copy its values into the parameters.")
    _as_before(model, objects, trained, kept, after)
    if [model.first.branch_on, model.second.branch_on] != was_on:
        raise Wrong(
            f"The branches are not as they were before{after or ': one of them may have been off'}."
        )


def _base_output(values: dict[str, Tensor], x: Tensor) -> Tensor:
    """The toy without its branches, written out: linear, norm, linear, linear."""

    def linear(name: str, x: Tensor) -> Tensor:
        mixed = torch.einsum("oi,ni->no", values[f"{name}.weight"], x)
        return mixed + values.get(f"{name}.bias", 0)

    x = linear("first.base_layer", x)
    spread = x - x.mean(1, keepdim=True)
    x = spread / (spread.square().mean(1, keepdim=True) + 1e-5).sqrt()
    x = x * values["norm.weight"] + values["norm.bias"]
    return linear("second.base_layer", linear("explora_A", x))


def _saw_the_base(seen: Tensor, base: Tensor, trained_biases: Tensor) -> None:
    if torch.allclose(seen, base, rtol=1e-9, atol=1e-9):
        return
    if torch.allclose(seen, trained_biases, rtol=1e-9, atol=1e-9):
        raise Wrong(
            "The branches are off, and yet this is not the base: the trained biases are still in "
            "place. Copy `start` into them."
        )
    raise Wrong("`measure` did not see the base: are all branches off and all biases in place?")


def _as_before(
    model: nn.Module,
    objects: dict[str, nn.Parameter],
    trained: dict[str, Tensor],
    start: dict[str, Tensor],
    after: str,
) -> None:
    now = dict(model.named_parameters())
    if any(now.get(name) is not parameter for name, parameter in objects.items()):
        raise Wrong(
            "The parameters are new objects now, which the optimizer does not know. Copy values "
            "with copy_()."
        )
    for name, parameter in now.items():
        if torch.equal(parameter.detach(), trained[name]):
            continue
        if name in start and torch.equal(parameter.detach(), start[name]):
            raise Wrong(
                f"{name!r} still holds the base's value{after}. "
                + (
                    ""
                    if after
                    else "Put the trained one back. If you do: did you keep the parameter itself "
                    "instead of a clone()?"
                )
            )
        raise Wrong(f"{name!r} is not as it was before{after}.")
    if any(p.requires_grad != (".lora_" in n or n in start) for n, p in now.items()):
        raise Wrong(f"What requires a gradient is not as it was before{after}.")
