"""The base's biases, which train in place and yet belong to an adapter.

The base's values are kept, so that disabling, switching or unloading gives the base back exactly.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from ....undo import Remembered, write
from ...config import LoraConfig
from ...trainable import trained_biases


class BiasBank(Remembered):
    """The values of the base's biases: the base's own, and those of the adapter that trains them.

    The Parameters stay the same objects; values are copied in and out of them.
    """

    def __init__(self) -> None:
        self.adapter: str | None = None  # the one adapter whose config trains biases
        self.mode = "none"
        self.base: dict[str, Tensor] = {}
        self.trained: dict[str, Tensor] = {}
        self.in_use = False  # the adapter's values are in the Parameters now

    def register(self, model: nn.Module, adapter: str, mode: str) -> None:
        """Keep the base's values, before the adapter trains them."""
        self.adapter, self.mode = adapter, mode
        self.base = _copies(trained_biases(model, mode))
        self.trained, self.in_use = _copies(trained_biases(model, mode)), False

    def use(self, model: nn.Module, adapters: Iterable[str], train: bool = True) -> None:
        """Put the values in place that belong to these active adapters (none: the base's)."""
        if self.adapter is None:
            return
        wanted = self.adapter in adapters
        if wanted != self.in_use:
            biases = trained_biases(model, self.mode)
            if self.in_use:
                self.trained = _copies(biases)
            _copy_into(biases, self.trained if wanted else self.base)
            self.in_use = wanted
        for parameter in trained_biases(model, self.mode).values():
            parameter.requires_grad_(wanted and train)

    def values_of(self, model: nn.Module, adapter: str) -> dict[str, Tensor]:
        """An adapter's trained biases, in use or not."""
        if adapter != self.adapter:
            return {}
        return dict(trained_biases(model, self.mode)) if self.in_use else self.trained

    def check_rows(self, adapter_names: Iterable[str]) -> None:
        """Raise where the samples' adapters need different biases: the base has one set of them."""
        wanted = self.adapter if self.in_use else None
        if any((name if name == self.adapter else None) != wanted for name in adapter_names):
            raise ValueError(
                f"{self.adapter!r} trained the base's biases: one batch cannot have samples with "
                "and without them. Give it a batch of its own, as the active adapter."
            )

    def forget(self, model: nn.Module, adapter: str) -> None:
        """Give the base its values back, and drop the adapter's."""
        if adapter == self.adapter:
            self.use(model, [])
            del model.__dict__["lora_biases"]  # the next one to train biases starts a bank anew


def _copies(biases: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: bias.detach().clone() for name, bias in biases.items()}


def _copy_into(biases: dict[str, nn.Parameter], values: dict[str, Tensor]) -> None:
    for name, bias in biases.items():
        if name in values:
            write(bias, values[name])


def bias_bank(model: nn.Module) -> BiasBank:
    """The bank of an injected model; it is made at the first injection."""
    bank = model.__dict__.get("lora_biases")
    if bank is None:
        bank = model.__dict__["lora_biases"] = BiasBank()
    return bank


def biased_adapters(configs: dict[str, LoraConfig]) -> list[str]:
    """The adapters whose config trains biases: at most one may."""
    return [name for name, config in configs.items() if config.bias != "none"]
