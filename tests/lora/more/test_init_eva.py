"""EVA: PEFT's directions and ranks from the same data, and an end where PEFT goes on for ever."""

from __future__ import annotations

import copy
import json

import peft
import pytest
import torch
from torch import nn

import lora_lessons as ll
from lora_lessons.lora.more.init.incremental_pca import IncrementalPCA
from tests.parity.models import Mlp, tiny_qwen2

pytestmark = [  # PEFT's and transformers' own noise
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:lora with eva initialization used with low_cpu_mem_usage"),
]
PLAIN = {"forward_fn": lambda m, x: m(x), "prepare_model_inputs_fn": None,
         "prepare_layer_inputs_fn": None, "show_progress_bar": False}  # fmt: skip


def wide():
    """Layers whose inputs have a spectrum; `a` and `b` share theirs."""

    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(48, 40), nn.Linear(48, 40)
            self.c = nn.Linear(40, 44)

        def forward(self, x):
            return self.c(torch.tanh(self.a(x)) + self.b(x))

    return Wide()


def batches(count=4, rows=64, width=48, decay=0.99):
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(width, width, generator=generator)
    scale = decay ** torch.arange(width)
    return [
        torch.randn(rows, width, generator=generator) * scale @ mixing + 1 for _ in range(count)
    ]


def settings(library, **values):
    fields = {"target_modules": ["a", "b", "c"], "r": 3, "lora_alpha": 6}
    eva = library.EvaConfig(**values)
    return library.LoraConfig(init_lora_weights="eva", eva_config=eva, **fields)


def both(build=wide, data=None, options=PLAIN, make=settings, low=False, **values):
    """Our model and PEFT's, started from the same data."""
    data = batches() if data is None else data
    models = []
    for library, start in (
        (ll, ll.initialize_lora_eva_weights),
        (peft, peft.initialize_lora_eva_weights),
    ):
        torch.manual_seed(1)
        model = library.get_peft_model(build(), make(library, **values), low_cpu_mem_usage=low)
        start(model, data, **options)
        models.append(model.eval())
    return models


def factors(model):
    return {n: p for n, p in model.named_parameters() if "lora_" in n}


def A_of(model, name):
    return model.base_model.model.get_submodule(name).lora_A["default"].weight


def compare(ours, theirs):
    mine, others = factors(ours), factors(theirs)
    assert mine.keys() == others.keys()
    for name in mine:
        torch.testing.assert_close(mine[name], others[name], rtol=1e-3, atol=2e-5)
    scales = {n: m.scaling for n, m in theirs.named_modules() if hasattr(m, "scaling")}
    assert scales == {n: m.scaling for n, m in ours.named_modules() if hasattr(m, "scaling")}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"low": True},
        {"rho": 1.0},
        {"rho": 3.0},
        {"tau": 0.9},
        {"adjust_scaling_factors": False},
    ],
    ids=str,
)
def test_directions_and_ranks_are_those_of_peft(values):
    ours, theirs = both(**values)
    compare(ours, theirs)
    ranks = [m.r["default"] for m in ours.modules() if isinstance(m, ll.LoraLayer)]
    assert sum(ranks) == 9 and (len(set(ranks)) > 1) == (values.get("rho") != 1.0)


def test_a_language_model_with_padding_and_labels_is_as_in_peft():
    ids = torch.randint(0, 60, (6, 4, 12), generator=torch.Generator().manual_seed(2))
    mask = torch.ones(4, 12, dtype=torch.long)
    mask[0, 9:] = 0
    labels = [row.clone() for row in ids]
    for row in labels:
        row[:, :3] = -100
    data = [
        {"input_ids": i, "attention_mask": mask, "labels": row}
        for i, row in zip(ids, labels, strict=True)
    ]

    def make(library, **values):
        return library.LoraConfig(
            task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj", "down_proj"], r=2,
            init_lora_weights="eva", eva_config=library.EvaConfig(**values),
        )  # fmt: skip

    ours, theirs = both(tiny_qwen2, data, {"show_progress_bar": False}, make)
    compare(ours, theirs)
    out = ours(input_ids=ids[0]).logits
    torch.testing.assert_close(out, theirs(input_ids=ids[0]).logits, rtol=0, atol=1e-6)
    torch.testing.assert_close(out, tiny_qwen2()(input_ids=ids[0]).logits, rtol=0, atol=1e-6)


def test_whitened_directions_are_divided_once():
    """In PEFT two layers with one input divide the same tensor, each of them."""
    plain, white = both(rho=1.0)[0], both(rho=1.0, whiten=True)[0]
    for name in ("a", "b", "c"):
        A, W = (
            m.base_model.model.get_submodule(name).lora_A["default"].weight for m in (plain, white)
        )
        torch.testing.assert_close(W / W.norm(dim=1, keepdim=True), A, rtol=1e-4, atol=1e-5)
    pca = IncrementalPCA(3)
    for rows in batches(2):
        pca.update(rows)
    white = both(data=batches(2), rho=1.0, tau=0.0, whiten=True)[0]  # they stand still at once
    lengths = 1 / pca.singular_values.sqrt().float()
    torch.testing.assert_close(A_of(white, "b").norm(dim=1), lengths)
    assert torch.equal(A_of(white, "a"), A_of(white, "b"))


def test_the_components_are_the_main_directions_of_all_rows():
    data = batches(3, decay=0.8)
    pca = IncrementalPCA(4)
    for rows in data:
        pca.update(rows)
    every = torch.cat(data).double()
    centred = every - every.mean(0)
    _, values, vectors = torch.linalg.svd(centred, full_matrices=False)
    cosines = (pca.components.double() * vectors[:4]).sum(1).abs()
    assert cosines.min() > 0.99
    ratio = values[:4] ** 2 / centred.square().sum()
    torch.testing.assert_close(pca.variance_ratio.double(), ratio, rtol=1e-2, atol=0)
    small = IncrementalPCA(5)
    small.update(torch.randn(20, 6))  # PEFT's randomized decomposition raises here
    torch.testing.assert_close(small.components @ small.components.T, torch.eye(5))


def test_files_and_configs_go_both_ways(tmp_path):
    ours, _ = both()
    with torch.no_grad():
        for name, parameter in factors(ours).items():
            parameter.add_(0.1 * ("lora_B" in name))
    x = batches(1)[0]
    ours.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "adapter_config.json").read_text())
    assert values["init_lora_weights"] == "eva" and values["eva_config"]["rho"] == 2.0
    for library in (ll, peft):
        back = library.PeftModel.from_pretrained(wide(), tmp_path).eval()
        torch.testing.assert_close(back(x), ours(x), rtol=0, atol=1e-4)


def test_components_may_be_computed_on_the_base_and_given():
    config = settings(ll)
    found = ll.get_eva_state_dict(wide(), batches(), config, **PLAIN)
    model = ll.get_peft_model(wide(), config)
    ll.initialize_lora_eva_weights(model, eva_state_dict=found)
    compare(model, both()[1])
    inside = ll.get_eva_state_dict(ll.get_peft_model(wide(), config), batches(), **PLAIN)
    assert {n.removeprefix("base_model.model."): len(v) for n, v in inside.items()} == {
        n: len(v) for n, v in found.items()
    }


def test_a_layer_without_a_rank_keeps_its_other_adapters():
    model = ll.get_peft_model(wide(), settings(ll))
    model.add_adapter("other", ll.LoraConfig(target_modules=["a", "c"], r=2))
    found = {"a": torch.zeros(0, 48), "b": torch.zeros(0, 48), "c": torch.eye(4, 40)}
    ll.initialize_lora_eva_weights(model, eva_state_dict=found)
    inner = model.base_model.model
    assert type(inner.b) is nn.Linear and list(inner.a.lora_A) == ["other"]
    assert model.base_model.targeted_module_names == ["c", "a"]
    assert model.active_adapters == ["default"]
    assert inner.c.scaling["default"] == 2.0 and inner.c.r["default"] == 4  # alpha grew with r
    model.set_adapter("other")
    assert torch.isfinite(model(batches(1)[0])).all()


def test_mode_hooks_and_flags_are_as_before():
    model = ll.get_peft_model(wide(), settings(ll)).train()
    ll.initialize_lora_eva_weights(model, batches(), **PLAIN)
    assert model.training and not any(m._forward_pre_hooks for m in model.modules())
    assert all(p.requires_grad == ("lora_" in n) for n, p in model.named_parameters())
    assert model.base_model.model.a.lora_A["default"].weight.dtype == torch.float32
    half = ll.get_peft_model(wide().bfloat16(), settings(ll))
    ll.initialize_lora_eva_weights(half, [x.bfloat16() for x in batches()], **PLAIN)
    assert {p.dtype for n, p in half.named_parameters() if "lora_" in n} == {torch.float32}


def test_layers_that_the_components_lack_start_as_with_true():
    model = ll.get_peft_model(wide(), settings(ll))
    with pytest.warns(ll.PeftWarning, match=r"not found in the eva state_dict: \['b', 'c'\]"):
        ll.initialize_lora_eva_weights(model, eva_state_dict={"a": torch.eye(3, 48)})
    assert torch.equal(model.base_model.model.a.lora_A["default"].weight, torch.eye(3, 48))


def flat(count=3):
    """Inputs of two directions only."""
    generator = torch.Generator().manual_seed(5)
    return [
        torch.randn(64, 2, generator=generator) @ torch.ones(2, 48).triu() for _ in range(count)
    ]


def test_inputs_of_fewer_directions_than_components_come_to_an_end():
    model = ll.get_peft_model(wide(), settings(ll, rho=1.0))
    ll.initialize_lora_eva_weights(model, flat(), **PLAIN)
    assert model(flat(1)[0]).isfinite().all()


class Lost(nn.Module):
    """A model that does not use one of its layers."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(48, 4), nn.Linear(48, 4), nn.Linear(48, 4)

    def forward(self, x):
        return self.a(x) + self.b(x)


DATA_REFUSED = {
    "dataloader is empty": (wide, list),
    "needs 6 components, and no batch has more than 4": (wide, lambda: batches(rows=4)),
    "is not finite": (wide, lambda: [x * float("nan") for x in batches()]),
    "does not go through .*c": (Lost, batches),
    "not an iterator": (wide, lambda: iter(batches(2))),
    "still move": (wide, lambda: [x * torch.randn(48) for x in batches(3)]),
}


@pytest.mark.parametrize("says", DATA_REFUSED)
def test_data_of_no_use_are_refused_and_the_model_is_as_it_was(monkeypatch, says):
    monkeypatch.setattr("lora_lessons.lora.more.init.eva_svd.PASSES", 3)
    build, data = DATA_REFUSED[says]
    values = {"tau": 1.0} if says == "still move" else {}
    model = ll.get_peft_model(build(), settings(ll, **values)).train()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=says):
        ll.initialize_lora_eva_weights(model, data(), **PLAIN)
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert model.training and not any(m._forward_pre_hooks for m in model.modules())
    assert not any(m.disable_adapters for m in model.modules() if isinstance(m, ll.LoraLayer))


CALLS_REFUSED = {
    "dataloader is required": ({}, {}),
    "Did you mean 'default'": ({}, {"dataloader": batches(), "adapter_name": "defualt"}),
    "no layer 'd'": ({}, {"eva_state_dict": {"d": torch.eye(3, 48)}}),
    "inputs of 40 numbers": ({}, {"eva_state_dict": {"c": torch.eye(3, 48)}}),
    "can only be used with": ({"init_lora_weights": True}, {"dataloader": batches()}),
}


@pytest.mark.parametrize("says", CALLS_REFUSED)
@pytest.mark.filterwarnings("ignore:.eva_config. specified but will be ignored")
def test_calls_that_cannot_be_meant_are_refused(says):
    fields, call = CALLS_REFUSED[says]
    config = settings(ll)
    for name, value in fields.items():
        setattr(config, name, value)
    model = ll.get_peft_model(wide(), config)
    with pytest.raises(ValueError, match=says):
        ll.initialize_lora_eva_weights(model, **call)


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="must be a PeftModel"):
        ll.initialize_lora_eva_weights(Mlp(), batches())
    with pytest.raises(ValueError, match="peft_config is required"):
        ll.get_eva_state_dict(Mlp(), batches())
    with pytest.raises(TypeError, match="inputs must be a dictionary"):
        ll.get_eva_state_dict(wide(), batches(), settings(ll), show_progress_bar=False)
    model = ll.get_peft_model(wide(), settings(ll))
    model.add_adapter("two", settings(ll))
    model.base_model.set_adapter(["default", "two"])
    with pytest.raises(ValueError, match="single active adapter"):
        ll.initialize_lora_eva_weights(model, batches(), **PLAIN)
    with pytest.raises(ValueError, match="no layer 'd'"):
        functions = {**PLAIN, "prepare_layer_inputs_fn": {"d": lambda *x: x}}
        ll.get_eva_state_dict(wide(), batches(), settings(ll), **functions)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"rho": 0.5}, "`rho` must be >= 1.0"),
        ({"tau": 1.5}, "`tau` must be between"),
        ({"tua": 0.5}, "Did you mean 'tau'"),
    ],
)
def test_settings_are_checked_when_the_config_is_made(values, says):
    with pytest.raises(ll.ConfigError, match=says):
        ll.LoraConfig(init_lora_weights="eva", eva_config=values)
    assert ll.LoraConfig(init_lora_weights="eva").eva_config == ll.EvaConfig()
    with pytest.warns(ll.PeftWarning, match="will be ignored"):
        assert ll.LoraConfig(eva_config=ll.EvaConfig()).eva_config is None
