"""A frozen layer in 4 bits: its product, its backward pass, what it keeps, and LoRA on it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lora_lessons as ll
from lora_lessons.base.nf4_linear import NF4Linear, to_nf4
from lora_lessons.base.quantize import fake_quantize, relative_error, stored_bytes


@pytest.fixture
def linear():
    ll.seed_everything(0)
    return nn.Linear(128, 48)


@pytest.mark.parametrize("double", [False, True])
def test_outputs_and_gradients_are_those_of_the_decoded_weight(linear, double):
    layer = NF4Linear.from_linear(linear, double)
    plain = nn.Linear(128, 48)
    plain.load_state_dict({"weight": layer.decoded(torch.float32), "bias": linear.bias})
    if not double:
        assert torch.equal(plain.weight, fake_quantize(linear.weight))
    assert relative_error(linear.weight.detach(), plain.weight.detach()) < 0.11
    results = []
    for module in (layer, plain):
        x = torch.randn(2, 5, 128, generator=ll.generator(1), requires_grad=True)
        y = module(x)
        y.square().sum().backward()
        results.append((y, x.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_nothing_of_the_weights_size_is_kept_for_the_backward_pass(linear):
    layer, kept = NF4Linear.from_linear(linear), []
    x = torch.randn(4, 128, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(x).sum().backward()
    assert kept == []  # neither W' nor x
    held = [layer.weight, layer.absmax, layer.absmax_of_absmax, layer.mean]
    assert sum(t.nbytes for t in held) == stored_bytes(128 * 48, double=True)
    assert not layer.weight.requires_grad and layer.weight.grad is None


def test_moving_to_another_dtype_leaves_the_scales_exact(linear):
    layer = NF4Linear.from_linear(linear)
    before = layer.decoded(torch.float32)
    layer.bfloat16()
    assert layer.bias.dtype == torch.bfloat16 and layer.mean.dtype == torch.float32
    assert torch.equal(layer.decoded(torch.float32), before)
    assert layer(torch.randn(3, 128).bfloat16()).dtype == torch.bfloat16


def test_a_state_dict_brings_it_all_back(linear):
    layer = NF4Linear.from_linear(linear)
    other = NF4Linear.from_linear(nn.Linear(128, 48))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.decoded(torch.float32), layer.decoded(torch.float32))


def test_rows_that_share_blocks_are_refused():
    with pytest.raises(ValueError, match="rows of 96 are no whole number of blocks of 64"):
        NF4Linear.from_linear(nn.Linear(96, 64))


def test_a_model_in_4_bits_trains_by_its_adapters_alone_and_refuses_a_merge():
    model, _ = ll.load_base("nano")
    names = to_nf4(model, keep=model.get_output_embeddings())
    assert len(names) == 21 and type(model.lm_head) is nn.Linear
    adapted = ll.get_peft_model(
        model, ll.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    before = {n: p.detach().clone() for n, p in adapted.named_parameters() if not p.requires_grad}
    ids = torch.randint(0, 500, (2, 16), generator=ll.generator(0))
    batch = {"input_ids": ids, "labels": ids}
    history = ll.fit(adapted, [batch], steps=10, lr=5e-3, progress=False)
    assert history.losses[-1] < history.losses[0] - 0.1
    assert all(torch.equal(p, before[n]) for n, p in adapted.named_parameters() if n in before)
    with pytest.raises(ll.MergeError, match=r"cannot merge into quantized weights"):
        adapted.merge_adapter()
