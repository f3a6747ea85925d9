"""LoRA on `nn.MultiheadAttention`: on the weight of q, k and v, and on that of the output.

The attention reads its weights and calls no layer, so LoRA goes through them: see `by_weight`. The
names and files are PEFT's, which merges W before each forward and unmerges it after. It adds the
output's update twice; a file means that, so here it counts twice, too. The gradient is that of what
is computed (in PEFT it is half of it).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ....errors import ConfigError, did_you_mean
from ....undo import all_or_nothing
from ...arithmetic import lora_delta
from ...config import LoraConfig
from ...inject import InjectionPlan
from ...layer import Adapter, LoraLayer
from ...matching import check_target_module_exists
from ...plugs import LAYERS, PLAN_CHECKS
from ...tuner_layer import base_of
from ..low_rank import parameter_count
from .by_weight import ByWeight, refuse_products, wide

PARTS_OF_IT = ("q", "k", "v", "out")


def attention_parts(config: LoraConfig, ranks: dict[str, int]) -> None:
    """Switch the parts of the attentions that a config targets on and off, each with its own rank.

    `ranks`: {"q": 4, "v": 4, "out": 8}; a part that is 0 or left out has no update. Those of q, k
    and v add up to `config.r`, "out" is at most `config.r`, and every part is scaled by
    lora_alpha / r. Each part has rows of A and columns of B of its own. In a file it is a plain
    adapter with zeros in B, which PEFT loads and computes the same with.
    """
    for part, rank in ranks.items():
        if part not in PARTS_OF_IT:
            hint = did_you_mean(part, PARTS_OF_IT)
            raise ConfigError(f"no part of an attention is called {part!r}: {PARTS_OF_IT}.{hint}")
        if type(rank) is not int or rank < 0:
            raise ConfigError(f"the rank of {part!r} must be a whole number from 0, not {rank!r}")
    total = sum(ranks.get(part, 0) for part in "qkv")
    if total != config.r or ranks.get("out", 0) > config.r:
        raise ConfigError(
            f"the ranks of q, k and v must add up to r={config.r}, and that of out be at most r: "
            f"{ranks}. For the output alone, target its out_proj."
        )
    if config.rank_pattern:
        raise ConfigError("attention_parts gives the ranks, and goes with no rank_pattern")
    vars(config)["_attention_parts"] = dict(ranks)  # in no file


def parts_of(config: LoraConfig) -> dict[str, int] | None:
    """What `attention_parts` said of a config; None where all parts share A and have its rank."""
    parts: dict[str, int] | None = vars(config).get("_attention_parts")
    return parts


class OutProjection(ByWeight):
    """LoRA on an attention's output projection, whose weight the attention reads from outside.

    W + scaling · B A; W + 2 · scaling · B A where the attention is adapted as a whole.
    """

    counts = 1  # how often the update is added
    other_param_names = (*LoraLayer.other_param_names, "used_rank")

    def __init__(
        self,
        base_layer: nn.Module,
        adapter_name: str,
        config: LoraConfig,
        r: int,
        lora_alpha: float,
    ) -> None:
        self.used_rank: dict[str, int] = {}  # by adapter, where not the whole rank is used
        super().__init__(base_layer, adapter_name, config, r, lora_alpha)

    @classmethod
    def check(cls, name: str, module: nn.Module, config: LoraConfig, r: int) -> None:
        """Refuse what needs a product with the input, and an attention that is adapted whole."""
        attention = name.rpartition(".")[0]
        if check_target_module_exists(config, attention):
            raise ConfigError(
                f"{name} is adapted with {attention}, which is targeted as a whole: leave it out "
                "of target_modules, or leave the attention out"
            )
        refuse_products(config, f"{name}, the output of an nn.MultiheadAttention,")

    def _get_name(self) -> str:
        return "Linear"  # PEFT's name for it

    def _make_factors(self, adapter_name: str, r: int, config: LoraConfig) -> None:
        self.lora_A[adapter_name] = nn.Linear(self.in_features, r, bias=False)
        B = self.lora_B[adapter_name] = nn.Linear(r, self.out_features, bias=False)
        if (parts := parts_of(config)) is not None:
            self.used_rank[adapter_name] = parts.get("out", 0)
            nn.init.zeros_(B.weight[:, parts.get("out", 0) :])

    def delta(self, adapter: Adapter) -> Tensor:
        """As often as it counts: scaling · B A, of the rows and columns that are used."""
        r = self.used_rank.get(adapter.name, self.r[adapter.name])
        A, B = wide(adapter.A.weight)[:r], wide(adapter.B.weight)[:, :r]
        return self.counts * lora_delta(A, B, adapter.scaling)

    @property
    def weight(self) -> Tensor:
        """W with the updates in use: the attention reads it."""
        return self.weight_in_use()

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """W x + b with the updates in use, should anybody call it; x is (..., in)."""
        kwargs.pop("adapter_names", None)
        return nn.functional.linear(x, self.weight, self.bias)


class MultiheadAttention(ByWeight):
    """LoRA on a whole attention: W of q, k and v is (3 · dim, dim), that of the output (dim, dim).

    A (r, dim) and B (3 · dim, r) are this layer's, and share A among q, k and v; the output's are
    in `base_layer.out_proj`. `attention_parts` gives each part its own.
    """

    weight_name = "in_proj_weight"
    other_param_names = (*LoraLayer.other_param_names, "part_ranks")

    def __init__(
        self,
        base_layer: nn.MultiheadAttention,
        adapter_name: str,
        config: LoraConfig,
        r: int,
        lora_alpha: float,
    ) -> None:
        self.part_ranks: dict[str, dict[str, int]] = {}  # by adapter, of those with parts
        out = OutProjection(base_layer.out_proj, adapter_name, config, r, lora_alpha)
        out.counts = 2  # as in PEFT: see above
        base_layer.out_proj = out  # type: ignore[assignment]
        super().__init__(base_layer, adapter_name, config, r, lora_alpha)

    @classmethod
    def check(cls, name: str, module: nn.Module, config: LoraConfig, r: int) -> None:
        """Refuse weights of other widths, an adapted output, and what needs a product."""
        base = base_of(module)
        refuse_products(config, f"{name}, an nn.MultiheadAttention,")
        if not base._qkv_same_embed_dim:
            raise ConfigError(
                f"{name} has keys or values of another width ({base.kdim}, {base.vdim}) than "
                f"queries ({base.embed_dim}), and so three weights: give their names, "
                f"{name}.q_proj_weight and the like, to target_parameters"
            )
        if base is module and not isinstance(base.out_proj, nn.Linear):
            raise ConfigError(
                f"{name}.out_proj has an adapter, or is no linear layer: the attention cannot be "
                "targeted as a whole. Name its out_proj alone, or take the adapter out."
            )

    @property
    def output(self) -> OutProjection:
        """The LoRA layer of the output projection."""
        base: Any = self.base_layer
        layer: OutProjection = base.out_proj
        return layer

    @staticmethod
    def also_trains(module: nn.Module, r: int) -> int:
        """The numbers in A and B of the output projection, for a report."""
        dim = base_of(module).embed_dim
        return parameter_count(dim, dim, r)

    @staticmethod
    def _sizes(base: Any) -> tuple[Any, Any]:
        return base.embed_dim, 3 * base.embed_dim

    def update_layer(
        self, adapter_name: str, r: int, lora_alpha: float, config: LoraConfig, **kwargs: Any
    ) -> None:
        """Put a new adapter on q, k, v and on the output.

        The output's is drawn again where it has just been made, as in PEFT: seeds agree.
        """
        super().update_layer(adapter_name, r, lora_alpha, config, **kwargs)
        self.output.update_layer(adapter_name, r, lora_alpha, config)

    def _make_factors(self, adapter_name: str, r: int, config: LoraConfig) -> None:
        self.lora_A[adapter_name] = nn.Linear(self.in_features, r, bias=False)
        B = self.lora_B[adapter_name] = nn.Linear(r, self.out_features, bias=False)
        if (parts := parts_of(config)) is not None:
            self.part_ranks[adapter_name] = parts
            with torch.no_grad():
                kept = [
                    (rows, own, B.weight[rows, own].clone()) for rows, own in self._blocks(parts)
                ]
                B.weight.zero_()
                for rows, own, block in kept:
                    B.weight[rows, own] = block

    def _blocks(self, ranks: dict[str, int]) -> Iterator[tuple[slice, slice]]:
        """For q, k and v: its rows of W, and the rows of A that are its own."""
        start, dim = 0, self.in_features
        for i, part in enumerate("qkv"):
            end = start + ranks.get(part, 0)
            yield slice(i * dim, (i + 1) * dim), slice(start, end)
            start = end

    def delta(self, adapter: Adapter) -> Tensor:
        """scaling · B A (3 · dim, dim); with parts, block by block."""
        parts = self.part_ranks.get(adapter.name)
        if parts is None:
            return super().delta(adapter)
        A, B = wide(adapter.A.weight), wide(adapter.B.weight)
        blocks = self._blocks(parts)
        return torch.cat(
            [lora_delta(A[own], B[rows, own], adapter.scaling) for rows, own in blocks]
        )

    @property
    def in_proj_weight(self) -> Tensor:
        """W of q, k and v with the updates in use: `nn.TransformerEncoderLayer` reads it."""
        return self.weight_in_use()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The attention's own forward, with the weights in use: (output, weights or None)."""
        kwargs.pop("adapter_names", None)  # none of them is here: see `check_rows`
        if not self.adapters_in_use():
            return self.base_layer(*args, **kwargs)
        weights = {self.weight_name: self.weight_in_use()}
        return functional_call(self.base_layer, weights, args, kwargs, tie_weights=False)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Merge into both weights."""
        with all_or_nothing(self):
            super().merge(safe_merge, adapter_names)
            self.output.merge(safe_merge, adapter_names)

    def unmerge(self) -> None:
        """Give both weights back as they were."""
        with all_or_nothing(self):
            super().unmerge()
            if self.output.merged:
                self.output.unmerge()

    def unloaded(self, adapter_names: list[str]) -> nn.Module:
        """The attention, with its own output projection."""
        self.base_layer.out_proj = self.output.base_layer
        return self.base_layer


def check_parts(plan: InjectionPlan) -> None:
    """Refuse parts of attentions where no attention is targeted."""
    if not any(issubclass(target.layer_class, MultiheadAttention) for target in plan.targets):
        raise ConfigError("attention_parts: target_modules names no nn.MultiheadAttention")


LAYERS[nn.MultiheadAttention] = MultiheadAttention
LAYERS["torch.nn.modules.linear.NonDynamicallyQuantizableLinear"] = OutProjection
PLAN_CHECKS["_attention_parts"] = check_parts
