"""How a step is made fast, on the CPU: float32 masters of bf16 copies, compiled blocks."""

from __future__ import annotations

import functools

import pytest
import torch
from models import tiny_decoder, token_ids
from torch import nn

from lora_lessons.base.tokens import TokenBatches
from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.fast.blocks import repeated_blocks
from lora_lessons.train.loop import fit
from lora_lessons.train.memory.recompute import recomputed_blocks
from lora_lessons.train.settings import FitSettings
from lora_lessons.train.step import training_step

IDS = token_ids()


def lora(dtype=torch.bfloat16, **options):
    base = tiny_decoder(dtype=dtype)
    torch.manual_seed(0)
    return get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", **options))


def run(model, steps=8, **settings):
    batches = TokenBatches(IDS, 4, 16, seed=0)
    return fit(model, batches, steps=steps, **{"lr": 1e-2, "progress": False, **settings})


def trained(model):
    return [p for p in model.parameters() if p.requires_grad]


def test_masters_take_updates_that_bf16_would_lose():
    model = lora()
    with torch.no_grad():
        for p in trained(model):
            p.fill_(1.0)
    parameters = trained(model)
    run(model, steps=3, lr=1e-4, precision="bf16")
    assert all(a is b for a, b in zip(parameters, trained(model), strict=True))
    assert {p.dtype for p in parameters} == {torch.float32}
    moved = torch.cat([(p - 1).detach().abs().flatten() for p in parameters])
    assert 0 < moved.max() < 1e-3  # bf16 knows nothing between 1 and 1 - 0.004


def test_the_model_holds_bf16_copies_inside_only_and_gets_its_weights_back_after_an_error():
    model = lora()
    model.base_model.model.model.norm.weight.data = torch.ones(32)
    model.base_model.model.model.norm.requires_grad_(True)  # more than adapters: not packed
    before = [p.detach().clone() for p in trained(model)]
    step = training_step(model, FitSettings(steps=3, lr=1e-2, precision="bf16"))
    with pytest.raises(OSError, match="disk"), step:
        assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
        raise OSError("disk")
    for p, value in zip(trained(model), before, strict=True):
        assert torch.equal(p, value)
        assert p.grad is None


def test_copies_give_what_autocast_gives(monkeypatch):
    from lora_lessons.train.fast import masters

    monkeypatch.setattr(masters, "wants_packing", lambda *_: False)
    with_copies = run(lora(), accumulate=2, precision="bf16")
    monkeypatch.setattr(masters, "wants_masters", lambda *_: False)
    with_autocast = run(lora(), accumulate=2, precision="bf16")
    assert with_copies.losses == pytest.approx(with_autocast.losses, rel=2e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_copies_where_products_are_not_in_bf16(dtype):
    model = lora(dtype)
    with training_step(model, FitSettings(steps=3, lr=1e-2, precision="fp32")):
        assert {p.dtype for p in trained(model)} == {torch.float32}


def test_recomputing_gives_the_same_losses_with_dropout_and_is_gone_after():
    kept, again = (lora(torch.float32, lora_dropout=0.3) for _ in range(2))
    history = run(again, recompute=True, capture="auto")
    assert history.losses == run(kept).losses
    assert "only CUDA captures" in history.why_not_captured
    assert all("forward" not in vars(block) for block in repeated_blocks(again))
    with pytest.raises(ValueError, match="needs a repeated block"):
        fit(nn.Linear(2, 2), [{}], steps=1, lr=1.0, recompute=True, loss_fn=lambda m, b: m)


def test_recomputing_runs_each_block_twice(monkeypatch):
    model, calls = lora(torch.float32), []
    block = type(repeated_blocks(model)[0])
    forward = block.forward
    monkeypatch.setattr(block, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    run(model, steps=1, recompute=True)
    assert len(calls) == 4  # two blocks, twice each


def test_the_repeated_block_is_found():
    model = lora()
    assert [type(b).__name__ for b in repeated_blocks(model)] == ["Qwen2DecoderLayer"] * 2
    assert repeated_blocks(nn.Sequential(nn.Linear(2, 2))) == []


def test_compiling_says_why_not():
    assert "on cpu" in run(lora()).why_not_compiled
    assert run(lora(), compile=False).why_not_compiled == "compile=False"
    with pytest.raises(ValueError, match='"auto", True or False'):
        run(lora(), compile="always")


def test_a_block_that_cannot_be_compiled_is_run_as_written(monkeypatch):
    def broken(*arguments, **named):
        raise RuntimeError("no compiler here\nand a long explanation")

    compile_itself = nn.Module.compile

    def compile_broken(module, **how):
        compile_itself(module, backend="eager")
        module._compiled_call_impl = broken

    monkeypatch.setattr(nn.Module, "compile", compile_broken)
    with pytest.raises(RuntimeError, match=r"cannot be compiled: no compiler here$"):
        run(lora(), compile=True)
    monkeypatch.setattr("lora_lessons.train.fast.blocks.CompiledBlocks._why_not", lambda *_: "")
    history = run(lora(torch.float32), compile="auto")
    assert not history.compiled
    assert history.why_not_compiled == "no compiler here"
    assert history.losses == run(lora(torch.float32), compile=False).losses


@pytest.mark.nightly
@pytest.mark.parametrize("options", [{}, {"bias": "lora_only"}])
def test_compiled_blocks_give_the_same_losses_and_are_gone_after(options):
    valid = torch.stack([IDS[:16], IDS[16:32]])
    how = {"valid": valid, "eval_every": 3}
    model = lora(torch.float32, **options)
    compiled = run(model, compile=True, **how)
    plain = run(lora(torch.float32, **options), compile=False, **how)
    assert compiled.compiled
    assert compiled.losses == pytest.approx(plain.losses, rel=1e-5)
    assert compiled.eval_losses == pytest.approx(plain.eval_losses, rel=1e-5)
    assert all(block._compiled_call_impl is None for block in repeated_blocks(model))


@pytest.mark.nightly
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_blocks_that_recompute_give_the_same_losses(dropout, precision):
    """With dropout the compiler draws other numbers than the block as written: it is compared with
    itself, kept."""
    how = {"precision": precision, "compile": True}
    again = lora(torch.float32, lora_dropout=dropout)
    history = run(again, recompute=True, **how)
    plain = run(lora(torch.float32, lora_dropout=dropout), **how | {"compile": dropout > 0})
    assert history.compiled
    assert history.losses == pytest.approx(plain.losses, rel=1e-5 if precision == "fp32" else 1e-2)
    blocks = repeated_blocks(again)
    assert all(
        block._compiled_call_impl is None and "forward" not in vars(block) for block in blocks
    )


def test_a_block_that_draws_nothing_keeps_no_random_state():
    for dropout, random in ((0.0, False), (0.3, True)):
        model = lora(torch.float32, lora_dropout=dropout).train()
        with training_step(model, steps=3, lr=1e-2, recompute=True) as step:
            with torch.no_grad():
                model.eval()(
                    input_ids=IDS[None, :8]
                )  # an evaluation draws nothing, and says nothing
            assert [call.random for call in step.step.recomputed] == [None, None]
            model.train()
            step([{"input_ids": IDS[None, :8], "labels": IDS[None, :8]}])
            assert [call.random for call in step.step.recomputed] == [random, random]
            assert bool(step.step.why_not_captured()) is random


def test_blocks_that_cannot_be_compiled_are_recomputed_as_written(monkeypatch):
    def broken(*arguments, **named):
        raise RuntimeError("no compiler here")

    compile_itself = nn.Module.compile

    def compile_broken(module, **how):
        compile_itself(module, backend="eager")
        module._compiled_call_impl = broken

    monkeypatch.setattr(nn.Module, "compile", compile_broken)
    monkeypatch.setattr("lora_lessons.train.fast.blocks.CompiledBlocks._why_not", lambda *_: "")
    model, calls = lora(torch.float32), []
    block = type(repeated_blocks(model)[0])
    forward = block.forward
    monkeypatch.setattr(block, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    history = run(model, steps=1, recompute=True)
    assert history.why_not_compiled == "no compiler here"
    assert len(calls) == 4  # two blocks, twice each
    assert all(block._compiled_call_impl is None for block in repeated_blocks(model))


def test_recomputing_gives_back_a_forward_that_was_replaced():
    model = tiny_decoder().requires_grad_(True)
    blocks = repeated_blocks(model)
    replaced = blocks[0].forward = functools.partial(type(blocks[0]).forward, blocks[0])
    with recomputed_blocks(model, True):
        pass
    assert blocks[0].forward is replaced
    assert "forward" not in vars(blocks[1])
