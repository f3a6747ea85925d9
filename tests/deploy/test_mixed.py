"""Mixed batches: each row's text is that of its adapter alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lora_lessons.base.load import load_base
from lora_lessons.deploy.mixed import Batcher, mixed_generate
from lora_lessons.experiments import lesson14 as experiment


@pytest.fixture(scope="module")
def served():
    return experiment.many_adapters("nano", 2, torch.float64), load_base("nano")[1]


def test_rows_of_unequal_length_get_the_text_of_their_adapter_alone(served):
    model, tokenizer = served
    expected = experiment.separate_runs("nano", adapters=2, tokens=6)
    pairs = list(expected)
    texts = mixed_generate(model, tokenizer, *zip(*pairs, strict=True), max_new_tokens=6)
    assert dict(zip(pairs, texts, strict=True)) == expected
    assert experiment.told_apart(expected) > 0.9  # else this would prove nothing


def test_what_cannot_be_answered_is_refused(served):
    with pytest.raises(ValueError, match="2 prompts and 1 adapters"):
        mixed_generate(*served, ["a", "b"], [None])
    with pytest.raises(ValueError, match="no token"):
        mixed_generate(*served, [""], [None])
    with pytest.raises(ValueError, match="max_batch"):
        Batcher(*served, max_batch=0)


def test_a_bad_request_fails_alone_and_the_others_of_its_batch_are_answered(served):
    with Batcher(*served, wait=0.5, max_new_tokens=2) as batcher, ThreadPoolExecutor(3) as pool:
        found = [
            pool.submit(batcher.generate, "A whale", name) for name in ("tenant-0", "eve", None)
        ]
        with pytest.raises(ValueError, match="eve"):
            found[1].result()
        assert all(isinstance(found[i].result(), str) for i in (0, 2))
    with pytest.raises(RuntimeError, match="closed"):
        batcher.generate("A whale")


def test_a_batch_takes_what_comes_while_it_waits(served):
    with Batcher(*served, wait=0.5, max_new_tokens=1) as batcher, ThreadPoolExecutor(4) as pool:
        list(pool.map(batcher.generate, ["A whale"] * 4))
    assert sum(batcher.sizes) == 4 and max(batcher.sizes) > 1


def test_a_load_of_mixed_requests_has_no_answer_from_the_wrong_adapter():
    found = experiment.load_test(adapters=3, requests=40, tokens=4)
    assert found["right"] == found["requests"] == 40
    assert found["told_apart"] > 0.8 and found["largest_batch"] > 1


def test_a_server_that_ignores_the_adapter_is_found_out():
    def deaf(method, path, headers, body, adapters, generate):
        return experiment.package_handle(
            method, path, {"Content-Type": "application/json"}, body, adapters, generate
        )

    found = experiment.load_test(adapters=3, requests=24, tokens=4, answer=deaf)
    assert found["wrong_adapter"] > 5


@pytest.mark.nightly
def test_a_thousand_requests_over_eight_adapters():
    settings = experiment.RECORDINGS["14_load"][1]
    found = experiment.load_test(**settings)
    assert found["requests"] == found["right"] == 1000
    assert found["wrong_adapter"] == found["lost"] == found["wrong_otherwise"] == 0
