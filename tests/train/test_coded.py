"""LoRA on weights of 4 bits, fused: the plain layer's function and gradients."""

from __future__ import annotations

import copy
import importlib.util
from unittest import mock

import pytest
import torch

from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.fast import coded

if importlib.util.find_spec("bitsandbytes") is None:
    pytest.skip("bitsandbytes is not installed", allow_module_level=True)

pytestmark = pytest.mark.quantized
DOUBLE = pytest.mark.parametrize("double", [True, False])
KIND = pytest.mark.parametrize("kind", ["nf4", "fp4"])


class Two(torch.nn.Module):
    """Two layers of unequal sizes, in 4 bits, the first with a bias."""

    def __init__(self, kind="nf4", double=True):
        super().__init__()
        import bitsandbytes as bnb

        torch.manual_seed(0)
        how = {"compute_dtype": torch.bfloat16, "quant_type": kind, "compress_statistics": double}
        self.up = bnb.nn.Linear4bit(64, 128, bias=True, **how)
        self.down = bnb.nn.Linear4bit(128, 64, bias=False, **how)
        self.bfloat16().to("cpu")

    def forward(self, x):
        return self.down(torch.tanh(self.up(x)))


def adapted(kind="nf4", double=True, targets=("up", "down"), **changes):
    config = LoraConfig(r=4, lora_alpha=10, target_modules=list(targets), **changes)
    model = get_peft_model(Two(kind, double), config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = (torch.randn_like(parameter) / 8).bfloat16()
    return model.train()


def result_and_gradients(model):
    torch.manual_seed(1)
    x = torch.randn(2, 5, 64, dtype=torch.bfloat16, requires_grad=True)
    h = model(x)
    h.float().square().sum().backward()
    return [h, x.grad, *(p.grad for p in model.parameters() if p.requires_grad)]


@KIND
@DOUBLE
def test_value_and_gradients_are_those_of_the_plain_layer(kind, double):
    plain = adapted(kind, double)
    model = copy.deepcopy(plain)
    wanted = result_and_gradients(plain)
    with (
        coded.fused_layers_on_codes(model) as count,
        mock.patch.object(
            coded.CodedLoraProduct, "apply", wraps=coded.CodedLoraProduct.apply
        ) as product,
    ):
        assert count == 2
        assert type(model.base_model.model.up) is coded.FusedLinear4bit
        got = result_and_gradients(model)
    assert product.call_count == 2
    assert type(model.base_model.model.up) is coded.Linear4bit
    for mine, right in zip(got, wanted, strict=True):
        assert torch.dist(mine.float(), right.float()) < 0.02 * right.float().norm()


@KIND
@DOUBLE
def test_codes_are_decoded_as_bitsandbytes_decodes_them(kind, double):
    for layer in (Two(kind, double).up, Two(kind, double).down):
        how, parts = coded.coding_of(layer)
        mine = coded.decode(parts, how, torch.bfloat16)
        assert torch.equal(mine, coded.Linear4bit.decoded(layer).bfloat16())
        assert mine.std() > 0


def test_the_compiler_sees_no_weight_in_floats():
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    from lora_lessons.train.fast.blocks import compiler_settings

    shapes, operations = [], []

    def compiler(graph, _):
        for node in graph.graph.nodes:
            operations.append(str(node.target))
            value = node.meta.get("val")
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                shapes.append(tuple(value.shape))
        return make_boxed_func(graph.forward)

    model = adapted()
    inner = model.base_model.model
    wanted = result_and_gradients(copy.deepcopy(model))
    with coded.fused_layers_on_codes(model), compiler_settings():
        torch._dynamo.reset()
        compiled = torch.compile(inner, backend=aot_autograd(fw_compiler=compiler))
        got = result_and_gradients(compiled)
    for mine, right in zip(got, wanted, strict=True):
        assert torch.dist(mine.float(), right.float()) < 0.02 * right.float().norm()
    assert sum("auto_functionalized" in name for name in operations) == 4  # two layers, both ways
    assert not {(128, 64), (64, 128)} & set(shapes)


def test_what_asks_for_the_plain_layer_gets_it():
    model = adapted()
    x = torch.randn(3, 64, dtype=torch.bfloat16)
    with torch.no_grad(), model.disable_adapter():
        off = model(x)
    with torch.no_grad(), coded.fused_layers_on_codes(model):
        with model.disable_adapter():
            assert torch.equal(model(x), off)
        assert not torch.equal(model(x), off)


@pytest.mark.parametrize(
    "changes", [{"use_dora": True}, {"lora_bias": True}], ids=["DoRA", "a bias of B"]
)
def test_layers_that_are_more_than_lora_stay(changes):
    with coded.fused_layers_on_codes(adapted(targets=["up"], **changes)) as count:
        assert count == 0


def test_a_copy_of_a_fused_layer_is_a_plain_one():
    model = adapted()
    with coded.fused_layers_on_codes(model):
        assert type(copy.deepcopy(model).base_model.model.up) is coded.Linear4bit
