"""LoRA on an embedding: a row of W, plus (alpha / r) times B times a column of A."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....errors import ConfigError, MergeError, PeftWarning
from ...arithmetic import at_least_float32, lora_delta
from ...config import LoraConfig
from ...layer import Adapter
from .other_layer import OtherLayer


class LookUp:
    """A (r, tokens) as a function of token ids: (...,) -> (..., r)."""

    bias = None

    def __init__(self, weight: Tensor, base: nn.Embedding) -> None:
        self.weight, self.base = weight, base

    def __call__(self, ids: Tensor) -> Tensor:
        """Rows of A for ids (..., ): (..., r)."""
        return F.embedding(
            ids,
            self.weight.T,
            padding_idx=self.base.padding_idx,
            scale_grad_by_freq=self.base.scale_grad_by_freq,
            sparse=self.base.sparse,
        )


class Up:
    """B (dim, r) as a function of A's result: (..., r) -> (..., dim)."""

    bias = None

    def __init__(self, weight: Tensor, scale: float | Tensor | None) -> None:
        self.weight, self.scale = weight, scale  # the base's own factor of its rows (Gemma)

    def __call__(self, rows: Tensor) -> Tensor:
        """Thin rows (..., r) times B: (..., width)."""
        result = rows @ self.weight.T
        return result if self.scale is None else result * torch.as_tensor(self.scale).to(result)


class Embedding(OtherLayer):
    """W is (tokens, dim); A is (r, tokens) and starts at zero, B is (dim, r) and starts random.

    An embedding looks a token's column of A up; with A at zero the layer starts as it was, and
    lora_dropout has no input to act on.
    """

    output_dim = 1

    @classmethod
    def check(cls, name: str, module: nn.Module, config: LoraConfig, r: int) -> None:
        """Refuse what an embedding cannot have; an initialisation by name is that of True."""
        if config.lora_bias:
            raise ConfigError(f"lora_bias=True is not supported for Embedding, which {name} is")
        if isinstance(config.init_lora_weights, str):
            warnings.warn(
                f"init_lora_weights={config.init_lora_weights!r} is for matrices: the embedding "
                f"{name} starts with A at zero and B normal, as with True.",
                PeftWarning,
                stacklevel=5,
            )

    @staticmethod
    def _sizes(base: Any) -> tuple[Any, Any]:
        return base.num_embeddings, base.embedding_dim

    def _make_factors(self, adapter_name: str, r: int, config: LoraConfig) -> None:
        self.lora_embedding_A[adapter_name] = nn.Parameter(torch.randn(r, self.in_features))
        self.lora_embedding_B[adapter_name] = nn.Parameter(torch.randn(self.out_features, r))

    def _initialize(self, adapter_name: str, config: LoraConfig) -> None:
        if config.init_lora_weights is not False:
            self.reset_lora_parameters(adapter_name)

    def reset_lora_parameters(
        self, adapter_name: str, init_lora_weights: bool | str = True
    ) -> None:
        """A zero and B normal: the lookup of A is what must start at nothing."""
        _, A, B, _, _ = self.adapter(adapter_name)
        nn.init.zeros_(A.weight)
        nn.init.normal_(B.weight)

    def adapter(self, name: str) -> Adapter:
        """The view: A looks a token's column up, and B multiplies it. Nothing is dropped."""
        base = self.get_base_layer()
        A = LookUp(self.lora_embedding_A[name], base)
        B = Up(self.lora_embedding_B[name], getattr(base, "embed_scale", None))
        return Adapter(name, A, B, self.scaling[name], nn.Identity())

    def has_adapter(self, name: str) -> bool:
        """Whether this layer has the adapter."""
        return name in self.lora_embedding_A

    def check_merge(self, adapter_names: list[str]) -> None:
        """Refuse max_norm: each lookup would cut the merged rows, and write to W."""
        super().check_merge(adapter_names)
        if self.get_base_layer().max_norm is not None:
            raise MergeError("an embedding with max_norm rewrites W at each lookup: not merged")

    def plain_delta(self, name: str) -> Tensor:
        """The update in the weight's own layout, in float32 at least, without a variant's part."""
        adapter = self.adapter(name)
        A, B = at_least_float32(adapter.A.weight), at_least_float32(adapter.B.weight)
        return lora_delta(A, B, adapter.scaling).T  # (dim, tokens) -> (tokens, dim)

    def output_rows(self, weight: Tensor) -> Tensor:
        """(tokens, dim) -> (dim, tokens): one row for each output."""
        return weight.T
