"""Step times on one GPU: PEFT, full fine-tuning, the frozen floor and this package, in one run.

    python benchmarks/gpu.py                          # all shapes, results/gpu.json
    python benchmarks/gpu.py --shapes 5M --passes 1   # the shapes whose names begin so
    python benchmarks/gpu.py --only captured Liger    # contestants, by parts of their names
    python benchmarks/gpu.py --predict                # predicted memory beside the measured

Every contestant trains the same random model on the same batches with AdamW. One is in memory at a
time; all take their turn in each pass, and medians are over all passes' rounds. Results are written
after every turn. One that fails has its reason in place of numbers, and the rest goes on: in a new
process where this one can use the GPU no more. Predicting takes no GPU and some minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.common import (
    RESULTS,
    SHAPES,
    Shape,
    load,
    provenance,
    save,
    summary,
    synchronize,
    table,
)
from lora_lessons.train.fast.attention import without_causal_mask
from lora_lessons.train.loss import summed_loss, unwrap
from lora_lessons.train.step import training_step

R, ALPHA, LR = 16, 32, 1e-4
ROUND_SECONDS = 0.15  # of a timed round, at least two steps
REFERENCE = "PEFT bf16, captured"
ADAPTERS = {"r": R, "lora_alpha": ALPHA, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
Wrap = Callable[[nn.Module], nn.Module]


def own_loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The loss as transformers computes it: what a loop of one's own calls.

    Only the causal mask is left out: it costs PEFT its fast attention in a captured step.
    """
    with without_causal_mask(unwrap(model), ["input_ids"]):
        return model(**batch).loss


def with_peft(model: nn.Module, float32: bool = False, liger: bool = False) -> nn.Module:
    """The model with PEFT's LoRA."""
    import peft

    if liger:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance

        _apply_liger_kernel_to_instance(model=model)
    torch.manual_seed(0)
    config = peft.LoraConfig(**ADAPTERS)
    adapted = peft.get_peft_model(model, config, autocast_adapter_dtype=float32)
    if not float32:  # of a base in 4 bits they have not taken its products' dtype
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.bfloat16()
    return adapted


def with_ours(model: nn.Module, **changes: Any) -> nn.Module:
    """The model with ours."""
    from lora_lessons.lora.config import LoraConfig
    from lora_lessons.lora.model import get_peft_model

    torch.manual_seed(0)
    return get_peft_model(model, LoraConfig(**ADAPTERS, **changes))


def with_no_adapters(model: nn.Module) -> nn.Module:
    """The floor: forward, and gradients down to the first layer; only its norm is trained."""
    model.requires_grad_(False)
    model.model.layers[0].input_layernorm.weight.requires_grad_(True)
    return model


def all_trained(model: nn.Module) -> nn.Module:
    """The model with every weight trained."""
    return model.requires_grad_(True)


PLAIN = {"capture": False, "compile": False, "precision": "fp32", "loss_fn": own_loss}
CAPTURED = {"capture": True, "compile": False, "precision": "bf16", "loss_fn": summed_loss}
FAST = CAPTURED | {"compile": True}

CONTESTANTS: dict[str, tuple[Wrap, dict[str, Any]]] = {
    "PEFT as it comes": (lambda m: with_peft(m, float32=True), PLAIN),
    "PEFT bf16": (with_peft, PLAIN),
    "PEFT bf16, Liger": (lambda m: with_peft(m, liger=True), PLAIN),
    "PEFT bf16, blocks compiled": (with_peft, PLAIN | {"compile": True}),
    REFERENCE: (with_peft, PLAIN | {"capture": True}),
    "PEFT bf16, captured, our loss": (with_peft, CAPTURED | {"precision": "fp32"}),
    "ours, eager": (with_ours, CAPTURED | {"capture": False}),
    "ours, captured": (with_ours, CAPTURED),
    "ours, compiled and captured": (with_ours, FAST),
    "the same, dropout 0.05": (lambda m: with_ours(m, lora_dropout=0.05), FAST),
    "the same, bias lora_only": (lambda m: with_ours(m, bias="lora_only"), FAST),
    "full fine-tuning, captured": (all_trained, CAPTURED),
    "frozen floor, captured": (with_no_adapters, CAPTURED),
    "frozen floor, compiled and captured": (with_no_adapters, FAST),
}


# the 8 B shapes: a minute each to make, so the rows that a choice depends on
LARGE = ("PEFT bf16, Liger", "ours, compiled and captured", "frozen floor, compiled and captured")


def left_out(name: str, shape: Shape) -> bool:
    """Contestants that a shape does not need: no biases there, too large, or seen at another."""
    if "bias" in name:
        return shape.family != "Qwen2"
    if shape.name.startswith("8B"):
        return name not in LARGE or (shape.recompute and "floor" in name)
    if shape.name.startswith("1B"):
        return "full" in name or "captured, our loss" in name or name == "frozen floor, captured"
    if shape.name.startswith("135M"):
        return any(part in name for part in ("Liger", "blocks compiled", "dropout"))
    return "Liger" in name


@contextlib.contextmanager
def modeling_as_it_was(model: nn.Module) -> Iterator[None]:
    """The code of the model's family is put back: Liger changes it for all models made later."""
    code = vars(sys.modules[type(model).__module__])
    kept = dict(code)
    try:
        yield
    finally:
        code.update(kept)


@contextlib.contextmanager
def contestant(name: str, shape: Shape, device: str = "cuda") -> Iterator[Callable[[int], Any]]:
    """The contestant's step as a function of the step's number."""
    wrap, how = CONTESTANTS[name]
    base = shape.build(device, torch.bfloat16)
    batches = shape.batches(device)
    with modeling_as_it_was(base), contextlib.ExitStack() as stack:
        model = wrap(base).train()
        if shape.recompute and how["loss_fn"] is own_loss:  # as a user of PEFT switches it on
            model.gradient_checkpointing_enable({"use_reentrant": False})
        elif shape.recompute:
            how = how | {"recompute": True}
        step = stack.enter_context(training_step(model, steps=10**6, lr=LR, **how))

        def take(i: int) -> torch.Tensor:
            return step([batches[i % len(batches)]])

        yield take


def measure(name: str, shape: Shape, rounds: int = 5) -> dict[str, Any]:
    """One turn: seconds per step of each round, memory in GiB, seconds to the first step's end.

    `made` is the part of `first` in which the base, adapters and batches are made.
    The loss is that of the fourth step, for all contestants. `peak_gib` is a step's: what making
    the base took before is not in it. A captured step's memory lies in its graph's own pool, which
    the count of tensors misses on replay: `reserved_gib` is what the process holds with it.
    """
    gc.collect()
    torch.cuda.empty_cache()
    torch._dynamo.reset()
    before = torch.cuda.memory_allocated()
    started = time.perf_counter()
    with contestant(name, shape) as take:
        synchronize()
        made = time.perf_counter() - started
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        take(0)
        synchronize()
        first = time.perf_counter() - started
        for i in (1, 2):
            take(i)
        synchronize()
        started = time.perf_counter()
        loss = float(take(3))
        peak = (torch.cuda.max_memory_allocated() - before) / 2**30
        reserved = torch.cuda.memory_reserved() / 2**30
        per_round = max(2, min(20, int(ROUND_SECONDS / (time.perf_counter() - started))))
        seconds = []
        for _ in range(rounds):
            started = time.perf_counter()
            for i in range(per_round):
                take(i)
            synchronize()
            seconds.append((time.perf_counter() - started) / per_round)
    found = {"seconds": seconds, "loss": loss, "peak_gib": peak, "first": first, "made": made}
    return found | {"reserved_gib": reserved}


def chosen(name: str, only: list[str]) -> bool:
    """Whether `--only` asks for it. The reference is always there: ratios need it."""
    return name == REFERENCE or any(part in name for part in only)


def is_meant(shape: str, asked: str) -> bool:
    """Whether `--shapes` asks for a shape: by its whole name, or by a beginning of several."""
    return shape == asked or (asked not in SHAPES and shape.startswith(asked))


def compare(
    shape: Shape, passes: int, only: list[str], write: Callable[[dict[str, Any]], None]
) -> dict[str, dict[str, Any]]:
    """The contestants on one shape; one that fails has its reason instead of times.

    `write` is given all rows so far after every turn. Raises torch.AcceleratorError if the process
    can use the GPU no more; the rows are written then too.
    """
    names = [name for name in CONTESTANTS if not left_out(name, shape) and chosen(name, only)]
    turns: dict[str, list[dict]] = {name: [] for name in names}
    failed: dict[str, dict[str, Any]] = {}

    def rows() -> dict[str, dict[str, Any]]:
        known = [name for name in names if name in failed or turns[name]]
        return {name: failed.get(name) or summary(turns[name]) for name in known}

    for name in names * passes:
        if name in failed:
            continue
        try:
            turns[name].append(measure(name, shape))
        except Exception as error:
            failed[name] = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
            print(f"{shape.name}, {name}: {failed[name]['failed']}", file=sys.stderr, flush=True)
            if isinstance(error, torch.AcceleratorError):
                unmeasured = {"failed": f"not measured: the GPU was lost at {name!r}"}
                failed |= {other: unmeasured for other in names if not turns[other]} | failed
                write(rows())
                raise
        write(rows())
    return rows()


# which contestants' memory is predicted: their adapters' dropout, None for no adapters
PREDICTED = {
    "ours, eager": 0.0,
    "ours, captured": 0.0,
    "ours, compiled and captured": 0.0,
    "the same, dropout 0.05": 0.05,
    "full fine-tuning, captured": None,
}


@functools.cache
def predicted_gib(shape: Shape, dropout: float | None = 0.0, compile: bool = False) -> float:
    """What `predict_memory` says of a contestant's step; without adapters where dropout is None.

    Nothing is added for capturing: the reference was captured before, and what cuBLAS took for its
    warm-up serves all.
    """
    from lora_lessons.lora.config import LoraConfig
    from lora_lessons.train.memory.predict import predict_memory

    config = None if dropout is None else LoraConfig(**ADAPTERS, lora_dropout=dropout)
    how = {"batch_size": shape.batch, "length": shape.length, "compile": compile}
    how |= {"base": "4bit" if shape.four_bits else "bfloat16", "recompute": shape.recompute}
    return predict_memory(shape.config(), config, **how).peak / 2**30


def predictions(rows: dict[str, dict[str, Any]]) -> str:
    """Predicted against measured memory as text; the goal is 10 % or 64 MB, whichever is more."""
    lines = []
    for name, row in rows.items():
        if "predicted_gib" not in row:
            continue
        predicted, measured = row["predicted_gib"], row["peak_gib"]
        off = predicted - measured
        near = abs(off) <= max(0.1 * measured, 64e6 / 2**30)
        lines.append(
            f"  {name:38} predicted {predicted:6.2f} GiB, measured {measured:6.2f}, off by "
            f"{off * 1024:+8.1f} MiB ({off / measured:+.1%}){'' if near else ', too far'}"
        )
    return "\n".join(lines)


def many_adapters(
    shape: Shape, counts: tuple[int, ...], kinds: list[bool], steps: int = 60
) -> dict[str, Any]:
    """Seconds per step of `train_many` with K adapters of r=16, data included.

    `kinds`: False for the captured step as it is, True for the compiled one.
    """
    from lora_lessons.lora.config import LoraConfig
    from lora_lessons.train.fast.sweep import Job, train_many

    base = shape.build("cuda", torch.bfloat16)
    ids = torch.randint(0, shape.vocabulary, (100_000,))
    how = {"batch_size": shape.batch, "length": shape.length, "progress": False, "capture": True}
    seconds: dict[str, Any] = {}
    for compile in kinds:
        for count in counts:
            jobs = [Job(LoraConfig(**ADAPTERS), lr=LR, seed=seed) for seed in range(count)]
            _, short, long = (  # the first may compile
                train_many(base, jobs, ids, steps=n, compile=compile, **how)[0].history.seconds
                for n in (10, 10, 10 + steps)
            )
            kind = "compiled and captured" if compile else "captured"
            seconds[f"{count} adapters, {kind}"] = (long - short) / steps
    return seconds


def measure_shape(shape: Shape, results: dict[str, Any], arguments: argparse.Namespace) -> None:
    """All that is measured on one shape, written to the results as it comes."""
    about = provenance(arguments.commit)

    def write(rows: dict[str, Any]) -> None:
        results["shapes"][shape.name] = {"provenance": about, "rows": rows}
        save("gpu", results, arguments.out)

    rows = compare(shape, arguments.passes, arguments.only, write)
    print(table(shape.name, rows, REFERENCE if REFERENCE in rows else LARGE[0]), flush=True)
    if shape.name.startswith("5M"):
        kinds = [False, True] if chosen("ours, captured", arguments.only) else [True]
        many = many_adapters(shape, (1, 8, 32), kinds)
        results["many"] = {"provenance": about, "seconds": many}
        save("gpu", results, arguments.out)
        for row, seconds in many.items():
            print(f"  {row:38} {seconds * 1e3:8.2f}")


def predict(results: dict[str, Any], shapes: list[str]) -> None:
    """Put predicted memory beside the measured, in every row of these shapes that has one."""
    for name, stored in results["shapes"].items():
        if name not in shapes:
            continue
        for contestant, row in stored["rows"].items():
            if contestant in PREDICTED and "failed" not in row:
                compiled = CONTESTANTS[contestant][1]["compile"]
                row["predicted_gib"] = predicted_gib(SHAPES[name], PREDICTED[contestant], compiled)
        print(name, predictions(stored["rows"]), sep="\n", flush=True)


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shapes", nargs="*", default=[""], help="names or their beginnings")
    parser.add_argument("--only", nargs="*", default=[""], help="parts of contestants' names")
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--predict", action="store_true", help="measure nothing, predict memory")
    parser.add_argument("--commit", help="the commit, where there is no git")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    results = load("gpu", arguments.out) or {"reference": REFERENCE, "shapes": {}}
    meant = [name for name in SHAPES if any(is_meant(name, one) for one in arguments.shapes)]
    if arguments.predict:
        predict(results, meant)
        save("gpu", results, arguments.out)
        return
    for i, name in enumerate(meant):
        started = time.perf_counter()
        try:
            measure_shape(SHAPES[name], results, arguments)
        except torch.AcceleratorError:
            go_on(meant[i + 1 :], arguments)
        print(f"  {name} took {time.perf_counter() - started:.0f} s", flush=True)


def go_on(shapes: list[str], arguments: argparse.Namespace) -> None:
    """Measure the other shapes in a process that has not lost the GPU, in place of this one."""
    if not shapes:
        sys.exit(1)
    command = [sys.executable, __file__, "--shapes", *shapes, "--only", *arguments.only]
    command += ["--passes", str(arguments.passes), "--out", str(arguments.out)]
    command += ["--commit", arguments.commit] if arguments.commit else []
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
