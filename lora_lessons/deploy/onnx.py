"""ONNX of a decoder with its adapter merged: token numbers in, logits out, any batch and length.

The older exporter of PyTorch traces the model. It cannot trace transformers' default attention and
mask, so attention is the plain one, and the causal mask and the positions are made here.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..storage import write_whole
from .sources import ExportError, Source, merged

ADVICE = "writing ONNX needs the package onnx: pip install 'lora-lessons[onnx]'"
OPSET = 17


class Logits(nn.Module):
    """ids (batch, T) -> logits (batch, T, vocabulary), without a cache or padding."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of all positions."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        later = positions[None, :] > positions[:, None]  # (T, T): what a token must not see
        mask = torch.where(later, torch.finfo(torch.float32).min, 0.0)[None, None]
        out = self.model(
            input_ids=ids,
            attention_mask={"full_attention": mask},
            position_ids=positions[None],
            use_cache=False,
        )
        return out.logits


def installed() -> bool:
    """Whether the package onnx can be imported."""
    return importlib.util.find_spec("onnx") is not None


def write_onnx(source: Source, path: str | Path) -> Path:
    """Merge, and write the model to `path`, whole or not at all.

    Raises ExportError without the package onnx, and for a model that is no plain decoder.
    """
    if not installed():
        raise ExportError(ADVICE)
    config = source.model.config
    if getattr(config, "layer_types", None) is None or set(config.layer_types) != {
        "full_attention"
    }:
        raise ExportError(
            f"only decoders with full attention in all layers are written as ONNX; this is a "
            f"{config.model_type!r}"
        )
    model = merged(source).float().eval()
    model.set_attn_implementation("eager")
    path = Path(path)
    write_whole({path: lambda temporary: _export(Logits(model), temporary)})
    return path


def _export(module: nn.Module, path: Path) -> None:
    ids = torch.zeros(2, 8, dtype=torch.long)
    free = {0: "batch", 1: "length"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns that it is the older one
        torch.onnx.export(
            module,
            (ids,),
            str(path),
            input_names=["ids"],
            output_names=["logits"],
            dynamic_axes={"ids": free, "logits": free},
            opset_version=OPSET,
            dynamo=False,
        )


def run_onnx(path: str | Path, ids: Tensor) -> Any:
    """The logits of a file, by onnxruntime on the CPU. Raises ImportError without it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"ids": ids.numpy()})[0]
