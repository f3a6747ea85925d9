"""Step times on one GPU: PEFT, full fine-tuning, the frozen floor and this package, in one run.

    python benchmarks/gpu.py            # all shapes
    python benchmarks/gpu.py --quick    # the two smallest, fewer rounds

Every contestant trains the same random model on the same batches with the same loss and AdamW.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.common import SHAPES, Shape, StepFunction, interleaved, save, synchronize, table
from lora_lessons.train.capture import prepare
from lora_lessons.train.loop import TrainStep
from lora_lessons.train.loss import summed_loss
from lora_lessons.train.optim import adamw, trainable_parameters

R, ALPHA, LR = 16, 32, 1e-4
REFERENCE = "PEFT bf16 adapters, captured"
Contestant = Callable[[Shape], StepFunction]


def own_loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The loss as transformers computes it: what a loop of one's own calls."""
    return model(**batch).loss


def contestant(
    wrap: Callable[[nn.Module], nn.Module],
    *,
    capture: bool,
    precision: str,
    loss_fn: Callable = summed_loss,
) -> Contestant:
    """A model made by `wrap` from the frozen bf16 base, and one training step of it."""

    def build(shape: Shape) -> StepFunction:
        model = wrap(shape.build("cuda", torch.bfloat16)).train()
        parameters = trainable_parameters(model)
        eager = TrainStep(
            model, parameters, adamw(parameters, LR), lr=LR, precision=precision, loss_fn=loss_fn
        )
        step = prepare(eager, capture or False, steps=10**6)
        batches = shape.batches("cuda")

        def take(i: int) -> torch.Tensor:
            loss = step([batches[i % len(batches)]])
            if capture and not step.captured:
                raise RuntimeError(step.why_not)
            return loss

        return take

    return build


def with_peft(model: nn.Module, float32: bool) -> nn.Module:
    import peft

    config = peft.LoraConfig(
        r=R, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    torch.manual_seed(0)
    return peft.get_peft_model(model, config, autocast_adapter_dtype=float32)


def with_ours(model: nn.Module) -> nn.Module:
    from lora_lessons.model import get_peft_model

    from lora_lessons.config import LoraConfig

    config = LoraConfig(r=R, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    torch.manual_seed(0)
    return get_peft_model(model, config)


def with_no_adapters(model: nn.Module) -> nn.Module:
    """The floor: forward, and gradients down to the first layer; only its norm is trained."""
    model.requires_grad_(False)
    model.model.layers[0].input_layernorm.weight.requires_grad_(True)
    return model


CONTESTANTS: dict[str, Contestant] = {
    "PEFT as it comes": contestant(
        lambda m: with_peft(m, True), capture=False, precision="fp32", loss_fn=own_loss
    ),
    "PEFT bf16 adapters": contestant(
        lambda m: with_peft(m, False), capture=False, precision="fp32", loss_fn=own_loss
    ),
    REFERENCE: contestant(lambda m: with_peft(m, False), capture=True, precision="fp32"),
    "ours, eager": contestant(with_ours, capture=False, precision="bf16"),
    "ours, captured": contestant(with_ours, capture=True, precision="bf16"),
    "full fine-tuning": contestant(
        lambda m: m.requires_grad_(True), capture=False, precision="bf16"
    ),
    "full fine-tuning, captured": contestant(
        lambda m: m.requires_grad_(True), capture=True, precision="bf16"
    ),
    "frozen floor, captured": contestant(with_no_adapters, capture=True, precision="bf16"),
}


def compare(shape: Shape, rounds: int, per_round: int) -> dict[str, dict]:
    """All contestants on one shape."""
    steps, extra, failed = {}, {}, {}
    for name, build in CONTESTANTS.items():
        gc.collect()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        try:
            step = build(shape)
            step(0)
            synchronize()
            first = time.perf_counter() - started
            for i in range(3):
                step(i)
            synchronize()
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
            continue
        peak = (torch.cuda.max_memory_allocated() - before) / 2**30
        steps[name], extra[name] = step, {"peak_gib": peak, "first": first}
    rows = interleaved(steps, rounds, per_round)
    for name, message in failed.items():
        print(f"  {name} failed: {message[:300]}")
    return {name: {**row, **extra[name]} for name, row in rows.items()}


def many_adapters(shape: Shape, counts: tuple[int, ...], steps: int = 60) -> dict[str, float]:
    """Seconds per step of `train_many` with K adapters of r=16, data included."""
    from lora_lessons.config import LoraConfig
    from lora_lessons.train.sweep import Job, train_many

    base = shape.build("cuda", torch.bfloat16)
    config = LoraConfig(r=R, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    ids = torch.randint(0, shape.vocabulary, (100_000,))
    seconds = {}
    for count in counts:
        jobs = [Job(config, lr=LR, seed=seed) for seed in range(count)]
        how = {"batch_size": shape.batch, "length": shape.length, "progress": False}
        short, long = (
            train_many(base, jobs, ids, steps=n, capture=True, **how)[0].history.seconds
            for n in (10, 10 + steps)
        )
        seconds[str(count)] = (long - short) / steps
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    names = list(SHAPES)[:2] if quick else list(SHAPES)
    rounds, per_round = (3, 10) if quick else (7, 20)
    results: dict = {"reference": REFERENCE, "shapes": {}}
    for name in names:
        rows = compare(SHAPES[name], rounds, per_round)
        print(table(name, rows, REFERENCE), flush=True)
        results["shapes"][name] = rows
    results["many"] = many_adapters(SHAPES["5M 16x128"], (1, 8, 32))
    print("adapters in one step, ms:", {k: round(v * 1e3, 2) for k, v in results["many"].items()})
    if not quick:
        print("saved", save("gpu", results))


if __name__ == "__main__":
    main()
