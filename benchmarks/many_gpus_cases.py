"""The cases of `many_gpus.py`, each run by it under torchrun in processes of its own.

torchrun --standalone --nproc-per-node 2 benchmarks/many_gpus_cases.py data_parallel --out x.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.common import SHAPES, Shape, provenance, synchronize
from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.checkpoint import FILE, read
from lora_lessons.train.distributed import Processes, join
from lora_lessons.train.loop import fit
from lora_lessons.train.sharded import shard
from lora_lessons.train.step import training_step

R, LR, BATCHES, COMPARED = 16, 1e-3, 4, 24
ROUNDS, STEPS_A_ROUND = 5, 8
SHARDED_STEPS = 6
RUN_STEPS, CHECKPOINT_EVERY, KILLED_AT = 40, 8, 20
ADAPTERS = {"r": R, "lora_alpha": 32, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}

SIZES = {
    "1B": SHAPES["1B 8x2048"],
    "8B": SHAPES["8B 4x2048, recomputing"],
    "70B": Shape(
        *("70B 1x2048, recomputing", "Llama"),
        *(8192, 80, 64, 8, 28672, 128256, 1, 2048, False, False, True),
    ),
    "135M": SHAPES["135M 8x128"],
}
SMALL = Shape("small", "Llama", 32, 3, 4, 2, 48, 64, 2, 16, False)  # for a test on a CPU


def shape_of(size: str, small: bool) -> Shape:
    """The sizes of a case, or those of its test."""
    return SMALL if small else SIZES[size]


def own_device(small: bool) -> torch.device:
    """This process's GPU, or the CPU for a test."""
    if small:
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device


def batches_of(shape: Shape, processes: int) -> list[dict[str, torch.Tensor]]:
    """Batches for all processes together, the same for every number of calls."""
    draw = torch.Generator().manual_seed(1)
    size = (BATCHES, shape.batch * processes, shape.length)
    ids = torch.randint(0, shape.vocabulary, size, generator=draw)
    return [{"input_ids": one, "labels": one.clone()} for one in ids]


def on(device: torch.device, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch on a device."""
    return {name: value.to(device) for name, value in batch.items()}


@contextlib.contextmanager
def adapted_step(
    shape: Shape, device: torch.device, processes: Processes, how: dict[str, Any]
) -> Iterator[Any]:
    """The step that `fit` takes, on a model of random weights with new adapters."""
    base = shape.build(str(device), torch.bfloat16)
    torch.manual_seed(0)
    model = get_peft_model(base, LoraConfig(**ADAPTERS)).train()
    how = {"steps": 10**6, "lr": LR, "precision": "bf16"} | how
    with training_step(model, processes=processes, **how) as step:
        yield step


def data_parallel(small: bool, capture: bool = True) -> dict[str, Any]:
    """`fit`'s step on every GPU, its time and its first losses."""
    shape, device = shape_of("1B", small), own_device(small)
    processes = join(device)
    how = {"capture": "auto" if capture else False, "compile": not small}
    batches = [on(device, processes.share(one)) for one in batches_of(shape, processes.count)]
    started = time.perf_counter()
    with adapted_step(shape, device, processes, how) as step:
        losses = [step([batches[0]])]
        synchronize()
        first = time.perf_counter() - started
        losses += [step([batches[i % BATCHES]]) for i in range(1, COMPARED)]
        seconds = []
        for _ in range(ROUNDS):
            synchronize()
            started = time.perf_counter()
            for i in range(STEPS_A_ROUND):
                step([batches[i % BATCHES]])
            synchronize()
            seconds.append((time.perf_counter() - started) / STEPS_A_ROUND)
        found = {"captured": step.captured, "why_not_captured": step.why_not}
        found |= {"compiled": step.blocks.compiled, "memory": memory(processes)}
    tokens = shape.batch * shape.length * processes.count
    return found | {
        "shape": shape.name,
        "seconds": statistics.median(seconds),
        "spread": max(seconds) / min(seconds),
        "tokens_a_second": tokens / statistics.median(seconds),
        "first": first,
        "losses": torch.cat(losses).tolist(),
    }


def one_process(small: bool, count: int = 2) -> dict[str, Any]:
    """The losses of one process on the batches of `count`, their shares as micro-batches."""
    shape, device = shape_of("1B", small), own_device(small)
    shares = [Processes(rank, count) for rank in range(count)]
    batches = [[on(device, s.share(one)) for s in shares] for one in batches_of(shape, count)]
    with adapted_step(shape, device, Processes(), {"compile": not small}) as step:
        losses = [step(batches[i % BATCHES]) for i in range(COMPARED)]
        return {"shape": shape.name, "losses": torch.cat(losses).tolist()}


def memory(processes: Processes) -> dict[str, Any]:
    """The most that any process held, in GiB; on a CPU nothing is measured."""
    if not torch.cuda.is_available():
        return {"peak_gib": None, "reserved_gib": None}
    mine = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    peaks, reserved = zip(*processes.gather(mine), strict=True)
    return {"peak_gib": max(peaks) / 2**30, "reserved_gib": max(reserved) / 2**30}


def sharded(small: bool, size: str = "8B") -> dict[str, Any]:
    """A model of which each GPU keeps a part, made without numbers and filled as it is sharded."""
    import transformers

    shape, device = shape_of(size, small), own_device(small)
    processes = join(device)
    started = time.perf_counter()
    with torch.device("meta"):
        kind = transformers.AutoModelForCausalLM
        base = kind.from_config(shape.config(), dtype=torch.bfloat16)
        model = get_peft_model(base, LoraConfig(**ADAPTERS)).train()
    torch.manual_seed(0)
    shard(model)
    synchronize()
    filled = {"seconds": time.perf_counter() - started, **memory(processes)}
    if device.type == "cuda":
        filled["kept_gib"] = torch.cuda.memory_allocated() / 2**30
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    batches = [on(device, processes.share(one)) for one in batches_of(shape, processes.count)]
    losses, seconds, used = sharded_steps(model, batches, processes)
    finite = all(map(math.isfinite, losses))
    if not finite or max(losses) > 2 * math.log(shape.vocabulary):
        raise AssertionError(f"losses that no such model can have: {losses}")
    median = statistics.median(seconds[1:])
    return {
        "shape": shape.name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "filled": filled,
        "memory": used,
        "seconds": median,
        "first": seconds[0],
        "tokens_a_second": shape.batch * shape.length * processes.count / median,
        "losses": losses,
        "adapter": gathered(model, shape, processes),
    }


def sharded_steps(
    model: Any, batches: list[Any], processes: Processes
) -> tuple[list[float], list[float], dict[str, Any]]:
    """(the loss of each step, its seconds, and the memory at the end)."""
    losses, seconds = [], []
    how = {"steps": 10**6, "lr": LR, "precision": "bf16", "recompute": True, "capture": False}
    with training_step(model, processes=processes, compile=False, **how) as step:
        for i in range(SHARDED_STEPS):
            started = time.perf_counter()
            losses.append(step([batches[i % BATCHES]]).item())
            seconds.append(time.perf_counter() - started)
        return losses, seconds, memory(processes)


def gathered(model: Any, shape: Shape, processes: Processes) -> dict[str, Any]:
    """The adapter gathered on all processes and saved by one; its file is read and looked at."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    started = time.perf_counter()
    options = StateDictOptions(full_state_dict=True, ignore_frozen_params=True)
    state = get_model_state_dict(model, options=options)
    if processes.rank > 0:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, state_dict=state)
        return {"seconds": time.perf_counter() - started, **checked_adapter(Path(folder), shape)}


def checked_adapter(folder: Path, shape: Shape) -> dict[str, Any]:
    """Raise AssertionError unless a folder holds PEFT's names and shapes, and trained numbers."""
    from safetensors import safe_open

    path = folder / "adapter_model.safetensors"
    with safe_open(path, framework="pt") as file:
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        if shapes != adapter_shapes(shape):
            raise AssertionError(f"{path.name} holds other names or shapes than PEFT asks for")
        last = file.get_tensor(sorted(k for k in shapes if "lora_B" in k)[-1])
        if not (last.isfinite().all() and last.any()):
            raise AssertionError("a factor B of the saved adapter was not trained")
    return {"tensors": len(shapes), "mib": path.stat().st_size / 2**20}


def adapter_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Names and shapes of PEFT's file of an adapter on all linear layers of a Llama."""
    hidden, wide = shape.hidden, shape.feed_forward
    kv = hidden // shape.heads * shape.kv_heads
    sizes = {
        **{"self_attn.q_proj": (hidden, hidden), "self_attn.o_proj": (hidden, hidden)},
        **{"self_attn.k_proj": (hidden, kv), "self_attn.v_proj": (hidden, kv)},
        **{"mlp.gate_proj": (hidden, wide), "mlp.up_proj": (hidden, wide)},
        "mlp.down_proj": (wide, hidden),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(shape.layers):
        for name, (in_, out) in sizes.items():
            start = f"base_model.model.model.layers.{i}.{name}"
            shapes[f"{start}.lora_A.weight"], shapes[f"{start}.lora_B.weight"] = (R, in_), (out, R)
    return shapes


class Deadly(list):
    """Batches; the second process kills itself as it draws those of step `KILLED_AT` + 1."""

    path: Path | None = None  # the checkpoint that must be there first
    draws = 0

    def __getitem__(self, index: Any) -> Any:
        self.draws += 1
        if self.path and self.draws > KILLED_AT and os.environ["RANK"] == "1":
            while not self.path.exists():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def run(small: bool, folder: Path, killed: bool = False) -> list[float]:
    """The losses of 40 steps of `fit` with a checkpoint in `folder`."""
    shape, device = shape_of("135M", small), own_device(small)
    processes = join(device)
    base = shape.build(str(device), torch.float32 if small else torch.bfloat16)
    torch.manual_seed(0)
    model = get_peft_model(base, LoraConfig(**ADAPTERS | {"lora_dropout": 0.1}))
    batches = Deadly(batches_of(shape, processes.count))
    batches.path = folder / FILE if killed else None
    how = {"checkpoint": folder, "checkpoint_every": CHECKPOINT_EVERY, "deterministic": True}
    return fit(model, batches, steps=RUN_STEPS, lr=LR, progress=False, **how).losses


def killed(small: bool, folder: str) -> dict[str, Any]:
    """A run that does not come to its end: the second of its processes is killed."""
    run(small, Path(folder) / "killed", killed=True)
    raise AssertionError("nobody was killed")


def resumed(small: bool, folder: str) -> dict[str, Any]:
    """The run that was killed goes on, and the same run undisturbed beside it."""
    there = len(read(Path(folder) / "killed" / FILE)["history"]["losses"])
    again, whole = (run(small, Path(folder) / name) for name in ("killed", "whole"))
    off = max(abs(a - b) / b for a, b in zip(again, whole, strict=True))
    if len(again) != RUN_STEPS or off > 1e-5:
        raise AssertionError(f"{len(again)} losses, off by {off:.1e}: {again}, {whole}")
    return {"steps": RUN_STEPS, "resumed_from": there, "off": off, "losses": again}


CASES: dict[str, Callable[..., dict[str, Any]]] = {
    one.__name__: one for one in (data_parallel, one_process, sharded, killed, resumed)
}


def main() -> None:
    """Run one case; the first process writes what it found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--options", type=json.loads, default={}, help="JSON: the case's own")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--commit")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = CASES[arguments.case](arguments.small, **arguments.options)
    if int(os.environ.get("RANK", 0)) == 0:
        about = provenance(arguments.commit) | {"processes": int(os.environ.get("WORLD_SIZE", 1))}
        if dist.is_available() and torch.cuda.is_available():
            about["nccl"] = ".".join(map(str, torch.cuda.nccl.version()))
        arguments.out.write_text(json.dumps({"provenance": about} | found))


if __name__ == "__main__":
    main()
