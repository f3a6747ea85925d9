"""Weights in few bits: codes and scales are bitsandbytes' own, and nothing is lost."""

from __future__ import annotations

import math

import pytest
import torch

from lora_lessons.base.quantize import (
    BITS,
    NF4,
    bits_per_weight,
    code_bits,
    dequantize,
    dequantize_scales,
    dynamic_levels,
    fake_quantize,
    levels,
    normal_float,
    pack,
    quantize,
    quantize_scales,
    relative_error,
    stored_bytes,
    unpack,
)
from lora_lessons.course import recorded
from lora_lessons.experiments.beside_bitsandbytes import own_digest, weights
from lora_lessons.seeding import generator


def test_the_formula_gives_the_shipped_table():
    assert (normal_float(4) - torch.tensor(NF4)).abs().max() < 2e-7
    assert NF4[7] == 0 and sum(x > 0 for x in NF4) == 8


@pytest.mark.parametrize("form", BITS)
def test_levels_ascend_from_minus_one_to_one_through_zero(form):
    table = levels(form)
    assert (table.diff() > 0).all() and table[0] == -1 and table[-1] == 1 and 0 in table
    assert len(table) <= 2 ** BITS[form]


def test_codes_are_those_that_bitsandbytes_gave_when_it_was_recorded():
    rows = recorded.load("12_bitsandbytes").data["codes"]
    assert len(rows) == 9
    for row in rows:
        assert own_digest(row["shape"], row["dtype"]) == row["sha256"]


@pytest.mark.parametrize("form", BITS)
@pytest.mark.parametrize("block", [1, 5, 64, None])
def test_each_weight_gets_the_nearest_level_of_its_block(form, block):
    W = torch.randn(6, 11, generator=generator(3))
    flat = W.flatten()
    size = block or 66
    for start in range(0, 66, size):
        part = flat[start : start + size]
        allowed = levels(form) * part.abs().max()  # (levels,)
        nearest = (part[:, None] - allowed).abs().amin(1)
        got = fake_quantize(W, form, block).flatten()[start : start + size]
        torch.testing.assert_close((part - got).abs(), nearest)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_shape_and_dtype_come_back(dtype):
    W = torch.randn(3, 5, 7).to(dtype)
    back = fake_quantize(W)
    assert back.shape == W.shape and back.dtype == dtype
    assert dequantize(quantize(W), torch.float32).dtype == torch.float32


def test_a_block_of_zeros_and_an_empty_tensor_stay_what_they_are():
    assert torch.equal(fake_quantize(torch.zeros(2, 64)), torch.zeros(2, 64))
    assert fake_quantize(torch.zeros(0, 64)).shape == (0, 64)


def test_what_was_coded_once_is_coded_the_same_again():
    once = fake_quantize(weights((64, 128)))
    assert torch.equal(fake_quantize(once), once)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match=r"no format 'nf5'.*did you mean 'nf"):
        quantize(torch.ones(4), "nf5")
    with pytest.raises(ValueError, match="at least one number, not 0"):
        quantize(torch.ones(4), block=0)
    for wrong in (torch.tensor([1.0, math.nan]), torch.tensor([math.inf]), torch.tensor([1, 2])):
        with pytest.raises(ValueError, match="only finite floating-point weights"):
            quantize(wrong)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 64])
def test_packing_puts_the_first_code_high_and_loses_none(n):
    codes = torch.randint(16, (n,), generator=generator(n), dtype=torch.uint8)
    packed = pack(codes)
    assert len(packed) == math.ceil(n / 2) and torch.equal(unpack(packed, n), codes)
    if n > 1:
        assert packed[0] == 16 * codes[0] + codes[1]
    if n % 2:
        assert packed[-1] & 15 == 7
    with pytest.raises(ValueError, match="below 16"):
        pack(torch.tensor([16], dtype=torch.uint8))


def test_scales_in_8_bits_come_back_nearly():
    assert len(dynamic_levels()) == 256 and (dynamic_levels().diff() > 0).all()
    absmax = quantize(weights((512, 704))).absmax
    q = quantize_scales(absmax)
    assert q.codes.dtype == torch.uint8 and len(q.absmax) == math.ceil(len(absmax) / 256)
    assert relative_error(absmax, dequantize_scales(q)) < 0.005
    assert torch.equal(dequantize_scales(quantize_scales(torch.ones(300))), torch.ones(300))


def test_bits_and_bytes_count_the_scales():
    assert bits_per_weight() == 4.5
    assert bits_per_weight(double=True) == 4 + 8 / 64 + 32 / (64 * 256)
    W = weights((512, 704))
    q, scales = quantize(W), quantize_scales(quantize(W).absmax)
    assert stored_bytes(W.numel()) == pack(q.codes).nbytes + q.absmax.nbytes
    doubled = sum(t.nbytes for t in (pack(q.codes), scales.codes, scales.absmax, scales.mean))
    assert stored_bytes(W.numel(), double=True) == doubled


def test_code_use_is_an_entropy():
    assert code_bits(torch.arange(16), 16) == pytest.approx(4)
    assert code_bits([3, 3, 3], 16) == 0
    assert code_bits([0, 1], 16) == pytest.approx(1)
