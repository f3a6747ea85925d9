"""LoftQ: a rounded base and what rounding took, beside lesson 13's formula and PEFT's."""

from __future__ import annotations

import importlib.util
import json

import peft
import pytest
import torch
from torch import nn

import lora_lessons as ll
from lora_lessons.base.quantize import dequantize, fake_quantize, quantize
from lora_lessons.experiments import lesson13
from lora_lessons.lora.more.init.loftq import loftq_factors
from tests.lora.more.quantized_models import quietly
from tests.parity.models import LayerModel, Mlp

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
LOFTQ = {"target_modules": ["first", "second"], "r": 3, "init_lora_weights": "loftq"}


def adapted(build=Mlp, **fields):
    torch.manual_seed(1)
    return ll.get_peft_model(build(), ll.LoraConfig(**{**LOFTQ, **fields})).eval()


def layer(model, name="first"):
    return model.base_model.model.get_submodule(name)


def settings(**values):
    return {"loftq_config": ll.LoftQConfig(**values)}


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("steps", [1, 5])
def test_the_factors_are_those_of_lesson_13s_formula(bits, steps):
    W = torch.randn(96, 128, generator=torch.Generator().manual_seed(3))
    Q, B, A = loftq_factors(W, 8, bits, steps)
    want = lesson13.loftq(W, lambda w: fake_quantize(w, f"nf{bits}"), 8, steps)
    torch.testing.assert_close(dequantize(Q), want[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(B @ A, want[2] @ want[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(B.norm(dim=0), A.norm(dim=1))  # both have the roots


@pytest.mark.parametrize("alpha", [3, 24])
@pytest.mark.parametrize("fields", [{}, {"use_rslora": True}, {"rank_pattern": {"first": 2}}])
def test_it_is_nearer_to_the_base_than_rounding_alone(alpha, fields):
    base = Mlp()
    model = adapted(lora_alpha=alpha, **fields, **settings(loftq_bits=2, loftq_iter=3))
    for name in ("first", "second"):
        W, one = base.get_submodule(name).weight, layer(model, name)
        near = one.weight + one.get_delta_weight("default")
        rounded = fake_quantize(W, "nf2")
        assert torch.dist(near, W) < 0.9 * torch.dist(rounded, W)
        assert torch.equal(fake_quantize(one.weight, "nf2"), one.weight)  # W is on the grid


def test_one_turn_rounds_w_itself_as_qlora_does():
    model = adapted(**settings(loftq_bits=4))
    assert torch.equal(layer(model).weight, fake_quantize(Mlp().first.weight))


@pytest.mark.parametrize("kind", ["linear", "hf_conv1d"])
def test_both_layouts_of_w(kind):
    def build():
        return LayerModel(kind)

    fields = {"target_modules": ["layer"], "fan_in_fan_out": kind == "hf_conv1d"}
    model = adapted(build, **fields, **settings(loftq_bits=3, loftq_iter=2))
    x, base = build().example(), build()
    rounded = build()
    rounded.layer.weight.data = fake_quantize(base.layer.weight, "nf3")
    assert torch.dist(model(x), base(x)) < torch.dist(rounded(x), base(x))


def test_the_first_w_is_back_while_the_adapter_is_not_in_use():
    base, model = Mlp(), adapted()
    expected, started = base(X), model(X)
    assert not torch.equal(started, expected)
    with model.disable_adapter():
        assert torch.equal(model(X), expected)
    assert torch.equal(model(X), started)
    model.add_adapter("plain", ll.LoraConfig(target_modules=["first"], r=2))
    model.set_adapter("plain")
    assert torch.equal(model(X), expected)
    model.set_adapter("default")
    model.merge_adapter()
    torch.testing.assert_close(model(X), started)
    model.unmerge_adapter()
    assert torch.equal(model(X), started)
    assert torch.equal(model.unload()(X), expected)


def test_two_adapters_of_one_rounding_share_it_and_others_are_not_active_together():
    model = adapted(**settings(loftq_bits=4))
    model.add_adapter("same", ll.LoraConfig(**{**LOFTQ, "r": 2}, **settings(loftq_bits=4)))
    model.base_model.set_adapter(["default", "same"])
    assert torch.equal(layer(model).weight, fake_quantize(Mlp().first.weight))
    model.add_adapter("other", ll.LoraConfig(**LOFTQ, **settings(loftq_bits=2)))
    assert torch.equal(layer(model).weight, fake_quantize(Mlp().first.weight))
    model.set_adapter("other")
    assert torch.equal(layer(model).weight, fake_quantize(Mlp().first.weight, "nf2"))
    with pytest.raises(ll.MergeError, match="in another way"):
        model.base_model.set_adapter(["default", "other"])
    assert model.active_adapters == ["other"]


@pytest.mark.parametrize(("first", "second"), [("loftq", "pissa"), ("pissa", "loftq")])
def test_two_methods_do_not_change_one_w(first, second):
    model = adapted(init_lora_weights=first)
    before = layer(model).weight.clone()
    with pytest.raises(ll.MergeError):
        model.add_adapter("b", ll.LoraConfig(**{**LOFTQ, "init_lora_weights": second}))
    assert torch.equal(layer(model).weight, before) and list(model.peft_config) == ["default"]


@pytest.mark.parametrize("steps", [1, 3])
def test_files_hold_the_adapter_and_loading_rounds_again(tmp_path, steps):
    model = adapted(**settings(loftq_bits=4, loftq_iter=steps))
    with torch.no_grad():
        layer(model).lora_B["default"].weight.add_(0.1)
    model.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "adapter_config.json").read_text())
    assert values["loftq_config"] == {"loftq_bits": 4, "loftq_iter": steps}
    back = ll.PeftModel.from_pretrained(Mlp(), tmp_path)
    torch.testing.assert_close(back(X), model(X), rtol=0, atol=1e-6)
    with pytest.raises(ll.ConfigError, match="rounded all of W"):
        model.save_pretrained(tmp_path, path_initial_model_for_weight_conversion=tmp_path)


def test_it_trains_and_the_rounded_base_stays():
    model = adapted().train()
    before = layer(model).weight.clone()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    losses = []
    for _ in range(5):
        loss = (model(X) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert torch.equal(layer(model).weight, before)


def test_half_precision_rounds_once():
    model = adapted(lambda: Mlp().bfloat16())
    W = Mlp().bfloat16().first.weight
    assert torch.equal(layer(model).weight, dequantize(quantize(W), torch.bfloat16))


def test_what_cannot_be_rounded_is_refused_and_nothing_is_changed():
    with pytest.raises(ll.ConfigError, match="Unknown initialization"):
        adapted(lambda: LayerModel("conv2d"), target_modules=["layer"])
    with pytest.warns(ll.PeftWarning), pytest.raises(ll.ConfigError, match="rank of at most 5"):
        adapted(r=6)
    base = Mlp()
    base.second.weight.data[0, 0] = torch.nan
    before = base.first.weight.clone()
    with pytest.raises(ValueError, match="only finite"):
        ll.get_peft_model(base, ll.LoraConfig(**LOFTQ))
    assert type(base.first) is nn.Linear and torch.equal(base.first.weight, before)


def test_settings_that_nothing_reads_are_warned_of():
    with pytest.warns(ll.PeftWarning, match="will be ignored"):
        config = ll.LoraConfig(loftq_config=ll.LoftQConfig())
    assert config.loftq_config == {}


class _Blocks(nn.Module):
    """Two layers of rows that are whole blocks: bitsandbytes is right on a CPU for these alone."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(64, 128), nn.Linear(128, 32)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


@pytest.fixture
def theirs(monkeypatch):
    """PEFT's LoftQ on a CPU: it asks for CUDA by name, and its arithmetic is the same here."""
    quietly("bitsandbytes")
    find = importlib.util.find_spec  # PEFT asks whether scipy is installed, and uses nothing of it
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *p: name == "scipy" or find(name, *p)
    )
    move = torch.Tensor.to

    def to_the_cpu(tensor, *args, **kwargs):
        given = ["cpu" if str(value) == "cuda" else value for value in args]
        named = {k: "cpu" if str(value) == "cuda" else value for k, value in kwargs.items()}
        return move(tensor, *given, **named)

    monkeypatch.setattr(torch.Tensor, "to", to_the_cpu)

    def make(steps, **fields):
        config = peft.LoftQConfig(loftq_bits=4, loftq_iter=steps)
        config = peft.LoraConfig(**{**LOFTQ, **fields}, loftq_config=config)
        return peft.get_peft_model(_Blocks(), config).eval()

    return make


@pytest.mark.quantized
@pytest.mark.parametrize("steps", [1, 4])
def test_values_are_those_of_peft_with_bitsandbytes(theirs, steps):
    fields = {"r": 4, "lora_alpha": 4}
    other = theirs(steps, **fields)
    ours = adapted(_Blocks, **fields, **settings(loftq_bits=4, loftq_iter=steps))
    for name in ("first", "second"):
        mine, his = layer(ours, name), layer(other, name)
        torch.testing.assert_close(mine.weight, his.weight, rtol=0, atol=1e-6)
        for one, two in ((mine.lora_A, his.lora_A), (mine.lora_B, his.lora_B)):
            one, two = one["default"].weight, two["default"].weight
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(ours(x), other(x), rtol=0, atol=1e-5)


@pytest.mark.quantized
def test_a_scaling_that_is_not_one_is_divided_out_and_not_so_in_peft(theirs):
    fields = {"r": 4, "lora_alpha": 32}
    W, rounded = _Blocks().first.weight, fake_quantize(_Blocks().first.weight)

    def distance(model):
        one = layer(model)
        return torch.dist(one.weight + one.get_delta_weight("default"), W).item()

    ours = distance(adapted(_Blocks, **fields, **settings()))
    assert ours < torch.dist(rounded, W).item() < distance(theirs(1, **fields))
