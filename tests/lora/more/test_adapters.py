"""Several adapters on one model: switching, mixed batches, saved modules, token rows, status."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import lora_lessons as ll
from tests.parity.models import Mlp

X = torch.randn(6, 5, generator=torch.Generator().manual_seed(4))
FIELDS = {"r": 3, "target_modules": ["first", "second"], "init_lora_weights": False}


def adapted(names=("default", "b"), **fields) -> ll.PeftModel:
    """The small model with random adapters of these names."""
    config = ll.LoraConfig(**{**FIELDS, **fields})
    torch.manual_seed(0)
    model = ll.get_peft_model(Mlp(), config, names[0])
    for name in names[1:]:
        model.add_adapter(name, config)
    return model.eval()


def output_of(model, names) -> torch.Tensor:
    model.set_adapter(names)
    return model(X)


def test_switching_gives_each_adapters_output():
    model = adapted()
    alone = {name: output_of(model, name) for name in ("default", "b")}
    assert not torch.allclose(alone["default"], alone["b"])
    assert torch.equal(output_of(model, "default"), alone["default"])
    assert model.active_adapter == "default"
    assert torch.equal(output_of(model, ["b"]), alone["b"])


@pytest.mark.parametrize("name", ["c", "defaul"])
def test_an_unknown_adapter_changes_nothing(name):
    model = adapted()
    y = model(X)
    for act in (model.set_adapter, model.base_model.set_adapter, model.delete_adapter):
        with pytest.raises(ValueError, match=f"Adapter {name}"):
            act(name)
    assert torch.equal(model(X), y)
    with pytest.raises(ValueError, match="already exists"):
        model.add_adapter("b", ll.LoraConfig(**FIELDS))


def test_deleting_the_active_adapter_activates_the_next_and_says_so():
    model = adapted()
    other = output_of(model, "b")
    model.set_adapter("default")
    with pytest.warns(ll.PeftWarning, match="Setting active adapter to b"):
        model.delete_adapter("default")
    assert torch.equal(model(X), other)
    model.delete_adapter("b")
    assert torch.equal(model(X), Mlp()(X))
    assert model.active_adapters == []
    assert not any("lora_A.b" in name for name in model.state_dict())


def test_disabling_nests_and_survives_an_error():
    model = adapted()
    y, base = model(X), Mlp()(X)
    with model.disable_adapter():
        with model.disable_adapter():
            assert torch.equal(model(X), base)
        assert torch.equal(model(X), base)
    with pytest.raises(KeyError), model.disable_adapter():
        raise KeyError
    assert torch.equal(model(X), y)


@pytest.mark.parametrize("bias", ["none", "all"])
def test_disabling_leaves_an_adapter_for_inference_frozen(tmp_path, bias):
    adapted(("default",), bias=bias).save_pretrained(tmp_path)
    model = ll.PeftModel.from_pretrained(Mlp(), tmp_path)
    with model.disable_adapter():
        pass
    assert model.get_nb_trainable_parameters()[0] == 0
    model.disable_adapter_layers()
    model.enable_adapter_layers()
    assert model.get_nb_trainable_parameters()[0] == 0


def test_disabling_keeps_what_trains():
    model = adapted()
    model.set_requires_grad("b")  # beside the active one
    model.base_model.model.first.lora_A["default"].requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    with model.disable_adapter():
        assert model.get_nb_trainable_parameters()[0] == 0
        with model.disable_adapter():
            pass
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before
    with model.disable_adapter():
        model.set_adapter("b")
    trained = {name.split(".")[-2] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"b"}


def test_only_known_adapters_can_be_frozen():
    with pytest.raises(ValueError, match=r"Adapter defualt not found\. Did you mean 'default'"):
        adapted().set_requires_grad("defualt", False)


def test_adapters_that_come_while_disabled_stay_off():
    model = adapted()
    with model.disable_adapter():
        model.add_adapter("c", ll.LoraConfig(**{**FIELDS, "target_modules": ["head"]}))
        assert torch.equal(model(X), Mlp()(X))
    assert model.base_model.model.head.disable_adapters is False


def test_each_sample_has_its_own_adapter():
    model = adapted(modules_to_save=["head"])
    with torch.no_grad():
        for i, copy_ in enumerate(model.base_model.model.head.modules_to_save.values()):
            copy_.weight.add_(i + 1)
    alone = {name: output_of(model, name) for name in ("default", "b")}
    with model.disable_adapter():
        alone["__base__"] = model(X)
    names = ["b", "__base__", "default", "default", "b", "__base__"]
    mixed = model(X, adapter_names=names)
    expected = torch.stack([alone[name][i] for i, name in enumerate(names)])
    torch.testing.assert_close(mixed, expected)
    with model.disable_adapter():
        assert torch.equal(model(X, adapter_names=names), alone["__base__"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["b"] * 5, "Length of `adapter_names` should be the same"),
        (["b"] * 5 + ["bb"], r"non-existing adapter\(s\): bb\. Did you mean 'bbb'"),
    ],
)
def test_wrong_names_for_samples(names, message):
    with pytest.raises(ValueError, match=message):
        adapted(("default", "bbb", "b"))(X, adapter_names=names)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
@pytest.mark.parametrize(
    ("base", "targets"), [("nano", ["q_proj", "v_proj"]), ("encoder_decoder", ["q", "v"])]
)
@pytest.mark.parametrize("how", [{"num_beams": 2}, {"num_return_sequences": 2, "num_beams": 3}])
def test_each_samples_beams_have_its_adapter(base, targets, how):
    config = ll.LoraConfig(r=2, lora_alpha=16, target_modules=targets, init_lora_weights=False)
    torch.manual_seed(0)
    model = ll.get_peft_model(ll.load_base(base)[0], config, "one")
    model.add_adapter("two", config)
    model.eval()
    ids = torch.randint(5, 100, (2, 6), generator=torch.Generator().manual_seed(2))
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, **how}
    mixed = model.generate(input_ids=ids, adapter_names=["one", "two"], **options)
    alone = []
    for name, row in zip(["one", "two"], ids, strict=True):
        model.set_adapter(name)
        alone.append(model.generate(input_ids=row[None], **options))
    assert torch.equal(mixed, torch.cat(alone))
    assert not torch.equal(alone[0][:, -6:], alone[1][:, -6:])
    with pytest.raises(ValueError, match="Length of `adapter_names`"):
        model(input_ids=ids.repeat(2, 1), decoder_input_ids=ids, adapter_names=["one", "two"])


def test_samples_with_and_without_trained_biases_cannot_share_a_batch():
    model = adapted(("default",), bias="all")
    model.add_adapter("b", ll.LoraConfig(**FIELDS))
    with torch.no_grad():
        model.base_model.model.first.base_layer.bias.add_(1.0)
    y = model(X)
    torch.testing.assert_close(model(X, adapter_names=["default"] * 6), y)
    for names in (["default"] * 3 + ["b"] * 3, ["__base__"] * 6):
        with pytest.raises(ValueError, match="'default' trained the base's biases"):
            model(X, adapter_names=names)
    model.set_adapter("b")
    torch.testing.assert_close(model(X, adapter_names=["b"] * 6), model(X))
    with pytest.raises(ValueError, match="'default' trained the base's biases"):
        model(X, adapter_names=["default"] * 6)


def test_names_for_samples_need_evaluation_and_nothing_merged():
    model = adapted()
    with pytest.raises(ValueError, match="training mode"):
        model.train()(X, adapter_names=["b"] * 6)
    model.eval().merge_adapter()
    with pytest.raises(ValueError, match="merged adapters"):
        model(X, adapter_names=["b"] * 6)
    dora = adapted(use_dora=True)
    with pytest.raises(ValueError, match="DoRA"):
        dora(X, adapter_names=["b"] * 6)


def test_two_saved_copies_of_one_module_cannot_both_be_active():
    model = adapted(modules_to_save=["head"])
    with pytest.raises(ValueError, match="Only one adapter can be set at a time"):
        model.set_adapter(["default", "b"])
    assert model.active_adapters == ["default"]


def test_saved_modules_train_a_copy_and_merge_to_it():
    model = adapted(("default",), modules_to_save=["head"])
    wrapper = model.base_model.model.head
    original = wrapper.original_module.weight.clone()
    model.train()(X).sum().backward()
    assert wrapper.original_module.weight.grad is None
    with torch.no_grad():
        wrapper.weight.add_(1)  # the wrapper speaks for the active copy
    assert torch.equal(wrapper.original_module.weight, original)
    again = copy.deepcopy(model)
    assert torch.equal(again.unload().head.weight, original)
    assert torch.equal(model.merge_and_unload().head.weight, original + 1)


class Tokens(nn.Module):
    """An embedding and a head, tied or not."""

    def __init__(self, tied: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb = nn.Embedding(11, 5)
        self.lin = nn.Linear(5, 5)
        self.head = nn.Linear(5, 11, bias=False)
        if tied:
            self.head.weight = self.emb.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.lin(self.emb(ids)))


IDS = torch.tensor([[0, 3, 7], [3, 10, 1]])


def with_rows(tied: bool = False, rows=(3, 7)) -> ll.PeftModel:
    fields = {"target_modules": ["lin"], "trainable_token_indices": {"emb": list(rows)}}
    return ll.get_peft_model(Tokens(tied), ll.LoraConfig(r=2, **fields))


@pytest.mark.parametrize("tied", [False, True])
def test_only_the_given_rows_train(tied, tmp_path):
    model = with_rows(tied)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(IDS).square().sum().backward()
    optimizer.step()
    merged = copy.deepcopy(model).merge_and_unload()
    moved = (merged.emb.weight != Tokens(tied).emb.weight).any(1)
    assert moved.nonzero().flatten().tolist() == [3, 7]
    assert (merged.head.weight is merged.emb.weight) == tied
    torch.testing.assert_close(merged(IDS), model(IDS))
    model.save_pretrained(tmp_path)
    loaded = ll.PeftModel.from_pretrained(Tokens(tied), tmp_path)
    torch.testing.assert_close(loaded(IDS), model(IDS))
    y = model(IDS)
    model.merge_adapter()
    torch.testing.assert_close(model(IDS), y)
    model.unmerge_adapter()
    assert torch.equal(model(IDS), y)
    assert torch.equal(model.unload()(IDS), Tokens(tied)(IDS))


def test_rows_agree_with_peft_in_both_directions(tmp_path):
    import peft

    model = with_rows()
    with torch.no_grad():
        model.base_model.model.emb.token_adapter.trainable_tokens_delta["default"].add_(0.5)
    model.save_pretrained(tmp_path / "ours")
    theirs = peft.PeftModel.from_pretrained(Tokens(), tmp_path / "ours")
    torch.testing.assert_close(theirs(IDS), model(IDS))
    theirs.save_pretrained(tmp_path / "theirs")
    back = ll.PeftModel.from_pretrained(Tokens(), tmp_path / "theirs")
    torch.testing.assert_close(back(IDS), model(IDS))


@pytest.mark.parametrize(
    ("rows", "message"),
    [([11], r"must lie in 0\.\.10"), ([1, 1], "each once"), ([], "each once"), (["a"], "lie in")],
)
def test_wrong_rows_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        with_rows(rows=rows)


def test_two_adapters_may_share_no_row():
    model = with_rows()
    fields = {"target_modules": ["lin"], "r": 2}
    for name, rows in (("apart", [1]), ("same", [7])):
        config = ll.LoraConfig(**fields, trainable_token_indices={"emb": rows})
        model.add_adapter(name, config)
    model.set_adapter(["default", "apart"])
    with pytest.raises(ValueError, match="Only one adapter can be set at a time"):
        model.set_adapter(["default", "same"])


@pytest.mark.parametrize(("saved", "other"), [("head", "emb"), ("emb", "head")])
def test_a_copy_of_a_tied_module_is_warned_of(saved, other):
    config = ll.LoraConfig(r=2, target_modules=["lin"], modules_to_save=[saved])
    with pytest.warns(ll.PeftWarning, match=f"copies {saved}, whose weight {other} shares"):
        ll.get_peft_model(Tokens(tied=True), config)
    ll.get_peft_model(Tokens(tied=False), config)  # without a word


def test_a_sum_says_that_it_has_no_token_rows():
    model = with_rows()
    with pytest.warns(ll.PeftWarning, match="The token rows that 'default' trained are not part"):
        model.add_weighted_adapter(["default"], [1.0], "sum", "cat")
    assert model.peft_config["sum"].trainable_token_indices is None


def test_status_says_what_is_where():
    model = adapted(modules_to_save=["head"])
    model.set_adapter("b")
    model.merge_adapter()
    rows = {row.name: row for row in model.get_layer_status()}
    assert list(rows) == ["model.first", "model.second", "model.head"]
    assert rows["model.first"].module_type == "lora.Linear"
    assert rows["model.first"].merged_adapters == ["b"]
    assert rows["model.first"].requires_grad == {"default": False, "b": True}
    status = model.get_model_status()
    assert (status.base_model_type, status.adapter_model_type) == ("Mlp", "LoraModel")
    assert status.peft_types == {"default": "LORA", "b": "LORA"}
    assert (status.enabled, status.active_adapters) == (True, ["b"])
    assert status.trainable_params == model.get_nb_trainable_parameters()[0]
    model.base_model.model.first.enable_adapters(False)
    assert model.get_model_status().enabled == "irregular"
    with pytest.warns(ll.PeftWarning, match="some adapter layers that are enabled"):
        assert model.has_active_enabled_adapter
    with pytest.raises(ValueError, match="No adapter layers found"):
        ll.get_layer_status(Mlp())
