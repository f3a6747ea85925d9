"""Our models and layers answer to PEFT's classes where other tools ask, and stay ours."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys

import peft
import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

import lora_lessons as ll
from lora_lessons.lora.more.bridge import Bridged, bridged
from lora_lessons.lora.more.task_models import TASK_CLASSES
from tests.lora.more.trainer_models import Rows, bert, llama

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")


def adapted(task: str | None = "CAUSAL_LM") -> ll.PeftModel:
    model = ll.get_peft_model(llama(), ll.LoraConfig(r=2, task_type=task))
    for layer in model.base_model.lora_layers().values():
        nn.init.ones_(layer.lora_B["default"].weight)
    return model.eval()


def ids() -> torch.Tensor:
    return Rows()[0]["input_ids"][None]


@pytest.mark.parametrize("kind", TASK_CLASSES.values(), ids=lambda kind: kind.__name__)
def test_each_task_has_pefts_class_of_that_name(kind):
    both = bridged(kind)
    assert issubclass(both, kind)
    assert issubclass(both, getattr(peft, kind.__name__))
    assert both.__name__ == kind.__name__
    assert both.forward is ll.PeftModel.forward
    assert both.__getattr__ is ll.PeftModel.__getattr__


def test_a_model_is_both(tmp_path):
    model = adapted()
    assert isinstance(model, peft.PeftModelForCausalLM)
    assert isinstance(model, ll.PeftModelForCausalLM)
    model.save_pretrained(tmp_path)
    assert isinstance(ll.PeftModel.from_pretrained(llama(), tmp_path), peft.PeftModelForCausalLM)
    loaded = type(model).from_pretrained(llama(), tmp_path)
    assert isinstance(loaded.base_model, ll.LoraModel)
    assert isinstance(ll.PeftModel(llama(), ll.LoraConfig(r=2)), peft.PeftModel)


def test_a_plain_module_stays_plain(monkeypatch):
    monkeypatch.delitem(sys.modules, "transformers.trainer", raising=False)
    config = ll.LoraConfig(r=1, target_modules=["0"])
    model = ll.get_peft_model(nn.Sequential(nn.Linear(2, 2)), config)
    assert not isinstance(model, Bridged)


def test_transformers_loads_an_adapter_from_our_folder(tmp_path):
    model = ll.get_peft_model(llama(), ll.LoraConfig(r=2, init_lora_weights=False))
    model.save_pretrained(tmp_path)
    ids = torch.arange(6)[None]
    expected = model.eval()(input_ids=ids).logits
    other = llama().eval()
    other.load_adapter(str(tmp_path))
    torch.testing.assert_close(other(input_ids=ids).logits, expected)


def test_peft_is_imported_by_no_import_and_no_plain_module():
    code = (
        "import sys, torch, lora_lessons as ll\n"
        "model = torch.nn.Sequential(torch.nn.Linear(2, 2))\n"
        "ll.get_peft_model(model, ll.LoraConfig(r=1, target_modules=['0']))\n"
        "sys.exit('peft' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_without_peft_the_class_is_ours(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    bridged.cache_clear()
    try:
        model = adapted()
        assert type(model) is ll.PeftModelForCausalLM
        assert model(ids()).logits.isfinite().all()
    finally:
        bridged.cache_clear()


class Mine(ll.PeftModel):
    """A user's own class."""

    def hello(self) -> str:
        return "hello"


@pytest.mark.parametrize("kind", [ll.PeftModelForCausalLM, Mine])
def test_copies_and_pickles_are_the_same_model(kind):
    model = kind(llama(), ll.LoraConfig(r=2)).eval()
    expected = model(ids()).logits
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    for again in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(stream, weights_only=False),
    ):
        assert type(again) is type(model)
        assert isinstance(again, peft.PeftModel)
        assert torch.equal(again(ids()).logits, expected)
        assert again.base_model is not model.base_model
    assert getattr(again, "hello", str)() in ("hello", "")


@pytest.mark.filterwarnings("default")  # torch's own while it compiles
def test_it_compiles():
    model = adapted()
    expected = model(ids()).logits
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(compiled(ids()).logits, expected)


def test_what_peft_adds_is_answered_by_the_model_inside():
    model = adapted()
    model.add_adapter("other", ll.LoraConfig(r=3))
    model.set_adapter("other")
    assert model.active_adapter == "other"
    assert model.has_active_enabled_adapter
    assert model.base_model_torch_dtype == torch.float32
    assert model.get_model_status().active_adapters == ["other"]
    assert len(model.get_layer_status()) == 4
    inputs = model.prepare_inputs_for_generation(ids(), use_cache=False)
    assert torch.equal(inputs["input_ids"], ids())
    model.set_adapter("default")
    model.delete_adapter("other")
    assert model.active_adapter == "default"
    generated = model.generate(input_ids=ids(), max_new_tokens=2, do_sample=False, pad_token_id=0)
    assert generated.shape == (1, 8)
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = model.no_such_thing


def test_our_layers_are_pefts_where_a_model_is_injected():
    model = ll.inject_adapter_in_model(ll.LoraConfig(r=2, target_modules=["q_proj"]), llama())
    layer = model.get_submodule("model.layers.0.self_attn.q_proj")
    assert isinstance(layer, BaseTunerLayer)
    assert isinstance(layer, peft.tuners.lora.LoraLayer)


TOKENS = {"target_modules": ["q_proj"], "trainable_token_indices": [1, 2]}


@pytest.mark.parametrize(
    ("base", "task", "fields"),
    [
        (llama, "CAUSAL_LM", {}),
        (bert, "SEQ_CLS", {}),
        (llama, "CAUSAL_LM", {"use_dora": True}),
        (llama, "CAUSAL_LM", TOKENS),
        (lambda: llama(tied=True), "CAUSAL_LM", TOKENS),
    ],
    ids=["plain", "head", "dora", "tokens", "tied tokens"],
)
def test_pefts_helpers_read_our_models(base, task, fields):
    model = ll.get_peft_model(base(), ll.LoraConfig(r=2, task_type=task, **fields))
    model.add_adapter("other", ll.LoraConfig(r=2, **({} if task == "SEQ_CLS" else fields)))
    for name in ("default", "other"):
        ours = ll.get_peft_model_state_dict(model, adapter_name=name)
        theirs = peft.get_peft_model_state_dict(model, adapter_name=name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        more = {key: value + 1 for key, value in theirs.items()}
        peft.set_peft_model_state_dict(model, more, adapter_name=name)
        again = ll.get_peft_model_state_dict(model, adapter_name=name)
        assert all(torch.equal(again[key], more[key]) for key in again)


def test_pefts_switches_act_on_our_layers():
    from peft.helpers import disable_input_dtype_casting, rescale_adapter_scale

    model = adapted()
    assert model.get_layer_status() == ll.get_layer_status(model)
    with rescale_adapter_scale(model, 0.0):
        switched = model(ids()).logits
    with model.disable_adapter():
        torch.testing.assert_close(switched, model(ids()).logits)
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    x = torch.ones(1, 2, 16, dtype=torch.bfloat16)
    layer.base_layer.bfloat16()
    assert layer(x).dtype == torch.bfloat16
    with disable_input_dtype_casting(model), pytest.raises(RuntimeError, match="dtype"):
        layer(x)
