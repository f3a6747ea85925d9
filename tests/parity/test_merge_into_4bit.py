"""PEFT's merge into bitsandbytes' 4 bits is what lesson 12 measures as "coded again", bit for bit.

On a CPU, with rows of whole blocks; bitsandbytes is an extra.
"""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn

from lora_lessons.base.quantize import fake_quantize

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not importlib.util.find_spec("bitsandbytes"), reason="needs bitsandbytes"),
    pytest.mark.filterwarnings("ignore"),  # of other packages
]
OUT, IN, RANK = 128, 256, 4


@pytest.fixture
def adapted():
    """A model of one NF4 layer, adapted by PEFT."""
    import bitsandbytes
    from peft import LoraConfig, get_peft_model

    model = nn.Module()
    layer = bitsandbytes.nn.Linear4bit(
        IN, OUT, bias=False, compute_dtype=torch.float32, compress_statistics=False,
        quant_type="nf4",
    )  # fmt: skip
    weight = 0.02 * torch.randn(OUT, IN, generator=torch.Generator().manual_seed(0))
    layer.weight = bitsandbytes.nn.Params4bit(
        weight, requires_grad=False, compress_statistics=False, quant_type="nf4"
    )
    model.linear = layer.to("cpu")
    model.is_loaded_in_4bit = True  # PEFT asks this before it takes the layer for one of 4 bits
    return get_peft_model(model, LoraConfig(r=RANK, lora_alpha=8, target_modules=["linear"]))


def decoded(layer):
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(layer.weight.data, layer.weight.quant_state)


@pytest.mark.parametrize(("size", "lost"), [(0.1, (0.05, 0.5)), (0.003, (0.8, 2.0))])
def test_pefts_merge_codes_again_and_loses_a_small_update(adapted, size, lost):
    layer = adapted.base_model.model.linear
    gen = torch.Generator().manual_seed(1)
    with torch.no_grad():
        B = layer.lora_B["default"].weight
        B.copy_(size * torch.randn(B.shape, generator=gen))
    before, update = decoded(layer.base_layer), layer.get_delta_weight("default").detach()
    adapted.merge_adapter()
    after = decoded(layer.base_layer)
    assert torch.equal(after, fake_quantize(before + update))
    share = ((after - before - update).norm() / update.norm()).item()
    assert lost[0] < share < lost[1]
