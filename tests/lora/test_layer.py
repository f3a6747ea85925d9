"""The LoRA layer's invariants as properties, for every layer type and variant, in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import lora_lessons as ll
from tests.parity.models import LAYERS, LayerModel

VARIANTS = ({}, {"use_dora": True}, {"use_rslora": True}, {"lora_bias": True})
MERGEABLE = [kind for kind in LAYERS if kind != "grouped"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:LoRA adapter added to ConvNd layer with groups"),
    pytest.mark.filterwarnings("ignore:r=.* is above the size of"),
    pytest.mark.filterwarnings("ignore:.lora_bias=True. was passed"),
]


def make(kind: str, **fields) -> tuple[ll.PeftModel, Tensor]:
    """A model of one float64 layer with an adapter, and an input."""
    base = LayerModel(kind).double()
    x = base.example()
    config = {"r": 2, "lora_alpha": 7, "target_modules": ["layer"], **fields}
    config["fan_in_fan_out"] = kind == "hf_conv1d"
    torch.manual_seed(1)
    model = ll.get_peft_model(base, ll.LoraConfig(**config))
    return model.train(), x.double() if x.is_floating_point() else x


def layer_of(model: ll.PeftModel) -> ll.LoraLayer:
    return model.base_model.model.layer


def allowed(kind: str, variant: dict) -> bool:
    return not (kind == "embedding" and variant.get("lora_bias"))


CASES = [(k, v) for k in LAYERS for v in VARIANTS if allowed(k, v)]


@pytest.mark.parametrize(("kind", "variant"), CASES)
def test_identity_at_init(kind, variant):
    model, x = make(kind, **variant)
    torch.testing.assert_close(model(x), LayerModel(kind).double()(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "variant"), CASES)
def test_the_first_gradient_reaches_one_factor_only(kind, variant):
    model, x = make(kind, **variant)
    model(x).square().sum().backward()
    A, B = (getattr(part, "weight", part) for part in layer_of(model).adapter("default")[1:3])
    if kind == "embedding":  # there A is the factor that starts at zero
        A, B = B, A
    assert not A.grad.any()
    assert B.grad.any()


@pytest.mark.parametrize(("kind", "variant"), [c for c in CASES if c[0] in MERGEABLE])
def test_merged_equals_unmerged(kind, variant):
    if kind == "linear_without_bias" and variant.get("lora_bias"):
        return  # nothing to merge that bias into: refused, see test_merge
    model, x = make(kind, init_lora_weights=False, **variant)
    y = model.eval()(x)
    model.merge_adapter()
    torch.testing.assert_close(model(x), y, rtol=1e-9, atol=1e-9)
    model.unmerge_adapter()
    assert torch.equal(model(x), y)
    torch.testing.assert_close(model.merge_and_unload()(x), y, rtol=1e-9, atol=1e-9)


def swap(model: nn.Module, values: tuple[Tensor, ...]):
    """A function of the adapter's tensors alone, for gradcheck."""
    names = [n for n, p in model.named_parameters() if p.requires_grad]

    def function(*tensors: Tensor, x: Tensor) -> Tensor:
        return torch.func.functional_call(model, dict(zip(names, tensors, strict=True)), (x,))

    return function


@pytest.mark.parametrize(("kind", "variant"), CASES)
def test_gradients_against_finite_differences(kind, variant):
    if variant.get("use_dora"):
        return  # its norm is a constant for the gradient: see test_dora
    model, x = make(kind, init_lora_weights=False, **variant)
    values = tuple(
        p.detach().clone().requires_grad_() for p in model.parameters() if p.requires_grad
    )
    function = swap(model, values)
    assert torch.autograd.gradcheck(lambda *v: function(*v, x=x), values, fast_mode=True)


@pytest.mark.parametrize("kind", [k for k in LAYERS if k != "embedding"])
def test_gradients_of_the_input(kind):
    model, x = make(kind, init_lora_weights=False)
    assert torch.autograd.gradcheck(model, (x.clone().requires_grad_(),), fast_mode=True)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(MERGEABLE),
    st.integers(1, 6),
    st.floats(0.1, 50),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_the_update_is_linear_in_alpha_and_of_rank_r(kind, r, alpha, use_rslora, seed):
    def delta(alpha: float) -> Tensor:
        torch.manual_seed(seed)
        fields = {"r": r, "lora_alpha": alpha, "use_rslora": use_rslora}
        model, _ = make(kind, init_lora_weights=False, **fields)
        return layer_of(model).get_delta_weight("default")

    one, two = delta(alpha), delta(2 * alpha)
    torch.testing.assert_close(two, 2 * one)
    assert torch.linalg.matrix_rank(one.flatten(1) if kind != "embedding" else one.T) <= r


def test_several_adapters_add_up():
    model, x = make("linear", init_lora_weights=False)
    fields = {"r": 3, "target_modules": ["layer"], "init_lora_weights": False}
    model.add_adapter("other", ll.LoraConfig(**fields), autocast_adapter_dtype=False)
    model.set_adapter(["default", "other"])
    layer = layer_of(model)
    updates = [layer.get_delta_weight(name) for name in ("default", "other")]
    weight = layer.weight + sum(updates)
    torch.testing.assert_close(layer(x), x @ weight.T + layer.bias)


def test_dropout_acts_on_the_update_alone_and_only_in_training():
    model, x = make("linear", init_lora_weights=False, lora_dropout=0.5)
    layer = layer_of(model)
    base = layer.base_layer(x)
    drawn = [layer(x) - base for _ in range(400)]
    exact = layer.eval()(x) - base
    assert not torch.equal(drawn[0], drawn[1])
    mean = torch.stack(drawn).mean(0)
    spread = torch.stack(drawn).std(0) / 400**0.5
    assert ((mean - exact).abs() < 5 * spread + 1e-9).all()


def test_scales_can_be_set_and_reset():
    model, _ = make("linear", use_rslora=True)
    layer = layer_of(model)
    start = layer.scaling["default"]
    assert start == pytest.approx(7 / 2**0.5)
    layer.set_scale("default", 3)
    assert layer.scaling["default"] == pytest.approx(3 * start)
    layer.scale_layer(2)
    layer.unscale_layer(4)
    assert layer.scaling["default"] == pytest.approx(1.5 * start)
    layer.unscale_layer()
    assert layer.scaling["default"] == start


def test_a_layer_can_be_made_by_hand():
    base = nn.Linear(7, 5)
    layer = ll.LoraLinear(base, r=3, lora_alpha=6, lora_dropout=0.1)
    assert (layer.r, layer.scaling) == ({"default": 3}, {"default": 2.0})
    assert not base.weight.requires_grad
    assert layer.adapter("default").A.weight.shape == (3, 7)


def test_low_precision_bases_have_float32_adapters_and_keep_their_output_dtype():
    base = LayerModel("linear").bfloat16()
    config = ll.LoraConfig(r=2, target_modules=["layer"], init_lora_weights=False)
    model = ll.get_peft_model(base, config)
    assert layer_of(model).lora_A["default"].weight.dtype == torch.float32
    assert model(base.example().bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("base", [nn.Embedding(3, 4), nn.Conv1d(3, 4, 1), nn.ReLU(), 3])
def test_what_is_no_linear_layer_is_named(base):
    with pytest.raises(TypeError, match=f"wraps a linear layer, and not {type(base).__name__}"):
        ll.LoraLinear(base, r=2)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"use_dora": True}, TypeError, r"Linear\(\) got a config and use_dora beside it"),
        ({"bias": "all", "init": 1}, TypeError, "got a config and bias, init beside it"),
        ({"r": 0}, ValueError, "`r` should be a positive integer value but .* passed is 0"),
    ],
)
def test_nothing_that_is_given_beside_a_config_is_swallowed(given, error, message):
    config = ll.LoraConfig(r=2, lora_alpha=4)
    with pytest.raises(error, match=message):
        ll.LoraLinear(nn.Linear(3, 4), "default", config, **given)
