"""Where a step's time and memory go: kernels by the operation that launched them, tensors at peak.

    python benchmarks/profiles.py                        # 8 B in four ways and 1 B
    python benchmarks/profiles.py --shapes 1B
    python benchmarks/profiles.py --first                # what a first step's seconds are

Steps run uncaptured here, since a replayed graph does not say which operation a kernel is of; the
kernels are the same. `results/profiles.json` holds them as they were; `kinds` sums them up. What a
step's own time (gpu.py) is longer than its kernels is waiting. Written after every contestant.
"""

from __future__ import annotations

import argparse
import collections
import gc
import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.utils.checkpoint

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import gpu
from benchmarks.common import RESULTS, SHAPES, Shape, load, provenance, save, synchronize

NAMES = ("PEFT bf16, Liger", "ours, compiled and captured", "frozen floor, compiled and captured")
MEANT = (
    *("8B 4x2048", "8B 4x2048, NF4"),
    *("8B 4x2048, recomputing", "8B 4x2048, NF4, recomputing", "1B"),
)
STEPS = 2  # that are profiled
THIN = 256  # a product one of whose sizes is smaller is a thin one: ranks, and groups of them
LARGEST = 25  # groups of tensors at the peak that are kept

WORDS = {  # kinds by parts of a kernel's name, the first that fits
    "attention": ("sdpa", "flash", "fmha"),
    "decoding": ("equantize", "decode"),
    "loss": ("cross_entropy", "softmax"),
    "optimizer": ("multi_tensor", "adam"),
    "product": ("nvjet", "gemm", "cutlass", "cublas", "xmma", "splitk"),
    "copies": ("memcpy", "memset"),
}


def kind(row: dict[str, Any], classes: int) -> str:
    """What a kernel is for, by its name and the shapes that its operation was given."""
    name = row["kernel"].lower()
    found = next((k for k, words in WORDS.items() if any(w in name for w in words)), "elementwise")
    if found != "product":
        return found
    sizes = {size for shape in row["shapes"] for size in shape}
    if classes in sizes:
        return "loss"
    if not sizes:
        return "products of unknown sizes"
    return "thin products" if min(sizes - {1}, default=1) < THIN else "wide products"


def kinds(rows: list[dict[str, Any]], classes: int) -> dict[str, float]:
    """Milliseconds of a step for each kind of kernel."""
    sums: dict[str, float] = collections.defaultdict(float)
    for row in rows:
        sums[kind(row, classes)] += row["ms"]
    return dict(sums)


def kernels(take: Any) -> list[dict[str, Any]]:
    """Kernels of a step: name, the innermost operation and its shapes, milliseconds, how many."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with profile(activities=activities, record_shapes=True) as profiler:
        for i in range(STEPS):
            take(i)
        synchronize()
    sums: dict[tuple[Any, ...], list[float]] = collections.defaultdict(lambda: [0.0, 0])
    launched: dict[str, float] = collections.defaultdict(float)
    all_of: dict[str, float] = collections.defaultdict(float)
    for event in profiler.events():
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation:
            all_of[event.name] += event.device_time_total
        for one in event.kernels:
            shapes = tuple(tuple(shape) for shape in event.input_shapes or () if is_shape(shape))
            entry = sums[one.name, event.name, shapes]
            entry[0] += one.duration
            entry[1] += 1
            launched[one.name] += one.duration
    rows = [
        {"kernel": k, "operation": o, "shapes": s, "ms": us / 1e3 / STEPS, "count": n / STEPS}
        for (k, o, s), (us, n) in sums.items()
    ]
    for name, us in all_of.items():
        left = (us - launched[name]) / 1e3 / STEPS
        if left > 1e-3:  # of which no operation is known
            rows.append({"kernel": name, "operation": "", "shapes": [], "ms": left, "count": 0})
    return sorted(rows, key=lambda row: -row["ms"])


def is_shape(given: Any) -> bool:
    """Whether an operation's argument was a tensor: of a list of tensors there is a list."""
    return isinstance(given, (list, tuple)) and all(isinstance(size, int) for size in given)


def since_start() -> float:
    """Seconds since this process was started."""
    fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - started


def at_peak(take: Any) -> dict[str, Any]:
    """What is in memory at a step's peak: tensors by the line that made them and their size."""
    before = torch.cuda.memory_allocated()
    torch.cuda.memory._record_memory_history(max_entries=2_000_000, stacks="python")
    try:
        take(0)
        synchronize()
        trace = torch.cuda.memory._snapshot()["device_traces"][0]
    finally:
        torch.cuda.memory._record_memory_history(enabled=None)
    return {"before_gib": before / 2**30} | peak_of(trace)


def peak_of(trace: list[dict[str, Any]]) -> dict[str, Any]:
    """The highest sum of a trace's allocations, and what it was made of, largest first."""
    now, highest, when = 0, 0, -1
    live: dict[int, int] = {}
    for i, event in enumerate(trace):
        if event["action"] == "alloc":
            live[event["addr"]] = event["size"]
            now += event["size"]
        elif event["action"] == "free_completed":
            now -= live.pop(event["addr"], event["size"])  # it may be older than the trace
        if now > highest:
            highest, when = now, i
    held: dict[int, dict[str, Any]] = {}
    for event in trace[: when + 1]:
        if event["action"] == "alloc":
            held[event["addr"]] = event
        elif event["action"] == "free_completed":
            held.pop(event["addr"], None)
    groups: dict[tuple[int, str], int] = collections.Counter(
        (event["size"], made_at(event.get("frames", []))) for event in held.values()
    )
    rows = [{"mib": size / 2**20, "count": n, "made": made} for (size, made), n in groups.items()]
    rows.sort(key=lambda row: -row["mib"] * row["count"])
    at = made_at(trace[when].get("frames", [])) if trace and when >= 0 else ""
    return {"above_gib": highest / 2**30, "at": at, "tensors": rows[:LARGEST]}


def made_at(frames: list[dict[str, Any]]) -> str:
    """The innermost lines of Python, of those that are not PyTorch's dispatching."""
    told = [
        f"{Path(f['filename']).name}:{f['line']} {f['name']}"
        for f in frames
        if f["filename"].endswith(".py") and "_ops.py" not in f["filename"]
    ]
    return " < ".join(told[:3])


def measure(name: str, shape: Shape) -> dict[str, Any]:
    """One contestant: kernels and peak of an uncaptured step."""
    gc.collect()
    torch.cuda.empty_cache()
    torch._dynamo.reset()
    wrap, how = gpu.CONTESTANTS[name]
    # stopping a checkpoint early raises an error inside, which the profiler loses (PyTorch 2.11)
    with (
        torch.utils.checkpoint.set_checkpoint_early_stop(False),
        mock.patch.dict(gpu.CONTESTANTS, {name: (wrap, how | {"capture": False})}),
        gpu.contestant(name, shape) as take,
    ):
        for i in range(3):
            take(i)
        synchronize()
        started = time.perf_counter()
        take(3)
        synchronize()
        seconds = time.perf_counter() - started
        rows = kernels(take)
        found = {"seconds_uncaptured": seconds, "kinds": kinds(rows, shape.vocabulary)}
        found["kernels"] = rows[:80]
        found["memory"] = at_peak(take)
    return found


def first_step(shape: Shape) -> dict[str, Any]:
    """Seconds of a first step's parts, from the start of this process's imports."""
    from lora_lessons.train.fast.capture import CapturedStep

    parts: dict[str, Any] = {"imports": since_start()}

    def timed(what: str, function: Any) -> Any:
        def run(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = function(*arguments)
            synchronize()
            parts[what] = parts.get(what, 0) + time.perf_counter() - started
            return result

        return run

    with mock.patch.multiple(
        CapturedStep,
        _try_compiler=timed("compiling", CapturedStep._try_compiler),
        _warm_up=timed("warming up", CapturedStep._warm_up),
        _capture=timed("capturing", CapturedStep._capture),
    ):
        started = time.perf_counter()
        torch.zeros(1, device="cuda") @ torch.zeros(1, device="cuda")
        synchronize()
        parts["CUDA's start"] = time.perf_counter() - started
        started = time.perf_counter()
        for name in ("torch._dynamo", "torch._inductor.compile_fx"):
            importlib.import_module(name)

        parts["the compiler's imports"] = time.perf_counter() - started
        started = time.perf_counter()
        with gpu.contestant(NAMES[1], shape) as take:
            synchronize()
            parts["model and batches"] = time.perf_counter() - started
            started = time.perf_counter()
            take(0)
            synchronize()
            parts["first step"] = time.perf_counter() - started
    parts["compiler"] = {
        name: sum(seconds)
        for name, seconds in torch._dynamo.utils.compilation_time_metrics.items()
        if sum(seconds) > 0.05
    }
    return parts


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shapes", nargs="*", default=MEANT, help="names or their beginnings")
    parser.add_argument("--only", nargs="*", default=[""], help="parts of contestants' names")
    parser.add_argument("--first", action="store_true", help="a first step's seconds instead")
    parser.add_argument("--commit", help="the commit, where there is no git")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    results = load("profiles", arguments.out)
    for shape in SHAPES.values():
        if not any(gpu.is_meant(shape.name, one) for one in arguments.shapes):
            continue
        stored = results.setdefault(shape.name, {})
        stored["provenance"] = provenance(arguments.commit)
        if arguments.first:
            stored["first"] = first_step(shape)
            save("profiles", results, arguments.out)
            print(shape.name, stored["first"], flush=True)
            return
        for name in NAMES:
            if gpu.left_out(name, shape) or not any(part in name for part in arguments.only):
                continue
            try:
                stored[name] = measure(name, shape)
                told = stored[name]["kinds"] | {"at peak": stored[name]["memory"]["above_gib"]}
            except Exception as error:
                stored[name] = told = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
            save("profiles", results, arguments.out)
            print(shape.name, name, told, flush=True)


if __name__ == "__main__":
    main()
