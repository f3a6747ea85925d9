"""The checks of lesson 09 on one adapter: its file, loading it, merging it, and the way back.

What is expected is computed here in float64. The exercises take plain tensors and dicts, where the
package and PEFT take models.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checks.core import Wrong

# Unequal primes, so that a transposed or mixed-up shape cannot pass by chance.
OUT, IN, R = 61, 47, 3
SCALING = 7 / 3
PREFIX = "base_model.model."
IN_A_PATTERN = (
    "in a regular expression + and other signs stand for something else. re.escape(adapter) is the "
    "pattern of the name itself."
)
NEAREST = 0.005  # share of weights that may be off by one step: sums in float32 have near-ties


def draw(rng: torch.Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64).to(dtype)


# --- 9.1 -------------------------------------------------------------------------------------


def check_file_tensors(answer: Callable[..., Any], rng: torch.Generator) -> None:
    paths = ("model.layers.0.attn.q_proj", "model.sea.layers.1.v_proj")  # a module named "sea"
    # a base weight whose module is called "sea", too, and adapters whose names end alike
    state = {"model.embed.weight": draw(rng, 5, 4), "model.norm.sea.weight": draw(rng, 4)}
    for path in paths:
        state[f"{path}.base_layer.weight"] = draw(rng, 4, 4)
        state[f"{path}.base_layer.bias"] = draw(rng, 4)
        for adapter in ("sea", "sea_2", "deepsea", "default", "c++", "Sea"):
            state[f"{path}.lora_A.{adapter}.weight"] = draw(rng, 2, 4)
            state[f"{path}.lora_B.{adapter}.weight"] = draw(rng, 4, 2)
    for adapter in ("default", "sea", "deepsea", "c++", "Sea", "nobody's"):
        expected = {
            f"{PREFIX}{path}.{factor}.weight": state[f"{path}.{factor}.{adapter}.weight"]
            for path in paths
            for factor in ("lora_A", "lora_B")
            if adapter != "nobody's"
        }
        _check_keys(_of_an_adapter(answer, state, adapter), expected, adapter)
    _check_one_layer(answer, rng)


def _of_an_adapter(answer: Callable[..., Any], state: dict[str, Tensor], adapter: str) -> Any:
    """The answer for this adapter; an error that its name brings about is told as that."""
    try:
        return answer(dict(state), adapter)
    except (KeyError, ValueError) as error:
        if adapter != "nobody's":
            raise
        raise Wrong(
            f"No tensor of `state` belongs to the adapter {adapter!r}, and your code raised "
            f"{type(error).__name__}. Such an adapter has no tensors: return an empty dict."
        ) from error
    except re.error as error:
        raise Wrong(f"The adapter {adapter!r}: {IN_A_PATTERN}") from error


def _check_one_layer(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """A bare layer, and one within a module that is called lora_A."""
    for path in ("q_proj", "block.lora_A.default.q_proj"):
        state = {
            f"{path}.lora_A.default.weight": draw(rng, 2, 4),
            f"{path}.lora_B.default.weight": draw(rng, 4, 2),
        }
        expected = {
            f"{PREFIX}{path}.{factor}.weight": state[f"{path}.{factor}.default.weight"]
            for factor in ("lora_A", "lora_B")
        }
        found = answer(dict(state), "default")
        if not isinstance(found, dict) or found.keys() != expected.keys():
            wanted, got = (sorted(map(str, keys)) for keys in (expected, found))
            raise Wrong(
                f"For {sorted(state)} the keys must be {wanted}; got {got}. Only what stands after "
                "the layer's own lora_A or lora_B is the adapter's name."
            )


def _check_keys(found: Any, expected: dict[str, Tensor], adapter: str) -> None:
    if not isinstance(found, dict):
        raise Wrong(f"Return a dict from key to tensor; got {type(found).__name__}.")
    keys = [str(key) for key in found]
    if any("base_layer" in key or "embed" in key for key in keys):
        raise Wrong("Weights of the base are in the file: it holds the adapter's factors alone.")
    if any(f"lora_A.{adapter}." in key or f"lora_B.{adapter}." in key for key in keys):
        raise Wrong(
            f"The adapter's name is still in a key (.{adapter}.weight). The file leaves it out, so "
            "that it can be loaded under any name."
        )
    if not all(key.startswith(PREFIX) for key in keys):
        raise Wrong(f'Each key begins with "{PREFIX}": the two wrappers around the model.')
    if len(keys) > len(expected):
        raise Wrong(
            f"{len(keys)} tensors, and {adapter!r} has {len(expected)}: those of another adapter "
            "are among them. An adapter's name is all that stands between two dots: sea is not "
            "the end of deepsea."
        )
    missing = [key for key in expected if key not in found]
    if missing and adapter == "c++" and not keys:
        raise Wrong(f"Nothing was found of the adapter 'c++', which is there: {IN_A_PATTERN}")
    if missing and ".sea." in missing[0] and adapter == "sea":
        raise Wrong(
            f'"{missing[0]}" is missing: a module is called "sea" too. Take the adapter\'s name '
            "away only where it stands after lora_A or lora_B."
        )
    if missing:
        raise Wrong(f'"{missing[0]}" is missing{_why_no_key(missing, keys)}')
    for key, tensor in expected.items():
        if isinstance(found[key], Tensor) and found[key].dtype != tensor.dtype:
            raise Wrong(f'"{key}" is {found[key].dtype}, and in `state` it is {tensor.dtype}.')
        if not isinstance(found[key], Tensor) or not torch.equal(found[key], tensor):
            raise Wrong(f'"{key}" has another tensor than the adapter {adapter!r} has there.')
        if found[key].data_ptr() != tensor.data_ptr():
            raise Wrong(
                f'"{key}" is a copy. Return the tensor of `state` itself: what is loaded into it '
                "must reach the model."
            )


def _why_no_key(missing: list[str], keys: list[str]) -> str:
    """What all missing keys have in common, or the key that stands in their place."""
    there = sorted(keys)[:1]
    for factor in ("lora_A", "lora_B"):
        if keys and all(factor in key for key in missing) and all(factor not in k for k in keys):
            return f": no {factor} is in the file. An update needs both factors."
    if keys and all(".sea." in key for key in missing) and not any(".sea." in key for key in keys):
        return (
            ': its module is called "sea", as another adapter is. It is a layer of this adapter '
            "all the same (PEFT issue 3584)."
        )
    if not keys:
        return ", as all keys are: nothing of the adapter was found."
    if not any(key.endswith(".weight") for key in keys):
        return f"; there is {there}. A key of the file ends in .weight, as that of `state` does."
    within = ["x." + key.removeprefix(PREFIX) for key in keys]
    if all(key not in missing for key in keys) and len(keys) == len(missing):
        right = missing[0].removeprefix(PREFIX)
        if any(name.endswith(right.partition(".")[2]) for name in within):
            return (
                f"; there is {there}. In front of the whole name in `state` stands {PREFIX!r}, "
                "once, and nothing is taken away there."
            )
    return f"; there is {there}, {len(keys)} in all. Every layer with this adapter has two."


# --- 9.2 -------------------------------------------------------------------------------------

KEYS = tuple(f"layers.{i}.{factor}.weight" for i in (0, 1) for factor in ("lora_A", "lora_B"))


def check_load_strictly(answer: Callable[..., Any], rng: torch.Generator) -> None:
    _check_good_file(answer, rng, _given(rng))
    last = KEYS[-1]
    good = _given(rng)
    without = {key: value for key, value in good.items() if key != last}
    broken = good[last].clone()
    broken[0, 0] = float("nan")
    for given, key, fault in (
        (without, last, "is missing in the file"),
        (good | {"layers.2.lora_A.weight": draw(rng, 2, 5)}, "layers.2.lora_A.weight", "is extra"),
        (good | {last: good[last].T.contiguous()}, last, "has another shape"),
        (good | {last: good[last][:1]}, last, "has another shape (copy_ repeats a single row)"),
        (good | {last: broken}, last, "is not finite (NaN)"),
    ):
        _check_refusal(answer, rng, given, (key,), fault)
    _check_refusal(answer, rng, good | {last: good[last] / 0}, (last,), "is not finite (inf)")
    typo = "layers.1.lora_b.weight"
    _check_refusal(
        answer, rng, without | {typo: good[last]}, (last, typo), "is missing, and another is extra"
    )
    _check_refusal(answer, rng, {}, KEYS, "is missing, as all keys are")
    more = {f"layers.{i}.lora_A.weight": draw(rng, 2, 5) for i in range(2, 42)}
    _check_refusal(answer, rng, good | more, tuple(more), "is extra, among forty")
    all_wrong = without | {typo: broken, KEYS[0]: good[KEYS[0]][:1], KEYS[1]: good[KEYS[1]] / 0}
    _check_refusal(answer, rng, all_wrong, (last, typo, *KEYS[:2]), "is missing, among others")
    _check_not_finite(answer, rng)
    _check_shapes(answer, rng)
    _check_good_file(answer, rng, {key: _awkward(value) for key, value in _given(rng).items()})


def _awkward(value: Tensor) -> Tensor:
    """Right values, all finite: so large that their sum is not, zeros, and a tiny one."""
    value = value.sign() * 3e38
    value[-1] = 0
    value[0, 0] = 1e-42
    return value


def _check_not_finite(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """NaN and both infinities, each in another key, at any place and at the last one."""
    nan, inf = float("nan"), float("inf")
    keys = [KEYS[i] for i in torch.randperm(len(KEYS), generator=rng).tolist()]
    for key, bad, fault in (
        (keys[0], (nan,), "has a NaN in it"),
        (keys[1], (inf,), "has inf in it"),
        (keys[2], (-inf,), "has -inf in it"),
        (keys[3], (inf, -inf), "has inf and -inf in it"),
        (keys[0], (-inf,), "has -inf in its last place"),
        (keys[1], (nan,), "has a NaN in its last place"),
    ):
        given = _given(rng)
        flat = given[key].view(-1)
        place = 1 + int(torch.randint(0, len(flat) - 2, (1,), generator=rng))
        flat[-1 if "last" in fault else place] = bad[0]
        if len(bad) > 1:
            flat[0] = bad[1]
        _check_refusal(answer, rng, given, (key,), fault)


def _check_shapes(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """All that copy_ would spread or that has as many numbers: each is another shape."""
    for key in (KEYS[0], KEYS[-1]):
        own = _given(rng)[key]
        for other in (own[:, :1], own[0], own[:1, :1], own[None], own.flatten(), own[:, :-1]):
            shape = tuple(other.shape)
            if torch.Size(shape) == own.shape:
                continue
            _check_refusal(
                answer, rng, _given(rng) | {key: other.clone()}, (key,),
                f"has shape {shape}, not {tuple(own.shape)}",
            )  # fmt: skip


def _targets(rng: torch.Generator) -> dict[str, Tensor]:
    """Live parameters: A (2, 5), B (7, 2)."""
    shapes = {"lora_A": (2, 5), "lora_B": (7, 2)}
    return {key: nn.Parameter(draw(rng, *shapes[key.split(".")[2]])) for key in KEYS}


def _given(rng: torch.Generator) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in _targets(rng).items()}


def _check_good_file(
    answer: Callable[..., Any], rng: torch.Generator, given: dict[str, Tensor]
) -> None:
    targets = _targets(rng)
    live = dict(targets)
    try:
        answer(targets, dict(reversed(given.items())))
    except ValueError as error:
        large = " Its numbers are large, up to 3e38, and finite all the same: ask isfinite()."
        raise Wrong(
            f"A file without a fault was refused: {error}."
            + (large if given[KEYS[0]].abs().max() > 1e30 else " Its keys come in another order.")
        ) from error
    for key, tensor in live.items():
        if targets.get(key) is not tensor or not torch.equal(tensor, given[key]):
            raise Wrong(
                f"{key}: the live tensor does not hold the file's values. Write into it in place "
                "(copy_), because the model holds this tensor; a new one in the dict is lost."
            )
        given[key].zero_()
        if not tensor.detach().any():
            raise Wrong(f"{key} shares its memory with the file's tensor: copy the values.")
        if not tensor.requires_grad:
            raise Wrong(
                f"{key} does not require a gradient any more, so it would not train on. Leave that "
                "as it was, and copy under torch.no_grad()."
            )


def _check_refusal(
    answer: Callable[..., Any],
    rng: torch.Generator,
    given: dict[str, Tensor],
    named: tuple[str, ...],
    fault: str,
) -> None:
    """Raise `Wrong` unless a ValueError names all keys at fault and nothing was written."""
    targets = _targets(rng)
    before = {key: value.detach().clone() for key, value in targets.items()}
    error = None
    try:
        answer(targets, given)
    except NotImplementedError:
        raise
    except Exception as raised:
        error = raised
    if error is None:
        raise Wrong(f"{named[0]} {fault}, and nothing was raised: the fault would go unseen.")
    if any(not torch.equal(targets[key], before[key]) for key in before):
        raise Wrong(
            f"{named[0]} {fault}, and other tensors were written all the same: a half-loaded "
            "adapter. Look for all faults first, then copy."
        )
    if not isinstance(error, ValueError):
        raise Wrong(
            f"{named[0]} {fault}: raise a ValueError that names it; got "
            f"{type(error).__name__}: {error}."
        )
    unnamed = [key for key in named if key not in str(error)]
    if unnamed:
        raise Wrong(f"The message does not name {unnamed[0]}. Collect every fault, raise once.")
    if len(named) == 1 and all(key in str(error) for key in KEYS):
        raise Wrong(
            f"Only {named[0]} is at fault, and the message names all keys: nobody could find it."
        )


# --- 9.3 -------------------------------------------------------------------------------------


def check_merge_rounded(answer: Callable[..., Any], rng: torch.Generator) -> None:
    # updates of 2 % of the weights, and as large as they are, where a rounded B A shows
    for dtype, size in (
        (torch.bfloat16, 1e-4),
        (torch.bfloat16, 1e-2),
        (torch.float16, 1e-4),
        (torch.float16, 1e-2),
        (torch.float32, 1e-4),
        (torch.float32, 3e-10),  # half of the weights stay, to the last bit
        (torch.float16, 1e-9),  # the update is below float16's smallest number, and still not zero
        (torch.bfloat16, 1e-16),
    ):
        W, A, B = 0.02 * draw(rng, OUT, IN), draw(rng, R, IN), size * draw(rng, OUT, R)
        B[::4], A[:, 1::5] = 0, 0  # rows and columns without an update
        W, before = W.to(dtype), W.to(dtype, copy=True)
        result = answer(W, A.clone(), B.clone(), SCALING)
        if not torch.equal(W, before):
            raise Wrong(
                "W itself was changed. Return a new tensor: a cell that runs twice would merge the "
                "update twice. (W.float() is W, not a copy, when W is float32.)"
            )
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise Wrong("Return two values, (merged, unchanged).")
        delta = SCALING * (B.double() @ A.double())
        _check_merged(result[0], W, delta)
        _check_unchanged(result[1], W, delta)


def _check_merged(merged: Any, W: Tensor, delta: Tensor) -> None:
    name = str(W.dtype).removeprefix("torch.")
    if not isinstance(merged, Tensor) or merged.shape != W.shape:
        raise Wrong(f"merged must be a tensor of W's shape, {tuple(W.shape)}.")
    if merged.dtype != W.dtype:
        raise Wrong(f"merged must have W's dtype, {W.dtype}; it has {merged.dtype}.")
    if is_nearest(merged, W.double() + delta):
        return
    for message, mistaken in (
        ("The scaling is missing: merge W + scaling * B A.", delta / SCALING),
        ("The scaling is in it twice.", delta * SCALING),
        ("The scaling is alpha / r already: do not divide by r again.", delta / R),
        ("The update was subtracted.", -delta),
        ("The update is in it twice.", 2 * delta),
        ("Nothing was merged: this is W.", 0 * delta),
    ):
        if is_nearest(merged, W.double() + mistaken):
            raise Wrong(message)
    if message := _other_size(merged, W, delta):
        raise Wrong(message)
    raise Wrong(
        f"{share_off(merged, W.double() + delta):.0%} of the weights are not the {name} value "
        "nearest to W + scaling * B A. Was B A, or a factor, rounded before the sum? Add in "
        "float32 and round once, at the end."
    )


def _other_size(merged: Tensor, W: Tensor, delta: Tensor) -> str:
    """A sentence where what was added is a multiple of the update, as far as rounding shows."""
    added = merged.double() - W.double()
    times = float((added * delta).sum() / delta.square().sum())
    off = (added - times * delta).abs().max()
    if off <= 2 * torch.finfo(W.dtype).eps * W.abs().max() and not abs(times - 1) <= 0.05:
        return (
            f"What was added is about {times:.2g} times the update: add scaling * B A, whole and "
            "once."
        )
    return ""


def share_off(value: Tensor, exact: Tensor) -> float:
    """The share of numbers that are not the nearest to `exact` in their own dtype."""
    if value.dtype == torch.float32:  # the sum itself is rounded there: a few last bits
        near = (value - exact).abs() <= 1e-6 * exact.abs().max()
        return (~near).double().mean().item()
    return (value != exact.to(value.dtype)).double().mean().item()


def is_nearest(value: Tensor, exact: Tensor) -> bool:
    return value.shape == exact.shape and share_off(value, exact) < NEAREST


def _check_unchanged(unchanged: Any, W: Tensor, delta: Tensor) -> None:
    if isinstance(unchanged, Tensor) and unchanged.numel() == 1:
        unchanged = unchanged.item()
    if isinstance(unchanged, bool) or not isinstance(unchanged, int | float):
        raise Wrong(f"unchanged must be a number; got {type(unchanged).__name__}.")
    kept, moving = (W.double() + delta).to(W.dtype) == W, delta != 0
    count = (kept & moving).sum().item()
    right = count / moving.sum().item()
    if abs(unchanged - right) < 2 * NEAREST:
        return
    if unchanged != unchanged and 0 < delta.abs().max() < 1e-6:
        raise Wrong(
            f"unchanged is nan. The updates are tiny here, below {delta.abs().max():.0e}, and not "
            "zero. Ask of the float32 update whether it is != 0, exactly: gone to "
            f"{W.dtype}, or compared with a tolerance, all of it would be zero."
        )
    rounded = [round(right, places) for places in (1, 2, 3)]
    if any(abs(unchanged - value) < 1e-9 for value in rounded if 0 < value < 1):
        raise Wrong("The share is rounded: return the number as it is.")
    for message, mistaken in (
        ("This is a count. Divide by the number of weights that have an update.", count),
        ("This is in percent: return a share from 0 to 1.", 100 * right),
        ("This is the share that did change.", 1 - right),
        (
            "Weights without an update are counted too: here a quarter of the rows of B is zero. "
            "Look at the weights where B A is not zero.",
            kept.double().mean().item(),
        ),
        (
            "The rows of B that are not zero are counted whole, though a column of A is zero. Look "
            "at each weight of B A by itself.",
            (kept & moving.any(1, keepdim=True)).sum().item() / (moving.any(1).sum() * W.shape[1]),
        ),
        ("Divided by all weights: divide by the number that have an update.", count / W.numel()),
    ):
        if abs(unchanged - mistaken) < 2 * NEAREST * max(1, abs(mistaken)):
            raise Wrong(message)
    raise Wrong(
        f"unchanged is {unchanged:.4g}, and {right:.4g} of the weights with an update kept their "
        "value. Compare merged == W exactly, and count every weight whose update is not zero, "
        "however small."
    )


# --- 9.4 -------------------------------------------------------------------------------------


def check_ExactMerge(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for dtype in (torch.bfloat16, torch.float32, torch.float16):
        linear = nn.Linear(IN, OUT, dtype=dtype, bias=dtype != torch.float16)
        weight = linear.weight
        _fill(weight, 0.02 * draw(rng, OUT, IN))
        names = set(vars(linear))
        merger = answer(linear)
        _once(merger, linear, weight, 1e-3 * draw(rng, OUT, IN))
        _twice(merger, weight, 1e-3 * draw(rng, OUT, IN))
        _three_times(merger, weight, 1e-3 * draw(rng, OUT, IN))
        _after_new_values(merger, weight, rng)
        _made_before(answer, linear, rng)
        slots = {name: getattr(merger, name, None) for name in _slots(type(merger))}
        own = {**vars(type(merger)), **getattr(merger, "__dict__", {}), **slots}
        held = [name for name, value in own.items() if _holds(value, linear)]
        if held:
            raise Wrong(
                f"self.{held[0]} still holds a copy after unmerge, and costs its memory for "
                "nothing: drop it (= None)."
            )
        if left := sorted(set(vars(linear)) - names):
            raise Wrong(
                f"`linear.{left[0]}` is left on the layer after unmerge, where others find it: "
                "keep the copy in self, or delete the attribute."
            )
    _two_layers(answer, rng)


def _slots(kind: type) -> list[str]:
    """The names in __slots__ of the class and its bases."""
    names = [getattr(base, "__slots__", ()) for base in kind.__mro__]
    return [n for some in names for n in ((some,) if isinstance(some, str) else some)]


def _two_layers(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """Two mergers at work at once: what one keeps must not be the other's."""
    layers = [nn.Linear(7, 5, dtype=torch.bfloat16) for _ in range(2)]
    for layer in layers:
        _fill(layer.weight, draw(rng, 5, 7))
    before = [layer.weight.detach().clone() for layer in layers]
    mergers = [answer(layer) for layer in layers]
    for merger in mergers:
        merger.merge(draw(rng, 5, 7))
    for merger in mergers:
        merger.unmerge()
    if any(not torch.equal(a.weight, b) for a, b in zip(layers, before, strict=True)):
        raise Wrong(
            "Two layers were merged, and unmerge did not give each its own weights back. Keep the "
            "copy in self, in __init__ or merge: an attribute of the class is one for all."
        )


@torch.no_grad()
def _fill(weight: Tensor, values: Tensor) -> None:
    weight.copy_(values)


def _once(merger: Any, linear: nn.Linear, weight: Tensor, delta: Tensor) -> None:
    before = weight.detach().clone()
    merger.merge(delta)
    if linear.weight is not weight:
        raise Wrong(
            "linear.weight is a new Parameter: an optimizer and tied layers still hold the old "
            "one. Write into it, linear.weight.copy_(...) under torch.no_grad()."
        )
    if torch.equal(weight, before):
        raise Wrong("merge left linear.weight as it was: write the sum into it.")
    _check_merge(weight.detach(), before, delta)
    merged = weight.detach().clone()
    merger.unmerge()
    if linear.weight is not weight:
        raise Wrong(
            "After unmerge linear.weight is a new Parameter: an optimizer and tied layers hold the "
            "old one, with the merged values. Copy the old values into it."
        )
    if torch.equal(weight, merged):
        raise Wrong(
            "After unmerge the merged values are still there. Was the copy taken after the merge? "
            "Or is it no copy: .data and .detach() share the memory, .clone() does not."
        )
    _require_back(weight, before)


def _check_merge(merged: Tensor, before: Tensor, delta: Tensor) -> None:
    if merged.dtype != before.dtype:
        raise Wrong(
            f"After merge linear.weight is {merged.dtype}, and it was {before.dtype}: .data = ... "
            "takes the dtype of what it is given. copy_ writes into the weight and rounds."
        )
    exact = before.double() + delta.double()
    if is_nearest(merged, exact):
        return
    if is_nearest(merged, before.double() - delta.double()):
        raise Wrong("merge subtracts delta: add it.")
    raise Wrong(
        f"After merge {share_off(merged, exact):.0%} of the weights are not the nearest to "
        "W + delta: add in float32, round once."
    )


def _require_back(weight: Tensor, before: Tensor) -> None:
    changed = (weight != before).double().mean().item()
    bf16 = weight.dtype == torch.bfloat16
    if changed and bf16 and torch.equal(weight.half(), before.half()):
        raise Wrong(
            f"After unmerge {changed:.1%} of the weights differ in their last bits: was the copy "
            f"kept in another dtype than the weight's, {weight.dtype}? clone() keeps it."
        )
    if changed:
        raise Wrong(
            f"After unmerge {changed:.1%} of the weights are not what they were: the merge rounded "
            "them, and subtracting cannot know how. Keep a copy of the weights."
        )


def _twice(merger: Any, weight: Tensor, delta: Tensor) -> None:
    before = weight.detach().clone()
    merger.merge(delta)
    between = weight.detach().clone()
    merger.merge(-3 * delta)
    _check_both(weight.detach(), before, between, -3 * delta)
    merger.unmerge()
    if torch.equal(weight, between):
        raise Wrong(
            "merge was called twice, and unmerge went back by one: the second merge overwrote the "
            "copy. Keep the weights of before the first."
        )
    _require_back(weight, before)


def _check_both(merged: Tensor, before: Tensor, between: Tensor, second: Tensor) -> None:
    """Both merges are in: rounded one by one, or their sum rounded once."""
    first = -second.double() / 3
    sums = (between.double() + second, before.double() + first + second)
    if any(is_nearest(merged, exact) for exact in sums):
        return
    if torch.equal(merged, between):
        raise Wrong("The second merge did nothing: each merge adds its delta to the weight.")
    if is_nearest(merged, before.double() + second):
        raise Wrong(
            "The second merge took the first one out: add delta to the weight as it is now, and "
            "not to the copy."
        )
    raise Wrong("After two merges the weight is not W + delta_1 + delta_2.")


def _three_times(merger: Any, weight: Tensor, delta: Tensor) -> None:
    before = weight.detach().clone()
    for _ in range(3):
        merger.merge(delta)
    merger.unmerge()
    _require_back(weight, before)


def _after_new_values(merger: Any, weight: Tensor, rng: torch.Generator) -> None:
    _fill(weight, 0.02 * draw(rng, OUT, IN))
    before = weight.detach().clone()
    merger.merge(1e-3 * draw(rng, OUT, IN))
    merger.unmerge()
    if not torch.equal(weight, before):
        raise Wrong(
            "The weights got new values between two merges, and unmerge gave back the old ones. "
            "Take the copy at the first merge, and drop it at unmerge."
        )


def _made_before(answer: Callable[..., Any], linear: nn.Linear, rng: torch.Generator) -> None:
    """The weights get new values after the merger was made, and before its first merge."""
    merger = answer(linear)
    _fill(linear.weight, 0.02 * draw(rng, OUT, IN))
    before = linear.weight.detach().clone()
    merger.merge(1e-3 * draw(rng, OUT, IN))
    merger.unmerge()
    if not torch.equal(linear.weight, before):
        raise Wrong(
            "The weights got new values between __init__ and the first merge, and unmerge gave "
            "back those of __init__. Nothing is merged there yet: take the copy in merge."
        )


def _holds(value: Any, linear: nn.Linear) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set):
        return any(_holds(item, linear) for item in value)
    if value is linear or value is linear.weight:
        return False
    if isinstance(value, nn.Module):
        return any(_holds(weight, linear) for weight in value.parameters())
    size = {Tensor: Tensor.numel, nn.Parameter: Tensor.numel, np.ndarray: np.size}.get(type(value))
    return size is not None and size(value) == linear.weight.numel()
