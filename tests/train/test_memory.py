"""The predictor counts shapes; here the same things are counted on real tensors."""

from __future__ import annotations

import math

import pytest
import torch
from models import VOCABULARY, batch, tiny_decoder

from lora_lessons.config import LoraConfig
from lora_lessons.model import get_peft_model
from lora_lessons.train.memory import estimate, in_units, predict_memory
from lora_lessons.train.meter import MemoryMeter, storage_bytes
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
    with training_step(model, steps=2, lr=1e-3, **how) as step:
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
