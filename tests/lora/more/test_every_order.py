"""Adapters added, switched, merged, saved and deleted in any order, against a plain model of it."""

from __future__ import annotations

import tempfile
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import lora_lessons as ll
from tests.parity.models import Mlp

NAMES = ("default", "b", "c")
X = torch.randn(3, 5, generator=torch.Generator().manual_seed(4)).double()
TARGETS = {"default": ["first", "second"], "b": ["first"], "c": ["second", "head"]}


class Reference:
    """What the model must compute, kept as a table of updates and two lists of names."""

    def __init__(self) -> None:
        self.base = Mlp().double()
        torch.manual_seed(0)
        self.model = ll.get_peft_model(Mlp().double(), self.config("default")).eval()
        self.deltas = {"default": self.updates("default")}
        self.active, self.merged = ["default"], []

    def config(self, name: str) -> ll.LoraConfig:
        fields = {"r": 2, "lora_alpha": 7, "init_lora_weights": False}
        bias = "all" if name == "default" else "none"
        return ll.LoraConfig(target_modules=TARGETS[name], bias=bias, **fields)

    def updates(self, name: str) -> dict[str, torch.Tensor]:
        layers = self.model.base_model.lora_layers()
        return {n: m.get_delta_weight(name) for n, m in layers.items() if m.has_adapter(name)}

    def expected(self, used: bool = True) -> torch.Tensor:
        """A layer that has something merged into it uses that; any other the active adapters."""
        h = X
        for name in ("first", "norm", "second", "head"):
            layer = getattr(self.base, name)
            if name == "norm":
                h = torch.relu(layer(h))
                continue
            merged = [n for n in self.merged if name in self.deltas[n]]
            names = (merged or self.active) if used else []
            weight = layer.weight + sum(self.deltas[n].get(name, 0) for n in names)
            h = F.linear(h, weight, layer.bias)
        return h

    def check(self) -> None:
        out = self.model(X)
        torch.testing.assert_close(out, self.expected())
        with self.model.disable_adapter():  # which unmerges
            torch.testing.assert_close(self.model(X), self.expected(used=False))
        self.merged = []

    def add(self, name: str) -> None:
        if name not in self.deltas:
            self.model.add_adapter(name, self.config(name), autocast_adapter_dtype=False)
            self.deltas[name] = self.updates(name)

    def set(self, names: list[str]) -> None:
        if names and set(names) <= self.deltas.keys():
            self.model.set_adapter(names)
            self.active, self.merged = list(names), []

    def merge(self, names: list[str]) -> None:
        names = [name for name in names if name in self.deltas]
        self.model.merge_adapter(names)
        self.merged += [name for name in dict.fromkeys(names) if name not in self.merged]

    def unmerge(self, _: list[str]) -> None:
        self.model.unmerge_adapter()
        self.merged = []

    def delete(self, names: list[str]) -> None:
        for name in names[:1]:
            if name not in self.deltas or len(self.deltas) == 1:
                continue
            if name in self.merged:
                with pytest.raises(ValueError, match="while they are merged"):
                    self.model.delete_adapter(name)
                continue
            was_active = name in self.active
            self.model.delete_adapter(name)
            del self.deltas[name]
            self.active = [each for each in self.active if each != name] or [
                next(iter(self.deltas))
            ]
            if was_active:
                self.merged = []  # another became active, and that unmerges

    def reload(self, names: list[str]) -> None:
        for name in names[:1]:
            if name in self.deltas and name not in self.merged:
                with tempfile.TemporaryDirectory() as folder:
                    self.model.save_pretrained(folder, selected_adapters=[name])
                    inside = folder if name == "default" else f"{folder}/{name}"
                    self.model.load_adapter(inside, name)


OPERATIONS = st.tuples(
    st.sampled_from(["add", "set", "merge", "unmerge", "delete", "reload", "check"]),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
)


def run(operations: list[tuple[str, list[str]]]) -> None:
    reference = Reference()
    before = {n: v.clone() for n, v in reference.base.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ll.PeftWarning)
        for operation, names in operations:
            if operation == "add":
                reference.add(names[0])
            elif operation == "check":
                reference.check()
            else:
                getattr(reference, operation)(names)
            torch.testing.assert_close(reference.model(X), reference.expected())
        base = reference.model.unload()
    assert list(base.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())


@settings(max_examples=15, deadline=None)
@given(st.lists(OPERATIONS, max_size=10))
def test_any_order(operations):
    run(operations)


@pytest.mark.nightly
@settings(max_examples=3000, deadline=None)
@given(st.lists(OPERATIONS, max_size=40))
def test_many_orders(operations):
    run(operations)
