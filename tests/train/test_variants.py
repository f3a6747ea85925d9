"""LoRA+ gives B its own rate, and LoRA-FA trains B alone, on each of the step's fast paths."""

from __future__ import annotations

import pytest
import torch
from models import tiny_decoder, token_ids

from lora_lessons.base.tokens import TokenBatches
from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.lora.more.variants.lora_fa import freeze_A
from lora_lessons.train.fast import masters
from lora_lessons.train.fast.masters import MasterWeights
from lora_lessons.train.fast.packed import PackedAdapters
from lora_lessons.train.loop import fit
from lora_lessons.train.settings import FitSettings
from lora_lessons.train.step import training_step

IDS = token_ids()


def lora(dtype=torch.float32, **options):
    base = tiny_decoder(dtype=dtype)
    torch.manual_seed(0)
    options = {"r": 4, "target_modules": "all-linear"} | options
    return get_peft_model(base, LoraConfig(**options))


def run(model, steps=1, **settings):
    batches = TokenBatches(IDS, 4, 16, seed=0)
    return fit(model, batches, steps=steps, **{"lr": 1e-3, "progress": False, **settings})


def factors(model, which):
    named = model.named_parameters()
    return torch.cat([p.detach().flatten() for n, p in named if f".{which}." in n])


def moved(which, **settings):
    """How far the factors of this name go in one step."""
    model = lora(init_lora_weights=False)  # so that A has a gradient too
    before = factors(model, which)
    run(model, **settings)
    return factors(model, which) - before


@pytest.mark.parametrize("fast_layers", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_first_update_of_B_is_ratio_times_and_that_of_A_is_not(precision, fast_layers):
    how = {"precision": precision, "fast_layers": fast_layers}
    for which, ratio in (("lora_A", 1), ("lora_B", 16)):
        plain, plus = moved(which, **how), moved(which, lr_ratio=16.0, **how)
        torch.testing.assert_close(plus, ratio * plain, rtol=1e-3, atol=1e-6)
        assert plain.abs().max() > 5e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("packing", [True, False])
def test_packed_factors_and_copies_take_two_rates_as_plain_layers_do(dtype, packing, monkeypatch):
    if not packing:
        monkeypatch.setattr(masters, "wants_packing", lambda *_: False)
    how = {"steps": 12, "lr_ratio": 8.0, "precision": "bf16", "weight_decay": 0.1, "accumulate": 2}
    fast, plain = lora(dtype), lora(dtype)
    with training_step(fast, FitSettings(steps=1, lr=1e-3, lr_ratio=8.0, precision="bf16")) as step:
        kinds = {(True, True): PackedAdapters, (True, False): PackedAdapters}
        kinds |= {(False, True): MasterWeights, (False, False): type(None)}
        assert type(step.step.masters) is kinds[packing, dtype == torch.bfloat16]
        rates = sorted(group["base_lr"] for group in step.step.optimizer.param_groups)
        assert rates == [1e-3, 8e-3]
    losses = run(fast, **how).losses
    assert losses == pytest.approx(run(plain, fast_layers=False, **how).losses, rel=3e-3)
    for which in ("lora_A", "lora_B"):
        gap = (factors(fast, which) - factors(plain, which)).norm()
        assert gap < 0.1 * factors(plain, which).norm()


def test_a_ratio_of_one_is_plain_lora():
    plain, plus = lora(), lora()
    assert run(plain, steps=3).losses == run(plus, steps=3, lr_ratio=1.0).losses


@pytest.mark.parametrize("ratio", [0, -4.0, float("nan"), True, "16"])
def test_a_ratio_that_cannot_be_meant_is_refused(ratio):
    with pytest.raises(ValueError, match="lr_ratio must be a finite number above 0"):
        run(lora(), lr_ratio=ratio)


def test_a_ratio_without_factors_is_refused():
    with pytest.raises(ValueError, match="none trains here"):
        run(tiny_decoder().requires_grad_(True), lr_ratio=4.0)


def test_a_run_with_a_ratio_goes_on_from_its_checkpoint(tmp_path):
    how = {"lr_ratio": 4.0, "precision": "bf16", "schedule": "cosine", "eval_every": 4}
    how |= {"steps": 6, "valid": lambda model: 0.0}
    whole = run(lora(), **how)
    at = {"checkpoint": tmp_path, "checkpoint_every": 3}
    calls = []

    def stop(model):
        calls.append(model)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 0.0

    stopped = run(lora(), **{**how, "valid": stop}, **at)
    assert stopped.interrupted and len(stopped.steps) == 4
    resumed = run(lora(), **how, **at)
    assert resumed.losses == pytest.approx(whole.losses, rel=1e-5)
    with pytest.raises(ValueError, match=r"lr_ratio=2\.0 \(there 4\.0\)"):
        run(lora(), **{**how, "lr_ratio": 2.0}, **at)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_with_a_frozen_A_the_fused_layers_train_B_as_plain_ones_do(dtype, precision):
    fast, plain = lora(dtype), lora(dtype)
    first = factors(fast, "lora_A")
    assert freeze_A(fast) == freeze_A(plain) == len(first)
    how = {"steps": 12, "precision": precision, "lr": 1e-2}
    losses = run(fast, **how).losses
    assert losses == pytest.approx(run(plain, fast_layers=False, **how).losses, rel=3e-3)
    assert losses[-1] < losses[0]
    assert torch.equal(factors(fast, "lora_A"), first)
    gap = (factors(fast, "lora_B") - factors(plain, "lora_B")).norm()
    assert factors(fast, "lora_B").norm() > 0 and gap < 0.1 * factors(plain, "lora_B").norm()


def test_a_frozen_A_keeps_no_inputs_for_the_backward_pass():
    def kept(model):
        sizes = []
        x = torch.randn(64, 32, requires_grad=True)
        layer = model.base_model.model.model.layers[0].self_attn.q_proj
        with (
            training_step(model, FitSettings(steps=1, lr=1e-3, precision="fp32")),
            torch.autograd.graph.saved_tensors_hooks(
                lambda t: sizes.append(tuple(t.shape)) or t, lambda t: t
            ),
        ):
            layer(x)
        return sizes

    trained, frozen = lora(), lora()
    freeze_A(frozen)
    assert (64, 32) in kept(trained) and (64, 32) not in kept(frozen)
