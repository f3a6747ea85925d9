"""No experiment mixes devices: each runs on a second one, which this machine only pretends to have.

A GPU is seldom there when tests run. Lesson 09 once added an update from its GPU to weights on the
CPU, and nothing showed it before a learner with a GPU did.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import torch

import lora_lessons as ll
from lora_lessons.experiments import lesson09, recordings

from .elsewhere import DEVICE, Elsewhere

SOLUTIONS = sorted((Path(__file__).parents[2] / "solutions").glob("*.py"))
# seconds in which the second device can be pretended; the others take up to two minutes
QUICK = (
    *("02_amplification", "02_subspaces", "03_first_step", "04_dropout_little_data"),
    *("04_dropout_full_data", "08_neighbours_among_500", "11_measured_8b", "12_formats_nano"),
)


def takes_a_device(recording):
    return "device" in inspect.signature(recording.experiment).parameters


EXPERIMENTS = {
    name: recording
    for name, recording in recordings().items()
    if takes_a_device(recording) and recording.tiny_settings is not None
}


def test_the_second_device_is_told_apart_as_a_gpu_is():
    a = torch.ones(3)
    with Elsewhere():
        b, c = a.to(DEVICE), torch.zeros(3, device=DEVICE)
        with torch.device(DEVICE):
            d = torch.nn.Linear(3, 2)
        there = (b, c, b + c, b[:1], torch.zeros_like(b), d.weight)
        assert {t.device.type for t in there} == {DEVICE}
        assert {t.device.type for t in (a, b.cpu(), torch.ones(2))} == {"cpu"}
        assert (b + torch.tensor(1.0))[torch.tensor([0])].item() == 2  # both are allowed
        for mixed in (lambda: a + b, lambda: d(a), lambda: b.numpy(), lambda: torch.stack([a, c])):
            with pytest.raises((RuntimeError, TypeError), match="device"):
                mixed()
        loss = torch.nn.Linear(3, 1).to(DEVICE)(b).sum()
        loss.backward()
        with pytest.raises(RuntimeError, match="generator"):
            torch.rand(2, device=DEVICE, generator=ll.generator(0))


def params(names):
    slow = pytest.mark.nightly
    return [name if name in QUICK else pytest.param(name, marks=slow) for name in names]


@pytest.mark.parametrize("name", params(EXPERIMENTS))
def test_an_experiment_stays_on_its_device(name):
    experiment, _, tiny, _ = EXPERIMENTS[name]
    with Elsewhere():
        experiment(**tiny | {"device": DEVICE})


def test_what_was_trained_on_a_gpu_is_merged_on_the_cpu():
    """What lesson 09 does in its notebook."""
    size = {"steps": 1, "batch_size": 2, "length": 16, "valid_blocks": 2, "characters": 5000}
    with Elsewhere():
        trained, unread = lesson09.two_authors(**size, device=DEVICE)
        base, _ = ll.load_base("nano")
        deltas = lesson09.deltas(trained["melville"])
        rows = lesson09.rounding_rows(base, deltas, unread["melville"].cpu(), factors=(1.0,))
    assert len(rows) == 3


@pytest.mark.nightly
@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_a_solution_stays_on_its_devices(path, monkeypatch, tmp_path):
    """The solved notebook's code, with its DEVICE elsewhere and the smallest settings."""
    monkeypatch.setenv("LORA_LESSONS_PRESET", "quick")
    monkeypatch.chdir(tmp_path)
    code = path.read_text()
    tree = ast.parse(code)
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DEVICE":
            node.value = ast.Constant(DEVICE)
    names = {"__name__": path.stem}
    with Elsewhere():
        exec(compile(ast.fix_missing_locations(tree), str(path), "exec"), names)
    assert names["DEVICE"] == DEVICE
