"""LoRA on convolutions: the same patches as the base, and what groups allow."""

from __future__ import annotations

import peft
import pytest
import torch
from torch import Tensor, nn

import lora_lessons as ll

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
OPTIONS = {
    "dilation": {"dilation": 2},
    "dilation and padding": {"dilation": 2, "padding": 2},
    "same": {"padding": "same", "dilation": 2},
    "circular": {"padding": 1, "padding_mode": "circular"},
    "reflect": {"padding": 1, "padding_mode": "reflect"},
    "stride": {"stride": 2, "padding": 1, "bias": False},
}


class Model(nn.Module):
    """Two convolutions; the second may have groups."""

    def __init__(self, dim: int, groups: int = 1, **options) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = CONVS[dim](4, 6, 3, **options)
        self.second = CONVS[dim](6, 4, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x)))


def image(dim: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 4, *range(7, 7 + dim), generator=generator)


def adapted(model: nn.Module, **fields) -> ll.PeftModel:
    defaults = {"r": 4, "target_modules": ["first", "second"], "init_lora_weights": False}
    return ll.get_peft_model(model, ll.LoraConfig(**{**defaults, **fields}))


@pytest.mark.parametrize("dim", CONVS)
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("use_dora", [False, True])
def test_merged_equals_unmerged_for_all_that_a_convolution_can_do(dim, name, use_dora):
    model, x = adapted(Model(dim, **OPTIONS[name]).double(), use_dora=use_dora), image(dim).double()
    y, weight = model(x), model.base_model.model.first.weight.clone()
    model.merge_adapter()
    torch.testing.assert_close(model(x), y, rtol=1e-9, atol=1e-9)
    model.unmerge_adapter()
    assert torch.equal(model.base_model.model.first.weight, weight)


@pytest.mark.parametrize("name", ["dilation", "circular"])
def test_peft_drops_dilation_and_padding_mode(name):
    """Pinned to what PEFT does: its A is a convolution without them."""
    config = peft.LoraConfig(r=4, target_modules=["first"])
    A = peft.get_peft_model(Model(2, **OPTIONS[name]), config).base_model.model.first.lora_A
    assert (A["default"].dilation, A["default"].padding_mode) == ((1, 1), "zeros")
    ours = adapted(Model(2, **OPTIONS[name])).base_model.model.first.lora_A["default"]
    base = Model(2, **OPTIONS[name]).first
    assert (ours.dilation, ours.padding_mode) == (base.dilation, base.padding_mode)


def test_a_rank_that_the_groups_do_not_divide_is_refused():
    model = Model(2, groups=2)
    with pytest.raises(ValueError, match=r"groups=2 and rank 3.*'second'"):
        adapted(model, r=3)
    assert type(model.first) is nn.Conv2d


@pytest.mark.filterwarnings("ignore:LoRA adapter added to ConvNd layer with groups")
def test_groups_are_refused_before_any_weight_is_merged():
    model = adapted(Model(2, groups=2))
    weight = model.base_model.model.first.weight.clone()
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(NotImplementedError, match="groups > 1"):
            merge()
        assert torch.equal(model.base_model.model.first.weight, weight)
        assert not model.base_model.model.first.merged
    with pytest.raises(NotImplementedError, match="groups > 1"):
        model.base_model.model.second.get_delta_weight("default")
    with pytest.raises(ValueError, match="no product B A"):
        model.add_weighted_adapter(["default"], [1.0], "sum")


def test_groups_are_warned_of():
    with pytest.warns(ll.PeftWarning, match="Merging is not supported"):
        adapted(Model(1, groups=2))


@pytest.mark.filterwarnings("ignore:LoRA adapter added to ConvNd layer with groups")
@pytest.mark.parametrize("fields", [{}, {"use_dora": True}, {"lora_bias": True}])
def test_the_report_counts_what_trains(fields):
    model = adapted(Model(3, groups=2), **fields)
    total = str(model.base_model.plans["default"]).splitlines()[-1].split()[-1]
    assert int(total.replace(",", "")) == model.get_nb_trainable_parameters()[0]


def test_each_sample_has_its_own_adapter():
    model, x = adapted(Model(2)), image(2)
    config = ll.LoraConfig(r=2, target_modules=["first"], init_lora_weights=False)
    model.add_adapter("b", config)
    model.eval()
    mixed = model(x, adapter_names=["b", "__base__"])
    with model.disable_adapter():
        torch.testing.assert_close(mixed[1], model(x)[1])
    model.set_adapter("b")
    torch.testing.assert_close(mixed[0], model(x)[0])
