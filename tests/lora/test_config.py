"""LoraConfig: PEFT's defaults and json, and an error for every value that cannot be right."""

from __future__ import annotations

import dataclasses
import inspect
import json

import peft
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lora_lessons as ll

NOT_OURS = {"runtime_config"}  # never in a file


def test_fields_and_defaults_are_those_of_peft():
    ours, theirs = ll.LoraConfig(), peft.LoraConfig()
    names = {f.name for f in dataclasses.fields(theirs)} - NOT_OURS
    assert {f.name for f in dataclasses.fields(ours)} == names
    different = {n for n in names if getattr(ours, n) != getattr(theirs, n)} - {"peft_version"}
    assert different == set()


def test_json_goes_both_ways(tmp_path):
    fields = {
        "r": 3,
        "lora_alpha": 7,
        "target_modules": ["q_proj", "v_proj"],
        "task_type": "CAUSAL_LM",
        "rank_pattern": {"q_proj": 2},
        "bias": "all",
    }
    ours, theirs = ll.LoraConfig(**fields), peft.LoraConfig(**fields)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    assert peft.PeftConfig.from_pretrained(tmp_path / "ours").to_dict() == theirs.to_dict() | {
        "peft_version": ours.peft_version
    }
    assert ll.PeftConfig.from_pretrained(tmp_path / "theirs") == dataclasses.replace(
        ours, peft_version=theirs.peft_version
    )


def test_the_json_is_the_same_at_every_run():
    names = [f"module_{i}" for i in range(20)]
    texts = {ll.LoraConfig(target_modules=order).to_json() for order in (names, names[::-1])}
    assert len(texts) == 1
    assert json.loads(texts.pop())["target_modules"] == sorted(names)


@pytest.mark.parametrize("task", list(ll.TaskType))
def test_task_types(task):
    assert ll.LoraConfig(task_type=task.value).task_type is task
    assert task.value in set(peft.TaskType)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"r": 0}, "`r` should be a positive integer value but the value passed is 0"),
        ({"r": 2.5}, "`r` should be a positive integer"),
        ({"r": True}, "`r` should be a positive integer"),
        ({"rank_pattern": {"q": -1}}, r"rank_pattern\['q'\]"),
        ({"lora_alpha": 0}, "`lora_alpha` should be a positive number"),
        ({"lora_alpha": float("nan")}, "`lora_alpha` should be a positive number"),
        ({"alpha_pattern": {"q": "x"}}, "`lora_alpha` should be a positive number"),
        ({"lora_dropout": 1.0}, "`lora_dropout` should be at least 0 and less than 1"),
        ({"lora_dropout": -0.1}, "`lora_dropout` should be"),
        ({"bias": None}, 'Use "none", a string'),
        ({"bias": "lora"}, "Requested bias: lora, is not implemented.*'lora_only'"),
        ({"task_type": "CAUSAL"}, "Invalid task type: 'CAUSAL'.*'CAUSAL_LM'"),
        ({"init_lora_weights": "pisa"}, "Unknown initialization.*'pissa'"),
        ({"init_lora_weights": "corda"}, "Unknown initialization"),
        ({"loftq_config": {"loftq_bits": 8}}, "must be one of 2, 3, 4"),
        ({"loftq_config": {"loftq_iter": 0}}, "loftq_iter must be 1 or more"),
        ({"loftq_config": {"loftq_iters": 2}}, "Did you mean 'loftq_iter'"),
        ({"loftq_config": 4}, "must be a LoftQConfig or a dict"),
        ({"init_lora_weights": "orthogonal", "r": 3}, "requires the LoRA rank to be even"),
        ({"target_modules": "q_proj("}, "not a valid regular expression"),
        ({"modules_to_save": "head"}, "must be a list of module names"),
        ({"target_modules": [1, 2]}, "must be a list of module names"),
        ({"target_modules": 5}, "target_modules must be a list of module names, and it is 5"),
        ({"exclude_modules": 5}, "exclude_modules must be a list of module names"),
        ({"modules_to_save": 3}, "modules_to_save must be a list of module names"),
        ({"modules_to_save": {"head": 1}}, "modules_to_save must be a list of module names"),
        ({"rank_pattern": {3: 4}}, "rank_pattern=3 is not a valid regular expression"),
        ({"r": "8"}, "the value passed is '8'"),
        ({"layers_to_transform": ["0"]}, "layers_to_transform holds whole numbers.*not '0'"),
        ({"layers_to_transform": -1}, "layers_to_transform holds whole numbers.*not -1"),
        ({"layers_to_transform": [True]}, "layers_to_transform holds whole numbers.*not True"),
        ({"trainable_token_indices": {"emb": 3}}, r"trainable_token_indices\['emb'\] must be a"),
        ({"target_modules": ".*", "layers_to_transform": 1}, "`layers_to_transform` cannot be"),
        ({"target_modules": ".*", "layers_pattern": "h"}, "`layers_pattern` cannot be used"),
        ({"layers_pattern": "h"}, "`layers_to_transform` must also be specified"),
        ({"lora_bias": True, "use_dora": True}, "not supported for DoRA"),
        ({"lora_bias": True, "init_lora_weights": "gaussian"}, "only supported with init"),
        ({"use_qalora": True}, "use_qalora=True is not supported"),
        ({"layer_replication": [[0, 2]]}, "layer_replication=.* is not supported"),
        ({"corda_config": {"a": 2.0}}, "corda_config=.* is not supported"),
        ({"peft_type": "IA3"}, "Invalid peft type: 'IA3'"),
    ],
)
def test_wrong_values_are_refused_at_once(fields, message):
    with pytest.raises(ValueError, match=message):
        ll.LoraConfig(**fields)


@pytest.mark.parametrize("pattern", [{"rank_pattern": {"q": 2}}, {"alpha_pattern": {"q": 2}}])
def test_pissa_that_cannot_become_plain_lora_is_warned_of(pattern):
    with pytest.warns(ll.PeftWarning, match="Using Rank-Stabilized LoRA with rank_pattern"):
        ll.LoraConfig(init_lora_weights="pissa", use_rslora=True, **pattern)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auto_mapping", float("nan")),
        ("revision", 3),
        ("use_dora", "no"),
        ("layers_to_transform", 1.5),
        ("layers_pattern", 2),
        ("trainable_token_indices", 4),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(name, value):
    with pytest.raises(ll.ConfigError, match=f"{name} must be of type"):
        ll.LoraConfig(**{name: value})


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("target_module", "target_modules"), ("alpha", "lora_alpha"), ("dropout", "lora_dropout")],
)
def test_a_field_that_there_is_not_is_named_with_the_nearest(wrong, right):
    with pytest.raises(TypeError, match=f"LoraConfig has no field '{wrong}'.*mean '{right}'"):
        ll.LoraConfig(**{wrong: 16})
    assert dataclasses.replace(ll.LoraConfig(), r=3).r == 3
    assert "target_modules" in inspect.signature(ll.LoraConfig).parameters


def test_an_unknown_bias_is_an_error_for_those_who_know_peft():
    with pytest.raises(NotImplementedError):
        ll.LoraConfig(bias="everything")


def test_keys_of_a_newer_version_are_dropped_with_a_warning(tmp_path):
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"r": 4, "peft_type": "LORA", "use_magic": 1}))
    with pytest.warns(ll.PeftWarning, match="Unexpected keyword arguments.*use_magic"):
        assert ll.PeftConfig.from_pretrained(tmp_path).r == 4


@pytest.mark.parametrize("text", ["", "[1]", "{", '"r"', "\x00"])
def test_broken_json_is_refused(tmp_path, text):
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(ll.ConfigError, match=r"adapter_config\.json"):
        ll.PeftConfig.from_pretrained(tmp_path)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 9),
    st.floats(allow_nan=True),
    st.text(max_size=8),
    st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(-1, 4), max_size=2),
)
FIELD_NAMES = [f.name for f in dataclasses.fields(ll.LoraConfig)]


def check_fuzzed(fields: dict) -> None:
    """A config with any values is a clear error, or survives its own json."""
    try:
        config = ll.LoraConfig(**fields)
    except (ValueError, TypeError) as error:
        assert str(error)
        return
    again = ll.LoraConfig(**json.loads(config.to_json()))
    assert again.to_dict() == config.to_dict()


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELD_NAMES), VALUES, max_size=3))
def test_fuzzed_configs(fields):
    check_fuzzed(fields)


@pytest.mark.nightly
@settings(max_examples=20_000, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELD_NAMES), VALUES, max_size=5))
def test_many_fuzzed_configs(fields):
    check_fuzzed(fields)
