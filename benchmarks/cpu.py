"""Step times on a CPU: PEFT as it comes, full fine-tuning, the frozen floor and this package.

    python benchmarks/cpu.py                          # both models, results/cpu.json
    python benchmarks/cpu.py --models nano --steps 20

Every contestant trains the course's own model on the same batches with AdamW, in float32. They take
turns step by step, so that a busy machine slows all of them: a ratio is the median over the rounds
of one step's time divided by the reference's in the same round. The first step's time counts from
the model as loaded to the step's end; the peak is of all tensors that a step makes, beside weights
and the optimizer's state.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.common import RESULTS, load, provenance, save
from lora_lessons.base.load import load_base
from lora_lessons.train.memory.meter import MemoryMeter
from lora_lessons.train.settings import FitSettings
from lora_lessons.train.step import training_step

ROWS, LENGTH, LR, CLIP, WARM_UP = 16, 128, 1e-3, 1.0, 2
REFERENCE, SAME_LOOP, OURS = "PEFT as it comes", "PEFT in our loop", "ours"
TOLERANCE = 1e-4  # between the losses of contestants that train the same adapters
ADAPTERS = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
Take = Callable[[dict[str, torch.Tensor]], float]


def with_peft(model: nn.Module) -> nn.Module:
    """The model with PEFT's LoRA."""
    import peft

    torch.manual_seed(0)
    return peft.get_peft_model(model, peft.LoraConfig(**ADAPTERS))


def with_ours(model: nn.Module) -> nn.Module:
    """The model with ours."""
    from lora_lessons.lora.config import LoraConfig
    from lora_lessons.lora.model import get_peft_model

    torch.manual_seed(0)
    return get_peft_model(model, LoraConfig(**ADAPTERS))


def all_trained(model: nn.Module) -> nn.Module:
    """The model with every weight trained."""
    return model.requires_grad_(True)


def with_no_adapters(model: nn.Module) -> nn.Module:
    """The floor: forward, and gradients down to the first layer; only its norm is trained."""
    model.requires_grad_(False)
    model.model.layers[0].input_layernorm.weight.requires_grad_(True)
    return model


@contextlib.contextmanager
def plain_loop(model: nn.Module) -> Iterator[Take]:
    """The loop that everybody writes: the model's own loss, PyTorch's AdamW by default."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LR, weight_decay=0.0)

    def take(batch: dict[str, torch.Tensor]) -> float:
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        return loss.item()

    yield take


@contextlib.contextmanager
def our_loop(model: nn.Module) -> Iterator[Take]:
    """The step of `fit`."""
    with training_step(model, FitSettings(steps=10**6, lr=LR, clip=CLIP)) as step:
        yield lambda batch: step([batch]).item()


CONTESTANTS = {
    REFERENCE: (with_peft, plain_loop),
    SAME_LOOP: (with_peft, our_loop),
    OURS: (with_ours, our_loop),
    "full fine-tuning": (all_trained, plain_loop),
    "frozen floor": (with_no_adapters, our_loop),
}


def random_batches(classes: int, count: int = 4) -> list[dict[str, torch.Tensor]]:
    """Random tokens, the same for every contestant."""
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(0, classes, (count, ROWS, LENGTH), generator=draw)
    return [{"input_ids": one, "labels": one.clone()} for one in ids]


def compare(name: str, steps: int) -> dict[str, dict[str, Any]]:
    """Rounds of one step of every contestant; wall and processor seconds, losses."""
    for library in ("peft", "lora_lessons.lora.model"):
        importlib.import_module(library)  # which is no part of a first step
    wall: dict[str, list[float]] = {one: [] for one in CONTESTANTS}
    processor: dict[str, list[float]] = {one: [] for one in CONTESTANTS}
    losses: dict[str, list[float]] = {one: [] for one in CONTESTANTS}
    with contextlib.ExitStack() as stack:
        takes, first = {}, {}
        for one, (wrap, loop) in CONTESTANTS.items():
            base = load_base(name)[0]
            batches = random_batches(base.config.vocab_size)
            started = time.perf_counter()
            takes[one] = stack.enter_context(loop(wrap(base).train()))
            losses[one].append(takes[one](batches[0]))
            first[one] = time.perf_counter() - started
        for i in range(1, WARM_UP + steps):
            for one, take in takes.items():
                started, used = time.perf_counter(), time.process_time()
                losses[one].append(take(batches[i % len(batches)]))
                if i >= WARM_UP:
                    wall[one].append(time.perf_counter() - started)
                    processor[one].append(time.process_time() - used)
        peak = {one: step_peak(take, batches[0]) for one, take in takes.items()}
    for one in (SAME_LOOP, OURS):
        require_equal(one, losses[one], losses[REFERENCE])
    more = {one: {"first": first[one], "peak_mib": peak[one] / 2**20} for one in CONTESTANTS}
    return {one: row(wall, processor, losses, one) | more[one] for one in CONTESTANTS}


def step_peak(take: Take, batch: dict[str, torch.Tensor]) -> int:
    """Bytes of the tensors that one more step makes, as many as live at once."""
    with MemoryMeter() as meter:
        take(batch)
    return meter.peak


def require_equal(name: str, losses: list[float], reference: list[float]) -> None:
    """Raise if a contestant's losses are others than the reference's: speed by doing less."""
    gaps = [abs(a - b) / b for a, b in zip(losses, reference, strict=True)]
    if not all(gap < TOLERANCE for gap in gaps):  # nan is not below it either
        raise AssertionError(f"{name}: losses differ from {REFERENCE}'s by {max(gaps):.1e} of them")


def row(
    wall: dict[str, list[float]],
    processor: dict[str, list[float]],
    losses: dict[str, list[float]],
    name: str,
) -> dict[str, Any]:
    """One contestant's medians, and its ratios to the reference."""
    return {
        "seconds": statistics.median(wall[name]),
        "ratio": paired_ratio(wall[name], wall[REFERENCE]),
        "processor_seconds": statistics.median(processor[name]),
        "processor_ratio": paired_ratio(processor[name], processor[REFERENCE]),
        "loss": losses[name][-1],
    }


def paired_ratio(times: list[float], reference: list[float]) -> float:
    """The median over the rounds of time / reference's time."""
    return statistics.median(a / b for a, b in zip(times, reference, strict=True))


def table(title: str, rows: dict[str, dict[str, Any]]) -> str:
    """Rows as text: milliseconds and ratios to the reference, on the wall and of the processor.

    Then the loss, the peak of a step, and the time to the first step.
    """
    lines = [
        f"{title:22} {'ms':>8} {'ratio':>6} {'cpu ms':>8} {'ratio':>6} {'loss':>8} {'MiB':>7}"
        f" {'first s':>7}"
    ]
    for name, one in rows.items():
        lines.append(
            f"  {name:20} {one['seconds'] * 1e3:8.1f} {one['ratio']:6.3f}"
            f" {one['processor_seconds'] * 1e3:8.1f} {one['processor_ratio']:6.3f}"
            f" {one['loss']:8.4f} {one['peak_mib']:7.1f} {one['first']:7.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="*", default=["nano", "decoder"])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    results = load("cpu") or {"reference": REFERENCE, "models": {}}
    for name in arguments.models:
        rows = compare(name, arguments.steps)
        about = provenance() | {"load_average": os.getloadavg()[0]}
        about |= {"steps": arguments.steps, "rows": ROWS, "length": LENGTH}
        results["models"][name] = {"provenance": about, "rows": rows}
        print(table(f"{name} {ROWS} x {LENGTH}", rows), flush=True)
        save("cpu", results, arguments.out)


if __name__ == "__main__":
    main()
