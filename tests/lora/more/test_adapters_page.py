"""docs/adapters.md: each example runs as it stands, with the names that the page promises."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import lora_lessons as ll
from lora_lessons.base.nf4_linear import to_nf4
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
IDS = torch.arange(64).reshape(2, 32)


def nano(**options: Any) -> nn.Module:
    return ll.load_base("nano", **options)[0]


def adapted(base: nn.Module, **fields: Any) -> ll.PeftModel:
    config = {"target_modules": "all-linear", "task_type": "CAUSAL_LM", **fields}
    return ll.get_peft_model(base, ll.LoraConfig(**config))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(IDS).logits


@pytest.fixture
def run(tmp_path, monkeypatch) -> Callable[..., dict[str, Any]]:
    """Run the block with a word in it, in a folder with the adapters that the page names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    for name, r in (("first", 4), ("second", 8), ("moby", 4)):
        adapted(nano(), r=r, init_lora_weights=False).save_pretrained(f"adapters/{name}")

    def execute(word: str, **names: Any) -> dict[str, Any]:
        (code,) = [block for block in BLOCKS if word in block]
        names |= {"ll": ll, "torch": torch, "ids": IDS}
        exec(compile(code, "docs/adapters.md", "exec"), names)
        return names

    return execute


def test_every_example_is_run_here():
    words = (
        "hotswap",
        "AutoPeft",
        "LoftQConfig",
        "replace_lora",
        "EvaConfig",
        "tensors",
        "key_map",
    )
    assert sorted(next(w for w in words if w in block) for block in BLOCKS) == sorted(words)


def test_the_hot_swap(run):
    swapped = run("hotswap_adapter", base=nano())["compiled"]
    second = ll.PeftModel.from_pretrained(nano(), "adapters/second")
    torch.testing.assert_close(logits(swapped), logits(second), rtol=0, atol=1e-4)


def test_from_a_folder_to_a_model(run):
    model = run("AutoPeft")["model"]
    assert isinstance(model, ll.PeftModelForCausalLM)
    assert next(model.get_base_model().parameters()).dtype == torch.bfloat16


def test_loftqs_start_is_nearer_than_the_rounded_base(run):
    model = run("LoftQConfig", base=nano())["model"]
    whole, start = logits(nano()), logits(model)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.zeros_(parameter)
    assert (start - whole).norm() < (logits(model) - whole).norm()


def test_loftq_for_a_base_in_4_bits_already(run):
    base = nano()
    base.save_pretrained("folder/of/the/float/base")
    to_nf4(base)
    model, whole = adapted(base, r=16), logits(nano())
    rounded = logits(model)
    run("replace_lora", model=model)
    assert (logits(model) - whole).norm() < (rounded - whole).norm()


def test_eva_from_batches(run):
    torch.manual_seed(0)
    batch = {"input_ids": torch.randint(0, 500, (16, 64))}
    batch |= {"attention_mask": torch.ones(16, 64, dtype=torch.long), "labels": batch["input_ids"]}
    model = run("EvaConfig", base=nano(), batches=[batch, batch])["model"]
    torch.testing.assert_close(logits(model), logits(nano()), rtol=0, atol=0)
    assert len({p.shape[0] for n, p in model.named_parameters() if "lora_A" in n}) > 1


def test_eva_for_a_model_that_takes_no_dict(run):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 8))
    config = {"init_lora_weights": "eva", "eva_config": ll.EvaConfig(rho=1.0), "task_type": None}
    model = adapted(net, r=4, target_modules=["0", "2"], **config)
    before = {n: p.clone() for n, p in model.named_parameters() if "lora_A" in n}
    run("tensors", model=model, tensors=[torch.randn(64, 16) for _ in range(4)])
    assert all(not torch.equal(dict(model.named_parameters())[n], p) for n, p in before.items())


def test_the_key_mapping_passes_other_keys_by(run):
    model = run("key_map", base=nano(), folder="adapters/first")["model"]
    plain = ll.PeftModel.from_pretrained(nano(), "adapters/first")
    torch.testing.assert_close(logits(model), logits(plain), rtol=0, atol=0)
