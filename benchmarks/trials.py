"""Changes of the fast path that are tried, beside the path as it is, in one run on one GPU.

    python benchmarks/trials.py                      # 8 B and 1 B, results/trials.json
    python benchmarks/trials.py --shapes 1B --turns 3


A trial is the compiled and captured step with one part of `train/fast/` replaced. As it is and as
tried take turns, twice by default; a ratio below 1 says that the trial is faster. What pays
everywhere is moved into `train/fast/`; what was there before stays here as the trial.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.common import RESULTS, SHAPES, load, provenance, save, summary
from benchmarks.gpu import is_meant, measure
from lora_lessons.train import step as step_module
from lora_lessons.train.fast import fused
from lora_lessons.train.fast.fused import add_product, scaled

AS_WRITTEN = fused.LoraProduct  # the name is replaced while a trial runs
OURS, AS_IT_IS = "ours, compiled and captured", "as it is"


class ThinLast(AS_WRITTEN):
    """`LoraProduct` with the wide product first and the thin one added: one more pass over h."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        W: Tensor,
        b: Tensor | None,
        A: Tensor,
        B: Tensor,
        scaling: float,
        p: float,
        c: Tensor | None,
    ) -> Tensor:
        """h = W x + b, then + s B A dropout(x)."""
        dropped, mask = torch.native_dropout(x, p, True) if p > 0 else (x, None)
        thin = scaled(F.linear(dropped, A, c), scaling)  # (N, r)
        for_A = x if ctx.needs_input_grad[3] else None
        ctx.save_for_backward(for_A, thin, W, A, B, *([] if mask is None else [mask]))
        ctx.scaling, ctx.p = scaling, p
        return add_product(F.linear(x, W, b), thin, B.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients by x, b, A and B; dx begins with the wide product too."""
        x, thin, W, A, B, *rest = ctx.saved_tensors
        if rest:
            return AS_WRITTEN.backward(ctx, g)
        for_x, _, for_b, for_A, for_B = ctx.needs_input_grad[:5]
        u = scaled(torch.mm(g, B), ctx.scaling)  # (N, r)
        dA = torch.mm(u.t(), x) if for_A else None  # (r, in)
        dx = add_product(torch.mm(g, W), u, A) if for_x else None  # (N, in)
        dB = torch.mm(g.t(), thin) if for_B else None  # (out, r)
        return dx, None, g.sum(0) if for_b else None, dA, dB, None, None, None


TRIALS: dict[str, tuple[Any, str, Any]] = {  # what each puts in place of which name
    "thin product last": (fused, "LoraProduct", ThinLast),
    "NF4 layers as written": (step_module, "fused_layers_on_codes", contextlib.nullcontext),
}


def is_about(trial: str, shape: Any) -> bool:
    """Whether a shape has what the trial changes."""
    return ("NF4" in trial) == shape.four_bits


@contextlib.contextmanager
def tried(name: str) -> Iterator[None]:
    """Inside, the step computes as the trial says."""
    if name == AS_IT_IS:
        yield
        return
    with mock.patch.object(*TRIALS[name]):
        yield


def compare(
    shape: Any, turns: int, only: Sequence[str], write: Callable[[dict[str, Any]], None]
) -> dict[str, dict[str, Any]]:
    """A row for each trial and for the path as it is; one that fails has its reason."""
    trials = [name for name in TRIALS if is_about(name, shape) and any(p in name for p in only)]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (AS_IT_IS, *trials)}
    failed: dict[str, dict[str, Any]] = {}
    for name in [*found] * turns:
        if name in failed:
            continue
        try:
            with tried(name):
                found[name].append(measure(OURS, shape))
        except Exception as error:
            failed[name] = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
            if isinstance(error, torch.AcceleratorError):
                break
        rows = {n: failed.get(n) or summary(t) for n, t in found.items() if t or n in failed}
        write(rows)
    return rows


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shapes", nargs="*", default=["8B 4x2048", "1B"])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[""], help="parts of trials' names")
    parser.add_argument("--commit", help="the commit, where there is no git")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    results = load("trials", arguments.out)
    for name, shape in SHAPES.items():
        if not any(is_meant(name, one) for one in arguments.shapes):
            continue
        started = time.perf_counter()
        about = provenance(arguments.commit)

        def write(rows: dict[str, Any], name: str = name, about: dict[str, Any] = about) -> None:
            results[name] = {"provenance": about, "rows": rows}
            save("trials", results, arguments.out)

        rows = compare(shape, arguments.turns, arguments.only, write)
        unit = rows.get(AS_IT_IS, {}).get("seconds", float("nan"))
        for one, row in rows.items():
            said = row.get("failed") or (
                f"{1e3 * row['seconds']:8.2f} ms {row['seconds'] / unit:6.3f}  spread "
                f"{row['spread']:.3f}  loss {row['loss']:.4f}  {row['peak_gib']:.2f} GiB"
            )
            print(f"{name:28} {one:28} {said}", flush=True)
        print(f"  {name} took {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
