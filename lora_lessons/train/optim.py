"""The optimizer, the learning-rate schedule, clipping and precision of a run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import did_you_mean

if TYPE_CHECKING:
    from .fast.sweep import Job

SCHEDULES = ("constant", "linear", "cosine")
PRECISIONS = ("auto", "fp32", "bf16")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise if `value` is not allowed, naming the nearest that is."""
    if value not in allowed:
        hint = did_you_mean(value, allowed)
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(allowed)}.{hint}")


def schedule_factor(step: int, steps: int, warmup: int, schedule: str) -> float:
    """What the learning rate is multiplied by at `step` (counted from 0) of `steps`.

    Linear warm-up over the first `warmup` steps (Goyal et al. 2017, section 2.2), then constant,
    or down to 0 in a line or along half a cosine (Loshchilov and Hutter 2017, equation 5).
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, steps - warmup)
    return 1.0 - done if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))


def trainable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that require a gradient; an error says how to get some if there are none."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            "the model has no trainable parameters: every requires_grad is False. Add adapters "
            "with get_peft_model(model, LoraConfig(...)), load them with is_trainable=True, or "
            "call model.requires_grad_(True) to train all of the model."
        )
    return parameters


def adamw(
    parameters: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0
) -> torch.optim.AdamW:
    """PyTorch's AdamW in its fastest form for the parameters' device."""
    return adamw_groups([(list(parameters), lr, weight_decay)])


def adamw_with_faster_B(
    model: nn.Module,
    own: Sequence[nn.Parameter],
    rows: Sequence[nn.Parameter],
    lr: float,
    ratio: float,
    weight_decay: float = 0.0,
) -> torch.optim.AdamW:
    """LoRA+: AdamW with the factors B at ratio · lr, all else at lr (Hayou et al. 2024).

    `rows` are what is updated, one for each of the model's `own` parameters. Biases and DoRA's
    magnitudes keep lr; PEFT's `create_loraplus_optimizer` gives all vectors B's rate.
    """
    of_B = {p for name, p in model.named_parameters() if is_factor_B(name)}
    pairs = list(zip(own, rows, strict=True))
    fast = [row for parameter, row in pairs if parameter in of_B]
    slow = [row for parameter, row in pairs if parameter not in of_B]
    if not fast:
        raise ValueError(f"lr_ratio={ratio!r} is for LoRA's factors B, and none trains here")
    groups = ((slow, lr), (fast, ratio * lr))
    return adamw_groups([(group, rate, weight_decay) for group, rate in groups if group])


def is_factor_B(name: str) -> bool:
    """Whether a parameter's name, ours or PEFT's, is that of a factor B of LoRA."""
    return not {"lora_B", "lora_embedding_B"}.isdisjoint(name.split("."))


def adamw_rows(rows: Sequence[nn.Parameter], jobs: Sequence[Job]) -> torch.optim.AdamW:
    """One AdamW with a group for each learning rate and weight decay, since each costs a kernel."""
    together: dict[tuple[float, float], list[nn.Parameter]] = {}
    for row, job in zip(rows, jobs, strict=True):
        together.setdefault((job.lr, job.weight_decay), []).append(row)
    return adamw_groups([(group, *settings) for settings, group in together.items()])


def adamw_groups(groups: Sequence[tuple[list[nn.Parameter], float, float]]) -> torch.optim.AdamW:
    """AdamW for groups of (parameters, learning rate, weight decay).

    The fused kernel updates all tensors of a group at once. On CUDA the learning rate is a tensor
    on the device and the step count stays there too, so that a captured step can read both. A group
    keeps its own rate as "base_lr".
    """
    device = groups[0][0][0].device
    on_cuda = device.type == "cuda"
    settings = [
        {
            "params": parameters,
            "lr": torch.tensor(lr, dtype=torch.float32, device=device) if on_cuda else lr,
            "base_lr": lr,
            "weight_decay": weight_decay,
        }
        for parameters, lr, weight_decay in groups
    ]
    return torch.optim.AdamW(settings, fused=device.type in ("cpu", "cuda"), capturable=on_cuda)


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to `factor` of its own; a tensor is filled, so a graph sees it."""
    for group in optimizer.param_groups:
        lr = group["base_lr"] * factor
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def device_of(model: nn.Module) -> torch.device:
    """The device of the model's first parameter."""
    return next(model.parameters()).device


def uses_bf16(device: torch.device, precision: str) -> bool:
    """Whether matrix products are done in bf16: as asked, or "auto" on CUDA that can."""
    one_of("precision", precision, PRECISIONS)
    auto = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return precision == "bf16" or (precision == "auto" and auto)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """bf16 matrix products where `uses_bf16`; parameters keep their own dtype."""
    if not uses_bf16(device, precision):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
