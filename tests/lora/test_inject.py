"""Injection: the plan, its report, and that a second look at a model finds the right modules."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import lora_lessons as ll
from lora_lessons.lora.inject import plan_injection, targetable_modules
from tests.parity.models import Mlp, tiny_qwen2

X = torch.randn(3, 5, generator=torch.Generator().manual_seed(4))
FIELDS = {"r": 3, "target_modules": ["first", "second"], "init_lora_weights": False}


def test_a_plan_changes_nothing_and_reports_layer_by_layer():
    base = Mlp()
    config = ll.LoraConfig(
        r=3, lora_alpha=7, target_modules=["first"], modules_to_save=["head"], lora_bias=True
    )
    report = str(plan_injection(base, config)).splitlines()
    assert type(base.first) is nn.Linear
    assert report[1].split() == ["first", str(3 * (5 + 11) + 11), "r=3", "alpha=7"]
    assert report[2].split()[:2] == ["head", "24"]
    assert report[3].split() == ["total", str(59 + 24)]


@pytest.mark.parametrize("targets", ["all-linear", "ALL-LINEAR", None, r".*mlp\..*_proj"])
def test_the_reports_total_is_what_trains(targets):
    config = ll.LoraConfig(r=2, target_modules=targets, modules_to_save=["norm"])
    model = ll.get_peft_model(tiny_qwen2(), config)
    total = str(model.base_model.plans["default"]).splitlines()[-1].split()[1]
    assert int(total.replace(",", "")) == model.get_nb_trainable_parameters()[0]


def test_all_linear_leaves_the_output_head_out():
    model = ll.get_peft_model(tiny_qwen2(), ll.LoraConfig(r=2, target_modules="all-linear"))
    ends = {name.rsplit(".", 1)[-1] for name in model.targeted_module_names}
    assert ends == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    plain = ll.get_peft_model(Mlp(), ll.LoraConfig(r=2, target_modules="all-linear"))
    assert plain.targeted_module_names == ["first", "second", "head"]


def test_all_linear_on_a_model_that_has_adapters_finds_the_same_layers():
    model = ll.get_peft_model(Mlp(), ll.LoraConfig(r=2, target_modules="all-linear"))
    model.add_adapter("b", ll.LoraConfig(r=2, target_modules="all-linear"))
    assert model.peft_config["b"].target_modules == {"first", "second", "head"}


def test_insides_of_adapters_are_no_targets():
    model = ll.get_peft_model(Mlp(), ll.LoraConfig(**FIELDS, modules_to_save=["head"]))
    names = dict(targetable_modules(model.base_model.model))
    assert list(names) == ["first", "norm", "second", "head"]
    with pytest.raises(ll.NoMatchingPeftModuleError):
        model.add_adapter("b", ll.LoraConfig(r=2, target_modules=["base_layer"]))


def test_everything_excluded_says_so():
    config = ll.LoraConfig(r=2, target_modules=["first"], exclude_modules=["first"])
    with pytest.raises(ll.NoMatchingPeftModuleError, match="All modules were excluded"):
        ll.get_peft_model(Mlp(), config)
    with pytest.raises(ll.NoMatchingPeftModuleError, match="No `target_modules` passed"):
        ll.get_peft_model(Mlp(), ll.LoraConfig(r=2, target_modules=[]))


def test_a_model_can_do_with_saved_modules_alone():
    config = ll.LoraConfig(r=2, target_modules=[], modules_to_save=["head"])
    model = ll.get_peft_model(Mlp(), config)
    trains = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {n.rsplit(".", 1)[0] for n in trains} == {
        "base_model.model.head.modules_to_save.default"
    }


@pytest.mark.parametrize("name", ["", "a.b", 3, "keys", "weight"])
def test_adapter_names_that_cannot_be_are_refused(name):
    with pytest.raises(ValueError, match="adapter"):
        ll.get_peft_model(Mlp(), ll.LoraConfig(**FIELDS), name)


@pytest.mark.parametrize(
    ("fields", "wrapper"),
    [
        ({"modules_to_save": ["default"]}, "ModulesToSaveWrapper"),
        ({"modules_to_save": ["lora_A.other"]}, "ModulesToSaveWrapper"),
        ({"trainable_token_indices": {"default": [1]}}, "TrainableTokensWrapper"),
    ],
)
def test_entries_that_mean_a_part_of_an_adapter_are_refused_in_pefts_words(fields, wrapper):
    message = rf"target a module with <class '.*{wrapper}'> that is a child of .*not conflict with"
    model = ll.get_peft_model(Mlp(), ll.LoraConfig(**FIELDS), "other")
    before = [name for name, _ in model.named_parameters()]
    with pytest.raises(ValueError, match=message):
        model.add_adapter("default", ll.LoraConfig(**FIELDS, **fields))
    assert [name for name, _ in model.named_parameters()] == before
    assert list(model.peft_config) == ["other"]


def test_a_second_injection_warns_and_needs_a_name_of_its_own():
    config = ll.LoraConfig(**FIELDS)
    model = ll.get_peft_model(Mlp(), config)
    for again in (model, model.get_base_model()):
        with (
            pytest.warns(ll.PeftWarning, match="for a second time"),
            pytest.raises(ValueError, match="already"),
        ):
            ll.get_peft_model(again, config)


def test_a_module_under_two_names_is_wrapped_at_most_once():
    base = Mlp()
    base.alias = base.first
    with pytest.raises(ValueError, match="share one weight"):
        ll.get_peft_model(base, ll.LoraConfig(r=2, target_modules=["first", "alias"]))


def test_a_block_that_is_used_twice_gets_one_adapter():
    block = nn.Sequential(nn.Linear(5, 5), nn.Tanh())
    model = nn.Sequential(block, block)
    adapted = ll.get_peft_model(
        model, ll.LoraConfig(r=2, target_modules=["0"], exclude_modules="0")
    )
    assert adapted.targeted_module_names == ["0.0"]
    assert model[0][0] is model[1][0]
    assert isinstance(model[1][0], ll.LoraLinear)


def test_layers_keep_their_mode():
    model = ll.get_peft_model(Mlp().eval(), ll.LoraConfig(**FIELDS, lora_dropout=0.5))
    assert not any(module.training for module in model.modules())
    assert torch.equal(model(X), model(X))


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_model_can_be_copied_and_pickled(how):
    fields = {**FIELDS, "bias": "all", "modules_to_save": ["head"]}
    model = ll.get_peft_model(Mlp(), ll.LoraConfig(**fields)).eval()
    model.merge_adapter()
    again = how(model)
    assert torch.equal(again(X), model(X))
    again.unmerge_adapter()
    model.unmerge_adapter()
    assert torch.equal(again(X), model(X))
    with again.disable_adapter():
        assert torch.equal(again(X), Mlp()(X))


class Custom(nn.Module, ll.LoraLayer):
    """A layer class as users of PEFT write them."""

    def __init__(self, base_layer, adapter_name, config, r, lora_alpha, **kwargs):
        super().__init__()
        ll.LoraLayer.__init__(self, base_layer, **kwargs)
        self._active_adapter = adapter_name
        self.lora_A[adapter_name] = nn.Linear(11, r)

    def forward(self, x):
        return self.base_layer(x)


def test_users_bring_layers_of_their_own():
    config = ll.LoraConfig(r=2, target_modules=["norm"])
    config._register_custom_module({nn.LayerNorm: Custom})
    with pytest.warns(ll.PeftWarning, match="Unsupported layer type.*proceed at your own risk"):
        model = ll.get_peft_model(Mlp(), config)
    assert isinstance(model.base_model.model.norm, Custom)
    assert model.unload().norm.__class__ is nn.LayerNorm


NAMES = st.sampled_from(["first", "second", "head", "norm", "x", ".*", "relu"])
CONFIGS = st.fixed_dictionaries(
    {"r": st.integers(1, 3)},
    optional={
        "target_modules": st.lists(NAMES, max_size=3) | NAMES | st.just("all-linear"),
        "exclude_modules": st.lists(NAMES, max_size=2),
        "modules_to_save": st.lists(NAMES, max_size=2),
        "rank_pattern": st.dictionaries(NAMES, st.integers(1, 3), max_size=1),
        "bias": st.sampled_from(["none", "all", "lora_only"]),
        "use_dora": st.booleans(),
        "init_lora_weights": st.sampled_from([True, False, "pissa", "gaussian"]),
    },
)


def check_fuzzed(fields: dict) -> None:
    """An injection works and can be taken back exactly, or it raises and leaves no trace."""
    base = Mlp()
    before = {name: value.clone() for name, value in base.state_dict().items()}
    flags = [p.requires_grad for p in base.parameters()]
    try:
        model = ll.get_peft_model(base, ll.LoraConfig(**fields))
    except ValueError as error:
        assert str(error)
        assert [p.requires_grad for p in base.parameters()] == flags
    else:
        assert model(X).isfinite().all()
        assert model.unload() is base
    assert list(base.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())


@pytest.mark.filterwarnings("ignore::lora_lessons.errors.PeftWarning")
@settings(max_examples=80, deadline=None)
@given(CONFIGS)
def test_fuzzed_injections(fields):
    check_fuzzed(fields)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::lora_lessons.errors.PeftWarning")
@settings(max_examples=5000, deadline=None)
@given(CONFIGS)
def test_many_fuzzed_injections(fields):
    check_fuzzed(fields)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("target_modules", ["first", "secnd"], "'secnd' matches no module.*'second'"),
        ("modules_to_save", "head", "must be a list of module names"),
        ("r", 0, "`r` should be a positive integer"),
        ("bias", None, 'Use "none", a string'),
        ("use_qalora", True, "use_qalora=True is not supported"),
    ],
)
def test_a_field_set_after_the_config_was_made_is_checked_too(field, value, message):
    config = ll.LoraConfig(**FIELDS)
    setattr(config, field, value)
    base = Mlp()
    with pytest.raises(ValueError, match=message):
        ll.get_peft_model(base, config)
    assert type(base.first) is nn.Linear
    assert getattr(config, field) == value


class Layers(nn.Module):
    """Two blocks in a list, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleDict({"lin": nn.Linear(5, 5), "up": nn.Linear(5, 5)}) for _ in range(2)
        )
        self.head = nn.Linear(5, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"exclude_modules": ["lni"]}, "exclude_modules entry 'lni' matches no.*mean 'lin'"),
        ({"exclude_modules": r".*\.9\..*"}, r"exclude_modules entry .* matches no module"),
        ({"layers_to_transform": [0, 99]}, r"names layers \[99\] .* it has \[0, 1\]"),
        ({"layers_to_transform": 2}, r"names layers \[2\] .* it has \[0, 1\]"),
        (
            {"layers_to_transform": [0], "layers_pattern": "lyers"},
            r"names layers \[0\] .* it has none under that layers_pattern",
        ),
    ],
)
def test_a_filter_that_filters_nothing_is_refused(fields, message):
    model = nn.ModuleDict({"model": Layers()})
    with pytest.raises(ll.NoMatchingPeftModuleError, match=message):
        plan_injection(model, ll.LoraConfig(target_modules=["lin"], **fields))


def test_layers_at_the_top_of_a_model_need_the_name_of_their_list():
    fields = {"r": 2, "target_modules": ["lin"], "layers_to_transform": [1]}
    with pytest.raises(ll.NoMatchingPeftModuleError, match=r"layers_pattern='layers'\."):
        plan_injection(Layers(), ll.LoraConfig(**fields))
    plan = plan_injection(Layers(), ll.LoraConfig(**fields, layers_pattern="layers"))
    assert [target.name for target in plan.targets] == ["layers.1.lin"]


def test_a_pattern_in_a_list_is_told_so():
    config = ll.LoraConfig(target_modules=["head", r".*\.lin"])
    with pytest.raises(ll.NoMatchingPeftModuleError, match="a pattern works only as one string"):
        plan_injection(Layers(), config)


@pytest.mark.parametrize("names", [["layers.0", "layers.0.lin"], ["lin", "layers.0"]])
def test_a_module_is_copied_once(names):
    config = ll.LoraConfig(r=2, target_modules=["head"], modules_to_save=names)
    with pytest.raises(ll.ConfigError, match=r"layers\.0\.lin and layers\.0, in which it is"):
        ll.get_peft_model(Layers(), config)


@pytest.mark.parametrize(
    ("target", "saved"), [("head", "head"), ("layers.0.lin", "layers.0"), ("lin", "layers")]
)
def test_a_module_with_adapters_cannot_be_copied_for_another_adapter(target, saved):
    first = ll.LoraConfig(r=2, target_modules=[target], init_lora_weights=False)
    other = "layers.1.up" if saved != "layers" else "head"
    model = ll.get_peft_model(Layers(), first)
    tensors = ll.get_peft_model_state_dict(model)
    with pytest.raises(ll.ConfigError, match=f"modules_to_save names {saved}, and .* has adapters"):
        model.add_adapter("b", ll.LoraConfig(target_modules=[other], modules_to_save=[saved]))
    after = ll.get_peft_model_state_dict(model)
    assert after.keys() == tensors.keys()
    assert all(torch.equal(after[key], value) for key, value in tensors.items())


def test_targets_that_are_saved_whole_are_named():
    config = ll.LoraConfig(target_modules=["up"], modules_to_save=["layers"])
    with pytest.raises(
        ll.NoMatchingPeftModuleError, match=r"'layers\.0\.up', is in modules_to_save"
    ):
        plan_injection(Layers(), config)


@pytest.mark.parametrize("name", ["/tmp/elsewhere", "~/elsewhere", "../elsewhere", "", 3])
def test_an_adapters_name_stays_inside_the_folder(name):
    with pytest.raises(ll.ConfigError, match="an adapter's name is a word"):
        ll.get_peft_model(Mlp(), ll.LoraConfig(**FIELDS), name)


def test_arguments_in_the_wrong_order_are_named():
    config = ll.LoraConfig(**FIELDS)
    for wrong in ((config, Mlp()), (None, config), (Mlp(), {"r": 2})):
        with pytest.raises(TypeError, match="a model and then a LoraConfig are needed"):
            ll.get_peft_model(*wrong)
    with pytest.raises(TypeError, match="given were Mlp and dict"):
        ll.get_peft_model(Mlp(), config).add_adapter("b", {"r": 2})


def test_pefts_own_config_is_named_as_such():
    config = pytest.importorskip("peft").LoraConfig(r=2, target_modules=["up"])
    with pytest.raises(
        TypeError, match="given were Mlp and LoraConfig of peft: take lora_lessons'"
    ):
        ll.get_peft_model(Mlp(), config)


def test_a_module_of_a_kind_without_lora_is_named_in_one_line():
    with pytest.raises(
        ValueError, match=r"Target module model\.layers\.0, a \w+, is not"
    ) as raised:
        ll.get_peft_model(tiny_qwen2(), ll.LoraConfig(target_modules=["0"]))
    assert "lora_lessons.base.nf4_linear.NF4Linear" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_failed_injection_leaves_no_hook():
    base = tiny_qwen2()
    new, old = "activation_checkpointing_enable", "gradient_checkpointing_enable"
    getattr(base, new if hasattr(base, new) else old)()
    hooks = len(base.get_input_embeddings()._forward_hooks)
    with pytest.raises(ll.NoMatchingPeftModuleError):
        ll.get_peft_model(base, ll.LoraConfig(target_modules=["q_prj"]))
    assert len(base.get_input_embeddings()._forward_hooks) == hooks


def test_what_is_inside_a_saved_module_can_be_excluded_by_each_adapter():
    config = ll.LoraConfig(
        r=2, target_modules=["up"], exclude_modules=["0.lin"], modules_to_save=["layers.0"]
    )
    model = ll.get_peft_model(Layers(), config)
    config.exclude_modules = ["layers.0.lin"]
    model.add_adapter("b", config)
    assert list(model.peft_config) == ["default", "b"]
