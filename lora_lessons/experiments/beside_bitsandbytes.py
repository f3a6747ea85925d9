"""This package's 4 bits beside those of bitsandbytes, the library that QLoRA is run with.

The weights are sums of whole numbers: no function that processors round differently is in them. So
what bitsandbytes made of them, hashed, can be compared on a machine where it is not installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..base.nf4_linear import NF4Linear
from ..base.quantize import (
    BLOCK,
    NF4,
    dequantize,
    pack,
    quantize,
    quantize_scales,
    relative_error,
)
from ..seeding import generator

SHAPES = ((256, 256), (512, 704), (64, 4096))
DTYPES = ("float32", "bfloat16", "float16")
STRADDLED = (96, 48, 32)  # rows that are no whole number of blocks
ADVICE = "bitsandbytes is not installed: pip install 'lora-lessons[quantized]'"


def installed() -> bool:
    """Whether bitsandbytes can be imported."""
    return importlib.util.find_spec("bitsandbytes") is not None


def weights(shape: Sequence[int], dtype: str = "float32", seed: int = 0) -> Tensor:
    """Weights that look normal, the same bits on every machine: sums of 12 whole numbers."""
    draws = torch.randint(-1000, 1001, (12, *shape), generator=generator(seed))
    return (draws.sum(0).float() / 2**17).to(getattr(torch, dtype))


def digest(packed: Tensor) -> str:
    """The hash of some bytes."""
    return hashlib.sha256(packed.flatten().numpy().tobytes()).hexdigest()[:16]


def own_digest(shape: Sequence[int], dtype: str) -> str:
    """The hash of the codes that this package gives to `weights`."""
    return digest(pack(quantize(weights(shape, dtype)).codes))


def beside_bitsandbytes(
    shapes: Sequence[Sequence[int]] = SHAPES,
    dtypes: Sequence[str] = DTYPES,
    straddled: Sequence[int] = STRADDLED,
) -> dict[str, Any]:
    """How many of the table, codes, scales and decoded weights differ between the two, on a CPU.

    Raises ImportError where bitsandbytes is not installed.
    """
    if not installed():
        raise ImportError(ADVICE)
    with _quiet():
        import bitsandbytes
        from bitsandbytes import functional

        table = functional.get_4bit_type("nf4", device="cpu")
        return {
            "version": bitsandbytes.__version__,
            "table_differs": int((table != torch.tensor(NF4)).sum()),
            "codes": [_codes(functional, shape, dtype) for shape in shapes for dtype in dtypes],
            "scales": [_scales(functional, shape) for shape in shapes],
            "straddled": [_straddled(functional, columns) for columns in straddled],
            "layer": _layer(bitsandbytes),
        }


@contextmanager
def _quiet() -> Iterator[None]:
    """It logs that optional kernels are not there; they are not asked for."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


def _codes(functional: Any, shape: Sequence[int], dtype: str) -> dict[str, Any]:
    W = weights(shape, dtype)
    theirs, state = functional.quantize_4bit(W, quant_type="nf4", blocksize=BLOCK)
    ours = quantize(W)
    return {
        "shape": list(shape),
        "dtype": dtype,
        "bytes": theirs.numel(),
        "codes_differ": int((theirs.flatten() != pack(ours.codes)).sum()),
        "scales_differ": int((state.absmax != ours.absmax).sum()),
        "decoded_differ": int(
            (functional.dequantize_4bit(theirs, state) != dequantize(ours)).sum()
        ),
        "sha256": digest(theirs),
    }


def _scales(functional: Any, shape: Sequence[int]) -> dict[str, Any]:
    """Double quantization: 8-bit codes that sit on a midpoint may go either way."""
    W = weights(shape)
    _, state = functional.quantize_4bit(W, quant_type="nf4", compress_statistics=True)
    ours = quantize_scales(quantize(W).absmax)
    apart = (state.absmax.int() - ours.codes.int()).abs()
    return {
        "scales": len(ours.codes),
        "off_by_one": int((apart == 1).sum()),
        "off_by_more": int((apart > 1).sum()),
        "mean_differs": int(state.offset != ours.mean),
        "second_differs": int((state.state2.absmax != ours.absmax).sum()),
    }


def _straddled(functional: Any, columns: int) -> dict[str, Any]:
    """Rows that share blocks: the error of its codes decoded by it, and decoded by us."""
    W = weights((256, columns))
    theirs, state = functional.quantize_4bit(W, quant_type="nf4", blocksize=BLOCK)
    return {
        "columns": columns,
        "codes_differ": int((theirs.flatten() != pack(quantize(W).codes)).sum()),
        "error_theirs": relative_error(W, functional.dequantize_4bit(theirs, state)),
        "error_ours": relative_error(W, dequantize(quantize(W))),
    }


def _layer(bitsandbytes: Any) -> dict[str, float]:
    """The outputs and the gradients of x through its layer and ours, relative differences."""
    linear = nn.Linear(256, 96, bias=False)
    linear.weight.data.copy_(weights((96, 256)))
    theirs = bitsandbytes.nn.Linear4bit(256, 96, bias=False, quant_type="nf4")
    theirs.load_state_dict(linear.state_dict())
    results = []
    for layer in (theirs.to("cpu"), NF4Linear.from_linear(linear)):
        x = weights((8, 256), seed=1).requires_grad_()
        y = layer(x)
        y.backward(weights((8, 96), seed=2))
        results.append((y.detach(), x.grad))
    (y1, g1), (y2, g2) = results
    return {"output": relative_error(y1, y2), "gradient": relative_error(g1, g2)}
