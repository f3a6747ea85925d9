"""A fused qkv projection: it is three adapters side by side, and a plain one in a file."""

from __future__ import annotations

import peft
import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

import lora_lessons as ll

SIZES, RANKS = {"q": 8, "k": 2, "v": 2}, {"q": 3, "v": 1}
ROWS = {"q": slice(0, 8), "k": slice(8, 10), "v": slice(10, 12)}


class Attention(nn.Module):
    """A fused projection and a plain layer."""

    def __init__(self, kind: str = "linear", width: int = 12) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.qkv = nn.Linear(7, width) if kind == "linear" else Conv1D(width, 7)
        self.out = nn.Linear(width, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.qkv(x)


def fused(kind: str = "linear", sizes=SIZES, ranks=RANKS, repeats: int = 1, **fields):
    """A model with a fused adapter whose values are random, and an input."""
    defaults = {"r": 4, "lora_alpha": 6, "init_lora_weights": False}
    config = {"target_modules": ["qkv"], "fan_in_fan_out": kind != "linear", **defaults, **fields}
    config = ll.LoraConfig(**config)
    ll.fused_qkv(config, sizes, ranks, repeats)
    model = ll.get_peft_model(Attention(kind, sum(sizes.values()) * repeats), config)
    return model, torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(2))


def layer_of(model: nn.Module) -> ll.LoraLayer:
    return model.base_model.model.qkv


@pytest.mark.parametrize("kind", ["linear", "hf_conv1d"])
def test_it_is_separate_adapters_on_the_parts(kind):
    model, x = fused(kind)
    layer = layer_of(model)
    A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    update = layer(x) - layer.base_layer(x)
    q = 6 / 4 * (x @ A[:3].T @ B[ROWS["q"], :3].T)
    v = 6 / 4 * (x @ A[3:].T @ B[ROWS["v"], 3:].T)
    torch.testing.assert_close(update[..., ROWS["q"]], q)
    torch.testing.assert_close(update[..., ROWS["v"]], v)
    assert not update[..., ROWS["k"]].any()


def test_it_starts_as_every_adapter_does():
    model, x = fused(init_lora_weights=True)
    layer = layer_of(model)
    assert torch.equal(layer(x), layer.base_layer(x))  # B is zero
    assert layer.lora_A["default"].weight.all()


def test_a_part_of_rank_0_is_one_that_is_left_out():
    (named, x), (left_out, _) = fused(ranks={**RANKS, "k": 0}), fused()
    assert torch.equal(layer_of(named)(x), layer_of(left_out)(x))
    with pytest.raises(ll.ConfigError, match="must be 0 or more"):
        fused(ranks={"q": 5, "v": -1})


def test_only_the_blocks_train():
    model, x = fused()
    layer = layer_of(model)
    B = layer.lora_B["default"].weight
    outside = layer.block_mask() == 0
    before = B.detach().clone()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    assert not B[outside].any()
    assert (B[~outside] != before[~outside]).all()


@pytest.mark.parametrize("kind", ["linear", "hf_conv1d"])
def test_merging_is_exact_and_comes_back(kind):
    model, x = fused(kind)
    weight, y = layer_of(model).weight.clone(), model(x)
    model.merge_adapter()
    torch.testing.assert_close(model(x), y)
    model.unmerge_adapter()
    assert torch.equal(layer_of(model).weight, weight)


def test_gradients_against_finite_differences():
    model, x = fused()
    model.double()
    layer = layer_of(model)
    values = [layer.lora_A["default"].weight, layer.lora_B["default"].weight]
    names = ["lora_A.default.weight", "lora_B.default.weight"]

    def output(*tensors: Tensor) -> Tensor:
        parameters = dict(zip(names, tensors, strict=True))
        return torch.func.functional_call(layer, parameters, (x.double(),))

    values = tuple(value.detach().requires_grad_() for value in values)
    assert torch.autograd.gradcheck(output, values)


def test_repeated_parts_alternate():
    model, x = fused(sizes={"q": 2, "k": 1, "v": 1}, repeats=3)
    update = (layer_of(model)(x) - layer_of(model).base_layer(x)).unflatten(-1, (3, 4))
    assert not update[..., 2].any()
    assert (update[..., [0, 1, 3]] != 0).all()


@pytest.mark.parametrize("kind", ["linear", "hf_conv1d"])
@pytest.mark.filterwarnings("ignore:Could not find a config file")
def test_peft_loads_the_file_and_computes_the_same(kind, tmp_path):
    model, x = fused(kind)
    model.save_pretrained(tmp_path)
    theirs = peft.PeftModel.from_pretrained(Attention(kind), tmp_path)
    torch.testing.assert_close(theirs(x), model(x), rtol=0, atol=1e-6)
    plain = ll.PeftModel.from_pretrained(Attention(kind), tmp_path)
    torch.testing.assert_close(plain(x), model(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("sizes", "ranks", "fields", "message"),
    [
        (SIZES, {"q": 3}, {}, "add up to r=4"),
        (SIZES, {"q": 5, "v": -1}, {}, "0 or more"),
        (SIZES, {"qq": 4}, {}, "Did you mean 'q'"),
        (SIZES, RANKS, {"use_dora": True}, "no DoRA"),
        (SIZES, RANKS, {"lora_bias": True}, "no lora_bias"),
        (SIZES, RANKS, {"init_lora_weights": "pissa"}, "makes no blocks"),
        (SIZES, RANKS, {"target_modules": ["qkv", "out"]}, "out has 7 outputs"),
    ],
)
def test_what_cannot_be_is_refused(sizes, ranks, fields, message):
    with pytest.raises(ValueError, match=message):
        fused(sizes=sizes, ranks=ranks, **fields)


def test_loading_without_memory_keeps_the_blocks(tmp_path):
    model, x = fused()
    model.save_pretrained(tmp_path)
    config = model.peft_config["default"]
    options = {"config": config, "low_cpu_mem_usage": True}
    again = ll.PeftModel.from_pretrained(Attention(), tmp_path, **options)
    assert torch.equal(layer_of(again).lora_B["default"].mask, layer_of(model).block_mask())
    assert torch.equal(again(x), model(x))
