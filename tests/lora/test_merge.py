"""Merging: refusals, safety, and the report of what rounding takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lora_lessons as ll
from tests.parity.models import Mlp

X = torch.randn(3, 5, generator=torch.Generator().manual_seed(4))


def adapted(model: nn.Module | None = None, **fields) -> ll.PeftModel:
    given = {"r": 3, "target_modules": ["first", "second"], "init_lora_weights": False, **fields}
    return ll.get_peft_model(model or Mlp(), ll.LoraConfig(**given)).eval()


def test_a_broken_adapter_is_found_before_anything_is_written():
    model = adapted()
    model.base_model.model.second.lora_B["default"].weight.data[0, 0] = float("nan")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(
        ValueError, match=r"NaNs detected in the merged weights\. The adapter default"
    ):
        model.merge_adapter(safe_merge=True)
    assert not model.base_model.is_merged()  # the first layer was merged, and is not any more
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) or "lora_B" in name
    with pytest.raises(ValueError, match="NaNs detected"):
        model.merge_and_unload(safe_merge=True)


def test_a_failed_merge_leaves_what_was_merged_before():
    model = adapted()
    fields = {"r": 2, "target_modules": ["first", "second"], "init_lora_weights": False}
    model.add_adapter("broken", ll.LoraConfig(**fields))
    model.base_model.model.second.lora_B["broken"].weight.data[0, 0] = float("inf")
    model.merge_adapter()
    y = model(X)
    with (
        pytest.warns(ll.PeftWarning, match="Already following adapters were merged"),
        pytest.raises(ValueError, match="NaNs detected"),
    ):
        model.merge_adapter(["broken"], safe_merge=True)
    assert torch.equal(model(X), y)
    assert model.get_model_status().merged_adapters == ["default"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_safe_and_plain_merging_agree_to_the_bit(dtype):
    def merged(safe: bool) -> torch.Tensor:
        torch.manual_seed(1)
        return adapted(Mlp().to(dtype)).merge_and_unload(safe_merge=safe).first.weight

    assert torch.equal(merged(True), merged(False))


def test_merging_twice_warns_and_changes_nothing():
    model = adapted()
    model.merge_adapter()
    y = model(X)
    with pytest.warns(ll.PeftWarning, match="All adapters are already merged, nothing to do"):
        model.merge_adapter()
    assert torch.equal(model(X), y)
    model.unmerge_adapter()
    with pytest.warns(ll.PeftWarning, match="Already unmerged. Nothing to do"):
        model.unmerge_adapter()


def test_a_bias_of_B_needs_a_bias_to_merge_into():
    with pytest.warns(ll.PeftWarning, match="type Linear has no bias"):
        model = adapted(lora_bias=True)
    with pytest.raises(RuntimeError, match="Impossible to merge LoRA with `lora_bias=True`"):
        model.merge_adapter()
    assert not model.base_model.is_merged()


def test_weights_that_are_no_floats_are_refused():
    model = adapted()
    first = model.base_model.model.first
    first.base_layer.weight = nn.Parameter(torch.ones(11, 5, dtype=torch.int8), False)
    with pytest.raises(ll.MergeError, match=r"cannot merge into a weight of torch\.int8"):
        model.merge_adapter()


def test_a_wrong_backup_or_a_lone_name_is_refused():
    model = adapted()
    with pytest.raises(ValueError, match="backup must be"):
        model.base_model.merge_adapter(backup="disk")
    with pytest.raises(ValueError, match="should be a list of strings"):
        model.merge_adapter("default")


def test_switching_and_deleting_while_merged():
    model = adapted()
    fields = {"r": 2, "target_modules": ["first"], "init_lora_weights": False}
    model.add_adapter("other", ll.LoraConfig(**fields))
    model.merge_adapter()
    with pytest.raises(
        ValueError, match=r"Cannot delete adapter\(s\) \['default'\] while they are"
    ):
        model.delete_adapter("default")
    with pytest.warns(ll.PeftWarning, match="Unmerging the model first"):
        model.set_adapter("other")
    assert not model.base_model.is_merged()
    with model.disable_adapter():
        assert not model.base_model.is_merged()


def test_disabling_a_merged_model_gives_the_base():
    base = Mlp()(X)
    model = adapted()
    model.merge_adapter()
    with model.disable_adapter():
        assert torch.equal(model(X), base)


def rows(dtype: torch.dtype, size: float) -> ll.MergeReport:
    """The report for an update of a given share of a square weight."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 256)).to(dtype)
    nn.init.normal_(model[0].weight, std=0.02)
    config = ll.LoraConfig(r=8, target_modules=["0"], init_lora_weights=False)
    model = ll.get_peft_model(model, config)
    layer = model.base_model.model[0]
    layer.scaling["default"] *= (
        size * layer.weight.float().norm() / layer.get_delta_weight("default").norm()
    ).item()
    return model.merge_report()


@pytest.mark.parametrize(
    ("dtype", "size", "unchanged", "error"),
    [
        (torch.bfloat16, 1e-3, 0.78, 0.78),
        (torch.bfloat16, 1e-2, 0.19, 0.17),
        (torch.bfloat16, 1e-1, 0.02, 0.02),
        (torch.float16, 1e-3, 0.23, 0.21),
        (torch.float32, 1e-3, 0.0, 0.0),
    ],
)
def test_the_report_has_the_shares_that_rounding_takes(dtype, size, unchanged, error):
    (row,) = rows(dtype, size)
    assert row.name == "0"
    assert row.update == pytest.approx(size, rel=0.01)
    assert row.unchanged == pytest.approx(unchanged, abs=0.05)
    assert row.error == pytest.approx(error, abs=0.05)


def test_the_report_is_the_same_before_and_after_merging():
    model = adapted(Mlp().bfloat16())
    before = model.merge_report()
    model.merge_adapter()
    assert model.merge_report() == before
    assert "unchanged" in str(before)


def test_unloading_leaves_plain_layers_and_no_trace():
    base = Mlp()
    keys, y = list(base.state_dict()), base(X)
    model = adapted(base, bias="all", modules_to_save=["head"])
    unloaded = model.unload()
    assert unloaded is base
    assert list(base.state_dict()) == keys
    assert torch.equal(base(X), y)
    assert not {"peft_config", "lora_biases"} & set(base.__dict__)
    again = adapted(base)
    merged = again.merge_and_unload()
    assert [type(m) for m in merged.children()] == [nn.Linear, nn.LayerNorm, nn.Linear, nn.Linear]


@pytest.mark.parametrize("act", ["merge_adapter", "merge_and_unload", "merge_report"])
@pytest.mark.parametrize("names", [["defualt"], ["default", "defualt"]])
def test_an_adapter_that_is_not_there_is_named_and_nothing_is_merged(act, names):
    model = ll.get_peft_model(Mlp(), ll.LoraConfig(r=3, target_modules=["first"]))
    with pytest.raises(ValueError, match=r"Adapter defualt not found\. Did you mean 'default'"):
        getattr(model, act)(adapter_names=names)
    assert not model.is_merged()
    with pytest.raises(ValueError, match="list of strings"):
        getattr(model, act)(adapter_names="default")


@pytest.mark.parametrize("act", ["merge_and_unload", "unload"])
def test_what_was_unloaded_is_not_saved_as_an_empty_file(act, tmp_path):
    model = adapted()
    getattr(model, act)()
    with pytest.raises(ValueError, match=r"no tensors of the adapter 'default'.*return the plain"):
        model.save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="the model has no adapters"):
        model.merge_and_unload()


def test_a_layer_whose_weight_is_tied_refuses_as_the_model_does():
    base = Mlp()
    base.tail = nn.Linear(5, 11)
    base.tail.weight = base.first.weight
    with pytest.warns(ll.PeftWarning, match="first shares its weight with tail"):
        model = adapted(base, target_modules=["first"])
    layer = model.base_model.model.first
    before = layer.weight.clone()
    for merge in (layer.merge, model.merge_adapter):
        with pytest.raises(ll.MergeError, match="tail share one weight"):
            merge()
    assert torch.equal(layer.weight, before) and not layer.merged
    base.tail.weight = nn.Parameter(before.clone())  # untied, as the message asks
    layer.merge()
    assert not torch.equal(layer.weight, before)
    layer.unmerge()
    assert torch.equal(layer.weight, before)
