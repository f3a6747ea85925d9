"""A plain run stays in the core: what it executes is measured, not listed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import trace_core
from torch import nn

import lora_lessons as ll

FIRST_ROW = {"__init__.py", "errors.py", "seeding.py", "storage.py", "undo.py"}


@pytest.fixture(autouse=True)
def no_trainer(monkeypatch):
    """Where transformers' Trainer has been imported, a plain module is made known to it."""
    monkeypatch.delitem(sys.modules, "transformers.trainer", raising=False)


def plain_run(folder: Path) -> None:
    """Inject, train, save, load, merge and unmerge a model of linear layers."""
    model = ll.get_peft_model(trace_core.base(), trace_core.config())
    model(torch.ones(3, 4)).square().sum().backward()
    model.save_pretrained(folder)
    again = ll.PeftModel.from_pretrained(trace_core.base(), folder)
    again.merge_adapter()
    again(torch.ones(3, 4))
    again.unmerge_adapter()
    assert isinstance(again.merge_and_unload()[0], nn.Linear)


def test_a_plain_run_executes_the_core_and_nothing_else(tmp_path):
    assert ll.PeftModel  # it is imported before the trace
    with trace_core.traced() as trace:
        plain_run(tmp_path)
    outside = {
        (file, name)
        for file, name in trace.calls
        if file not in FIRST_ROW and Path(file).parent != Path("lora")
    }
    assert outside == set()
    core = {file for file in trace.files if file.startswith("lora/")}
    assert {"lora/layer.py", "lora/merge.py", "lora/files.py"} < core
    assert len(core) <= 12


def test_what_is_added_is_seen_by_the_trace(tmp_path):
    config = ll.LoraConfig(r=2, target_modules=["0"], use_dora=True)
    with trace_core.traced() as trace:
        ll.get_peft_model(trace_core.base(), config)
    assert ("lora/more/variants/dora.py", "add_dora") in trace.calls


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("Linear.forward", (3, 1, 0)),
        ("get_peft_model", (55, 11, 50)),
        ("save_pretrained", (16, 6, 10)),
        ("from_pretrained", (67, 13, 68)),
        ("merge_adapter", (25, 6, 26)),
    ],
)
def test_a_call_is_short_to_follow(name, most):
    trace = trace_core.measured()[name]
    found = (len(trace.functions), len(trace.files), trace.changes)
    assert all(one <= other for one, other in zip(found, most, strict=True)), found


def test_the_docs_say_what_the_trace_says(root):
    text = (root / "docs" / "engine.md").read_text("utf-8")
    assert trace_core.passage() in text, "run python tools/trace_core.py --write"
