"""The base's biases, which train in place and yet belong to an adapter.

The base's values are kept, so that disabling, switching or unloading gives the base back exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from ....undo import Remembered, write
from ...inject import InjectionPlan
from ...layer import LoraLayer
from ...plugs import PARTS
from ...tuner_layer import AdapterHolder, adapter_parameters, as_list


class BiasBank(AdapterHolder, Remembered):
    """The values of the base's biases: the base's own, and those of the adapter that trains them.

    The Parameters stay the same objects; values are copied in and out of them. A bank is no module:
    it stands beside the injected model's modules, as one of its `adapter_holders`.
    """

    def __init__(self, model: nn.Module, adapter: str = "", mode: str = "none") -> None:
        self.model = model
        self.adapter = adapter  # the one adapter whose config trains biases
        self.mode = mode
        self.base = _copies(trained_biases(model, mode))
        self.trained = _copies(trained_biases(model, mode))
        self.in_use = False  # the adapter's values are in the Parameters now

    def _get_available_adapters(self) -> list[str]:
        return [self.adapter]

    def use(self, adapters: Iterable[str]) -> None:
        """Put the values in place that belong to these adapters (none: the base's)."""
        wanted = self.adapter in adapters
        if wanted == self.in_use:
            return
        biases = trained_biases(self.model, self.mode)
        if self.in_use:
            self.trained = _copies(biases)
        values = self.trained if wanted else self.base
        for name, bias in biases.items():
            if name in values:
                write(bias, values[name])
        self.in_use = wanted

    def show_base(self) -> None:
        """Put the values of what is in use into the base's biases."""
        self.use([] if self.disable_adapters else self.active_adapters)

    def enable_adapters(self, enabled: bool) -> None:
        """Use the active adapters, or none."""
        super().enable_adapters(enabled)
        self.set_requires_grad(self.adapter, self.in_use)

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        """Make these adapters the active ones."""
        super().set_adapter(adapter_names, inference_mode)
        self.set_requires_grad(self.adapter, self.in_use and not inference_mode)

    def set_requires_grad(self, adapter_names: str | list[str], requires_grad: bool = True) -> None:
        """Train these adapters, or freeze them."""
        if self.adapter in as_list(adapter_names):
            for bias in trained_biases(self.model, self.mode).values():
                bias.requires_grad_(requires_grad and self.in_use)

    def delete_adapter(self, adapter_name: str) -> None:
        """Give the base its values back, and be gone."""
        if adapter_name == self.adapter:
            self.take_out([])
            self.set_requires_grad(self.adapter, False)
            vars(self.model)["adapter_holders"].remove(self)

    def take_out(self, merged: list[str]) -> None:
        """Leave the merged adapters' values in the base, untrained."""
        self.use(merged)
        self.set_requires_grad(self.adapter, False)

    def check_rows(self, adapter_names: Iterable[str]) -> None:
        """Raise ValueError where samples want other biases than the active ones."""
        wanted = self.adapter if self.in_use else None
        if any((name if name == self.adapter else None) != wanted for name in adapter_names):
            raise ValueError(
                f"{self.adapter!r} trained the base's biases: one batch cannot have samples with "
                "and without them. Give it a batch of its own, as the active adapter."
            )

    def values_of(self, adapter: str) -> dict[str, Tensor]:
        """An adapter's trained biases by their names before injection, in use or not."""
        if adapter != self.adapter:
            return {}
        return dict(trained_biases(self.model, self.mode)) if self.in_use else self.trained

    def file_tensors(self, adapter_name: str) -> dict[str, Tensor]:
        """The biases by the names that they have now; one that is shared by each."""
        parameters = self.model.named_parameters(remove_duplicate=False)
        now = {plain_name(name): name for name, _ in parameters}
        return {now[name]: value for name, value in self.values_of(adapter_name).items()}


class Biases:
    """The part of a plan that `bias` asks for."""

    trains_alone = False

    def find(
        self, model: nn.Module, plan: InjectionPlan, modules: dict[str, nn.Module]
    ) -> dict[str, Any]:
        """What the config asks of this part, by name; raises before anything is changed."""
        if bias_bank(model).adapter:
            raise ValueError(
                "LoraModel supports only 1 adapter with bias. When using multiple adapters, set "
                "bias to 'none' for all adapters."
            )
        return {"": plan.config.bias}

    def put(self, model: nn.Module, adapter_name: str, name: str, found: Any) -> None:
        """Put the part into the model, under the adapter's name."""
        bank = BiasBank(model, adapter_name, found)
        vars(model).setdefault("adapter_holders", []).append(bank)

    def count(self, found: Any) -> tuple[int, str]:
        """(numbers that it trains, what a report says of them)."""
        return 0, ""


PARTS["bias"] = Biases()


def plain_name(name: str) -> str:
    """A parameter's name as it was before injection."""
    return name.replace(".base_layer.", ".")


def trained_biases(model: nn.Module, mode: str) -> dict[str, nn.Parameter]:
    """The base's biases that a bias mode trains, by their names before injection.

    "none": none. "lora_only": those of the layers with LoRA. "all": every one in the model,
    those of normalization layers too. Only a parameter called `bias` is one.
    """
    if mode == "none":
        return {}
    of_adapters = {id(parameter) for _, parameter in adapter_parameters(model)}
    wrapped = {
        id(layer.get_base_layer()) for layer in model.modules() if isinstance(layer, LoraLayer)
    }
    return {
        plain_name(f"{name}.bias"): module.bias
        for name, module in model.named_modules()
        if isinstance(module._parameters.get("bias"), nn.Parameter)
        and id(module.bias) not in of_adapters
        and ".original_module." not in f".{name}."
        and (mode == "all" or id(module) in wrapped)
    }


def bias_bank(model: nn.Module) -> BiasBank:
    """The bank of an injected model; an empty one where no adapter trains its biases."""
    banks = [b for b in vars(model).get("adapter_holders", ()) if isinstance(b, BiasBank)]
    return banks[0] if banks else BiasBank(model)


def _copies(biases: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: bias.detach().clone() for name, bias in biases.items()}
