"""A base that does not fit on each GPU: every process keeps a part of every weight.

A block's whole weights are gathered while it runs (PyTorch's FSDP2; Zhao et al. 2023). A model that
is too large for the host's memory too is made on the meta device, with shapes and no numbers: its
blocks are then filled one after another, and of each only this process's part is kept.
"""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from torch import nn

from .distributed import Processes, join
from .loss import unwrap
from .modes import random_state
from .repeated import repeated_blocks


def shard(model: nn.Module) -> nn.Module:
    """Spread every weight over the processes that `torchrun` started, with PyTorch's FSDP2.

    Call it on the adapted model before `fit`. The model may still lie on the CPU; each process's
    part goes to its GPU if there is one. What lies on the meta device is filled with random numbers
    first, as the model's own code does it, block by block: at no time is the whole model in memory.
    They depend on the first process's seed alone, not on how many processes there are.

    The model is changed in place and stays so: all processes must run it together. Returns the
    model. ValueError: one process alone, or something on the meta device that nobody can fill.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(kind, int(os.environ.get("LOCAL_RANK", 0)))
    processes = join(device)
    if processes.count == 1:
        raise ValueError("one process has nobody to share with: start the script by torchrun")
    mesh = init_device_mesh(kind, (processes.count,))
    with random_state(common_seed(processes), device):
        for part in (*repeated_blocks(model), model):
            fill(part, model, device)
            fully_shard(part, mesh=mesh)
    return model


def common_seed(processes: Processes) -> int:
    """A seed that all processes have: the first one's."""
    return processes.gather(torch.initial_seed())[0]


def fill(part: nn.Module, model: nn.Module, device: torch.device) -> None:
    """Give what lies on the meta device memory on `device`, and its first values.

    transformers' models say how theirs begin, other modules by `reset_parameters`; LoRA's factors
    begin as the adapter's config says. A tensor that none of them has filled is an error.
    """
    empty = {name: t for name, t in tensors_of(part).items() if t.is_meta}
    if not empty:
        return
    if plain := [name for name, t in empty.items() if not t.is_floating_point()]:
        raise ValueError(f"{plain[0]} on the meta device holds no floats: nobody knows its values")
    with torch.no_grad():
        modules = modules_of(part, set(map(id, empty.values())))
        layers = [m for m in part.modules() if hasattr(m, "reset_lora_parameters")]
        layers = [m for m in layers if any(p.is_meta for p in m.parameters())]
        give_memory(part, device)
        for module in modules:
            start(module, unwrap(model))
        for layer in layers:
            start_adapters(layer, model)
    unfilled = [name for name in empty if is_unfilled(tensors_of(part)[name])]
    if unfilled:
        raise ValueError(
            f"{len(unfilled)} tensors on the meta device have no first values, such as "
            f"{unfilled[0]}: fill them before, on the CPU"
        )


def tensors_of(part: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, also under each name of a shared one."""
    named = dict(part.named_parameters(remove_duplicate=False))
    return named | dict(part.named_buffers(remove_duplicate=False))


def modules_of(part: nn.Module, ids: set[int]) -> list[nn.Module]:
    """The modules that own one of these tensors, each once."""
    return [
        module
        for module in part.modules()
        if any(
            id(tensor) in ids
            for own in (module._parameters, module._buffers)
            for tensor in own.values()
        )
    ]


def give_memory(part: nn.Module, device: torch.device) -> None:
    """Replace meta tensors by ones of NaN on `device`; tied weights stay tied."""
    made: dict[int, Any] = {}
    for module in part.modules():
        for tensors in (module._parameters, module._buffers):
            for name, value in tensors.items():
                if value is None or not value.is_meta:
                    continue
                if id(value) not in made:
                    whole = torch.full_like(value, math.nan, device=device)
                    is_weight = isinstance(value, nn.Parameter)
                    made[id(value)] = (
                        nn.Parameter(whole, value.requires_grad) if is_weight else whole
                    )
                tensors[name] = made[id(value)]


def start(module: Any, inner: Any) -> None:
    """A module's own tensors as they begin: by the transformers model, else by itself."""
    if hasattr(inner, "_init_weights"):
        inner._init_weights(module)
    elif hasattr(module, "reset_parameters"):
        module.reset_parameters()


def start_adapters(layer: Any, model: Any) -> None:
    """LoRA's factors of one layer, ours or PEFT's, as the adapter's config says."""
    for name, config in model.peft_config.items():
        init: Any = config.init_lora_weights
        if init not in (True, "gaussian"):
            raise ValueError(
                f"init_lora_weights={init!r} cannot start an adapter on the meta device: "
                'True and "gaussian" can'
            )
        if name in layer.r:
            layer.reset_lora_parameters(name, init)


def is_unfilled(tensor: torch.Tensor) -> bool:
    """Whether a NaN is left."""
    return bool(torch.isnan(tensor).any())
