"""Hot swapping: another file in an adapter's place, as PEFT does it, and where PEFT is silent."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from peft.utils import hotswap as theirs_of
from torch import nn

import lora_lessons as ll
from lora_lessons.lora.more.adapters import rank_room
from lora_lessons.lora.more.adapters.hotswap import hotswap_adapter_from_state_dict
from tests.lora.more.weight_models import EXPERTS, Block, example, trained
from tests.parity.models import LayerModel, Mlp

pytestmark = [  # PEFT's own noise
    pytest.mark.filterwarnings("ignore:LoRA adapter added to ConvNd layer with groups"),
    pytest.mark.filterwarnings("ignore:Adapter 'default'. 1 LoRA tensor"),  # of lora_B.bias
]
X = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
PLAIN = {"target_modules": ["first", "second"], "r": 3, "lora_alpha": 7, "init_lora_weights": False}


def adapted(library=ll, seed=1, build=Mlp, **fields):
    torch.manual_seed(seed)
    config = library.LoraConfig(**{**PLAIN, **fields})
    return library.get_peft_model(build(), config).eval()


def saved(path, **fields):
    """A folder with an adapter of PEFT's, drawn from another seed."""
    adapted(peft, seed=2, **fields).save_pretrained(path)
    return path


def state(model):
    """Everything that a swap could change."""
    layers = {n: m for n, m in model.named_modules() if isinstance(m, ll.LoraLayer)}
    plain = {n: (dict(m.r), dict(m.lora_alpha), dict(m.scaling)) for n, m in layers.items()}
    tensors = {n: t.clone() for n, t in model.state_dict().items()}
    return tensors, copy.deepcopy(plain), model.peft_config["default"].to_dict()


def same(one, other):
    return one[1:] == other[1:] and all(torch.equal(one[0][n], other[0][n]) for n in one[0])


SWAPS = {
    "the same rank": {},
    "another alpha": {"lora_alpha": 11},
    "a smaller rank": {"r": 2},
    "rank patterns": {"rank_pattern": {"second": 1}},
    "alpha patterns": {"alpha_pattern": {"^first": 20}},
    "fewer layers": {"target_modules": ["second"]},
}


@pytest.mark.parametrize("name", SWAPS)
def test_it_computes_what_the_file_alone_would_and_what_peft_does(tmp_path, name):
    folder = saved(tmp_path, **SWAPS[name])
    model = adapted()
    places = {n: p.data_ptr() for n, p in model.named_parameters()}
    ll.hotswap_adapter(model, folder, "default")
    alone = peft.PeftModel.from_pretrained(Mlp(), folder).eval()
    torch.testing.assert_close(model(X), alone(X), rtol=0, atol=1e-6)
    assert {n: p.data_ptr() for n, p in model.named_parameters()} == places
    if not name.endswith("patterns"):  # PEFT reads no pattern here, or refuses
        other = adapted(peft)
        theirs_of.hotswap_adapter(other, folder, "default", torch_device="cpu")
        torch.testing.assert_close(model(X), other(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SWAPS)
def test_what_is_saved_afterwards_is_the_swapped_adapter(tmp_path, name):
    model = adapted()
    ll.hotswap_adapter(model, saved(tmp_path / "new", **SWAPS[name]), "default")
    model.save_pretrained(tmp_path / "again")
    for library in (ll, peft):
        back = library.PeftModel.from_pretrained(Mlp(), tmp_path / "again").eval()
        torch.testing.assert_close(back(X), model(X), rtol=0, atol=1e-6)
    merged = copy.deepcopy(model).merge_and_unload()
    torch.testing.assert_close(merged(X), model(X), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "fields", [{"use_dora": True}, {"modules_to_save": ["head"]}, {"lora_bias": True}]
)
def test_all_that_a_file_holds_is_swapped(tmp_path, fields):
    first_only = {"target_modules": ["first"], **fields}
    folder = saved(tmp_path, **first_only)
    model = adapted(**first_only)
    ll.hotswap_adapter(model, folder, "default")
    alone = peft.PeftModel.from_pretrained(Mlp(), folder).eval()
    torch.testing.assert_close(model(X), alone(X), rtol=0, atol=1e-6)


def test_a_dora_layer_that_the_file_leaves_out_is_the_base_layer(tmp_path):
    folder = saved(tmp_path, use_dora=True, target_modules=["second"])
    model = adapted(use_dora=True)
    ll.hotswap_adapter(model, folder, "default")
    alone = peft.PeftModel.from_pretrained(Mlp(), folder).eval()
    torch.testing.assert_close(model(X), alone(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["linear", "embedding", "conv2d", "grouped", "hf_conv1d"])
def test_room_on_every_kind_of_layer_changes_no_output(tmp_path, kind):
    def build():
        return LayerModel(kind)

    fan = {"fan_in_fan_out": True} if kind == "hf_conv1d" else {}
    fields = {"target_modules": ["layer"], "build": build, **fan}
    x = build().example()
    model = adapted(**{**fields, "r": 2})
    before = model(x)
    ll.prepare_model_for_compiled_hotswap(model, target_rank=6)
    torch.testing.assert_close(model(x), before, rtol=0, atol=1e-6)
    model.save_pretrained(tmp_path / "padded")
    padded = peft.PeftModel.from_pretrained(build(), tmp_path / "padded").eval()
    torch.testing.assert_close(padded(x), before, rtol=0, atol=1e-6)
    for r in (6, 4, 2):
        adapted(peft, seed=r, **{**fields, "r": r}).save_pretrained(tmp_path / str(r))
        ll.hotswap_adapter(model, tmp_path / str(r), "default")
        alone = peft.PeftModel.from_pretrained(build(), tmp_path / str(r)).eval()
        torch.testing.assert_close(model(x), alone(x), rtol=0, atol=1e-6)


def test_a_compiled_model_is_not_compiled_again(tmp_path):
    big = saved(tmp_path / "big", r=5, lora_alpha=3)
    small = saved(tmp_path / "small", r=1, lora_alpha=4)
    model = adapted()
    ll.prepare_model_for_compiled_hotswap(model, target_rank=5)
    compiled = torch.compile(model, backend="eager")
    with torch.inference_mode():
        compiled(X)
    with torch._dynamo.config.patch(error_on_recompile=True), torch.inference_mode():
        for folder in (big, small, big):
            ll.hotswap_adapter(compiled, folder, "default")
            alone = peft.PeftModel.from_pretrained(Mlp(), folder).eval()
            torch.testing.assert_close(compiled(X), alone(X), rtol=0, atol=1e-6)
    torch._dynamo.reset()


def test_without_room_a_swap_would_compile_again(tmp_path):
    """What the preparation is for: the test above could fail."""
    folder = saved(tmp_path, lora_alpha=3)
    model = adapted()
    compiled = torch.compile(model, backend="eager")
    with torch.inference_mode():
        compiled(X)
        ll.hotswap_adapter(compiled, folder, "default")
        with (
            torch._dynamo.config.patch(error_on_recompile=True),
            pytest.raises(torch._dynamo.exc.RecompileError),
        ):
            compiled(X)
    torch._dynamo.reset()


def damaged(path, change, **fields):
    from safetensors.torch import load_file, save_file

    file = saved(path, **fields) / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    return path


def nan(tensors):
    next(iter(tensors.values())).fill_(torch.nan)


KEY = "base_model.model.second.lora_B.weight"
REFUSED = {
    "rank 5 for first.* room for 3.*target_rank=5": lambda p: saved(p, r=5),
    "rank 4 for second": lambda p: saved(p, rank_pattern={"second": 4}),
    "unexpected key base_model.model.head": lambda p: saved(p, target_modules=["first", "head"]),
    "missing key base_model.model.second.lora_B": lambda p: damaged(p, lambda t: t.pop(KEY)),
    "missing key base_model.model.first": lambda p: damaged(
        p, lambda t: [t.pop(k) for k in list(t) if ".first." in k]
    ),
    "not finite": lambda p: damaged(p, nan),
    "use_dora, False != True": lambda p: saved(p, use_dora=True),
    "use_rslora, False != True": lambda p: saved(p, use_rslora=True),
    "lora_dropout, 0.0 != 0.5": lambda p: saved(p, lora_dropout=0.5),
    "changed the base's weights": lambda p: saved(p, init_lora_weights="pissa"),
    "the file's config says 2": lambda p: _other_rank(saved(p)),
}


def _other_rank(path):
    text = (path / "adapter_config.json").read_text()
    (path / "adapter_config.json").write_text(text.replace('"r": 3', '"r": 2'))
    return path


@pytest.mark.parametrize("says", REFUSED)
def test_what_does_not_fit_is_named_and_nothing_is_changed(tmp_path, says):
    folder = REFUSED[says](tmp_path)
    model = adapted()
    before = state(model)
    with pytest.raises(ValueError, match=says):
        ll.hotswap_adapter(model, folder, "default")
    assert same(state(model), before)


def test_wrong_names_and_merged_adapters_are_refused(tmp_path):
    folder, model = saved(tmp_path), adapted()
    with pytest.raises(ValueError, match="Did you mean 'default'"):
        ll.hotswap_adapter(model, folder, "defualt")
    with pytest.raises(TypeError, match="subfolder"):
        ll.hotswap_adapter(model, folder, "default", subfoldr="a")
    model.merge_adapter()
    with pytest.raises(ValueError, match="currently merged"):
        ll.hotswap_adapter(model, folder, "default")
    model.unmerge_adapter()
    ll.hotswap_adapter(model, folder, "default")


def test_an_error_on_the_way_gives_the_old_adapter_back(tmp_path, monkeypatch):
    folder, model = saved(tmp_path, lora_alpha=2), adapted()
    ll.prepare_model_for_compiled_hotswap(model)
    before = state(model)
    monkeypatch.setattr(
        "lora_lessons.lora.more.adapters.hotswap.with_ranks", lambda *_: 1 / 0
    )  # the last step
    with pytest.raises(ZeroDivisionError):
        ll.hotswap_adapter(model, folder, "default")
    assert same(state(model), before)


def test_another_adapter_than_the_active_one_is_swapped_by_its_own_config(tmp_path):
    folder = saved(tmp_path, use_rslora=True)
    model = adapted()
    fields = {**PLAIN, "use_rslora": True}
    model.add_adapter("other", ll.LoraConfig(**fields))
    ll.hotswap_adapter(model, folder, "other")
    before = model(X)
    model.set_adapter("other")
    alone = peft.PeftModel.from_pretrained(Mlp(), folder).eval()
    torch.testing.assert_close(model(X), alone(X), rtol=0, atol=1e-6)
    assert not torch.allclose(before, model(X))


def test_tensors_with_the_adapters_name_are_taken_as_from_a_state_dict():
    model, other = adapted(), adapted(seed=2)
    tensors = {k: v for k, v in other.state_dict().items() if "lora_" in k}
    config = ll.LoraConfig(**PLAIN)
    hotswap_adapter_from_state_dict(model, tensors, "default", config)
    assert torch.equal(model(X), other(X))
    injected = ll.inject_adapter_in_model(config, Mlp())
    hotswap_adapter_from_state_dict(injected, tensors, "default", config)
    assert torch.equal(injected(X), other(X))


PREPARED_WRONG = {
    "rank 3, which is above 2": (lambda m: m, {"target_rank": 2}),
    "positive integer": (lambda m: m, {"target_rank": 2.5}),
    "before. compiling": (lambda m: torch.compile(m, backend="eager"), {"target_rank": 4}),
    "No adapter layers": (lambda m: Mlp(), {"target_rank": 4}),
    "check_compiled should": (lambda m: m, {"check_compiled": "eror"}),
    "is merged": (lambda m: m.merge_adapter() or m, {"target_rank": 4}),
}


@pytest.mark.parametrize("says", PREPARED_WRONG)
def test_a_preparation_that_cannot_be_is_refused(says):
    change, arguments = PREPARED_WRONG[says]
    model = adapted()
    given = change(model)
    before = state(model)
    with pytest.raises(ValueError, match=says):
        ll.prepare_model_for_compiled_hotswap(given, **arguments)
    assert same(state(model), before)


def test_a_compiled_model_may_be_prepared_if_asked():
    compiled = torch.compile(adapted(), backend="eager")
    with pytest.warns(ll.PeftWarning, match="compiled again"):
        ll.prepare_model_for_compiled_hotswap(compiled, target_rank=4, check_compiled="warn")
    ll.prepare_model_for_compiled_hotswap(compiled, target_rank=5, check_compiled="ignore")
    assert compiled._orig_mod.peft_config["default"].r == 5


def test_configs_that_are_given_get_the_rank_as_in_peft():
    model, others = adapted(), {"a": ll.LoraConfig(r=2, rank_pattern={"first": 1})}
    ll.prepare_model_for_compiled_hotswap(model, target_rank=4, config=others)
    assert (others["a"].r, others["a"].rank_pattern) == (4, {"first": 4})
    ll.prepare_model_for_compiled_hotswap(model, target_rank=6, config=model.peft_config)
    config = model.peft_config["default"]
    assert (config.r, config.lora_alpha) == (6, 14)  # the scaling is as it was, 7 / 3


def test_a_prepared_model_trains_as_before():
    model = adapted().train()
    ll.prepare_model_for_compiled_hotswap(model, target_rank=5)
    model(X).square().mean().backward()
    A = model.base_model.model.first.lora_A["default"]
    assert A.out_features == 5 and A.weight.grad[:3].abs().sum() > 0
    assert isinstance(model.base_model.model.first.scaling["default"], torch.Tensor)


def test_room_keeps_a_groups_rows_together():
    A = torch.arange(4.0).view(4, 1, 1, 1)  # r = 4 in two groups
    padded = rank_room.with_room(A, "lora_A.weight", 6, groups=2).flatten()
    assert padded.tolist() == [0, 1, 0, 2, 3, 0]
    with pytest.raises(ValueError, match="not divisible"):
        layer = ll.get_peft_model(
            nn.Sequential(nn.Conv2d(4, 4, 1, groups=2)), ll.LoraConfig(target_modules=["0"], r=2)
        )
        ll.prepare_model_for_compiled_hotswap(layer, target_rank=5)


def test_experts_of_the_same_rank_are_swapped_and_get_no_room(tmp_path):
    def experts(seed, **fields):
        torch.manual_seed(seed)
        config = ll.LoraConfig(target_parameters=EXPERTS, target_modules=[], r=2, **fields)
        return ll.get_peft_model(Block(False), config)

    other, model = trained(experts(1, lora_alpha=6)).eval(), experts(2).eval()
    other.save_pretrained(tmp_path)
    ll.hotswap_adapter(model, tmp_path, "default")
    torch.testing.assert_close(model(example()), other(example()))
    with pytest.raises(ValueError, match="r rows for each of its experts"):
        ll.prepare_model_for_compiled_hotswap(model, target_rank=4)
    ll.prepare_model_for_compiled_hotswap(model)
    torch.testing.assert_close(model(example()), other(example()))
    model.merge_adapter()
    assert all(
        torch.equal(value, Block(False).state_dict()[name])
        for name, value in ll.get_base_model_state_dict(model).items()
    )
