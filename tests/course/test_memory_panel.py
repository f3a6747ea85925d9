"""The memory panel: its numbers are the predictor's, and its controls change them."""

from __future__ import annotations

import re

import pytest

import lora_lessons as ll
from lora_lessons.course.explorers import memory
from lora_lessons.course.explorers.base import Explorer
from lora_lessons.train.memory.predict import predict_memory

SMALL = {"model": "5 M (the course's decoder)", "rows": 2, "length": 128}
START = {name: control.start for name, control in ll.memory_panel.controls.items()}
FIELDS = (*memory.PARTS, "peak", "frozen_count", "trained_count")


@pytest.mark.parametrize("method", ["LoRA, all-linear", "full fine-tuning"])
def test_the_extension_is_what_a_model_of_all_layers_takes(method):
    base, targets = memory.METHODS[method]
    adapters = None if targets is None else ll.LoraConfig(r=4, target_modules=targets)
    config = memory.SIZES[SMALL["model"]]._replace(layers=6).config()
    expected = predict_memory(config, adapters, batch_size=2, length=128, base=base)
    found = memory.estimate(**SMALL, method=method, rank=4, activations="kept")
    for field in FIELDS:
        assert getattr(found, field) == pytest.approx(getattr(expected, field), rel=1e-3), field


def test_the_still_picture_says_what_it_shows():
    still = ll.memory_panel.static(**SMALL)
    found = memory.estimate(**(START | SMALL))
    assert f"The peak is {memory.in_units(found.peak)}" in still.alt
    assert all(part in still.alt for part in memory.PARTS)
    assert still.html.startswith("<img alt=")


def test_a_control_changes_the_panel():
    controls = {
        name: type(one)(one.label, one.values, SMALL.get(name, one.start))
        for name, one in ll.memory_panel.controls.items()
    }
    panel = Explorer("", controls, memory.draw, memory.alt).widget()
    seen = [panel.picture]
    panel.move("activations", "computed again")
    seen.append(panel.picture)
    peaks = [float(re.search(r"The peak is ([\d.]+) MiB", html)[1]) for html in seen]
    assert peaks[1] < peaks[0]


@pytest.mark.nightly
def test_every_control_changes_the_picture():
    seen = ll.memory_panel.drive()
    for name, control in ll.memory_panel.controls.items():
        probes = set(control.probes())
        assert len({seen[name, value] for value in probes}) == len(probes), name
