"""Adapters beside layers of few bits against the real PEFT, from one seed."""

from __future__ import annotations

import warnings

import peft
import pytest
import torch
from torch import nn

import lora_lessons as ll
from tests.lora.more.quantized_models import THEIRS, Quantized, example

pytestmark = [
    pytest.mark.quantized,
    pytest.mark.filterwarnings("ignore:TorchaoLoraLinear was instantiated without"),
    pytest.mark.filterwarnings("ignore:Merge lora module to"),
    pytest.mark.filterwarnings("ignore:Adapter 'default'. 2 LoRA tensor"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
]

FIELDS = {
    "plain": {},
    "random": {"init_lora_weights": False},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "rslora": {"use_rslora": True, "init_lora_weights": False},
    "dropout": {"lora_dropout": 0.4, "init_lora_weights": False},
    "lora_bias": {"lora_bias": True, "init_lora_weights": False},
    "bias": {"bias": "lora_only", "init_lora_weights": False},
    "dora": {"use_dora": True, "init_lora_weights": False},
    "dora_dropout": {"use_dora": True, "lora_dropout": 0.4, "init_lora_weights": False},
}


def possible(kind: str, fields: str) -> bool:
    """PEFT has no lora_bias beside torchao's tensors, and gives orthogonal factors W's dtype."""
    return fields != ("lora_bias" if kind == "torchao" else "orthogonal")


CASES = [(kind, fields) for kind in THEIRS for fields in FIELDS if possible(kind, fields)]


def base_of(kind: str) -> nn.Module:
    """A model whose layers PEFT takes for quantized ones: it asks transformers' attributes."""
    model = Quantized(kind)
    for layer in (model.first, model.second):
        layer.support_avx512bf16_for_cpu = False  # else PEFT's cannot be trained once evaluated
    model.is_loaded_in_4bit, model.is_loaded_in_8bit = kind in ("nf4", "fp4"), kind == "int8"
    return model


def both(kind: str, fields: str) -> tuple[nn.Module, nn.Module]:
    """Our model, and PEFT's."""
    config = {"r": 4, "lora_alpha": 6, "target_modules": ["first", "second"], **FIELDS[fields]}
    torch.manual_seed(1)
    theirs = peft.get_peft_model(base_of(kind), peft.LoraConfig(**config))
    torch.manual_seed(1)
    return ll.get_peft_model(base_of(kind), ll.LoraConfig(**config)), theirs


def run(model: nn.Module) -> torch.Tensor:
    torch.manual_seed(7)  # for dropout
    return model(example())


@pytest.mark.parametrize(("kind", "fields"), CASES)
def test_outputs_and_gradients(kind, fields):
    ours, theirs = both(kind, fields)
    assert (
        type(ours.base_model.model.first).__name__ == type(theirs.base_model.model.first).__name__
    )
    out, expected = run(ours.train()), run(theirs.train())
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    out.square().mean().backward(), expected.square().mean().backward()
    mine, others = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert list(mine) == list(others)
    for name, parameter in mine.items():
        assert parameter.requires_grad == others[name].requires_grad, name
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, others[name].grad, rtol=1e-3, atol=1e-5)
    assert ours.get_nb_trainable_parameters() == theirs.get_nb_trainable_parameters()


@pytest.mark.parametrize(("kind", "fields"), CASES)
def test_files_go_both_ways(kind, fields, tmp_path):
    ours, theirs = both(kind, fields)
    with torch.no_grad():
        for model in (ours.train(), theirs.train()):
            torch.manual_seed(3)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = ll.PeftModel.from_pretrained(base_of(kind), tmp_path / "theirs", is_trainable=True)
    if FIELDS[fields].get("lora_dropout"):
        ours.eval(), theirs.eval(), loaded.eval()
    torch.testing.assert_close(run(loaded), run(theirs), rtol=1e-5, atol=1e-5)
    ours.save_pretrained(tmp_path / "ours")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*missing adapter keys.*")
        back = peft.PeftModel.from_pretrained(base_of(kind), tmp_path / "ours", is_trainable=True)
    if FIELDS[fields].get("lora_dropout"):
        back.eval()
    torch.testing.assert_close(run(back), run(ours), rtol=1e-5, atol=1e-5)


def test_merging_in_place_loses_the_update_there_and_is_refused_here():
    """What refusing saves: PEFT's merged 4-bit model is far from the one that was trained."""
    ours, theirs = both("nf4", "plain")
    with torch.no_grad():
        for model in (ours, theirs):
            torch.manual_seed(3)
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.add_(0.05 * torch.randn_like(parameter))
    before = run(theirs.train()).detach()
    with theirs.disable_adapter():
        update = (run(theirs).detach() - before).norm()
    theirs.merge_adapter()
    assert (run(theirs) - before).norm() > 0.2 * update
    with pytest.raises(ll.MergeError):
        ours.merge_adapter()


@pytest.mark.parametrize("kind", THEIRS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_prepare_model_for_kbit_training(kind, dtype):
    results = []
    for library in (ll, peft):
        model = base_of(kind)
        model.head.to(dtype)
        model.gradient_checkpointing_enable = lambda **_: None  # a model of transformers has it
        model.get_input_embeddings = lambda model=model: model.first
        prepared = library.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        assert prepared is model
        results.append({n: (p.dtype, p.requires_grad) for n, p in model.named_parameters()})
    assert results[0] == results[1]
    assert results[0]["head.weight"] == (torch.float32, False)
