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
