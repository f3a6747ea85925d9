"""The predictor counts shapes; here the same things are counted on real tensors."""

from __future__ import annotations

import contextlib
import math

import pytest
import torch
from models import VOCABULARY, batch, tiny_decoder

from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.fast import blocks, capture
from lora_lessons.train.memory import compiled as compiled_memory
from lora_lessons.train.memory.compiled import MemoryOfGraph
from lora_lessons.train.memory.meter import MemoryMeter, storage_bytes
from lora_lessons.train.memory.predict import estimate, in_units, predict_memory
from lora_lessons.train.settings import FitSettings
from lora_lessons.train.step import training_step

ROWS, LENGTH = 3, 10
SIZE = {"batch_size": ROWS, "length": LENGTH, "device": "cpu"}
LORA = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.1)
BIASED = LoraConfig(r=2, target_modules=["q_proj"], bias="lora_only")
SAVED = LoraConfig(r=2, target_modules=["v_proj"], modules_to_save=["lm_head"])
PARTS = ("frozen", "trained", "gradients", "optimizer", "activations", "logits", "peak")


def adapted(config, dtype):
    """A real model of the dtype; as transformers loads one, its rotary frequencies stay float32."""
    import transformers

    base = transformers.AutoModelForCausalLM.from_config(tiny_decoder().config, dtype=dtype)
    return base.requires_grad_(True) if config is None else get_peft_model(base, config)


def real(config, base, precision, recompute=False):
    """The same estimate from a real step with real numbers, on the CPU."""
    meter = MemoryMeter(classes=VOCABULARY)
    batches = [batch(ROWS, LENGTH)]
    batches[0]["labels"] = batches[0]["input_ids"]
    model = adapted(config, getattr(torch, base)).train()
    how = {"precision": precision, "recompute": recompute, "capture": False, "compile": False}
    with training_step(model, FitSettings(steps=2, lr=1e-3, **how)) as step:
        step(batches)
        step.step.optimizer.zero_grad(set_to_none=True)
        state = [v for values in step.step.optimizer.state.values() for v in values.values()]
        meter.add([*model.parameters(), *step.step.parameters, *model.buffers(), *state])
        masters = step.step.masters
        meter.add([*masters.held, *masters.frozen_copies] if masters else [])
        meter.add(batches[0].values())
        with meter:
            return estimate(step.step, batches, meter, "real")


@pytest.mark.filterwarnings("ignore:modules_to_save copies lm_head")  # its own tests expect it
@pytest.mark.parametrize(
    ("config", "base", "precision", "recompute"),
    [
        (LORA, "bfloat16", "bf16", False),
        (LORA, "float32", "fp32", False),
        (LORA, "float32", "bf16", False),
        (LORA, "float32", "fp32", True),
        (BIASED, "float32", "fp32", False),
        (SAVED, "float32", "fp32", False),
        (None, "float32", "bf16", False),
        (None, "bfloat16", "bf16", False),
    ],
)
def test_every_part_is_what_a_real_step_takes(config, base, precision, recompute):
    how = {"base": base, "precision": precision, "recompute": recompute}
    predicted = predict_memory(tiny_decoder(), config, **SIZE, **how)
    measured = real(config, base, precision, recompute)
    for part in PARTS:
        assert getattr(predicted, part) == getattr(measured, part), part
    assert predicted.frozen_count == measured.frozen_count
    assert predicted.trained_count == measured.trained_count


def test_weights_gradients_and_moments_are_counted_by_hand():
    predicted = predict_memory(tiny_decoder(), LORA, base="float32", precision="fp32", **SIZE)
    model = adapted(LORA, torch.float32)
    trained = [p for p in model.parameters() if p.requires_grad]
    numbers = sum(p.numel() for p in trained)
    assert predicted.trained_count == numbers
    assert predicted.trained == predicted.gradients == 4 * numbers
    assert predicted.optimizer == 2 * 4 * numbers + 4 * len(trained)  # two moments, step counts
    assert predicted.frozen_count == sum(p.numel() for p in model.parameters()) - numbers


def test_four_bits_are_counted_by_hand():
    model, config = tiny_decoder(), LoraConfig(r=4, target_modules="all-linear")
    how = {"precision": "fp32", **SIZE}  # in which no copies are made
    four, sixteen = (predict_memory(model, config, base=b, **how) for b in ("4bit", "bfloat16"))
    linears = [m for m in model.model.modules() if isinstance(m, torch.nn.Linear)]
    expected = sixteen.frozen
    for linear in linears:
        n = linear.weight.numel()
        blocks = math.ceil(n / 64)
        read = blocks + 4 * (math.ceil(blocks / 256) + 1) + 4 * (16 + 256)
        expected += n // 2 + read - 2 * n
    assert four.frozen == expected
    assert four.frozen_count == sixteen.frozen_count
    assert four.trained == sixteen.trained and four.gradients == sixteen.gradients


def test_four_bits_pay_for_a_large_base():
    import transformers

    config = transformers.LlamaConfig(
        hidden_size=2048, intermediate_size=8192, num_hidden_layers=2, vocab_size=32000
    )
    how = {"batch_size": 1, "length": 64, "precision": "fp32"}
    four, sixteen = (predict_memory(config, LORA, base=b, **how) for b in ("4bit", "bfloat16"))
    numbers = 2 * (4 * 2048**2 + 3 * 2048 * 8192)
    assert sixteen.frozen - four.frozen == pytest.approx(numbers * (2 - 0.5 - 1 / 64), rel=1e-3)
    assert four.peak < sixteen.peak


def test_recomputing_keeps_less():
    kept, again = (predict_memory(tiny_decoder(), LORA, recompute=r, **SIZE) for r in (False, True))
    assert again.activations < 0.3 * kept.activations
    assert again.gradients == kept.gradients


PLAIN = LoraConfig(r=4, target_modules="all-linear")


@contextlib.contextmanager
def little_room():
    """For the first block, whose input needs no gradient, for all others, and for the loss.

    So predictions that the compiler kept, and blocks that did not share a version, are an error.
    """
    from torch._dynamo import config

    with blocks.compiler_settings(), config.patch(recompile_limit=3):
        yield


@pytest.mark.parametrize("config", [PLAIN, None])
def test_a_compiled_step_takes_less_than_the_one_as_written_and_more_with_more_rows(
    config, monkeypatch
):
    monkeypatch.setattr(capture, "compiler_settings", little_room)
    size = {"length": 32, "device": "cpu"}
    few = predict_memory(tiny_decoder(), config, batch_size=4, compile=True, **size)
    more = predict_memory(tiny_decoder(), config, batch_size=8, compile=True, **size)
    written = predict_memory(tiny_decoder(), config, batch_size=8, **size)
    for part in ("trained", "gradients", "optimizer", "frozen_count", "trained_count"):
        assert getattr(more, part) == getattr(written, part), part
    for part in ("activations", "logits", "peak"):
        assert getattr(few, part) < getattr(more, part) <= getattr(written, part), part
    assert more.activations == pytest.approx(2 * few.activations, rel=0.02)
    assert more.activations < 0.9 * written.activations
    assert ", compiled: " in repr(more)


def test_a_compiled_block_computes_the_inputs_of_products_again(monkeypatch):
    from torch._functorch import config

    @contextlib.contextmanager
    def keeping_them():
        with blocks.compiler_settings(), config.patch(ban_recompute_materialized_backward=True):
            yield

    again = predict_memory(tiny_decoder(), PLAIN, compile=True, **SIZE)
    monkeypatch.setattr(capture, "compiler_settings", keeping_them)
    kept = predict_memory(tiny_decoder(), PLAIN, compile=True, **SIZE)
    wide = ROWS * LENGTH * 48 * 4  # silu(gate) * up of a block, in float32
    assert kept.activations - again.activations >= 2 * wide
    assert kept.gradients == again.gradients


@pytest.mark.nightly  # inductor compiles for some ten seconds
@pytest.mark.parametrize(
    ("config", "base", "precision"),
    [(PLAIN, "bfloat16", "bf16"), (LORA, "float32", "fp32"), (BIASED, "float32", "fp32")],
)
def test_a_compiled_block_keeps_what_inductors_block_keeps(config, base, precision):
    how = {"base": base, "precision": precision, "compile": True}
    predicted = predict_memory(tiny_decoder(), config, **SIZE, **how)
    meter = MemoryMeter()
    batches = [batch(ROWS, LENGTH)]
    batches[0]["labels"] = batches[0]["input_ids"]
    model = adapted(config, getattr(torch, base)).train()
    how = {"precision": precision, "capture": False, "compile": True}
    with training_step(model, FitSettings(steps=2, lr=1e-3, **how)) as step:
        step(batches)
        masters = step.step.masters
        known = [*model.parameters(), *model.buffers(), *batches[0].values()]
        known += [*masters.held, *masters.frozen_copies] if masters else []
        with meter.saving(known):
            step(batches)
    assert meter.saved == predicted.activations


def traced(function, *shapes):
    """A function's graph, as the compiler sees it."""
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(function, tracing_mode="fake")(*(torch.zeros(shape) for shape in shapes))


def test_elementwise_results_are_in_memory_only_for_what_must_read_them_there():
    def function(x, w):
        y = (x.exp() + 1).clone()  # (256, 16), 16 KiB: read by the product, so in memory once
        h = torch.mm(y, w.t())  # (256, 4), 4 KiB; y can go
        total = (h.sigmoid() * h).sum(1)  # (256,), 1 KiB; h and what is made of it never
        return total, h.view(-1), None

    graph = MemoryOfGraph(traced(function, (256, 16), (4, 16)))
    arguments = [torch.zeros(256, 16), torch.zeros(4, 16)]
    with MemoryMeter() as meter:
        total, h, none = graph(arguments)
    assert (total.shape, h.shape, none) == ((256,), (1024,), None)
    assert arguments == []  # so that the inputs could be freed
    assert (meter.now, meter.peak) == (5 * 1024, 20 * 1024)


def test_results_of_one_operation_are_told_apart_and_unknown_operations_counted_in_full():
    def function(x):
        places = torch.sort(x + 1)[1]  # x + 1 is read in memory: nobody knows how sort reads
        return (places.flatten(),)

    graph = MemoryOfGraph(traced(function, (128, 2)))
    with MemoryMeter() as meter:
        (places,) = graph([torch.zeros(128, 2)])
    assert places.dtype == torch.int64
    assert (meter.now, meter.peak) == (2048, 1024 + 1024 + 2048)


def test_what_cannot_be_compiled_is_named(monkeypatch):
    with pytest.raises(RuntimeError, match=r"predicted: the model cannot be .* no repeated block"):
        predict_memory(tiny_decoder(num_hidden_layers=1), PLAIN, compile=True, **SIZE)
    monkeypatch.setattr(compiled_memory, "MemoryOfGraph", lambda _: {}["an operation"])
    with pytest.raises(RuntimeError, match=r"KeyError: 'an operation'\. With compile=False"):
        predict_memory(tiny_decoder(), PLAIN, compile=True, **SIZE)


def test_a_compiled_step_that_recomputes_keeps_the_blocks_inputs_alone():
    size = {"batch_size": 8, "length": 32, "device": "cpu"}
    kept, again = (
        predict_memory(tiny_decoder(), PLAIN, compile=True, recompute=r, **size)
        for r in (False, True)
    )
    inputs = 8 * 32 * 32 * 2  # of a block, in bf16
    assert again.activations < 0.5 * kept.activations
    assert again.activations >= 2 * inputs
    assert again.peak < kept.peak
    assert "recomputed, compiled" in repr(again)


def test_a_captured_step_takes_a_workspace_more():
    how = {**SIZE, "device": "cuda"}
    eager, captured = (predict_memory(tiny_decoder(), LORA, capture=c, **how) for c in (0, 1))
    assert captured.peak - eager.peak == 64 * 2**20


def test_a_sharded_step_keeps_a_part_of_the_weights_and_gathers_some():
    config = tiny_decoder(num_hidden_layers=8, tie_word_embeddings=False).config
    how = SIZE | {"recompute": True, "device": "cuda"}
    half, quarter = (predict_memory(config, LORA, processes=n, **how) for n in (2, 4))
    for name in ("frozen", "trained", "gradients", "optimizer"):
        assert 2 * getattr(quarter, name) == pytest.approx(getattr(half, name), abs=2)
    parts = half.frozen + half.trained + half.optimizer
    fewer = quarter.frozen + quarter.trained + quarter.optimizer
    assert half.peak - quarter.peak == pytest.approx(parts - fewer, abs=8)
    outside = 2 * VOCABULARY * 32 * 2  # embedding and head, whole, in bf16
    block = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48)
    assert half.peak > parts + outside + 2 * block
    assert "sharded over 2 processes" in half.name
    with pytest.raises(ValueError, match="neither compiled nor captured"):
        predict_memory(config, LORA, processes=2, compile=True, **SIZE)
    with pytest.raises(ValueError, match="processes must be a whole number of at least 1"):
        predict_memory(config, LORA, processes=0, **SIZE)


def test_a_sharded_step_holds_the_whole_logits():
    size = SIZE | {"batch_size": 64, "length": 128}
    config = tiny_decoder().config
    one, two = (predict_memory(config, LORA, processes=n, **size) for n in (1, 2))
    assert two.logits >= 64 * 128 * VOCABULARY * 4
    assert two.logits >= one.logits


def test_the_model_and_the_random_state_are_left_alone():
    model = tiny_decoder()
    before = [p.clone() for p in model.parameters()]
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    predict_memory(model, LORA, **SIZE)
    assert torch.equal(torch.rand(2), expected)
    assert all(map(torch.equal, before, model.parameters()))
    assert LORA.init_lora_weights is True and not any("lora" in n for n, _ in model.named_modules())


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="Did you mean '4bit'"):
        predict_memory(tiny_decoder(), LORA, base="4bits", **SIZE)
    with pytest.raises(ValueError, match="give a lora_config"):
        predict_memory(tiny_decoder(), base="4bit", **SIZE)
    with pytest.raises(ValueError, match="only CUDA captures"):
        predict_memory(tiny_decoder(), LORA, capture=True, **SIZE)
    with pytest.raises(TypeError, match="got Linear"):
        predict_memory(torch.nn.Linear(2, 2), LORA, **SIZE)


def test_the_table_names_every_part():
    text = repr(predict_memory(tiny_decoder(), LORA, **SIZE))
    assert text.startswith("LoRA, bfloat16 base, bf16, 3 x 10: 0.0 M frozen")
    assert text.count("MiB") == 7
    assert in_units(3 * 2**29) == "1.50 GiB"


def test_the_meter_counts_a_storage_once_and_lets_go():
    with MemoryMeter() as meter:
        a = torch.ones(256)  # 1 KiB
        b = a.view(16, 16)[1:]
        assert meter.now == 1024
        c = a + 1
        del a
        assert meter.now == 2048  # b still holds it
        del b, c
        assert (meter.now, meter.peak) == (0, 2048)
    x = torch.ones(4)
    assert storage_bytes([x, x.view(2, 2), torch.ones(2)]) == 24
