"""Which modules a config names: PEFT's rules, on names alone."""

from __future__ import annotations

import peft
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peft.tuners.tuners_utils import check_target_module_exists as theirs

import lora_lessons as ll
from lora_lessons.lora.matching import get_pattern_key, layer_index, matches_suffix
from lora_lessons.lora.more.layers.default_targets import DEFAULT_TARGETS, default_targets


@pytest.mark.parametrize(
    ("fields", "key", "expected"),
    [
        ({"target_modules": ["q_proj"]}, "model.layers.0.q_proj", True),
        ({"target_modules": ["proj"]}, "model.layers.0.q_proj", False),
        ({"target_modules": ["q_proj"]}, "q_proj", True),
        ({"target_modules": ["q_proj"]}, "q_proj.lora_A", False),
        ({"target_modules": r".*\.q_proj"}, "model.q_proj", True),
        ({"target_modules": "q_proj"}, "model.q_proj", False),
        ({"target_modules": [r".*q_proj"]}, "model.q_proj", False),
        ({"target_modules": ["q"], "exclude_modules": ["a.q"]}, "b.a.q", False),
        ({"target_modules": ["q"], "exclude_modules": "b.*"}, "b.a.q", False),
        ({"target_modules": ["q"], "modules_to_save": ["head"]}, "head.q", False),
        ({"target_modules": ["q"], "modules_to_save": ["head"]}, "overhead.q", True),
        ({"target_modules": ["q"], "layers_to_transform": [1]}, "m.layers.1.q", True),
        ({"target_modules": ["q"], "layers_to_transform": 1}, "m.layers.11.q", False),
        ({"target_modules": ["q"], "layers_to_transform": []}, "m.layers.3.q", True),
        ({"target_modules": ["q"], "layers_to_transform": [0]}, "m.layers.1.experts.0.q", False),
    ],
)
def test_rules(fields, key, expected):
    assert ll.check_target_module_exists(ll.LoraConfig(**fields), key) is expected


PARTS = st.sampled_from(["a", "b", "ab", "0", "1", "layers", "q"])
KEYS = st.lists(PARTS, min_size=1, max_size=5).map(".".join)


@settings(max_examples=300, deadline=None)
@given(
    KEYS,
    st.sets(KEYS, min_size=1, max_size=3),
    st.none() | st.sets(KEYS, max_size=2),
    st.none() | st.lists(st.integers(0, 1), min_size=1, max_size=2),
)
def test_the_same_as_peft(key, targets, excluded, layers):
    if layers is not None and key in targets:
        return  # there PEFT forgets layers_to_transform
    fields = {
        "target_modules": list(targets),
        "exclude_modules": list(excluded) if excluded else None,
        "layers_to_transform": layers,
    }
    mine = ll.check_target_module_exists(ll.LoraConfig(**fields), key)
    assert mine == bool(theirs(peft.LoraConfig(**fields), key))


def test_defaults_by_model_type_are_those_of_peft():
    table = peft.utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    mine = {k: v if isinstance(v, str) else sorted(v) for k, v in DEFAULT_TARGETS.items()}
    assert mine == {k: v if isinstance(v, str) else sorted(v) for k, v in table.items()}


def test_a_model_type_without_default_is_named():
    with pytest.raises(ValueError, match=r"no default for the model type 'qwen22'.*'qwen2"):
        default_targets("qwen22")


@pytest.mark.parametrize(
    ("patterns", "key", "expected"),
    [
        (["q"], "a.b.q", "q"),
        (["q"], "a.bq", "a.bq"),
        (["^a.q"], "b.a.q", "b.a.q"),
        (["^a.q"], "a.q", "^a.q"),
        ([r"layers\.[01]\.q", "q"], "m.layers.1.q", r"layers\.[01]\.q"),
        (["q", r"b\.q"], "b.q", "q"),
    ],
)
def test_patterns(patterns, key, expected):
    assert get_pattern_key(patterns, key) == expected


@pytest.mark.parametrize(
    ("key", "pattern", "expected"),
    [
        ("model.layers.3.mlp.experts.7.up", None, 3),
        ("h.2.q", "h", 2),
        ("h.2.q", "g", None),
        ("a.layers.1.layers.0.q", r"\d+\.layers", 0),
        ("q", None, None),
        ("h.2.q", None, None),
        ("h.2.q", ["g", "h"], 2),
        ("transformer.h.2.q", None, 2),
        ("layers.11.mlp.experts.1.up", None, 1),
        ("layers.11.mlp.experts.1.up", "layers", 11),
        ("model.layers.3", None, None),
    ],
)
def test_layer_index(key, pattern, expected):
    assert layer_index(key, pattern) == expected


@given(KEYS, KEYS)
def test_a_suffix_starts_at_a_dot(entry, key):
    parts, wanted = key.split("."), entry.split(".")
    assert matches_suffix(entry, key) == (parts[-len(wanted) :] == wanted)
