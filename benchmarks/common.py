"""What the benchmarks share: shapes of models, medians, and results with provenance."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lora_lessons.storage import write_whole

RESULTS = Path(__file__).parent / "results"


@dataclasses.dataclass(frozen=True)
class Shape:
    """A decoder with random weights, and the batch it is trained on."""

    name: str
    family: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    batch: int
    length: int
    tied: bool = True
    four_bits: bool = False  # the base in NF4 with double quantization, by bitsandbytes
    recompute: bool = False  # gradient checkpointing, of every contestant

    def config(self) -> Any:
        """The model's sizes, as transformers names them."""
        import transformers

        return getattr(transformers, f"{self.family}Config")(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.feed_forward,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            max_position_embeddings=max(2048, self.length),
            tie_word_embeddings=self.tied,
            use_cache=False,
        )

    def build(self, device: str, dtype: torch.dtype) -> nn.Module:
        """The model, made on the device itself: a 1 B model takes minutes on the CPU."""
        import transformers

        config = self.config()
        torch.manual_seed(0)
        kind = getattr(transformers, f"{self.family}ForCausalLM")
        with torch.device(device), default_dtype(dtype if self.four_bits else torch.float32):
            model = kind(config)
        return in_four_bits(model, device) if self.four_bits else model.to(dtype)

    def batches(self, device: str, count: int = 4) -> list[dict[str, torch.Tensor]]:
        """Random tokens, the same for every contestant."""
        draw = torch.Generator().manual_seed(1)
        size = (count, self.batch, self.length)
        ids = torch.randint(0, self.vocabulary, size, generator=draw).to(device)
        return [{"input_ids": one, "labels": one.clone()} for one in ids]


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """New weights are of this dtype inside: an 8 B model in float32 would be 32 GB on its way."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def in_four_bits(model: nn.Module, device: str) -> nn.Module:
    """The model with its blocks' linear layers as bitsandbytes' in NF4; embedding and head stay."""
    import bitsandbytes as bnb

    how = {"compress_statistics": True, "quant_type": "nf4"}
    for parent in list(model.model.layers.modules()):
        for name, linear in list(parent.named_children()):
            if type(linear) is not nn.Linear:
                continue
            sizes = linear.in_features, linear.out_features, linear.bias is not None
            with torch.device("meta"):  # its own first values would be drawn on the CPU: a minute
                layer = bnb.nn.Linear4bit(*sizes, compute_dtype=linear.weight.dtype, **how)
            layer.bias = linear.bias
            weight = bnb.nn.Params4bit(linear.weight.detach(), requires_grad=False, **how)
            layer.weight = weight.to(device)  # the move quantizes
            setattr(parent, name, layer)
    model.is_loaded_in_4bit = True  # where PEFT looks
    return model


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("5M 16x128", "Qwen2", 256, 6, 8, 4, 704, 4096, 16, 128),
        Shape("135M 8x128", "Llama", 576, 30, 9, 3, 1536, 49152, 8, 128),
        Shape("135M 32x256", "Llama", 576, 30, 9, 3, 1536, 49152, 32, 256),
        Shape("1B 8x2048", "Llama", 2048, 16, 32, 8, 8192, 128256, 8, 2048),
        *(
            Shape(
                *(f"8B 4x2048{', NF4' * four_bits}{', recomputing' * recompute}", "Llama"),
                *(4096, 32, 32, 8, 14336, 128256, 4, 2048, False, four_bits, recompute),
            )
            for four_bits in (False, True)
            for recompute in (False, True)
        ),
        Shape(
            *("8B 1x16384, NF4, recomputing", "Llama"),
            *(4096, 32, 32, 8, 14336, 128256, 1, 16384, False, True, True),
        ),
    )
}


def summary(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """One row from a contestant's turns: the median of all rounds, the first turn's cold start.

    Turns, because a machine's speed drifts; the median, because some round is always disturbed.
    """
    seconds = [one for turn in turns for one in turn["seconds"]]
    return {
        "seconds": statistics.median(seconds),
        "spread": max(seconds) / min(seconds),
        "loss": turns[-1]["loss"],
        "peak_gib": max(turn["peak_gib"] for turn in turns),
        "reserved_gib": max(turn["reserved_gib"] for turn in turns),
        **{key: turns[0][key] for key in ("first", "made") if key in turns[0]},
    }


def synchronize() -> None:
    """Wait until the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def provenance(at: str | None = None) -> dict[str, Any]:
    """Where and with what a result was measured; `at` is the commit where there is no git."""
    on_cuda = torch.cuda.is_available()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if on_cuda else processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "peft": version("peft"),
        "commit": at or commit(),
    }


def version(name: str) -> str:
    """A library's version: of what is imported, else of what would be."""
    if name in sys.modules:
        return str(sys.modules[name].__version__)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return "not installed"


def processor() -> str:
    """The processor's name, as the system knows it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str:
    """The commit that is measured, if this is a git checkout."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=RESULTS, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def load(name: str, folder: Path = RESULTS) -> dict[str, Any]:
    """The results stored so far: a run of some shapes replaces those alone. Empty: none."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def save(name: str, results: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write results as JSON, whole or not at all."""
    path = folder / f"{name}.json"
    write_whole({path: (json.dumps(results, indent=1) + "\n").encode()})
    return path


def table(title: str, rows: dict[str, dict[str, Any]], reference: str) -> str:
    """Rows as text: milliseconds, the ratio to `reference`, loss, memory, time to first step."""
    lines = [title, f"  {'':38} {'ms':>8} {'ratio':>7} {'loss':>8} {'GiB':>6} {'first s':>8}"]
    unit = rows.get(reference, {}).get("seconds", float("nan"))
    for name, row in rows.items():
        if "failed" in row:
            lines.append(f"  {name:38} {row['failed']}")
            continue
        lines.append(
            f"  {name:38} {row['seconds'] * 1e3:8.2f} {row['seconds'] / unit:7.3f}"
            f" {row['loss']:8.4f} {row['peak_gib']:6.2f} {row['first']:8.2f}"
        )
    return "\n".join(lines)
