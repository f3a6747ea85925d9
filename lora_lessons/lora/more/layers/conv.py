"""LoRA on convolutions: A is a convolution to r channels, B a 1x1 convolution from them."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor, nn

from ....errors import ConfigError, PeftWarning
from ...arithmetic import at_least_float32, lora_delta
from ...config import LoraConfig
from ...tuner_layer import base_of
from .other_layer import OtherLayer


class ConvNd(OtherLayer):
    """W is (out, in / groups, *kernel), A is (r, in, *kernel), B is (out, r / groups, 1, ...).

    Stride, padding and dilation are those of the base, so that both paths see the same patches.
    """

    @classmethod
    def shape(cls, module: nn.Module) -> tuple[int, int]:
        """A sees the kernel's places of all input channels, whatever the groups."""
        base = base_of(module)
        return base.weight[0].numel() * base.groups, base.weight.shape[0]

    @classmethod
    def check(cls, name: str, module: nn.Module, config: LoraConfig, r: int) -> None:
        """Refuse ranks that the groups do not divide, and initialisations of matrices."""
        base = base_of(module)
        if r % base.groups:
            raise ConfigError(
                f"Targeting a {type(base).__name__} with groups={base.groups} and rank {r}. "
                "Currently, support is limited to conv layers where the rank is divisible by "
                "groups. Either choose a different rank or do not target this specific layer. "
                f"It is {name!r}."
            )
        if config.init_lora_weights not in (True, False, "gaussian"):
            raise ConfigError(
                f"Unknown initialization init_lora_weights={config.init_lora_weights!r} for the "
                f'convolution {name}: use True, False or "gaussian" there'
            )
        if base.groups > 1:
            warnings.warn(
                "LoRA adapter added to ConvNd layer with groups > 1. Merging is not supported.",
                PeftWarning,
                stacklevel=6,
            )

    @staticmethod
    def _sizes(base: Any) -> tuple[Any, Any]:
        return base.in_channels, base.out_channels

    def _make_factors(self, adapter_name: str, r: int, config: LoraConfig) -> None:
        base = self.get_base_layer()
        kind = type(base)
        self.lora_A[adapter_name] = kind(
            self.in_features,
            r,
            base.kernel_size,
            base.stride,
            base.padding,
            base.dilation,
            bias=False,
            padding_mode=base.padding_mode,
        )
        self.lora_B[adapter_name] = kind(
            r, self.out_features, 1, groups=base.groups, bias=config.lora_bias
        )

    def check_merge(self, adapter_names: list[str]) -> None:
        """Refuse groups."""
        super().check_merge(adapter_names)
        self._refuse_groups()

    def _refuse_groups(self) -> None:
        """With groups A sees all input channels, and W only those of its group."""
        if self.get_base_layer().groups > 1:
            raise NotImplementedError(
                "Merging is not supported for _ConvNd layers with groups > 1!"
            )

    def plain_delta(self, name: str) -> Tensor:
        """scaling · B A, the kernel's places being part of A's columns."""
        self._refuse_groups()
        adapter = self.adapter(name)
        A = at_least_float32(adapter.A.weight).flatten(1)  # (r, in * kernel)
        B = at_least_float32(adapter.B.weight).flatten(1)  # (out, r)
        return lora_delta(A, B, adapter.scaling).view_as(self.get_base_layer().weight)

    def norm_delta(self, name: str) -> Tensor:
        """The update whose norm DoRA takes.

        With groups it is PEFT's product, folded into W's shape: not the update that the layer
        computes, but what such files mean by a magnitude.
        """
        if self.get_base_layer().groups == 1:
            return self.plain_delta(name)
        adapter = self.adapter(name)
        r = len(adapter.A.weight)
        A = at_least_float32(adapter.A.weight).view(r, -1)
        B = at_least_float32(adapter.B.weight).view(-1, r)
        return lora_delta(A, B, adapter.scaling).view_as(self.get_base_layer().weight)

    def output_rows(self, weight: Tensor) -> Tensor:
        """(out, in, *kernel) -> (out, in * kernel): one row for each output channel."""
        return weight.flatten(1)

    def magnitude_shape(self) -> tuple[int, ...]:
        """The shape of DoRA's magnitudes, which scale the channels: (1, out, 1, ...)."""
        return (1, -1, *[1] * len(self.get_base_layer().kernel_size))


class Conv1d(ConvNd):
    """LoRA on `nn.Conv1d`."""


class Conv2d(ConvNd):
    """LoRA on `nn.Conv2d`."""


class Conv3d(ConvNd):
    """LoRA on `nn.Conv3d`."""
