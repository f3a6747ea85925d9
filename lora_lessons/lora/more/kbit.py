"""A quantized model made ready for training: what PEFT calls `prepare_model_for_kbit_training`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...errors import ConfigError
from ...undo import all_or_nothing
from ..inject import nearest_layer_class
from ..tuner_layer import AdapterHolder
from .layers.quantized import Quantized

# How transformers names those of which PEFT casts nothing: their kernels take 16 bits alone
AS_THEY_ARE = ("gptq", "aqlm", "eetq", "hqq", "torchao")


def prepare_model_for_kbit_training(
    model: Any,
    use_gradient_checkpointing: bool = True,
    gradient_checkpointing_kwargs: dict[str, Any] | None = None,
    auto_clear_cache: bool = True,
) -> Any:
    """Freeze a quantized model, cast its other weights to float32, and recompute activations.

    Call it before `get_peft_model`; the model is changed in place and returned. It does three
    things. Every parameter is frozen. Norms, biases, embeddings and the head become float32, where
    they are float16 or bfloat16: the sums that the adapters correct are then not rounded to 8 bits
    (but with GPTQ, AQLM, EETQ, HQQ and torchao, which compute in 16). And where the model is
    quantized, gradient checkpointing is switched on, with
    `gradient_checkpointing_kwargs` for `torch.utils.checkpoint` (none: `use_reentrant=False`, which
    PEFT leaves open); the embedding's output is then made to require a gradient, for the reentrant
    kind has none else. `auto_clear_cache` hands the memory that the casting left back.

    Raises ConfigError for a model that has adapters already (PEFT freezes them silently), and for a
    quantized one that has no gradient checkpointing; the model is as it was then.
    """
    if any(isinstance(module, AdapterHolder) for module in model.modules()):
        raise ConfigError(
            "the model has adapters already, and this would freeze them: call "
            "prepare_model_for_kbit_training before get_peft_model"
        )
    with all_or_nothing(model):
        if use_gradient_checkpointing and is_quantized(model):
            checkpoint_activations(model, gradient_checkpointing_kwargs)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
    if getattr(model, "quantization_method", None) in AS_THEY_ARE:
        return model
    for parameter in model.parameters():
        if is_plain(parameter) and parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()  # a tied one once, and for both
    for device in (torch.cuda, torch.xpu) if auto_clear_cache else ():
        if device.is_available():
            device.empty_cache()
    return model


def is_quantized(model: nn.Module) -> bool:
    """Whether any layer is of few bits, or transformers says so of the model."""
    says = ("is_loaded_in_8bit", "is_loaded_in_4bit", "is_quantized")
    if any(getattr(model, name, False) for name in says):
        return True
    kinds = (nearest_layer_class(module) for module in model.modules())
    return any(kind is not None and issubclass(kind, Quantized) for kind in kinds)


def is_plain(parameter: nn.Parameter) -> bool:
    """Whether a parameter is numbers alone; codes may be stored in a tensor of 16-bit floats."""
    return type(parameter) is nn.Parameter


def checkpoint_activations(model: Any, options: dict[str, Any] | None) -> None:
    """Switch the model's own gradient checkpointing on."""
    new, old = "activation_checkpointing_enable", "gradient_checkpointing_enable"
    enable = getattr(model, new, None) or getattr(model, old, None)
    if enable is None:
        raise ConfigError(
            f"{type(model).__name__} has no gradient checkpointing of its own: pass "
            "use_gradient_checkpointing=False, and recompute by `fit(..., recompute=True)`"
        )
    enable(options)
    reentrant = (options or {"use_reentrant": False}).get("use_reentrant", True)
    if reentrant and hasattr(model, "enable_input_require_grads"):
        model.enable_input_require_grads()
