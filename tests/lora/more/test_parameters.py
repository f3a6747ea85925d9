"""target_parameters: experts and matrices that no layer of their own computes with."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import lora_lessons as ll
from lora_lessons.errors import ConfigError, NoMatchingPeftModuleError
from lora_lessons.lora.more.layers.parameters import ParamWrapper
from tests.lora.more.weight_models import EXPERTS, Block, example, tiny_moe, trained


def config(**fields) -> ll.LoraConfig:
    given = {"r": 2, "lora_alpha": 6, "target_parameters": EXPERTS, "target_modules": []}
    return ll.LoraConfig(**{**given, **fields})


def adapted(transposed: bool = False, **fields) -> nn.Module:
    return trained(ll.get_peft_model(Block(transposed), config(**fields))).eval()


def experts_of(model: nn.Module) -> nn.Module:
    return model.base_model.model.experts


BOTH = pytest.mark.parametrize("transposed", [False, True])


@BOTH
def test_it_starts_as_the_base_and_trains_the_factors_alone(transposed):
    base, x = Block(transposed), example()
    expected = base(x)
    model = ll.get_peft_model(base, config())
    assert torch.equal(model(x), expected)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    assert all("experts" in name and ".lora_" in name for name in names)
    assert len(names) == 4  # A and B, of two tensors
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 2 * 3 * 2 * (5 + 7)


@BOTH
def test_each_expert_has_an_update_of_its_own_rank(transposed):
    model = adapted(transposed)
    for layer in experts_of(model).chain():
        delta = layer.get_delta_weight("default")
        assert delta.shape == layer.base_weight.shape
        assert torch.linalg.matrix_rank(delta).tolist() == [2, 2, 2]
        A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        second = 6 / 2 * B[:, 1::3] @ A[2:4]  # of the second expert: (out, in)
        torch.testing.assert_close(delta[1], second.T if transposed else second)


@BOTH
def test_the_block_computes_with_the_updated_weights(transposed):
    model, plain, x = adapted(transposed), Block(transposed), example()
    with torch.no_grad():
        for layer in experts_of(model).chain():
            getattr(plain.experts, layer.parameter_name).add_(layer.get_delta_weight("default"))
    torch.testing.assert_close(model(x), plain(x), rtol=0, atol=1e-6)


@BOTH
def test_gradients_are_those_of_finite_differences(transposed):
    model, x = adapted(transposed).double(), example(torch.float64)
    factors = [p for p in model.parameters() if p.requires_grad]
    assert len(factors) == 4

    def loss(*values):
        names = [name for name, p in model.named_parameters() if p.requires_grad]
        state = dict(zip(names, values, strict=True))
        return torch.func.functional_call(model, state, (x,)).square().sum()

    assert torch.autograd.gradcheck(loss, [p.detach().requires_grad_() for p in factors])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_merged_equals_unmerged_bit_for_bit_and_unmerging_is_exact(dtype):
    base = Block().to(dtype)
    before = copy.deepcopy(base.state_dict())
    x = example(dtype)
    model = trained(ll.get_peft_model(base, config())).eval()
    expected = model(x)
    model.merge_adapter()
    assert torch.equal(model(x), expected)
    assert not torch.equal(experts_of(model).get_base_layer().up, before["experts.up"])
    model.unmerge_adapter()
    assert torch.equal(model(x), expected)
    with model.disable_adapter():
        assert torch.equal(model(x), Block().to(dtype)(x))
    plain = model.unload()
    assert all(torch.equal(plain.state_dict()[name], value) for name, value in before.items())


def test_merge_and_unload_gives_the_plain_block_back():
    model, x = adapted(), example()
    expected = model(x)
    plain = model.merge_and_unload()
    assert type(plain.experts) is type(Block().experts)
    assert plain.state_dict().keys() == Block().state_dict().keys()
    assert torch.equal(plain(x), expected)


def test_a_broken_adapter_is_not_merged():
    model = adapted()
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        next(experts_of(model).chain()).lora_A["default"].weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaNs detected"):
        model.merge_adapter(safe_merge=True)
    for name in ("up", "down"):
        key = next(key for key in before if key.endswith(f".{name}"))
        assert torch.equal(model.state_dict()[key], before[key])


def test_one_transposed_expert_is_an_expert():
    base, x = Block(transposed=True), example()
    for name in ("up", "down"):
        setattr(base.experts, name, nn.Parameter(getattr(base.experts, name)[:1].clone()))
    base.gate.weight = nn.Parameter(base.gate.weight[:1].clone())
    model = ll.get_peft_model(base, config())
    expected = model.base_model.model.experts(x, shares=torch.ones(1))
    trained(model)
    adapted_output = model.base_model.model.experts(x, shares=torch.ones(1))
    assert not torch.allclose(adapted_output, expected)
    plain = model.merge_and_unload()
    assert torch.equal(plain.experts(x, shares=torch.ones(1)), adapted_output)


def test_an_error_inside_leaves_the_base_as_it_was():
    model, x = adapted(), example()
    base = experts_of(model).get_base_layer()
    parameters, expected = dict(base.named_parameters()), model(x)
    base.fails = True
    with pytest.raises(RuntimeError, match="inside the experts"):
        model(x)
    assert all(base._parameters[name] is parameter for name, parameter in parameters.items())
    base.fails = False
    assert torch.equal(model(x), expected)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_gives_the_same_gradients(use_reentrant):
    model, x = adapted(), example().requires_grad_()
    model(x).square().mean().backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    checkpoint(model, x, use_reentrant=use_reentrant).square().mean().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert torch.equal(parameter.grad, expected[name]), name


@pytest.mark.filterwarnings("ignore::FutureWarning")  # transformers will rename it
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_transformers_checkpointing_and_generation(use_reentrant):
    targets = {"target_parameters": ["gate_up_proj", "down_proj"], "target_modules": []}
    fields = {"r": 2, "init_lora_weights": False, "task_type": "CAUSAL_LM"}
    model = ll.get_peft_model(tiny_moe("mixtral"), ll.LoraConfig(**targets, **fields)).train()
    ids = torch.arange(14).reshape(2, 7)

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}

    expected = gradients()
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    assert all(torch.equal(grad, expected[name]) for name, grad in gradients().items())
    model.gradient_checkpointing_disable()
    chosen = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    generated = model.eval().generate(input_ids=ids[:1], **chosen)
    with model.disable_adapter():
        of_base = model.generate(input_ids=ids[:1], **chosen)
    assert not torch.equal(generated, of_base)
    merged = model.merge_and_unload()
    assert torch.equal(merged.generate(input_ids=ids[:1], **chosen), generated)


def test_a_matrix_that_its_parent_reads_is_adapted_too():
    base, x = Block(), example()
    expected = base(x)
    model = ll.get_peft_model(base, config(target_parameters=["gate.weight"]))
    assert torch.equal(model(x), expected)
    trained(model)
    assert not torch.allclose(model(x), expected)
    model(x).square().mean().backward()
    assert all(p.grad.any() for p in model.parameters() if p.requires_grad)
    adapted_output = model(x)
    assert torch.equal(model.merge_and_unload()(x), adapted_output)


def test_the_module_s_own_names_are_read_through():
    experts = experts_of(adapted())
    assert (experts.num_experts, experts.is_transposed, experts.fails) == (3, False, False)
    with pytest.raises(AttributeError, match=r"Experts.*misspelt"):
        _ = experts.misspelt


def test_two_adapters_add_up_switch_and_go():
    model, x = adapted(), example()
    model.add_adapter("second", config(r=1, use_rslora=True))
    model.set_adapter("second")
    trained(model, seed=5)
    deltas = {
        layer.parameter_name: layer.get_delta_weight("default") + layer.get_delta_weight("second")
        for layer in experts_of(model).chain()
    }
    assert len(deltas) == 2
    model.base_model.set_adapter(["second", "default"])
    plain = Block()
    with torch.no_grad():
        for name, delta in deltas.items():
            getattr(plain.experts, name).add_(delta)
    torch.testing.assert_close(model(x), plain(x), rtol=0, atol=1e-6)
    both = model(x)
    model.merge_adapter()
    assert torch.equal(model(x), both)
    model.unmerge_adapter()
    model.delete_adapter("second")
    torch.testing.assert_close(model(x), adapted()(x), rtol=0, atol=0)


def test_modules_inside_an_adapted_module_have_adapters_too():
    base, x = Block(), example()
    base.experts.inner = nn.Sequential(nn.Linear(7, 7))
    base.experts.register_forward_pre_hook(lambda m, args: (m.inner(args[0]), *args[1:]))
    plain = copy.deepcopy(base)
    both = {"target_modules": ["inner.0"], "target_parameters": [*EXPERTS, "inner.0.weight"]}
    with pytest.raises(ConfigError, match="not a valid target"):
        ll.get_peft_model(base, config(**both))
    model = ll.get_peft_model(base, config(target_modules=["inner.0"]))
    assert torch.equal(model(x), plain(x))
    model.add_adapter("second", config(target_modules=["inner.0"]))
    model.set_adapter("second")
    trained(model)
    inner = model.base_model.model.experts.get_base_layer().inner[0]
    assert set(inner.lora_A) == {"default", "second"}
    expected = model(x)
    assert not torch.allclose(expected, plain(x))
    bare = model.merge_and_unload()
    torch.testing.assert_close(bare(x), expected, rtol=0, atol=1e-5)
    assert bare.state_dict().keys() == plain.state_dict().keys()


def test_patterns_give_ranks_and_alphas_by_the_parameter_s_name():
    fields = {"rank_pattern": {"experts.up": 4}, "alpha_pattern": {"down": 5}}
    model = adapted(**fields)
    layers = {layer.parameter_name: layer for layer in experts_of(model).chain()}
    assert {name: layer.r["default"] for name, layer in layers.items()} == {"up": 4, "down": 2}
    scaling = {name: layer.scaling["default"] for name, layer in layers.items()}
    assert scaling == {"up": 6 / 4, "down": 5 / 2}
    plan = str(model.base_model.plans["default"])
    assert "experts.up" in plan
    assert "r=4 alpha=6 experts=3" in plan
    with pytest.raises(NoMatchingPeftModuleError, match=r"rank_pattern.*experts\.pu"):
        adapted(rank_pattern={"experts.pu": 4})


def test_files_and_status():
    model, x = adapted(), example()
    keys = set(ll.get_peft_model_state_dict(model))
    start = "base_model.model.experts"  # `up` was registered first, so it is the inner one
    assert keys == {f"{start}{i}.lora_{f}.weight" for i in ("", ".base_layer") for f in "AB"}
    rows = ll.get_layer_status(model)
    assert [row.module_type for row in rows] == ["lora.ParamWrapper"] * 2
    assert "parameter_name='down'" in repr(experts_of(model))
    report = {row.name: row.error for row in model.merge_report()}
    assert list(report) == ["experts", "experts.base_layer"]
    assert max(report.values()) < 1e-5
    again = copy.deepcopy(model)
    assert torch.equal(again(x), model(x))


@pytest.mark.parametrize("low", [False, True])
def test_saved_and_loaded(tmp_path, low):
    model, x = adapted(rank_pattern={"up": 3}), example()
    model.save_pretrained(tmp_path)
    loaded = ll.PeftModel.from_pretrained(Block(), tmp_path, low_cpu_mem_usage=low)
    assert torch.equal(loaded(x), model(x))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"lora_dropout": 0.1}, r"lora_dropout=0\.1"),
        ({"use_dora": True}, "use_dora"),
        ({"lora_bias": True}, "lora_bias"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
        ({"init_lora_weights": "orthogonal"}, "init_lora_weights='orthogonal'"),
    ],
)
def test_what_it_cannot_have_is_refused_when_the_config_is_made(fields, match):
    with pytest.raises(ConfigError, match=match):
        config(**fields)


@pytest.mark.parametrize("value", ["experts.up", [1], {"experts.up": 2}, 3])
def test_only_a_list_of_names_is_taken(value):
    with pytest.raises(TypeError, match="`target_parameters` must be a list"):
        config(target_parameters=value)


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        (["experts.up", "experts.dwon"], r"'experts\.dwon'.*Did you mean 'experts\.down'"),
        (["perts.up"], "matches no parameter"),
        (["gate.scale"], r"gate\.scale of shape \(7,\)"),
        (["out.bias"], "2 or 3 dimensions"),
    ],
)
def test_entries_that_cannot_be_adapted(entries, match):
    base = Block()
    before = str(base)
    with pytest.raises(
        ConfigError if "dimensions" in match or "shape" in match else NoMatchingPeftModuleError,
        match=match,
    ):
        ll.get_peft_model(base, config(target_parameters=entries))
    assert str(base) == before


def test_a_parameter_of_the_model_itself_says_so():
    model = Block()
    model.table = nn.Parameter(torch.zeros(3, 3))
    with pytest.raises(NoMatchingPeftModuleError, match="belongs to the model itself"):
        ll.get_peft_model(model, config(target_parameters=["table"]))


def test_a_module_is_not_targeted_both_ways():
    both = config(target_parameters=["out.weight"], target_modules=["out"])
    with pytest.raises(ConfigError, match="not a valid target"):
        ll.get_peft_model(Block(), both)
    model = ll.get_peft_model(Block(), config(target_parameters=["out.weight"]))
    with pytest.raises(ConfigError, match="by target_parameters"):
        model.add_adapter("second", ll.LoraConfig(r=2, target_modules=["out"]))
    model = ll.get_peft_model(Block(), ll.LoraConfig(r=2, target_modules=["out"]))
    with pytest.raises(ConfigError, match="not a valid target"):
        model.add_adapter("second", config(target_parameters=["out.weight"]))


def test_adapters_of_one_module_have_the_same_parameters():
    model = ll.get_peft_model(Block(), config())
    with pytest.raises(ConfigError, match="same set of parameters"):
        model.add_adapter("second", config(target_parameters=["experts.up"]))
    assert list(model.peft_config) == ["default"]


def test_shared_parameters_are_not_adapted_twice():
    model = Block()
    model.more = nn.Module()
    model.more.up = model.experts.up
    with pytest.raises(ConfigError, match="share one weight"):
        ll.get_peft_model(model, config(target_parameters=["experts.up", "more.up"]))
    with pytest.warns(ll.PeftWarning, match=r"shares its weight with more\.up"):
        adapted = ll.get_peft_model(model, config(target_parameters=["experts.up"]))
    with pytest.raises(ll.MergeError, match="share one weight"):
        adapted.merge_adapter()


def test_what_is_refused_or_warned_of_in_use():
    model, x = adapted(), example()
    with pytest.raises(ValueError, match="mixed adapter batches"):
        model(x, adapter_names=["default"] * 3 + ["__base__"])
    with pytest.raises(ValueError, match="add_weighted_adapter does not support"):
        model.add_weighted_adapter(["default"], [2.0], "twice")
    with pytest.raises(ConfigError, match="inject without the state_dict"):
        ll.inject_adapter_in_model(config(), Block(), state_dict={"x.lora_A.weight": x})
    with pytest.warns(ll.PeftWarning, match="is above the size of experts.up"):
        adapted_to(r=9)
    with pytest.warns(ll.PeftWarning, match="exclude_modules is for target_modules alone"):
        adapted_to(exclude_modules=["experts"], target_modules=["out"])
    with pytest.raises(ConfigError, match=r"experts\.up, stored as torch\.float8"):
        base = Block()
        base.experts.up = nn.Parameter(base.experts.up.to(torch.float8_e4m3fn), False)
        ll.get_peft_model(base, config())


def adapted_to(**fields) -> nn.Module:
    return ll.get_peft_model(Block(), config(**{"target_parameters": ["experts.up"], **fields}))


def test_target_modules_may_be_left_out_where_the_model_has_no_default():
    model = ll.get_peft_model(Block(), config(target_modules=None))
    assert set(model.base_model.lora_layers()) == {"experts", "experts.base_layer"}
    moe = ll.get_peft_model(tiny_moe("mixtral"), ll.LoraConfig(target_parameters=["down_proj"]))
    kinds = [type(layer) for layer in moe.base_model.lora_layers().values()]
    assert kinds.count(ParamWrapper) == 2
    assert kinds.count(ll.LoraLinear) == 4  # Mixtral's default: q_proj and v_proj


def test_all_linear_is_quiet_about_parameters_that_are_targeted():
    with pytest.warns(ll.PeftWarning, match="target_parameters takes such names"):
        ll.get_peft_model(Block(), ll.LoraConfig(r=2, target_modules="all-linear"))
    every = [*EXPERTS, "gate.weight"]
    ll.get_peft_model(Block(), config(target_modules="all-linear", target_parameters=every))


def test_fit_trains_experts():
    def trained_weights(**options):
        targets = {"target_parameters": ["gate_up_proj", "down_proj"], "target_modules": []}
        torch.manual_seed(1)
        model = ll.get_peft_model(tiny_moe("mixtral"), ll.LoraConfig(r=4, **targets))
        base = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
        batches = ll.TokenBatches(torch.arange(400) % 7, 4, 16, seed=0)
        history = ll.fit(model, batches, steps=40, lr=5e-2, progress=False, **options)
        assert all(torch.equal(model.get_parameter(name), value) for name, value in base.items())
        return history.losses, ll.get_peft_model_state_dict(model)

    losses, weights = trained_weights()
    assert losses[-1] < losses[0] - 0.2
    _, again = trained_weights(recompute=True)
    for name, weight in weights.items():
        torch.testing.assert_close(again[name], weight, rtol=0, atol=1e-5, msg=name)
