"""Adapter files: strict on every tensor, whole or not at all, safetensors only."""

from __future__ import annotations

import json
import os
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

import lora_lessons as ll
from lora_lessons.storage import write_whole
from tests.parity.models import Mlp

X = torch.randn(3, 5, generator=torch.Generator().manual_seed(4))
FIELDS = {"r": 3, "lora_alpha": 7, "target_modules": ["first", "second"]}


def adapted(**fields) -> ll.PeftModel:
    config = ll.LoraConfig(**{**FIELDS, "init_lora_weights": False, **fields})
    return ll.get_peft_model(Mlp(), config).eval()


@pytest.fixture
def folder(tmp_path):
    adapted().save_pretrained(tmp_path)
    return tmp_path


def change(folder, function) -> None:
    """Rewrite the file's tensors."""
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    function(tensors)
    save_file(tensors, path)


KEY = "base_model.model.first.lora_A.weight"
WRONG_KEY = KEY.replace("first", "frst")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda t: t.pop(KEY), f"missing key {KEY}"),
        (lambda t: t.update({WRONG_KEY: t[KEY].clone()}), f"unexpected key {WRONG_KEY}"),
        (lambda t: t.update({KEY: t[KEY][:2].clone()}), rf"size mismatch for {KEY}.*\(2, 5\)"),
        (lambda t: t[KEY].fill_(float("nan")), "not finite"),
        (lambda t: t[KEY].fill_(float("inf")), "not finite"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(folder, function, message):
    change(folder, function)
    base = Mlp()
    with pytest.raises(ll.AdapterFileError, match=message):
        ll.PeftModel.from_pretrained(base, folder)
    assert type(base.first) is nn.Linear
    model = adapted()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(RuntimeError, match=message):
        model.load_adapter(folder, "other")
    assert list(model.peft_config) == ["default"]
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[k], before[k]) for k in before)


def test_loading_leniently_warns(folder):
    change(folder, lambda t: t.pop(KEY))
    with pytest.warns(ll.PeftWarning, match=f"missing key {KEY}"):
        ll.PeftModel.from_pretrained(Mlp(), folder, strict=False)


def test_values_that_are_not_finite_are_never_loaded(folder):
    change(folder, lambda t: t[KEY].fill_(float("nan")))
    with pytest.warns(ll.PeftWarning, match="not finite"):
        model = ll.PeftModel.from_pretrained(Mlp(), folder, strict=False)
    assert model(X).isfinite().all()


def test_other_sizes_can_be_skipped(folder):
    change(folder, lambda t: t.update({KEY: t[KEY][:2].clone()}))
    with pytest.warns(ll.PeftWarning, match="size mismatch"):
        model = ll.PeftModel.from_pretrained(Mlp(), folder, ignore_mismatched_sizes=True)
    assert model(X).isfinite().all()


def test_a_pickle_is_refused(folder):
    (folder / "adapter_model.safetensors").unlink()
    torch.save({}, folder / "adapter_model.bin")
    with pytest.raises(ll.AdapterFileError, match="is a pickle"):
        ll.PeftModel.from_pretrained(Mlp(), folder)
    with pytest.raises(ValueError, match="only safetensors are written"):
        adapted().save_pretrained(folder, safe_serialization=False)


@pytest.mark.parametrize("missing", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(ValueError, match=f"Can't find '{missing}'"):
        ll.PeftModel.from_pretrained(Mlp(), folder)


def test_adapters_of_other_names_have_folders_of_their_own(tmp_path):
    model = adapted()
    model.add_adapter("other", ll.LoraConfig(target_modules=["first"], r=2))
    model.save_pretrained(tmp_path)
    names = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")}
    files = {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    assert names == files | {f"other/{name}" for name in files}
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["inference_mode"] is True
    assert config["auto_mapping"] == {
        "base_model_class": "Mlp",
        "parent_library": "tests.parity.models",
    }
    with pytest.raises(ValueError, match="invalid `selected_adapters`"):
        model.save_pretrained(tmp_path, selected_adapters=["default", "third"])


@pytest.mark.parametrize("name", ["default", "lora", "lora_A", "my-adapter", "a"])
def test_the_adapters_name_leaves_no_trace_in_its_file(tmp_path, name):
    torch.manual_seed(1)
    model = ll.get_peft_model(Mlp(), ll.LoraConfig(**FIELDS, init_lora_weights=False), name)
    tensors = ll.get_peft_model_state_dict(model, adapter_name=name)
    assert set(tensors) == {
        f"base_model.model.{layer}.lora_{factor}.weight"
        for layer in ("first", "second")
        for factor in "AB"
    }
    other = adapted()
    ll.set_peft_model_state_dict(other, tensors)
    torch.testing.assert_close(other(X), model(X))


def test_a_model_without_wrapper_reads_and_writes(folder):
    config = ll.LoraConfig(**FIELDS)
    model = ll.inject_adapter_in_model(config, Mlp())
    tensors = load_file(folder / "adapter_model.safetensors")
    result = ll.set_peft_model_state_dict(model, tensors)
    assert result == ([], [])
    wrapped = ll.PeftModel.from_pretrained(Mlp(), folder)
    torch.testing.assert_close(model(X), wrapped(X))
    assert set(ll.get_peft_model_state_dict(model)) == {
        key.removeprefix("base_model.model.") for key in tensors
    }


def test_no_memory_is_used_before_the_file_is_read(folder):
    model = ll.inject_adapter_in_model(ll.LoraConfig(**FIELDS), Mlp(), low_cpu_mem_usage=True)
    assert model.first.lora_A["default"].weight.is_meta
    tensors = load_file(folder / "adapter_model.safetensors")
    ll.set_peft_model_state_dict(model, tensors, low_cpu_mem_usage=True)
    torch.testing.assert_close(model(X), ll.PeftModel.from_pretrained(Mlp(), folder)(X))


@pytest.mark.parametrize("use_dora", [False, True])
def test_what_a_file_lacks_starts_as_a_new_adapter_does(folder, use_dora):
    adapted(use_dora=use_dora).save_pretrained(folder)
    change(folder, lambda t: [t.pop(key) for key in list(t) if ".first." in key])
    options = {"strict": False, "low_cpu_mem_usage": True}
    with pytest.warns(ll.PeftWarning, match="missing key"):
        model = ll.PeftModel.from_pretrained(Mlp(), folder, **options)
    layer = model.base_model.model.first
    assert torch.equal(layer.lora_B["default"].weight, torch.zeros(11, 3))
    torch.testing.assert_close(layer(X), layer.base_layer(X))


def test_values_of_a_gathered_state_dict_are_used():
    model = adapted()
    gathered = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    tensors = ll.get_peft_model_state_dict(model, state_dict=gathered)
    assert tensors
    assert not any(value.any() for value in tensors.values())


def test_a_state_dict_of_other_names_is_refused():
    model = adapted()
    bare = {key.removeprefix("base_model.model."): t for key, t in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"none of the adapter's tensors.*'first\.base_layer"):
        ll.get_peft_model_state_dict(model, bare)


def test_a_failed_load_leaves_the_base_as_it_was(folder):
    change(folder, lambda t: t.pop(KEY))
    base = Mlp()
    base.norm.requires_grad_(False)
    flags = {name: p.requires_grad for name, p in base.named_parameters()}
    with pytest.raises(ll.AdapterFileError):
        ll.PeftModel.from_pretrained(base, folder)
    assert {name: p.requires_grad for name, p in base.named_parameters()} == flags


@pytest.mark.filterwarnings("ignore:You are trying to modify a model with PEFT for a second")
def test_a_failed_load_leaves_other_adapters_in_the_base(folder):
    change(folder, lambda t: t.pop(KEY))
    model = adapted()
    y = model(X)
    with pytest.raises(ll.AdapterFileError):
        ll.PeftModel.from_pretrained(model.get_base_model(), folder, "b")
    assert torch.equal(model(X), y)
    assert list(model.peft_config) == model.active_adapters == ["default"]


@pytest.mark.parametrize("fields", [{"lora_alpha": 64}, {"use_rslora": True}])
def test_a_file_of_another_scaling_is_warned_of(folder, fields):
    model = adapted(**fields)
    with pytest.warns(ll.PeftWarning, match=f"trained with another scaling.*{next(iter(fields))}="):
        model.load_adapter(folder, "default")
    adapted().load_adapter(folder, "default")  # the same scaling: no word
    (folder / "adapter_config.json").unlink()
    model.load_adapter(folder, "default")  # nothing to compare with


def test_misspelt_arguments_are_named(folder):
    with pytest.raises(TypeError, match=r"no argument 'is_trainble'.*'is_trainable'"):
        ll.PeftModel.from_pretrained(Mlp(), folder, is_trainble=True)
    model = ll.PeftModel.from_pretrained(Mlp(), folder, device_map=None)  # PEFT's, without use here
    with pytest.raises(TypeError, match=r"no argument 'selected_adaptors'.*'selected_adapters'"):
        model.save_pretrained(folder, selected_adaptors=["default"])
    with pytest.raises(TypeError, match=r"no argument 'lora_alfa'.*'lora_alpha'"):
        ll.LoraConfig.from_pretrained(folder, lora_alfa=16)


@pytest.mark.parametrize("place", ["./nowhere", "../nowhere", "~/nowhere", "runs/1/adapter"])
def test_a_folder_that_is_not_there_is_not_sought_on_the_hub(place):
    with pytest.raises(ValueError, match=r"Can't find 'adapter_config\.json' at"):
        ll.PeftModel.from_pretrained(Mlp(), place)


def test_a_wrong_folder_is_named_with_the_right_one(tmp_path, monkeypatch):
    """At once: none of these is asked of the hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    model = ll.get_peft_model(Mlp(), ll.LoraConfig(r=2, target_modules=["first"]), "pirate")
    model.save_pretrained("adapters")
    cases = {
        "adapters": r"at 'adapters', but at 'adapters/pirate'",
        "adaptres": r"at 'adaptres': there is no such folder\. Did you mean 'adapters'\?",
        "./adapters/pirat": r"Did you mean 'adapters/pirate'\?",
        "adapters/pirate/adapter_config.json": "folder is needed, 'adapters/pirate'",
    }
    for wrong, message in cases.items():
        with pytest.raises(ValueError, match=message):
            ll.PeftModel.from_pretrained(Mlp(), wrong)


@pytest.mark.parametrize("name", ["runs/adaptor", "adaptor", "no name"])
def test_a_name_that_neither_the_disk_nor_the_hub_has_is_named(name):
    with pytest.raises(
        ValueError, match=rf"Can't find 'adapter_config\.json' at '{name}': there is"
    ):
        ll.PeftModel.from_pretrained(Mlp(), name)


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    old = tmp_path / "a"
    old.write_bytes(b"old")

    def failing(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="disk full"):
        write_whole({old: b"new", tmp_path / "b": b"new"})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"old"}


class Norms(nn.Module):
    """Two modules, of which one's name ends with the other's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        parts = {"lin": nn.Linear(5, 5), "layernorm": nn.LayerNorm(5), "norm": nn.LayerNorm(5)}
        self.body = nn.ModuleDict(parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.body.values():
            x = part(x)
        return x


def test_peft_saves_no_more_modules_by_a_files_config(tmp_path):
    import peft

    config = ll.LoraConfig(r=2, target_modules=["lin"], modules_to_save=["norm"])
    model = ll.get_peft_model(Norms(), config)
    with torch.no_grad():
        model.base_model.model.body["norm"].weight.add_(1.0)
    model.save_pretrained(tmp_path)
    theirs = peft.PeftModel.from_pretrained(Norms(), tmp_path)
    torch.testing.assert_close(theirs(X), model(X))
    assert torch.equal(ll.PeftModel.from_pretrained(Norms(), tmp_path)(X), model(X))
    assert model.peft_config["default"].modules_to_save == ["norm"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644)])
def test_who_may_read_a_file_is_as_the_user_set_it(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        adapted().save_pretrained(tmp_path)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}


def test_a_card_keeps_its_text(folder):
    text = (folder / "README.md").read_text()
    assert "library_name: peft" in text
    assert "| r | 3 |" in text
    (folder / "README.md").write_text("---\nlicense: mit\n---\nmine\n")
    adapted().save_pretrained(folder)
    text = (folder / "README.md").read_text()
    assert text == "---\nlicense: mit\nlibrary_name: peft\ntags:\n- lora\n---\nmine\n"
    adapted().save_pretrained(folder)
    assert (folder / "README.md").read_text() == text


def test_a_cards_head_has_each_key_once(folder):
    (folder / "README.md").write_text("---\nlibrary_name: timm\ntags:\n- mine\n---\nmine\n")
    adapted().save_pretrained(folder)
    text = (folder / "README.md").read_text()
    assert text == "---\nlibrary_name: peft\ntags:\n- lora\n- mine\n---\nmine\n"


def test_a_card_whose_head_is_no_yaml_is_kept(folder):
    (folder / "README.md").write_text("---\na: [\n---\nmine\n")
    with pytest.warns(ll.errors.PeftWarning, match="kept as it is"):
        adapted().save_pretrained(folder)
    assert (folder / "README.md").read_text() == "---\na: [\n---\nmine\n"


@pytest.mark.parametrize("init", ["pissa", "olora"])
@pytest.mark.parametrize("use_rslora", [False, True])
def test_pissa_and_olora_convert_to_plain_lora(tmp_path, init, use_rslora):
    model = adapted(r=2, init_lora_weights=init, use_rslora=use_rslora)
    model.save_pretrained(tmp_path / "initial")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    path = tmp_path / "initial"
    model.save_pretrained(tmp_path / "plain", path_initial_model_for_weight_conversion=path)
    plain = ll.PeftModel.from_pretrained(Mlp(), tmp_path / "plain")
    assert plain.peft_config["default"].r == 4
    torch.testing.assert_close(plain(X), model(X), rtol=1e-5, atol=1e-5)
    with plain.disable_adapter():
        assert torch.equal(plain(X), Mlp()(X))


RESIZED = [{}, {"modules_to_save": ["embed_tokens"]}, {"trainable_token_indices": [1, 2]}]


def resized(lib, extra: int, seed: int, **fields) -> nn.Module:
    """The nano base with more rows in its vocabulary, and an adapter on it."""
    base, _ = ll.load_base("nano")
    torch.manual_seed(seed)
    if extra:
        size = base.config.vocab_size + extra
        base.resize_token_embeddings(size, mean_resizing=False)
    config = lib.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, **fields)
    return lib.get_peft_model(base, config).eval()


@pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:modules_to_save copies embed_tokens|.*whose weight lm_head")
@pytest.mark.parametrize("fields", RESIZED, ids=str)
@pytest.mark.parametrize("writer", ["here", "peft"])
def test_a_resized_vocabulary_is_saved_and_goes_both_ways(tmp_path, fields, writer):
    peft = pytest.importorskip("peft")
    libraries = [ll, peft] if writer == "here" else [peft, ll]
    model, other = (resized(lib, 8, seed, **fields) for seed, lib in enumerate(libraries))
    with pytest.warns(UserWarning, match="has been resized during finetuning"):
        model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "adapter_model.safetensors")
    assert any("embed_tokens" in key and len(weights[key]) == 520 for key in weights)
    other.load_adapter(tmp_path, "default")
    x = torch.tensor([[1, 2, 515, 519]])
    assert torch.allclose(model(x).logits, other(x).logits, atol=1e-6)


def test_a_vocabulary_as_it_was_is_not_saved(tmp_path):
    resized(ll, 0, 0).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "adapter_model.safetensors")
    assert not [key for key in weights if "q_proj" not in key]


def test_a_base_whose_vocabulary_cannot_be_known_is_warned_of(tmp_path):
    model = resized(ll, 8, 0)
    model.peft_config["default"].base_model_name_or_path = "nobody/not-on-this-machine"
    with pytest.warns(ll.PeftWarning, match="not-on-this-machine.*save_embedding_layers=True"):
        tensors = ll.get_peft_model_state_dict(model)
    assert not [key for key in tensors if "q_proj" not in key]


def load_fuzzed(folder, data: bytes) -> None:
    """A damaged file is a clear error, or loads and every number it holds is finite.

    The outputs need not be: a flipped bit can leave 1e38, which is finite and overflows later.
    """
    (folder / "adapter_model.safetensors").write_bytes(data)
    base = Mlp()
    try:
        model = ll.PeftModel.from_pretrained(base, folder)
    except ll.AdapterFileError as error:
        assert str(error)
        assert type(base.first) is nn.Linear
        return
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert model(X).shape == (len(X), 3)


def damaged(data: bytes, place: float, bytes_: bytes, how: str) -> bytes:
    at = int(place * len(data))
    if how == "cut":
        return data[:at]
    return data[:at] + bytes_ + data[at + (len(bytes_) if how == "over" else 0) :]


DAMAGE = (
    st.floats(0, 1),
    st.binary(min_size=1, max_size=4),
    st.sampled_from(["cut", "over", "in"]),
)
SHARED_FOLDER = [HealthCheck.function_scoped_fixture]


@settings(max_examples=40, deadline=None, suppress_health_check=SHARED_FOLDER)
@given(*DAMAGE)
def test_damaged_files(folder, place, bytes_, how):
    adapted().save_pretrained(folder)
    data = (folder / "adapter_model.safetensors").read_bytes()
    load_fuzzed(folder, damaged(data, place, bytes_, how))


@pytest.mark.nightly
@settings(max_examples=3000, deadline=None, suppress_health_check=SHARED_FOLDER)
@given(*DAMAGE)
def test_many_damaged_files(folder, place, bytes_, how):
    adapted().save_pretrained(folder)
    data = (folder / "adapter_model.safetensors").read_bytes()
    load_fuzzed(folder, damaged(data, place, bytes_, how))


def test_an_adapter_that_is_not_there_cannot_be_filled():
    model = adapted()
    tensors = ll.get_peft_model_state_dict(model)
    for given_ in ({}, tensors):
        with pytest.raises(ValueError, match=r"Adapter defalt not found\. Did you mean 'default'"):
            ll.set_peft_model_state_dict(model, given_, "defalt")


def test_a_shape_that_is_forgiven_forgives_no_other_key():
    """The key of the module "q" is a part of that of "a.q", and of a message about it."""

    def model(r: int) -> ll.PeftModel:
        base = nn.ModuleDict({"q": nn.Linear(4, 4), "a": nn.ModuleDict({"q": nn.Linear(4, 4)})})
        pattern = {"^q": r}
        return ll.get_peft_model(
            base, ll.LoraConfig(r=2, target_modules=["q"], rank_pattern=pattern)
        )

    tensors = ll.get_peft_model_state_dict(model(3))
    theirs = {key.removeprefix("base_model.model."): value for key, value in tensors.items()}
    missing = "a.q.lora_A.weight"
    del theirs[missing]
    inner = model(2).base_model.model
    with pytest.raises(ll.AdapterFileError, match=rf"missing key {missing}$"):
        ll.set_peft_model_state_dict(inner, theirs, ignore_mismatched_sizes=True)
