"""LoftQ's start for a base that is in few bits already, from the float weights in a file."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import lora_lessons as ll
from lora_lessons.base.nf4_linear import NF4Linear
from lora_lessons.lora.more.init.loftq import loftq_factors
from lora_lessons.lora.more.init.loftq_replace import replace_lora_weights_loftq


class Blocks(nn.Module):
    """Two layers whose rows are whole blocks."""

    def __init__(self, in_bits: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(64, 128), nn.Linear(128, 32)
        if in_bits:
            self.first = NF4Linear.from_linear(self.first, double=False)
            self.second = NF4Linear.from_linear(self.second, double=False)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def adapted(base=None, **fields):
    torch.manual_seed(1)
    config = ll.LoraConfig(target_modules=["first", "second"], r=4, lora_alpha=12, **fields)
    return ll.get_peft_model(base or Blocks(in_bits=True), config).eval()


@pytest.fixture(params=[1, 2])
def folder(request, tmp_path):
    """The float weights, in one file or in two."""
    tensors = Blocks().state_dict()
    parts = [tensors]
    if request.param == 2:
        parts = [{n: t for n, t in tensors.items() if n[0] == letter} for letter in "fs"]
    for number, part in enumerate(parts):
        save_file(part, tmp_path / f"model-{number}.safetensors")
    return tmp_path


def values(model):
    return {n: t.clone() for n, t in model.state_dict().items()}


def test_the_update_is_what_rounding_took(folder):
    model = adapted()
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(2))
    before = torch.dist(model(x), Blocks()(x))
    replace_lora_weights_loftq(model, folder)
    assert torch.dist(model(x), Blocks()(x)) < before
    for name in ("first", "second"):
        layer = model.base_model.model.get_submodule(name)
        _, B, A = loftq_factors(getattr(Blocks(), name).weight, 4)
        delta = layer.get_delta_weight("default")
        torch.testing.assert_close(delta, B @ A, rtol=1e-4, atol=1e-6)


def test_a_layer_that_the_callback_refuses_has_its_old_values(folder):
    model, asked = adapted(), []
    before = values(model)
    replace_lora_weights_loftq(
        model, folder, callback=lambda m, name: asked.append(name) or name == "second"
    )
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert asked == ["first", "second"] and len(changed) == 2
    assert all(".second.lora_" in name for name in changed)


def test_the_path_may_be_the_one_that_the_base_came_from(folder):
    base = Blocks(in_bits=True)
    base.name_or_path = str(folder)
    model = adapted(base)
    replace_lora_weights_loftq(model)
    assert model.base_model.model.first.lora_B["default"].weight.any()


WRONG = {
    "has no second.weight. Did you mean 'secnd.weight'": lambda t: {
        **{n: v for n, v in t.items() if n != "second.weight"}, "secnd.weight": t["second.weight"],
    },
    r"of the shape \(32, 64\)": lambda t: {**t, "second.weight": torch.ones(32, 64)},
    "is torch.int8": lambda t: {**t, "second.weight": t["second.weight"].to(torch.int8)},
}  # fmt: skip


@pytest.mark.parametrize("says", WRONG)
def test_weights_that_do_not_fit_are_named_and_nothing_is_changed(tmp_path, says):
    save_file(WRONG[says](Blocks().state_dict()), tmp_path / "model.safetensors")
    model = adapted()
    before = values(model)
    with pytest.raises(ll.AdapterFileError, match=says):
        replace_lora_weights_loftq(model, tmp_path)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_other_models_and_places_are_refused(tmp_path):
    with pytest.raises(ValueError, match="on no quantized layer"):
        replace_lora_weights_loftq(adapted(Blocks()), tmp_path)
    with pytest.raises(ValueError, match="no safetensors at"):
        replace_lora_weights_loftq(adapted(), tmp_path)
    with pytest.raises(ValueError, match="give model_path"):
        replace_lora_weights_loftq(adapted())
    with pytest.raises(ValueError, match="DoRA"):
        replace_lora_weights_loftq(adapted(use_dora=True), tmp_path)
