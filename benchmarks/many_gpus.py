"""Training on several GPUs of one machine: rates, memory, losses, and a run that is killed.

    python benchmarks/many_gpus.py                      # on all GPUs, results/many_gpus.json
    python benchmarks/many_gpus.py --gpus 2 --only ddp  # cases, by parts of their names
    python benchmarks/many_gpus.py --small --gpus 2     # the same code, tiny and on the CPU
    python benchmarks/many_gpus.py --predict            # predicted memory beside the measured

Every case runs under torchrun in processes of its own, so that none has memory of another. Results
are written case by case. A case that fails has its reason in place of numbers, and the rest goes
on; the command then ends with 1.

- ddp: `fit`'s step of the 1 B shape, 8 x 2048 on each GPU, on 1, 2, 4, ... GPUs. Weak scaling is
  the rate of N GPUs by N times that of one. The first losses stand beside those of one process
  that has the same global batches.
- sharded: the 8 B and the 70 B shape, random weights, a part of every weight on each GPU.
- killed: a process dies at step 20 of 40, and the run goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.common import RESULTS, load, save

CASES = Path(__file__).with_name("many_gpus_cases.py")
SECONDS = 150  # a case may take, imports included
Case = tuple[int, str, dict[str, Any]]  # processes, name in `many_gpus_cases`, its options


def cases(gpus: int, folder: str) -> dict[str, Case]:
    """What is run on `gpus` GPUs, in the order of its worth."""
    counts = sorted({1, gpus, *(2**i for i in range(1, 10) if 2**i < gpus)})
    found: dict[str, Case] = {f"ddp, {n}": (n, "data_parallel", {}) for n in counts}
    several = counts[1:]
    found |= {f"one process, batch of {n}": (1, "one_process", {"count": n}) for n in several}
    found |= {
        f"sharded {size}, {gpus}": (gpus, "sharded", {"size": size}) for size in ("8B", "70B")
    }
    found["killed"] = (gpus, "killed", {"folder": folder})
    found["resumed"] = (gpus, "resumed", {"folder": folder})
    found |= {
        f"ddp, {n}, not captured": (n, "data_parallel", {"capture": False}) for n in several[-1:]
    }
    return found


def run_case(case: Case, small: bool, commit: str | None, folder: Path) -> dict[str, Any]:
    """What a case's processes found, or {"failed": why}."""
    processes, name, options = case
    out = folder / "found.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), str(CASES), name, "--out", str(out)]
    command += ["--options", json.dumps(options), *["--small"] * small]
    command += ["--commit", commit] if commit else []
    environment = {"OMP_NUM_THREADS": "8", **os.environ}
    with (folder / "log").open("w+") as log:
        child = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            code = child.wait(SECONDS * (1 + small))
        except subprocess.TimeoutExpired:
            return {"failed": f"took more than {SECONDS} s", "log": tail(log)}
        finally:
            end(child)
        if name == "killed":  # it must not end well, and by nothing else than the kill
            return {} if code and "SIGKILL" in tail(log, 10**6) else failure(log)
        return json.loads(out.read_text()) if code == 0 and out.exists() else failure(log)


def end(child: subprocess.Popen) -> None:
    """No process of the case goes on: the next one shall have the GPUs to itself."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    child.wait()


def tail(log: Any, size: int = 2000) -> str:
    """The end of what a case printed."""
    log.seek(0)
    return str(log.read())[-size:]


def failure(log: Any) -> dict[str, Any]:
    """Why a case failed: the first error's own line, and the end of what was printed."""
    lines = tail(log, 10**6).splitlines()
    errors = [one for one in lines if re.match(r"(\w+\.)*\w*(Error|Exception)\b", one)]
    return {"failed": (errors or lines or ["nothing was printed"])[0][:300], "log": tail(log)}


def compared(results: dict[str, Any]) -> None:
    """Weak scaling, and how far losses are from one process's, wherever both are there."""
    for name, row in results.items():
        if not name.startswith("ddp") or "failed" in row:
            continue
        count = row["provenance"]["processes"]
        alone = results.get("ddp, 1", {}).get("tokens_a_second")
        if alone and count > 1:
            row["weak_scaling"] = row["tokens_a_second"] / (count * alone)
        losses = results.get(f"one process, batch of {count}", {}).get("losses")
        if losses:
            pairs = zip(row["losses"], losses, strict=True)
            row["off"] = max(abs(mine - its) / its for mine, its in pairs)


def line(name: str, row: dict[str, Any]) -> str:
    """One case as text."""
    if "failed" in row:
        return f"  {name:26} FAILED: {row['failed']}"
    parts = [f"  {name:26}"]
    if "tokens_a_second" in row:
        parts.append(f"{1e3 * row['seconds']:9.1f} ms {row['tokens_a_second']:10.0f} tokens/s")
    if "weak_scaling" in row:
        parts.append(f"weak scaling {row['weak_scaling']:.3f}")
    if peak := row.get("memory", {}).get("peak_gib"):
        parts.append(f"peak {peak:.2f} GiB")
    if "predicted_gib" in row:
        parts.append(f"predicted {row['predicted_gib']:.2f}")
    if "captured" in row:
        parts.append("captured" if row["captured"] else f"eager: {row['why_not_captured']}")
    if "off" in row:
        parts.append(f"losses off by {row['off']:.1e}")
    return "  ".join(parts)


def predict(results: dict[str, Any], small: bool) -> None:
    """What `predict_memory` says of the sharded cases, on any machine."""
    from benchmarks.many_gpus_cases import ADAPTERS, shape_of
    from lora_lessons.lora.config import LoraConfig
    from lora_lessons.train.memory.predict import predict_memory

    for name, row in results.items():
        if name.startswith("sharded") and "failed" not in row:
            shape = shape_of(name.split()[1].strip(","), small)
            how = {"batch_size": shape.batch, "length": shape.length, "recompute": True}
            how["processes"] = row["provenance"]["processes"]
            estimate = predict_memory(shape.config(), LoraConfig(**ADAPTERS), **how)
            row["predicted_gib"] = estimate.peak / 2**30


def main() -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gpus", type=int, help="how many; all that there are")
    parser.add_argument("--only", nargs="*", default=[""], help="parts of cases' names")
    parser.add_argument("--small", action="store_true", help="tiny, on the CPU")
    parser.add_argument("--predict", action="store_true", help="run nothing, predict memory")
    parser.add_argument("--commit", help="the commit, where there is no git")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    # a part of the cases joins those that are stored
    results = load("many_gpus", arguments.out)
    if arguments.predict:
        predict(results, arguments.small)
    else:
        run_all(results, arguments)
    save("many_gpus", results, arguments.out)
    print(*(line(name, row) for name, row in results.items()), sep="\n")
    return int(any("failed" in row for row in results.values()))


def run_all(results: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Run the cases asked for, and write after each."""
    gpus = arguments.gpus or gpus_here()
    with tempfile.TemporaryDirectory() as folder:
        for name, case in cases(gpus, folder).items():
            if not any(part in name for part in arguments.only):
                continue
            started = time.perf_counter()
            row = run_case(case, arguments.small, arguments.commit, Path(folder))
            row["took"] = time.perf_counter() - started
            log = row.pop("log", "")
            results[name] = row
            compared(results)
            print(f"{line(name, row)}  took {row['took']:.0f} s", flush=True)
            print(log, file=sys.stderr, flush=True)
            save("many_gpus", results, arguments.out)


def gpus_here() -> int:
    """How many GPUs this machine has."""
    import torch

    return torch.cuda.device_count()


if __name__ == "__main__":
    sys.exit(main())
