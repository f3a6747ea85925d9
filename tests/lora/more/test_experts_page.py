"""docs/experts-and-attention.md: its code runs as it stands, and PEFT loads what it saves."""

from __future__ import annotations

import re
from typing import Any

import peft
import pytest
import torch

pytestmark = [  # PEFT's own noise
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def block(root, first_line: str) -> str:
    text = (root / "docs" / "experts-and-attention.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return next(block for block in blocks if first_line in block)


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code, "the page", "exec"), names)
    return names


def test_experts_train_and_peft_computes_the_same(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run(block(root, "MixtralForCausalLM"))
    ids = torch.arange(12).reshape(1, 12)
    torch.manual_seed(0)
    again = type(names["base"])(names["base"].config).eval()
    with torch.no_grad():
        before = again(ids, labels=ids).loss
        theirs = peft.PeftModel.from_pretrained(again, tmp_path / "experts-adapter").eval()
        ours = names["model"].eval()(ids).logits
        torch.testing.assert_close(theirs(ids).logits, ours, rtol=0, atol=1e-5)
        assert theirs(ids, labels=ids).loss < before - 0.1
    assert "experts.down_proj" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype")
def test_attention_and_its_parts(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = run(block(root, "TransformerEncoderLayer"))
    names = run(block(root, "TransformerEncoderLayer") + block(root, "attention_parts"))
    kinds = {type(layer).__name__ for layer in whole["model"].base_model.lora_layers().values()}
    assert kinds == {"MultiheadAttention", "OutProjection", "EncoderLinear"}
    parts = names["model"]
    x = torch.randn(2, 3, 64)
    base = parts(x).detach()
    optimizer = torch.optim.Adam([p for p in parts.parameters() if p.requires_grad], lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        parts(x).square().mean().backward()
        optimizer.step()
    assert not torch.allclose(parts.eval()(x), base, atol=1e-2)
    parts.save_pretrained(tmp_path / "parts-adapter")
    plain = torch.nn.TransformerEncoder(names["layer"], 2)
    theirs = peft.PeftModel.from_pretrained(plain, tmp_path / "parts-adapter").eval()
    with torch.no_grad():
        ours = parts(x)  # on torch's fast path, on which PEFT passes its adapter by
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            torch.testing.assert_close(theirs(x), ours, rtol=0, atol=1e-5)
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
