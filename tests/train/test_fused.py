"""The fused product is LoRA's formula, with its gradients."""

from __future__ import annotations

import pytest
import torch
from models import batch, tiny_decoder
from torch.nn import functional as F

from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.layer import Linear
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.fast.blocks import compiler_settings
from lora_lessons.train.fast.fused import FusedLinear, LoraProduct, fused_layers, lora_product


def tensors(bias=True, dtype=torch.float64):
    """x, W, b, A, B of unequal sizes, and s = 7 / 3; W is frozen."""
    torch.manual_seed(0)
    sizes = {"x": (2, 5, 7), "W": (11, 7), "b": (11,), "A": (3, 7), "B": (11, 3)}
    made = {name: torch.randn(size, dtype=dtype) for name, size in sizes.items()}
    for name in ("x", "b", "A", "B"):
        made[name].requires_grad_()
    return [made[n] if bias or n != "b" else None for n in sizes] + [7 / 3]


def formula(x, W, b, A, B, scaling):
    return F.linear(x, W, b) + scaling * F.linear(F.linear(x, A), B)


@pytest.mark.parametrize("bias", [True, False])
def test_value_and_gradients_are_those_of_the_formula(bias):
    given = tensors(bias)
    wanted, got = formula(*given), lora_product(*given)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    trained = [t for t in given[:5] if t is not None and t.requires_grad]
    weights = torch.randn_like(wanted)
    expected = torch.autograd.grad((wanted * weights).sum(), trained)
    for a, b in zip(torch.autograd.grad((got * weights).sum(), trained), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_compiled_code_adds_the_thin_product_in_place_and_has_the_same_gradients(bias):
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    operations = []

    def compiler(graph, _):
        operations.extend(str(node.target) for node in graph.graph.nodes)
        return make_boxed_func(graph.forward)

    given = tensors(bias)
    compiled = torch.compile(lora_product, backend=aot_autograd(fw_compiler=compiler))
    trained = [t for t in given[:5] if t is not None and t.requires_grad]
    with compiler_settings():
        wanted, got = lora_product(*given), compiled(*given)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    expected = torch.autograd.grad(wanted.square().sum(), trained)
    for a, b in zip(torch.autograd.grad(got.square().sum(), trained), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert sum("auto_functionalized" in name for name in operations) == 2  # h, and dL/dx
    assert not any("add.Tensor" in name for name in operations)


def test_dropout_acts_on_the_adapters_input_alone_and_backward_sees_the_same_mask():
    x, W, b, A, B, scaling = tensors()
    torch.manual_seed(3)
    got = lora_product(x, W, b, A, B, scaling, p=0.4)
    torch.manual_seed(3)
    dropped, mask = torch.native_dropout(x.reshape(-1, 7), 0.4, True)
    wanted = F.linear(x, W, b) + scaling * F.linear(F.linear(dropped, A), B).view_as(got)
    assert 0 < mask.sum() < mask.numel()
    torch.testing.assert_close(got, wanted)
    for a, b in zip(
        torch.autograd.grad(got.square().sum(), (x, A, B)),
        torch.autograd.grad(wanted.square().sum(), (x, A, B)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_it_keeps_x_and_the_thin_product_alone():
    x, W, b, A, B, scaling = tensors()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda t: t):
        LoraProduct.apply(x.view(-1, 7), W, b, A, B, scaling, 0.0, None)
    weights = {W.data_ptr(), A.data_ptr(), B.data_ptr()}
    activations = [t.shape for t in kept if t is not None and t.data_ptr() not in weights]
    assert sorted(activations) == [(10, 3), (10, 7)]


def gradients(model, autocast=False):
    """All trained parameters' gradients as one vector."""
    model.zero_grad()
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        model(**batch()).loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


def random_adapters(**options):
    torch.manual_seed(1)
    config = LoraConfig(r=3, target_modules="all-linear", init_lora_weights=False, **options)
    return get_peft_model(tiny_decoder(), config).train()


@pytest.mark.parametrize("options", [{}, {"lora_dropout": 0.2}, {"bias": "lora_only"}])
def test_a_models_gradients_are_the_same_with_fused_layers(options):
    model = random_adapters(**options)
    plain = gradients(model)
    with fused_layers(model) as count:
        assert count == 14
        assert {type(m) for m in model.modules() if isinstance(m, Linear)} == {FusedLinear}
        fused = gradients(model)
    assert {type(m) for m in model.modules() if isinstance(m, Linear)} == {Linear}
    assert (fused - plain).norm() < 1e-5 * plain.norm()


def test_under_autocast_the_rounding_is_no_worse_than_that_of_plain_layers():
    model = random_adapters()
    exact, plain = gradients(model), gradients(model, autocast=True)
    with fused_layers(model):
        fused = gradients(model, autocast=True)
    assert 0 < (fused - exact).norm() < 1.2 * (plain - exact).norm()


def test_evaluation_disabling_and_merging_inside_work_as_ever():
    config = LoraConfig(r=3, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(tiny_decoder(), config)
    inputs = {"input_ids": batch()["input_ids"]}
    with torch.no_grad(), model.disable_adapter():
        base = model(**inputs).logits
    with torch.no_grad(), fused_layers(model):
        adapted = model(**inputs).logits
        model.train()
        with model.disable_adapter():
            torch.testing.assert_close(model(**inputs).logits, base)
        torch.testing.assert_close(model(**inputs).logits, adapted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(base, adapted)


@pytest.mark.parametrize("options", [{"use_dora": True}, {"lora_bias": True}])
def test_layers_that_are_more_than_lora_are_left_alone(options):
    config = LoraConfig(r=3, target_modules=["q_proj", "v_proj"], **options)
    model = get_peft_model(tiny_decoder(), config)
    with fused_layers(model) as count:
        assert count == 0
