"""What a training step takes of time, launched one by one or captured; and of arithmetic.

A step on a GPU is timed twice at once: until the host has launched it, and until the GPU has done
it. Where both are equal, launching is what takes the time.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..train.step import training_step
from .step_memory import ARMS, adapters, build, shape_config, step_settings

ROUND_SECONDS = 0.3  # of a timed round, at least two steps and 50 at most
COLD_STEPS = 6


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given; a CPU has."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of_steps(
    take: Callable[[], Any], device: str, repeats: int, steps: int | None = None
) -> dict[str, Any]:
    """Seconds of a step: `cold`, the first ones each; then of each repeat `launched` and `done`.

    `launched` is until the last of its steps was given to the device, `done` until it was finished.
    """
    cold = []
    for _ in range(COLD_STEPS):
        start = time.perf_counter()
        take()
        synchronize(device)
        cold.append(time.perf_counter() - start)
    steps = steps or max(2, min(50, int(ROUND_SECONDS / cold[-1])))
    launched, done = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(steps):
            take()
        launched.append((time.perf_counter() - start) / steps)
        synchronize(device)
        done.append((time.perf_counter() - start) / steps)
    return {"cold": cold, "launched": launched, "done": done, "steps": steps}


def step_times(
    sizes: Sequence[Sequence[Any]],
    arms: Sequence[str] = ("LoRA", "full, bf16"),
    how: Sequence[str] = ("eager", "captured"),
    r: int = 8,
    repeats: int = 5,
    steps: int | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Time every arm at every (size, rows, length), `eager` and `captured`, random weights.

    Returns `rows`: size, arm, how, rows, length; `loss` after the last step; and `seconds`, of
    `seconds_of_steps`; or `failed`, the reason. RuntimeError: "captured" on a CPU.
    """
    found = []
    for size, rows, length in sizes:
        for arm in arms:
            for way in how:
                about = {"size": size, "arm": arm, "how": way, "rows": rows, "length": length}
                try:
                    found.append(about | _time_arm(about, r, repeats, steps, device))
                except ImportError as error:  # bitsandbytes is not everywhere
                    found.append(about | {"failed": str(error)})
                gc.collect()
    return {"rows": found}


def _time_arm(
    about: dict[str, Any], r: int, repeats: int, steps: int | None, device: str
) -> dict[str, Any]:
    arm, size = ARMS[about["arm"]], about["size"]
    model = build(size, arm, r, device).train()
    ids = random_ids(shape_config(size).vocab_size, about["rows"], about["length"], device)
    batches = [{"input_ids": ids, "labels": ids}]
    settings = step_settings(arm) | {"capture": about["how"] == "captured", "compile": False}
    with training_step(model, steps=10**6, lr=1e-4, **settings) as step:
        seconds = seconds_of_steps(lambda: step(batches), device, repeats, steps)
        return {"loss": float(step(batches)), "seconds": seconds}


def random_ids(classes: int, rows: int, length: int, device: str) -> torch.Tensor:
    """Token ids (rows, length), the same for every arm."""
    draw = torch.Generator().manual_seed(1)
    return torch.randint(0, classes, (rows, length), generator=draw).to(device)


def product_flops(
    config: Any, targets: str | list[str] | None, rows: int, length: int, r: int = 8
) -> dict[str, float]:
    """Operations of the matrix products of a forward and backward pass, on shapes alone.

    `targets` None is full fine-tuning. Returns `forward` and `step`, operations for each token, and
    `weights`, the numbers N in the base's matrices that a token is multiplied by (its embedding,
    where it is not the head too, is looked up). Attention's own products, which have no weights,
    are left out.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    from ..train.memory.predict import from_meta_to_fake, shapes_of

    config._attn_implementation = "sdpa"  # counted by PyTorch on a GPU only
    model = shapes_of(config, None if targets is None else adapters(r, targets), "float32")
    counts = []
    with FakeTensorMode():
        from_meta_to_fake(model.train())
        ids = torch.zeros(rows, length, dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
            counts.append(counter.get_total_flops())
            loss.backward()
            counts.append(counter.get_total_flops())
    forward, step = (count / (rows * length) for count in counts)
    return {"forward": forward, "step": step, "weights": float(base_weights(model))}


def base_weights(model: nn.Module) -> int:
    """Numbers in the matrices of the base that a token's vector is multiplied by."""
    linears = (m for m in model.modules() if type(m) is nn.Linear)
    own = [m for m in linears if not {"lora_A", "lora_B"} & set(_path(model, m))]
    return sum(m.weight.numel() for m in own)


def _path(model: nn.Module, wanted: nn.Module) -> list[str]:
    return next(name.split(".") for name, module in model.named_modules() if module is wanted)
