"""Where this engine is exact or strict and PEFT is not: each a test of our own behaviour."""

from __future__ import annotations

import itertools
import warnings

import pytest
import torch
from torch import nn

import lora_lessons as ll
from tests.parity.models import Mlp

SMALL = {"r": 3, "lora_alpha": 7, "init_lora_weights": False}


def adapted(model: nn.Module | None = None, **fields) -> nn.Module:
    """The small model with random adapters on both its inner layers."""
    fields = {"target_modules": ["first", "second"], **SMALL, **fields}
    return ll.get_peft_model(model or Mlp(), ll.LoraConfig(**fields))


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(model: nn.Module, values: dict[str, torch.Tensor]) -> bool:
    now = model.state_dict()
    return now.keys() == values.keys() and all(torch.equal(now[n], values[n]) for n in values)


def train_a_step(model: nn.Module) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    x = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    model(x).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("order", list(itertools.permutations(["default", "b", "c"])))
def test_unmerging_gives_every_bit_back_in_any_order(dtype, order):
    model = adapted(Mlp().to(dtype), target_modules=["first"])
    for name in ("b", "c"):
        model.add_adapter(name, ll.LoraConfig(target_modules=["first", "second"], **SMALL))
    before = snapshot(model)
    for _ in range(3):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Already following", ll.PeftWarning)
            for name in order:
                model.merge_adapter([name])
        model.unmerge_adapter()
        assert same(model, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_order_of_merging_changes_no_bit(dtype):
    def merged(order):
        torch.manual_seed(0)
        model = adapted(Mlp().to(dtype), target_modules=["first"])
        model.add_adapter("b", ll.LoraConfig(target_modules=["first"], **SMALL))
        return model.merge_and_unload(adapter_names=order).first.weight

    assert torch.equal(merged(["default", "b"]), merged(["b", "default"]))


def test_writing_to_the_base_while_merged_is_found():
    model = adapted()
    model.merge_adapter()
    with torch.no_grad():
        model.base_model.model.first.weight.add_(1)
    with pytest.raises(ll.MergeError, match="written to while adapters were merged"):
        model.unmerge_adapter()


@pytest.mark.parametrize("backup", ["device", "cpu"])
def test_the_kept_copy_is_no_part_of_the_state(backup):
    model = adapted()
    keys, buffers = set(model.state_dict()), len(list(model.buffers()))
    before = snapshot(model)
    model.base_model.merge_adapter(backup=backup)
    assert set(model.state_dict()) == keys
    assert len(list(model.buffers())) == buffers
    model.unmerge_adapter()
    assert same(model, before)


def test_without_a_kept_copy_unmerging_is_approximate():
    model = adapted()
    before = snapshot(model)
    model.base_model.merge_adapter(backup=None)
    assert not model.base_model.model.first.kept_base.values
    model.unmerge_adapter()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bias", ["all", "lora_only"])
@pytest.mark.parametrize("how", ["disable", "set", "delete", "unload"])
def test_the_bases_biases_come_back(bias, how):
    base = Mlp()
    before = {n: p.clone() for n, p in base.named_parameters() if n.endswith("bias")}
    model = adapted(base, bias=bias)
    train_a_step(model)

    def biases():
        inner = model.get_base_model().named_parameters()
        return {n.replace(".base_layer", ""): p for n, p in inner if n.endswith("bias")}

    trained = {n: p.clone() for n, p in biases().items()}
    moved = {n for n in before if not torch.equal(trained[n], before[n])}
    assert moved == ({"first.bias", "norm.bias", "head.bias"} if bias == "all" else {"first.bias"})
    if how == "disable":
        with pytest.raises(RuntimeError, match="inside"), model.disable_adapter():
            assert all(torch.equal(biases()[n], before[n]) for n in before)
            raise RuntimeError("inside")
        assert all(torch.equal(biases()[n], trained[n]) for n in before)
        return
    model.add_adapter("other", ll.LoraConfig(target_modules=["second"], **SMALL))
    if how == "unload":
        base = model.unload()
        assert all(torch.equal(p, before[n]) for n, p in base.named_parameters() if n in before)
        return
    model.set_adapter("other")
    assert all(torch.equal(biases()[n], before[n]) for n in before)
    if how == "delete":
        model.delete_adapter("default")
        assert all(torch.equal(biases()[n], before[n]) for n in before)
    else:
        model.set_adapter("default")
        assert all(torch.equal(biases()[n], trained[n]) for n in before)


def test_biases_of_an_adapter_that_is_not_active_are_saved():
    model = adapted(bias="all")
    train_a_step(model)
    active = {k: v.clone() for k, v in ll.get_peft_model_state_dict(model).items()}
    model.add_adapter("other", ll.LoraConfig(target_modules=["first"], **SMALL))
    model.set_adapter("other")
    now = ll.get_peft_model_state_dict(model)
    assert active.keys() == now.keys()
    assert all(torch.equal(active[key], now[key]) for key in active)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target_modules": ["first", "secnd"]}, "target_modules entry 'secnd'.*'second'"),
        ({"modules_to_save": ["heads"]}, "modules_to_save entry 'heads'.*'head'"),
        ({"rank_pattern": {"frst": 2}}, "rank_pattern entry 'frst'.*'first'"),
        ({"alpha_pattern": {"head": 2}}, "alpha_pattern entry 'head'"),
        ({"trainable_token_indices": {"embed": [1]}}, "trainable_token_indices entry 'embed'"),
        ({"target_modules": ["scond"]}, "not found in the base model.*'second'"),
    ],
)
def test_an_entry_that_matches_nothing_is_named(fields, message):
    base = Mlp()
    before = snapshot(base)
    with pytest.raises(ll.NoMatchingPeftModuleError, match=message):
        adapted(base, **fields)
    assert same(base, before)


@pytest.mark.parametrize("targets", [["first", "norm"], ["first", "second", "relu"]])
def test_no_half_wrapped_model(targets):
    base = Mlp()
    base.relu = nn.ReLU()
    flags = [p.requires_grad for p in base.parameters()]
    with pytest.raises(ValueError, match="is not supported"):
        adapted(base, target_modules=targets)
    assert type(base.first) is nn.Linear
    assert [p.requires_grad for p in base.parameters()] == flags
    assert "peft_config" not in base.__dict__


def test_a_failure_half_way_is_undone(monkeypatch):
    base = Mlp()
    before, flags = snapshot(base), [p.requires_grad for p in base.parameters()]
    calls = itertools.count()
    original = ll.LoraLinear.update_layer

    def failing(self, *args, **kwargs):
        if next(calls) == 1:
            raise RuntimeError("no memory")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(ll.LoraLinear, "update_layer", failing)
    with pytest.raises(RuntimeError, match="no memory"):
        adapted(base)
    assert same(base, before)
    assert [p.requires_grad for p in base.parameters()] == flags


@pytest.mark.parametrize("name", ["first", "head", "norm"])
def test_an_adapter_named_as_a_module_is_refused(name):
    model = adapted()
    with pytest.raises(ValueError, match="collides with a module"):
        model.add_adapter(name, ll.LoraConfig(target_modules=["first"], **SMALL))
    assert list(model.peft_config) == ["default"]


def test_saved_modules_match_at_a_dot():
    base = Mlp()
    base.overhead = nn.Linear(3, 3)
    model = adapted(base, modules_to_save=["head"])
    wrapped = [n for n, m in model.named_modules() if isinstance(m, ll.ModulesToSaveWrapper)]
    assert wrapped == ["base_model.model.head"]


def test_a_shared_parameter_under_two_targets_is_refused():
    base = Mlp()
    base.third = nn.Linear(11, 7, bias=False)
    base.third.weight = base.second.weight
    with pytest.raises(ValueError, match="share one weight"):
        adapted(base, target_modules=["second", "third"])


def test_a_rank_above_the_layers_size_is_warned_of_once():
    with pytest.warns(ll.PeftWarning, match="is above the size of") as record:
        adapted(r=9)
    assert len(record) == 1


def test_a_full_name_obeys_layers_to_transform():
    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.ModuleDict({"lin": nn.Linear(4, 4)}) for _ in range(3))

    names = [f"model.layers.{i}.lin" for i in range(3)]
    config = ll.LoraConfig(r=2, target_modules=names, layers_to_transform=[1])
    model = ll.get_peft_model(nn.ModuleDict({"model": Stack()}), config)
    assert model.targeted_module_names == ["model.layers.1.lin"]


def test_the_callers_config_is_left_alone():
    config = ll.LoraConfig(r=3, target_modules="all-linear", modules_to_save=["head"])
    ll.get_peft_model(Mlp(), config)
    assert (config.target_modules, config.modules_to_save) == ("all-linear", ["head"])


@pytest.mark.parametrize("task", ["TOKEN_CLS", "QUESTION_ANS", "SEQ_CLS"])
def test_heads_and_all_linear_go_together(task):
    model = Mlp()
    head = "qa_outputs" if task == "QUESTION_ANS" else "classifier"
    model.add_module(head, nn.Linear(3, 3))
    adapted_model = adapted(model, target_modules="all-linear", task_type=task)
    assert isinstance(getattr(model, head), ll.ModulesToSaveWrapper)
    assert head not in adapted_model.targeted_module_names


def test_a_forgotten_task_type_is_warned_of():
    class TinyForSequenceClassification(Mlp):
        pass

    with pytest.warns(ll.PeftWarning, match="no task_type"):
        adapted(TinyForSequenceClassification())
