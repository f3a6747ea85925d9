"""What trains: freezing the base, the three bias modes, and the count of what is left."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from .layer import LoraLayer


def adapter_holders(model: nn.Module) -> Iterator[nn.Module]:
    """LoRA layers and the wrappers of saved modules and token rows: all that holds adapters."""
    return (m for m in model.modules() if hasattr(m, "_adapter_parts"))


def adapter_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Pairs of adapter name and parameter, found by structure and not by name."""
    for holder in adapter_holders(model):
        for name, part in holder._adapter_parts():
            parameters = [part] if isinstance(part, nn.Parameter) else part.parameters()
            yield from ((name, parameter) for parameter in parameters)


def freeze_base(model: nn.Module) -> None:
    """Freeze every parameter that belongs to no adapter."""
    of_adapters = {id(parameter) for _, parameter in adapter_parameters(model)}
    for parameter in model.parameters():
        if id(parameter) not in of_adapters:
            parameter.requires_grad_(False)


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
        if isinstance(module.__dict__["_parameters"].get("bias"), nn.Parameter)
        and id(module.bias) not in of_adapters
        and ".original_module." not in f".{name}."
        and (mode == "all" or id(module) in wrapped)
    }


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(trainable, all) parameters; a parameter used twice counts once."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trains in sizes if trains), sum(n for n, _ in sizes)
