"""What other libraries and trained files bring along: it works, or it is refused by name."""

from __future__ import annotations

import inspect
import json
import warnings
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

import lora_lessons as ll
from lora_lessons.errors import AdapterFileError, ConfigError, NoMatchingPeftModuleError
from lora_lessons.storage import HUB_ARGUMENTS, NOT_SUPPORTED
from tests.lora.more.trainer_models import Rows, llama

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up_proj, self.o_proj = nn.Linear(4, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.o_proj(self.up_proj(x).relu())


def base() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Module()
    model.layers = nn.ModuleList([Block(), Block()])
    model.forward = lambda x: model.layers[1](model.layers[0](x))  # type: ignore[method-assign]
    return model


def config(**fields: Any) -> ll.LoraConfig:
    given = {"r": 2, "target_modules": ["up_proj", "o_proj"], "init_lora_weights": False}
    return ll.LoraConfig(**{**given, **fields})


X = torch.linspace(-1, 1, 8).reshape(2, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A trained adapter's files."""
    ll.get_peft_model(base(), config()).save_pretrained(tmp_path)
    return tmp_path


def expected() -> torch.Tensor:
    return ll.get_peft_model(base(), config())(X)


def rewrite(folder: Path, **values: Any) -> None:
    """Change values of the json."""
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def respell(folder: Path, change: Any) -> None:
    """Change the keys of the file."""
    tensors = load_file(folder / WEIGHTS)
    save_file({change(key): value for key, value in tensors.items()}, folder / WEIGHTS)


# names of wrappers


def compiled(block: nn.Module) -> nn.Module:
    return torch.compile(block, backend="eager")  # type: ignore[return-value]


@pytest.mark.parametrize("wrap", [compiled, checkpoint_wrapper])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_wrapped_block_saves_plain_keys_and_loads_them(folder, tmp_path, wrap, when):
    plain = load_file(folder / WEIGHTS)
    model = base()
    if when == "before":
        model.layers[0] = wrap(model.layers[0])
    adapted = ll.get_peft_model(model, config(rank_pattern={"layers.0.up_proj": 2}))
    if when == "after":
        model.layers[0] = wrap(model.layers[0])
    adapted.save_pretrained(tmp_path / "wrapped")
    assert load_file(tmp_path / "wrapped" / WEIGHTS).keys() == plain.keys()
    again = base()
    again.layers[1] = wrap(again.layers[1])
    loaded = ll.PeftModel.from_pretrained(again, folder)
    torch.testing.assert_close(loaded(X), expected())


def test_full_names_mean_the_same_in_a_wrapped_base(folder):
    model = base()
    model.layers[0] = checkpoint_wrapper(model.layers[0])
    names = ["layers.0.up_proj", "layers.1.o_proj"]
    adapted = ll.get_peft_model(model, config(target_modules=names))
    assert len(adapted.base_model.lora_layers()) == 2


# spellings that mean one thing


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key.removeprefix("base_model.model."),
        lambda key: key.replace(".weight", ".default.weight"),
        lambda key: f"module.{key}",
        lambda key: f"base_model.model.{key}",
        lambda key: key.replace("layers.0.", "layers.0._orig_mod."),
        lambda key: f"_orig_mod.{key}",
    ],
    ids=["no prefix", "default", "module", "twice", "inner wrapper", "outer wrapper"],
)
def test_a_safe_spelling_loads(folder, change):
    respell(folder, change)
    loaded = ll.PeftModel.from_pretrained(base(), folder)
    torch.testing.assert_close(loaded(X), expected())


def test_a_models_own_state_dict_loads():
    model, other = (ll.get_peft_model(base(), config()) for _ in range(2))
    for parameter in model.parameters():
        parameter.data += parameter.requires_grad
    with pytest.warns(ll.PeftWarning, match="8 tensors that are not the adapter's"):
        ll.set_peft_model_state_dict(other, model.state_dict())
    torch.testing.assert_close(other(X), model(X))


def test_two_spellings_of_one_tensor_are_refused(folder):
    tensors = load_file(folder / WEIGHTS)
    key = next(iter(tensors))
    tensors[f"module.{key}"] = tensors[key] + 1
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(AdapterFileError, match=r"unexpected key module\."):
        ll.PeftModel.from_pretrained(base(), folder)


def test_a_load_error_shows_both_sides_in_its_first_line(folder):
    respell(folder, lambda key: key.replace("layers.", "blocks."))
    with pytest.raises(AdapterFileError) as error:
        ll.PeftModel.from_pretrained(base(), folder)
    first = str(error.value).splitlines()[0]
    assert "the file has 'base_model.model.blocks." in first
    assert "the model has 'base_model.model.layers." in first
    assert "differ by 'base_model.model.block' and 'base_model.model.layer'" in first
    assert "key_mapping" in first


def test_key_mapping_renames(folder):
    respell(folder, lambda key: key.replace("layers.", "blocks."))
    mapping = {"^blocks": "layers"}
    loaded = ll.PeftModel.from_pretrained(base(), folder, key_mapping=mapping)
    torch.testing.assert_close(loaded(X), expected())
    again = ll.get_peft_model(base(), config())
    again.load_adapter(folder, "other", key_mapping=mapping)
    again.set_adapter("other")
    torch.testing.assert_close(again(X), expected())
    with pytest.raises(AdapterFileError, match="two tensors the key"):
        ll.PeftModel.from_pretrained(base(), folder, key_mapping={r"^blocks\.\d": "layers.0"})


# a trained file is judged by its tensors


def test_a_surplus_target_warns(folder):
    targets = [*config().target_modules, "W_pack"]
    rewrite(folder, target_modules=targets, alpha_pattern={"W_pack": 3})
    with pytest.warns(ll.PeftWarning, match="W_pack.*file's tensors decide"):
        loaded = ll.PeftModel.from_pretrained(base(), folder)
    torch.testing.assert_close(loaded(X), expected())
    with pytest.warns(ll.PeftWarning, match="W_pack"):
        loaded.load_adapter(folder, "other")
    with pytest.raises(NoMatchingPeftModuleError, match="W_pack"):
        ll.get_peft_model(base(), config(target_modules=targets))


def test_a_start_that_leaves_the_base_is_no_matter(folder):
    rewrite(folder, init_lora_weights="mica")
    with pytest.warns(ll.PeftWarning, match="mica.*tensors take its place"):
        loaded = ll.PeftModel.from_pretrained(base(), folder)
    torch.testing.assert_close(loaded(X), expected())


@pytest.mark.parametrize("start", ["corda", "lora_ga"])
def test_a_start_that_changes_the_base_is_refused(folder, start):
    rewrite(folder, init_lora_weights=start)
    with pytest.raises(ConfigError, match="changes the base's weights"):
        ll.PeftModel.from_pretrained(base(), folder)


def test_a_start_that_nobody_knows_is_refused(folder):
    rewrite(folder, init_lora_weights="pisssa")
    with pytest.raises(ConfigError, match="pissa"):
        ll.PeftModel.from_pretrained(base(), folder)


@pytest.mark.parametrize("values", [{}, {"model_type": "llama", "hidden_size": 8}])
def test_a_json_that_is_no_adapters_is_refused(folder, values):
    (folder / CONFIG).write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="neither peft_type nor r"):
        ll.PeftModel.from_pretrained(base(), folder)
    with pytest.raises(ConfigError, match="neither peft_type nor r"):
        ll.LoraConfig.from_pretrained(folder)


# tensors without memory


def offloaded(tmp_path: Path, device: str) -> Any:
    """A Llama whose second block waits on the disk, or in main memory, behind a hook."""
    llama().save_pretrained(tmp_path / "base")
    places = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": device}
    places |= {"model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    return type(llama()).from_pretrained(
        tmp_path / "base", device_map=places, offload_folder=tmp_path / "offload"
    )


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_offloaded_layers_adapter_has_memory(tmp_path):
    config = ll.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    whole = ll.get_peft_model(llama(), config)
    for layer in whole.base_model.lora_layers().values():
        nn.init.ones_(layer.lora_B["default"].weight)
    whole.save_pretrained(tmp_path / "adapter")
    ids = Rows()[0]["input_ids"][None]
    for low in (False, True):
        model = offloaded(tmp_path, "disk")
        assert model.model.layers[1].self_attn.q_proj.weight.is_meta
        loaded = ll.PeftModel.from_pretrained(model, tmp_path / "adapter", low_cpu_mem_usage=low)
        tensors = ll.get_peft_model_state_dict(loaded)
        assert not any(tensor.is_meta for tensor in tensors.values())
        torch.testing.assert_close(loaded(ids).logits, whole.eval()(ids).logits)
        loaded.save_pretrained(tmp_path / "again")
        with pytest.raises(ll.MergeError, match="meta"):
            loaded.merge_adapter()


def test_a_file_is_not_loaded_into_tensors_without_memory(folder):
    with pytest.raises(ValueError, match="meta device"):
        ll.PeftModel.from_pretrained(base().to("meta"), folder)


# modules whose weight is read, not called


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2)
        self.mlp = nn.Linear(4, 4)


def test_all_linear_says_what_it_cannot_reach():
    with pytest.warns(
        ll.PeftWarning, match="cannot reach 6.%.*attention.in_proj_weight.*target_parameters"
    ):
        model = ll.get_peft_model(Attends(), ll.LoraConfig(r=2, target_modules="all-linear"))
    assert set(model.base_model.lora_layers()) == {"mlp"}


def test_all_linear_names_the_experts_that_it_cannot_reach():
    import transformers

    torch.manual_seed(0)
    settings = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 4}
    model = transformers.MixtralForCausalLM(transformers.MixtralConfig(**settings, **heads))
    with pytest.warns(ll.PeftWarning, match=r"cannot reach \d+%.*experts"):
        ll.get_peft_model(model, ll.LoraConfig(r=2, target_modules="all-linear"))


def test_all_linear_is_quiet_where_it_reaches_all():
    with warnings.catch_warnings():
        warnings.simplefilter("error", ll.PeftWarning)
        ll.get_peft_model(llama(), ll.LoraConfig(r=2, target_modules="all-linear"))


# messages that help


def test_a_cell_run_twice_names_the_way_out():
    model = base()
    ll.get_peft_model(model, config())
    way_out = r"already exists.*unload\(\)"
    with pytest.warns(ll.PeftWarning, match="second"), pytest.raises(ValueError, match=way_out):
        ll.get_peft_model(model, config())


@pytest.mark.parametrize("entry", ["w1", "down_proj"])
def test_no_hint_where_names_are_alike_by_chance(entry):
    with pytest.raises(NoMatchingPeftModuleError) as error:
        ll.get_peft_model(base(), config(target_modules=[entry]))
    assert "Did you mean" not in str(error.value)


@pytest.mark.parametrize("entry", ["up_porj", "upproj", "o_prj", "proj"])
def test_a_hint_where_a_name_is_misspelt(entry):
    with pytest.raises(NoMatchingPeftModuleError, match=r"Did you mean '(up|o)_proj'"):
        ll.get_peft_model(base(), config(target_modules=[entry]))


# no argument vanishes

PAIRS = {
    "from_pretrained": (peft.PeftModel.from_pretrained, ll.PeftModel.from_pretrained),
    "load_adapter": (peft.PeftModel.load_adapter, ll.PeftModel.load_adapter),
    "save_pretrained": (peft.PeftModel.save_pretrained, ll.PeftModel.save_pretrained),
    "get_peft_model": (peft.get_peft_model, ll.get_peft_model),
    "inject": (peft.inject_adapter_in_model, ll.inject_adapter_in_model),
    "state_dict": (peft.get_peft_model_state_dict, ll.get_peft_model_state_dict),
    "set_state_dict": (peft.set_peft_model_state_dict, ll.set_peft_model_state_dict),
    "weights": (peft.load_peft_weights, ll.load_peft_weights),
    "add_adapter": (peft.PeftModel.add_adapter, ll.PeftModel.add_adapter),
    "merge": (peft.LoraModel.merge_and_unload, ll.LoraModel.merge_and_unload),
    "merge_adapter": (peft.LoraModel.merge_adapter, ll.LoraModel.merge_adapter),
    "config": (peft.LoraConfig, ll.LoraConfig),
}
# what PEFT reads out of its **kwargs
HIDDEN = {
    "load_adapter": {"ignore_mismatched_sizes", "subfolder", "device_map", "max_memory"}
    | {"offload_folder", "offload_dir", "offload_index", "use_auth_token", *HUB_ARGUMENTS},
    "from_pretrained": {"subfolder", "device_map", "use_auth_token", "adapters", *HUB_ARGUMENTS},
    "save_pretrained": {"state_dict"},
}


def given_to(name: str) -> list[str]:
    theirs, _ = PAIRS[name]
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = {n for n, p in inspect.signature(theirs).parameters.items() if p.kind not in kinds}
    return sorted((named | HIDDEN.get(name, set())) - {"self"})


@pytest.mark.parametrize("name", PAIRS)
def test_each_of_pefts_arguments_is_taken_or_refused_by_name(name, folder):
    ours = PAIRS[name][1]
    known = {*inspect.signature(ours).parameters, *HUB_ARGUMENTS}
    if name == "from_pretrained":
        known |= set(inspect.signature(ll.PeftModel._load_weights).parameters)
    for argument in set(given_to(name)) - known:
        assert argument in NOT_SUPPORTED, argument
        with pytest.raises(TypeError, match=argument):
            call(name, folder, {argument: "something"})


@pytest.mark.parametrize("name", ["from_pretrained", "load_adapter", "save_pretrained", "config"])
def test_an_argument_that_nobody_has_is_refused(name, folder):
    with pytest.raises(TypeError, match="no_such_thing"):
        call(name, folder, {"no_such_thing": 1})


def call(name: str, folder: Path, arguments: dict[str, Any]) -> Any:
    """Call one of our functions with arguments beside those that it must have."""
    if name == "from_pretrained":
        return ll.PeftModel.from_pretrained(base(), folder, **arguments)
    if name == "config":
        return ll.LoraConfig(**arguments)
    model = ll.get_peft_model(base(), config())
    if name == "load_adapter":
        return model.load_adapter(folder, "other", **arguments)
    return model.save_pretrained(folder, **arguments)


def test_what_asks_for_nothing_is_passed_over(folder):
    model = ll.PeftModel.from_pretrained(base(), folder, device_map=None)
    model.save_pretrained(folder, max_shard_size="5GB", push_to_hub=False)


def test_a_layer_takes_no_field_beside_a_config():
    with pytest.raises(TypeError, match="use_dora"):
        ll.LoraLinear(nn.Linear(2, 2), "default", config(), use_dora=True)
    with pytest.raises(ValueError, match="positive"):
        ll.LoraLinear(nn.Linear(2, 2), "default", config(), r=0)
