"""`fit` trains masked language models, classifiers and encoders with a decoder as well."""

from __future__ import annotations

import pytest
import torch
from models import batch, tiny_decoder
from other_models import KINDS, adapted, padded_batch, small_model

from lora_lessons.train.evaluation import evaluate
from lora_lessons.train.fast.attention import kernels_for, masks_unseen
from lora_lessons.train.loop import fit
from lora_lessons.train.loss import summed_loss, token_losses


def run(model, batches, **settings):
    how = {"steps": 6, "lr": 1e-2, "progress": False}
    return fit(model, batches, **{**how, **settings})


def halves(whole):
    return [{n: v[:1] for n, v in whole.items()}, {n: v[1:] for n, v in whole.items()}]


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_loss_is_the_models_own_and_it_falls(kind):
    whole = padded_batch(kind)
    model = adapted(kind)
    with torch.no_grad():
        own = model(**whole).loss.item()
    history = run(model, [whole])
    assert history.losses[0] == pytest.approx(own, rel=1e-5)
    assert history.losses[-1] < history.losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_of_unequal_counts_are_the_whole_batch(kind):
    whole = padded_batch(kind)
    one = run(adapted(kind), [whole])
    many = run(adapted(kind), halves(whole), accumulate=2)
    assert many.losses == pytest.approx(one.losses, rel=2e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_mask_that_is_not_looked_at_says_the_same(kind, attention):
    model = small_model(kind, attn_implementation=attention).eval()
    padded = padded_batch(kind)
    full = padded | {"attention_mask": torch.ones_like(padded["attention_mask"])}
    for given in (padded, full):
        expected, count = summed_loss(model, given)
        with masks_unseen(given):
            total, _ = summed_loss(model, given)
        assert count > 0
        torch.testing.assert_close(total, expected)


def test_a_decoder_with_padding_too():
    model, given = tiny_decoder(), batch()
    given["attention_mask"] = (torch.arange(10) < torch.tensor([10, 7, 4])[:, None]).long()
    labels = given.pop("labels").masked_fill(given["attention_mask"] == 0, -100)
    expected = token_losses(model, labels, **given)
    with masks_unseen(given):
        torch.testing.assert_close(token_losses(model, labels, **given), expected)


def test_attention_with_a_learnt_bias_takes_the_plain_kernel_on_a_gpu():
    def fast(kind, device):
        with kernels_for(small_model(kind), torch.device(device)):
            return torch.backends.cuda.mem_efficient_sdp_enabled()

    assert not fast("translation", "cuda")
    assert fast("translation", "cpu") and fast("masked", "cuda")
    assert torch.backends.cuda.mem_efficient_sdp_enabled()


@pytest.mark.parametrize("kind", ["masked", "translation"])
def test_bf16_trains_them_too(kind):
    history = run(adapted(kind), [padded_batch(kind)], precision="bf16")
    expected = run(adapted(kind), [padded_batch(kind)])
    assert history.losses == pytest.approx(expected.losses, rel=2e-2)


def test_a_function_evaluates_what_blocks_cannot():
    given = padded_batch("tokens")
    valid = lambda model: model(**given).loss  # noqa: E731
    history = run(adapted("tokens"), [given], valid=valid, eval_every=3)
    assert history.eval_steps == [0, 3, 6]
    with pytest.raises(TypeError, match="valid=function"):
        evaluate(adapted("tokens"), given["input_ids"])
