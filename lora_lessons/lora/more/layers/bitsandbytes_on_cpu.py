"""What bitsandbytes 0.50 does on a CPU that would spoil training, put right or said.

On a CPU with AVX512-BF16 a `Linear4bit` that is called in eval mode lays its codes out anew, for
products in bfloat16 that give x no gradient. They stay so: whoever evaluates once and trains on
loses the gradients of all layers before it. Layers of a model with adapters are kept from it.

And rows that blocks straddle are decoded wrongly by its compiled code on some CPUs.
"""

from __future__ import annotations

import copy
import functools
import warnings
from typing import Any

import torch
from torch import nn

from ....errors import PeftWarning
from ...plugs import LAYERS_AROUND
from . import quantized


def keep_trainable(model: nn.Module) -> None:
    """Keep each `Linear4bit` of a model in the layout that it is trained in; warn of bad rows."""
    kind = quantized.bitsandbytes().nn.Linear4bit
    layers: dict[str, Any] = {
        n.removesuffix(".base_layer"): m for n, m in model.named_modules() if isinstance(m, kind)
    }
    packed = [name for name, layer in layers.items() if unpack(layer)]
    for layer in layers.values():
        layer.support_avx512bf16_for_cpu = False  # else its first call in eval mode packs it
    if packed:
        _warn(
            f"{packed[0]} and {len(packed) - 1} other layers in 4 bits had been used in eval mode, "
            "for which bitsandbytes rounded their scales to bfloat16. They can be trained again, "
            "with the rounded scales: to have the exact ones load the base anew, and add the "
            "adapter before its first use."
        )
    wrong = [name for name, layer in layers.items() if is_misread(layer)]
    if wrong:
        layer = layers[wrong[0]]
        _warn(
            f"bitsandbytes decodes rows of {layer.in_features} numbers wrongly on this CPU, where "
            f"a block of {layer.weight.blocksize} goes across two of them: {wrong[0]} and "
            f"{len(wrong) - 1} other layers do not compute here what they do on a GPU."
        )


def unpack(layer: Any) -> bool:
    """Give a layer the layout of training back, as a new Parameter; False where it has it."""
    old = layer.weight
    if not getattr(old.quant_state, "packing_format_for_cpu", False):
        return False
    bnb = quantized.bitsandbytes()
    state = copy.copy(old.quant_state)
    scales = state.absmax.T.reshape(-1).float()  # (in / block, out) -> one for each block
    state.original_nested = False  # nor are the scales rounded to 8 bits once more
    codes, state = bnb.functional._convert_weight_packed_for_cpu_inverse(old.data, state)
    state.absmax, state.offset, state.state2 = scales, None, None
    layer.weight = bnb.nn.Params4bit(
        codes,
        requires_grad=False,
        quant_state=state,
        blocksize=old.blocksize,
        compress_statistics=False,
        quant_type=old.quant_type,
        quant_storage=old.quant_storage,
        module=layer,
        bnb_quantized=True,
    )
    layer.quant_state = state
    return True


def is_misread(layer: Any) -> bool:
    """Whether a quantized layer's rows are decoded wrongly where it is."""
    state = layer.weight.quant_state
    if state is None or layer.weight.device.type != "cpu":
        return False
    return not decodes(state.shape[1], state.blocksize, state.quant_type)


@functools.cache
def decodes(columns: int, block: int, quant_type: str) -> bool:
    """Whether a matrix of such rows comes back, tried with blocks of one value, which is exact."""
    functional = quantized.bitsandbytes().functional
    values = torch.arange(1.0, 4 * columns // block + 2, device="cpu").repeat_interleave(block)
    weight = values[: 4 * columns].view(4, columns)
    codes, state = functional.quantize_4bit(weight, quant_type=quant_type, blocksize=block)
    return torch.equal(functional.dequantize_4bit(codes, state), weight)


def _warn(message: str) -> None:
    warnings.warn(message, PeftWarning, stacklevel=6)


LAYERS_AROUND[quantized.Linear4bit] = keep_trainable  # also where others have the adapters
