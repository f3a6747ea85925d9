"""A new adapter from a weighted sum of others: ΔW = sum of w_i · s_i · B_i A_i.

`cat` and `linear` are exact: stacking the factors multiplies out to the sum, at the price of a rank
that is the sum of the ranks. `svd` keeps the best approximation of a rank. The others (ties, dare,
magnitude_prune) change the sum on purpose; see `adapters.prune`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from ....errors import PeftWarning, did_you_mean
from ....undo import all_or_nothing
from ...arithmetic import at_least_float32
from ...config import LoraConfig
from ...inject import targetable_modules
from ...layer import LoraLayer
from ...matching import matches_any
from ...plugs import method_of
from ...tuner import LoraModel
from .from_state_dict import exactly
from .prune import MERGES, merge_tensors
from .saved_modules import ModulesToSaveWrapper

PAIRWISE = tuple(MERGES)  # on A and on B, each for itself
MATRIX = tuple(f"{name}_svd" for name in MERGES)  # on the multiplied updates
COMBINATIONS = ("svd", "linear", "cat", *PAIRWISE, *MATRIX)


@dataclass(frozen=True)
class Recipe:
    """What to combine, and how."""

    weights: dict[str, float]
    kind: str
    rank: int
    density: float = 1.0  # for ties, dare and magnitude_prune
    majority_sign_method: str = "total"
    svd_clamp: float | None = None


@method_of(LoraModel)
def add_weighted_adapter(
    tuner: LoraModel,
    adapters: list[str],
    weights: list[float],
    adapter_name: str,
    combination_type: str = "svd",
    svd_rank: int | None = None,
    svd_clamp: float | None = None,
    svd_full_matrices: bool = True,
    svd_driver: str | None = None,
    density: float | None = None,
    majority_sign_method: str = "total",
) -> dict[str, float]:
    """Add an adapter that is the weighted sum of others, frozen and not activated.

    Returns the relative error of each layer against the exact sum, in the Frobenius norm: about
    1e-7 for `cat`, `linear`, and for `svd` at the summed rank. `svd_full_matrices` and `svd_driver`
    are PEFT's; they change no result.
    """
    kind = _checked_kind(tuner, adapters, weights, combination_type)
    if adapter_name in tuner.peft_config:
        raise ValueError(f"Adapter with name '{adapter_name}' already exists.")
    _check_shares(kind, density, svd_clamp)
    ranks = [_largest_rank(tuner.peft_config[name]) for name in adapters]
    rank = _rank_of_sum(kind, ranks, svd_rank)
    summed = dict.fromkeys(adapters, 0.0)
    for name, weight in zip(adapters, weights, strict=True):
        summed[name] += weight
    recipe = Recipe(summed, kind, rank, density or 1.0, majority_sign_method, svd_clamp)
    with all_or_nothing(tuner):
        _add(tuner, adapter_name, _new_config(tuner, adapters, rank))
        errors = {
            name: _combine(layer, adapter_name, recipe)
            for name, layer in tuner.lora_layers().items()
            if layer.has_adapter(adapter_name)
        }
        _copy_saved_modules(tuner, adapters, adapter_name)
        tuner.set_requires_grad(adapter_name, False)
        return errors


def _rank_of_sum(kind: str, ranks: list[int], svd_rank: int | None) -> int:
    """The sum's rank: exact where the factors are joined, and chosen where they are computed."""
    if kind.endswith("svd"):
        return max(ranks) if svd_rank is None else svd_rank
    return sum(ranks) if kind in ("cat", "linear") else ranks[0]


def _check_shares(kind: str, density: float | None, svd_clamp: float | None) -> None:
    """Raise for a share that is none: `density` must be there for some kinds."""
    if kind in (*PAIRWISE, *MATRIX) and (density is None or not 0 < density <= 1):
        raise ValueError(f"{kind} needs a density above 0 and at most 1, got {density}")
    if svd_clamp is not None and not 0 <= svd_clamp <= 1:
        raise ValueError(f"svd_clamp is a share of all entries, from 0 to 1, and it is {svd_clamp}")


def _checked_kind(tuner: LoraModel, adapters: list[str], weights: list[float], kind: str) -> str:
    """The combination type, after all checks."""
    if isinstance(adapters, str):
        raise ValueError(f"adapters should be a list of names, got {adapters!r}")
    if not adapters or len(adapters) != len(weights):
        raise ValueError(f"{len(adapters)} adapters and {len(weights)} weights: one each is needed")
    if not all(math.isfinite(weight) for weight in weights):
        raise ValueError(f"a weight that is not finite makes no sum: {weights}")
    for name in adapters:
        if name not in (known := tuner.peft_config):
            raise ValueError(f"Adapter {name} does not exist.{did_you_mean(name, known)}")
        if tuner.peft_config[name].target_parameters:
            raise ValueError(
                f"add_weighted_adapter does not support target_parameters, which {name!r} has: "
                "merge the adapters one after the other"
            )
        if tuner.peft_config[name].use_dora:
            raise ValueError(
                f"{name!r} uses DoRA: its update depends on W's norms and is no low-rank sum"
            )
    for name, layer in tuner.lora_layers().items():
        if getattr(layer.get_base_layer(), "groups", 1) > 1:
            raise ValueError(f"{name} is a convolution with groups: its update is no product B A")
        if layer.taken_out is not None and layer.taken_out.parts.keys() & set(adapters):
            raise ValueError(
                "an adapter for which PiSSA, OLoRA or LoftQ changed W is no update by itself: save "
                "one of the first two with `path_initial_model_for_weight_conversion` and load the "
                "plain adapter"
            )
    if kind not in COMBINATIONS:
        raise ValueError(f"Invalid combination_type: {kind}.{did_you_mean(kind, COMBINATIONS)}")
    ranks = {_largest_rank(tuner.peft_config[name]) for name in adapters}
    if len(ranks) > 1 and kind in ("linear", *PAIRWISE):
        raise ValueError(
            "All adapters must have the same r value when using combination_type linear, ties, "
            f"dare_ties or dare_linear, got {sorted(ranks)}."
        )
    _check_saved_modules(tuner, adapters)
    return "linear" if len(adapters) == 1 and kind in PAIRWISE else kind


def _check_saved_modules(tuner: LoraModel, adapters: list[str]) -> None:
    """Two trained copies of one module cannot be summed."""
    for name, wrapper in tuner.model.named_modules():
        if isinstance(wrapper, ModulesToSaveWrapper):
            owners = [each for each in set(adapters) if each in wrapper.modules_to_save]
            if len(owners) > 1:
                raise ValueError(
                    "Cannot add weighted adapters if they target the same module with "
                    "modules_to_save, but found 1 such instance(s). "
                    f"{name} has a copy for each of {sorted(owners)}."
                )


def _largest_rank(config: LoraConfig) -> int:
    return max([config.r, *config.rank_pattern.values()])


def _new_config(tuner: LoraModel, adapters: list[str], rank: int) -> LoraConfig:
    """One config for all layers that any of the adapters is on; its scaling is 1."""
    configs = [tuner.peft_config[name] for name in adapters]
    layers = {
        name
        for name, layer in tuner.lora_layers().items()
        if any(layer.has_adapter(adapter) for adapter in adapters)
    }
    biased = [name for name, c in zip(adapters, configs, strict=True) if c.bias != "none"]
    if biased:
        warnings.warn(
            f"The biases of the base that {biased[0]!r} trained are not part of the new adapter.",
            PeftWarning,
            stacklevel=5,
        )
    rows = [n for n, c in zip(adapters, configs, strict=True) if c.trainable_token_indices]
    if rows:
        warnings.warn(
            f"The token rows that {rows[0]!r} trained are not part of the new adapter.",
            PeftWarning,
            stacklevel=5,
        )
    return dataclasses.replace(
        configs[0],
        r=rank,
        lora_alpha=rank,
        use_rslora=False,
        target_modules=_targets(tuner, layers),
        exclude_modules=None,
        layers_to_transform=None,
        layers_pattern=None,
        rank_pattern={},
        alpha_pattern={},
        bias="none",
        lora_bias=any(config.lora_bias for config in configs),
        init_lora_weights=False,
        trainable_token_indices=None,
        modules_to_save=sorted({n for c in configs for n in c.modules_to_save or ()}) or None,
    )


def _targets(tuner: LoraModel, layers: set[str]) -> set[str] | str:
    """The layers' names; as one expression where they would match other modules as suffixes."""
    names = [name for name, _ in targetable_modules(tuner.model)]
    layers = layers & set(names)  # the output of an attention is adapted with it
    found = {name for name in names if matches_any(layers, name)}
    return layers if found == layers else exactly(layers)


def _add(tuner: LoraModel, adapter_name: str, config: LoraConfig) -> None:
    """Inject the new adapter; that its rank may be above a layer's size is meant."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is above the size of.*", PeftWarning)
        heads = tuple(config.modules_to_save or ())
        tuner.add_adapter(adapter_name, config, optional=heads)


def factors(layer: LoraLayer, name: str) -> tuple[Tensor, Tensor]:
    """A and B as matrices, (r, in) and (out, r); a convolution's kernel is part of `in`."""
    _, A, B, _, _ = layer.adapter(name)
    return A.weight.flatten(1), B.weight.flatten(1)


def set_factors(layer: LoraLayer, name: str, A: Tensor, B: Tensor) -> None:
    """Replace A and B by matrices of the shapes that `factors` gives."""
    for part, value in zip(layer.adapter(name)[1:3], (A, B), strict=True):
        parameter = part.weight
        parameter.data = value.to(parameter.device).reshape(parameter.shape).contiguous()


@torch.no_grad()
def _combine(layer: LoraLayer, adapter_name: str, recipe: Recipe) -> float:
    """Fill one layer's new factors; returns the relative error of its update."""
    weights = {n: w for n, w in recipe.weights.items() if layer.has_adapter(n)}
    pairs = [
        (at_least_float32(A), at_least_float32(B))
        for A, B in (factors(layer, name) for name in weights)
    ]
    scaled = [w * layer.adapter(n).scaling for n, w in weights.items()]
    products = [s * (B @ A) for s, (A, B) in zip(scaled, pairs, strict=True)]
    exact = functools.reduce(torch.add, products)
    if recipe.kind in ("cat", "linear"):
        A, B = _stacked(pairs, scaled)
    elif recipe.kind in PAIRWISE:
        A, B = _pairwise(pairs, scaled, recipe)
    else:
        A, B = _by_svd(pairs, scaled, exact, recipe)
    set_factors(layer, adapter_name, _padded(A, recipe.rank, 0), _padded(B, recipe.rank, 1))
    _sum_biases(layer, adapter_name, weights)
    norm = exact.norm().clamp(min=torch.finfo(exact.dtype).tiny)
    return ((B @ A - exact).norm() / norm).item()


def _stacked(pairs: list[tuple[Tensor, Tensor]], scaled: list[float]) -> tuple[Tensor, Tensor]:
    """All rows of A, and all columns of B beside them; those who share A share its rows."""
    stacked: list[tuple[Tensor, Tensor]] = []
    for s, (A, B) in zip(scaled, pairs, strict=True):
        same = [i for i, (other, _) in enumerate(stacked) if torch.equal(other, A)]
        if same:
            stacked[same[0]] = (A, stacked[same[0]][1] + s * B)
        else:
            stacked.append((A, s * B))
    return torch.cat([A for A, _ in stacked]), torch.cat([B for _, B in stacked], dim=1)


def _pairwise(
    pairs: list[tuple[Tensor, Tensor]], scaled: list[float], recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """A and B merged each for itself: root weights on both, the sign on A."""
    roots = [abs(s) ** 0.5 for s in scaled]
    signed = [root if s >= 0 else -root for root, s in zip(roots, scaled, strict=True)]
    method = recipe.majority_sign_method
    A = merge_tensors(recipe.kind, [A for A, _ in pairs], signed, recipe.density, method)
    B = merge_tensors(recipe.kind, [B for _, B in pairs], roots, recipe.density, method)
    return A, B


def _by_svd(
    pairs: list[tuple[Tensor, Tensor]], scaled: list[float], exact: Tensor, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """The best factors of a rank for the sum, or for the merged updates."""
    delta = exact
    if recipe.kind != "svd":
        deltas = [B @ A for A, B in pairs]
        kind = recipe.kind.removesuffix("_svd")
        delta = merge_tensors(kind, deltas, scaled, recipe.density, recipe.majority_sign_method)
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    r = min(recipe.rank, len(S))
    B, A = U[:, :r] * S[:r], Vh[:r]
    if recipe.svd_clamp is not None:  # at a quantile of all entries, as in PEFT
        high = torch.quantile(torch.cat([B.flatten(), A.flatten()]), recipe.svd_clamp)
        A, B = A.clamp(-high, high), B.clamp(-high, high)
    return A, B


def _padded(factor: Tensor, rank: int, dim: int) -> Tensor:
    """A factor with zeros up to the rank: a layer may have less than the config's rank."""
    shape = list(factor.shape)
    shape[dim] = rank - shape[dim]
    return torch.cat([factor, factor.new_zeros(shape)], dim=dim)


def _sum_biases(layer: LoraLayer, adapter_name: str, weights: dict[str, float]) -> None:
    """The weighted sum of the biases of B, under `lora_bias`."""
    if layer.lora_bias[adapter_name]:
        deltas = [(w, layer.get_delta_bias(name)) for name, w in weights.items()]
        bias = layer.adapter(adapter_name).B.bias
        bias.zero_()
        for weight, delta in deltas:
            if delta is not None:
                bias.add_(weight * delta.to(bias.dtype))


def _copy_saved_modules(tuner: LoraModel, adapters: list[str], adapter_name: str) -> None:
    """The new adapter takes the trained copy of the one adapter that has one."""
    for wrapper in tuner.model.modules():
        if isinstance(wrapper, ModulesToSaveWrapper) and adapter_name in wrapper.modules_to_save:
            for owner in adapters:
                if owner in wrapper.modules_to_save:
                    values = wrapper.modules_to_save[owner].state_dict()
                    wrapper.modules_to_save[adapter_name].load_state_dict(values)
